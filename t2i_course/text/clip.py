"""CLIP: captions and pictures in one space, learned from what stands beside what.

"Learning Transferable Visual Models From Natural Language Supervision", Radford, Kim, Hallacy, Ramesh, Goh, Agarwal,
Sastry, Askell, Mishkin, Clark, Krueger and Sutskever, ICML 2021. Two transformers, one for patches of a picture and one
for tokens of a caption, give a vector each. In a batch of pairs, every caption must find its picture among all of them,
and every picture its caption (InfoNCE); s is learned, too:

    L = 1/2 (cross-entropy over rows + over columns) of the matrix   e^s cos(picture_i, caption_j)

Its text tower became the reader of most diffusion models: of Stable Diffusion 1 after the last block, of Stable
Diffusion 2 after the last but one. A noisy CLIP is also told how noisy the picture is, so that it can guide a diffusion
model ("GLIDE", Nichol et al. 2021, section 4). B pairs, N tokens, D numbers of a token, E of the common space.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from t2i_course import worlds
from t2i_course.nn.attention import Transformer, causal, quick_gelu
from t2i_course.nn.losses import matching_loss
from t2i_course.nn.muon import Muon
from t2i_course.nn.world_cnn import REGION, Trunk, load_trunk, regions
from t2i_course.paths import DATA
from t2i_course.weights import load_weights

from .words import PADDING, numbers, vocabulary

if TYPE_CHECKING:
    from t2i_course.training import Recipe

MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)  # of CLIP's pictures in [0, 1]


@dataclass(frozen=True)
class Tower:
    """Sizes of one of the two transformers."""

    dim: int
    depth: int
    heads: int


@dataclass(frozen=True)
class Config:
    """Sizes of a CLIP."""

    embed: int  # E
    picture: Tower
    text: Tower
    patch: int  # pixels of a patch's side
    size: int = 224
    length: int = 77
    words: int = 49408
    quick: bool = True  # GELU as OpenAI approximates it; LAION's models have the exact one
    by_words: bool = False  # a token is a word of the worlds, not a piece of any word
    eyes: bool = False  # its patches are what the world's CNN sees in them, not their pixels
    timesteps: int = 0  # of the noise that a noisy CLIP knows


VARIANTS = {
    "vit_b_32": Config(512, Tower(768, 12, 12), Tower(512, 12, 8), 32),
    "vit_b_16": Config(512, Tower(768, 12, 12), Tower(512, 12, 8), 16),
    "vit_l_14": Config(768, Tower(1024, 24, 16), Tower(768, 12, 12), 14),  # whose text tower Stable Diffusion 1 has
    "vit_l_14_336": Config(768, Tower(1024, 24, 16), Tower(768, 12, 12), 14, size=336),
    "vit_h_14": Config(1024, Tower(1280, 32, 16), Tower(1024, 24, 16), 14, quick=False),  # Stable Diffusion 2
}
SMALL_LENGTH = 48  # start, end, and five words more than the longest caption of the worlds has


@cache
def small_config(timesteps: int = 0) -> Config:
    """The small one of this course, for 64x64 pictures of all its worlds.

    From so few pictures a transformer would learn to tell colors and little else. So its picture tower looks at what a
    network sees that has learned to see already (a "hybrid" ViT, Dosovitskiy et al. 2020), and the text tower learns to
    say it ("LiT: Zero-Shot Transfer with Locked-image text Tuning", Zhai et al. 2021).
    """
    sizes = {"patch": 8, "size": 64, "length": SMALL_LENGTH, "words": len(_words()) + 3, "quick": False}
    towers = Tower(192, 1, 6), Tower(192, 3, 3)
    return Config(128, *towers, **sizes, by_words=True, eyes=True, timesteps=timesteps)


def transformer(tower: Tower, config: Config) -> Transformer:
    """The blocks of one of the two."""
    return Transformer(tower.dim, tower.depth, tower.heads, quick_gelu if config.quick else F.gelu)


class Seen(nn.Module):
    """Pictures (B, 3, 64, 64), normalised with MEAN and STD -> what the world's CNN sees in them, (B, D, 8, 8)."""

    def __init__(self, dim: int):
        super().__init__()
        self.eyes = Trunk().eval()
        self.project = nn.Conv2d(REGION, dim, 1, bias=False)
        self.register_buffer("mean", torch.tensor(MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(STD).view(3, 1, 1), persistent=False)

    def forward(self, pictures: Tensor) -> Tensor:
        return self.project(regions(*self.eyes(2 * (pictures * self.std + self.mean) - 1)))

    def train(self, mode: bool = True) -> Seen:
        """As ever, but the eyes' batch norm never sees a batch's own statistics."""
        super().train(mode)
        self.eyes.eval()
        return self


class PictureTower(nn.Module):
    """Pictures (B, 3, size, size), normalised with MEAN and STD -> vectors (B, E).

    A noisy CLIP's needs to know the timesteps t (B,) of the pictures.
    """

    def __init__(self, config: Config):
        super().__init__()
        dim, places = config.picture.dim, (config.size // config.patch) ** 2
        self.size = config.size
        self.patches = Seen(dim) if config.eyes else nn.Conv2d(3, dim, config.patch, config.patch, bias=False)
        # One token more, which becomes the whole picture's. A noisy CLIP has one for each timestep.
        self.whole = nn.Parameter(torch.randn((config.timesteps, dim) if config.timesteps else dim) / dim**0.5)
        self.positions = nn.Parameter(torch.randn(places + 1, dim) / dim**0.5)
        self.norm_in, self.norm_out = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.blocks = transformer(config.picture, config)
        self.project = nn.Linear(dim, config.embed, bias=False)

    def forward(self, pictures: Tensor, t: Tensor | None = None) -> Tensor:
        if (t is None) == (self.whole.ndim == 2):
            raise ValueError("A noisy CLIP needs the timesteps t of its pictures; no other CLIP takes them.")
        if tuple(pictures.shape[1:]) != (3, self.size, self.size):
            wanted = f"(B, 3, {self.size}, {self.size}), made by prepared(pictures, {self.size})"
            raise ValueError(f"This CLIP sees pictures {wanted}, not {tuple(pictures.shape)}.")
        x = self.patches(pictures).flatten(2).transpose(1, 2)  # (B, N, D)
        whole = self.whole.expand(len(x), -1) if t is None else self.whole[t]  # (B, D)
        x = torch.cat([whole[:, None].to(x.dtype), x], 1) + self.positions
        x = self.blocks(self.norm_in(x))
        return self.project(self.norm_out(x[:, 0]))


class TextTower(nn.Module):
    """Tokens (B, length) -> vectors (B, E), or what each token means in its place."""

    def __init__(self, config: Config):
        super().__init__()
        dim = config.text.dim
        self.tokens = nn.Embedding(config.words, dim)
        self.positions = nn.Parameter(0.01 * torch.randn(config.length, dim))
        self.blocks = transformer(config.text, config)
        self.norm = nn.LayerNorm(dim)
        self.project = nn.Linear(dim, config.embed, bias=False)
        nn.init.normal_(self.tokens.weight, 0, 0.02)

    def context(self, tokens: Tensor, skip_last: int = 0) -> Tensor:
        """All tokens after the blocks and the last norm: (B, length, D). Stable Diffusion 2 skips the last block."""
        x = self.tokens(tokens) + self.positions[: tokens.shape[1]]
        return self.norm(self.blocks(x, causal(tokens.shape[1], tokens.device), skip_last))

    def forward(self, tokens: Tensor) -> Tensor:
        ends = tokens.argmax(1)  # the token "end of text" has the largest number, and has seen all before it
        read = self.context(tokens[:, : ends.max() + 1])  # what comes after all ends is seen by none
        return self.project(read[torch.arange(len(tokens)), ends])


class CLIP(nn.Module):
    """Two towers and the sharpness of their comparison."""

    def __init__(self, config: Config):
        super().__init__()
        self.config = config
        self.picture, self.text = PictureTower(config), TextTower(config)
        self.log_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))

    @classmethod
    def load(cls, variant: str = "small", weights: str | Path | None = None) -> CLIP:
        """A CLIP that ships with the course ("small", "noisy"), or a published one from its file; frozen."""
        if variant in VARIANTS:
            from t2i_course.published.clip import load_clip

            if weights is None:
                raise ValueError(f"The weights of {variant} do not ship with the course: give their file.")
            return load_clip(weights, variant)
        if variant not in SHIPPED:
            raise ValueError(f"There is no CLIP {variant!r}. There are: {', '.join([*SHIPPED, *VARIANTS])}.")
        name, timesteps = SHIPPED[variant]
        file = Path(weights or DATA / "weights" / f"{name}.safetensors")
        net = cls(small_config(timesteps))
        load_weights(net, file, f"Train it: t2i train {name} --export {file}")
        return net.requires_grad_(False).eval()

    def tokens(self, captions: Sequence[str]) -> Tensor:
        """Captions -> tokens (B, length) as this CLIP reads them, on its device."""
        tokens = small_tokens(captions) if self.config.by_words else tokenize(captions, self.config.length)
        return tokens.to(self.log_scale.device)

    def similarity(self, pictures: Tensor, tokens: Tensor, t: Tensor | None = None) -> Tensor:
        """e^s times the cosines of captions (rows) and pictures (columns): (B captions, P pictures)."""
        return compare(self.text(tokens), self.picture(pictures, t), self.log_scale)

    def loss(
        self, pictures: Tensor, tokens: Tensor, also_fits: Tensor | None = None, t: Tensor | None = None
    ) -> Tensor:
        """InfoNCE of a batch of pairs. First s is brought back to where e^s is at most 100, lest training explode.

        also_fits (B, B), bool: pairs besides the diagonal in which the caption is true of the picture, left out.
        """
        with torch.no_grad():
            self.log_scale.clamp_(max=math.log(100))
        return matching_loss(self.similarity(pictures, tokens, t), also_fits) / 2


