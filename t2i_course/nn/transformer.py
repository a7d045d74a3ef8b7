"""The transformer: tokens look at each other, then each thinks for itself. "Attention Is All You Need", 2017.

As CLIP, GPT and most since have it, with the norms in front ("pre-LN"). B sequences, N tokens, D numbers of each.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .attention import CrossAttention


def quick_gelu(x: Tensor) -> Tensor:
    """GELU as OpenAI's CLIP approximates it."""
    return x * torch.sigmoid(1.702 * x)


class Block(nn.Module):
    """x (B, N, D) -> the same shape. `attention` are options of its CrossAttention."""

    def __init__(self, dim: int, heads: int, activation: Callable[[Tensor], Tensor] = F.gelu, **attention):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.attention = CrossAttention(dim, heads=heads, **{"bias": True} | attention)
        self.wide, self.narrow = nn.Linear(dim, 4 * dim), nn.Linear(4 * dim, dim)
        self.activation = activation

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        x = x + self.attention(self.norm1(x), mask=mask)
        return x + self.narrow(self.activation(self.wide(self.norm2(x))))


class Transformer(nn.ModuleList):
    """Blocks one after the other. mask: bool, True where a token may look; see `causal`."""

    def __init__(self, dim: int, depth: int, heads: int, activation: Callable[[Tensor], Tensor] = F.gelu, **attention):
        super().__init__(Block(dim, heads, activation, **attention) for _ in range(depth))

    def forward(self, x: Tensor, mask: Tensor | None = None, skip_last: int = 0) -> Tensor:
        """x (B, N, D) -> the same shape. skip_last: so many blocks at the end are left out."""
        for block in list(self)[: len(self) - skip_last]:
            x = block(x, mask)
        return x


def causal(n: int, device: torch.device | None = None) -> Tensor:
    """The mask (N, N) under which each token sees itself and those before it."""
    return torch.ones(n, n, dtype=torch.bool, device=device).tril()
