"""The world's CNN: a small residual network, to the pictures of the worlds what Inception is to photographs.

The judge's recognisers are built on it. What learns from features of pictures gets those of others, trained apart
(`load_trunk`): a generator must never be led by the network that judges it.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from t2i_course.paths import DATA
from t2i_course.weights import load_weights

SIZE = 64  # of the pictures that it knows
WIDTHS = (32, 64, 192)  # channels at 32x32, 16x16, 8x8
REGION = WIDTHS[1] + WIDTHS[2]  # numbers of a region, see `regions`
CNN_OF = {"flowers": "world_cnn", "birds": "world_cnn", "scenes": "scene_cnn"}  # which one knows a world


class ResBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut."""

    def __init__(self, dim_in: int, dim: int, stride: int = 1):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(dim_in, dim, 3, stride, 1, bias=False),
            nn.BatchNorm2d(dim),
            nn.ReLU(inplace=True),
            nn.Conv2d(dim, dim, 3, 1, 1, bias=False),
            nn.BatchNorm2d(dim),
        )
        self.shortcut = nn.Conv2d(dim_in, dim, 1, stride, bias=False) if (dim_in, stride) != (dim, 1) else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.shortcut(x) + self.body(x))


class Trunk(nn.Module):
    """Pictures -> feature maps at 16x16 and 8x8."""

    def __init__(self):
        super().__init__()
        a, b, c = WIDTHS
        self.stem = nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(12, a, 3, padding=1, bias=False), nn.BatchNorm2d(a))
        self.fine = nn.Sequential(nn.ReLU(inplace=True), ResBlock(a, b, 2), ResBlock(b, b), ResBlock(b, b))
        self.coarse = nn.Sequential(ResBlock(b, c, 2), ResBlock(c, c))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        fine = self.fine(self.stem(x))  # (B, 64, 16, 16)
        return fine, self.coarse(fine)  # (B, 192, 8, 8)


def regions(fine: Tensor, coarse: Tensor) -> Tensor:
    """Both maps of a trunk -> one that shows colors and shapes: (B, 256, 8, 8)."""
    return torch.cat([F.avg_pool2d(fine, 2), coarse], 1)


def load_trunk(name: str = "world_cnn") -> Trunk:
    """A trunk that ships with the course, frozen: it was trained to name what the pictures of its worlds show.

    The "world_cnn" knows flowers and birds, the "scene_cnn" scenes.
    """
    file = DATA / "weights" / f"{name}.safetensors"
    model = nn.ModuleDict({"trunk": Trunk()})
    load_weights(model, file, f"Train it: t2i train {name} --export {file}")
    return model["trunk"].requires_grad_(False).eval()


class Eyes(nn.Module):
    """What a trunk that ships with the course sees in pictures of any size, where only what they show matters."""

    def __init__(self, name: str = "world_cnn"):
        super().__init__()
        self.trunk = load_trunk(name)

    def encode(self, x: Tensor) -> Tensor:
        """Pictures (B, 3, H, W) in [-1, 1] -> (B, 192, 8, 8)."""
        return self.trunk(F.interpolate(x, (SIZE, SIZE), mode="area"))[1]
