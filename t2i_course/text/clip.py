"""CLIP: captions and pictures in one space, learned from what stands beside what.

"Learning Transferable Visual Models From Natural Language Supervision", Radford, Kim, Hallacy, Ramesh, Goh, Agarwal,
Sastry, Askell, Mishkin, Clark, Krueger and Sutskever, ICML 2021. Two transformers, one for patches of a picture and one
for tokens of a caption, give a vector each. In a batch of pairs, every caption must find its picture among all of them,
and every picture its caption (InfoNCE); s is learned, too:

    L = 1/2 (cross-entropy over rows + over columns) of the matrix   e^s cos(picture_i, caption_j)

Its text tower became the reader of most diffusion models: of Stable Diffusion 1 after the last block, of Stable
Diffusion 2 after the last but one. B pairs, N tokens, D numbers of a token, E of the common space.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from t2i_course.nn.attention import Transformer, causal, quick_gelu
from t2i_course.nn.losses import matching_loss

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


VARIANTS = {
    "vit_b_32": Config(512, Tower(768, 12, 12), Tower(512, 12, 8), 32),
    "vit_b_16": Config(512, Tower(768, 12, 12), Tower(512, 12, 8), 16),
    "vit_l_14": Config(768, Tower(1024, 24, 16), Tower(768, 12, 12), 14),  # whose text tower Stable Diffusion 1 has
    "vit_l_14_336": Config(768, Tower(1024, 24, 16), Tower(768, 12, 12), 14, size=336),
    "vit_h_14": Config(1024, Tower(1280, 32, 16), Tower(1024, 24, 16), 14, quick=False),  # Stable Diffusion 2
}


def transformer(tower: Tower, config: Config) -> Transformer:
    """The blocks of one of the two."""
    return Transformer(tower.dim, tower.depth, tower.heads, quick_gelu if config.quick else F.gelu)


class PictureTower(nn.Module):
    """Pictures (B, 3, size, size), normalised with MEAN and STD -> vectors (B, E)."""

    def __init__(self, config: Config):
        super().__init__()
        dim, places = config.picture.dim, (config.size // config.patch) ** 2
        self.patches = nn.Conv2d(3, dim, config.patch, config.patch, bias=False)
        self.whole = nn.Parameter(torch.randn(dim) / dim**0.5)  # one token more, which becomes the whole picture's
        self.positions = nn.Parameter(torch.randn(places + 1, dim) / dim**0.5)
        self.norm_in, self.norm_out = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.blocks = transformer(config.picture, config)
        self.project = nn.Linear(dim, config.embed, bias=False)

    def forward(self, pictures: Tensor) -> Tensor:
        x = self.patches(pictures).flatten(2).transpose(1, 2)  # (B, N, D)
        x = torch.cat([self.whole.expand(len(x), 1, -1), x], 1) + self.positions
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
        return self.project(self.context(tokens)[torch.arange(len(tokens)), ends])


class CLIP(nn.Module):
    """Two towers and the sharpness of their comparison."""

    def __init__(self, config: Config):
        super().__init__()
        self.config = config
        self.picture, self.text = PictureTower(config), TextTower(config)
        self.log_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))

    def similarity(self, pictures: Tensor, tokens: Tensor) -> Tensor:
        """e^s times the cosines of captions (rows) and pictures (columns): (B captions, P pictures)."""
        captions, seen = (F.normalize(v, dim=1) for v in (self.text(tokens), self.picture(pictures)))
        return self.log_scale.exp() * captions @ seen.T

    def loss(self, pictures: Tensor, tokens: Tensor) -> Tensor:
        """InfoNCE of a batch of pairs. First s is brought back to where e^s is at most 100, lest training explode."""
        with torch.no_grad():
            self.log_scale.clamp_(max=math.log(100))
        return matching_loss(self.similarity(pictures, tokens)) / 2


def prepared(pictures: Tensor, size: int = 224) -> Tensor:
    """Pictures (B, 3, H, W) in [-1, 1] as a CLIP wants to see them: size x size, bicubic, cropped, normalised."""
    scale = size / min(pictures.shape[2:])
    if scale != 1:
        shape = [int(side * scale + 1e-6) for side in pictures.shape[2:]]
        pictures = F.interpolate(pictures, shape, mode="bicubic", antialias=True).clamp(-1, 1)  # it may overshoot
    top, left = ((side - size) // 2 for side in pictures.shape[2:])
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


def zero_shot(clip: CLIP, pictures: Tensor, captions: Sequence[str]) -> Tensor:
    """How probable each caption is for each picture (P pictures, captions): a classifier that was never trained."""
    tokens = tokenize(captions, clip.config.length).to(pictures.device)
    return clip.similarity(pictures, tokens).softmax(0).T
