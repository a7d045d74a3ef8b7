"""Attention: Softmax(Q K^T / sqrt(d)) V, the connection of text and picture in most systems of the course.

Every query (a place in a picture, say) looks at all keys (words, say) and takes home the mean of their values, weighted
by how well each key answers it ("Attention Is All You Need", Vaswani et al. 2017, equation 1). N queries, T keys.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


def attention(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None, scale: float | None = None
) -> tuple[Tensor, Tensor]:
    """The readable path, which makes the weights: what each query finds (..., N, E), and where it looked (..., N, T).

    q (..., N, D), k (..., T, D), v (..., T, E). mask, bool, broadcast to (..., N, T): True where a query may look; a
    query that may look nowhere finds nothing, zeros. scale: what the scores are multiplied with, D^-0.5 unless given.
    Raises ValueError if the shapes do not fit.
    """
    _check(q, k, v, mask)
    scores = q @ k.transpose(-1, -2) * (q.shape[-1] ** -0.5 if scale is None else scale)  # (..., N, T)
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    weights = scores.softmax(-1)
    if mask is not None:
        weights = weights.masked_fill(~mask.any(-1, keepdim=True), 0.0)  # a softmax of nothing is not a number
    return weights @ v, weights


def fast_attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None, scale: float | None = None) -> Tensor:
    """The fast path: the same output (..., N, E), without ever storing the weights."""
    _check(q, k, v, mask)
    found = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=scale)
    if mask is not None:
        found = found.masked_fill(~mask.any(-1, keepdim=True), 0.0)
    return found


def _check(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> None:
    shapes = f"queries {tuple(q.shape)}, keys {tuple(k.shape)}, values {tuple(v.shape)}"
    if q.shape[-1] != k.shape[-1]:
        raise ValueError(f"Queries and keys must have as many numbers: {shapes}.")
    if k.shape[-2] != v.shape[-2]:
        raise ValueError(f"Each key needs a value: {shapes}.")
    if mask is not None and (mask.dtype.is_floating_point or mask.shape[-1] not in (1, k.shape[-2])):
        raise ValueError(f"A mask is bool, one for each of {k.shape[-2]} keys, not {mask.dtype} {tuple(mask.shape)}.")


class CrossAttention(nn.Module):
    """Several attentions side by side: x (B, N, dim) looks at a context (B, T, context_dim), or at itself.

    Each head sees dim / heads numbers of every query, key and value.
    """

    def __init__(self, dim: int, context_dim: int | None = None, heads: int = 8):
        super().__init__()
        if dim % heads:
            raise ValueError(f"dim ({dim}) cannot be shared out equally among {heads} heads.")
        context_dim = dim if context_dim is None else context_dim
        self.heads = heads
        self.to_q = nn.Linear(dim, dim, bias=False)
        self.to_k = nn.Linear(context_dim, dim, bias=False)
        self.to_v = nn.Linear(context_dim, dim, bias=False)
        self.to_out = nn.Linear(dim, dim)

    def forward(self, x: Tensor, context: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """mask, bool (B, T) or (B, N, T): True where x may look."""
        q, k, v = self.split(x, x if context is None else context)
        return self.to_out(fast_attention(q, k, v, self.for_heads(mask)).transpose(1, 2).flatten(2))

    def weights(self, x: Tensor, context: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """Where each place looks: (B, heads, N, T)."""
        q, k, v = self.split(x, x if context is None else context)
        return attention(q, k, v, self.for_heads(mask))[1]

    def split(self, x: Tensor, context: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values of all heads: (B, heads, N or T, dim / heads)."""
        parts = self.to_q(x), self.to_k(context), self.to_v(context)
        return tuple(part.unflatten(2, (self.heads, -1)).transpose(1, 2) for part in parts)

    @staticmethod
    def for_heads(mask: Tensor | None) -> Tensor | None:
        """A mask for one head -> the same for all: (B, 1, N or 1, T)."""
        return mask if mask is None else mask[:, None, None] if mask.ndim == 2 else mask[:, None]
