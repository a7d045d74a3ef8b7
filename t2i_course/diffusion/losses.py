"""What diffusion models are trained by: an error in what they predict, and for some the variational bound."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from .process import Process, learned_log_variance


def simple_loss(process: Process, prediction: Tensor, x0: Tensor, t: Tensor, eps: Tensor) -> Tensor:
    """L_simple of each picture (B,): the squared error of what was predicted (equation 14).

    A `learned` variance, the second half of the prediction's channels, is left to the bound: see `hybrid_loss`.
    """
    if process.learned:
        prediction = prediction.chunk(2, 1)[0]
    if prediction.shape != x0.shape:
        raise ValueError(f"A prediction about {tuple(x0.shape)} has the same shape, not {tuple(prediction.shape)}.")
    return (prediction - process.target(x0, t, eps)).square().flatten(1).mean(1)


def min_snr_weight(process: Process, t: Tensor, gamma: float = 5.0) -> Tensor:
    """Weights (B,) of the losses of timesteps, so that no part of the way pulls much harder than the others.

    "Efficient Diffusion Training via Min-SNR Weighting Strategy", Hang et al. 2023: min(SNR, gamma) for x0, which is
    divided by SNR for eps, and by SNR + 1 for v.
    """
    return _weight(process, t, lambda snr: snr.clamp(max=gamma))


def v_weight(process: Process, t: Tensor, most: float = 5.0) -> Tensor:
    """Weights (B,) under which any prediction is trained as if it were v: SNR + 1 for x0 (Salimans and Ho 2022).

    But at most `most`, lest what little noise there is at the end of the way pull harder than the picture. Unlike
    min-SNR it does not let go of the beginning, where the caption decides.
    """
    return _weight(process, t, lambda snr: (snr + 1).clamp(max=most))


def _weight(process: Process, t: Tensor, of_x0: Callable[[Tensor], Tensor]) -> Tensor:
    """The weight that x0 has by its signal-to-noise ratio, for what the process predicts."""
    kept = process.alpha_bar[t.cpu()]
    snr = kept / (1 - kept)
    by = {"x0": torch.ones_like(snr), "eps": snr, "v": snr + 1}[process.predicts]
    return (of_x0(snr) / by).float().to(t.device)


def variational_bound(process: Process, prediction: Tensor, x0: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
    """L_vlb of each picture (B,), in bits per number: teaches a `learned` variance (Nichol and Dhariwal 2021).

    prediction (B, 2C, H, W). What it says about the picture is detached: that is left to `simple_loss`. For t > 0 the
    divergence of the true step back from the predicted one; for t = 0 how likely the 8-bit picture x0 is.
    """
    said, v = prediction.chunk(2, 1)
    of_x0, of_x_t, _, large = process.posterior(t, t - 1, x0)
    difference = of_x0 * (x0 - process.split(said.detach(), x_t, t)[0])  # of the means: both have the same x_t
    from_1 = t.clamp(min=1)
    small = process.posterior(from_1, from_1 - 1, x0)[2]  # at t = 0 it would be nothing; the one of t = 1 stands in
    log_variance = learned_log_variance(v, small, large)
    kl = 0.5 * (log_variance - small.log() + (small + difference.square()) / log_variance.exp() - 1)
    likelihood = pixel_log_likelihood(difference, (0.5 * log_variance).exp(), x0)
    at_0 = (t == 0).view(-1, *[1] * (x0.ndim - 1))
    return torch.where(at_0, -likelihood, kl).flatten(1).mean(1) / math.log(2)


def hybrid_loss(process: Process, prediction: Tensor, x0: Tensor, t: Tensor, eps: Tensor) -> Tensor:
    """L_simple of each picture (B,) and a thousandth of L_vlb: trains a `learned` variance along (Nichol and Dhariwal
    2021, equation 16). L_vlb is the sum of T steps, so the bound of the one that was chosen counts T times."""
    bound = variational_bound(process, prediction, x0, process.add_noise(x0, t, eps), t)
    return simple_loss(process, prediction, x0, t, eps) + 0.001 * len(process.alpha_bar) * bound


def pixel_log_likelihood(difference: Tensor, sigma: Tensor, x0: Tensor) -> Tensor:
    """log of the probability that a Gaussian, so far from x0, falls where it is rounded to the 8-bit picture x0."""
    half = 1 / 255  # of a step between two values in [-1, 1]
    below = torch.special.ndtr((difference + half) / sigma).masked_fill(x0 > 1 - half, 1.0)
    above = torch.special.ndtr((difference - half) / sigma).masked_fill(x0 < half - 1, 0.0)
    return (below - above).clamp(min=1e-12).log()
