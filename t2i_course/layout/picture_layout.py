"""Text-to-picture by layout: the system of 2007.

"A Text-to-Picture Synthesis System for Augmenting Communication", Zhu, Goldberg, Eldawy, Dyer and Strock, AAAI 2007.
New at the time: draw a whole text without understanding it. Three choices, made greedily one after the other:

    keyphrases  k* = argmax p(k | text)           what to draw                           keyphrases.py
    pictures    i* = argmax p(i | text, k*)       which picture for each                 pictures.py
    layout      l* = argmax p(l | text, k*, i*)   where each goes, and which is in front  optimise.py

It retrieves and arranges; it generates no pixel of its own. (The equations are reconstructed.) Two other layouts are
here to compare with: `abc` (2008) and the plain `strip` from left to right.

This course's additions, not the paper's: arrows between the cards of a collage, badges with the verb's picture, as many
copies of a picture as the text says, and pictures that take the colour that the text names.
"""

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from numbers import Real
from pathlib import Path

import numpy as np

from ..worlds.base import rasterise
from . import abc
from .clauses import Link, Phrase, links, phrases
from .collage import Arrow, Box, Card, compose, frame_around
from .keyphrases import Keyphrase, how_many, rank, select
from .optimise import WEIGHTS, Problem, State, Weights, monte_carlo
from .pictures import LibraryPicture, PictureLibrary, most_typical
from .tagging import Word, tag_text, word_lists

LAYOUTS = ("collage", "abc", "strip")
CARD = 0.7  # side of a card in parts of the square that the layout reserves: the rest is room for arrows


@dataclass(frozen=True)
class Item:
    """One thing to draw, with all phrases (by index) that mention it."""

    picture: LibraryPicture
    importance: float
    mentions: tuple[int, ...]
    colour: str | None = None
    number: int = 1


@dataclass(frozen=True)
class Story:
    """Everything that steps 1 and 2 know of a text."""

    words: list[Word]
    scores: dict[str, float]
    graph: np.ndarray
    picturability: dict[str, float]
    keyphrases: list[Keyphrase]
    phrases: list[Phrase]
    items: list[Item]  # in the order of the text
    links: list[Link]
    without_picture: list[str]

    def item_of(self, phrase: int | None) -> int | None:
        return next((i for i, item in enumerate(self.items) if phrase in item.mentions), None)


