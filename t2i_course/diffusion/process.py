"""Diffusion: pictures drown in noise, step by step, and a network learns to save them.

"Denoising Diffusion Probabilistic Models", Ho, Jain and Abbeel, NeurIPS 2020. The way down needs no network: each step
keeps sqrt(1 - beta_t) of the picture and adds noise of variance beta_t. As sums of Gaussians are Gaussian, any step can
be reached at once (equation 4):

    x_t = sqrt(alpha_bar_t) x_0 + sqrt(1 - alpha_bar_t) eps,    alpha_bar_t = prod_(s <= t) (1 - beta_s)

A network looks at x_t and t and predicts eps, or x_0, or v = sqrt(alpha_bar) eps - sqrt(1 - alpha_bar) x_0 (Salimans
and Ho 2022). Any of the three gives the others, because x_t is known.

The way back is asked for step by step, `denoise(x_t, t) -> prediction`, from much noise to little. Every sampler yields
(x, x0) after each step: the picture as far as it has come, and the network's guess of how it will end. What they differ
in is how far they trust the guess:

    DDPM          a step back, and fresh noise                            Ho, Jain and Abbeel 2020, algorithm 2
    DDIM          the same without noise: the path is an ODE              Song, Meng and Ermon 2020, equation 12
    PLMS          DDIM, whose noise is extrapolated from four steps       Liu et al. 2022 ("PNDM")
    DPM-Solver++  the ODE in the logarithm of signal to noise, 2nd order  Lu et al. 2022, algorithm 2
    Euler, Heun   the ODE of a picture that keeps its size                Karras et al. 2022, algorithm 1

Each goes on from the very tensor that it yielded, so what is written into it counts (LatentDiffusion.inpaint does so).
Guidance is inside `denoise` (guidance.py). B pictures (B, C, H, W); T timesteps: t = 0 is little noise, -1 none.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from numbers import Integral

import torch
from torch import Tensor

PREDICTIONS = ("eps", "x0", "v")
Denoise = Callable[[Tensor, int], Tensor]


# --- noise schedules: alpha_bar (T,), in float64 ----------------------------------------------------------------------


def linear(steps: int = 1000, start: float = 1e-4, end: float = 0.02) -> Tensor:
    """The betas rise evenly: DDPM, ADM."""
    return (1 - torch.linspace(start, end, steps, dtype=torch.float64)).cumprod(0)


def scaled_linear(steps: int = 1000, start: float = 0.00085, end: float = 0.012) -> Tensor:
    """The roots of the betas rise evenly: latent diffusion, whose code calls it "linear", and Stable Diffusion."""
    return (1 - torch.linspace(start**0.5, end**0.5, steps, dtype=torch.float64).square()).cumprod(0)


def cosine(steps: int = 1000, offset: float = 0.008, shift: float = 1.0) -> Tensor:
    """The root of alpha_bar is a cosine: the middle of the way is not yet all noise (Nichol and Dhariwal 2021).

    shift: how many times as much noise there is beside as much picture ("simple diffusion", Hoogeboom et al. 2023). The
    more pixels say the same, the more noise it takes to hide what they say.
    """
    angle = (torch.linspace(0, 1, steps + 1, dtype=torch.float64) + offset) / (1 + offset) * math.pi / 2
    angle = torch.atan2(shift * angle.sin(), angle.cos())
    kept = angle.cos().square()
    return (1 - (1 - kept[1:] / kept[:-1]).clamp(max=0.999)).cumprod(0)


# --- the process ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Process:
    """A noise schedule, and what the network predicts. `learned`: and how much noise each step of DDPM adds, too."""

    alpha_bar: Tensor  # (T,)
    predicts: str = "eps"
    learned: bool = False  # the network has as many channels again, from -1 (small variance) to 1 (large)
    detail: float = 0.0  # for x0: standard deviation of the fine detail that is left to x_t, see `passed`

    def __post_init__(self):
        if self.predicts not in PREDICTIONS:
            raise ValueError(f"A network predicts one of {', '.join(PREDICTIONS)}, not {self.predicts!r}.")
        if self.detail and self.predicts != "x0":
            raise ValueError(
                f"Only a network that predicts x0 leaves detail to x_t, not one that predicts {self.predicts}."
            )

    def alpha_bar_at(self, t: Tensor | int, like: Tensor) -> Tensor:
        """alpha_bar of timesteps (B,), or of one, in the shape of factors of `like`; 1 at t = -1, before any noise.

        In float64 on the CPU: not every device has it.
        """
        t = torch.as_tensor(t).cpu()
        if t.min() < -1 or t.max() >= len(self.alpha_bar):
            raise ValueError(f"Timesteps are from -1 to {len(self.alpha_bar) - 1}, not {t.tolist()}.")
        alpha_bar = torch.cat([self.alpha_bar, self.alpha_bar.new_ones(1)])  # so the last one is that of t = -1
        return alpha_bar[t].view(-1, *[1] * (like.ndim - 1))

    def at(self, t: Tensor | int, like: Tensor) -> tuple[Tensor, Tensor]:
        """sqrt(alpha_bar_t) and sqrt(1 - alpha_bar_t) of timesteps (B,), or of one, to be multiplied with `like`."""
        alpha_bar = self.alpha_bar_at(t, like)
        return tuple(factor.to(like.dtype).to(like.device) for factor in (alpha_bar.sqrt(), (1 - alpha_bar).sqrt()))

    def posterior(self, t: Tensor | int, s: Tensor | int, like: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The way back from t to an earlier s, q(x_s | x_t, x_0), as four factors (equation 7).

        What x_0 and x_t are multiplied with in its mean; its variance (the small one); and that of the way from s to t
        (the large one). DDPM chooses between the two.
        """
        bar_t, bar_s = self.alpha_bar_at(t, like), self.alpha_bar_at(s, like)
        beta = 1 - bar_t / bar_s
        of_x0 = bar_s.sqrt() * beta / (1 - bar_t)
        of_x_t = (bar_t / bar_s).sqrt() * (1 - bar_s) / (1 - bar_t)
        factors = (of_x0, of_x_t, beta * (1 - bar_s) / (1 - bar_t), beta)
        return tuple(factor.to(like.dtype).to(like.device) for factor in factors)

    def add_noise(self, x0: Tensor, t: Tensor | int, eps: Tensor) -> Tensor:
        """x_t of pictures x0 (B, C, H, W) at timesteps (B,), or at one (equation 4)."""
        signal, sigma = self.at(t, x0)
        return signal * x0 + sigma * eps

    def target(self, x0: Tensor, t: Tensor | int, eps: Tensor) -> Tensor:
        """What the network should say about x_t."""
        if self.predicts == "eps":
            return eps
        if self.predicts == "x0":
            return x0 - self.passed(self.add_noise(x0, t, eps), t) if self.detail else x0
        signal, sigma = self.at(t, x0)
        return signal * eps - sigma * x0

    def passed(self, x_t: Tensor, t: Tensor | int) -> Tensor:
        """What of x_t passes by a network that predicts x0: nearly all where there is little noise, nothing where much.

        A network of few channels draws well, but copies badly: of fine detail its answer would be worse than x_t is.
        c_skip of Karras et al. 2022, table 1, with `detail` for sigma_data.
        """
        signal, sigma = self.at(t, x_t)
        return signal * self.detail**2 / ((signal * self.detail) ** 2 + sigma**2) * x_t

    def split(self, prediction: Tensor, x_t: Tensor, t: Tensor | int) -> tuple[Tensor, Tensor]:
        """A prediction (B, C, H, W) about x_t -> the picture x0 and the noise eps that it stands for."""
        signal, sigma = self.at(t, x_t)
        if self.predicts == "eps":
            return (x_t - sigma * prediction) / signal, prediction
        if self.predicts == "x0":
            x0 = prediction + self.passed(x_t, t) if self.detail else prediction
            return x0, (x_t - signal * x0) / sigma
        return signal * x_t - sigma * prediction, sigma * x_t + signal * prediction


