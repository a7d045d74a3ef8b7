"""What captions say about flowers: how they are written, and how they are read.

What a phrase promises:

- *Petals.* "five petals" counts what is seen (see `flowers.py`), "a lot of" petals is `many`. A layered flower has an
  inner ring besides, so its petals are counted as "six outer petals". "small" or "large" petals promise nothing.
- *Colours.* Of "petals that are pink, white, and yellow" the first is `color`, the second `second_color`, the third
  `center_color` (this is read, not written). "red with white edges" and "white-edged" name the second colour by its
  pattern; in "blue striped petals" blue is the main one. `centre` is said as "a white base" or "white towards the
  centre"; "a white centre" is the disc of stamens, `center_color`, and so is "yellow in the middle".
- *plain* petals have no second colour. "red petals" alone promise only red: they may still have white edges.
- *Leaves* without a colour are green ones. Sizes and shapes of leaves, stems and of the whole flower promise nothing.
- *Backgrounds*: a blue one is the sky, a green one the meadow, a dark one the night.

An attribute that is promised twice with different values is a `ValueError`.
"""

import re
from collections.abc import Mapping

from .language import NUMBERS, a_or_an, check_words, join, pick, words

# The words that the reader knows for each value; where the writer uses these tables, it takes the first two words.
COLOR_WORDS = {
    "red": ("red", "crimson", "scarlet", "reddish"),
    "orange": ("orange", "tangerine"),
    "yellow": ("yellow", "golden", "yellowish"),
    "pink": ("pink", "rosy", "pinkish"),
    "purple": ("purple", "violet", "lavender", "lilac"),
    "blue": ("blue", "bluish", "azure"),
    "white": ("white", "ivory", "whitish"),
    "green": ("green",),
    "brown": ("brown", "brownish"),
    "silver": ("silver", "silvery", "grey", "gray"),
    "black": ("black",),
    "cream": ("cream", "beige"),
}
COUNT_WORDS = {n: (n,) for n in NUMBERS[1:]} | {"many": ("many", "lots", "lot", "numerous", "dozens")}
SHAPE_WORDS = {
    "round": ("round", "rounded"),
    "pointed": ("pointed", "pointy", "sharp"),
    "narrow": ("narrow", "thin", "slender"),
    "heart": ("heart", "notched", "hearts"),
    "ruffled": ("ruffled", "wavy", "frilly"),
}
SIZE_WORDS = {"small": ("small", "tiny", "little"), "large": ("large", "big", "huge", "wide")}
ARRANGEMENT_WORDS = {
    "open": ("open", "flat"),
    "layered": ("layered", "layers", "rings", "double"),
    "bell": ("bell", "bells"),
    "dome": ("dome", "domed", "globe"),
}
PATTERN_WORDS = {
    "plain": ("plain", "unpatterned", "solid"),
    "edges": ("edges", "edge", "edged", "rims", "rim", "borders", "border", "tips", "tipped"),
    "striped": ("striped", "stripes", "stripe", "stripy", "streaked"),
    "spotted": ("spotted", "spots", "spot", "dots", "dotted", "speckled", "speckles"),
    "centre": ("base", "bases", "throat"),
}
PARTICIPLES = ("edged", "tipped", "striped", "stripy", "streaked", "spotted", "dotted", "speckled")
BACKGROUND_WORDS = {
    "sky": ("sky", "clouds"),
    "meadow": ("meadow", "grass", "field"),
    "dusk": ("dusk", "sunset", "evening"),
    "night": ("night", "stars", "moon"),
    "cream": ("studio", "paper"),
}
BACKGROUND_COLORS = {"blue": "sky", "green": "meadow", "purple": "dusk", "pink": "dusk", "black": "night"}
BACKGROUND_COLORS |= {"cream": "cream", "white": "cream"}
NOUNS = {
    "flower": ("flower", "flowers", "bloom", "blooms", "blossom", "blossoms"),
    "petals": ("petals", "petal", "lobes"),
    "center": ("center", "centre", "centers", "centres", "middle", "stamen", "stamens", "pistil", "disc", "disk"),
    "leaves": ("leaves", "leaf", "foliage"),
    "stem": ("stem", "stalk"),
    "second": ("touches", "hints", "accents"),  # of a second colour
    "background": ("background", "backdrop"),
}
SMALL_WORDS = """
    a an the this these it its their there here be of to for from front or as like each all very quite some another
    other also color colors colour colours coloured colored shade shades shape shaped form forming formed configuration
    arrangement arranged number single several dark deep light pale bright soft clear starry long short fully pretty
    lovely beautiful delicate we see picture close view look looks show shows showing grow grows growing stand stands
    standing blooming made outer inner surround surrounds surrounding surrounded turn turns turning fade fades fading
    toward towards near hanging hangs down upright multi
"""
PARTS = {  # the parts that words play in a caption: {part: {meaning: words}}
    "color": COLOR_WORDS,
    "count": COUNT_WORDS,
    "shape": SHAPE_WORDS,
    "size": SIZE_WORDS,
    "arrangement": ARRANGEMENT_WORDS,
    "pattern": PATTERN_WORDS,
    "background": BACKGROUND_WORDS,
    "noun": NOUNS,
    "leaves": {"none": ("leafless",)},
    "no": {"": ("no", "without")},
    "copula": {"": ("is", "are")},
    "separator": {"": (",", "and", "but", "while")},
    "break": {"": words("with in on at by around against before under over that which who has have having whose")},
    "small": {"": words(SMALL_WORDS)},
}
LEXICON = {w: (part, meaning) for part, table in PARTS.items() for meaning, said in table.items() for w in said}
VOCABULARY = frozenset(LEXICON) - {","}


