"""What captions say about scenes: how they are written, and how they are read.

The reader goes through a caption from left to right. Articles, numbers, sizes and colours wait for the noun that they
belong to, or follow an "is" or "are"; a relation waits for its second thing. So it understands every caption that the
writer can write, and most of what a student would type.

"Several" and "a group of" are a herd (four or more), though the writer avoids them: three could be called so, too. How
a place looks ("a green field") promises nothing, but for a blue sky, which means day.
"""

from collections.abc import Mapping

from .language import a_or_an, check_words, join, pick, words

NOUNS = {  # each kind of thing, and its other names
    "elephant": (),
    "cat": ("kitten",),
    "dog": ("puppy",),
    "horse": ("pony",),
    "sheep": ("lamb",),
    "bird": (),
    "duck": ("duckling",),
    "fish": ("goldfish",),
    "butterfly": (),
    "car": ("automobile",),
    "bus": ("coach",),
    "truck": ("lorry",),
    "bicycle": ("bike",),
    "boat": ("sailboat", "ship"),
    "airplane": ("plane", "aeroplane"),
    "hot air balloon": ("balloon",),
    "train": ("locomotive",),
    "stop sign": (),
    "umbrella": ("parasol",),
    "ball": ("beach ball",),
    "kite": (),
    "box": ("crate",),
    "house": ("cottage",),
    "tree": (),
    "chair": (),
    "toilet": ("toilet seat",),
    "cup": ("mug",),
    "apple": (),
    "book": (),
    "hat": ("top hat",),
    "clock": ("alarm clock",),
    "guitar": (),
}
UNCHANGED = ("sheep", "fish", "goldfish")  # in the plural
GATHERINGS = {"elephant": "herd", "horse": "herd", "sheep": "herd", "bird": "flock", "duck": "flock"}
GATHERINGS |= {"cat": "crowd", "dog": "crowd"}

UNDER_THE_SKY = ("under a starry sky", "under the starry sky", "under the night sky")  # times of day, not places
# The words that the reader knows for each value. The last one of a time can stand in "a night scene".
COUNT_WORDS = {
    "one": ("one", "single"),
    "two": ("two", "pair"),
    "three": ("three",),
    "herd": ("herd", "group", "flock", "crowd", "bunch", "lot", "lots", "many", "several"),
}
SIZE_WORDS = {"small": ("small", "little", "tiny"), "large": ("large", "big", "huge")}
COLOR_WORDS = {
    **{color: (color,) for color in ("red", "yellow", "green", "blue", "pink", "brown", "white")},
    "purple": ("purple", "violet"),
}
PLACE_WORDS = {
    "sky": ("sky", "skies", "air", "clouds"),
    "grass": ("grass", "meadow", "field", "lawn", "grassland", "pasture", "grassy"),
    "desert": ("desert", "sand", "dunes", "sandy"),
    "sea": ("sea", "ocean", "water", "waves"),
    "snow": ("snow", "snowy", "snowy field", "snow covered field"),
    "room": ("room", "living room", "indoors", "floor"),
    "street": ("street", "road", "city", "pavement"),
}
TIME_WORDS = {
    "day": ("day", "daylight", "sunny", "noon", "daytime"),
    "sunset": ("dusk", "evening", "setting sun", "sunset"),
    "night": ("nighttime", "moonlight", "starry", "stars", "moon", "midnight", *UNDER_THE_SKY, "night"),
}
RELATION_WORDS = {
    "left of": ("left",),
    "right of": ("right",),
    "above": ("above", "over"),
    "below": ("below", "under", "underneath", "beneath"),
    "on": ("on", "upon", "atop", "riding"),
    "inside": ("inside", "in", "within", "into"),
}
PLACE_PHRASES = {
    "sky": ("in the sky", "in the air", "up in the sky", "among the clouds", "in the skies"),
    "grass": ("on the grass", "in a meadow", "in the grass field", "on the lawn", "in a green field"),
    "desert": ("in the desert", "on the sand", "among the dunes", "in a sandy desert"),
    "sea": ("on the sea", "at sea", "on the water", "in the ocean"),
    "snow": ("in the snow", "on the snow", "in a snowy field"),
    "room": ("in a room", "indoors", "inside a room", "in the living room"),
    "street": ("on the street", "in the street", "on the road", "in the city"),
}
TIME_PHRASES = {
    "day": ("during the day", "by day", "in daylight", "on a sunny day"),
    "sunset": ("at sunset", "at dusk", "in the evening", "under the setting sun"),
    "night": ("at night", "by night", "in the moonlight", "under the stars", "under a starry sky"),
}
RELATION_PHRASES = {
    "left of": ("left of", "to the left of", "on the left of"),
    "right of": ("right of", "to the right of", "on the right of"),
    "above": ("above", "over", "hovering over", "floating above"),
    "below": ("below", "under", "beneath"),
    "on": ("on", "on top of", "sitting on", "resting on"),
    "inside": ("inside", "in", "sitting in", "inside of"),
}
INVERSE = {"left of": "right of", "above": "below"}
VERBS = {
    "sky": ("flying", "floating", "hovering", "soaring"),
    "sea": ("floating", "drifting", "bobbing"),
    **dict.fromkeys(("grass", "desert", "snow", "room", "street"), ("standing", "resting", "sitting", "waiting")),
}

