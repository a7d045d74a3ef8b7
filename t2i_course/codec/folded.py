"""No autoencoder at all: what a diffusion model in pixels has in its place.

Each block of f x f pixels becomes one place with 3 f^2 numbers (PixelUnshuffle), and nothing is lost. The U-Net then
works on f^2 times fewer places, which is what makes it affordable.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class Folded(nn.Module):
    """Pictures (B, 3, H, W) <-> (B, 3 f^2, H / f, W / f), exactly. It can stand where an `Autoencoder` does."""

    def __init__(self, factor: int = 2):
        super().__init__()
        self.factor, self.z = factor, 3 * factor**2
        self.limit = 1.0  # all numbers of a picture are in [-1, 1]; those of a latent may be anything

    def encode(self, x: Tensor) -> Tensor:
        """Fold. Raises ValueError unless H and W are multiples of f."""
        if x.shape[2] % self.factor or x.shape[3] % self.factor:
            raise ValueError(f"Height and width must be multiples of {self.factor}, not {tuple(x.shape[2:])}.")
        return F.pixel_unshuffle(x, self.factor)

    def decode(self, z: Tensor) -> Tensor:
        """Unfold."""
        return F.pixel_shuffle(z, self.factor)
