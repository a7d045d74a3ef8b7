"""Learning to draw with one eye on a network that has learned to see.

The error of a picture, number by number, says little about what it shows, and a diffusion model takes long to learn it
from that alone. Networks that were trained to see know it already. What such a network sees in the picture without
noise, `seen`, helps in two ways:

    inside    A block of the network (there: the eighth of a transformer; here: the middle of the U-Net) is asked, too,
              what is seen. "Representation Alignment for Generation: Training Diffusion Transformers Is Easier Than You
              Think", Yu, Kwak, Jang, Jeong, Huang, Shin and Xie 2024 (REPA).
    outside   The guess of the picture is looked at, too, and should show the same: a perceptual loss (Johnson, Alahi
              and Fei-Fei 2016). "Diffusion Model with Perceptual Loss", Lin and Yang 2024, lets a frozen copy of the
              diffusion model look, in latents. Ours is looked at by the course's CNN; as that knows pixels only, a
              network that learns along what true latents show, `latent_eyes`, looks at guesses of latents.

    L = L_simple - mean over places of [ aligned cos(head(middle of U-Net), seen) + perceived cos(eyes(guess), seen) ]

with the weights of the timesteps in L_simple. The second has a price: the guess is no longer quite the mean of all
pictures that are possible, which the mathematics of sampling and guidance takes it for; it shows more than it knows.
All of this is needed in training alone. B pictures, C channels.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.func import functional_call

from t2i_course.nn.unet import UNet
from t2i_course.nn.world_cnn import WIDTHS


def head(channels: int) -> nn.Sequential:
    """The middle of a U-Net (B, channels, 4, 4) -> what is seen, as it says (B, 192, 8, 8)."""
    seen = WIDTHS[-1]
    return nn.Sequential(
        nn.Conv2d(channels, 2 * seen, 1), nn.SiLU(), nn.Conv2d(2 * seen, 4 * seen, 1), nn.PixelShuffle(2)
    )


def latent_eyes(z: int) -> nn.Sequential:
    """Latents (B, z, 16, 16) of pictures -> what the CNN sees in these (B, 192, 8, 8), once it is trained."""
    return nn.Sequential(
        *(nn.Conv2d(z, 64, 3, padding=1), nn.SiLU()),
        *(nn.Conv2d(64, 64, 3, padding=1), nn.SiLU()),
        *(nn.Conv2d(64, 128, 3, 2, 1), nn.SiLU()),  # (B, 128, 8, 8)
        *(nn.Conv2d(128, 256, 3, padding=1), nn.SiLU()),
        nn.Conv2d(256, WIDTHS[-1], 1),
    )


def frozen(net: nn.Module, x: Tensor) -> Tensor:
    """net(x), from which x learns, and the net does not."""
    return functional_call(net, {name: p.detach() for name, p in net.named_parameters()}, x)


def with_middle(unet: UNet, x: Tensor, t: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
    """What a U-Net predicts, and what was in its middle."""
    t_emb = unet.embed(t, context=context)
    middle, skips = unet.down(x, t_emb, context)
    return unet.up(middle, skips, t_emb, context), middle
