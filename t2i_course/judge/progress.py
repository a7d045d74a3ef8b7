"""Looks at a model in training: how much of its captions it draws, how diverse its pictures are, and samples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice

import numpy as np
import torch
from torch import Tensor

from t2i_course import worlds
from t2i_course.worlds.base import to_float, to_uint8

from .caption_accuracy import caption_accuracy
from .recogniser import load_recogniser

TRIES = 1_000_000  # random pictures that are looked at for those of a caption


class TooRare(ValueError):
    """Hardly any random picture fits a caption."""


def diversity(draw: Callable, world, captions: int = 25, samples: int = 8, split: str = "val") -> float:
    """How unlike each other the pictures of one caption are, 0 for a generator that has collapsed.

    The mean distance between recogniser features of `samples` pictures of the same caption, as a share of that between
    true pictures of other captions. A caption leaves most of a picture open: `true_diversity` says how much.
    """
    batch = next(world.batches(split, 64, captions, n=captions, shuffle=False))
    drawn = torch.cat([to_float(draw([caption] * samples, seed)) for seed, caption in enumerate(batch.captions)])
    return _varied(drawn, batch.pictures, world)


def true_diversity(world, captions: int = 25, samples: int = 8, split: str = "val") -> float:
    """The same of true pictures that show what their captions promise and are else random. (Blurs, or pictures that do
    not keep to their captions, can be more diverse.) Raises TooRare, see `specs_of`."""
    batch = next(world.batches(split, 64, captions, n=captions, shuffle=False))
    specs = [spec for k, caption in enumerate(batch.captions) for spec in specs_of(world, caption, samples, seed=k)]
    return _varied(to_float(np.stack([world.render(spec, 64) for spec in specs])), batch.pictures, world)


def specs_of(world, caption: str, n: int, seed: int = 0) -> list:
    """n random pictures, as specs, of which a caption is true.

    They are found by chance: raises TooRare for a caption that says too much of a picture to be met so.
    """
    rng, wanted = np.random.default_rng(seed), world.facts(caption).items()
    tried = (world.sample(rng) for _ in range(TRIES))
    specs = list(islice((spec for spec in tried if wanted <= world.truth(spec).items()), n))
    if len(specs) < n:
        raise TooRare(f"{caption!r} is true of only {len(specs)} of {TRIES:,} random {world.name}; {n} are needed.")
    return specs


def _varied(pictures: Tensor, true: Tensor, world) -> float:
    """Spread within each caption's share of `pictures`, in the order of captions, over that of one picture of each."""
    recogniser = load_recogniser(world)
    features = recogniser.features(pictures).unflatten(0, (len(true), -1))
    return (_spread(features) / _spread(recogniser.features(true)[None])).item()


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
