"""Losses that two or more systems share."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def matching_loss(scores: Tensor, same: Tensor | None = None) -> Tensor:
    """Scores (B captions, B pictures) -> how badly they find each other: cross-entropy both ways, added up.

    InfoNCE (van den Oord, Li and Vinyals 2018), as DAMSM and, halved, CLIP have it. same (B, B), bool: pairs besides
    the diagonal that also fit. They are neither right nor wrong, and are left out.
    """
    if same is not None:
        scores = scores.masked_fill(same, float("-inf"))
    right = torch.arange(len(scores), device=scores.device)
    return F.cross_entropy(scores, right) + F.cross_entropy(scores.T, right)
