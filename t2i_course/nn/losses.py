"""Losses that two or more systems share."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def matching_loss(scores: Tensor, same: Tensor | None = None) -> Tensor:
    """Scores (C captions, B pictures) -> how badly they find each other: cross-entropy both ways, added up.

    InfoNCE (van den Oord, Li and Vinyals 2018), as DAMSM and, halved, CLIP have it. The first B captions are those of
    the pictures; if there are more, a picture must find its own among them, too. same (C, B), bool: pairs besides the
    diagonal that also fit. They are neither right nor wrong, and are left out.
    """
    if same is not None:
        scores = scores.masked_fill(same, float("-inf"))
    right = torch.arange(scores.shape[1], device=scores.device)
    return F.cross_entropy(scores[: len(right)], right) + F.cross_entropy(scores.T, right)


def likeness(predicted: Tensor, seen: Tensor) -> Tensor:
    """The cosine similarity of two maps of features (B, C, h, w): the mean over places and pictures."""
    return F.cosine_similarity(predicted.float(), seen.float(), dim=1).mean()


def kl_to_standard_normal(mu: Tensor, logvar: Tensor) -> Tensor:
    """KL( N(mu, e^logvar) || N(0, 1) ), the mean over all numbers: -1/2 (1 + logvar - mu^2 - e^logvar)."""
    return -0.5 * (1 + logvar - mu.square() - logvar.exp()).mean()