def compare(captions: Tensor, pictures: Tensor, log_scale: Tensor) -> Tensor:
    """e^s times the cosines of vectors (B, E) and (P, E): (B, P). In full precision: bf16 has no fine cosines."""
    with torch.autocast(captions.device.type, enabled=False):
        captions, pictures = (F.normalize(v.float(), dim=1) for v in (captions, pictures))
        return log_scale.float().exp() * captions @ pictures.T


def prepared(pictures: Tensor, size: int = 224) -> Tensor:
    """Pictures (B, 3, H, W) in [-1, 1] as a CLIP wants to see them: size x size, bicubic, cropped, normalised."""
    scale = size / min(pictures.shape[2:])
    if scale != 1:
        shape = [int(side * scale + 1e-6) for side in pictures.shape[2:]]
        pictures = F.interpolate(pictures, shape, mode="bicubic", antialias=True).clamp(-1, 1)  # it may overshoot
    top, left = (round((side - size) / 2) for side in pictures.shape[2:])
    pictures = pictures[:, :, top : top + size, left : left + size] / 2 + 0.5
    mean, std = (pictures.new_tensor(values)[:, None, None] for values in (MEAN, STD))
    return (pictures - mean) / std


def tokenize(captions: Sequence[str], length: int = 77, pad: int = 0) -> Tensor:
    """Captions -> tokens (B, length): start, pieces of words (byte-pair encoding), end, padding; too long ones are cut.

    pad: what stands after the end; OpenAI has 0, Stable Diffusion 1 repeats the end (49407).
    """
    if isinstance(captions, str):
        raise ValueError("Give a list of captions, not one string.")
    tokens = _tokenizer()(list(captions), context_length=length)
    after = torch.arange(length) > tokens.argmax(1, keepdim=True)
    return tokens.masked_fill(after, pad)


