"""The autoencoder of latent diffusion: a picture as a small map of few numbers, and back.

"High-Resolution Image Synthesis with Latent Diffusion Models", Rombach, Blattmann, Lorenz, Esser and Ommer, CVPR 2022;
the network is that of VQGAN ("Taming Transformers", Esser, Rombach and Ommer, CVPR 2021). What is between the two
halves is kept simple, so that a diffusion model can learn it, in one of two ways:

    KL   the encoder gives a mean and a variance, and is pulled a little towards N(0, 1)
    VQ   every vector is replaced by the nearest of a codebook (nn/quantize.py)

"f8" says by how much it is smaller: 256x256 pixels become 32x32 places. One of the small ones, small_kl_f8_aligned, is
trained so that what pictures show is strong in its latents: its decoder gets them with noise, and from them a small
head must predict the features that a trained CNN finds in the picture (losses.py). B pictures, C channels, Z numbers at
a place.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from t2i_course.nn.quantize import Quantizer
from t2i_course.nn.unet import Downsample, SelfAttention, Upsample, group_norm
from t2i_course.paths import DATA
from t2i_course.weights import load_weights

if TYPE_CHECKING:
    from t2i_course.training import Recipe

EPS = 1e-6  # of group norms


@dataclass(frozen=True)
class Config:
    """Sizes of an autoencoder."""

    z: int  # numbers at a place of the latent
    mults: tuple[int, ...]  # channels of each level, in units of dim; each level is half as wide and high
    dim: int = 128
    blocks: int = 2  # residual blocks of a level in the encoder; in the decoder there is one more
    attend: tuple[int, ...] = ()  # levels with attention after each block
    middle_attends: bool = True
    codes: int = 0  # in the codebook; none: KL
    restart: int = 0  # see Quantizer
    groups: int = 32  # of group norms; none: no norms, as in the tiny autoencoder for Stable Diffusion (TAESD)


VARIANTS = {
    "kl_f4": Config(3, (1, 2, 4)),
    "kl_f8": Config(4, (1, 2, 4, 4)),  # that of Stable Diffusion
    "kl_f16": Config(16, (1, 1, 2, 2, 4), attend=(4,)),
    "kl_f32": Config(64, (1, 1, 2, 2, 4, 4), attend=(4, 5)),
    "vq_f4": Config(3, (1, 2, 4), codes=8192),
    "vq_f4_noattn": Config(3, (1, 2, 4), middle_attends=False, codes=8192),
    "vq_f8": Config(4, (1, 2, 2, 4), attend=(3,), codes=16384),
    "vq_f8_n256": Config(4, (1, 2, 2, 4), attend=(3,), codes=256),
    "vq_f16": Config(8, (1, 1, 2, 2, 4), attend=(4,), codes=16384),
    "vqgan_f16_1024": Config(256, (1, 1, 2, 2, 4), attend=(4,), codes=1024),
    "vqgan_f16_16384": Config(256, (1, 1, 2, 2, 4), attend=(4,), codes=16384),
}
NARROW = {"dim": 32, "blocks": 1, "middle_attends": False, "groups": 0}
SMALL = {  # for all worlds of this course; their weights ship
    "small_kl_f4": Config(4, (1, 2, 2), **NARROW),
    "small_kl_f8": Config(4, (1, 1, 2, 4), **NARROW),
    "small_kl_f8_aligned": Config(4, (1, 1, 2, 4), **NARROW),  # trained otherwise, see aligned_recipe
    "small_vq_f4": Config(4, (1, 2, 2), codes=512, restart=50, **NARROW),
    "small_vq_f8": Config(8, (1, 1, 2, 4), codes=1024, restart=50, **NARROW),
}


def norm(dim: int, groups: int) -> nn.Module:
    """A group norm, or nothing."""
    return group_norm(dim, EPS, groups) if groups else nn.Identity()


class ResBlock(nn.Module):
    """Two convolutions, added to the input."""

    def __init__(self, dim_in: int, dim: int, groups: int):
        super().__init__()
        self.norm1 = norm(dim_in, groups)
        self.conv1 = nn.Conv2d(dim_in, dim, 3, padding=1)
        self.norm2 = norm(dim, groups)
        self.conv2 = nn.Conv2d(dim, dim, 3, padding=1)
        self.skip = nn.Conv2d(dim_in, dim, 1) if dim_in != dim else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv1(F.silu(self.norm1(x)))
        return self.skip(x) + self.conv2(F.silu(self.norm2(h)))


def row(dim_in: int, dim: int, attends: bool, groups: int) -> nn.Sequential:
    """A residual block, and attention if it has some."""
    return nn.Sequential(ResBlock(dim_in, dim, groups), *([SelfAttention(dim, 1, EPS, groups)] if attends else []))


def middle(dim: int, config: Config) -> nn.Sequential:
    """What both halves have where the map is smallest."""
    return nn.Sequential(*row(dim, dim, config.middle_attends, config.groups), ResBlock(dim, dim, config.groups))


def last(dim: int, out: int, groups: int) -> nn.Sequential:
    """To what is asked for."""
    return nn.Sequential(norm(dim, groups), nn.SiLU(), nn.Conv2d(dim, out, 3, padding=1))


class Encoder(nn.Sequential):
    """Pictures (B, 3, H, W) -> (B, out, H / f, W / f)."""

    def __init__(self, config: Config, out: int):
        widths, rows, dim = [config.dim * mult for mult in config.mults], [], config.dim
        for level, width in enumerate(widths):
            for _ in range(config.blocks):
                rows.append(row(dim, width, level in config.attend, config.groups))
                dim = width
            if level < len(widths) - 1:
                rows.append(nn.Sequential(Downsample(dim, ddpm=True)))
        super().__init__()
        self.first = nn.Conv2d(3, config.dim, 3, padding=1)
        self.rows = nn.Sequential(*rows)
        self.middle = middle(dim, config)
        self.last = last(dim, out, config.groups)


class Decoder(nn.Sequential):
    """(B, Z, H / f, W / f) -> pictures (B, 3, H, W)."""

    def __init__(self, config: Config):
        widths, rows = [config.dim * mult for mult in config.mults], []
        dim = widths[-1]
        for level in reversed(range(len(widths))):
            for _ in range(config.blocks + 1):
                rows.append(row(dim, widths[level], level in config.attend, config.groups))
                dim = widths[level]
            if level:
                rows[-1].append(Upsample(dim))
        super().__init__()
        self.first = nn.Conv2d(config.z, widths[-1], 3, padding=1)
        self.middle = middle(widths[-1], config)
        self.rows = nn.Sequential(*rows)
        self.last = last(dim, 3, config.groups)


class Autoencoder(nn.Module):
    """Pictures (B, 3, H, W) in [-1, 1] <-> latents (B, Z, H / f, W / f)."""

    def __init__(self, config: Config):
        super().__init__()
        self.config, per_place = config, config.z * (1 if config.codes else 2)
        self.encoder, self.decoder = Encoder(config, per_place), Decoder(config)
        self.quant_conv = nn.Conv2d(per_place, per_place, 1)
        self.post_quant_conv = nn.Conv2d(config.z, config.z, 1)
        self.quantizer = Quantizer(config.codes, config.z, restart=config.restart) if config.codes else None

    @classmethod
    def load(cls, name: str = "small_kl_f8", weights: str | Path | None = None) -> Autoencoder:
        """A small one that ships with the course, frozen."""
        if name not in SMALL:
            raise ValueError(f"There is no small autoencoder {name!r}. There are: {', '.join(SMALL)}.")
        file = Path(weights or DATA / "weights" / f"{name}.safetensors")
        model = cls(replace(SMALL[name], restart=0))  # which is for training
        named = nn.ModuleDict({"autoencoder": model})  # as it was trained, beside a discriminator
        load_weights(named, file, f"Train it: t2i train {name} --export {file}")
        return model.requires_grad_(False).eval()

    @property
    def factor(self) -> int:
        """f: how many times smaller the latent is."""
        return 2 ** (len(self.config.mults) - 1)

    @property
    def z(self) -> int:
        """Numbers at a place of the latent."""
        return self.config.z

    def moments(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Of a KL autoencoder: the mean and the log variance, which is kept in [-30, 20], of the latents of x."""
        if self.quantizer:
            raise ValueError("An autoencoder with a codebook has no mean and variance; `encode` gives its latents.")
        mean, log_variance = self.quant_conv(self.encoder(self._checked(x))).chunk(2, 1)
        return mean, log_variance.clamp(-30, 20)

    def encode(self, x: Tensor, eps: Tensor | None = None) -> Tensor:
        """Latents: what a diffusion model learns. KL: the mean, or with noise eps a draw. VQ: not yet quantised."""
        if self.quantizer:
            return self.quant_conv(self.encoder(self._checked(x)))
        mean, log_variance = self.moments(x)
        return mean if eps is None else mean + (log_variance / 2).exp() * eps

    def decode(self, z: Tensor) -> Tensor:
        """Latents -> pictures, near [-1, 1]. VQ: every place is quantised first, so codes' vectors stay as they are."""
        return self.decoder(self.post_quant_conv(self.quantizer(z)[0] if self.quantizer else z))

    def _checked(self, x: Tensor) -> Tensor:
        if x.ndim != 4 or x.shape[1] != 3 or x.shape[2] % self.factor or x.shape[3] % self.factor:
            raise ValueError(
                f"This autoencoder takes pictures (B, 3, H, W) with H and W multiples of {self.factor}, "
                f"not {tuple(x.shape)}."
            )
        return x


