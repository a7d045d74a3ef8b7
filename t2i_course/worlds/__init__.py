"""Worlds: captioned pictures drawn from a known truth, so that a picture can be *measured* against its caption.

world = worlds.load("flowers")
spec = world.spec("train", 0)            # what is true
world.captions(spec, rng)                # what people say about it
world.render(spec, 128)                  # what it looks like, uint8 (128, 128, 3)
world.facts("a red flower with 5 petals")  # what a caption promises
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from importlib import import_module

from .base import Batch, World
from .language import UnknownWord

_CLASSES = {"flowers": "Flowers", "birds": "Birds", "scenes": "Scenes"}
NAMES = tuple(_CLASSES)

__all__ = ["NAMES", "Batch", "Birds", "Flowers", "Scenes", "UnknownWord", "World", "load", "mixed_batches"]


@lru_cache
def load(name: str) -> World:
    """The world called `name`: "flowers", "birds" or "scenes"."""
    if name not in _CLASSES:
        raise ValueError(f"There is no world {name!r}. The worlds are: {', '.join(NAMES)}.")
    return getattr(import_module(f".{name}", __name__), _CLASSES[name])()


def mixed_batches(
    names: Sequence[str], split: str, size: int, batch_size: int, seed: int = 0, **options
) -> Iterator[Batch]:
    """Batches of which each world gives an equal share, in the order of `names`; options as for `World.batches`.

    Raises ValueError if `batch_size` cannot be shared out.
    """
    share, rest = divmod(batch_size, len(names))
    if rest:
        raise ValueError(f"A batch of {batch_size} cannot be shared out equally among {len(names)} worlds.")
    streams = [load(name).batches(split, size, share, seed, **options) for name in names]
    return (Batch.joined(parts) for parts in zip(*streams, strict=True))


def __getattr__(name: str):  # `from t2i_course.worlds import Flowers` without importing the other worlds
    for module, class_name in _CLASSES.items():
        if name == class_name:
            return getattr(import_module(f".{module}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