class PictureLayout:
    """Draws texts as collages of library pictures. Needs no training and no torch."""

    def __init__(self, library: PictureLibrary | None = None):
        self.library = PictureLibrary.default() if library is None else library

    def draw(self, captions: Sequence[str], seed: int = 0, **options) -> np.ndarray:
        """The last frame: uint8 (B, size, size, 3). Options as for `frames`."""
        (last,) = self.frames(captions, seed, **{**options, "film_frames": 1})
        return last

    def frames(
        self,
        captions: Sequence[str],
        seed: int = 0,
        *,
        size: int = 512,
        layout: str = "collage",
        library: PictureLibrary | str | Path | None = None,
        weights: Weights | Sequence[float] = WEIGHTS,
        max_pictures: int = 10,
        film_frames: int = 24,
    ) -> Iterator[np.ndarray]:
        """Pictures uint8 (B, size, size, 3) from first to last: the layout being found (other layouts: one frame).

        `layout` is "collage", "abc" or "strip"; `library` a PictureLibrary or a folder of pictures; `weights` count
        overlap, centrality and closeness; of long texts the `max_pictures` most important things are drawn. The same
        text, seed and options give the same picture, alone or in a batch.

        Raises ValueError for a text of which nothing can be drawn.
        """
        if isinstance(captions, str) or not isinstance(captions, Sequence):
            raise ValueError("captions is a list of texts; put your text into brackets: [text].")
        if not captions:
            raise ValueError("captions is empty; give at least one text.")
        _check_options(size, layout, max_pictures, film_frames)
        weights = _check_weights(weights)
        library = self.library if library is None else _as_library(library)
        films = []
        for text in captions:
            story = read(text, library, max_pictures)
            if layout == "collage":
                films.append(_film(story, solve(story, _seed_of(text, seed), weights), library, film_frames))
            else:
                films.append([{"abc": abc_picture, "strip": strip_picture}[layout](story, library)])
        for svgs in zip(*films, strict=True):
            yield np.stack([rasterise(svg, size) for svg in svgs])

    def svg(self, text: str, seed: int = 0) -> str:
        """The collage of one text as SVG text, for printing at any size."""
        story = read(text, self.library)
        (last,) = _film(story, solve(story, _seed_of(text, seed)), self.library, film_frames=1)
        return last

    def story_info(self, text: str, seed: int = 0, *, weights: Weights | Sequence[float] = WEIGHTS) -> dict:
        """Every intermediate result for one text, as plain data.

        words, picturability and ranks (of base forms), graph, keyphrases, candidates, without_picture, pictures, links
        (who, verb or preposition, whom), abc (phrase, letter), energies (per move) and the final layout.
        """
        story = read(text, self.library)
        states = solve(story, _seed_of(text, seed), _check_weights(weights))
        name = [item.picture.name for item in story.items]
        said = [" ".join(w.lower for w in story.words[p.start : p.end]) for p in story.phrases]
        last = states[-1]
        return {
            "words": [{"text": w.text, "lemma": w.lemma, "tag": w.tag} for w in story.words],
            "picturability": story.picturability,
            "graph": story.graph,
            "ranks": story.scores,
            "keyphrases": {k.text: k.importance for k in story.keyphrases},
            "candidates": {k.text: [p.name for p in self.library.candidates(k.text, k.pos)] for k in story.keyphrases},
            "without_picture": story.without_picture,
            "pictures": {item.picture.name: item.importance for item in story.items},
            "links": [
                (said[link.source], said[link.verb] if link.verb is not None else link.preposition, said[link.target])
                for link in story.links
            ],
            "abc": [
                (" ".join(w.lower for w in story.words[p.start : p.end]), tag)
                for p, tag in abc.label(story.words, story.phrases)
            ],
            "energies": [
                {"evaluations": s.evaluations, "energy": s.energy, **s.terms}
                for s in states
                if len(s.placed) == len(name)
            ],
            "layout": [
                {"picture": n, "x": float(p[0]), "y": float(p[1]), "depth": float(z)}
                for n, p, z in zip(name, last.positions, last.depths, strict=True)
            ],
        }


# ---- steps 1 and 2: from text to pictures ---------------------------------------------------------------------------


def read(text: str, library: PictureLibrary, max_pictures: int = 10) -> Story:
    """Choose keyphrases and a picture for each."""
    if not isinstance(text, str) or not text.strip():
        raise ValueError(f"A text to draw is a string with words in it; got {text!r}.")
    words = tag_text(text)
    scores, graph, drawable = rank(words, library)
    found = phrases(words, library)
    kept = select(words, scores, how_many(len(scores)), {phrase.start for phrase in found})
    text_links = links(words, found)
    importance = {place: k.importance for k in kept for start, end in k.places for place in range(start, end)}

    items: dict[tuple, Item] = {}
    drawn: set[int] = set()
    without_picture: list[str] = []
    # Nouns first: a verb whose subject and object both have a picture becomes an arrow, not a picture.
    for i, phrase in sorted(enumerate(found), key=lambda numbered: numbered[1].kind == "verb"):
        rank_of = max((importance.get(place, 0.0) for place in range(phrase.start, phrase.end)), default=0.0)
        is_arrow = any(link.verb == i and {link.source, link.target} <= drawn for link in text_links)
        if phrase.kind == "pronoun" or not rank_of or is_arrow:
            continue
        said, pos = _searched(words, phrase)
        # An image search does not know parts of speech either: "to fish" may show a fish.
        candidates = library.candidates(said, pos) or library.candidates(said, "noun" if pos == "verb" else "verb")
        if not candidates:
            without_picture.append(said)
            continue
        drawn.add(i)
        picture = most_typical(candidates)
        colours = [word_lists()["colours"].get(w.lower) for w in words[phrase.start : phrase.end]]
        number = 1 if picture.category in ("places", "weather") else phrase.number  # "blue skies" are one sky
        item = Item(picture, rank_of, (i,), next(filter(None, colours), None), number)
        same = [key for key in items if key[0] == item.picture.name and (not item.colour or key[1] == item.colour)]
        key = same[-1] if same else (item.picture.name, item.colour)
        if same:
            first = items[key]
            item = replace(
                first,
                importance=max(first.importance, rank_of),
                mentions=(*first.mentions, i),
                number=max(first.number, number),
            )
        items[key] = item
    if not items:
        tried = ", ".join(dict.fromkeys(without_picture)) or "no noun or verb"
        raise ValueError(
            f"Nothing in this text can be drawn: {text.strip()[:80]!r} (found: {tried}). The library has "
            f"{len(library)} pictures, such as {', '.join(p.name for p in library.pictures[:5])}."
        )
    best = sorted(items.values(), key=lambda item: -item.importance)[:max_pictures]
    in_order = sorted(best, key=lambda item: item.mentions[0])
    return Story(words, scores, graph, drawable, kept, found, in_order, text_links, without_picture)


