"""The smallest world there can be, for tests: a square of one colour and size on a ground."""

from dataclasses import dataclass

from t2i_course.worlds.base import World
from t2i_course.worlds.language import check_words, pick, words

COLORS = {"red": "#e03020", "green": "#30a040", "blue": "#3050d0"}
SIZES = {"small": 30, "large": 70}
GROUNDS = {"white": "#ffffff", "black": "#101010"}
PLACES = tuple(f"place{x}" for x in range(29))


@dataclass(frozen=True, slots=True)
class Square:
    color: str
    size: str
    ground: str
    place: str
    variation: int

    def svg(self) -> str:
        side = SIZES[self.size]
        x = PLACES.index(self.place)
        return (
            '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 100 100">'
            f'<rect width="100" height="100" fill="{GROUNDS[self.ground]}"/>'
            f'<rect x="{x}" y="{50 - side / 2}" width="{side}" height="{side}" fill="{COLORS[self.color]}"/></svg>'
        )


class Squares(World):
    name = "squares"
    attributes = {"color": tuple(COLORS), "size": tuple(SIZES), "ground": tuple(GROUNDS), "place": PLACES}
    vocabulary = frozenset(["a", "square", "on", *COLORS, *SIZES, *GROUNDS, *PLACES, "at"])
    withheld = ({"color": "blue", "size": "small"},)

    def sample(self, rng):
        chosen = {name: pick(rng, values) for name, values in self.attributes.items()}
        return Square(**chosen, variation=int(rng.integers(1000)))

    def truth(self, spec):
        return {name: getattr(spec, name) for name in self.attributes}

    def describe(self, spec, rng):
        truth = self.truth(spec)
        said = {name: truth[name] for name in truth if rng.random() < 0.7}
        before = " ".join(said[name] for name in ("size", "color") if name in said)
        return f"a {before} square" + (f" on {said['ground']}" if "ground" in said else "") + (
            f" at {said['place']}" if "place" in said else ""
        ), said

    def facts(self, caption):
        tokens = words(caption)
        check_words(tokens, self.vocabulary, "the world of squares")
        return {name: word for word in tokens for name, values in self.attributes.items() if word in values}
