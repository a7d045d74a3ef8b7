"""Noise that belongs to a picture, not to a batch."""

import torch
from numpy.random import SeedSequence
from torch import Tensor


def noise(seed: int, batch: int, *shape: int) -> Tensor:
    """Standard normal noise (batch, *shape).

    Row i follows from `seed` and i alone, so a caption gets the same noise whether it is drawn alone or with others.
    """
    if seed < 0:
        raise ValueError(f"seed={seed}: a seed is not negative.")

    def row(i):
        generator = torch.Generator().manual_seed(int(SeedSequence([seed, i]).generate_state(1)[0]))
        return torch.randn(shape, generator=generator)

    return torch.stack([row(i) for i in range(batch)])