def learned_log_variance(v: Tensor, small: Tensor, large: Tensor) -> Tensor:
    """Between the logarithms of two variances: v is -1 for the small one, 1 for the large one.

    "Improved Denoising Diffusion Probabilistic Models", Nichol and Dhariwal 2021, equation 15.
    """
    wide = torch.promote_types(v.dtype, torch.float32)  # half precision has no number as small as these variances
    part = (v.to(wide) + 1) / 2
    return part * large.to(wide).log() + (1 - part) * small.to(wide).clamp(min=1e-20).log()


# --- samplers ---------------------------------------------------------------------------------------------------------


def evenly(process: Process, steps: int, offset: int = 0) -> list[int]:
    """Timesteps at even distances, from many to few, as DDIM and PLMS take them; offset 1 in Stable Diffusion."""
    t = len(process.alpha_bar)
    _check(steps, t)
    return [min(i * t // steps + offset, t - 1) for i in reversed(range(steps))]


def from_end_to_end(process: Process, steps: int) -> list[int]:
    """Timesteps from the last to the first, rounded: ADM's respacing, and what solvers of higher order want."""
    t = len(process.alpha_bar)
    _check(steps, t)
    return torch.linspace(t - 1, 0, steps, dtype=torch.float64).round().int().tolist() if steps > 1 else [t - 1]


def _check(steps: int, t: int) -> None:
    if not isinstance(steps, Integral) or not 1 <= steps <= t:
        raise ValueError(f"steps={steps!r}: this process has from 1 to {t} of them.")


def way_back(ts: Sequence[int], end: int = -1) -> Iterator[tuple[int, int]]:
    """Each timestep with the one after it, and at last `end`. Raises ValueError where they rise, so that noise grew."""
    if any(t < s for t, s in pairwise([*ts, end])):
        raise ValueError(f"Timesteps go from much noise to little, down to {end}; these do not: {list(ts)}.")
    return pairwise([*ts, end])


def guess(
    process: Process, denoise: Denoise, x: Tensor, t: int, clip: float | None = None
) -> tuple[Tensor, Tensor, Tensor | None]:
    """The picture x0, limited to [-clip, clip], the noise that goes with it, and what was said about the variance."""
    prediction, said = denoise(x, t), None
    if process.learned:
        prediction, said = prediction.chunk(2, 1)
    x0, eps = process.split(prediction, x, t)
    if clip is not None:
        x0 = x0.clamp(-clip, clip)
        signal, sigma = process.at(t, x)
        eps = (x - signal * x0) / sigma
    return x0, eps, said


def ddpm(
    process: Process,
    denoise: Denoise,
    x: Tensor,
    ts: Sequence[int],
    draw: Callable[..., Tensor],
    large: bool = False,
    clip: float | None = 1.0,
    push: Callable[[Tensor, int], Tensor] | None = None,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Ancestral sampling. draw(C, H, W) gives fresh noise (B, C, H, W); `large` chooses the larger fixed variance.

    push(x_t, t): what is added to the mean of each step but the last, times its variance ("Diffusion Models Beat GANs
    on Image Synthesis", Dhariwal and Nichol 2021, algorithm 1).
    """
    for t, s in way_back(ts):
        x0, _, said = guess(process, denoise, x, t, clip)
        of_x0, of_x_t, small, big = process.posterior(t, s, x)
        mean = of_x0 * x0 + of_x_t * x
        if s >= 0:
            fixed = (big if large else small).sqrt()
            fresh = (0.5 * learned_log_variance(said, small, big)).exp() if process.learned else fixed
            mean = mean + (fresh.square() * push(x, t) if push else 0) + fresh * draw(*x.shape[1:]).to(x)
        x = mean
        yield x, x0


def ddim(
    process: Process,
    denoise: Denoise,
    x: Tensor,
    ts: Sequence[int],
    draw: Callable[..., Tensor] | None = None,
    eta: float = 0.0,
    clip: float | None = None,
    end: int = -1,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Without noise for eta = 0; with as much as DDPM for eta = 1, and then `draw` is needed.

    end: the timestep after the last one; Stable Diffusion stops at 0, where a little noise is left.
    """
    for t, s in way_back(ts, end):
        x0, eps, _ = guess(process, denoise, x, t, clip)
        signal, sigma = process.at(s, x)
        fresh = eta * process.posterior(t, s, x)[2].sqrt()
        x = signal * x0 + (sigma.square() - fresh.square()).sqrt() * eps
        if eta and s >= 0:
            x = x + fresh * draw(*x.shape[1:]).to(x)
        yield x, x0


def plms(
    process: Process, denoise: Denoise, x: Tensor, ts: Sequence[int], end: int = -1
) -> Iterator[tuple[Tensor, Tensor]]:
    """DDIM with the noise of up to four steps (Adams and Bashforth); the first one is improved by a look ahead."""

    def step(x, t, s, eps):
        signal_t, sigma_t = process.at(t, x)
        signal, sigma = process.at(s, x)
        x0 = (x - sigma_t * eps) / signal_t
        return signal * x0 + sigma * eps, x0

    seen = []  # the noise of the steps before, the latest first
    for t, s in way_back(ts, end):
        eps = guess(process, denoise, x, t)[1]
        if s < 0:
            better = eps  # there is no further step to aim at: the guess is the picture
        elif not seen:
            better = (eps + guess(process, denoise, step(x, t, s, eps)[0], s)[1]) / 2
        else:
            known = [eps, *seen]
            weights = [(3, -1), (23, -16, 5), (55, -59, 37, -9)][min(len(known), 4) - 2]
            better = sum(w * e for w, e in zip(weights, known, strict=False)) / sum(weights)
        seen = [eps, *seen][:3]
        x, x0 = step(x, t, s, better)
        yield x, x0


def dpm_solver(process: Process, denoise: Denoise, x: Tensor, ts: Sequence[int]) -> Iterator[tuple[Tensor, Tensor]]:
    """DPM-Solver++(2M). Time is lambda = log(signal / sigma); x0 is extrapolated from two steps."""
    before, h_before = None, None
    for t, s in way_back(ts):
        x0 = guess(process, denoise, x, t)[0]
        if s < 0:
            yield x0, x0
            return
        (signal_t, sigma_t), (signal, sigma) = process.at(t, x), process.at(s, x)
        h = (signal / sigma).log() - (signal_t / sigma_t).log()
        better = x0 if before is None else x0 + (h / h_before) * (x0 - before) / 2
        x = sigma / sigma_t * x - signal * torch.expm1(-h) * better
        before, h_before = x0, h
        yield x, x0


def euler(process: Process, denoise: Denoise, x: Tensor, ts: Sequence[int]) -> Iterator[tuple[Tensor, Tensor]]:
    """The straight line along the noise: DDIM, written for y = x / signal and its noise level sigma / signal."""
    for t, s in way_back(ts):
        x0, eps, _ = guess(process, denoise, x, t)
        x = _straight_on(process, x, t, s, eps)
        yield x, x0


def heun(process: Process, denoise: Denoise, x: Tensor, ts: Sequence[int]) -> Iterator[tuple[Tensor, Tensor]]:
    """Euler's step is tried, and taken with the mean of the noise here and there: two questions for a step."""
    for t, s in way_back(ts):
        x0, eps, _ = guess(process, denoise, x, t)
        if s >= 0:
            there = guess(process, denoise, _straight_on(process, x, t, s, eps), s)[1]
            eps = (eps + there) / 2
        x = _straight_on(process, x, t, s, eps)
        yield x, x0


def _straight_on(process: Process, x: Tensor, t: int, s: int, eps: Tensor) -> Tensor:
    """x_s if the noise stays as it is: y + (level_s - level_t) eps, for y = x / signal and level = sigma / signal."""
    (signal_t, sigma_t), (signal, sigma) = process.at(t, x), process.at(s, x)
    return signal * (x / signal_t + (sigma / signal - sigma_t / signal_t) * eps)
