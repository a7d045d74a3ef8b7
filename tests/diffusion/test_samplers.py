"""Samplers where the right answer is known: Gaussian data, whose best denoiser is a formula."""

import pytest
import torch

from t2i_course.diffusion import process as samplers
from t2i_course.diffusion.guidance import by_gradient, classified, classifier_free, fitting, uphill
from t2i_course.diffusion.process import Process, evenly, from_end_to_end, linear, scaled_linear
from t2i_course.nn.noise import noise, noise_stream

MEAN, STD = 0.5, 0.2
PROCESS = Process(scaled_linear())


def best(x, t):
    """E[eps | x_t] if every pixel of the data is from N(MEAN, STD^2)."""
    signal, sigma = PROCESS.at(t, x)
    variance = signal.square() * STD**2 + sigma.square()
    return sigma * (x - signal * MEAN) / variance


def last(steps):
    *_, (x, _) = steps
    return x


X = noise(0, 50, 1, 16, 16)
ODE = {
    "ddim": lambda ts: samplers.ddim(PROCESS, best, X, ts),
    "plms": lambda ts: samplers.plms(PROCESS, best, X, ts),
    "dpm_solver": lambda ts: samplers.dpm_solver(PROCESS, best, X, ts),
    "euler": lambda ts: samplers.euler(PROCESS, best, X, ts),
    "heun": lambda ts: samplers.heun(PROCESS, best, X, ts),
}


@pytest.mark.parametrize("name", ODE)
def test_all_samplers_arrive_at_the_data(name):
    x = last(ODE[name](from_end_to_end(PROCESS, 100)))
    assert x.mean().item() == pytest.approx(MEAN, abs=0.02)
    assert x.std().item() == pytest.approx(STD, abs=0.02)


@pytest.mark.parametrize("large", [False, True])
def test_ddpm_arrives_at_the_data(large):
    x = last(samplers.ddpm(PROCESS, best, X, evenly(PROCESS, 250), noise_stream(1, 50), large, clip=None))
    assert x.mean().item() == pytest.approx(MEAN, abs=0.02)
    assert x.std().item() == pytest.approx(STD, abs=0.03)


@pytest.mark.parametrize("name", [*ODE])
def test_the_last_step_ends_at_the_guess(name):
    """From t = 130 as from any: a step that goes all the way has no next one whose noise could be foreseen."""
    *_, (before, _), (x, _) = ODE[name]([970, 690, 410, 130])
    torch.testing.assert_close(x, samplers.guess(PROCESS, best, before, 130)[0])


def test_solvers_of_higher_order_need_fewer_steps():
    """The exact end of the path of each picture is known: it is as far from the mean as it was at the start."""
    signal, sigma = PROCESS.at(999, X)
    start = (X - signal * MEAN) / (signal.square() * STD**2 + sigma.square()).sqrt()
    exact = MEAN + STD * start
    error = {name: (last(run(from_end_to_end(PROCESS, 12))) - exact).abs().mean().item() for name, run in ODE.items()}
    assert error["dpm_solver"] < error["ddim"]
    assert error["heun"] < error["euler"]
    torch.testing.assert_close(last(ODE["euler"](evenly(PROCESS, 20))), last(ODE["ddim"](evenly(PROCESS, 20))))


def test_each_picture_has_its_own_noise_whatever_the_batch():
    def draw(batch):
        x = noise(3, batch, 1, 4, 4)
        return last(samplers.ddpm(PROCESS, best, x, evenly(PROCESS, 10), noise_stream(4, batch)))

    torch.testing.assert_close(draw(3)[:2], draw(2))


def test_timesteps():
    assert evenly(PROCESS, 4) == [750, 500, 250, 0]
    assert evenly(PROCESS, 50, offset=1)[:2] == [981, 961]
    assert evenly(PROCESS, 501)[0] == 998  # nearly all noise, also where the distances are no whole numbers
    assert evenly(PROCESS, 1000, offset=1)[:2] == [999, 999]  # never beyond the schedule
    assert from_end_to_end(PROCESS, 3) == [999, 500, 0]
    assert from_end_to_end(PROCESS, 1) == [999]
    for wrong in (0, 1001):
        with pytest.raises(ValueError, match=f"steps={wrong}: this process has from 1 to 1000"):
            evenly(PROCESS, wrong)


