"""Diffusion: pictures drown in noise, step by step, and a network learns to save them.

"Denoising Diffusion Probabilistic Models", Ho, Jain and Abbeel, NeurIPS 2020. The way down needs no network: each step
keeps sqrt(1 - beta_t) of the picture and adds noise of variance beta_t. As sums of Gaussians are Gaussian, any step can
be reached at once (equation 4):

    x_t = sqrt(alpha_bar_t) x_0 + sqrt(1 - alpha_bar_t) eps,    alpha_bar_t = prod_(s <= t) (1 - beta_s)

A network looks at x_t and t and predicts eps, or x_0, or v = sqrt(alpha_bar) eps - sqrt(1 - alpha_bar) x_0 (Salimans
and Ho 2022). Any of the three gives the others, because x_t is known. B pictures, T timesteps; t = 0 is little noise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

PREDICTIONS = ("eps", "x0", "v")


# --- noise schedules: alpha_bar (T,), in float64 ----------------------------------------------------------------------


def linear(steps: int = 1000, start: float = 1e-4, end: float = 0.02) -> Tensor:
    """The betas rise evenly: DDPM, ADM."""
    return (1 - torch.linspace(start, end, steps, dtype=torch.float64)).cumprod(0)


def scaled_linear(steps: int = 1000, start: float = 0.00085, end: float = 0.012) -> Tensor:
    """The roots of the betas rise evenly: latent diffusion, whose code calls it "linear", and Stable Diffusion."""
    return (1 - torch.linspace(start**0.5, end**0.5, steps, dtype=torch.float64).square()).cumprod(0)


def cosine(steps: int = 1000, offset: float = 0.008) -> Tensor:
    """alpha_bar follows a cosine, so that the middle of the way is not yet all noise (Nichol and Dhariwal 2021)."""
    angle = (torch.linspace(0, 1, steps + 1, dtype=torch.float64) + offset) / (1 + offset) * math.pi / 2
    kept = angle.cos().square()
    return (1 - (1 - kept[1:] / kept[:-1]).clamp(max=0.999)).cumprod(0)


# --- the process ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Process:
    """A noise schedule, and what the network predicts. `learned`: and how much noise each step of DDPM adds, too."""

    alpha_bar: Tensor  # (T,)
    predicts: str = "eps"
    learned: bool = False  # the network has as many channels again, from -1 (small variance) to 1 (large)

    def __post_init__(self):
        if self.predicts not in PREDICTIONS:
            raise ValueError(f"A network predicts one of {', '.join(PREDICTIONS)}, not {self.predicts!r}.")

    def kept(self, t: Tensor | int, like: Tensor) -> Tensor:
        """alpha_bar of timesteps (B,), or of one, to be multiplied with `like`; it is 1 at t = -1, before any noise."""
        alpha_bar = torch.cat([self.alpha_bar, self.alpha_bar.new_ones(1)])  # so the last one is that of t = -1
        chosen = alpha_bar[t.cpu() if isinstance(t, Tensor) else t]
        return chosen.view(-1, *[1] * (like.ndim - 1)).to(like.device)

    def at(self, t: Tensor | int, like: Tensor) -> tuple[Tensor, Tensor]:
        """sqrt(alpha_bar_t) and sqrt(1 - alpha_bar_t) of timesteps (B,), or of one, to be multiplied with `like`."""
        kept = self.kept(t, like)
        return kept.sqrt().to(like.dtype), (1 - kept).sqrt().to(like.dtype)

    def back(self, t: Tensor | int, s: Tensor | int, like: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The way back from t to an earlier s, q(x_s | x_t, x_0), as four factors (equation 7).

        What x_0 and x_t are multiplied with in its mean; its variance (the small one); and that of the way from s to t
        (the large one). DDPM chooses between the two.
        """
        kept_t, kept_s = self.kept(t, like), self.kept(s, like)
        beta = 1 - kept_t / kept_s
        of_x0 = kept_s.sqrt() * beta / (1 - kept_t)
        of_x_t = (kept_t / kept_s).sqrt() * (1 - kept_s) / (1 - kept_t)
        return tuple(f.to(like.dtype) for f in (of_x0, of_x_t, beta * (1 - kept_s) / (1 - kept_t), beta))

    def noisy(self, x0: Tensor, t: Tensor | int, eps: Tensor) -> Tensor:
        """x_t of pictures x0 (B, C, H, W) at timesteps (B,), or at one (equation 4)."""
        signal, sigma = self.at(t, x0)
        return signal * x0 + sigma * eps

    def target(self, x0: Tensor, t: Tensor | int, eps: Tensor) -> Tensor:
        """What the network should say about x_t."""
        if self.predicts == "eps":
            return eps
        if self.predicts == "x0":
            return x0
        signal, sigma = self.at(t, x0)
        return signal * eps - sigma * x0

    def split(self, prediction: Tensor, x_t: Tensor, t: Tensor | int) -> tuple[Tensor, Tensor]:
        """A prediction (B, C, H, W) about x_t -> the picture x0 and the noise eps that it stands for."""
        signal, sigma = self.at(t, x_t)
        if self.predicts == "eps":
            return (x_t - sigma * prediction) / signal, prediction
        if self.predicts == "x0":
            return prediction, (x_t - signal * prediction) / sigma
        return signal * x_t - sigma * prediction, sigma * x_t + signal * prediction