@cache
def _tokenizer():
    import open_clip

    return open_clip.SimpleTokenizer()


def small_tokens(captions: Sequence[str]) -> Tensor:
    """Captions -> tokens (B, 48) of the small CLIPs: start, the numbers of the words, end, padding.

    "" is a caption, too: start and end. Raises UnknownWord for a word that no world has, and ValueError for a caption
    with more words than there is room for.
    """
    if isinstance(captions, str):
        raise ValueError("Give a list of captions, not one string.")
    known = _words()
    tokens = torch.full((len(captions), SMALL_LENGTH), PADDING)
    for i, caption in enumerate(captions):
        row = [len(known) + 1, *numbers(caption, known), len(known) + 2]
        if len(row) > SMALL_LENGTH:
            raise ValueError(f"{caption!r} has {len(row) - 2} words; the small CLIP reads up to {SMALL_LENGTH - 2}.")
        tokens[i, : len(row)] = torch.tensor(row)
    return tokens


@cache
def _words() -> dict[str, int]:
    """The words of all worlds and their numbers, from 1."""
    return {word: k for k, word in enumerate(vocabulary(*worlds.NAMES), 1)}


def zero_shot(clip: CLIP, pictures: Tensor, captions: Sequence[str]) -> Tensor:
    """How probable each caption is for each of P `prepared` pictures (P, captions): a classifier, never trained."""
    return clip.similarity(pictures, clip.tokens(captions)).softmax(0).T