NUMBER_PHRASES = {"two": ("two", "two", "a pair of"), "three": ("three",), "herd": ("many", "lots of")}

PAIR_SHAPES = (  # {a} and {b}: things; {it}: "it" or "them"; {where} and {when} may be empty
    "{a} {rel} {b} {where} {when}",
    "{a} {rel} {b} {when} {where}",
    "{a} {is} {rel} {b} {where} {when}",
    "{there_is} {a} {rel} {b} {where} {when}",
    "a picture of {a} {rel} {b} {where} {when}",
    "{b} with {a} {rel} {it} {where} {when}",
    "{a} can be seen {rel} {b} {where} {when}",
    "we see {a} {rel} {b} {where} {when}",
    "{where}, {a} {is} {rel} {b} {when}",
    "{when}, {there_is} {a} {rel} {b} {where}",
)
LIST_SHAPES = (
    "{all} {where} {when}",
    "{there_is} {all} {where} {when}",
    "a photo of {all} {where} {when}",
    "this picture shows {all} {where} {when}",
    "{all} can be seen {where} {when}",
    "{where}, {there_is} {all} {when}",
    "{when}, we see {all} {where}",
    "it is {time} and {there_is} {all} {where}",
    "a {time} scene with {all} {where}",
)
ALONE_SHAPES = ("{a} {doing} {where} {when}", "{a} {is} {doing} {where} {when}", "{when}, {a} {is} {doing} {where}")
OPEN_SHAPES = ("{a} {sit} open {where} {when}",)
LOOKS_SHAPES = (
    "{a} that {are} {color}",
    "{where}, {there_is} {a} that {are} {color}",
    "{when}, we see {a} that {are} {color}",
    "{there_is} {a} {where}, and {they_are} {color}",
)
SMALL_WORDS = """
    of the some is are it they them there that this these with and at by during among to up top next near beside side be
    can seen we see shows showing picture photo image scene light open sun its which have has while
    flying flies fly floating floats hovering hovers soaring drifting bobbing standing stands stand resting rests
    sitting sits sit waiting waits parked swimming swims lying lies
"""


def plural(noun: str) -> str:
    """'bus' -> 'buses', 'butterfly' -> 'butterflies', 'sheep' -> 'sheep'."""
    if noun in UNCHANGED:
        return noun
    if noun.endswith(("s", "x", "ch", "sh")):
        return noun + "es"
    return noun[:-1] + "ies" if noun.endswith("y") else noun + "s"


def _lexicon() -> dict[tuple[str, ...], tuple[str, str]]:
    """Words -> (their part in a caption, what they mean)."""
    entries = {("a",): ("article", "one"), ("an",): ("article", "one")}
    tables = {"count": COUNT_WORDS, "size": SIZE_WORDS, "color": COLOR_WORDS, "place": PLACE_WORDS}
    tables |= {"time": TIME_WORDS, "relation": RELATION_WORDS}
    for part, table in tables.items():
        entries |= {tuple(w.split()): (part, value) for value, synonyms in table.items() for w in synonyms}
    for kind, synonyms in NOUNS.items():
        for noun in (kind, *synonyms):
            entries[tuple(plural(noun).split())] = ("things", kind)
            if noun not in UNCHANGED:
                entries[tuple(noun.split())] = ("thing", kind)
    groups = ("herd", "group", "flock", "crowd", "bunch")
    entries |= {(group, "of", n): ("count", n) for group in groups for n in ("two", "three")}
    entries |= {(w,): ("joint", w) for w in ("and", ",")} | {("while",): ("while", "while")}
    entries |= {(w,): ("companion", w) for w in ("with", "near", "next", "beside")}
    entries |= {(w,): ("medium", w) for w in ("picture", "photo", "image", "scene")}
    entries |= {(w,): ("copula", w) for w in ("is", "are", "both", "all")}
    entries |= {("there", w): ("existence", w) for w in ("is", "are")}
    entries |= {(w,): ("pronoun", w) for w in ("it", "they", "them")} | {
        (w,): ("relative", w) for w in ("that", "which")
    }
    return entries