# --- losses -----------------------------------------------------------------------------------------------------------


def simple_loss(process: Process, prediction: Tensor, x0: Tensor, t: Tensor, eps: Tensor) -> Tensor:
    """L_simple of each picture (B,): the squared error of what was predicted (equation 14)."""
    return (prediction - process.target(x0, t, eps)).square().flatten(1).mean(1)


def min_snr_weight(process: Process, t: Tensor, gamma: float = 5.0) -> Tensor:
    """Weights (B,) of the losses of timesteps, so that no part of the way pulls much harder than the others.

    "Efficient Diffusion Training via Min-SNR Weighting Strategy", Hang et al. 2023: min(SNR, gamma) for x0, which is
    divided by SNR for eps, and by SNR + 1 for v.
    """
    kept = process.alpha_bar[t.cpu()]
    snr = kept / (1 - kept)
    by = {"x0": torch.ones_like(snr), "eps": snr, "v": snr + 1}[process.predicts]
    return (snr.clamp(max=gamma) / by).float().to(t.device)


def variational_bound(process: Process, prediction: Tensor, x0: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
    """L_vlb of each picture (B,), in bits per number: teaches a `learned` variance (Nichol and Dhariwal 2021).

    prediction (B, 2C, H, W). What it says about the picture is detached: that is left to `simple_loss`. For t > 0 the
    divergence of the true step back from the predicted one; for t = 0 how likely the 8-bit picture x0 is.
    """
    said, v = prediction.chunk(2, 1)
    of_x0, of_x_t, _, large = process.back(t, t - 1, x0)
    difference = of_x0 * (x0 - process.split(said.detach(), x_t, t)[0])  # of the means: both have the same x_t
    first = t.clamp(min=1)
    small = process.back(first, first - 1, x0)[2]  # at t = 0 it would be nothing; the one of t = 1 stands in
    log_variance = learned_log_variance(v, small, large)
    kl = 0.5 * (log_variance - small.log() + (small + difference.square()) / log_variance.exp() - 1)
    likelihood = pixel_log_likelihood(difference, (0.5 * log_variance).exp(), x0)
    first = (t == 0).view(-1, *[1] * (x0.ndim - 1))
    return torch.where(first, -likelihood, kl).flatten(1).mean(1) / math.log(2)


def learned_log_variance(v: Tensor, small: Tensor, large: Tensor) -> Tensor:
    """Between the logarithms of two variances: v is -1 for the small one, 1 for the large one (equation 15)."""
    part = (v + 1) / 2
    return part * large.log() + (1 - part) * small.clamp(min=1e-20).log()


def pixel_log_likelihood(difference: Tensor, sigma: Tensor, x0: Tensor) -> Tensor:
    """log of the probability that a Gaussian, so far from x0, falls where it is rounded to the 8-bit picture x0."""
    half = 1 / 255  # of a step between two values in [-1, 1]
    below = torch.special.ndtr((difference + half) / sigma).masked_fill(x0 > 1 - half, 1.0)
    above = torch.special.ndtr((difference - half) / sigma).masked_fill(x0 < half - 1, 0.0)
    return (below - above).clamp(min=1e-12).log()