# --- writing ----------------------------------------------------------------------------------------------------------

FLOWER_FRAMES = (  # the head of a caption, and what links it to the rest; {place} may be empty
    ("this flower {place}", " has {rest}"),
    ("this picture shows {a_flower} {place}", " with {rest}"),
    ("{a_flower} {place}", " with {rest}"),
    ("here is {a_flower} {place}", " with {rest}"),
    ("this is {a_flower} {place}", " with {rest}"),
    ("there is {a_flower} {place}", ", and it has {rest}"),
    ("this {flower} {place}", " has {rest}"),
    ("look at this {flower} {place}", ": it has {rest}"),
    ("a close view of {a_flower} {place}", " with {rest}"),
    ("{flower} {place}", ", {list}"),
)
PETALS_FRAMES = (
    ("a flower {place} with {petals}", ", and with {rest}"),
    ("this flower {place} is made of {petals}", ", and it has {rest}"),
    ("we see {petals} on a flower {place}", ", which also has {rest}"),
)
LOOKS_FRAMES = (
    ("in this picture of {a_flower} {place}, the {petals} are {looks}", ", and the flower has {rest}"),
    ("this {flower} {place} has {petals} that are {looks}", ", and it has {rest}"),
    ("{a_flower} {place} whose {petals} are {looks}", ", with {rest}"),
    ("there is {a_flower} {place}: its {petals} are {looks}", ", and it has {rest}"),
)
PATTERN_NOUNS = {"edges": ("edges", "rims", "borders"), "striped": ("stripes",), "spotted": ("spots", "dots")}
PHRASES = {
    "petal_count": COUNT_WORDS | {"many": ("a lot of", "many")},
    "petal_shape": SHAPE_WORDS,
    "arrangement": {
        "open": ("in an open arrangement", "in a flat arrangement"),
        "layered": ("in layers", "in several rings"),
        "bell": ("in the shape of a bell", "in a bell shape"),
        "dome": ("in a dome-like configuration", "arranged like a dome"),
    },
    **dict.fromkeys(("color", "second_color", "center_color"), COLOR_WORDS),
    "center_size": SIZE_WORDS,
    "background": {
        "sky": ("against a blue sky", "under a clear sky"),
        "meadow": ("in a green meadow", "in the grass"),
        "dusk": ("at dusk", "at sunset"),
        "night": ("at night", "under the stars"),
        "cream": ("on a cream background", "in a studio"),
    },
}
# The arrangement as an adjective of the flower.
ADJECTIVES = {"open": ("open",), "layered": ("layered", "double"), "bell": ("bell-shaped",)}
ADJECTIVES |= {"dome": ("dome-shaped", "domed")}


