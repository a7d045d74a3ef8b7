"""Fewer places, and nothing lost: f x f of them become one with f^2 times as many numbers (PixelUnshuffle).

A U-Net works as hard for each place, however many numbers it has there. So the small diffusion models fold pictures, or
the latents of an autoencoder, as diffusion transformers do ("patches"; Peebles and Xie 2023).
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class Folded(nn.Module):
    """Pictures (B, 3, H, W) <-> (B, 3 f^2, H / f, W / f), exactly. It can stand where an `Autoencoder` does.

    With an autoencoder of downsampling g inside: its latents, folded, (B, Z f^2, H / (g f), W / (g f)).
    """

    def __init__(self, fold: int = 2, inside: nn.Module | None = None):
        super().__init__()
        self.fold, self.inside = fold, inside
        self.factor = fold * (inside.factor if inside else 1)
        self.z = fold**2 * (inside.z if inside else 3)
        self.limit = None if inside else 1.0  # all numbers of a picture are in [-1, 1]; those of a latent may be any

    def encode(self, x: Tensor) -> Tensor:
        """Encode, and fold. Raises ValueError unless H and W are multiples of `factor`."""
        if x.shape[2] % self.factor or x.shape[3] % self.factor:
            raise ValueError(f"Height and width must be multiples of {self.factor}, not {tuple(x.shape[2:])}.")
        return F.pixel_unshuffle(self.inside.encode(x) if self.inside else x, self.fold)

    def decode(self, z: Tensor) -> Tensor:
        """Unfold, and decode."""
        z = F.pixel_shuffle(z, self.fold)
        return self.inside.decode(z) if self.inside else z
