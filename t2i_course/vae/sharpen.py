"""Sharpening: an adversarial network draws the edges that alignDRAW's pictures lack.

alignDRAW (aligndraw.py) answers for every pixel alone, so its pictures are blurred. Section 3.4 of its paper lets a GAN
add what is missing: one level of a Laplacian pyramid ("Deep Generative Image Models using a Laplacian Pyramid of
Adversarial Networks", Denton, Chintala, Szlam and Fergus, NIPS 2015), which is told the caption, too:

    low = up(down(x)),   edges = G(noise, caption, low),   picture = low + edges

It is trained on true pictures x that were made half as large and enlarged again. In drawing, alignDRAW's picture takes
the place of `low`, and the noise is zero: the authors found that this works best.

B captions, E numbers of an embedding.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from t2i_course import worlds
from t2i_course.gan.parts import Discriminator, judged_together, should_be
from t2i_course.paths import DATA
from t2i_course.text.char_cnn_rnn import WORLDS, CharCNNRNN, check_words
from t2i_course.weights import load_weights

if TYPE_CHECKING:
    from t2i_course.training import Recipe

SIZE = 32


@dataclass(frozen=True)
class Config:
    """Sizes of a sharpener for pictures of 32x32."""

    text_dim: int = 4800  # of the embedding of a caption: skip-thought vectors in the paper
    width: int = 128
    discriminator_width: int = 64  # D was not released; ours is that of the GANs of this course


VARIANTS = {"full": Config(), "small": Config(text_dim=256, width=32, discriminator_width=16)}


class Sharpener(nn.Module):
    """What is low in detail, captions and noise -> sharper pictures. All three are planes of one picture."""

    def __init__(self, config: Config):
        super().__init__()
        self.text = nn.Sequential(nn.Linear(config.text_dim, SIZE * SIZE), nn.ReLU())
        self.edges = nn.Sequential(
            *(nn.Conv2d(5, config.width, 7, padding=3), nn.ReLU()),
            *(nn.Conv2d(config.width, config.width, 7, padding=3), nn.ReLU()),
            nn.Conv2d(config.width, 3, 5, padding=2),
        )

    def forward(self, low: Tensor, text: Tensor, eps: Tensor) -> Tensor:
        """low (B, 3, 32, 32) in [-1, 1], text (B, E), noise eps (B, 1, 32, 32) -> sharper ones, not yet in [-1, 1]."""
        told = self.text(text).unflatten(1, (1, SIZE, SIZE))
        return low + self.edges(torch.cat([eps, told, low], 1))


def build(config: Config) -> nn.ModuleDict:
    """A sharpener and its discriminator that have yet to be trained."""
    d = Discriminator(SIZE, config.discriminator_width, config.text_dim, alone=False)
    return nn.ModuleDict({"generator": Sharpener(config), "discriminator": d})


def lowered(pictures: Tensor) -> Tensor:
    """Pictures (B, 3, H, W) without what their half-sized copies do not hold."""
    return F.interpolate(F.avg_pool2d(pictures, 2), scale_factor=2.0, mode="bilinear")


def losses(net: nn.ModuleDict, real: Tensor, text: Tensor) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """One step of D, then one of G. real (B, 3, 32, 32) in [-1, 1]: true pictures; text (B, E): their captions."""
    g, d = net["generator"], net["discriminator"]
    drawn = g(lowered(real), text, torch.randn_like(real[:, :1]))
    seen = d.look(real)
    true, false = judged_together(d.judge, seen, text, (d.look(drawn.detach()), text), wrongs=0)
    yield "discriminator", {"loss": should_be(1.0, true) + should_be(0.0, false)}

    d.requires_grad_(False)  # it is asked, not taught
    logits = judged_together(d.judge, seen.detach(), text, (d.look(drawn), text), wrongs=0)[-1]
    yield "generator", {"loss": should_be(1.0, logits)}
    d.requires_grad_(True)


# --- sharpening -------------------------------------------------------------------------------------------------------


class Sharpen:
    """A trained sharpener and the text encoder that it was trained with."""

    def __init__(self, text: CharCNNRNN, generator: Sharpener):
        self.text, self.generator = text.eval(), generator.eval().requires_grad_(False)

    @classmethod
    def load(cls, weights: str | Path | None = None) -> Sharpen:
        """The small one that ships with the course."""
        file = Path(weights or DATA / "weights" / "sharpen.safetensors")
        net = nn.ModuleDict({"generator": Sharpener(VARIANTS["small"])})
        load_weights(net, file, f"Train it: t2i train sharpen --export {file}")
        return cls(CharCNNRNN.load("small"), net["generator"])

    def __call__(self, pictures: Tensor, captions: Sequence[str]) -> Tensor:
        """Blurred pictures (B, 3, 32, 32) in [-1, 1] and their captions -> sharper ones, in [-1, 1], too.

        Raises UnknownWord for a word that the encoder never read, and ValueError for other shapes, or another number
        of captions.
        """
        check_words(captions)
        if pictures.shape != (len(captions), 3, SIZE, SIZE):
            raise ValueError(
                f"{len(captions)} captions need pictures of shape {(len(captions), 3, SIZE, SIZE)}, "
                f"not {tuple(pictures.shape)}."
            )
        with torch.no_grad():
            return self.generator(pictures, self.text.encode(captions), torch.zeros_like(pictures[:, :1])).clamp(-1, 1)


# --- the recipe of the small one --------------------------------------------------------------------------------------


def recipe(name: str = "sharpen", *, steps: int = 3000, batch_size: int = 32) -> Recipe:
    """How the small sharpener is trained, on flowers and birds at 32x32; the weights that draw are a moving average."""
    from t2i_course.show.files import grid
    from t2i_course.training import Recipe, constant
    from t2i_course.worlds.base import to_uint8

    encoder = CharCNNRNN.load("small")

    def small_losses(net, batch):
        with torch.no_grad():
            text = encoder.to(batch.pictures.device).encode(batch.captions)
        yield from losses(net, batch.pictures, text)

    def some():
        return worlds.Batch.joined(
            [next(worlds.load(world).batches("val", SIZE, 64, n=64, shuffle=False)) for world in WORLDS]
        )

    def sharpened(net):
        batch = some()
        sharpen = Sharpen(encoder.cpu(), copy.deepcopy(net["generator"]).cpu())
        return batch.pictures, lowered(batch.pictures), sharpen(lowered(batch.pictures), batch.captions)

    def evaluate(net):
        """How much detail (mean size of what `lowered` takes away) there is, as a share of that of true pictures."""
        true, low, sharp = ((p - lowered(p)).abs().mean().item() for p in sharpened(net))
        return {"detail": sharp / true, "detail before": low / true}

    def sample(net, step):
        """Rows of true pictures, lowered and sharpened ones."""
        return grid(to_uint8(torch.cat([p[56:72] for p in sharpened(net)])), 16)

    return Recipe(
        name=name,
        build=lambda: build(VARIANTS["small"]),
        batches=lambda seed, start: worlds.mixed_batches(
            WORLDS, "train", SIZE, batch_size, seed, start=start, epochs=None
        ),
        losses=small_losses,
        optimisers=lambda net: {p: torch.optim.Adam(net[p].parameters(), 2e-4, (0.5, 0.999)) for p in net},
        steps=steps,
        schedule=constant,
        ema=0.999,
        grad_clip=None,
        evaluate=evaluate,
        sample=sample,
        every=500,
        leave_out=("discriminator.",),
    )