def recall_at_1(scores: Tensor, fits: Tensor, candidates: int = 100) -> tuple[float, float]:
    """How often what is found first is right: a picture to a caption, and a caption to a picture.

    scores and fits (bool: the caption is true of the picture) are (B captions, B pictures). Each searches a shelf of
    `candidates`; what remains of B after whole shelves is not asked. Raises ValueError if there is no whole shelf.
    """
    shelves = range(0, len(scores) - candidates + 1, candidates)
    if not shelves:
        raise ValueError(f"{len(scores)} pairs do not fill a shelf of {candidates}.")
    found = []
    for start in shelves:
        part = slice(start, start + candidates)
        ways = (scores[part, part], fits[part, part]), (scores[part, part].T, fits[part, part].T)
        found.append([fit.gather(1, score.argmax(1, keepdim=True)).float().mean() for score, fit in ways])
    return tuple(torch.tensor(found).mean(0).tolist())


# --- the recipes of the small ones ------------------------------------------------------------------------------------

NOT_HIDDEN = "tokens", "positions", "whole", "project", "log_scale"  # weights for AdamW, not Muon
SHIPPED = {"small": ("clip", 0), "noisy": ("noisy_clip", 1000)}  # files, and timesteps of the noise


def recipe(name: str = "clip") -> Recipe:
    """How the small CLIPs are trained: captions of all worlds find their pictures.

    A caption promises few of a picture's attributes, so it often fits others of the batch; these are neither right nor
    wrong, and are left out. Three batches of four hold one world, so that a caption's rivals are near. The fourth is
    mixed, so that worlds know of each other. What sees stays as it is; Muon (nn/muon.py) trains the blocks.

    "noisy_clip" starts from "clip", keeps its text tower, and learns to see pictures on their way into noise, as the
    small DDPM does that it is to guide.
    """
    from t2i_course.training import Recipe

    noisy = name == "noisy_clip"
    timesteps = SHIPPED["noisy"][1] if noisy else 0

    def build():
        model = CLIP(small_config(timesteps))
        model.picture.patches.eyes.load_state_dict(load_trunk().state_dict())
        model.picture.patches.eyes.requires_grad_(noisy)  # which must learn to see through noise
        # So small as OpenAI starts them, all words would move together in the first steps, and both towers would
        # collapse: every caption and every picture the same vector. Large ones keep their differences.
        nn.init.normal_(model.text.tokens.weight)
        nn.init.normal_(model.text.positions, std=0.3)
        if noisy:
            start = CLIP.load("small").state_dict()
            start["picture.whole"] = start["picture.whole"].repeat(timesteps, 1)
            model.load_state_dict(start)
            model.text.requires_grad_(False)
        return model

    def losses(model, batch):
        pictures, t = batch.pictures, None
        if noisy:
            t = torch.randint(timesteps, (len(pictures),), device=pictures.device)
            pictures = noised(pictures, t, torch.randn_like(pictures))
        also_fits = batch.fits().fill_diagonal_(False).to(pictures.device)
        yield "model", {"loss": model.loss(prepared(pictures, 64), model.tokens(batch.captions), also_fits, t)}

    def optimisers(model):
        trained = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
        if noisy:
            return {"model": torch.optim.AdamW([p for _, p in trained], 5e-4, (0.9, 0.98), weight_decay=0.05)}
        return {"model": Muon(trained, 0.02, 1e-3, others=NOT_HIDDEN)}

    return Recipe(
        name=name,
        build=build,
        batches=_batches,
        losses=losses,
        optimisers=optimisers,
        steps=1000 if noisy else 2500,
        warmup=200,
        ema=0.998,
        evaluate=measure_noisy if noisy else measure,
        every=400,
    )


