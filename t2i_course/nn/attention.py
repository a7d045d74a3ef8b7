"""Attention: Softmax(Q K^T / sqrt(d)) V, the connection of text and picture in most systems of the course.

Every query (a place in a picture, say) looks at all keys (words, say) and takes home the mean of their values, weighted
by how well each key answers it ("Attention Is All You Need", Vaswani et al. 2017, equation 1).

B pictures, N queries, T keys and values; D numbers in a query or a key, E in a value.

A mask is bool and says True where a query may look. It broadcasts to (..., N, T): a causal mask (T, T) serves as it is,
a mask of the captions' words (B, T) is given as mask[:, None] to each of the N queries. A query that may look nowhere
finds nothing: its weights and its output are zeros. What stands at a masked key has no influence as long as its scores
and values are finite; a NaN there is not hidden, because 0 x NaN is NaN.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def attention(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None, scale: float | None = None
) -> tuple[Tensor, Tensor]:
    """The readable path, which makes the weights: what each query finds (..., N, E), and where it looked (..., N, T).

    q (..., N, D), k (..., T, D), v (..., T, E). scale: what the scores are multiplied with, D^-0.5 unless given.
    Raises ValueError if the shapes do not fit, or the mask is not bool.
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
    """The fast path: the same output (..., N, E) by torch's own function; arguments and errors as of `attention`.

    It does not store the weights if there are one or two dimensions before N and T, and E = D; else it may, and for
    gradients in bfloat16 on a CPU it does.
    """
    if q.requires_grad and q.device.type == "cpu" and q.dtype == torch.bfloat16:
        return attention(q, k, v, mask, scale)[0]  # torch's own gradient is much slower there (torch 2.15)
    _check(q, k, v, mask)
    if mask is None:
        return F.scaled_dot_product_attention(q, k, v, scale=scale)
    found = F.scaled_dot_product_attention(q, k, v, attn_mask=torch.atleast_2d(mask), scale=scale)
    return found.masked_fill(~mask.any(-1, keepdim=True), 0.0)  # not every kernel of torch promises the zeros


def _check(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> None:
    shapes = f"queries {tuple(q.shape)}, keys {tuple(k.shape)}, values {tuple(v.shape)}"
    if q.ndim < 2 or not q.shape[:-2] == k.shape[:-2] == v.shape[:-2]:
        raise ValueError(f"Queries, keys and values must be alike in all dimensions before the last two: {shapes}.")
    if q.shape[-1] != k.shape[-1]:
        raise ValueError(f"Queries and keys must have as many numbers: {shapes}.")
    if k.shape[-2] != v.shape[-2]:
        raise ValueError(f"Each key needs a value: {shapes}.")
    if mask is None:
        return
    if mask.dtype != torch.bool:
        raise ValueError(f"A mask is bool, True where a query may look, not {mask.dtype}.")
    full = (*q.shape[:-1], k.shape[-2])
    if mask.ndim > len(full) or any(a not in (1, b) for a, b in zip(mask.shape[::-1], full[::-1], strict=False)):
        raise ValueError(f"A mask {tuple(mask.shape)} does not broadcast to {full}, (..., queries, keys).")


class CrossAttention(nn.Module):
    """Several attentions side by side: x (B, N, dim) looks at a context (B, T, context_dim), or at itself.

    Each head sees inner / heads numbers of every query, key and value, which have a `bias` in some systems; inner is
    dim unless given. A mask is (N, T), or (B, N, T), or (B, 1, T) for a mask of each caption's words. Raises ValueError
    if the heads cannot share `inner`, or shapes do not fit.
    """

    def __init__(
        self, dim: int, context_dim: int | None = None, heads: int = 8, bias: bool = False, inner: int | None = None
    ):
        super().__init__()
        inner = dim if inner is None else inner
        if inner % heads:
            raise ValueError(f"inner ({inner}) cannot be shared out equally among {heads} heads.")
        context_dim = dim if context_dim is None else context_dim
        self.heads = heads
        self.to_q = nn.Linear(dim, inner, bias=bias)
        self.to_k = nn.Linear(context_dim, inner, bias=bias)
        self.to_v = nn.Linear(context_dim, inner, bias=bias)
        self.to_out = nn.Linear(inner, dim)

    def forward(self, x: Tensor, context: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """What each place finds (B, N, dim). mask: bool, broadcasts to (B, N, T)."""
        found = fast_attention(*self._heads_of(x, context, mask))  # (B, heads, N, inner / heads)
        return self.to_out(found.transpose(1, 2).flatten(2))  # (B, N, dim)

    def weights(self, x: Tensor, context: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """Where each place looks, by the readable path: (B, heads, N, T)."""
        return attention(*self._heads_of(x, context, mask))[1]

    def _heads_of(self, x, context, mask):
        """Queries, keys and values (B, heads, N or T, inner / heads), and the mask with a dimension for the heads."""
        context = x if context is None else context
        for name, given, wanted in (("x", x, self.to_q.in_features), ("context", context, self.to_k.in_features)):
            if given.ndim != 3 or given.shape[-1] != wanted:
                raise ValueError(f"{name} must be (batch, length, {wanted}), not {tuple(given.shape)}.")
        parts = self.to_q(x), self.to_k(context), self.to_v(context)
        q, k, v = (part.unflatten(2, (self.heads, -1)).transpose(1, 2) for part in parts)
        return q, k, v, mask[:, None] if mask is not None and mask.ndim == 3 else mask


# --- the transformer --------------------------------------------------------------------------------------------------


def quick_gelu(x: Tensor) -> Tensor:
    """GELU as OpenAI's CLIP approximates it."""
    return x * torch.sigmoid(1.702 * x)


class Block(nn.Module):
    """x (B, N, D) -> the same shape; norms come first ("pre-norm"). `attention`: options of its CrossAttention."""

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
