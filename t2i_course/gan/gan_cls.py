"""GAN-INT-CLS: the first GAN that draws captions.

"Generative Adversarial Text to Image Synthesis", Reed, Akata, Yan, Logeswaran, Schiele and Lee, ICML 2016. A generator
G draws a picture from noise z and a caption's embedding t; a discriminator D says whether a picture is a true one of
this caption. Two things were new, and each can be left out:

    CLS   D is also shown true pictures with wrong captions, lest it look at the picture alone (algorithm 1):
          L_D = - log D(x, t) - 1/2 [ log(1 - D(x, t_wrong)) + log(1 - D(G(z, t), t)) ]
    INT   G also learns from captions that nobody wrote, halfway between two embeddings (equation 5, with the - log D
          of algorithm 1; here the mean over a batch of captions t, and half as many t', together):
          L_G = - log D(G(z, t), t) - log D(G(z, t'), t')    with  t' = (t_a + t_b) / 2

B captions, E numbers of an embedding, P of its projection, C channels.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from t2i_course.nn.noise import noise
from t2i_course.paths import DATA
from t2i_course.text.char_cnn_rnn import WORLDS, CharCNNRNN, embed, several_captions
from t2i_course.weights import load_weights

from .parts import (
    MATCHING_WEIGHT,
    apart,
    initialise,
    judged_together,
    pack_judge,
    packs_of,
    packs_should_be,
    should_be,
    told_apart,
    with_matching,
)

if TYPE_CHECKING:
    from t2i_course.training import Recipe


@dataclass(frozen=True)
class Config:
    """Sizes of a GAN-INT-CLS for pictures of 64x64."""

    z_dim: int = 100
    text_dim: int = 1024  # of the embedding that comes in
    projected: int = 128  # numbers that the embedding is reduced to, in G and in D
    generator_width: int = 128
    discriminator_width: int = 64
    coco: bool = False  # D as released for MS-COCO: activated after its third convolution, its text not normalised
    match: bool = False  # D also learns by `matching`, and G from it: not in the paper
    packed: bool = False  # D also judges packs of two pictures, see parts.py: not in the paper


VARIANTS = {
    "full": Config(),
    "full_coco": Config(generator_width=196, discriminator_width=196, coco=True),
    "small": Config(text_dim=256, generator_width=32, discriminator_width=32, coco=True, match=True),
}


class Residual(nn.Module):
    """A bottleneck around which the input is added back."""

    def __init__(self, dim: int, narrow: int, activation: nn.Module):
        super().__init__()
        self.activation = activation
        self.body = nn.Sequential(
            *(nn.Conv2d(dim, narrow, 1), nn.BatchNorm2d(narrow), activation),
            *(nn.Conv2d(narrow, narrow, 3, padding=1), nn.BatchNorm2d(narrow), activation),
            *(nn.Conv2d(narrow, dim, 3, padding=1), nn.BatchNorm2d(dim)),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(x + self.body(x))


class Generator(nn.Module):
    """Noise (B, Z) and embeddings (B, E) -> pictures (B, 3, 64, 64) in [-1, 1]."""

    def __init__(self, config: Config):
        super().__init__()
        c, relu = config.generator_width, nn.ReLU()

        def double(dim_in, dim):  # twice as wide and high
            return nn.ConvTranspose2d(dim_in, dim, 4, 2, 1), nn.BatchNorm2d(dim)

        self.project = nn.Sequential(nn.Linear(config.text_dim, config.projected), nn.LeakyReLU(0.2))
        self.body = nn.Sequential(
            *(nn.ConvTranspose2d(config.z_dim + config.projected, 8 * c, 4), nn.BatchNorm2d(8 * c)),  # (B, 8C, 4, 4)
            Residual(8 * c, 2 * c, relu),
            *double(8 * c, 4 * c),  # (B, 4C, 8, 8)
            Residual(4 * c, c, relu),
            *double(4 * c, 2 * c),  # (B, 2C, 16, 16)
            relu,
            *double(2 * c, c),  # (B, C, 32, 32)
            relu,
            nn.ConvTranspose2d(c, 3, 4, 2, 1),
        )
        initialise(self)

    def forward(self, z: Tensor, text: Tensor) -> Tensor:
        x = torch.cat([z, self.project(text)], 1)  # (B, Z + P)
        return torch.tanh(self.body(x[:, :, None, None]))  # (B, 3, 64, 64)


class Discriminator(nn.Module):
    """Pictures (B, 3, 64, 64) and embeddings (B, E) -> logits (B,), high for a true picture of its caption.

    Only differences mean something: in drawing batch norm takes its running averages, and 0 is no border.
    """

    def __init__(self, config: Config):
        super().__init__()
        c, leaky = config.discriminator_width, nn.LeakyReLU(0.2)

        def halve(dim_in, dim):
            return nn.Conv2d(dim_in, dim, 4, 2, 1), nn.BatchNorm2d(dim)

        self.look = nn.Sequential(
            *(nn.Conv2d(3, c, 4, 2, 1), leaky),  # (B, C, 32, 32)
            *(*halve(c, 2 * c), leaky),  # (B, 2C, 16, 16)
            *(*halve(2 * c, 4 * c), leaky if config.coco else nn.Identity()),  # (B, 4C, 8, 8)
            *halve(4 * c, 8 * c),  # (B, 8C, 4, 4)
            Residual(8 * c, 2 * c, leaky),
        )
        normalise = nn.Identity() if config.coco else nn.BatchNorm1d(config.projected)
        self.project = nn.Sequential(nn.Linear(config.text_dim, config.projected), normalise, leaky)
        self.compare = nn.Sequential(
            *(nn.Conv2d(8 * c + config.projected, 8 * c, 1), nn.BatchNorm2d(8 * c), leaky),
            nn.Conv2d(8 * c, 1, 4),
        )
        self.match = nn.Linear(8 * c * 4 * 4, config.text_dim) if config.match else None
        self.compare_pack = pack_judge(8 * c + config.projected) if config.packed else None
        initialise(self)

    def forward(self, pictures: Tensor, text: Tensor) -> Tensor:
        return self.judge(self.look(pictures), text)

    def judge(self, seen: Tensor, text: Tensor) -> Tensor:
        """Logits (B,) from what was seen in the pictures (B, 8C, 4, 4) and the embeddings of captions (B, E)."""
        asked = self.project(text)[:, :, None, None].expand(-1, -1, 4, 4)  # (B, P, 4, 4)
        return self.compare(torch.cat([seen, asked], 1)).flatten()  # (B,)

    def judge_pack(self, seen: Tensor, again: Tensor, text: Tensor) -> Tensor:
        """Logits (P,), high for two true pictures of one caption, from what was seen in both (P, 8C, 4, 4)."""
        return self.compare_pack(torch.cat([apart(seen, again), self.project(text)], 1)).flatten()


# --- losses -----------------------------------------------------------------------------------------------------------


def discriminator_loss(real: Tensor, *others: Tensor) -> Tensor:
    """L_D from the logits of true pairs and of others: wrong pairs (if CLS) and drawn ones, counting half each."""
    return should_be(1.0, real) + sum(should_be(0.0, logits) for logits in others) / len(others)


def interpolated(text: Tensor) -> Tensor:
    """Embeddings (B, E) -> those halfway between the first half of the batch and the second (B // 2, E)."""
    half = len(text) // 2
    return 0.5 * (text[:half] + text[half : 2 * half])


def losses(
    net: nn.ModuleDict,
    real: Tensor,
    text: Tensor,
    config: Config,
    matching_aware: bool = True,
    interpolate: bool = True,
    wrongs: int = 1,
    fits: Tensor | None = None,
) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """One step of D, then one of G. The paper's four variants are `matching_aware` and `interpolate`, on or off.

    real (B, 3, 64, 64): true pictures; text (B, E): the embeddings of their captions. `wrongs`: with how many wrong
    captions each true picture is shown to D (the paper: one). If D can match, both also learn by `matching`.
    fits (B, B), bool: which captions are true of other pictures, too. For `matching` these are not wrong, and if D is
    packed, they are drawn twice.
    """
    generator, discriminator = net["generator"], net["discriminator"]
    wrongs = wrongs if matching_aware else 0

    def draw(text):
        return generator(torch.randn(len(text), config.z_dim, device=text.device), text)

    n, (first, second) = len(text), packs_of(fits)
    drawn, seen = draw(torch.cat([text, text[first]])), discriminator.look(real)
    seen_drawn, again = discriminator.look(drawn.detach()).split([n, len(first)])
    logits = judged_together(discriminator.judge, seen, text, (seen_drawn, text), wrongs)
    of_packs = packs_should_be(1.0, discriminator, seen[first], seen[second], text[first])
    of_packs = of_packs + packs_should_be(0.0, discriminator, seen_drawn[first], again, text[first])
    loss = discriminator_loss(*logits) + of_packs
    yield "discriminator", with_matching(discriminator, loss, seen, text, same=fits, packs=of_packs)

    text_drawn = text
    if interpolate:
        text_drawn = torch.cat([text, interpolated(text)])
        drawn = torch.cat([drawn[:n], draw(text_drawn[n:]), drawn[n:]])
    discriminator.requires_grad_(False)  # it is asked, not taught: a third less work
    seen_drawn, again = discriminator.look(drawn).split([len(text_drawn), len(first)])
    logits = judged_together(discriminator.judge, seen.detach(), text, (seen_drawn, text_drawn), wrongs)
    of_packs = packs_should_be(1.0, discriminator, seen_drawn[first], again, text[first])
    loss = should_be(1.0, logits[-1]) + of_packs
    more = len(text_drawn) - n  # halfway between captions: true of nothing else
    same = None if fits is None else F.pad(fits, (0, more, 0, more))
    terms = {"same": same, "packs": of_packs}
    yield "generator", with_matching(discriminator, loss, seen_drawn, text_drawn, MATCHING_WEIGHT, **terms)
    discriminator.requires_grad_(True)


# --- drawing ----------------------------------------------------------------------------------------------------------


class GANCLS:
    """A trained generator and the text encoder that it was trained with: draws captions in a single pass.

    discriminator: the one that G learned from, to be asked; drawing needs none.
    """

    def __init__(
        self,
        text: CharCNNRNN,
        generator: Generator,
        config: Config,
        known_words_only: bool = True,
        discriminator: Discriminator | None = None,
    ):
        self.text, self.generator, self.config = text.eval(), generator.eval(), config
        self.known_words_only, self.discriminator = known_words_only, discriminator

    @classmethod
    def load(cls, variant: str = "small", weights: str | Path | None = None, text: CharCNNRNN | None = None) -> GANCLS:
        """The model that ships with the course ("small"), or one of the published size.

        The published weights exist in the format of Lua Torch alone, which is not read here. For "full" and
        "full_coco", `weights` is a network of this size that you trained, and `text` a published CharCNNRNN.
        """
        if variant not in VARIANTS:
            raise ValueError(f"gan_cls has no variant {variant!r}. Its variants are: {', '.join(VARIANTS)}.")
        if variant != "small" and (weights is None or text is None):
            raise ValueError(
                f"gan_cls {variant!r} needs text=ENCODER and weights=FILE (.safetensors) of a network of this size "
                "that you trained with the losses of gan/gan_cls.py; `t2i train` trains the small one. Of the "
                "published weights there is only the format of Lua Torch, which is not read here."
            )
        config = VARIANTS[variant]
        file = Path(weights or DATA / "weights" / "gan_cls.safetensors")
        net = build(config)
        load_weights(net, file, f"Train it: t2i train gan_cls --export {file}")
        net.requires_grad_(False)
        encoder, d = text or CharCNNRNN.load("small"), net["discriminator"].eval()
        return cls(encoder, net["generator"], config, known_words_only=text is None, discriminator=d)

    def embed(self, captions: Sequence[str]) -> Tensor:
        """The embeddings (B, E) of captions. Raises UnknownWord for a word that the small encoder never read."""
        return embed(self.text, captions, self.config.text_dim, self.known_words_only)

    def frames(self, captions: Sequence[str], seed: int = 0) -> Iterator[Tensor]:
        """One frame: pictures (B, 3, 64, 64) in [-1, 1]."""
        text = self.embed(captions)
        with torch.no_grad():
            picture = self.generator(noise(seed, len(text), self.config.z_dim), text)
        yield picture

    def draw(self, captions: Sequence[str], seed: int = 0) -> Tensor:
        """The only frame."""
        (picture,) = self.frames(captions, seed)
        return picture


def build(config: Config) -> nn.ModuleDict:
    """A generator and a discriminator that have yet to be trained."""
    return nn.ModuleDict({"generator": Generator(config), "discriminator": Discriminator(config)})


# --- the recipe of the small one --------------------------------------------------------------------------------------


def recipe(
    name: str = "gan_cls", *, steps: int = 5000, ahead: int = 800, batch_size: int = 48, packs_from: int = 0
) -> Recipe:
    """How the small GAN-INT-CLS is trained, on flowers and birds at 64x64, captions read by the frozen encoder.

    Six things that the paper does without: D is `ahead` of G by so many steps, in which it learns nothing but which
    captions are right, so that G hears from the start what is wrong; each picture meets four wrong captions (six while
    D is ahead); all pairs are judged as one batch; both learn at twice the rate; the weights that draw are a moving
    average; and, above all, both learn by `matching`. "gan_cls_plain" does without the last one, too. packs_from: the
    step from which D also judges packs of two pictures, lest G draw one of each caption (0: never).
    """
    from t2i_course import worlds
    from t2i_course.judge.progress import caption_accuracies, sample_sheet
    from t2i_course.training import Recipe, constant

    config, encoder = replace(VARIANTS["small"], packed=packs_from > 0), CharCNNRNN.load("small")
    if name == "gan_cls_plain":
        config = replace(config, match=False)

    def small_losses(net, numbered):
        step, batch = numbered
        device = batch.pictures.device
        fits = batch.fits().fill_diagonal_(False).to(device) if 0 < packs_from <= step else None
        text = several_captions(encoder.to(device), batch, fits)
        if step >= ahead:
            yield from losses(net, batch.pictures, text, config, wrongs=4, fits=fits)
        else:
            yield "discriminator", told_apart(net["discriminator"], batch.pictures, text, text)

    def batches(seed, start):
        stream = worlds.mixed_batches(WORLDS, "train", 64, batch_size, seed, start=start, epochs=None, more=3)
        return enumerate(stream, start)

    def draw(net):
        return GANCLS(encoder.cpu(), copy.deepcopy(net["generator"]).cpu(), config).draw

    def optimisers(net):
        return {part: torch.optim.Adam(net[part].parameters(), 4e-4, (0.5, 0.999)) for part in net}

    return Recipe(
        name=name,
        build=lambda: build(config),
        batches=batches,
        losses=small_losses,
        optimisers=optimisers,
        steps=steps,
        schedule=constant,
        ema=0.999,
        grad_clip=None,
        evaluate=lambda net: caption_accuracies(draw(net), WORLDS),
        sample=lambda net, step: sample_sheet(draw(net), WORLDS),
        every=1000,
        leave_out=("discriminator.compare_pack.",),
    )
