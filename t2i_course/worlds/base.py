"""What every world has in common: splits, pictures from specs, and batches from a cache.

A world knows what is true of each of its pictures (its *spec*), can say it in many ways (captions), and can read a
caption back into what it promises (facts). Facts and truth are flat dicts of strings, so "does this picture keep what
its caption promised?" is `truth.get(attribute) == value`, whoever drew the picture.

A world writes five things: `sample`, `describe`, `facts`, `truth`, and its table of `withheld` attribute pairs. The
rest is here.
"""

import hashlib
import inspect
import io
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from itertools import count
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from . import language

SPLITS = ("train", "val", "test", "novel")
PICTURES = {"train": 20_000, "val": 1_000, "test": 2_000, "novel": 2_000}  # in the default cache of each split


@dataclass(frozen=True)
class Batch:
    """Captioned pictures: what models are trained on and judged by."""

    pictures: Any  # float tensor (B, 3, H, W) in [-1, 1]
    captions: list[str]  # one per picture
    facts: list[dict[str, str]]  # what each caption promises; {} for photographs, whose truth nobody wrote down
    truth: list[dict[str, str]]  # everything that is true of each picture; {} for photographs
    more: list[list[str]] = field(default_factory=list)  # other captions of the same pictures, if asked for

    @classmethod
    def joined(cls, parts: "Sequence[Batch]") -> "Batch":
        """One batch of several, one after the other."""
        import torch

        lists = ([item for part in parts for item in getattr(part, f)] for f in ("captions", "facts", "truth", "more"))
        return cls(torch.cat([part.pictures for part in parts]), *lists)

    def fits(self):
        """Bool tensor (B, B): whether the facts of caption i are true of picture j.

        A caption promises few of a picture's attributes, so it often fits others, too. In a world's batches the
        diagonal is always true.
        """
        import torch

        return torch.tensor([[facts.items() <= truth.items() for truth in self.truth] for facts in self.facts])


class World(ABC):
    """Captioned pictures drawn from a known truth."""

    name: ClassVar[str]
    attributes: ClassVar[dict[str, tuple[str, ...]]]  # every attribute and its possible values
    vocabulary: ClassVar[frozenset[str]]  # every word that a caption may hold
    withheld: ClassVar[tuple[dict[str, str], ...]]  # pairs that never occur together outside the split "novel"

    @abstractmethod
    def sample(self, rng: np.random.Generator):
        """Any spec, whatever its split."""

    @abstractmethod
    def describe(self, spec, rng: np.random.Generator) -> tuple[str, dict[str, str]]:
        """One caption, and the facts that it promises."""

    @abstractmethod
    def facts(self, caption: str) -> dict[str, str]:
        """What a caption promises, `{attribute: value}`. Raises `UnknownWord` for a word without a meaning here."""

    @abstractmethod
    def truth(self, spec) -> dict[str, str]:
        """Everything that is true of a picture and could be promised by a caption."""

    def captions(self, spec, rng: np.random.Generator, n: int = 12) -> list[str]:
        """`n` different captions of one spec."""
        found: dict[str, None] = {}
        for _ in range(50 * n):
            found[self.describe(spec, rng)[0]] = None
            if len(found) == n:
                return list(found)
        raise ValueError(f"{self.name}: only {len(found)} different captions of one picture were found, not {n}.")

    # --- splits ---------------------------------------------------------------------------------------------------

    def is_novel(self, known: dict[str, str]) -> bool:
        """Whether a truth, or the facts of a caption, hold a pair of attributes that training never shows together."""
        return any(pair.items() <= known.items() for pair in self.withheld)

    def split_of(self, spec) -> str:
        """The split that a spec belongs to. It follows from the truth alone, so no two splits can share a truth."""
        truth = self.truth(spec)
        if self.is_novel(truth):
            return "novel"
        percent = zlib.crc32(repr(sorted(truth.items())).encode()) % 100
        return "test" if percent < 5 else "val" if percent < 10 else "train"

    def spec(self, split: str, index: int):
        """Picture number `index` of a split: the same in every process, on every machine."""
        if split not in SPLITS:
            raise ValueError(f"There is no split {split!r}. The splits are: {', '.join(SPLITS)}.")
        rng = np.random.default_rng([zlib.crc32(self.name.encode()), SPLITS.index(split), index])
        for _ in range(20_000):
            spec = self.sample(rng)
            if self.split_of(spec) == split:
                return spec
        raise ValueError(f"{self.name}: no spec of the split {split!r} was found; has the world too few attributes?")

    def caption(self, split: str, index: int, seed: int = 0) -> tuple[str, dict[str, str]]:
        """A caption of picture `index` of a split and its facts; another seed words it differently.

        Captions of the split "novel" always name a withheld pair: the very thing that this split is there to ask for.
        """
        return self._caption_of(self.spec(split, index), np.random.default_rng([seed, index]), split)

    def _caption_of(self, spec, rng, split):
        for _ in range(500):
            text, facts = self.describe(spec, rng)
            if split != "novel" or self.is_novel(facts):
                return text, facts
        raise ValueError(f"{self.name}: no caption was found that names the withheld pair of {spec}.")

    # --- pictures -------------------------------------------------------------------------------------------------

    def render(self, spec, size: int = 64) -> np.ndarray:
        """The picture of a spec: uint8 (size, size, 3)."""
        return rasterise(spec.svg(), size)

    def sources(self) -> list[Path]:
        """The files that decide what the pictures look like; a cache made by other versions of them is not used."""
        own = Path(inspect.getfile(type(self)))
        return [*own.parent.glob(f"{own.stem}*.py"), Path(__file__), Path(language.__file__)]

    def fingerprint(self) -> str:
        """A short hash of `sources()` and of the version of the rasteriser."""
        digest = hashlib.blake2b(version("resvg-py").encode(), digest_size=6)
        for path in sorted(self.sources()):
            digest.update(path.read_bytes())
        return digest.hexdigest()

    def batches(
        self,
        split: str,
        size: int,
        batch_size: int,
        seed: int = 0,
        *,
        n: int | None = None,
        start: int = 0,
        epochs: int | None = 1,
        shuffle: bool = True,
        more: int = 0,
    ) -> Iterator[Batch]:
        """Batches of the first `n` pictures of a split, from a cache that is rendered once.

        `epochs=None` never ends (and then every batch is full). Each epoch has its own order and its own captions, both
        given by `seed` alone, so `start=k` continues exactly where a run stopped after `k` batches. With `more=k`, k
        other captions of each picture come along in `Batch.more`.
        """
        if split not in SPLITS:
            raise ValueError(f"There is no split {split!r}. The splits are: {', '.join(SPLITS)}.")
        n = PICTURES[split] if n is None else n
        check_request(size, batch_size, start, epochs)
        if n < 0:
            raise ValueError(f"n ({n}) must not be negative.")
        if epochs is None and n < batch_size:
            raise ValueError(f"A batch of {batch_size} needs at least as many pictures, not n={n}.")
        from .cache import cached_pictures

        pictures = cached_pictures(self, split, size, n)
        return self._batches(pictures, split, batch_size, seed, start, epochs, shuffle, more)

    def _batches(self, pictures, split, batch_size, seed, start, epochs, shuffle, more):
        n, specs = len(pictures), {}
        per_epoch = n // batch_size if epochs is None else -(-n // batch_size)
        steps = count(start) if epochs is None else range(start, epochs * per_epoch)
        order_of = None
        for step in steps:
            epoch, position = divmod(step, per_epoch)
            if epoch != order_of:
                order = np.random.default_rng([seed, epoch]).permutation(n) if shuffle else np.arange(n)
                order_of = epoch
            chosen = order[position * batch_size : (position + 1) * batch_size]
            captions, facts, truth, others = [], [], [], []
            for i in chosen.tolist():
                spec = specs.get(i) or specs.setdefault(i, self.spec(split, i))
                text, promised = self._caption_of(spec, np.random.default_rng([seed, epoch, i]), split)
                captions.append(text)
                facts.append(promised)
                truth.append(self.truth(spec))
                if more:
                    rngs = (np.random.default_rng([seed, epoch, i, k]) for k in range(1, more + 1))
                    others.append([self._caption_of(spec, rng, split)[0] for rng in rngs])
            yield Batch(to_float(pictures[chosen]), captions, facts, truth, others)


