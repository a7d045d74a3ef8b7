"""The bi-LSTM that AttnGAN reads captions with: one vector for each word, and one for the sentence.

B captions, T words, D dims (half of them from the LSTM that reads forwards, half from the one that reads backwards).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from .words import PADDING


@dataclass(frozen=True)
class Config:
    """Sizes of the text encoder."""

    words: int  # in the vocabulary, with the padding
    embedding: int = 300  # numbers of one word before it is read in its context
    dim: int = 256
    dropout: float = 0.5


class WordRNN(nn.Module):
    """Numbers of words (B, T) and how many count (B,) -> words (B, T, D), zero where padded, and sentences (B, D)."""

    def __init__(self, config: Config):
        super().__init__()
        self.dim = config.dim
        self.embed = nn.Embedding(config.words, config.embedding)
        self.dropout = nn.Dropout(config.dropout)
        self.lstm = nn.LSTM(config.embedding, config.dim // 2, batch_first=True, bidirectional=True)
        nn.init.uniform_(self.embed.weight, -0.1, 0.1)

    def forward(self, tokens: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        if (tokens[torch.arange(len(tokens)), lengths - 1] == PADDING).any():
            raise ValueError("A caption is shorter than its length says.")
        x = self.dropout(self.embed(tokens))  # (B, T, 300)
        with torch.autocast(x.device.type, enabled=False):  # bfloat16 is too coarse for a long recurrence
            packed = pack_padded_sequence(x.float(), lengths.cpu(), batch_first=True, enforce_sorted=False)
            states, (last, _) = self.lstm(packed)
        words, _ = pad_packed_sequence(states, batch_first=True, total_length=tokens.shape[1])  # (B, T, D)
        return words, last.transpose(0, 1).flatten(1)  # the last states of both directions: (B, D)
