"""The U-Net of diffusion models: pictures in, pictures out, through an hourglass with bridges.

One network serves DDPM (Ho, Jain and Abbeel 2020), improved DDPM (Nichol and Dhariwal 2021), ADM (Dhariwal and Nichol
2021), latent diffusion (Rombach et al. 2022) and Stable Diffusion. It answers one question, "what would this noisy
picture be without its noise?" (or "which noise is in it?"), given how noisy it is (the timestep t) and, if asked, the
class or the caption:

    down   rows of blocks; each row's result is kept as a skip
    middle residual block, attention, residual block
    up     as many rows; each takes the last skip that is left, side by side with its own input

What changed from paper to paper stands in `Config` and in the table `VARIANTS`. B pictures, C channels, H x W places,
D numbers of the embedding of t; T tokens of the caption, each of K numbers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .attention import CrossAttention


@dataclass(frozen=True)
class Config:
    """Sizes of a U-Net, and what its paper chose."""

    dim: int  # channels, and numbers of the sinusoids of t
    mults: tuple[float, ...]  # channels of each level, in units of dim; each level is half as wide and high
    blocks: int  # residual blocks of a level on the way down; on the way up there is one more
    attend: tuple[int, ...]  # levels with attention after each block; the middle has it anyway
    channels: int = 3  # of the noisy picture or latent, and what stands beside it
    out: int = 3
    heads: int = 1  # of each attention, or, instead,
    head_dim: int = 0  # numbers in each head
    classes: int = 0  # known classes, added to the embedding of t
    context_dim: int = 0  # K: attention is a transformer block, which also looks at the caption
    pooled: bool = False  # the mean of the context is added to the embedding of t: every block hears of the caption
    only_context: tuple[int, ...] = ()  # levels whose transformers look at the caption twice, and never at the picture
    scale_shift: bool = True  # t scales and shifts what group norm made equal; else it is added
    resample: str = "block"  # what halves and doubles: a residual "block", or a plain "conv" of stride 2
    groups: int = 32  # of group norms
    ddpm: bool = False  # as Ho et al.: eps of group norms 1e-6, sines first, padding of stride 2 right and below


# --- blocks: forward(x, t_emb, context) of each -----------------------------------------------------------------------


def timestep_embedding(t: Tensor, dim: int, ddpm: bool = False) -> Tensor:
    """Sinusoids of timesteps (B,), of wavelengths from 2 pi to 10,000 x 2 pi: (B, dim), cosines first (ddpm: sines)."""
    half = dim // 2
    rates = torch.arange(half, device=t.device, dtype=torch.float32) / (half - 1 if ddpm else half)
    angles = t[:, None].float() * torch.exp(-math.log(10_000) * rates)
    parts = (angles.sin(), angles.cos()) if ddpm else (angles.cos(), angles.sin())
    return torch.cat(parts, 1)


def group_norm(dim: int, eps: float, groups: int = 32) -> nn.GroupNorm:
    """Mean 0 and variance 1 in each group of channels. In a group of one channel its mean, say a color, is lost."""
    return nn.GroupNorm(groups, dim, eps=eps)


class Downsample(nn.Conv2d):
    """Half as wide and high, by a convolution of stride 2."""

    def __init__(self, dim: int, ddpm: bool):
        super().__init__(dim, dim, 3, 2, 0 if ddpm else 1)
        self.pad = (0, 1, 0, 1) if ddpm else None

    def forward(self, x: Tensor, *_) -> Tensor:
        return super().forward(F.pad(x, self.pad) if self.pad else x)


class Upsample(nn.Conv2d):
    """Twice as wide and high: each place four times, then a convolution."""

    def __init__(self, dim: int):
        super().__init__(dim, dim, 3, padding=1)

    def forward(self, x: Tensor, *_) -> Tensor:
        return super().forward(F.interpolate(x, scale_factor=2.0))


class ResBlock(nn.Module):
    """Two convolutions around what t has to say, added to the input; "down" or "up" resizes on the way."""

    def __init__(self, dim_in: int, dim: int, config: Config, resize: str = ""):
        super().__init__()
        eps = 1e-6 if config.ddpm else 1e-5
        self.scale_shift, self.resize = config.scale_shift, resize
        self.norm1 = group_norm(dim_in, eps, config.groups)
        self.conv1 = nn.Conv2d(dim_in, dim, 3, padding=1)
        self.time = nn.Linear(4 * config.dim, 2 * dim if self.scale_shift else dim)
        self.norm2 = group_norm(dim, eps, config.groups)
        self.conv2 = zeroed(nn.Conv2d(dim, dim, 3, padding=1))
        self.skip = nn.Conv2d(dim_in, dim, 1) if dim_in != dim else nn.Identity()

    def forward(self, x: Tensor, t_emb: Tensor, context: Tensor | None = None) -> Tensor:
        h = F.silu(self.norm1(x))
        if self.resize == "down":
            h, x = F.avg_pool2d(h, 2), F.avg_pool2d(x, 2)
        elif self.resize == "up":
            h, x = F.interpolate(h, scale_factor=2.0), F.interpolate(x, scale_factor=2.0)
        h = self.conv1(h)
        told = self.time(F.silu(t_emb))[:, :, None, None]
        if self.scale_shift:
            scale, shift = told.chunk(2, 1)
            h = self.norm2(h) * (1 + scale) + shift
        else:
            h = self.norm2(h + told)
        return self.skip(x) + self.conv2(F.silu(h))


class SelfAttention(nn.Module):
    """Every place looks at all places."""

    def __init__(self, dim: int, heads: int, eps: float, groups: int = 32):
        super().__init__()
        self.norm = group_norm(dim, eps, groups)
        self.attention = CrossAttention(dim, heads=heads, bias=True)
        zeroed(self.attention.to_out)

    def forward(self, x: Tensor, *_) -> Tensor:
        found = self.attention(self.norm(x).flatten(2).transpose(1, 2))  # (B, H W, C)
        return x + found.transpose(1, 2).unflatten(2, x.shape[2:])


class FeedForward(nn.Module):
    """GEGLU: one half of the numbers says how much of the other half passes (Shazeer 2020)."""

    def __init__(self, dim: int):
        super().__init__()
        self.project = nn.Linear(dim, 8 * dim)
        self.out = nn.Linear(4 * dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        x, gate = self.project(x).chunk(2, -1)
        return self.out(x * F.gelu(gate))


class TransformerBlock(nn.Module):
    """Places look at each other, then at the caption, then each thinks for itself: x (B, N, C), context (B, T, K)."""

    def __init__(self, dim: int, config: Config, only_context: bool = False):
        super().__init__()
        heads = heads_of(dim, config)
        self.norm1, self.norm2, self.norm3 = nn.LayerNorm(dim), nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.attention1 = CrossAttention(dim, config.context_dim if only_context else None, heads)
        self.attention2 = CrossAttention(dim, config.context_dim, heads)
        self.feed = FeedForward(dim)
        self.only_context = only_context

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        x = x + self.attention1(self.norm1(x), context if self.only_context else None)
        x = x + self.attention2(self.norm2(x), context)
        return x + self.feed(self.norm3(x))


class Transformer(nn.Module):
    """A transformer block over the places of a picture."""

    def __init__(self, dim: int, config: Config, only_context: bool = False):
        super().__init__()
        self.norm = group_norm(dim, 1e-6, config.groups)
        self.project_in = nn.Linear(dim, dim)
        self.blocks = nn.ModuleList([TransformerBlock(dim, config, only_context)])
        self.project_out = zeroed(nn.Linear(dim, dim))

    def forward(self, x: Tensor, t_emb: Tensor, context: Tensor) -> Tensor:
        h = self.project_in(self.norm(x).flatten(2).transpose(1, 2))  # (B, H W, C)
        for block in self.blocks:
            h = block(h, context)
        return x + self.project_out(h).transpose(1, 2).unflatten(2, x.shape[2:])


def heads_of(dim: int, config: Config) -> int:
    """How many heads an attention over so many channels has."""
    return dim // config.head_dim if config.head_dim else config.heads


def zeroed(layer: nn.Module) -> nn.Module:
    """A layer that starts with zeros, so that its block starts as the identity."""
    for p in layer.parameters():
        nn.init.zeros_(p)
    return layer


class Row(nn.ModuleList):
    """Blocks one after the other."""

    def forward(self, x: Tensor, t_emb: Tensor, context: Tensor | None) -> Tensor:
        for block in self:
            x = block(x, t_emb, context)
        return x


# --- the network ------------------------------------------------------------------------------------------------------


class Encoder(nn.Module):
    """The way down and the middle: all that a classifier needs, too."""

    def __init__(self, config: Config):
        super().__init__()
        c, self.config = config, config
        self.widths = [int(c.dim * mult) for mult in c.mults]
        if wrong := [width for width in self.widths if width % c.groups or (c.head_dim and width % c.head_dim)]:
            raise ValueError(
                f"Levels of {wrong} channels: multiples of {c.groups}, for group norm, and of head_dim={c.head_dim} "
                f"are needed."
            )
        if beyond := [level for level in c.attend if not 0 <= level < len(c.mults)]:
            raise ValueError(f"There is no attention at levels {beyond}: the levels are 0 to {len(c.mults) - 1}.")
        self.time = nn.Sequential(nn.Linear(c.dim, 4 * c.dim), nn.SiLU(), nn.Linear(4 * c.dim, 4 * c.dim))
        self.label = nn.Embedding(c.classes, 4 * c.dim) if c.classes else None
        self.pool = zeroed(nn.Linear(c.context_dim, 4 * c.dim)) if c.pooled else None
        self.first = nn.Conv2d(c.channels, self.widths[0], 3, padding=1)
        self.encoder, self.skips = nn.ModuleList(), [self.widths[0]]  # the rows, and the channels of their results
        for level, width in enumerate(self.widths):
            for _ in range(c.blocks):
                self.encoder.append(Row([ResBlock(self.skips[-1], width, c), *self.attention(level)]))
                self.skips.append(width)
            if level < len(self.widths) - 1:
                down = ResBlock(width, width, c, "down") if c.resample == "block" else Downsample(width, c.ddpm)
                self.encoder.append(Row([down]))
                self.skips.append(width)
        self.middle = Row([ResBlock(width, width, c), *self.attention(None), ResBlock(width, width, c)])

    def attention(self, level: int | None) -> list[nn.Module]:
        """What follows a residual block of a level (None: of the middle): one attention, or nothing."""
        c, dim = self.config, self.widths[-1 if level is None else level]
        if level is not None and level not in c.attend:
            return []
        if c.context_dim:
            return [Transformer(dim, c, level in c.only_context)]
        return [SelfAttention(dim, heads_of(dim, c), 1e-6 if c.ddpm else 1e-5, c.groups)]

    def embed(self, t: Tensor, classes: Tensor | None = None, context: Tensor | None = None) -> Tensor:
        """Timesteps (B,), class numbers (B,) if the network knows classes, and the context -> (B, 4 dim)."""
        if (classes is None) != (self.label is None):
            raise ValueError("This U-Net needs classes." if self.label else "This U-Net knows no classes.")
        t_emb = self.time(timestep_embedding(t, self.config.dim, self.config.ddpm).to(self.first.weight.dtype))
        if self.pool is not None:
            t_emb = t_emb + self.pool(context.mean(1))
        return t_emb if classes is None else t_emb + self.label(classes)

    def check(self, x: Tensor, t: Tensor, context: Tensor | None = None, size: int | None = None) -> None:
        """Raise ValueError for input that does not fit; size: what H and W must be, if they are given."""
        c, step = self.config, 2 ** (len(self.widths) - 1)
        fits = x.ndim == 4 and x.shape[1] == c.channels and not (x.shape[2] % step or x.shape[3] % step)
        if not fits or (size and tuple(x.shape[2:]) != (size, size)):
            wanted = f"H = W = {size}" if size else f"H and W multiples of {step}"
            raise ValueError(f"This network takes (B, {c.channels}, H, W) with {wanted}, not {tuple(x.shape)}.")
        if t.shape != (len(x),):
            raise ValueError(f"Each of {len(x)} pictures has a timestep, so t is ({len(x)},), not {tuple(t.shape)}.")
        if (context is None) != (not c.context_dim):
            raise ValueError("This U-Net needs a context." if c.context_dim else "This U-Net takes no context.")

    def down(self, x: Tensor, t_emb: Tensor, context: Tensor | None = None) -> tuple[Tensor, list[Tensor]]:
        """What comes out of the middle, and the skips."""
        skips = [self.first(x)]
        for row in self.encoder:
            skips.append(row(skips[-1], t_emb, context))
        return self.middle(skips[-1], t_emb, context), skips


class UNet(Encoder):
    """Noisy pictures or latents, how noisy they are, and what they show -> what was predicted."""

    def __init__(self, config: Config):
        super().__init__(config)
        c, skips, width = config, list(self.skips), self.widths[-1]
        self.decoder = nn.ModuleList()
        for level in reversed(range(len(self.widths))):
            for block in range(c.blocks + 1):
                row = Row([ResBlock(width + skips.pop(), self.widths[level], c), *self.attention(level)])
                width = self.widths[level]
                if level and block == c.blocks:
                    row.append(ResBlock(width, width, c, "up") if c.resample == "block" else Upsample(width))
                self.decoder.append(row)
        norm, conv = group_norm(width, 1e-6 if c.ddpm else 1e-5, c.groups), nn.Conv2d(width, c.out, 3, padding=1)
        self.last = nn.Sequential(norm, nn.SiLU(), zeroed(conv))

    def forward(self, x: Tensor, t: Tensor, context: Tensor | None = None, classes: Tensor | None = None) -> Tensor:
        """x (B, channels, H, W), t (B,), context (B, T, K), classes (B,) -> (B, out, H, W).

        H and W must be multiples of 2 to the number of halvings. Raises ValueError if something is missing or does not
        fit.
        """
        self.check(x, t, context)
        t_emb = self.embed(t, classes, context)
        return self.up(*self.down(x, t_emb, context), t_emb, context)

    def up(self, h: Tensor, skips: list[Tensor], t_emb: Tensor, context: Tensor | None = None) -> Tensor:
        """What is predicted, from what came out of the middle, and the skips."""
        for row in self.decoder:
            h = row(torch.cat([h, skips.pop()], 1), t_emb, context)
        return self.last(h)


class AttentionPool(nn.Module):
    """One more token, the mean of all places, looks at the places and says what they show (of CLIP's ResNets)."""

    def __init__(self, dim: int, places: int, heads: int, out: int):
        super().__init__()
        self.positions = nn.Parameter(torch.randn(places + 1, dim) / dim**0.5)
        self.attention = CrossAttention(dim, heads=heads, bias=True)
        self.attention.to_out = nn.Linear(dim, out)

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(2).transpose(1, 2)  # (B, H W, C)
        x = torch.cat([x.mean(1, keepdim=True), x], 1) + self.positions
        return self.attention(x[:, :1], x)[:, 0]  # (B, out)


class NoisyClassifier(Encoder):
    """The classifier of ADM: what does this noisy picture show? Half a U-Net; logits (B, out)."""

    def __init__(self, config: Config, size: int):
        super().__init__(config)
        self.size = size
        dim, places = self.widths[-1], (size // 2 ** (len(self.widths) - 1)) ** 2
        pool = AttentionPool(dim, places, heads_of(dim, config), config.out)
        self.last = nn.Sequential(group_norm(dim, 1e-5, config.groups), nn.SiLU(), pool)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """x (B, channels, size, size) in [-1, 1] plus noise, t (B,) -> logits (B, out)."""
        self.check(x, t, size=self.size)
        return self.last(self.down(x, self.embed(t))[0])


# --- published sizes --------------------------------------------------------------------------------------------------

SIX = (1, 1, 2, 2, 4, 4)
DDPM = {"scale_shift": False, "resample": "conv", "ddpm": True}
IDDPM = {"attend": (2, 3), "heads": 4, "out": 6, "resample": "conv"}
ADM = {"head_dim": 64, "out": 6}
LDM = {"channels": 4, "out": 4, "scale_shift": False, "resample": "conv"}
LDM_F4 = {"attend": (1, 2, 3), "head_dim": 32, "scale_shift": False, "resample": "conv"}
SD = LDM | {"dim": 320, "mults": (1, 2, 4, 4), "blocks": 2, "attend": (0, 1, 2)}

VARIANTS = {
    "ddpm_cifar10": Config(128, (1, 2, 2, 2), 2, (1,), **DDPM),
    "ddpm_256": Config(128, SIX, 2, (4,), **DDPM),
    "iddpm_cifar10": Config(128, (1, 2, 2, 2), 3, (1, 2), heads=4, out=6, resample="conv"),
    "iddpm_64": Config(128, (1, 2, 3, 4), 3, **IDDPM),
    "iddpm_64_classes": Config(192, (1, 2, 3, 4), 3, classes=1000, **IDDPM),
    "iddpm_lsun": Config(128, SIX, 2, (4,), out=6, scale_shift=False, resample="conv"),
    "iddpm_64_to_256": Config(192, SIX, 2, (4, 5), heads=4, channels=6, out=6, classes=1000, resample="conv"),
    "adm_64": Config(192, (1, 2, 3, 4), 3, (1, 2, 3), classes=1000, **ADM),
    "adm_128": Config(256, (1, 1, 2, 3, 4), 2, (2, 3, 4), classes=1000, heads=4, out=6),
    "adm_256": Config(256, SIX, 2, (3, 4, 5), classes=1000, **ADM),
    "adm_256_uncond": Config(256, SIX, 2, (3, 4, 5), **ADM),
    "adm_512": Config(256, (0.5, *SIX), 2, (4, 5, 6), classes=1000, **ADM),
    "adm_64_to_256": Config(192, SIX, 2, (3, 4, 5), channels=6, classes=1000, heads=4, out=6),
    "adm_128_to_512": Config(192, SIX, 2, (4, 5), channels=6, classes=1000, **ADM),
    "ldm_vq_f4": Config(224, (1, 2, 3, 4), 2, **LDM_F4),  # CelebA-HQ, FFHQ, LSUN bedrooms
    "ldm_churches": Config(192, (1, 2, 2, 4, 4), 2, (0, 1, 2, 3), channels=4, out=4, heads=8),
    "ldm_imagenet_vq_f8": Config(256, (1, 2, 4), 2, (0, 1, 2), head_dim=32, context_dim=512, **LDM),
    "ldm_imagenet": Config(
        192, (1, 2, 3, 5), 2, (1, 2, 3), heads=1, context_dim=512, scale_shift=False, resample="conv"
    ),
    "ldm_text_cc": Config(192, (1, 2, 3, 5), 2, context_dim=640, **LDM_F4),
    "ldm_text": Config(**SD, heads=8, context_dim=1280),  # "LDM 1.45B", text2img-large
    "sd_1": Config(**SD, heads=8, context_dim=768),
    "sd_1_inpainting": Config(**SD | {"channels": 9}, heads=8, context_dim=768),
    "sd_2": Config(**SD, head_dim=64, context_dim=1024),
    "sd_2_inpainting": Config(**SD | {"channels": 9}, head_dim=64, context_dim=1024),
    "sd_x4": Config(
        256,
        (1, 2, 2, 4),
        2,
        (1, 2, 3),
        heads=8,
        context_dim=1024,
        classes=1000,
        only_context=(0, 1, 2),
        **LDM | {"channels": 7},
    ),
}

CLASSIFIERS = {  # of ADM: size of the pictures and the encoder
    64: Config(128, (1, 2, 3, 4), 4, (1, 2, 3), out=1000, head_dim=64),
    128: Config(128, (1, 1, 2, 3, 4), 2, (2, 3, 4), out=1000, head_dim=64),
    256: Config(128, SIX, 2, (3, 4, 5), out=1000, head_dim=64),
    512: Config(128, (0.5, *SIX), 2, (4, 5, 6), out=1000, head_dim=64),
}
