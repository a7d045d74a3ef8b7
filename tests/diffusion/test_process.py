"""The forward process, what a network may predict, and the losses."""

import math

import pytest
import torch

from t2i_course.diffusion.losses import (
    hybrid_loss,
    min_snr_weight,
    pixel_log_likelihood,
    simple_loss,
    v_weight,
    variational_bound,
)
from t2i_course.diffusion.process import PREDICTIONS, Process, cosine, learned_log_variance, linear, scaled_linear


@pytest.mark.parametrize(
    ("alpha_bar", "first", "middle", "last"),
    [
        (linear(), 0.99990000, 0.07858724, 4.035830e-5),
        (scaled_linear(), 0.99915000, 0.27766965, 4.660099e-3),
        (linear(1000, 0.00085, 0.012), 0.99915000, 0.16181215, 1.578963e-3),
        (scaled_linear(1000, 0.0015, 0.0195), 0.99850000, 0.11584449, 1.423040e-4),
        (cosine(), 0.99995872, 0.49384359, 2.428767e-9),
        (linear(2000, 1e-6, 1e-2), 0.999999, 0.08178379, 4.385978e-5),
    ],
    ids=["ddpm", "stable_diffusion", "kandinsky", "ldm", "cosine", "sr3"],
)
def test_published_schedules(alpha_bar, first, middle, last):
    for t, expected in ((0, first), (len(alpha_bar) // 2 - 1, middle), (-1, last)):
        assert alpha_bar[t].item() == pytest.approx(expected, rel=1e-6)
    assert (alpha_bar.diff() < 0).all()


@pytest.mark.parametrize("shift", [0.5, 2.0])
def test_a_shifted_schedule_has_so_many_times_as_much_noise(shift):
    plain, shifted = cosine(offset=0)[:-1], cosine(offset=0, shift=shift)[:-1]  # at the end nothing is left to compare
    ratio = (1 - shifted).div(shifted).sqrt() / (1 - plain).div(plain).sqrt()
    torch.testing.assert_close(ratio, torch.full_like(ratio, shift), rtol=1e-6, atol=0)


def test_the_closed_form_is_where_single_steps_lead():
    """Mean and variance of many pictures that were made noisy step by step, as the process is defined."""
    process, x = Process(linear(50, 1e-3, 0.1)), torch.full((200_000,), 0.7, dtype=torch.float64)
    before = torch.tensor(1.0, dtype=torch.float64)
    torch.manual_seed(0)
    for kept in process.alpha_bar:
        beta = 1 - kept / before
        x, before = (1 - beta).sqrt() * x + beta.sqrt() * torch.randn_like(x), kept
    signal, sigma = process.at(49, x)
    assert x.mean().item() == pytest.approx(0.7 * signal.item(), abs=0.01)
    assert x.std().item() == pytest.approx(sigma.item(), abs=0.01)


@pytest.mark.parametrize("predicts", PREDICTIONS)
def test_each_prediction_gives_picture_and_noise(predicts):
    torch.manual_seed(0)
    process, t = Process(scaled_linear(), predicts), torch.tensor([0, 300, 999])
    x0, eps = torch.rand(3, 2, 4, 4) * 2 - 1, torch.randn(3, 2, 4, 4)
    x_t, target = process.add_noise(x0, t, eps), process.target(x0, t, eps)
    found_x0, found_eps = process.split(target, x_t, t)
    torch.testing.assert_close(found_x0, x0, atol=2e-4, rtol=1e-4)
    torch.testing.assert_close(found_eps, eps, atol=2e-4, rtol=1e-4)
    assert simple_loss(process, target, x0, t, eps).tolist() == [0, 0, 0]
    assert (simple_loss(process, target + 1, x0, t, eps) == 1).all()


def test_detail_passes_by_the_network():
    """Where there is hardly any noise a network that says nothing is right; where there is much it must say all."""
    torch.manual_seed(0)
    process, x0, eps = Process(cosine(), "x0", detail=0.3), torch.randn(3, 2, 4, 4), torch.randn(3, 2, 4, 4)
    t = torch.tensor([0, 500, 990])
    x_t, target = process.add_noise(x0, t, eps), process.target(x0, t, eps)
    found_x0, found_eps = process.split(target, x_t, t)
    torch.testing.assert_close(found_x0, x0, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found_eps, eps, atol=2e-4, rtol=1e-4)
    silent = process.split(torch.zeros_like(x_t), x_t, t)[0]
    assert (silent[0] - x0[0]).abs().max() < 0.05
    assert silent[2].abs().max() < 0.01
    assert simple_loss(process, target, x0, t, eps).tolist() == [0, 0, 0]
    with pytest.raises(ValueError, match="Only a network that predicts x0"):
        Process(cosine(), "v", detail=0.3)


def test_at_minus_one_there_is_no_noise():
    process, x0 = Process(linear()), torch.randn(2, 1, 2, 2)
    assert torch.equal(process.add_noise(x0, -1, torch.randn_like(x0)), x0)
    assert torch.equal(process.add_noise(x0, torch.tensor([-1, -1]), torch.randn_like(x0)), x0)


def test_the_way_back_is_bayes_rule():
    """q(x_s | x_t, x_0) from its definition: the product of two Gaussians in x_s."""
    process, like = Process(linear()), torch.zeros(1, 1, 1, 1, dtype=torch.float64)
    t, s, x0, x_t = 700, 650, 0.3, -0.8
    of_x0, of_x_t, small, large = (f.item() for f in process.posterior(t, s, like))
    kept_t, kept_s = process.alpha_bar[t].item(), process.alpha_bar[s].item()
    keep = kept_t / kept_s
    assert large == pytest.approx(1 - keep)
    precision = 1 / (1 - kept_s) + keep / (1 - keep)  # of q(x_s | x_0) and of q(x_t | x_s), seen from x_s
    mean = (math.sqrt(kept_s) * x0 / (1 - kept_s) + math.sqrt(keep) * x_t / (1 - keep)) / precision
    assert small == pytest.approx(1 / precision)
    assert of_x0 * x0 + of_x_t * x_t == pytest.approx(mean)


@pytest.mark.parametrize("predicts", PREDICTIONS)
@pytest.mark.parametrize(("weight", "more"), [(min_snr_weight, 0), (v_weight, 1)])
def test_weights_make_the_three_losses_one(predicts, weight, more):
    """Errors that mean the same picture weigh the same, whatever is predicted; and none more than five times."""
    process, t = Process(scaled_linear(), predicts), torch.tensor([0, 200, 600, 999])
    x0, eps = torch.randn(4, 1, 8, 8), torch.randn(4, 1, 8, 8)
    x_t, wrong = process.add_noise(x0, t, eps), x0 + 0.1 * torch.randn(4, 1, 8, 8)
    signal, sigma = process.at(t, x0)
    prediction = {"x0": wrong, "eps": (x_t - signal * wrong) / sigma}
    prediction["v"] = signal * prediction["eps"] - sigma * wrong
    loss = weight(process, t) * simple_loss(process, prediction[predicts], x0, t, eps)
    kept = process.alpha_bar[t]
    expected = (kept / (1 - kept) + more).clamp(max=5).float() * (wrong - x0).square().flatten(1).mean(1)
    torch.testing.assert_close(loss, expected, rtol=2e-3, atol=1e-6)


def test_the_bound_is_zero_for_a_perfect_guess_with_the_true_variance():
    torch.manual_seed(0)
    process, t = Process(linear(), learned=True), torch.tensor([1, 5, 50])
    x0, eps = torch.rand(2, 3, 2, 4, 4, dtype=torch.float64) * 2 - 1
    x_t = process.add_noise(x0, t, eps)
    perfect = variational_bound(process, torch.cat([eps, -torch.ones_like(eps)], 1), x0, x_t, t)
    torch.testing.assert_close(perfect, torch.zeros(3, dtype=torch.float64), atol=1e-9, rtol=0)
    for other in (torch.cat([eps + 0.5, -torch.ones_like(eps)], 1), torch.cat([eps, torch.ones_like(eps)], 1)):
        assert (variational_bound(process, other, x0, x_t, t) > perfect + 1e-6).all()


def test_the_bound_teaches_the_variance_alone():
    process, t = Process(linear(), learned=True), torch.tensor([0, 500])
    x0, eps = torch.rand(2, 2, 4, 4) * 2 - 1, torch.randn(2, 2, 4, 4)
    prediction = torch.cat([eps + 0.3, torch.zeros_like(eps)], 1).requires_grad_()
    variational_bound(process, prediction, x0, process.add_noise(x0, t, eps), t).sum().backward()
    said, v = prediction.grad.chunk(2, 1)
    assert not said.any()
    assert v.abs().flatten(1).sum(1).gt(0).all()


@pytest.mark.parametrize(("known", "best"), [(True, -1), (False, 1)])
def test_the_hybrid_loss_finds_the_true_variance(known, best):
    """Where x0 is known the way back has the small variance, where it may be any of N(0, 1) the large one."""
    torch.manual_seed(0)
    process, t = Process(linear(), learned=True), torch.full((4000,), 3)
    x0, eps = torch.randn(2, 4000, 1, 2, 2, dtype=torch.float64)
    said = eps if known else process.at(t, x0)[1] * process.add_noise(x0, t, eps)  # the best guess of the noise
    losses = {}
    for v in (-1.0, -0.5, 0.0, 0.5, 1.0):
        prediction = torch.cat([said, torch.full_like(said, v)], 1)
        losses[v] = hybrid_loss(process, prediction, x0, t, eps).mean().item()
    assert min(losses, key=losses.get) == best
    assert losses[best] >= simple_loss(process, prediction, x0, t, eps).mean().item()


def test_learned_variances_lie_between_the_two():
    small, large = torch.tensor(0.01), torch.tensor(0.04)
    said = learned_log_variance(torch.tensor([-1.0, 0.0, 1.0]), small, large).exp()
    torch.testing.assert_close(said, torch.tensor([0.01, 0.02, 0.04]))


def test_probabilities_of_all_values_of_a_pixel_sum_to_one():
    values = torch.arange(256) / 127.5 - 1
    for mean, sigma in ((0.2, 0.05), (-0.99, 0.3)):
        likelihood = pixel_log_likelihood(values - mean, torch.tensor(sigma), values).exp()
        assert likelihood.sum().item() == pytest.approx(1, abs=1e-4)


def test_a_learned_variance_is_left_to_the_bound():
    process, t = Process(linear(), learned=True), torch.tensor([3])
    x0, eps = torch.randn(1, 1, 2, 2), torch.randn(1, 1, 2, 2)
    assert simple_loss(process, torch.cat([eps, 9 * eps], 1), x0, t, eps).item() == 0
    with pytest.raises(ValueError, match="not \\(1, 2, 2, 2\\)"):
        simple_loss(Process(linear()), torch.cat([eps, eps], 1), x0, t, eps)


def test_clear_errors():
    for t in (1000, -2):
        with pytest.raises(ValueError, match=f"from -1 to 999, not {t}"):
            Process(linear()).at(t, torch.zeros(1))
    with pytest.raises(ValueError, match="predicts one of eps, x0, v, not 'noise'"):
        Process(linear(), "noise")