LEXICON = _lexicon()
VOCABULARY = frozenset(w for phrase in LEXICON for w in phrase if w != ",") | frozenset(SMALL_WORDS.split())


# --- reading ----------------------------------------------------------------------------------------------------------


def parts_of(tokens: list[str]) -> list[tuple[str, str]]:
    """(part, meaning) of the words of a caption, longest phrases first; small words are left out."""
    found, i = [], 0
    while i < len(tokens):
        n = next((n for n in (4, 3, 2, 1) if tuple(tokens[i : i + n]) in LEXICON), 0)
        if n:
            found.append(LEXICON[tuple(tokens[i : i + n])])
        i += n or 1
    return found


class Reader:
    """The state of reading one caption."""

    def __init__(self):
        self.facts: dict[str, str] = {}
        self.things: list[str] = []  # kinds, as they were mentioned
        self.subjects: list[str] = []  # the kinds that an "is" or "are" to come speaks of
        self.waiting: dict[str, str] = {}  # count, size and colour of the thing that comes next
        self.relation = ""  # of the sources to the thing that comes next
        self.sources: list[str] = []
        self.fronted: tuple[str, str] | None = None  # "on a chair, there is ...": the relation and its second thing
        self.predicate = False  # after "is": sizes and colours may belong to the subjects
        self.told = False  # whether an "is" has spoken of the subjects, so that "and" starts a new clause
        self.joined = False  # directly after "and" or a comma
        self.company = False  # after "with": its things are no subjects

    def promise(self, key: str, value: str) -> None:
        if self.facts.setdefault(key, value) != value:
            raise ValueError(f"The caption says two things about {key!r}: {self.facts[key]!r} and {value!r}.")

    def hold(self, part: str, value: str) -> None:
        """An adjective or a number waits for its noun."""
        held = self.waiting.get(part, value)
        if held not in (value, "one"):  # "one pair", "a lot"
            raise ValueError(
                f"The caption gives two values of {part} to one thing: {held!r} and {value!r}. It can have only one."
            )
        self.waiting[part] = value

    def relate(self, relation: str, a: str, b: str) -> None:
        """The relation holds from a to b."""
        if a == b:
            raise ValueError(f"The caption says that {a!r} is {relation} {b!r}: a relation needs two kinds of things.")
        if relation in INVERSE.values():
            relation = next(forward for forward, backward in INVERSE.items() if backward == relation)
            a, b = b, a
        if f"relation:{b}|{a}" in self.facts:
            raise ValueError(f"The caption relates {b!r} and {a!r} in two ways: say only one.")
        self.promise(f"relation:{a}|{b}", relation)

    def give(self) -> None:
        """What waits after "is" belongs to the subjects: "the car is red and ..."."""
        if self.predicate and self.subjects:
            for kind in self.subjects:
                for attribute, value in self.waiting.items():
                    self.promise(f"{attribute}:{kind}", value)
            self.waiting = {}

    def end_of_clause(self) -> None:
        self.give()
        self.predicate, self.relation = False, ""

    def check_nothing_waits(self) -> None:
        for attribute, value in self.waiting.items():
            if (attribute, value) != ("count", "one"):  # an article
                raise ValueError(
                    f"In the caption, {value!r} describes nothing: put it before the thing that it is about."
                )

    def read_thing(self, kind: str) -> None:
        self.promise(f"present:{kind}", "yes")
        for attribute, value in self.waiting.items():
            self.promise(f"{attribute}:{kind}", value)
        if self.relation and self.sources:
            for source in self.sources:
                self.relate(self.relation, source, kind)
        elif self.relation:
            self.fronted = (self.relation, kind)
        else:
            if self.fronted:
                self.relate(self.fronted[0], kind, self.fronted[1])
            self.fronted, self.sources = None, []
            if not (self.company and self.subjects):
                self.subjects = [*self.subjects, kind] if self.joined and not self.told else [kind]
                self.told = self.company = False
        self.things.append(kind)
        self.waiting, self.relation, self.predicate = {}, "", False

    def read_relation(self, relation: str) -> None:
        """A relation holds from the subjects of an "is"; after "and", as the last one did; else from the last thing."""
        after_is = self.predicate and bool(self.subjects)
        self.give()
        self.check_nothing_waits()
        if not self.relation:  # else "on the left of"
            if after_is:
                self.sources = list(self.subjects)
            elif not (self.joined and self.sources):
                self.sources = self.things[-1:]
        self.relation, self.predicate, self.company = relation, False, False

    def read_place(self, place: str) -> None:
        sky_above = place == "sky" and self.relation == "below"  # "under the blue sky": that is no place
        if self.joined and not self.relation:
            self.subjects = []  # "and the sky is ..."
        self.end_of_clause()
        if place == "sky" and self.waiting.get("color") == "blue":
            self.promise("time", "day")
        if not sky_above:
            self.promise("place", place)
        self.waiting = {}

    def read_pronoun(self, pronoun: str) -> None:
        others = [kind for kind in self.subjects or self.things if kind not in self.sources]
        others = others or [kind for kind in self.things if kind not in self.sources]
        if self.relation and others:  # "a box with an apple in it"
            for source in self.sources:
                self.relate(self.relation, source, others[-1])
            self.relation = ""
        elif not self.subjects:
            self.subjects = self.things[-1:]

    def read(self, part: str, meaning: str) -> None:
        if part == "article":
            self.give()
            self.waiting.setdefault("count", meaning)
            self.predicate = False  # "... is a ...": something new
        elif part in ("count", "size", "color"):
            self.hold(part, meaning)
        elif part in ("thing", "things"):
            if part == "thing":
                self.waiting.setdefault("count", "one")
            self.read_thing(meaning)
        elif part == "place":
            self.read_place(meaning)
        elif part == "time":
            self.end_of_clause()
            self.promise("time", meaning)
            self.waiting = {}
        elif part == "relation":
            self.read_relation(meaning)
        elif part == "pronoun":
            self.read_pronoun(meaning)
        elif part == "relative":
            self.subjects = self.things[-1:]
        elif part == "medium":  # "a picture of ..."
            self.waiting = {}
        elif part == "joint":
            self.give()
            self.relation = ""
        elif part in ("companion", "while"):
            self.end_of_clause()
            self.company = part == "companion"
            if part == "while":
                self.subjects = []
        elif part == "copula":
            if meaning == "is":
                self.subjects = self.subjects[-1:]
            self.predicate = self.told = True
        self.joined = part == "joint" or (self.joined and part in ("article", "count", "size", "color", "existence"))


