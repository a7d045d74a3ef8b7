"""Learning to draw with one eye on a network that has learned to see (REPA).

"Representation Alignment for Generation: Training Diffusion Transformers Is Easier Than You Think", Yu, Kwak, Jang,
Jeong, Huang, Shin and Xie 2024. To save a noisy picture, a network must first find out what it shows; but the error of
what it predicts says little about that, and it takes long to learn. Networks that were trained to see know it already.
So a block of the network (theirs: the eighth of a transformer; here: the middle of the U-Net) is asked, too, what such
a network sees in the picture without noise:

    L = L_simple - weight mean over places of cos(head(middle of the U-Net), seen)

The head is a small network, needed in training alone. B pictures, C channels.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from t2i_course.nn.unet import UNet
from t2i_course.nn.world_cnn import WIDTHS, load_trunk

SIZE = 64  # of the pictures that the world's CNN knows


class Eyes(nn.Module):
    """What the course's CNN sees: not the judge's, which was trained apart."""

    def __init__(self):
        super().__init__()
        self.trunk = load_trunk()

    def encode(self, x: Tensor) -> Tensor:
        """Pictures (B, 3, H, W) in [-1, 1] -> (B, 192, 8, 8)."""
        return self.trunk(F.interpolate(x, (SIZE, SIZE), mode="area"))[1]


def head(channels: int) -> nn.Sequential:
    """The middle of a U-Net (B, channels, 4, 4) -> what is seen, as it says (B, 192, 8, 8)."""
    seen = WIDTHS[-1]
    return nn.Sequential(
        nn.Conv2d(channels, 2 * seen, 1), nn.SiLU(), nn.Conv2d(2 * seen, 4 * seen, 1), nn.PixelShuffle(2)
    )


def with_middle(unet: UNet, *inputs) -> tuple[Tensor, Tensor]:
    """What a U-Net predicts, and what was in its middle."""
    middle = []
    hook = unet.middle.register_forward_hook(lambda _, __, h: middle.append(h))
    try:
        return unet(*inputs), middle[0]
    finally:
        hook.remove()


def likeness(said: Tensor, seen: Tensor) -> Tensor:
    """The cosine of what is said and what is seen, both (B, 192, 8, 8): the mean over places and pictures."""
    return F.cosine_similarity(said.float(), seen.float(), dim=1).mean()