def test_classifier_free_guidance():
    """One call with both captions; 1 is the caption's own prediction, 0 the empty one's."""
    calls = []

    def model(x, t, context):
        calls.append(len(x))
        return context.mean((1, 2))[:, None, None, None] * torch.ones(len(x), 2, 4, 4) + 0 * t[:, None, None, None]

    cond, null, x = torch.full((3, 5, 2), 2.0), torch.full((3, 5, 2), 1.0), torch.zeros(3, 2, 4, 4)
    for scale, expected in ((0, 1.0), (1, 2.0), (3, 4.0)):
        assert torch.equal(classifier_free(model, cond, null, scale)(x, 7), torch.full((3, 2, 4, 4), expected))
    assert calls == [6, 3, 6]


@pytest.mark.parametrize(
    "process", [*(Process(linear(), p) for p in samplers.PREDICTIONS), Process(linear(), "x0", detail=0.3)]
)
def test_guidance_by_a_classifier_moves_the_samples_as_bayes_says(process):
    """Data N(0, 1), and a "classifier" that likes large pixels, a x: what it likes is N(a, 1)."""

    def standard(x, t):  # x_t is N(0, 1) at every t
        signal, sigma = process.at(t, x)
        return process.target(signal * x, t, sigma * x)

    x = noise(0, 200, 1, 4, 4)
    tilted = by_gradient(standard, process, lambda x, t: (x * process.at(t, x)[0]).flatten(1).sum(1), 0.6)
    moved = last(samplers.ddim(process, tilted, x, from_end_to_end(process, 200)))
    plain = last(samplers.ddim(process, standard, x, from_end_to_end(process, 200)))
    assert (moved - plain).mean().item() == pytest.approx(0.6, abs=0.03)


def test_a_push_moves_the_samples_of_ddpm_as_bayes_says():
    process, x = Process(linear()), noise(0, 200, 1, 4, 4)

    def way(push):
        ts, draw = from_end_to_end(process, 250), noise_stream(1, 200)
        return last(samplers.ddpm(process, lambda x, t: process.at(t, x)[1] * x, x, ts, draw, clip=None, push=push))

    pushed = way(lambda x, t: torch.full_like(x, 0.6 * float(process.at(t, x)[0])))  # of a classifier a x
    assert (pushed - way(None)).mean().item() == pytest.approx(0.6, abs=0.03)


def test_the_guess_is_limited_before_the_push():
    process, x = Process(linear()), torch.zeros(1, 1, 2, 2)
    far = by_gradient(lambda x, t: torch.full_like(x, -1e3), process, lambda x, t: x.flatten(1).sum(1), 2.0, clip=1.0)
    signal, sigma = process.at(500, x)
    pushed = process.split(far(x, 500), x, 500)[0]
    torch.testing.assert_close(pushed, torch.ones_like(x) + 2.0 * sigma**2 / signal)


def test_the_likelihood_of_a_class():
    def classifier(x, t):
        return torch.stack([x.flatten(1).sum(1), 0 * t], 1)

    x = torch.tensor([[[[2.0]]], [[[-1.0]]]])
    found = classified(classifier, torch.tensor([0, 1]))(x, 5)
    torch.testing.assert_close(found, torch.sigmoid(torch.tensor([2.0, 1.0])).log())
    torch.testing.assert_close(classified(classifier, torch.tensor([0]))(x, 5), found + torch.tensor([0.0, -1.0]))
    with pytest.raises(ValueError, match="2 pictures have as many classes, or one for all, not 3"):
        classified(classifier, torch.tensor([0, 1, 0]))(x, 5)


def test_how_well_pictures_fit_their_captions():
    x, asked = torch.tensor([[[[2.0]]], [[[-1.0]]]]), []

    def similarity(captions):
        return lambda x, t: (asked.append(t.tolist()), captions[:, None] * x.flatten())[1]

    each = fitting(similarity(torch.tensor([3.0, 5.0])))
    assert each(x, 7).tolist() == [6.0, -5.0]
    assert fitting(similarity(torch.tensor([3.0])))(x, 7).tolist() == [6.0, -3.0]
    assert asked == [[7, 7], [7, 7]]
    assert uphill(each, x, 7).flatten().tolist() == [3.0, 5.0]  # each picture is pulled to its own caption
    with pytest.raises(ValueError, match="2 pictures have as many captions, or one for all, not 3"):
        fitting(similarity(torch.ones(3)))(x, 7)


@pytest.mark.parametrize("sampler", ["ddpm", "ddim", "plms", "dpm_solver", "euler", "heun"])
def test_timesteps_do_not_rise(sampler):
    options = {"draw": noise_stream(0, 1)} if sampler == "ddpm" else {}
    way = getattr(samplers, sampler)(Process(linear()), lambda x, t: x, noise(0, 1, 1, 2, 2), [10, 500], **options)
    with pytest.raises(ValueError, match="from much noise to little"):
        next(way)
