"""Caption accuracy: the share of the facts promised by captions that a recogniser finds in the pictures.

The recogniser makes mistakes of its own. `ceiling` measures them, as the caption accuracy of pictures that are true by
construction, and belongs beside every score: a system at the ceiling is as good as this judge can tell.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from t2i_course.worlds.base import PICTURES


@dataclass(frozen=True)
class Score:
    """Facts promised and kept, counted by group: "color", "count" (of "count:elephant"), "relation" ..."""

    promised: dict[str, int] = field(default_factory=dict)
    kept: dict[str, int] = field(default_factory=dict)
    captions: int = 0  # with at least one fact
    captions_kept: int = 0  # with every one of their facts
    left_out: int = 0  # captions without any fact say nothing about a picture

    @property
    def facts(self) -> int:
        """How many facts were looked for."""
        return sum(self.promised.values())

    @property
    def accuracy(self) -> float:
        """The share of the promised facts that were found."""
        return sum(self.kept.values()) / self.facts if self.facts else float("nan")

    @property
    def by_attribute(self) -> dict[str, float]:
        """The same for each group of attributes."""
        return {group: self.kept.get(group, 0) / n for group, n in sorted(self.promised.items())}

    @property
    def wholly_right(self) -> float:
        """The share of the captions whose facts were all found."""
        return self.captions_kept / self.captions if self.captions else float("nan")

    def __add__(self, other: Score) -> Score:
        """The score of both sets of pictures together."""
        return Score(
            dict(Counter(self.promised) + Counter(other.promised)),
            dict(Counter(self.kept) + Counter(other.kept)),
            self.captions + other.captions,
            self.captions_kept + other.captions_kept,
            self.left_out + other.left_out,
        )

    def __str__(self) -> str:
        return f"{self.accuracy:.1%} of {self.facts} facts, {self.wholly_right:.1%} of {self.captions} captions"


def caption_accuracy(pictures, captions: list[str], world, recogniser=None) -> Score:
    """How many of the facts that `captions` promise are found in `pictures`.

    pictures: uint8 (N, H, W, 3), or float tensor (N, 3, H, W) in [-1, 1]. `recogniser` is the world's own by default;
    anything with `.read(pictures) -> list of dicts` will do.
    """
    from .recogniser import load_recogniser

    if len(pictures) != len(captions):
        raise ValueError(f"There are {len(pictures)} pictures but {len(captions)} captions.")
    facts = [world.facts(caption) for caption in captions]
    recogniser = recogniser or load_recogniser(world)
    return compare(facts, recogniser.read(pictures))


def compare(facts: list[dict[str, str]], found: list[dict[str, str]]) -> Score:
    """Count which facts were found, picture by picture."""
    promised, kept = Counter(), Counter()
    whole = 0
    for wanted, seen in zip(facts, found, strict=True):
        right = [attribute for attribute, value in wanted.items() if seen.get(attribute) == value]
        promised.update(map(group, wanted))
        kept.update(map(group, right))
        whole += len(right) == len(wanted) > 0
    n = sum(map(bool, facts))
    return Score(dict(promised), dict(kept), n, whole, len(facts) - n)


def ceiling(world, split: str = "test", n: int = 500, size: int = 64, seed: int = 0, recogniser=None) -> Score:
    """Caption accuracy of the true pictures of captions 0..n-1 of a split: what lacks is the recogniser's error."""
    from .recogniser import load_recogniser

    pictures = true_pictures(world, split, n, size)
    facts = [world.caption(split, i, seed)[1] for i in range(n)]
    return compare(facts, (recogniser or load_recogniser(world)).read(pictures))


def true_pictures(world, split: str, n: int, size: int = 64) -> np.ndarray:
    """The pictures of captions 0..n-1 of a split, uint8 (n, size, size, 3)."""
    from t2i_course.worlds.cache import cached_pictures

    if n > PICTURES.get(split, 0):
        has = ", ".join(f"{name} has {pictures}" for name, pictures in PICTURES.items())
        raise ValueError(f"There are no {n} pictures of the split {split!r} to judge by: {has}.")
    cached = next(some for some in (200, 2_000, PICTURES[split]) if n <= some)  # few sizes: a cache is not small
    return np.array(cached_pictures(world, split, size, min(cached, PICTURES[split]))[:n])


def standard_error(facts: list[dict[str, str]], found: list[dict[str, str]], resamples: int = 200) -> float:
    """How far the accuracy of `compare` would vary from one draw of captions to the next, by the bootstrap.

    Captions are drawn anew, not facts: facts of one picture stand or fall together.
    """
    told = [(wanted, seen) for wanted, seen in zip(facts, found, strict=True) if wanted]
    if not told:
        return float("nan")
    promised = np.array([len(wanted) for wanted, _ in told])
    kept = np.array([sum(seen.get(name) == value for name, value in wanted.items()) for wanted, seen in told])
    chosen = np.random.default_rng(0).integers(len(told), size=(resamples, len(told)))
    return float((kept[chosen].sum(1) / promised[chosen].sum(1)).std(ddof=1))


def group(attribute: str) -> str:
    """The kind of an attribute: "count" for "count:elephant"."""
    return attribute.split(":")[0]
