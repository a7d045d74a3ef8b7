"""From noise to pictures: the samplers of diffusion models, each in a few lines.

All of them ask the same question over and over, `denoise(x_t, t) -> prediction`, from much noise to little, and yield
(x, x0) after each: the picture as far as it has come, and the network's guess of how it will end. What they differ in
is how far they trust the guess. Guidance is inside `denoise` (guidance.py); what is predicted, `Process` knows.

    DDPM          a step back, and fresh noise                          Ho, Jain and Abbeel 2020, algorithm 2
    DDIM          the same without noise: the path is an ODE            Song, Meng and Ermon 2020, equation 12
    PLMS          DDIM, whose noise is extrapolated from four steps     Liu et al. 2022 ("PNDM")
    DPM-Solver++  the ODE in the logarithm of signal to noise, 2nd order  Lu et al. 2022, algorithm 2
    Euler, Heun   the ODE with a picture that keeps its size            Karras et al. 2022, algorithm 1

t are timesteps as integers, from many to few; -1 stands for "no noise". B pictures (B, C, H, W).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

import torch
from torch import Tensor

from .process import Process, learned_log_variance

Denoise = Callable[[Tensor, int], Tensor]


def evenly(process: Process, steps: int, offset: int = 0) -> list[int]:
    """Timesteps at whole distances, from many to few, as DDIM and PLMS take them; offset 1 in Stable Diffusion."""
    t = len(process.alpha_bar)
    _check(steps, t)
    return [i * (t // steps) + offset for i in reversed(range(steps))]


def from_end_to_end(process: Process, steps: int) -> list[int]:
    """Timesteps from the last to the first, rounded: ADM's respacing, and what solvers of higher order want."""
    t = len(process.alpha_bar)
    _check(steps, t)
    return torch.linspace(t - 1, 0, steps, dtype=torch.float64).round().int().tolist() if steps > 1 else [t - 1]


def _check(steps: int, t: int) -> None:
    if not 1 <= steps <= t:
        raise ValueError(f"steps={steps}: this process has from 1 to {t} of them.")


def guess(
    process: Process, denoise: Denoise, x: Tensor, t: int, clip: float | None = None
) -> tuple[Tensor, Tensor, Tensor | None]:
    """The picture x0, limited to [-clip, clip], the noise that goes with it, and what was said about the variance."""
    prediction, v = denoise(x, t), None
    if process.learned:
        prediction, v = prediction.chunk(2, 1)
    x0, eps = process.split(prediction, x, t)
    if clip is not None:
        x0 = x0.clamp(-clip, clip)
        signal, sigma = process.at(t, x)
        eps = (x - signal * x0) / sigma
    return x0, eps, v


def ddpm(
    process: Process,
    denoise: Denoise,
    x: Tensor,
    ts: Sequence[int],
    draw: Callable[..., Tensor],
    large: bool = False,
    clip: float | None = 1.0,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Ancestral sampling. draw(C, H, W) gives fresh noise (B, C, H, W); `large` chooses the larger fixed variance."""
    for t, s in pairwise([*ts, -1]):
        x0, _, v = guess(process, denoise, x, t, clip)
        of_x0, of_x_t, small, big = process.back(t, s, x)
        x = of_x0 * x0 + of_x_t * x
        if s >= 0:
            sigma = (
                (0.5 * learned_log_variance(v, small, big)).exp()
                if process.learned
                else (big if large else small).sqrt()
            )
            x = x + sigma * draw(*x.shape[1:]).to(x)
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
    for t, s in pairwise([*ts, end]):
        x0, eps, _ = guess(process, denoise, x, t, clip)
        signal, sigma = process.at(s, x)
        fresh = eta * process.back(t, s, x)[2].sqrt()
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
    for t, s in pairwise([*ts, end]):
        eps = guess(process, denoise, x, t)[1]
        if not seen:
            there = guess(process, denoise, step(x, t, s, eps)[0], s)[1] if s >= 0 else eps
            better = (eps + there) / 2
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
    for t, s in pairwise([*ts, -1]):
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
    for t, s in pairwise([*ts, -1]):
        x0, eps, _ = guess(process, denoise, x, t)
        signal_t, level_t = _level(process, t, x)
        signal, level = _level(process, s, x)
        x = signal * (x / signal_t + (level - level_t) * eps)
        yield x, x0


def heun(process: Process, denoise: Denoise, x: Tensor, ts: Sequence[int]) -> Iterator[tuple[Tensor, Tensor]]:
    """Euler's step is tried, and taken with the mean of the noise here and there: two questions for a step."""
    for t, s in pairwise([*ts, -1]):
        x0, eps, _ = guess(process, denoise, x, t)
        signal_t, level_t = _level(process, t, x)
        signal, level = _level(process, s, x)
        if s >= 0:
            there = guess(process, denoise, signal * (x / signal_t + (level - level_t) * eps), s)[1]
            eps = (eps + there) / 2
        x = signal * (x / signal_t + (level - level_t) * eps)
        yield x, x0


def _level(process: Process, t: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """sqrt(alpha_bar_t), and the noise level of a picture that was divided by it."""
    signal, sigma = process.at(t, like)
    return signal, sigma / signal
