"""Samplers against the schedulers of diffusers, with a toy in place of the network."""

from inspect import signature

import pytest
import torch
from torch import nn

from t2i_course.diffusion import process as samplers
from t2i_course.diffusion.process import Process, cosine, evenly, from_end_to_end, linear, scaled_linear

diffusers = pytest.importorskip("diffusers")
SCALED = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}


class Toy(nn.Module):
    """Predictions that depend on the picture and on t, with twice the channels if asked."""

    def __init__(self, learned=False):
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(2, 4 if learned else 2, 3, padding=1).requires_grad_(False)

    def forward(self, x, t):
        return torch.tanh(self.conv(x)) * (1.2 + torch.sin(torch.as_tensor(t) / 150))


def start():
    return torch.randn(2, 2, 8, 8, generator=torch.Generator().manual_seed(1))


def theirs(scheduler, toy, steps, **options):
    """What a scheduler of diffusers makes of the same noise."""
    scheduler.set_timesteps(steps)
    x, generator = start() * getattr(scheduler, "init_noise_sigma", 1.0), torch.Generator().manual_seed(2)
    if "generator" in signature(scheduler.step).parameters:
        options["generator"] = generator
    for t in scheduler.timesteps:
        seen = scheduler.scale_model_input(x, t)
        x = scheduler.step(toy(seen, t), t, x, **options).prev_sample
    return x


def ours(steps):
    *_, (x, _) = steps
    return x


def close(found, expected):
    """Within 1e-4 of the output's scale, which is 0.8 to 340, and nearer where it is small. Measured: a fifth of it."""
    torch.testing.assert_close(found, expected, atol=4e-5, rtol=4e-5)


def drawn():
    """Fresh noise in the order in which diffusers draws it."""
    generator = torch.Generator().manual_seed(2)
    return lambda *shape: torch.randn(2, *shape, generator=generator)


@pytest.mark.parametrize("predicts", ["eps", "v", "x0"])
@pytest.mark.parametrize("large", [False, True])
def test_ddpm(predicts, large):
    kind = {"eps": "epsilon", "v": "v_prediction", "x0": "sample"}[predicts]
    variance = "fixed_large" if large else "fixed_small"
    scheduler = diffusers.DDPMScheduler(prediction_type=kind, variance_type=variance)
    process = Process(linear(), predicts)
    found = ours(samplers.ddpm(process, Toy(), start(), evenly(process, 50), drawn(), large=large))
    close(found, theirs(scheduler, Toy(), 50))


def test_ddpm_with_a_learned_variance():
    scheduler = diffusers.DDPMScheduler(beta_schedule="squaredcos_cap_v2", variance_type="learned_range")
    process, toy = Process(cosine(), learned=True), Toy(learned=True)
    found = ours(samplers.ddpm(process, toy, start(), evenly(process, 50), drawn()))
    close(found, theirs(scheduler, toy, 50))


@pytest.mark.parametrize("eta", [0.0, 0.7])
@pytest.mark.parametrize("clip", [None, 1.0])
def test_ddim(eta, clip):
    scheduler = diffusers.DDIMScheduler(clip_sample=clip is not None, set_alpha_to_one=True)
    process = Process(linear())
    found = ours(samplers.ddim(process, Toy(), start(), evenly(process, 20), drawn(), eta=eta, clip=clip))
    expected = theirs(scheduler, Toy(), 20, eta=eta, use_clipped_model_output=True)
    close(found, expected)


@pytest.mark.parametrize("predicts", ["eps", "v"])
def test_ddim_as_in_stable_diffusion(predicts):
    kind = {"eps": "epsilon", "v": "v_prediction"}[predicts]
    scheduler = diffusers.DDIMScheduler(
        **SCALED, clip_sample=False, set_alpha_to_one=False, steps_offset=1, prediction_type=kind
    )
    process = Process(scaled_linear(), predicts)
    found = ours(samplers.ddim(process, Toy(), start(), evenly(process, 50, offset=1), end=0))
    close(found, theirs(scheduler, Toy(), 50))


def test_plms_as_in_stable_diffusion():
    scheduler = diffusers.PNDMScheduler(**SCALED, skip_prk_steps=True, set_alpha_to_one=False, steps_offset=1)
    process = Process(scaled_linear())
    found = ours(samplers.plms(process, Toy(), start(), evenly(process, 50, offset=1), end=0))
    close(found, theirs(scheduler, Toy(), 50))


@pytest.mark.parametrize("steps", [8, 20])
@pytest.mark.parametrize("predicts", ["eps", "v"])
def test_dpm_solver(steps, predicts):
    kind = {"eps": "epsilon", "v": "v_prediction"}[predicts]
    scheduler = diffusers.DPMSolverMultistepScheduler(
        **SCALED, prediction_type=kind, timestep_spacing="linspace", final_sigmas_type="zero"
    )
    scheduler.set_timesteps(steps)
    process = Process(scaled_linear(), predicts)
    found = ours(samplers.dpm_solver(process, Toy(), start(), scheduler.timesteps.tolist()))
    close(found, theirs(scheduler, Toy(), steps))


@pytest.mark.parametrize(("name", "sampler"), [("Euler", samplers.euler), ("Heun", samplers.heun)])
def test_euler_and_heun(name, sampler):
    """diffusers keeps y = x / signal between the steps, and starts from pure noise of that size."""
    scheduler = getattr(diffusers, f"{name}DiscreteScheduler")(**SCALED, timestep_spacing="leading")
    process = Process(scaled_linear())
    ts = evenly(process, 20)
    scheduler.set_timesteps(20)
    assert sorted(set(scheduler.timesteps.tolist()), reverse=True) == ts
    x = start() * scheduler.init_noise_sigma * process.at(ts[0], start())[0]
    close(ours(sampler(process, Toy(), x, ts)), theirs(scheduler, Toy(), 20))


def test_ends_of_the_respacing_of_adm():
    assert from_end_to_end(Process(linear()), 250)[::-1][:5] == [0, 4, 8, 12, 16]
    assert from_end_to_end(Process(linear()), 250)[:3] == [999, 995, 991]
