"""Multiple choice: one picture, several captions that differ in one word or two, and only one of them is true.

So a model that compares captions with pictures can be asked what it sees, attribute by attribute, though it was never
trained to name any ("zero-shot", Radford et al. 2021). `questions` ask for one attribute each. `swapped` asks whether
the model knows which word belongs to what: both captions hold the same words, as "a red flower with a white center"
and "a white flower with a red center" do (Thrush et al. 2022 ask photographs so, "Winoground").
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from t2i_course.worlds import birds_language as birds
from t2i_course.worlds import flowers_language as flowers
from t2i_course.worlds import scenes_language as scenes
from t2i_course.worlds.language import a_or_an

from .caption_accuracy import group


@dataclass(frozen=True)
class Question:
    """Which of these captions is true?"""

    attribute: str  # as in a picture's truth: "color", or "color:car"
    captions: tuple[str, ...]
    right: int


def questions(world, truth: Mapping[str, str]) -> list[Question]:
    """All questions about a picture of a world with this truth."""
    return {"flowers": _of_flowers, "birds": _of_birds, "scenes": _of_scenes}[world.name](world, truth)


def swapped(world, truth: Mapping[str, str]) -> list[Question]:
    """The question whether two colors can change places: one, or none if that would not make a false caption."""
    return {"flowers": _swapped_flowers, "birds": _swapped_birds, "scenes": _swapped_scenes}[world.name](world, truth)


def accuracy(asked: Sequence[Sequence[Question]], scores: Callable[[list[str]], Tensor]) -> dict[str, float]:
    """The share of right answers to each kind of question: {"color": 0.9, ...}.

    asked: the questions about each picture. scores(captions) -> how well they fit these pictures, (captions, pictures).
    """
    captions = list(dict.fromkeys(c for some in asked for question in some for c in question.captions))
    row, table = {caption: i for i, caption in enumerate(captions)}, scores(captions)
    right, n = Counter(), Counter()
    for picture, some in enumerate(asked):
        for question in some:
            chosen = int(table[[row[c] for c in question.captions], picture].argmax())
            n[group(question.attribute)] += 1
            right[group(question.attribute)] += chosen == question.right
    return {name: right[name] / n[name] for name in n}


def chance(asked: Sequence[Sequence[Question]]) -> dict[str, float]:
    """What guessing blindly would reach, for each kind of question."""
    hit, n = Counter(), Counter()
    for question in (question for some in asked for question in some):
        n[group(question.attribute)] += 1
        hit[group(question.attribute)] += 1 / len(question.captions)
    return {name: hit[name] / n[name] for name in n}


def read_right(
    asked: Sequence[Sequence[Question]], truth: Sequence[Mapping[str, str]], seen: Sequence[Mapping[str, str]]
) -> dict[str, float]:
    """The share of what is asked for that a recogniser, which was trained for it, has seen right: the ceiling."""
    right, n = Counter(), Counter()
    for some, true, read in zip(asked, truth, seen, strict=True):
        for attribute in (question.attribute for question in some):
            n[group(attribute)] += 1
            right[group(attribute)] += read.get(attribute) == true[attribute]
    return {name: right[name] / n[name] for name in n}


def _choice(attribute: str, captions: Mapping[str, str], value: str) -> Question:
    """captions: {value: caption}."""
    return Question(attribute, tuple(captions.values()), list(captions).index(value))


# --- flowers ----------------------------------------------------------------------------------------------------------

PATTERNS = {
    "plain": "plain petals",
    "edges": "edges of another color",
    "striped": "petals that are striped",
    "spotted": "petals that are spotted",
    "centre": "another color at the base of the petals",
}


def _flower(attribute: str, value: str) -> str:
    if attribute == "background":
        return f"a flower {flowers.PHRASES['background'][value][0]}"
    if attribute in ("color", "arrangement"):
        return f"{a_or_an(flowers.ADJECTIVES[value][0] if attribute == 'arrangement' else value)} flower"
    if attribute == "pattern":
        return f"a flower with {PATTERNS[value]}"
    if attribute == "second_color":
        return f"a flower with {value} touches on the petals"
    if attribute == "leaves":
        return f"a flower with {'no' if value == 'none' else value} leaves"
    if attribute in ("center_color", "center_size"):
        return f"a flower with a {value} center"
    return f"a flower with {'heart-shaped' if value == 'heart' else value} petals"


def _of_flowers(world, truth):
    found = []
    for attribute, values in world.attributes.items():
        if attribute == "second_color":  # that there is none is what "plain" says
            values = [value for value in values if value != "none"]
        if truth[attribute] in values:
            found.append(_choice(attribute, {v: _flower(attribute, v) for v in values}, truth[attribute]))
    return found


def _swapped_flowers(world, truth):
    petals, center = truth["color"], truth["center_color"]
    if petals == center or petals not in world.attributes["center_color"] or center not in world.attributes["color"]:
        return []
    captions = (f"{a_or_an(p)} flower with {a_or_an(c)} center" for p, c in ((petals, center), (center, petals)))
    return [Question("swapped", tuple(captions), 0)]


# --- birds ------------------------------------------------------------------------------------------------------------


def _bird(attribute: str, value: str) -> str:
    if attribute == "size":
        return f"a {birds.PHRASES[value][0]} bird"
    if attribute in ("pose", "place"):
        return f"a bird that is {birds.PHRASES[value][0] if attribute == 'place' else value}"
    noun = {"bill_length": "bill", "bill_shape": "bill"}.get(attribute, attribute.replace("_", " "))
    return f"a bird with {f'no {noun}' if value == 'none' else birds.noun_phrase(value, noun)}"


def _of_birds(world, truth):
    return [
        _choice(attribute, {v: _bird(attribute, v) for v in values}, truth[attribute])
        for attribute, values in world.attributes.items()
    ]


def _swapped_birds(world, truth):
    crown, belly = truth["crown"], truth["belly"]
    captions = (f"a bird with {a_or_an(c)} crown and {a_or_an(b)} belly" for c, b in ((crown, belly), (belly, crown)))
    return [Question("swapped", tuple(captions), 0)] if crown != belly else []


# --- scenes -----------------------------------------------------------------------------------------------------------

NUMBERS = {"two": "two", "three": "three", "herd": "many"}


def _things(kind: str, count: str, adjective: str = "") -> str:
    if count == "one":
        return a_or_an(f"{adjective} {kind}".strip())
    return " ".join([NUMBERS[count], *adjective.split(), scenes.plural(kind)])


def _of_scenes(world, truth):
    kinds = [name.removeprefix("present:") for name in truth if name.startswith("present:")]
    found = []
    for kind in kinds:
        count = truth[f"count:{kind}"]
        others = [k for k in world.KINDS if k not in kinds]
        found.append(_choice(f"present:{kind}", {k: _things(k, count) for k in (kind, *others)}, kind))
        found.append(_choice(f"count:{kind}", {c: _things(kind, c) for c in world.attributes["count"]}, count))
        for attribute in ("color", "size"):
            captions = {v: _things(kind, count, v) for v in world.attributes[attribute]}
            found.append(_choice(f"{attribute}:{kind}", captions, truth[f"{attribute}:{kind}"]))
    first = _things(kinds[0], truth[f"count:{kinds[0]}"])
    for attribute, phrases in {"place": scenes.PLACE_PHRASES, "time": scenes.TIME_PHRASES}.items():
        found.append(_choice(attribute, {v: f"{first} {said[0]}" for v, said in phrases.items()}, truth[attribute]))
    for attribute in (name for name in truth if name.startswith("relation:")):
        a, b = (_things(k, truth[f"count:{k}"]) for k in attribute.removeprefix("relation:").split("|"))
        captions = {relation: f"{a} {said[0]} {b}" for relation, said in scenes.RELATION_PHRASES.items()}
        found.append(_choice(attribute, captions, truth[attribute]))
    return found


def _swapped_scenes(world, truth):
    kinds = [name.removeprefix("present:") for name in truth if name.startswith("present:")][:2]
    colors = [truth[f"color:{kind}"] for kind in kinds]
    if len(set(colors)) < 2:
        return []
    captions = (
        " and ".join(_things(kind, truth[f"count:{kind}"], c) for kind, c in zip(kinds, order, strict=True))
        for order in (colors, colors[::-1])
    )
    return [Question("swapped", tuple(captions), 0)]
