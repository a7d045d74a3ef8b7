"""The caption reader of latent diffusion: a transformer like BERT, trained from scratch together with the U-Net.

"High-Resolution Image Synthesis with Latent Diffusion Models", Rombach et al., CVPR 2022, section 4.3.1. Every token
sees every other, padding too; what each means in its place is what the U-Net looks at. B captions, N tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from t2i_course.nn.attention import Transformer


@dataclass(frozen=True)
class Config:
    """Sizes of a reader."""

    dim: int = 1280
    depth: int = 32
    heads: int = 8
    inner: int | None = 512  # numbers of all heads together: as released, 8 x 64, whatever dim is
    length: int = 77
    words: int = 30522  # of bert-base-uncased


VARIANTS = {"ldm_text": Config(), "ldm_text_cc": Config(dim=640)}


class BERT(nn.Module):
    """Tokens (B, N) -> their context (B, N, dim)."""

    def __init__(self, config: Config):
        super().__init__()
        self.config = config
        self.tokens, self.positions = nn.Embedding(config.words, config.dim), nn.Embedding(config.length, config.dim)
        self.blocks = Transformer(config.dim, config.depth, config.heads, bias=False, inner=config.inner)
        self.norm = nn.LayerNorm(config.dim)
        for embedding in (self.tokens, self.positions):
            nn.init.normal_(embedding.weight, 0, 0.02)

    def forward(self, tokens: Tensor) -> Tensor:
        places = torch.arange(tokens.shape[1], device=tokens.device)
        return self.norm(self.blocks(self.tokens(tokens) + self.positions(places)))


def tokenizer(vocabulary: str | Path, words: int, length: int = 77) -> Callable[[Sequence[str]], Tensor]:
    """Captions -> tokens (B, length), by the `words` word pieces of a file vocab.txt: that of bert-base-uncased.

    Raises ValueError if there is no such file, or it has another number of pieces.
    """
    from transformers import BertTokenizer

    if not Path(vocabulary).is_file():
        raise ValueError(f"There is no file {vocabulary}. It must be the vocab.txt of bert-base-uncased.")
    pieces = BertTokenizer(str(vocabulary), do_lower_case=True)
    if len(pieces) != words:
        raise ValueError(
            f"{vocabulary} has {len(pieces):,} word pieces, not {words:,}. It must be that of bert-base-uncased."
        )

    def tokenize(captions: Sequence[str]) -> Tensor:
        if isinstance(captions, str):
            raise ValueError("Give a list of captions, not one string.")
        options = {"max_length": length, "padding": "max_length", "truncation": True, "return_tensors": "pt"}
        return pieces(list(captions), **options)["input_ids"]

    return tokenize
