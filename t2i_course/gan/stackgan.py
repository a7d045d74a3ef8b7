"""StackGAN: sketch first, then paint. Two GANs, one on top of the other.

"StackGAN: Text to Photo-Realistic Image Synthesis with Stacked Generative Adversarial Networks", Zhang, Xu, Li, Zhang,
Wang, Huang and Metaxas, ICCV 2017; as released for MS-COCO (StackGAN-Pytorch). Two things were new. Stage I draws
64x64, and Stage II draws 256x256 from what Stage I drew and, once more, the caption. And the caption's embedding t
reaches the generators through *conditioning augmentation* (section 3.2): not t itself but a draw near it,

    c = mu(t) + sigma(t) * eps,   eps ~ N(0, 1),      with the loss  KL( N(mu, sigma^2) || N(0, 1) )

so that the few captions of a data set fill the space between them. B captions, E numbers of an embedding, C channels.
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

from t2i_course import worlds
from t2i_course.nn.losses import kl_to_standard_normal
from t2i_course.nn.noise import noises
from t2i_course.paths import DATA
from t2i_course.text.char_cnn_rnn import WORLDS, CharCNNRNN, embed, several_captions
from t2i_course.weights import load_weights

from .parts import (
    MATCHING_WEIGHT,
    Discriminator,
    among_others,
    discriminator_loss,
    initialise,
    judged_together,
    packs_of,
    packs_should_be,
    should_be,
    told_apart,
    with_matching,
)

if TYPE_CHECKING:
    from t2i_course.training import Recipe

KL_WEIGHT = 2.0  # lambda, as released; the paper has 1


@dataclass(frozen=True)
class Config:
    """Sizes of a StackGAN."""

    size: int = 256  # of the pictures of Stage II; those of Stage I are 64x64
    z_dim: int = 100
    condition_dim: int = 128
    text_dim: int = 1024
    generator_width: int = 192
    discriminator_width: int = 96
    residuals: int = 2  # blocks in Stage II
    rectified: bool = True  # mu and log sigma^2 leave a ReLU, so sigma >= 1: in the released code, not in the paper
    match: bool = False  # D also learns by `matching`, and G from it: not in the paper
    packed: bool = False  # D also judges packs of two pictures, see parts.py: not in the paper

    def __post_init__(self):
        if self.size < 64 or self.size & (self.size - 1):
            raise ValueError(f"size={self.size}: StackGAN draws 64, 128, 256, ... pixels.")


VARIANTS = {
    "full": Config(),
    "small": Config(
        128,
        z_dim=32,
        text_dim=256,
        generator_width=32,
        discriminator_width=32,
        residuals=1,
        rectified=False,
        match=True,
    ),
}


# --- the generators ---------------------------------------------------------------------------------------------------


class ConditioningAugmentation(nn.Module):
    """Embeddings (B, E) -> mean and log variance (B, condition_dim)."""

    def __init__(self, config: Config):
        super().__init__()
        self.fc = nn.Linear(config.text_dim, 2 * config.condition_dim)
        self.last = nn.ReLU() if config.rectified else nn.Identity()

    def forward(self, text: Tensor) -> tuple[Tensor, Tensor]:
        return self.last(self.fc(text)).chunk(2, 1)


def condition(mu: Tensor, logvar: Tensor, eps: Tensor) -> Tensor:
    """c = mu + sigma * eps."""
    return mu + (logvar / 2).exp() * eps


def conv_block(dim_in: int, dim: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """Convolution, batch norm, ReLU."""
    conv = nn.Conv2d(dim_in, dim, kernel, stride, 1, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(dim), nn.ReLU())


def up_block(dim_in: int, dim: int) -> nn.Sequential:
    """Twice as wide and high."""
    return nn.Sequential(nn.Upsample(scale_factor=2), conv_block(dim_in, dim))


class Residual(nn.Module):
    """Two 3x3 convolutions, added to what comes in."""

    def __init__(self, dim: int):
        super().__init__()
        self.body = nn.Sequential(
            conv_block(dim, dim), nn.Conv2d(dim, dim, 3, padding=1, bias=False), nn.BatchNorm2d(dim)
        )

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.body(x))


class StageI(nn.Module):
    """Noise and embeddings -> sketches (B, 3, 64, 64) in [-1, 1]."""

    def __init__(self, config: Config):
        super().__init__()
        c = 8 * config.generator_width
        self.augment = ConditioningAugmentation(config)
        self.project = nn.Sequential(
            nn.Linear(config.z_dim + config.condition_dim, c * 4 * 4, bias=False), nn.BatchNorm1d(c * 4 * 4), nn.ReLU()
        )
        self.grow = nn.Sequential(*(up_block(c // 2**k, c // 2 ** (k + 1)) for k in range(4)))
        self.to_picture = nn.Conv2d(c // 16, 3, 3, padding=1, bias=False)

    def forward(self, z: Tensor, eps: Tensor, text: Tensor) -> dict[str, Tensor]:
        """z (B, Z), eps (B, condition_dim), text (B, E) -> "picture", "mu", "logvar"."""
        mu, logvar = self.augment(text)
        x = self.project(torch.cat([z, condition(mu, logvar, eps)], 1))  # (B, 16 C)
        x = self.grow(x.unflatten(1, (-1, 4, 4)))  # (B, C / 16, 64, 64)
        return {"picture": torch.tanh(self.to_picture(x)), "mu": mu, "logvar": logvar}


class StageII(nn.Module):
    """Sketches and, once more, embeddings -> pictures (B, 3, size, size) in [-1, 1]. Stage I is inside, and frozen."""

    def __init__(self, config: Config):
        super().__init__()
        c = config.generator_width
        self.stage1 = StageI(config).requires_grad_(False)
        self.augment = ConditioningAugmentation(config)
        self.look = nn.Sequential(
            nn.Conv2d(3, c, 3, padding=1, bias=False),
            nn.ReLU(),
            conv_block(c, 2 * c, 4, 2),
            conv_block(2 * c, 4 * c, 4, 2),
        )
        self.join = conv_block(4 * c + config.condition_dim, 4 * c)
        self.refine = nn.Sequential(*(Residual(4 * c) for _ in range(config.residuals)))
        ups = (config.size // 16).bit_length() - 1  # from 16x16
        self.grow = nn.Sequential(*(up_block(4 * c // 2**k, 4 * c // 2 ** (k + 1)) for k in range(ups)))
        self.to_picture = nn.Conv2d(4 * c // 2**ups, 3, 3, padding=1, bias=False)

    def forward(
        self, z: Tensor, eps1: Tensor, eps2: Tensor, text: Tensor, sketched: Tensor | None = None
    ) -> dict[str, Tensor]:
        """As Stage I, and the "sketch"; each stage has its own noise eps around the caption.

        sketched (B, E): what Stage I is told, if it is something else.
        """
        with torch.no_grad():
            sketch = self.stage1(z, eps1, text if sketched is None else sketched)["picture"]  # (B, 3, 64, 64)
        return self.paint(sketch, eps2, text) | {"sketch": sketch}

    def paint(self, sketch: Tensor, eps: Tensor, text: Tensor) -> dict[str, Tensor]:
        """Any sketches (B, 3, 64, 64), and what they shall become: "picture", "mu", "logvar"."""
        mu, logvar = self.augment(text)
        c = condition(mu, logvar, eps)[:, :, None, None].expand(-1, -1, 16, 16)
        x = self.join(torch.cat([self.look(sketch), c], 1))  # (B, 4C, 16, 16)
        x = self.grow(self.refine(x))  # (B, C', size, size)
        return {"picture": torch.tanh(self.to_picture(x)), "mu": mu, "logvar": logvar}

    def train(self, mode: bool = True) -> StageII:
        """As ever, but Stage I is finished: its batch norm keeps its statistics."""
        super().train(mode)
        self.stage1.eval()
        return self


def build(config: Config, stage: int) -> nn.ModuleDict:
    """A generator and a discriminator of one stage that have yet to be trained.

    D sees mu as the caption. That of Stage II also judges pictures alone.
    """
    generator = (StageI if stage == 1 else StageII)(config)
    size = 64 if stage == 1 else config.size
    matched = config.text_dim if config.match else 0
    options = {"alone": stage == 2, "matched": matched, "packed": config.packed}
    d = Discriminator(size, config.discriminator_width, config.condition_dim, **options)
    net = nn.ModuleDict({"generator": generator, "discriminator": d})
    initialise(net)
    return net


# --- losses -----------------------------------------------------------------------------------------------------------


def losses(
    net: nn.ModuleDict,
    real: Tensor,
    text: Tensor,
    config: Config,
    wrongs: int = 1,
    astray: float = 0.0,
    candidates: Tensor | None = None,
    same: Tensor | None = None,
    fits: Tensor | None = None,
) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """One step of D, then one of G, of either stage. real (B, 3, H, W): true pictures; text (B, E): their captions.

    astray: the share of Stage II's sketches that were made for the caption of a neighbour; it must correct them. If D
    can match, both also learn by `matching`, among candidates (B + K, E), of which the first are captions of the true
    pictures, and same (B + K, B) says which others fit them; without candidates, among text. fits (B, B), bool:
    captions that are true of other pictures, too; if D is packed, they are drawn twice.
    """
    generator, d, n = net["generator"], net["discriminator"], len(text)
    candidates = text if candidates is None else candidates
    first, second = packs_of(fits)

    def random(dim):
        return torch.randn(n + len(first), dim, device=text.device)

    noises, told = [random(config.z_dim), random(config.condition_dim)], [text]
    if isinstance(generator, StageII):
        noises.append(random(config.condition_dim))
        led = torch.rand(n, 1, device=text.device) < astray
        told.append(torch.where(led, text.roll(1, 0), text))
    out = generator(*noises, *(torch.cat([captions, captions[first]]) for captions in told))
    mu, logvar = out["mu"][:n], out["logvar"][:n]
    asked, seen = mu.detach(), d.look(real)
    seen_drawn, again = d.look(out["picture"].detach()).split([n, len(first)])
    of_packs = packs_should_be(1.0, d, seen[first], seen[second], asked[first])
    of_packs = of_packs + packs_should_be(0.0, d, seen_drawn[first], again, asked[first])
    loss = discriminator_loss(d, seen, seen_drawn, asked, wrongs) + of_packs
    yield "discriminator", with_matching(d, loss, seen, candidates, same=same, packs=of_packs)

    d.requires_grad_(False)  # it is asked, not taught: a third less work
    seen_drawn, again = d.look(out["picture"]).split([n, len(first)])
    logits = judged_together(d.judge, seen.detach(), asked, (seen_drawn, asked), wrongs)
    terms = {"caption": should_be(1.0, logits[-1])}
    if d.alone is not None:
        terms["alone"] = should_be(1.0, d.judge_alone(seen_drawn))
    terms["packs"] = packs_should_be(1.0, d, seen_drawn[first], again, asked[first])
    kl = kl_to_standard_normal(mu.float(), logvar.float())
    loss = sum(terms.values()) + KL_WEIGHT * kl
    yield "generator", with_matching(d, loss, seen_drawn, candidates, MATCHING_WEIGHT, same, **terms, kl=kl)
    d.requires_grad_(True)


# --- drawing ----------------------------------------------------------------------------------------------------------


class StackGAN:
    """Both trained stages, and the text encoder that they were trained with."""

    def __init__(self, text: CharCNNRNN, generator: StageII, config: Config, known_words_only: bool = True):
        self.text = text.eval() if isinstance(text, nn.Module) else text  # whatever encodes captions
        self.generator, self.config = generator.eval(), config
        self.known_words_only = known_words_only

    @classmethod
    def load(
        cls, variant: str = "small", weights: str | Path | None = None, text: CharCNNRNN | None = None
    ) -> StackGAN:
        """The model that ships with the course ("small"), or the published one ("full") from the file of its Stage II.

        The published model reads embeddings of a char-CNN-RNN for MS-COCO whose weights were never released in a format
        that is read here; give as `text` what shall encode captions: anything with `encode(captions) -> (B, 1024)`.
        """
        if variant not in VARIANTS:
            raise ValueError(f"stackgan has no variant {variant!r}. Its variants are: {', '.join(VARIANTS)}.")
        if variant != "small":
            from t2i_course.published.stackgan import load

            return load(weights, text)
        config = VARIANTS["small"]
        file = Path(weights or DATA / "weights" / "stackgan.safetensors")
        net = nn.ModuleDict({"generator": StageII(config)})
        load_weights(net, file, f"Train it: t2i train stackgan_2 --export {file}")
        generator = net["generator"].requires_grad_(False)
        return cls(text or CharCNNRNN.load("small"), generator, config, known_words_only=text is None)

    def embed(self, captions: Sequence[str]) -> Tensor:
        """The embeddings (B, E) of captions. Raises UnknownWord for a word that the small encoder never read."""
        return embed(self.text, captions, self.config.text_dim, self.known_words_only)

    def explain(self, captions: Sequence[str], seed: int = 0) -> dict[str, Tensor]:
        """Everything worth seeing: "sketch" of Stage I, "picture" of Stage II, its "mu" and "logvar", "text"."""
        text, eps = self.embed(captions), self.config.condition_dim
        with torch.no_grad():
            return self.generator(*noises(seed, len(text), self.config.z_dim, eps, eps), text) | {"text": text}

    def frames(self, captions: Sequence[str], seed: int = 0) -> Iterator[Tensor]:
        """Two frames, pictures (B, 3, size, size) in [-1, 1]: the sketch, enlarged, and the picture."""
        out = self.explain(captions, seed)
        yield F.interpolate(out["sketch"], scale_factor=self.config.size // 64)
        yield out["picture"]

    def draw(self, captions: Sequence[str], seed: int = 0) -> Tensor:
        """The last frame."""
        return self.explain(captions, seed)["picture"]


# --- the recipes of the small one -------------------------------------------------------------------------------------


def recipe(name: str, *, ahead: int = 1000, others: int = 112, packs_from: int = 0, stage1: str = "") -> Recipe:
    """How the small StackGAN is trained on flowers and birds: "stackgan_1" at 64x64, then "stackgan_2" at 128x128.

    A quarter of the sketches that Stage II is given lead it astray, as those of other captions: otherwise it learns to
    enlarge them, and does not read. And of the sixteen captions in its batches two or three facts tell the right one,
    so its pictures are compared with `others` besides. As with GAN-INT-CLS, D is `ahead` of G by so many steps, in
    which it learns which captions are right, each picture meets four wrong captions (six while D is ahead), both learn
    at twice the rate, and by `matching`, and the weights that draw are a moving average. And the first weights let mu
    be heard through its noise, in which our encoder's small numbers would be drowned. packs_from: the step from which
    the D of Stage I also judges packs of two sketches, lest G draw one of each caption (0: never). stage1: the weights
    that Stage II sketches with, if not those that ship.
    """
    from t2i_course.judge.progress import caption_accuracies, sample_sheet
    from t2i_course.training import Recipe, constant

    config, encoder, stage = VARIANTS["small"], CharCNNRNN.load("small"), int(name[-1])
    config = replace(config, packed=packs_from > 0)
    if stage1 and stage == 1:
        raise ValueError("Stage I sketches with its own weights: stage1 is for stackgan_2.")
    if others != 112 and stage == 1:
        raise ValueError("Stage I is compared with its batch alone: others is for stackgan_2.")
    if packs_from and stage == 2:
        raise ValueError("The pictures of Stage II vary as their sketches do: packs_from is for stackgan_1.")
    size, batch_size = (64, 32) if stage == 1 else (config.size, 16)

    def start():
        net = build(config, stage)
        with torch.no_grad():
            told = encoder.encode([worlds.load(world).caption("train", i)[0] for world in WORLDS for i in range(100)])
            net["generator"].augment.fc.weight.div_(told.std())
        if stage == 2:
            file = Path(stage1 or DATA / "weights" / "stackgan_1.safetensors")
            first = nn.ModuleDict({"generator": net["generator"].stage1})
            load_weights(first, file, f"Train it: t2i train stackgan_1 --export {file}")
        return net

    def batches(seed, start):
        stream = worlds.mixed_batches(WORLDS, "train", size, batch_size, seed, start=start, epochs=None, more=3)
        return enumerate(stream, start)

    def small_losses(net, numbered):
        step, batch = numbered
        device = batch.pictures.device
        fits = same = batch.fits().fill_diagonal_(False).to(device) if 0 < packs_from <= step else None
        text = candidates = several_captions(encoder.to(device), batch, fits)
        if stage == 2:
            captions, same = among_others(batch, WORLDS, others)
            same = same.to(text.device)
            with torch.no_grad():  # single captions all: a mean of several would be known by being one
                candidates = encoder.encode(captions).float()
        if step >= ahead:
            among = {"candidates": candidates, "same": same}
            yield from losses(net, batch.pictures, text, config, wrongs=4, astray=0.25, fits=fits, **among)
        else:
            mu = net["generator"].augment(text)[0].detach()
            yield "discriminator", told_apart(net["discriminator"], batch.pictures, mu, candidates, same)

    def draw(net):
        generator = copy.deepcopy(net["generator"]).cpu()
        if stage == 2:
            return StackGAN(encoder.cpu(), generator, config).draw

        def sketch(captions, seed):
            z, eps = noises(seed, len(captions), config.z_dim, config.condition_dim)
            return generator(z, eps, encoder.cpu().encode(captions))["picture"]

        return sketch

    def optimisers(net):
        trained = {part: [p for p in net[part].parameters() if p.requires_grad] for part in net}
        return {part: torch.optim.Adam(parameters, 4e-4, (0.5, 0.999)) for part, parameters in trained.items()}

    return Recipe(
        name=name,
        build=start,
        batches=batches,
        losses=small_losses,
        optimisers=optimisers,
        steps=8_000 if stage == 1 else 7_000,
        schedule=constant,
        ema=0.999,
        grad_clip=None,
        evaluate=lambda net: caption_accuracies(draw(net), WORLDS),
        sample=lambda net, step: sample_sheet(draw(net), WORLDS, each=16),
        every=1000,
        leave_out=("discriminator.",),
    )
