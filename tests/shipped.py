"""How well models that ship draw their captions, measured anew: small samples, for bars that a broken model misses."""

from collections.abc import Callable

from t2i_course import worlds
from t2i_course.judge.caption_accuracy import compare
from t2i_course.judge.recogniser import load_recogniser


def accuracy_and_chance(draw: Callable, name: str, n: int) -> tuple[float, float]:
    """Caption accuracy for the first `n` captions of the split test of a world, and what chance would give.

    Chance: the same pictures, dealt to the other captions in every order round the table.
    """
    world = worlds.load(name)
    captions = [world.caption("test", i)[0] for i in range(n)]
    facts = [world.facts(caption) for caption in captions]
    found = load_recogniser(world).read(draw(captions))
    dealt = [compare(facts, found[k:] + found[:k]).accuracy for k in range(n)]
    return dealt[0], sum(dealt[1:]) / (n - 1)