def initialise(model: Autoencoder) -> Autoencoder:
    """Weights that neither shrink nor swell what they are given, weak branches, and a KL encoder that is sure at first.

    As torch starts convolutions, the latent would be weak, and drowned in its own noise: a decoder learns nothing from
    it for a thousand steps. And without norms, branches as strong as their input would double it in every block.
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.xavier_uniform_(module.weight, math.sqrt(2))
            nn.init.zeros_(module.bias)
    for module in model.modules():
        if isinstance(module, ResBlock):
            module.conv2.weight.data.mul_(0.3)
    if not model.quantizer:
        of_log_variance = slice(model.z, None)
        nn.init.zeros_(model.quant_conv.weight[of_log_variance])
        nn.init.constant_(model.quant_conv.bias[of_log_variance], -6.0)
    return model


@torch.no_grad()
def scale_of(autoencoder: Autoencoder, pictures: Tensor) -> float:
    """What latents are multiplied with before diffusion, so that they vary as much as the noise."""
    return 1 / autoencoder.encode(pictures).std().item()


# --- the recipes of the small ones -----------------------------------------------------------------------------------


def recipe(
    name: str,
    *,
    steps: int = 2400,
    batch_size: int = 12,
    crop: int = 64,
    gan_from: int = 1800,
    kl_weight: float = 0.5,
    perceptual_weight: float = 0.1,
    noise: float = 0.0,
    aligned: float = 0.0,
) -> Recipe:
    """How a small autoencoder is trained: on parts of 64x64 of pictures of 128x128 from all three worlds.

    Whole pictures would cost four times as much and teach no more, as the network is a convolution throughout. The
    course's own CNN compares what it sees in pictures and copies; the discriminator joins at `gan_from`. kl_weight is
    large, so that the decoder has learned from noisy latents: those that a small network draws are never quite right.
    noise and aligned: see losses.py; the features to be predicted are those of the CNN that knows the picture's world.
    """
    from t2i_course import worlds
    from t2i_course.judge.metrics import psnr, ssim
    from t2i_course.nn.world_cnn import CNN_OF, WIDTHS, Eyes, load_trunk
    from t2i_course.show.files import grid
    from t2i_course.training import Recipe
    from t2i_course.worlds.base import to_uint8

    from .losses import PatchDiscriminator, compared_by, feature_head, losses

    perceptual = compared_by(load_trunk())
    eyes = [Eyes(CNN_OF[world]) for world in worlds.NAMES if aligned]  # in the order of the worlds in a batch
    place = 16  # pixels of a picture that the CNN sees as one place, at half its size
    config, factor = SMALL[name], 2 ** (len(SMALL[name].mults) - 1)
    if not 0 < crop <= 128 or crop % factor:
        raise ValueError(f"crop={crop}: it is a multiple of {factor}, at most 128.")
    if (noise or aligned) and config.codes:
        raise ValueError(f"{name} has a codebook; noise and aligned are for KL autoencoders.")
    if aligned and (crop % place or 2 * factor != place):
        raise ValueError(f"aligned={aligned}: it takes f = {place // 2}, and crops of a multiple of {place} pixels.")

    def build():
        net = {"autoencoder": initialise(Autoencoder(config)), "discriminator": PatchDiscriminator(24)}
        return nn.ModuleDict(net | ({"head": feature_head(config.z, WIDTHS[-1])} if aligned else {}))

    def batches(seed, start):
        stream = worlds.mixed_batches(worlds.NAMES, "train", 128, batch_size, seed, start=start, epochs=None, n=10_000)
        return enumerate(stream, start)

    def small_losses(net, numbered):
        step, batch = numbered
        by = place if aligned else 1  # parts begin where a place of the CNN does
        top, left = (by * torch.randint((128 - crop) // by + 1, (2,))).tolist()
        seen = None
        if aligned:
            with torch.no_grad():
                of_worlds = zip(eyes, batch.pictures.chunk(len(eyes)), strict=True)
                seen = torch.cat([knows.to(pictures.device).encode(pictures) for knows, pictures in of_worlds])
            rows, columns = (slice(start // place, (start + crop) // place) for start in (top, left))
            seen = seen[:, :, rows, columns]
        x = batch.pictures[:, :, top : top + crop, left : left + crop]
        parts = nn.ModuleDict({name: part for name, part in net.items() if name != "discriminator" or step >= gan_from})
        options = {"kl_weight": kl_weight, "perceptual_weight": perceptual_weight, "noise": noise, "aligned": aligned}
        yield from losses(parts, x, perceptual, seen=seen, **options)

    def copies(net, n):
        """True pictures of each world, and what comes back."""
        model = net["autoencoder"]
        device = next(model.parameters()).device
        for world in worlds.NAMES:
            x = next(worlds.load(world).batches("val", 128, n, n=n, shuffle=False)).pictures
            with torch.no_grad():
                yield world, x, model.decode(model.encode(x.to(device))).float().clamp(-1, 1).cpu()

    def evaluate(net):
        return {f"{w}.{f.__name__}": float(f(x, y)) for w, x, y in copies(net, 32) for f in (psnr, ssim)}

    def sample(net, step):
        pictures = [part for _, x, y in copies(net, 6) for part in (x, y)]
        return grid(to_uint8(torch.cat(pictures)), 12)

    def optimisers(net):
        d = net["discriminator"].parameters()
        others = [p for name, part in net.items() if name != "discriminator" for p in part.parameters()]
        return {
            "autoencoder": torch.optim.Adam(others, 1e-3, (0.9, 0.95)),
            "discriminator": torch.optim.Adam(d, 4e-4, (0.9, 0.95)),
        }

    return Recipe(
        name=name,
        build=build,
        batches=batches,
        losses=small_losses,
        optimisers=optimisers,
        steps=steps,
        ema=0.999,
        evaluate=evaluate,
        sample=sample,
        every=500,
        leave_out=("discriminator.", "head.", "autoencoder.quantizer.idle"),
    )


# How one becomes whose latents a diffusion model learns sooner: what pictures show is strong in them.
aligned_recipe = partial(recipe, steps=5000, gan_from=4200, perceptual_weight=0.3, noise=1.0, aligned=0.3)