def read(caption: str) -> dict[str, str]:
    """What a caption promises."""
    tokens = words(caption)
    check_words(tokens, VOCABULARY, "the world of scenes")
    reader = Reader()
    for part, meaning in parts_of(tokens):
        reader.read(part, meaning)
    reader.end_of_clause()
    reader.check_nothing_waits()
    return reader.facts


# --- writing ----------------------------------------------------------------------------------------------------------


def chance(rng, probability: float) -> bool:
    return rng.random() < probability


def describe_thing(thing, rng, plain: bool = False) -> tuple[str, tuple[str, str], dict[str, str]]:
    """(noun phrase, the verb before and after it, facts) of a thing; a plain phrase has no size and colour."""
    kind = thing.kind
    facts = {f"present:{kind}": "yes"}
    noun = pick(rng, NOUNS[kind]) if NOUNS[kind] and chance(rng, 0.3) else kind
    adjectives = ""
    if not plain and chance(rng, 0.35):
        facts[f"size:{kind}"] = thing.size
        adjectives += pick(rng, SIZE_WORDS[thing.size]) + " "
    if not plain and chance(rng, 0.65):
        facts[f"color:{kind}"] = thing.color
        adjectives += pick(rng, COLOR_WORDS[thing.color]) + " "
    many = adjectives + plural(noun)
    if thing.count != "one" and chance(rng, 0.15):  # the number is left open
        return pick(rng, (many, f"some {many}")), ("are", "are"), facts
    facts[f"count:{kind}"] = thing.count
    if thing.count == "one":
        return a_or_an(adjectives + noun), ("is", "is"), facts
    numbers = NUMBER_PHRASES[thing.count]
    if thing.count == "herd" and kind in GATHERINGS:
        numbers += (f"a {GATHERINGS[kind]} of",) * 2
    number = pick(rng, numbers)
    # "there is a pair of cats", "a pair of cats are sitting", "a herd of elephants is standing"
    before = "is" if number.startswith("a ") else "are"
    return f"{number} {many}", (before, "are" if thing.count == "two" else before), facts


