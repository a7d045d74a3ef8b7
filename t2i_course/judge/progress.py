"""Looks at a model in training: how much of its captions it draws, how diverse its pictures are, and samples."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from t2i_course import worlds
from t2i_course.worlds.base import to_uint8

from .caption_accuracy import caption_accuracy
from .recogniser import load_recogniser


def diversity(draw: Callable, world, captions: int = 25, samples: int = 8, split: str = "val") -> float:
    """How unlike each other the pictures of one caption are, 0 for a generator that has collapsed.

    The mean distance between recogniser features of `samples` pictures of the same caption, as a share of that between
    true pictures of other captions. A caption leaves most of a picture open, so true pictures of one caption come to
    less than 1, but not to much less.
    """
    recogniser = load_recogniser(world)
    batch = next(world.batches(split, 64, captions, n=captions, shuffle=False))
    drawn = [draw([caption] * samples, seed) for seed, caption in enumerate(batch.captions)]
    features = recogniser.features(torch.cat(drawn)).unflatten(0, (captions, samples))
    true = recogniser.features(batch.pictures)
    return (_spread(features) / _spread(true[None])).item()


def _spread(features: Tensor) -> Tensor:
    """Mean distance between the rows of each group (G, N, D), over all groups."""
    n = features.shape[1]
    return torch.cdist(features, features).sum((1, 2)).mean() / (n * (n - 1))


def caption_accuracies(
    draw: Callable, names: Sequence[str], n: int = 200, split: str = "val", diverse: bool = True
) -> dict[str, float]:
    """{world: caption accuracy of the first `n` captions of a split, "world.diversity": ... if `diverse`}."""
    measured = {}
    for name in names:
        world = worlds.load(name)
        captions = [world.caption(split, i)[0] for i in range(n)]
        pictures = torch.cat([draw(captions[i : i + 50], i) for i in range(0, n, 50)])
        measured[name] = caption_accuracy(pictures, captions, world).accuracy
        if diverse:
            measured[f"{name}.diversity"] = diversity(draw, world)
    return measured


def sample_sheet(draw: Callable, names: Sequence[str], each: int = 24, columns: int = 8) -> np.ndarray:
    """A sheet of what is drawn for the first captions of the split val of each world, uint8 (H, W, 3)."""
    from t2i_course.show.files import grid

    captions = [worlds.load(name).caption("val", i)[0] for name in names for i in range(each)]
    return grid(to_uint8(draw(captions, 0)), columns)
