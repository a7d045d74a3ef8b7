"""What captions say about scenes: how they are written, and how they are read.

The reader goes through a caption from left to right. Articles, numbers, sizes and colours wait for the noun that they
belong to; a relation waits for its second thing. So it understands every caption that the writer can write, and most
of what a student would type.
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

NUMBER_PHRASES = {  # and the verb that follows
    "two": (("two", "are"), ("two", "are"), ("two", "are"), ("a pair of", "is")),
    "three": (("three", "are"),),
    "herd": (("a herd of", "is"), ("a group of", "is"), ("a lot of", "are"), ("many", "are"), ("several", "are")),
}

PAIR_SHAPES = (  # {a} and {b}: things; {it}: "it" or "them"; {where} and {when} may be empty
    "{a} {rel} {b} {where} {when}",
    "{a} {rel} {b} {when} {where}",
    "{a} {is} {rel} {b} {where} {when}",
    "there {is} {a} {rel} {b} {where} {when}",
    "a picture of {a} {rel} {b} {where} {when}",
    "{b} with {a} {rel} {it} {where} {when}",
    "{a} can be seen {rel} {b} {where} {when}",
    "we see {a} {rel} {b} {where} {when}",
    "{where}, {a} {is} {rel} {b} {when}",
    "{when}, there {is} {a} {rel} {b} {where}",
)
LIST_SHAPES = (
    "{all} {where} {when}",
    "there {is} {all} {where} {when}",
    "a photo of {all} {where} {when}",
    "this picture shows {all} {where} {when}",
    "{all} can be seen {where} {when}",
    "{where}, there {is} {all} {when}",
    "{when}, we see {all} {where}",
    "it is {time} and there {is} {all} {where}",
    "a {time} scene with {all} {where}",
)
ALONE_SHAPES = ("{a} {doing} {where} {when}", "{a} {is} {doing} {where} {when}", "{when}, {a} {is} {doing} {where}")
OPEN_SHAPES = ("{a} {sit} open {where} {when}",)
LOOKS_SHAPES = ("{a} that {is} {color} {where} {when}", "there {is} {a} {where}, and {they_are} {color}")
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
    entries |= {(w,): ("break", w) for w in ("and", ",", "with", "while", "near", "next", "beside")}
    entries |= {(w,): ("subject", w) for w in ("picture", "photo", "image", "scene")}
    entries |= {(w,): ("copula", w) for w in ("is", "are")} | {(w,): ("pronoun", w) for w in ("it", "them")}
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
        self.waiting: dict[str, str] = {}  # count, size and colour of the thing that comes next
        self.relation = ""  # of the last thing to the one that comes next
        self.predicate = False  # after "is": sizes and colours may belong to the thing before

    def promise(self, key: str, value: str) -> None:
        if self.facts.setdefault(key, value) != value:
            raise ValueError(f"The caption says two things about {key!r}: {self.facts[key]!r} and {value!r}.")

    def relate(self, a: str, b: str) -> None:
        """The waiting relation holds from a to b."""
        if self.relation in ("right of", "below"):
            a, b = b, a
        if self.relation and a != b:
            self.promise(
                f"relation:{a}|{b}", {"right of": "left of", "below": "above"}.get(self.relation, self.relation)
            )
        self.relation = ""

    def end_of_clause(self) -> None:
        """ "the car is red and ...": what still waits after "is" belongs to the thing before it."""
        if self.predicate and self.things:
            for part in ("size", "color"):
                if part in self.waiting:
                    self.promise(f"{part}:{self.things[-1]}", self.waiting.pop(part))
        self.predicate, self.relation = False, ""

    def read(self, part: str, meaning: str) -> None:
        if part == "article":
            self.waiting.setdefault("count", meaning)
            self.predicate = False  # "... is a ...": something new
        elif part in ("count", "size", "color"):
            self.waiting[part] = meaning
        elif part in ("thing", "things"):
            if self.things:
                self.relate(self.things[-1], meaning)
            if part == "thing":
                self.waiting.setdefault("count", "one")
            self.promise(f"present:{meaning}", "yes")
            for attribute, value in self.waiting.items():
                self.promise(f"{attribute}:{meaning}", value)
            self.things.append(meaning)
            self.waiting, self.predicate = {}, False
        elif part == "place":
            sky_above = meaning == "sky" and self.relation == "below"  # "under the blue sky": that is no place
            self.end_of_clause()
            if meaning == "sky" and self.waiting.get("color") == "blue":
                self.promise("time", "day")
            if not sky_above:
                self.promise("place", meaning)
            self.waiting = {}
        elif part == "time":
            self.end_of_clause()
            self.promise("time", meaning)
            self.waiting = {}
        elif part == "relation":
            self.end_of_clause()
            self.relation = meaning
        elif part == "pronoun" and len(self.things) > 1:
            self.relate(self.things[-1], self.things[-2])
        elif part == "subject":  # "a picture of ..."
            self.waiting = {}
        elif part == "break":
            self.end_of_clause()
        elif part == "copula":
            self.predicate = True


def read(caption: str) -> dict[str, str]:
    """What a caption promises."""
    tokens = words(caption)
    check_words(tokens, VOCABULARY, "the world of scenes")
    reader = Reader()
    for part, meaning in parts_of(tokens):
        reader.read(part, meaning)
    reader.end_of_clause()
    return reader.facts


# --- writing ----------------------------------------------------------------------------------------------------------


def chance(rng, probability: float) -> bool:
    return rng.random() < probability


def describe_thing(thing, rng, plain: bool = False) -> tuple[str, str, dict[str, str]]:
    """(noun phrase, "is" or "are", facts) of a thing; a plain phrase has no size and colour."""
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
        return pick(rng, (many, f"some {many}")), "are", facts
    facts[f"count:{kind}"] = thing.count
    if thing.count == "one":
        return a_or_an(adjectives + noun), "is", facts
    number, verb = pick(rng, NUMBER_PHRASES[thing.count])
    return f"{number} {many}", verb, facts


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
        (a, verb, facts), (b, _, facts_b) = describe_thing(things[first], rng), describe_thing(things[second], rng)
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
        a, verb, facts = described[0]
        for _, _, more in described[1:]:
            facts |= more
        slots = {"a": a, "all": join([text for text, *_ in described]), "color": some[0].color}
        slots["doing"], slots["sit"] = pick(rng, VERBS[spec.place]), "sits" if verb == "is" else "sit"
        slots["they_are"] = "it is" if some[0].count == "one" else "they are"
        if plain:
            facts[f"color:{some[0].kind}"] = some[0].color
    slots["is"] = verb

    around = place_and_time(spec, rng)
    used = [shape for shape in shapes if all(around[slot][0] for slot in around if shape.startswith(f"{{{slot}}}"))]
    shape = pick(rng, used)
    for slot, (phrase, promised) in around.items():
        slots[slot] = phrase
        if f"{{{slot}}}" in shape:
            facts |= promised
    return " ".join(shape.format(**slots).split()).replace(" ,", ","), facts