def _batches(seed: int, start: int, batch_size: int = 96, n: int = 10_000):
    """Batches from step `start` on: flowers, birds, scenes, all three, flowers, ..."""
    kinds = [*((name,) for name in worlds.NAMES), worlds.NAMES]

    def stream(i):
        before = len(range(i, start, len(kinds)))  # how many of this kind an earlier part of the run has had
        return worlds.mixed_batches(kinds[i], "train", 64, batch_size, seed, n=n, start=before, epochs=None)

    streams = [stream(i) for i in range(len(kinds))]
    return (next(streams[step % len(kinds)]) for step in count(start))


def noised(pictures: Tensor, t: Tensor, eps: Tensor) -> Tensor:
    """x_t of pictures (B, 3, 64, 64) at timesteps (B,), with the noise of the small DDPM, which it is to guide."""
    from t2i_course.diffusion.small import SMALL

    return SMALL["ddpm"].process.add_noise(pictures, t, eps)


@torch.no_grad()
def measure(model: CLIP, split: str = "val", n: int = 300, t: int | None = None) -> dict[str, float]:
    """Zero-shot accuracy by attribute, and recall at 1, for `n` pictures of each world: noisy ones if t is given."""
    from t2i_course.judge.multiple_choice import accuracy, questions

    found, device = {}, model.log_scale.device
    for world in map(worlds.load, worlds.NAMES):
        (batch,) = world.batches(split, 64, n, n=n, shuffle=False)
        shown, times = batch.pictures, None
        if t is not None:
            times = torch.full((n,), t, device=device)
            eps = torch.randn(shown.shape, generator=torch.Generator().manual_seed(0))
            shown = noised(shown, times, eps)
        pictures = model.picture(prepared(shown, 64).to(device), times)

        def scores(captions, pictures=pictures):
            return compare(model.text(model.tokens(captions)), pictures, model.log_scale).cpu()

        by_attribute = accuracy([questions(world, truth) for truth in batch.truth], scores)
        found[f"zero-shot.{world.name}"] = sum(by_attribute.values()) / len(by_attribute)
        found |= {f"zero-shot.{world.name}.{attribute}": share for attribute, share in by_attribute.items()}
        shares = recall_at_1(scores(batch.captions), batch.fits())
        found |= {f"R@1.{world.name}.{way}": share for way, share in zip(("picture", "caption"), shares, strict=True)}
    return found


def measure_noisy(model: CLIP, split: str = "val", n: int = 200, levels: Sequence[int] = (0, 250, 500, 750)):
    """Zero-shot accuracy, the mean over attributes, for pictures with the noise of these timesteps."""
    found = {}
    for t in levels:
        measured = measure(model, split, n, t)
        found |= {f"zero-shot.{name}.t{t}": measured[f"zero-shot.{name}"] for name in worlds.NAMES}
    return found
