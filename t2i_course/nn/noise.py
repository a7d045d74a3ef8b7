"""Noise that belongs to a picture, not to a batch."""

from collections.abc import Callable
from numbers import Integral

import torch
from numpy.random import SeedSequence
from torch import Tensor


def noise(seed: int, batch: int, *shape: int) -> Tensor:
    """Standard normal noise (batch, *shape).

    Row i follows from `seed` and i alone, so a caption gets the same noise whether it is drawn alone or with others.
    """
    return noise_stream(seed, batch)(*shape)


def noises(seed: int, batch: int, *dims: int) -> tuple[Tensor, ...]:
    """Standard normal vectors of several widths, (batch, dim) each."""
    return noise(seed, batch, sum(dims)).split(dims, 1)


def noise_stream(seed: int, batch: int) -> Callable[..., Tensor]:
    """A function that gives standard normal noise (batch, *shape), new at every call; row i has a stream of its own.

    Raises ValueError for a seed that is not a whole number from 0 on.
    """
    if not isinstance(seed, Integral) or seed < 0:
        raise ValueError(f"seed={seed!r}: a seed is a whole number, and not negative.")
    seeds = (int(SeedSequence([seed, i]).generate_state(1)[0]) for i in range(batch))
    rows = [torch.Generator().manual_seed(s) for s in seeds]
    return lambda *shape: torch.stack([torch.randn(shape, generator=row) for row in rows])


def slerp(a: Tensor, b: Tensor, way: float) -> Tensor:
    """From noise a (way = 0) to noise b (way = 1) along the arc between them, on which it stays as loud as it is."""
    cosine = torch.nn.functional.cosine_similarity(a.flatten(), b.flatten(), 0).clamp(-1, 1)
    angle = cosine.arccos()
    if angle.sin() < 1e-4:  # they point the same way, or opposite ways, between which there is no one arc
        return torch.lerp(a, b, way)
    return (((1 - way) * angle).sin() * a + (way * angle).sin() * b) / angle.sin()
