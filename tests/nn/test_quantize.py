"""Vector quantisation: nearest codes, gradients past the choice, and the two terms."""

import pytest
import torch

from t2i_course.nn.quantize import Quantizer


def some(codes=7, dim=3):
    torch.manual_seed(0)
    quantizer = Quantizer(codes, dim)
    torch.nn.init.normal_(quantizer.codebook.weight)
    return quantizer, torch.randn(2, dim, 4, 5)


def test_each_vector_gets_its_nearest_code():
    quantizer, h = some()
    distances = torch.cdist(h.movedim(1, -1).reshape(-1, 3), quantizer.codebook.weight)
    e, indices, _ = quantizer(h)
    assert torch.equal(indices.flatten(), distances.argmin(1))
    torch.testing.assert_close(e, quantizer.look_up(indices))
    assert torch.equal(quantizer.indices(e), indices)  # codes stay as they are


def test_gradients_pass_straight_through():
    quantizer, h = some()
    h.requires_grad_()
    e, _, _ = quantizer(h)
    weight = torch.randn_like(e)
    (e * weight).sum().backward()
    torch.testing.assert_close(h.grad, weight)
    assert quantizer.codebook.weight.grad is None


def test_the_two_terms():
    """Codes are pulled with weight 1, vectors with weight beta."""
    quantizer, h = some()
    h.requires_grad_()
    e, indices, loss = quantizer(h)
    difference = h.detach() - quantizer.look_up(indices).detach()
    assert loss.item() == pytest.approx(1.25 * difference.square().mean().item(), rel=1e-5)
    loss.backward()
    torch.testing.assert_close(h.grad, 0.25 * 2 * difference / difference.numel())
    chosen = torch.zeros(7, 3).index_add_(0, indices.flatten(), difference.movedim(1, -1).reshape(-1, 3))
    torch.testing.assert_close(quantizer.codebook.weight.grad, -2 * chosen / difference.numel())


def test_perplexity_counts_the_codes_in_use():
    quantizer, _ = some()
    assert quantizer.perplexity(torch.tensor([3, 3, 3])).item() == pytest.approx(1)
    assert quantizer.perplexity(torch.tensor([0, 1, 2, 5])).item() == pytest.approx(4)


def test_idle_codes_are_put_where_vectors_are():
    """All codes start far away: without a restart one serves all, with it all are near."""
    torch.manual_seed(0)
    h = torch.randn(4, 3, 8, 8) + 20
    once = Quantizer(16, 3)
    assert once.perplexity(once(h)[1]).item() < 3
    restarts = Quantizer(16, 3, restart=5)
    found, indices, _ = restarts(h)
    assert restarts.perplexity(indices).item() > 8
    assert (found - h).abs().mean() < 1
    again = Quantizer(16, 3, restart=5)
    restarts.idle[3] = 4
    again.load_state_dict(restarts.state_dict())  # a training goes on
    assert torch.equal(again.idle, restarts.idle)
    assert "idle" not in once.state_dict()

    with torch.no_grad():
        restarts.codebook.weight[3] = -100.0
    for _ in range(6):
        restarts(h)
    assert restarts.codebook.weight[3].min() > 10
    with torch.no_grad():
        restarts.eval().codebook.weight[3] = -100.0
    for _ in range(6):
        restarts(h)
    assert restarts.codebook.weight[3].max() == -100  # in training alone

    loaded = Quantizer(16, 3, restart=5)  # to be trained further: what was learned is kept
    loaded.load_state_dict({name: t for name, t in restarts.state_dict().items() if name != "idle"})
    loaded(h)
    assert torch.equal(loaded.codebook.weight, restarts.codebook.weight)
