"""AttnGAN: every place of the picture looks up the words that concern it.

"AttnGAN: Fine-Grained Text to Image Generation with Attentional Generative Adversarial Networks", Xu, Zhang, Huang,
Zhang, Gan, Huang and He, CVPR 2018. Two things were new. The generator refines its picture in stages, and between
stages the features h_n of every place attend to the words e_i (equation 2):

    c_n = sum_i beta_ni e'_i,    beta_ni = softmax_i( h_n . e'_i ),    e' = U e

And the finished picture must let a DAMSM (damsm.py) find its caption among others: the loss of the generator is

    L_G = sum over stages of L_GAN + L_KL + lambda L_DAMSM        (equation 3; the KL term is in the released code)

where each stage has a discriminator of its own that judges the picture alone and the picture with its sentence
(equations 4 and 5; as in the released code, G's two terms are not halved, and D meets wrong captions, too: its loss is
the mean of two terms for what is true plus the mean of three for what is not). Sizes 64, 128, 256.

B captions, T words, D dims of a word, C channels, N places (H x W).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from t2i_course import worlds
from t2i_course.nn.attention import attention
from t2i_course.nn.losses import kl_to_standard_normal
from t2i_course.nn.noise import noises
from t2i_course.paths import DATA
from t2i_course.text.word_rnn import WordRNN
from t2i_course.text.words import vocabulary
from t2i_course.weights import load_weights
from t2i_course.worlds.language import words as split_words

from .damsm import DAMSM, WORLDS, read
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


@dataclass(frozen=True)
class Config:
    """Sizes of an AttnGAN."""

    stages: int = 3
    first_size: int = 64  # of the first stage's pictures; each next one doubles it
    z_dim: int = 100
    condition_dim: int = 100  # of the sentence once it has been reduced and made noisy
    text_dim: int = 256
    generator_width: int = 32
    discriminator_width: int = 64
    residuals: int = 2  # blocks of a refining stage
    damsm_weight: float = 5.0  # lambda
    match: bool = False  # the discriminators also learn by `matching`, and G from them: not in the paper
    packed: bool = False  # and judge packs of two pictures, see parts.py: not in the paper

    def __post_init__(self):
        if self.stages < 1:
            raise ValueError(f"stages={self.stages}: AttnGAN draws in at least one stage.")
        if self.first_size < 8 or self.first_size & (self.first_size - 1):
            raise ValueError(f"first_size={self.first_size}: AttnGAN begins with 8, 16, 32, 64, ... pixels.")

    @property
    def sizes(self) -> tuple[int, ...]:
        """Width and height of the pictures of all stages."""
        return tuple(self.first_size * 2**k for k in range(self.stages))


VARIANTS = {
    "bird": Config(),
    "coco": Config(generator_width=48, discriminator_width=96, residuals=3, damsm_weight=50.0),
    "small": Config(
        first_size=32,
        text_dim=128,
        generator_width=32,
        discriminator_width=24,
        residuals=1,
        damsm_weight=0.5,
        match=True,
    ),
}


# --- the generator ----------------------------------------------------------------------------------------------------


class ConditioningAugmentation(nn.Module):
    """Sentences (B, D) -> mean and log variance (B, condition_dim) of the condition that is drawn from them."""

    def __init__(self, config: Config):
        super().__init__()
        self.fc = nn.Linear(config.text_dim, 4 * config.condition_dim)

    def forward(self, sentence: Tensor) -> tuple[Tensor, Tensor]:
        return F.glu(self.fc(sentence)).chunk(2, 1)


class Gate(nn.Module):
    """The gated linear unit of the released code: half of the channels opens or shuts the other half.

    F.glu; but where the generator learns, both halves are first laid out in the order that the channels have. On CPUs
    it then learns twice as fast: otherwise short strides slow batch norm's backward pass down.
    """

    def forward(self, x: Tensor) -> Tensor:
        if not torch.is_grad_enabled():
            return F.glu(x, 1)
        last = x.ndim == 4 and x.is_contiguous(memory_format=torch.channels_last)
        order = torch.channels_last if last else torch.contiguous_format
        x, gate = (half.contiguous(memory_format=order) for half in x.chunk(2, 1))
        return x * torch.sigmoid(gate)


def up_block(dim_in: int, dim: int) -> nn.Sequential:
    """Twice as wide and high."""
    conv = nn.Conv2d(dim_in, 2 * dim, 3, padding=1, bias=False)
    return nn.Sequential(nn.Upsample(scale_factor=2), conv, nn.BatchNorm2d(2 * dim), Gate())


class Residual(nn.Module):
    """Two 3x3 convolutions, added to what comes in."""

    def __init__(self, dim: int):
        super().__init__()
        self.body = nn.Sequential(
            *(nn.Conv2d(dim, 2 * dim, 3, padding=1, bias=False), nn.BatchNorm2d(2 * dim), Gate()),
            *(nn.Conv2d(dim, dim, 3, padding=1, bias=False), nn.BatchNorm2d(dim)),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


class FirstStage(nn.Module):
    """Condition and noise -> features (B, C, S, S), S the first size: from 4x4 on, blocks double it and halve C."""

    def __init__(self, config: Config):
        super().__init__()
        c, times = config.generator_width, config.first_size // 4
        wide = times * c * 4 * 4
        self.project = nn.Sequential(
            nn.Linear(config.condition_dim + config.z_dim, 2 * wide, bias=False), nn.BatchNorm1d(2 * wide), Gate()
        )
        halved = [times // 2**k for k in range(1, times.bit_length())]
        self.grow = nn.Sequential(*(up_block(2 * w * c, w * c) for w in halved))

    def forward(self, condition: Tensor, z: Tensor) -> Tensor:
        x = self.project(torch.cat([condition, z], 1))  # (B, 16C * 16)
        return self.grow(x.unflatten(1, (-1, 4, 4)))  # (B, C, S, S)


class NextStage(nn.Module):
    """Features (B, C, H, W) look at words (B, T, D) -> features (B, C, 2H, 2W), and where they looked (B, T, H, W)."""

    def __init__(self, config: Config):
        super().__init__()
        c = config.generator_width
        self.to_features = nn.Linear(config.text_dim, c, bias=False)  # U
        self.refine = nn.Sequential(*(Residual(2 * c) for _ in range(config.residuals)), up_block(2 * c, c))

    def forward(self, h: Tensor, words: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        e = self.to_features(words)  # (B, T, C)
        places = h.flatten(2).transpose(1, 2)  # (B, N, C)
        context, weights = attention(places, e, e, mask[:, None], scale=1.0)  # (B, N, C), (B, N, T)
        context, weights = (x.transpose(1, 2).unflatten(2, h.shape[2:]) for x in (context, weights))
        return self.refine(torch.cat([h, context], 1)), weights


class Generator(nn.Module):
    """Words, sentence and noise -> a picture of each stage: (B, 3, S, S), (B, 3, 2S, 2S), ... in [-1, 1]."""

    def __init__(self, config: Config):
        super().__init__()
        self.condition = ConditioningAugmentation(config)
        self.first = FirstStage(config)
        self.next = nn.ModuleList(NextStage(config) for _ in range(config.stages - 1))
        self.to_picture = nn.ModuleList(
            nn.Conv2d(config.generator_width, 3, 3, padding=1, bias=False) for _ in range(config.stages)
        )

    def forward(
        self, z: Tensor, eps: Tensor, words: Tensor, sentence: Tensor, mask: Tensor, stages: int | None = None
    ) -> dict:
        """z (B, Z), eps (B, condition_dim) noise; words (B, T, D), sentence (B, D), mask (B, T) True for words.

        stages: how many of them are drawn; all unless given.

        Returns "pictures" and "attention" (one of each refining stage: (B, T, H, W)), "mu" and "logvar".
        """
        mu, logvar = self.condition(sentence)
        h = self.first(mu + eps * (logvar / 2).exp(), z)
        pictures, looks = [torch.tanh(self.to_picture[0](h))], []
        for stage, to_picture in list(zip(self.next, self.to_picture[1:], strict=True))[: stages and stages - 1]:
            h, weights = stage(h, words, mask)
            pictures.append(torch.tanh(to_picture(h)))
            looks.append(weights)
        return {"pictures": pictures, "attention": looks, "mu": mu, "logvar": logvar}


# --- losses -----------------------------------------------------------------------------------------------------------


def losses(
    net: nn.Module,
    damsm: DAMSM,
    reals: Sequence[Tensor],
    text: tuple[Tensor, Tensor, Tensor],
    same: Tensor,
    config: Config,
    wrongs: int = 1,
    alone: bool = True,
    before_damsm: Callable[[Tensor], Tensor] = lambda pictures: pictures,
    packs: bool = False,
) -> Iterator:
    """One step of all discriminators, then one of the generator.

    reals: true pictures at the size of each stage; if there are fewer, only the first stages draw and learn. text:
    words, sentence and mask as `damsm.read` gives them, of the pictures' captions and perhaps of K others, which are
    only compared with. same (B + K, B): the captions that also fit other pictures. wrongs: so many wrong captions meet
    each picture. alone: whether pictures are also judged without their captions. before_damsm: what happens to pictures
    before the DAMSM, which is frozen, looks at them. packs: whether captions that also fit another of the B pictures
    are drawn twice, for packed discriminators. If the discriminators can match, all also learn by `matching`.
    """
    generator, discriminators, candidates = net["generator"], net["discriminators"], text[1]
    n = len(reals[0])
    first, second = packs_of(same[:n] if packs else None)
    words, sentence, mask = (part[:n] for part in text)
    z = torch.randn(n + len(first), config.z_dim, device=sentence.device)
    eps = torch.randn(n + len(first), config.condition_dim, device=sentence.device)
    out = generator(z, eps, *(torch.cat([part, part[first]]) for part in (words, sentence, mask)), stages=len(reals))
    stages = list(zip(config.sizes, discriminators, reals, out["pictures"], strict=False))

    terms = {}
    for size, d, real, drawn in stages:  # in one batch, lest batch norm tell true from drawn
        seen, seen_drawn, again = d.look(torch.cat([real, drawn.detach()])).split([n, n, len(first)])
        loss = discriminator_loss(d, seen, seen_drawn, sentence, wrongs, alone)
        loss = loss + packs_should_be(1.0, d, seen[first], seen[second], sentence[first])
        loss = loss + packs_should_be(0.0, d, seen_drawn[first], again, sentence[first])
        terms[f"at {size}"] = with_matching(d, loss, seen, candidates, same=same)["loss"]
    yield "discriminators", {"loss": sum(terms.values()), **terms}

    discriminators.requires_grad_(False)  # they are asked, not taught: a third less work
    terms = {}
    for size, d, real, drawn in stages:
        seen, seen_drawn, again = d.look(torch.cat([real, drawn])).split([n, n, len(first)])
        logits = judged_together(d.judge, seen, sentence, (seen_drawn, sentence), wrongs)[-1]
        loss = should_be(1.0, logits) + (should_be(1.0, d.judge_alone(seen_drawn)) if alone else 0)
        loss = loss + packs_should_be(1.0, d, seen_drawn[first], again, sentence[first])
        terms[f"at {size}"] = with_matching(d, loss, seen_drawn, candidates, MATCHING_WEIGHT, same)["loss"]
    mu, logvar = (out[name][:n].float() for name in ("mu", "logvar"))
    found = damsm.losses(before_damsm(out["pictures"][-1][:n]), *text, same)
    kl = kl_to_standard_normal(mu, logvar)
    loss = sum(terms.values()) + config.damsm_weight * sum(found.values()) + kl
    yield "generator", {"loss": loss, **terms, **found, "kl": kl}
    discriminators.requires_grad_(True)


def augmented(pictures: Tensor) -> Tensor:
    """Pictures moved, zoomed and made noisy, each a little and differently: what is left is what they show.

    Without it G finds textures in which the eyes of the small DAMSM, and nobody else, see a flower.
    """
    b, x = len(pictures), pictures.float()
    change = torch.zeros(b, 2, 3, device=x.device)
    change[:, 0, 0] = change[:, 1, 1] = torch.empty(b, device=x.device).uniform_(0.9, 1.1)
    change[:, :, 2] = torch.empty(b, 2, device=x.device).uniform_(-0.1, 0.1)
    where = F.affine_grid(change, x.shape, align_corners=False)
    x = x + 0.3 * torch.rand(b, 1, 1, 1, device=x.device) * torch.randn_like(x)
    return F.grid_sample(x, where, padding_mode="border", align_corners=False)


# --- drawing ----------------------------------------------------------------------------------------------------------


def build(config: Config) -> nn.ModuleDict:
    """A generator and one discriminator for each stage that have yet to be trained."""
    width, matched = config.discriminator_width, config.text_dim if config.match else 0
    options = {"matched": matched, "packed": config.packed}
    discriminators = (Discriminator(size, width, config.text_dim, **options) for size in config.sizes)
    net = nn.ModuleDict({"generator": Generator(config), "discriminators": nn.ModuleList(discriminators)})
    initialise(net)
    return net


class AttnGAN:
    """A trained generator, and the text encoder of the DAMSM that it was trained with. split: caption -> its words."""

    def __init__(
        self,
        text: WordRNN,
        words: Sequence[str],
        generator: Generator,
        config: Config,
        split: Callable[[str], list[str]] = split_words,
    ):
        self.text, self.words, self.generator, self.config = text.eval(), words, generator.eval(), config
        self.split = split

    @classmethod
    def load(cls, variant: str = "small", weights: str | Path | None = None) -> AttnGAN:
        """The model that ships with the course ("small"), or a published one.

        For "bird" and "coco", `weights` is a folder that holds the published files and the words (see
        `published.attngan`).
        """
        if variant not in VARIANTS:
            raise ValueError(f"attngan has no variant {variant!r}. Its variants are: {', '.join(VARIANTS)}.")
        if variant != "small":
            from t2i_course.published.attngan import load

            return load(variant, weights)
        config = VARIANTS["small"]
        file = Path(weights or DATA / "weights" / "attngan.safetensors")
        net = nn.ModuleDict({"generator": Generator(config)})
        load_weights(net, file, f"Train it: t2i train attngan --export {file}")
        return cls(DAMSM.load().text, vocabulary(*WORLDS), net["generator"].requires_grad_(False), config)

    def explain(self, captions: Sequence[str], seed: int = 0) -> dict:
        """Everything that is worth seeing: "pictures" (one tensor of each stage), "attention" (of each refining stage:
        (B, T, H, W)), "mu" and "logvar" of the condition, and "words" (B lists)."""
        with torch.no_grad():
            words, sentence, mask = read(self.text, captions, self.words, self.split)
            z, eps = noises(seed, len(words), self.config.z_dim, self.config.condition_dim)
            out = self.generator(z, eps, words, sentence, mask)
        return out | {"words": [self.split(caption) for caption in captions]}

    def frames(self, captions: Sequence[str], seed: int = 0) -> Iterator[Tensor]:
        """One frame for each stage: pictures (B, 3, H, W) in [-1, 1], all as large as the last."""
        pictures = self.explain(captions, seed)["pictures"]
        for picture in pictures:
            yield F.interpolate(picture, scale_factor=pictures[-1].shape[-1] / picture.shape[-1])

    def draw(self, captions: Sequence[str], seed: int = 0) -> Tensor:
        """The last frame."""
        return self.explain(captions, seed)["pictures"][-1]


# --- the recipe of the small one --------------------------------------------------------------------------------------


def recipe(
    name: str = "attngan",
    *,
    steps: int = 7000,
    ahead: int = 800,
    alone_from: int = 2500,
    last_stage_from: int = 6000,
    batch_size: int = 16,
    others: int = 112,
    packs_from: int = 0,
) -> Recipe:
    """How the small AttnGAN is trained, on flowers and birds, with a frozen DAMSM: pictures of 32, 64 and 128.

    Other than in the paper, pictures are compared with `others` besides the captions of their batch: of sixteen, two or
    three facts tell the right one. D is `ahead` of G by so many steps, each picture meets four wrong captions (six
    while D is ahead), both learn at twice the rate and by `matching`, and the first weights let mu be heard through its
    noise, as with StackGAN. Pictures are judged alone only from a step on, as most of them are bright: a flower at
    night has to pass as a dim one first, which looks like none of them. The last stage joins late, as it costs more
    than all the others; its D is not ahead, and until it joins the DAMSM looks at the stage before. Lambda is small:
    with more, G paints what the DAMSM's eyes want to see before it has learned from D what a picture is. And the DAMSM
    sees drawn pictures `augmented`. packs_from: the step from which the discriminators also judge packs (0: never).
    """
    from t2i_course.judge.progress import caption_accuracies, sample_sheet
    from t2i_course.training import Recipe, constant

    config, damsm, known = replace(VARIANTS["small"], packed=packs_from > 0), DAMSM.load(), vocabulary(*WORLDS)

    def start():
        net = build(config)
        with torch.no_grad():
            told = [worlds.load(world).caption("train", i)[0] for world in WORLDS for i in range(100)]
            net["generator"].condition.fc.weight.mul_(2 / read(damsm.text, told, known)[1].std())
        return net

    def batches(seed, start):
        stream = worlds.mixed_batches(WORLDS, "train", config.sizes[-1], batch_size, seed, start=start, epochs=None)
        return enumerate(stream, start)

    def small_losses(net, numbered):
        step, batch = numbered
        device = net["generator"].condition.fc.weight.device
        damsm.to(device)
        real = batch.pictures.to(device)
        sizes = config.sizes if step >= last_stage_from else config.sizes[:-1]
        reals = [F.interpolate(real, (size, size), mode="area") for size in sizes]
        with torch.no_grad():
            captions, same = among_others(batch, WORLDS, others)
            text = read(damsm.text, captions, known)
        same = same.to(device)
        if step >= ahead:
            alone = step >= alone_from
            options = {"wrongs": 4, "alone": alone, "before_damsm": augmented, "packs": 0 < packs_from <= step}
            yield from losses(net, damsm, reals, text, same, config, **options)
        else:
            told, sentence = text[1][:batch_size], text[1]
            terms = {
                f"at {size}": told_apart(d, real, told, sentence, same)["loss"]
                for size, d, real in zip(sizes, net["discriminators"], reals, strict=False)
            }
            yield "discriminators", {"loss": sum(terms.values()), **terms}

    def system(net):
        return AttnGAN(damsm.text.cpu(), known, copy.deepcopy(net["generator"]).cpu(), config)

    def draw(net):
        norm = net["generator"].next[-1].refine[-1][2]  # has seen no batch until the last stage has joined
        stage = -1 if norm.num_batches_tracked else -2
        return lambda captions, seed=0: list(system(net).frames(captions, seed))[stage]

    def optimisers(net):
        return {part: torch.optim.Adam(net[part].parameters(), 4e-4, (0.5, 0.999)) for part in net}

    return Recipe(
        name=name,
        build=start,
        batches=batches,
        losses=small_losses,
        optimisers=optimisers,
        steps=steps,
        schedule=constant,
        ema=0.995,
        grad_clip=None,
        evaluate=lambda net: caption_accuracies(draw(net), WORLDS),
        sample=lambda net, step: sample_sheet(draw(net), WORLDS, each=16),
        every=1000,
        leave_out=("discriminators.",),
    )