def check_request(size: int, batch_size: int, start: int, epochs: int | None) -> None:
    """Raise ValueError for batches that nobody can mean."""
    if not (size > 0 and batch_size > 0 and start >= 0 and (epochs is None or epochs > 0)):
        raise ValueError(
            f"size ({size}), batch_size ({batch_size}) and epochs ({epochs}) must be positive, "
            f"and start ({start}) must not be negative."
        )


def rasterise(svg: str, size: int) -> np.ndarray:
    """Draw an SVG: uint8 (size, size, 3)."""
    if not 1 <= size <= 8192:
        raise ValueError(f"A picture is from 1 to 8192 pixels wide, not {size}.")
    import resvg_py
    from PIL import Image

    png = resvg_py.svg_to_bytes(svg_string=svg, width=size, height=size, skip_system_fonts=True)
    return np.array(Image.open(io.BytesIO(png)).convert("RGB"))


def to_float(pictures):
    """Pictures of any system -> float tensor (B, 3, H, W) in [-1, 1]; uint8 arrays (B, H, W, 3) are converted."""
    import torch

    _check_form(pictures)
    if isinstance(pictures, np.ndarray):
        return torch.from_numpy(np.ascontiguousarray(pictures)).permute(0, 3, 1, 2).float().div_(127.5).sub_(1)
    pictures = pictures.detach().float()
    finite = pictures.isfinite().flatten(1).all(1).tolist()
    if not all(finite):
        raise ValueError(f"Picture {finite.index(False)} holds values that are not finite (NaN or infinite).")
    return pictures.clamp(-1, 1)


def to_uint8(pictures) -> np.ndarray:
    """Pictures of any system -> uint8 (B, H, W, 3); float tensors (B, 3, H, W) in [-1, 1] are converted."""
    if isinstance(pictures, np.ndarray):
        _check_form(pictures)
        return pictures
    return (to_float(pictures).cpu() * 127.5 + 127.5).round().byte().permute(0, 2, 3, 1).numpy()


def _check_form(pictures) -> None:
    """Pictures come in two forms; what a uint8 tensor or a float array would mean, nobody can know."""
    if isinstance(pictures, np.ndarray):
        if pictures.dtype != np.uint8 or pictures.ndim != 4 or pictures.shape[-1] != 3:
            raise ValueError(f"Arrays of pictures are uint8 (B, H, W, 3), not {pictures.dtype} {pictures.shape}.")
    elif not hasattr(pictures, "is_floating_point"):
        raise ValueError(f"Pictures are a uint8 array or a float tensor, not a {type(pictures).__name__}.")
    elif not pictures.is_floating_point() or pictures.ndim != 4 or pictures.shape[1] != 3:
        raise ValueError(
            f"Tensors of pictures are floating point, (B, 3, H, W) in [-1, 1], "
            f"not {pictures.dtype} {tuple(pictures.shape)}."
        )
