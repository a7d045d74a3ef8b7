"""Attention: Softmax(Q K^T / sqrt(d)) V, the connection of text and picture in most systems of the course.

Every query (a place in a picture, say) looks at all keys (words, say) and takes home the mean of their values, weighted
by how well each key answers it. B batch, N queries, T keys, D dims.
"""

from __future__ import annotations

from torch import Tensor


def attention(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None, scale: float | None = None
) -> tuple[Tensor, Tensor]:
    """The readable path: queries (..., N, D), keys (..., T, D), values (..., T, E) -> output (..., N, E), weights (..., N, T).

    mask, bool, broadcast to (..., N, T): True where a query may look. scale: D^-0.5 unless given.
    """
    scores = q @ k.transpose(-1, -2) * (q.shape[-1] ** -0.5 if scale is None else scale)  # (..., N, T)
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    weights = scores.softmax(-1)
    return weights @ v, weights