class Writer:
    """The state of writing one caption: what is still to be told."""

    def __init__(self, told: dict[str, str], layered: bool, rng):
        self.told, self.layered, self.rng = told, layered, rng

    def say(self, key: str, phrases: Mapping | None = None) -> list[str]:
        """An attribute in words, most often by its plain name; [] if it is not, or no longer, to be told."""
        if key not in self.told:
            return []
        value = self.told.pop(key)
        options = (phrases or PHRASES[key])[value]
        plain = value in options and self.rng.random() >= 0.4
        return [value if plain else pick(self.rng, options[:2])]

    def flower(self) -> str:
        return " ".join([*self.say("arrangement", ADJECTIVES), *self.say("color"), "flower"])

    def shape(self) -> list[str]:
        """The shape of the petals, and their pattern where one adjective tells it."""
        said = ["heart-shaped" if word == "heart" else word for word in self.say("petal_shape")]
        if self.told.get("pattern") == "plain":
            del self.told["pattern"], self.told["second_color"]
            said.append("plain")
        if self.told.get("pattern") in ("striped", "spotted") and "second_color" not in self.told:
            said.append(self.told.pop("pattern"))
        return said

    def petals(self) -> str:
        """What is told of the petals as one noun phrase; "" if there is nothing to tell."""
        many = self.told.get("petal_count") == "many"
        said = self.say("petal_count")
        if many:
            said += pick(self.rng, ([], ["small"]))
        elif said and self.layered:
            said.append("outer")
        said += self.shape() + self.say("color")
        arranged = self.say("arrangement")
        if said and not arranged and self.told.get("pattern") == "centre":
            arranged = self.base()
        return " ".join([*said, "petals", *arranged]) if said or arranged else ""

    def base(self) -> list[str]:
        """The pattern `centre`, to be said after "petals"."""
        del self.told["pattern"]
        second = " ".join(self.say("second_color"))
        if not second:
            return ["with a base of another color"]
        return [pick(self.rng, (f"that turn {second} towards the center", f"with {a_or_an(f'{second} base')}"))]

    def looks(self) -> str:
        """What is told of the petals' shape and colours, to be said after "are"."""
        shape, colors = self.shape(), self.say("color")
        if colors and "second_color" in self.told and ("pattern" not in self.told or self.rng.random() < 0.4):
            colors += self.say("second_color")
        return join(shape + colors) + (" in color" if colors and not shape and self.rng.random() < 0.5 else "")

    def pattern(self) -> list[str]:
        """The pattern and the second colour of the petals."""
        pattern, second = self.told.pop("pattern", None), " ".join(self.say("second_color"))
        if pattern is None:
            return [f"{second} touches on the petals"] if second else []
        if pattern == "centre":
            return [f"{second or 'another color'} at the base of the petals"]
        noun = pick(self.rng, PATTERN_NOUNS[pattern])
        unnamed = f"{noun} of another color" if pattern == "edges" else f"petals that are {pattern}"
        return [f"{second} {noun}" + (" on the petals" if pattern != "edges" else "") if second else unnamed]

    def rest(self) -> list[str]:
        """Everything that is still to be told, as noun phrases."""
        petals = self.petals()
        others = self.pattern()
        if center := self.say("center_size") + self.say("center_color"):
            noun = pick(self.rng, ("center", "centre", "middle", "stamens"))
            center = " ".join([*center, noun])
            others.append(center if noun == "stamens" else a_or_an(center))
        if leaves := self.told.pop("leaves", None):
            others.append("no leaves" if leaves == "none" else f"{leaves} leaves")
        return ([petals] if petals else []) + [others[i] for i in self.rng.permutation(len(others))]


def listing(phrases: list[str]) -> str:
    """Phrases in a row, with a comma before "and" where they have inner parts."""
    if len(phrases) == 2 and any(word in words(phrases[0]) for word in ("that", "in", "on", "with")):
        return ", and ".join(phrases)
    return join(phrases)


