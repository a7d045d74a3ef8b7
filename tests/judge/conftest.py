"""A world small enough to learn in seconds: one coloured square on the left or on the right."""

from dataclasses import dataclass

import numpy as np
import pytest

torch = pytest.importorskip("torch")
torch.set_num_threads(1)

from t2i_course.worlds.base import World  # noqa: E402

COLORS = {"red": (210, 40, 30), "green": (40, 170, 60), "blue": (40, 80, 210)}


@dataclass(frozen=True, slots=True)
class Square:
    color: str
    side: str
    variation: int


class Squares(World):
    name = "squares"
    attributes = {"color": tuple(COLORS), "side": ("left", "right")}
    vocabulary = frozenset(["a", "red", "green", "blue", "square", "left", "right"])
    withheld = ({"color": "blue", "side": "right"},)

    def sample(self, rng):
        color, side = (values[rng.integers(len(values))] for values in self.attributes.values())
        return Square(color, side, int(rng.integers(2**31)))

    def describe(self, spec, rng):
        facts = {name: value for name, value in self.truth(spec).items() if rng.random() < 0.8}
        return " ".join(["a", facts.get("color", ""), "square", facts.get("side", "")]), facts

    def facts(self, caption):
        values = {value: name for name, values in self.attributes.items() for value in values}
        return {values[word]: word for word in caption.split() if word in values}

    def truth(self, spec):
        return {"color": spec.color, "side": spec.side}

    def split_of(self, spec):
        split = super().split_of(spec)  # by variation: there are too few truths to split by
        return split if split == "novel" else ("test", "val", *["train"] * 6)[spec.variation % 8]

    def render(self, spec, size=64):
        rng = np.random.default_rng(spec.variation)
        picture = np.full((size, size, 3), rng.integers(160, 250, 3), np.uint8)
        x = int(size * (0.1 if spec.side == "left" else 0.55))
        y = int(size * rng.uniform(0.1, 0.6))
        picture[y : y + size // 3, x : x + size // 3] = COLORS[spec.color]
        return picture


class PerfectEyes:
    """Reads the truth of pictures that `Squares` drew, by looking at single pixels."""

    def read(self, pictures):
        from t2i_course.worlds.base import to_uint8

        answers = []
        for picture in to_uint8(pictures).astype(int):
            distance = {c: np.abs(picture - rgb).sum(-1) for c, rgb in COLORS.items()}
            color = min(distance, key=lambda c: np.sort(distance[c].ravel())[:50].mean())
            x = np.nonzero(distance[color] < 60)[1].mean() / picture.shape[1]
            answers.append({"color": color, "side": "left" if x < 0.5 else "right"})
        return answers

    def features(self, pictures):
        from t2i_course.worlds.base import to_uint8

        return torch.from_numpy(to_uint8(pictures)[:, ::16, ::16].reshape(len(pictures), -1)[:, :8].copy()).float()


@pytest.fixture(scope="session")
def world():
    return Squares()


@pytest.fixture
def eyes(monkeypatch):
    """Makes `PerfectEyes` the recogniser that is loaded for every world."""
    import t2i_course.judge.metrics
    import t2i_course.judge.recogniser

    eyes = PerfectEyes()
    monkeypatch.setattr(t2i_course.judge.recogniser, "load_recogniser", lambda world: eyes)
    monkeypatch.setattr(t2i_course.judge.metrics, "load_recogniser", lambda world: eyes)
    return eyes