def _searched(words: list[Word], phrase: Phrase) -> tuple[str, str]:
    """What to look up for a phrase: the verb, or the noun with the nouns and adjectives just before it."""
    if phrase.kind == "verb":
        return words[phrase.head].lemma, "verb"
    start = phrase.head
    while start > phrase.start and words[start - 1].tag in "NA":
        start -= 1
    return " ".join([*(w.lower for w in words[start : phrase.head]), words[phrase.head].lemma]), "noun"


def _verb_picture(story: Story, verb: int | None, library: PictureLibrary) -> LibraryPicture | None:
    found = library.candidates(story.words[story.phrases[verb].head].lemma, "verb") if verb is not None else []
    return most_typical(found) if found else None


# ---- step 3: the collage --------------------------------------------------------------------------------------------


def problem_of(story: Story, weights: Weights = WEIGHTS) -> Problem:
    """The layout problem of a story: linked things want to be close (1), neighbours in a sentence half as much."""
    n = len(story.items)
    closeness = np.zeros((n, n))

    def bring_closer(i: int | None, j: int | None, strength: float) -> None:
        if i is not None and j is not None and i != j:
            closeness[i, j] = closeness[j, i] = max(closeness[i, j], strength)

    drawn = [(story.item_of(p), phrase) for p, phrase in enumerate(story.phrases) if story.item_of(p) is not None]
    for (i, a), (j, b) in zip(drawn, drawn[1:], strict=False):
        if story.words[a.head].sentence == story.words[b.head].sentence:
            bring_closer(i, j, 0.5)
    for link in story.links:
        bring_closer(story.item_of(link.source), story.item_of(link.target), 1.0)
    importance = np.array([item.importance for item in story.items])
    # About equal sizes, as in the paper; the more important a little larger. Together they cover half of the square.
    sides = (importance / importance.mean()) ** 0.25
    sides *= min(0.46, (0.5 / n) ** 0.5) / sides.mean()
    return Problem(np.minimum(sides, 0.6), importance, closeness, weights)


def solve(story: Story, seed: int | Sequence[int], weights: Weights = WEIGHTS) -> list[State]:
    """All states of the search, turned and mirrored so that the last reads from left to right and top to bottom.

    The energy cannot tell the eight symmetric copies of a layout apart; readers can.
    """
    states = list(monte_carlo(problem_of(story, weights), np.random.default_rng(seed)))
    order = np.arange(len(story.items)) - (len(story.items) - 1) / 2
    reading = order @ (states[-1].positions - 0.5)  # how far x and y grow along the text
    swap = abs(reading[1]) > abs(reading[0])
    signs = np.where(reading < 0, -1, 1)

    def turned(positions: np.ndarray) -> np.ndarray:
        moved = 0.5 + signs * (positions - 0.5)
        return moved[:, ::-1] if swap else moved

    return [state._replace(positions=turned(state.positions)) for state in states]