def write(truth: Mapping[str, str], rng) -> tuple[str, dict[str, str]]:
    """One caption of one to five attributes of a flower, and the facts that it promises."""
    keys = list(truth)
    chosen = {keys[i] for i in rng.permutation(len(keys))[: rng.integers(1, 6)]}
    if truth["pattern"] == "plain" and chosen & {"pattern", "second_color"}:
        chosen |= {"pattern", "second_color"}  # "plain" says both
    facts = {key: value for key, value in truth.items() if key in chosen}
    frames = FLOWER_FRAMES
    if not chosen.isdisjoint(("petal_count", "petal_shape", "color", "arrangement")):
        frames += PETALS_FRAMES
    if not chosen.isdisjoint(("petal_shape", "color")):
        frames += LOOKS_FRAMES
    head, link = pick(rng, frames)
    writer = Writer(dict(facts), truth["arrangement"] == "layered", rng)
    slots = {"place": " ".join(writer.say("background"))}
    if "{looks}" in head:
        counted = writer.say("petal_count", COUNT_WORDS | {"many": ("many",)})
        outer = ["outer"] if counted and writer.layered and counted != ["many"] else []
        kind = " ".join([*writer.say("arrangement", ADJECTIVES), "flower"])
        slots |= {"petals": " ".join([*counted, *outer, "petals"]), "looks": writer.looks()}
        slots |= {"flower": kind, "a_flower": a_or_an(kind)}
    elif "{petals}" in head:
        slots["petals"] = writer.petals()
    elif "flower}" in head:
        flower = writer.flower()
        slots |= {"flower": flower, "a_flower": a_or_an(flower)}
    text = head.format(**slots)
    if rest := writer.rest():
        if slots["place"] and link.startswith(" with"):  # it is not the sky that is "with five petals"
            link = "," + link
        text += link.format(rest=listing(rest), list=", ".join(rest))
    return re.sub(r" +(?=[ ,:]|$)", "", text), facts


# --- reading ----------------------------------------------------------------------------------------------------------

COLOR_KEYS = {  # what the first, second, third colour of a noun are
    **dict.fromkeys(("flower", "petals"), ("color", "second_color", "center_color")),
    "center": ("center_color",),
    "leaves": ("leaves",),
    "second": ("second_color",),
}
OTHER_KEYS = {  # what its other adjectives are
    **dict.fromkeys(("flower", "petals"), {"petal_count": "count", "petal_shape": "shape", "pattern": "pattern"}),
    "center": {"center_size": "size"},
}


