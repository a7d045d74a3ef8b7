"""Guidance: a diffusion model is pushed towards what was asked for. Each way is a wrapper around `denoise`.

    classifier guidance       eps - s sqrt(1 - alpha_bar) grad log p(y | x_t)    Dhariwal and Nichol 2021, algorithm 2
                              (algorithm 1 moves the mean of each step of `ddpm` instead: its `push`)
    CLIP guidance             the same with how well x_t fits the caption        Nichol et al. 2021 (GLIDE), section 2.4
    classifier-free guidance  uncond + s (cond - uncond)                         Ho and Salimans 2022, equation 6

s is the guidance scale: 0 leaves the model as it is with a classifier; without one, 0 forgets the caption, 1 is the
plain conditional model, and more exaggerates what the caption makes different (s = 1 + w, for the w of the paper).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from .process import Denoise, Process, guess

Context = Tensor | None  # None of a model that knows no captions


def classifier_free(model: Callable[..., Tensor], context: Context, null: Context, guidance_scale: float) -> Denoise:
    """Asks with the caption and without it, in one batch. context, null: (B, T, K). At scale 1, null is not asked."""
    if guidance_scale == 1:
        return lambda x, t: model(x, _times(x, t), context)
    both = torch.cat([null, context])

    def denoise(x: Tensor, t: int) -> Tensor:
        uncond, cond = model(torch.cat([x, x]), _times(torch.cat([x, x]), t), both).chunk(2)
        return uncond + guidance_scale * (cond - uncond)

    return denoise


def uphill(log_likelihood: Callable[[Tensor, int], Tensor], x: Tensor, t: int) -> Tensor:
    """grad log p(y | x_t) by x_t; log_likelihood(x_t, t) -> (B,)."""
    with torch.enable_grad():
        x_in = x.detach().requires_grad_()
        return torch.autograd.grad(log_likelihood(x_in, t).sum(), x_in)[0]


def by_gradient(
    denoise: Denoise,
    process: Process,
    log_likelihood: Callable[[Tensor, int], Tensor],
    guidance_scale: float,
    clip: float | None = None,
) -> Denoise:
    """Any model, pushed up log p(y | x_t): log_likelihood(x_t, t) -> (B,), of a classifier or of CLIP that know noisy
    pictures. For DDIM and the samplers after it (algorithm 2). clip: of the model's own guess of x0, before the push,
    as in the released ADM; a sampler's own limits what was pushed."""

    def guided(x: Tensor, t: int) -> Tensor:
        _, eps, said = guess(process, denoise, x, t, clip)
        signal, sigma = process.at(t, x)
        eps = eps - guidance_scale * sigma * uphill(log_likelihood, x, t)
        pushed = process.target((x - sigma * eps) / signal, t, eps)  # back to what the model predicts
        return pushed if said is None else torch.cat([pushed, said], 1)

    return guided


def classified(classifier: Callable[[Tensor, Tensor], Tensor], classes: Tensor) -> Callable[[Tensor, int], Tensor]:
    """log p(class | x_t) of a classifier with logits (B, classes), for `by_gradient`; classes (B,), or (1,) for all."""

    def log_likelihood(x: Tensor, t: int) -> Tensor:
        if len(classes) not in (1, len(x)):
            raise ValueError(f"{len(x)} pictures have as many classes, or one for all, not {len(classes)}.")
        return classifier(x, _times(x, t)).log_softmax(1)[torch.arange(len(x), device=x.device), classes]

    return log_likelihood


def fitting(similarity: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor, int], Tensor]:
    """How well x_t fits, in the place of log p(caption | x_t), for `by_gradient`.

    similarity(x_t, t) -> scaled cosines (captions, B) of a CLIP that knows noise: a caption for each, or one for all.
    """

    def log_likelihood(x: Tensor, t: int) -> Tensor:
        table = similarity(x, _times(x, t))
        if len(table) not in (1, len(x)):
            raise ValueError(f"{len(x)} pictures have as many captions, or one for all, not {len(table)}.")
        return table[0] if len(table) == 1 else table.diagonal()

    return log_likelihood


def _times(x: Tensor, t: int) -> Tensor:
    return torch.full((len(x),), t, device=x.device)
