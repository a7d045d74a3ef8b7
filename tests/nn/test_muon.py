"""Muon: what it makes of gradients, what it leaves to AdamW, and that it can be stopped and resumed."""

from copy import deepcopy

import pytest
import torch
from torch import nn

from t2i_course.nn.muon import Muon, orthogonalised


@pytest.mark.parametrize("shape", [(6, 40), (40, 6), (12, 12), (1, 5)])
def test_all_directions_become_nearly_equally_loud(shape):
    torch.manual_seed(0)
    u, s, v = torch.linalg.svd(torch.randn(shape), full_matrices=False)
    g = u * torch.logspace(0, -1.5, len(s)) @ v  # loudest thirty times as loud as the softest
    made = orthogonalised(g)
    values = torch.linalg.svdvals(made)
    assert values.min() > 0.6
    assert values.max() < 1.25
    turned = u.T @ made @ v.T  # the singular vectors are the same
    torch.testing.assert_close(turned, turned.diag().diag(), atol=1e-3, rtol=0)


def test_soft_directions_grow_as_much_as_five_polynomials_can():
    torch.manual_seed(0)
    u, _, v = torch.linalg.svd(torch.randn(4, 9), full_matrices=False)
    g = u * torch.tensor([1.0, 5e-3, 1e-3, 1e-4]) @ v
    values = torch.linalg.svdvals(orthogonalised(g))
    assert values[:2].min() > 0.69
    torch.testing.assert_close(values[2:], torch.tensor([0.471, 0.048]), atol=2e-3, rtol=0)
    with pytest.raises(ValueError, match="no closure"):
        Muon(network().named_parameters()).step(lambda: 0.0)


def test_the_polynomials_are_those_of_the_paper():
    """Multiplied with each other first, or one after the other with X: the same."""
    x = torch.randn(5, 9, generator=torch.Generator().manual_seed(0))
    plain = x / x.norm()
    for _ in range(5):
        gram = plain @ plain.T
        plain = 3.4445 * plain + (-4.7750 * gram + 2.0315 * gram @ gram) @ plain
    torch.testing.assert_close(orthogonalised(x), plain, atol=1e-4, rtol=1e-4)


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(32, 4))


def train(net, optimiser, steps, start=0):
    for step in range(start, start + steps):
        x = torch.randn(16, 3, 4, 4, generator=torch.Generator().manual_seed(step))
        loss = (net(x) - x.mean((2, 3)).repeat(1, 2)[:, :4]).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return loss.item()


def test_matrices_go_to_muon_and_all_else_to_adamw():
    net = network()
    before = {name: p.detach().clone() for name, p in net.named_parameters()}
    optimiser = Muon(net.named_parameters(), 0.02, 1e-3, others=("3.",))
    assert [len(group["params"]) for group in optimiser.param_groups] == [1, 3]
    train(net, optimiser, 1)
    change = (net[0].weight - before["0.weight"]).detach().flatten(1)
    assert torch.linalg.svdvals(change).min() > 0.5 * 0.02
    assert (net[3].weight - before["3.weight"]).abs().max() < 1.2e-3  # AdamW moves by its rate at most, at first
    other = network()
    plain = torch.optim.AdamW([other[0].bias], 1e-3, weight_decay=0.01)
    train(other, plain, 1)
    torch.testing.assert_close(net[0].bias, other[0].bias)


def test_it_learns_and_goes_on_from_a_checkpoint():
    net = network()
    optimiser = Muon(net.named_parameters(), 0.02, 1e-3)
    first = train(net, optimiser, 1)
    train(net, optimiser, 49, 1)
    copy = network()
    copy.load_state_dict(net.state_dict())
    resumed = Muon(copy.named_parameters(), 0.02, 1e-3)
    resumed.load_state_dict(deepcopy(optimiser.state_dict()))  # else both would share what is smoothed
    last = train(net, optimiser, 50, 50)
    assert last < first / 3
    assert train(copy, resumed, 50, 50) == pytest.approx(last, rel=1e-4)