def collage(story: Story, state: State, library: PictureLibrary, view: tuple[float, float, float] = (0, 0, 1)) -> str:
    """The part `view` (x, y, side) of a state of the search as SVG; arrows once everything is placed."""
    sides = CARD * problem_of(story).sides
    left, top, extent = view
    cards = []
    for i, (x, y), z in zip(state.placed, state.positions, state.depths, strict=True):
        item = story.items[i]
        place = np.array([x - left, y - top, sides[i]]) * 100 / extent
        tilt = 3.0 * np.sin(2.4 * i + 1)  # a little life, the same in every frame
        cards.append(Card(item.picture, *place, depth=z, tilt=tilt, colour=item.colour, number=item.number))
    arrows = arrows_of(story, cards, library) if len(cards) == len(story.items) else []
    return compose(cards, arrows)


def arrows_of(story: Story, cards: list[Card], library: PictureLibrary) -> list[Arrow]:
    """An arrow for each pair of items (with their cards) that a verb, "to" or "from" links; one per pair."""
    arrows: dict[tuple[int, int], Arrow] = {}
    for link in story.links:
        i, j = story.item_of(link.source), story.item_of(link.target)
        if i is not None and j is not None and i != j and (link.verb is not None or link.preposition in ("to", "from")):
            arrows.setdefault((i, j), Arrow(cards[i], cards[j], _verb_picture(story, link.verb, library)))
    return list(arrows.values())