class Reader:
    """Reads a caption from left to right: adjectives are held until a noun, or the end of their phrase, takes them."""

    def __init__(self, attributes: Mapping[str, tuple[str, ...]]):
        self.attributes = attributes  # and their possible values
        self.facts: dict[str, str] = {}
        self.subject = "flower"  # the noun that was named last
        self.held: list[tuple[str, str]] = []  # (part, meaning) of the adjectives and of the "and"s between them
        self.linked = False  # whether "is" or "are" has followed the subject
        self.having = False  # after "with" or "has", until a noun says what the flower has

    def promise(self, key: str, value: str) -> None:
        if value not in self.attributes[key]:
            known = ", ".join(self.attributes[key])
            raise ValueError(f"No flower of this world has {value!r} as its {key}. It can be: {known}.")
        if self.facts.setdefault(key, value) != value:
            raise ValueError(f"The caption contradicts itself: {key} is {self.facts[key]!r} and also {value!r}.")

    def end_phrase(self) -> None:
        """The subject takes the adjectives that are held."""
        noun, said = self.subject, {}
        for part, meaning in self.held:
            said.setdefault(part, []).append(meaning)
        self.held, self.linked = [], False
        colors, keys = said.get("color", []), COLOR_KEYS.get(noun, ())
        if colors and self.having:
            raise ValueError(
                f"Say which part of the flower is {' and '.join(colors)}: the petals, their edges, stripes, spots, or "
                "base, the center, the leaves, or the background."
            )
        if "no" in said:
            if noun != "leaves":
                raise ValueError("'no' and 'without' are understood of leaves only; say what the flower does have.")
            self.promise("leaves", "none")
        if keys and len(colors) > len(keys):
            raise ValueError(f"Too many colors for the {noun}: {', '.join(colors)}. There can be {len(keys)}.")
        for key, color in zip(keys, colors, strict=False):
            self.promise(key, color)
        if noun == "flower" and "count" in said:
            raise ValueError(f"A picture holds one flower, not {said['count'][0]}; say how many petals it has.")
        for key, part in OTHER_KEYS.get(noun, {}).items():
            for value in said.get(part, ()):
                self.promise(key, value)
                if value == "plain":
                    self.promise("second_color", "none")
        if noun == "background":
            for color in colors:
                self.promise("background", BACKGROUND_COLORS.get(color, color))

    def name(self, noun: str) -> None:
        """A noun takes what is held; in "the petals are red and the small centre ..." only what follows the "and"."""
        separators = [i for i, (part, _) in enumerate(self.held) if part == "separator"]
        if self.linked and separators and noun != self.subject:
            own = self.held[separators[-1] :]
            self.held = self.held[: separators[-1]]
            self.end_phrase()
            self.held = own
        self.subject, self.having = noun, False
        self.end_phrase()

    def read(self, token: str, before: list[str], after: list[str]) -> None:
        """The next word; `before` and `after` are the two words around it on each side, as far as there are any."""
        part, meaning = LEXICON[token]
        if part == "break":
            self.read_break(token, before, after)
        elif part == "copula":
            self.linked = True
        elif part in ("arrangement", "leaves"):
            if token in ("layers", "rings"):  # "two layers of petals"
                self.held = [adjective for adjective in self.held if adjective[0] != "count"]
            self.promise(part, meaning)
        elif part == "pattern" and meaning != "plain":
            self.read_pattern(token, meaning)
        elif meaning == "center" and {"towards", "toward", "near"}.intersection(before):
            self.read_pattern(token, "centre")
        elif part == "background":
            self.name("scenery")
            if not (meaning == "sky" and "background" in self.facts):  # "the evening sky" is the evening
                self.promise("background", meaning)
        elif part == "noun":
            if meaning == "background" and before[-1:] == ["dark"]:
                self.promise("background", "night")
            self.name(meaning)
            self.linked = meaning == "second"  # "touches of red and a small centre"
        elif part != "small":
            if token == "without":
                self.end_phrase()
            self.held.append((part, meaning))

    def read_break(self, token: str, before: list[str], after: list[str]) -> None:
        """A preposition or "that", "has" ... ends a phrase, but for "red at the edges" and "brown in the middle"."""
        named = LEXICON[after[1]] if len(after) == 2 else ("", "")
        if token in ("at", "on", "around") and named[0] == "pattern" and named[1] != "plain":
            return
        in_center = token in ("in", "at", "on", "around") and ("noun", "center") in (
            named,
            LEXICON.get("".join(after[:1])),
        )
        if in_center and any(part == "color" for part, _ in self.held):  # "brown in the middle"
            return
        self.end_phrase()
        self.having = token in ("with", "has", "have", "having")
        if token in ("with", "in") and before and before[-1] in PARTICIPLES:  # "striped with white"
            self.subject, self.linked, self.having = "second", True, False

    def read_pattern(self, token: str, pattern: str) -> None:
        self.promise("pattern", pattern)
        if token in ("edged", "tipped"):  # "white-edged"
            colors = [adjective for adjective in self.held if adjective[0] == "color"]
            if colors and not (self.linked and len(colors) == 1):
                self.held.remove(colors[-1])
                self.promise("second_color", colors[-1][1])
        elif token not in PARTICIPLES:
            self.name("second")


def read(caption: str, attributes: Mapping[str, tuple[str, ...]]) -> dict[str, str]:
    """What a caption promises, in the order of the attributes."""
    tokens = words(caption)
    check_words(tokens, VOCABULARY, "the world of flowers")
    reader = Reader(attributes)
    for i, token in enumerate(tokens):
        reader.read(token, tokens[max(0, i - 2) : i], tokens[i + 1 : i + 3])
    reader.end_phrase()
    if not set(NOUNS["leaves"]).isdisjoint(tokens):
        reader.facts.setdefault("leaves", "green")
    return {key: reader.facts[key] for key in attributes if key in reader.facts}