def relations_in(truth: Mapping[str, str]) -> list[tuple[str, str, str, dict[str, str]]]:
    """(kind, relation, other kind, fact) for every true relation; some can also be said the other way round."""
    found = []
    for key, relation in truth.items():
        if key.startswith("relation:"):
            a, b = key.removeprefix("relation:").split("|")
            found.append((a, relation, b, {key: relation}))
            if relation in INVERSE:
                found.append((b, INVERSE[relation], a, {key: relation}))
    return found


def place_and_time(spec, rng) -> dict[str, tuple[str, dict[str, str]]]:
    """What a shape may hold at {where}, {when} and {time}, each with its facts; phrases may be empty."""
    where = when = ("", {})
    if chance(rng, 0.7):
        where = pick(rng, PLACE_PHRASES[spec.place]), {"place": spec.place}
        if (spec.place, spec.time) == ("sky", "day") and chance(rng, 0.5):
            where = (
                pick(rng, ("in blue skies", "in the blue skies", "in the blue sky")),
                {"place": "sky", "time": "day"},
            )
    if chance(rng, 0.45):
        when = pick(rng, TIME_PHRASES[spec.time]), {"time": spec.time}
    return {"where": where, "when": when, "time": (TIME_WORDS[spec.time][-1], {"time": spec.time})}


def write(spec, truth: Mapping[str, str], rng) -> tuple[str, dict[str, str]]:
    """One caption of a scene, and the facts that it promises."""
    things = {thing.kind: thing for thing in spec.things}
    relations = relations_in(truth)
    if relations and chance(rng, 0.7):
        first, relation, second, fact = pick(rng, relations)
        shapes = PAIR_SHAPES
        (a, verbs, facts), (b, _, facts_b) = describe_thing(things[first], rng), describe_thing(things[second], rng)
        facts |= facts_b | fact
        slots = {"a": a, "b": b, "rel": pick(rng, RELATION_PHRASES[relation])}
        slots["it"] = "it" if things[second].count == "one" else "them"
    else:
        some = [spec.things[i] for i in rng.permutation(len(things))[: 1 + rng.integers(len(things))]]
        shapes, plain = LIST_SHAPES, False
        if len(some) == 1 and chance(rng, 0.5):
            shapes = OPEN_SHAPES if some[0].kind == "toilet" else ALONE_SHAPES
            plain = chance(rng, 0.4)
            shapes = LOOKS_SHAPES if plain else shapes
        described = [describe_thing(thing, rng, plain) for thing in some]
        a, verbs, facts = described[0]
        for _, _, more in described[1:]:
            facts |= more
        slots = {"a": a, "all": join([text for text, *_ in described]), "color": some[0].color}
        slots["doing"], one = pick(rng, VERBS[spec.place]), some[0].count == "one"
        slots["are"], slots["sit"] = ("is", "sits") if one else ("are", "sit")
        slots["they_are"] = "it is" if one else "they are"
        if plain:
            facts[f"color:{some[0].kind}"] = some[0].color
    slots["there_is"], slots["is"] = f"there {verbs[0]}", verbs[1]

    around = place_and_time(spec, rng)
    used = [shape for shape in shapes if all(around[slot][0] for slot in around if shape.startswith(f"{{{slot}}}"))]
    shape = pick(rng, used)
    for slot, (phrase, promised) in around.items():
        slots[slot] = phrase
        if f"{{{slot}}}" in shape:
            facts |= promised
    return " ".join(shape.format(**slots).split()).replace(" ,", ","), facts