def _film(story: Story, states: list[State], library: PictureLibrary, film_frames: int) -> list[str]:
    """`film_frames` pictures of the search; the last is the best found, and the view has closed in on it."""
    placing = min(len(story.items) - 1, film_frames // 2)
    moving = film_frames - placing
    steps = (len(states) - 1 - placing) * np.linspace(1, 0, moving, endpoint=False)[::-1] ** 2  # early moves are larger
    chosen = [*range(placing), *(placing + steps.round().astype(int))]
    final_view = view_of(story, states[-1])
    svgs = []
    for index, closeness in zip(chosen, np.linspace(0, 1, film_frames + 1)[1:], strict=True):
        view = tuple(np.array([0, 0, 1]) * (1 - closeness**3) + np.array(final_view) * closeness**3)
        svgs.append(collage(story, states[index], library, view))
    return svgs


def view_of(story: Story, state: State) -> tuple[float, float, float]:
    """The square part of the canvas that the cards of a finished layout fill."""
    sides = CARD * problem_of(story).sides
    boxes = [(100 * x, 100 * y, 100 * side) for (x, y), side in zip(state.positions, sides, strict=True)]
    margin = 11 if any(link.verb is not None for link in story.links) else 6  # arrows of verbs bend far out
    left, top, side = frame_around(boxes, margin)
    return left / 100, top / 100, side / 100


# ---- the other layouts ----------------------------------------------------------------------------------------------


def abc_picture(story: Story, library: PictureLibrary) -> str:
    """The ABC layout of 2008: a row for each clause, who | does what | to whom and where, joined by arrows.

    A text in which nothing is A, B or C, such as a headline, becomes a strip.
    """
    rows = abc_rows(story, library)
    if not rows:
        return strip_picture(story, library)
    letters = [letter for letter in "ABC" if any(row[letter] for row in rows)]
    width, height = 96 / len(letters), min(96 / len(rows), 40)
    cards: list[Card] = []
    arrows: list[Arrow] = []
    for r, row in enumerate(rows):
        y = 50 + height * (r - (len(rows) - 1) / 2)
        groups = []
        for column, letter in enumerate(letters):
            if row[letter]:
                x = 50 + width * (column - (len(letters) - 1) / 2)
                group, box = _group(row[letter], x, y, 0.8 * width, 0.94 * height)
                cards += group
                groups.append(box)
        arrows += [Arrow(a, b, width=0.9) for a, b in zip(groups, groups[1:], strict=False)]
    return compose(cards, arrows)


def _group(items: list[Item], x: float, y: float, width: float, height: float) -> tuple[list[Card], Box]:
    """Cards filling a place of the given size, and the square that arrows meet: one card, or two under each other, and
    so on by twos."""
    lines = min(2, len(items))
    columns = -(-len(items) // lines)
    step = min(width / columns, height / lines)
    cards = []
    for k, item in enumerate(items):
        in_line = min(columns, len(items) - k // columns * columns)
        cx = x + step * (k % columns - (in_line - 1) / 2)
        cy = y + step * (k // columns - (lines - 1) / 2)
        side = step * (0.9 if lines == 1 else 0.94)
        cards.append(Card(item.picture, cx, cy, side, colour=item.colour, number=item.number))
    return cards, Box(x, y, step * columns)


def abc_rows(story: Story, library: PictureLibrary) -> list[dict[str, list[Item]]]:
    """For each clause, the things that are drawn as A, B and C. A second "who" in a sentence begins a new clause."""
    rows: list[dict[str, list[Item]]] = []
    sentence = None
    for i, (phrase, letter) in enumerate(abc.label(story.words, story.phrases)):
        item = _shown(story, i, library)
        if letter == "O" or item is None:
            continue
        here = story.words[phrase.head].sentence
        if here != sentence or (letter == "A" and rows[-1]["A"] and rows[-1]["B"]):
            rows.append({"A": [], "B": [], "C": []})
            sentence = here
        rows[-1][letter].append(item)
    return rows


def strip_picture(story: Story, library: PictureLibrary) -> str:
    """The baseline: everything in the order of the text, from left to right; long texts continue on the next line."""
    shown = [item for i in range(len(story.phrases)) if (item := _shown(story, i, library))]
    lines = max(1, round(len(shown) ** 0.5 / 1.5))
    columns = -(-len(shown) // lines)
    step = 96 / max(columns, 3)
    cards = []
    for k, item in enumerate(shown):
        x = 50 + step * (k % columns - (columns - 1) / 2)
        y = 50 + step * 1.15 * (k // columns - (lines - 1) / 2)
        cards.append(Card(item.picture, x, y, 0.86 * step, colour=item.colour, number=item.number))
    return compose(cards)


def _shown(story: Story, phrase: int, library: PictureLibrary) -> Item | None:
    """What a phrase is drawn as: its item, or the picture of a linking verb."""
    i = story.item_of(phrase)
    if i is not None:
        return story.items[i]
    is_verb = story.phrases[phrase].kind == "verb"
    picture = _verb_picture(story, phrase, library) if is_verb else None
    return Item(picture, 0.0, (phrase,)) if picture else None


# ---- checks ---------------------------------------------------------------------------------------------------------


def _seed_of(text: str, seed: int) -> list[int]:
    """A text is drawn alike wherever it stands in a batch."""
    return [_whole_number("seed", seed, 0), zlib.crc32(text.encode())]


def _as_library(library: PictureLibrary | str | Path) -> PictureLibrary:
    if isinstance(library, str | Path):
        return PictureLibrary.from_folder(library)
    if not isinstance(library, PictureLibrary):
        raise ValueError(f"library is a PictureLibrary or a folder of pictures, not {library!r}.")
    return library


def _check_options(size: int, layout: str, max_pictures: int, film_frames: int) -> None:
    if layout not in LAYOUTS:
        raise ValueError(f"There is no layout {layout!r}. The layouts are: {', '.join(LAYOUTS)}.")
    _whole_number("size", size, 16, 4096)
    _whole_number("max_pictures", max_pictures, 1)
    _whole_number("film_frames", film_frames, 1)


def _whole_number(name: str, value: int, least: int, most: int | None = None) -> int:
    fits = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not fits or value < least or (most is not None and value > most):
        limits = f"from {least} on" if most is None else f"from {least} to {most}"
        raise ValueError(f"{name} is a whole number {limits}, not {value!r}.")
    return int(value)


def _check_weights(weights: Weights | Sequence[float]) -> Weights:
    values = tuple(weights) if isinstance(weights, Sequence | np.ndarray) else ()
    if len(values) != 3 or not all(isinstance(w, Real) and np.isfinite(w) and w >= 0 for w in values):
        raise ValueError(f"weights are three numbers from 0 on (overlap, centrality, closeness), not {weights!r}.")
    return Weights(*values)
