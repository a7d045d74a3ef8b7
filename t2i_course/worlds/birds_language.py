"""What captions say about birds: how they are written, and how they are read.

What the words mean here. A bird has five main parts, each in one colour: crown (the whole upper head, also "head"),
breast ("chest", "throat"), belly, wings ("back", "primaries", "secondaries": in this world they share a colour), and
tail. "A red bird" and "almost all red" promise all five, except those that the caption names otherwise. "Body" and
"underparts" mean breast and belly, "upperparts" crown, wings, and tail, again unless a part is named otherwise.
Crest, cheek patch, and eye ring are a colour or "none". "Ground" means grass.

The reader goes through a caption from left to right. Adjectives wait for the noun that they belong to, or belong to
the noun before an "is". So it understands whatever the writer can write, and most of what a student would type.
"""

from collections.abc import Mapping

from .language import a_or_an, check_words, join, pick, words

MAIN_PARTS = ("crown", "breast", "belly", "wings", "tail")
PART_CHOICE = "wings, belly, breast, crown, tail, bill, crest, cheek patch, or eye ring"
GROUPS = {"bird": MAIN_PARTS, "body": ("breast", "belly"), "upperparts": ("crown", "wings", "tail")}

# The words that the reader knows for each value, besides the value itself.
COLOUR_WORDS = {
    **dict.fromkeys(("orange", "green", "blue", "black", "white"), ""),
    **{"red": "scarlet crimson", "yellow": "gold golden", "pink": "rosy", "brown": "chestnut", "grey": "gray silver"},
}
SIZE_WORDS = {"small": "tiny little", "medium": "midsized", "large": "big huge"}
LENGTH_WORDS = {"short": "stubby", "long": "lengthy"}
SHAPE_WORDS = {
    "conical": "cone thick stout",
    "pointed": "pointy sharp straight",
    "hooked": "",
    "curved": "downcurved curving",
}
NOUNS = {
    "bird": "fellow creature songbird one plumage feathers",
    "body": "underparts underside",
    "upperparts": "",
    "crown": "crowns head heads cap",
    "breast": "breasts chest throat",
    "belly": "bellies abdomen stomach tummy",
    "wings": "wing primaries secondaries back",
    "tail": "tails rectrices",
    "bill": "bills beak beaks",
    "crest": "crests tuft",
    "cheek_patch": "cheek cheeks",
    "eye_ring": "ring rings eyering eyerings",
}
POSE_WORDS = {
    "perched": "perching perches sitting sits",
    "standing": "stands",
    "feeding": "feeds pecking pecks foraging",
    "wading": "wades",
    "flying": "flies soaring soars flight",
}
PLACE_WORDS = {
    "branch": "branches twig bough tree",
    "grass": "meadow lawn ground",
    "snow": "snowy",
    "water": "lake pond sea",
    "sky": "skies air",
}
DETERMINERS = words("a an the its this whose it their his her with has have having shows wears while but")
NEGATIONS = ("no", "without", "lacks")
UNDER_NEGATION = ("a", "an", "any", "or", "eye", "patch")  # these do not end what a "no" speaks of
BEFORE_NOUNS = ("eye", "sized", "shaped", "colored", "coloured")  # these may stand between adjective and noun
SMALL_WORDS = words(
    "all almost mostly entirely completely that which on of there in at over above through from to by "
    "around eyes feather magnificent beautiful pretty lovely picture photo here look see we can be seen"
)

# What the writer says: value -> ways of saying it, part -> its nouns.
PHRASES = {
    "small": ("small", "little", "tiny"),
    "medium": ("medium-sized",),
    "large": ("large", "big"),
    "conical": ("conical", "cone-shaped", "thick"),
    "pointed": ("pointed", "sharp", "straight"),
    "flying": ("flying", "soaring"),
    "perched": ("perched", "sitting"),
    "feeding": ("feeding", "pecking"),
    "branch": ("on a branch", "on a twig", "in a tree"),
    "grass": ("in the grass", "on the grass", "in a meadow"),
    "snow": ("in the snow", "on the snow"),
    "water": ("in the water", "in a pond", "in a lake"),
    "under a flying bird": ("over the water", "above the sea"),
    "sky": ("in the sky", "in the air", "through the sky"),
}
PART_NOUNS = {
    "crown": ("crown", "crown", "head"),
    "breast": ("breast", "breast", "chest", "throat"),
    "belly": ("belly", "belly", "abdomen"),
    "wings": ("wings", "wings", "back"),
    "tail": ("tail", "tail", "tail feathers"),
}
MARK_NOUNS = {"crest": ("crest",), "cheek_patch": ("cheek patch", "cheeks"), "eye_ring": ("eye ring",)}
PLURAL = ("wings", "primaries and secondaries", "tail feathers", "cheeks")
TEMPLATES = {  # by what must be told; {adjectives}, {patches}, and {there} are not always there
    "": "this is {a_bird}|{a_bird}|a picture of {a_bird}|here we see {a_bird}|look at this {bird}"
    "|this {noun} is {adjectives}",
    "features": "this {bird} has {features}|{a_bird} with {features}|this is {a_bird} that has {features}"
    "|{features} can be seen on this {bird}|in this picture of {a_bird}, {clauses}|look at this {bird}: {clauses}"
    "|this {bird} is {patches}|this {noun} is {adjectives} and has {features}"
    "|this magnificent {noun} is {adjectives} with {features}",
    "where": "this {bird} is {where}|{a_bird} that is {where}|here we see {a_bird} {where}|look at this {bird} {where}"
    "|a picture of {a_bird} {where}|{there}, there is {a_bird}|this {noun} {there} is {adjectives}",
    "features where": "this {bird} is {where} and has {features}|{a_bird} that is {where} and has {features}"
    "|{there}, this {bird} shows {features}|there is {a_bird} {where}, and it has {features}"
    "|look at this {bird} {there}: {clauses}|this {bird}, {there}, is {patches}"
    "|this {noun} {there} is {adjectives} with {features}",
}


_TABLES = {"colour": COLOUR_WORDS, "size": SIZE_WORDS, "length": LENGTH_WORDS, "shape": SHAPE_WORDS, "noun": NOUNS}
_TABLES |= {"pose": POSE_WORDS, "place": PLACE_WORDS, "determiner": dict.fromkeys(DETERMINERS, "")}
_TABLES |= {"copula": {"is": "are"}, "joint": {"and": ","}}
LEXICON = {  # word -> (its part in a caption, what it means)
    word: (part, value)
    for part, table in _TABLES.items()
    for value, others in table.items()
    for word in (value, *others.split())
}
ADJECTIVES = ("colour", "size", "length", "shape")
VOCABULARY = frozenset((*LEXICON, *NEGATIONS, *UNDER_NEGATION, *BEFORE_NOUNS, *SMALL_WORDS)) - {","}


# --- reading ----------------------------------------------------------------------------------------------------------


def part_of(word: str) -> str:
    """The part that a word plays in a caption, "" for a small word."""
    return LEXICON.get(word, ("", ""))[0]


class Reader:
    """The state of reading one caption."""

    def __init__(self, caption: str, attributes: Mapping[str, tuple[str, ...]]):
        self.caption, self.attributes = caption, attributes
        self.promises: dict[str, tuple[str, int]] = {}  # attribute -> (value, of how many parts this was said)
        self.waiting: list[str] = []  # adjectives whose noun is still to come
        self.given: list[str] = []  # the colours that the last noun got, for "pink breast and crown"
        self.subjects: list[str] = []  # the nouns that an "is" or "are" to come speaks of
        self.is_open = False  # whether these subjects have got nothing yet, so that "and" may add another
        self.predicate = self.joined = self.negated = False  # after "is"; after "and"; after "no"
        self.fresh = True  # after a "the" or "with", which ends what `given` reaches

    def promise(self, attribute: str, value: str, parts: int = 1) -> None:
        """Note a value. What is said of one part beats what is said of the body, and that of the bird."""
        if value not in self.attributes[attribute]:
            choice = join(self.attributes[attribute], "or")
            raise ValueError(f"In {self.caption!r}: {attribute} cannot be {value!r} in this world, only {choice}.")
        known, known_parts = self.promises.get(attribute, (value, len(MAIN_PARTS) + 1))
        if known_parts == parts and known != value:
            if parts > 1:  # "a red and black bird"
                raise ValueError(f"In {self.caption!r}: say which part is {value}: {PART_CHOICE}.")
            raise ValueError(f"{self.caption!r} contradicts itself: {attribute} is {known!r} and also {value!r}.")
        if parts < known_parts:
            self.promises[attribute] = (value, parts)

    def describe(self, noun: str, adjective: str) -> None:
        """An adjective belongs to a noun."""
        part, value = LEXICON[adjective]
        if part == "colour":
            named = GROUPS.get(noun, (noun,))
            for attribute in named:
                self.promise(attribute, value, len(named))
        elif part == "size" and noun == "bird":
            self.promise("size", value)
        elif part == "shape" and noun == "bill":
            self.promise("bill_shape", value)
        elif noun == "bill":
            self.promise("bill_length", {"small": "short", "large": "long"}.get(value, value))
        else:
            raise ValueError(f"In {self.caption!r}: {adjective!r} cannot be said of the {noun} in this world.")

    def read_noun(self, noun: str, after: list[str]) -> None:
        """A noun takes the adjectives that wait for it, or those of the noun before, or becomes a subject."""
        follows = after[1:2] if after[:1] == ["feathers"] else after[:1]
        shares = not self.fresh and noun != "bird" and follows not in (["that"], ["which"], ["is"], ["are"])
        adjectives = self.waiting or (self.given if shares else [])
        if self.negated:  # only marks can be missing
            if self.waiting or "none" not in self.attributes.get(noun, ()):
                what = " ".join([*self.waiting, noun.replace("_", " ")])
                raise ValueError(f"In {self.caption!r}: 'no {what}' promises nothing that this world can draw.")
            self.promise(noun, "none")
        elif adjectives:
            for adjective in adjectives:
                self.describe(noun, adjective)
            self.given = [adjective for adjective in adjectives if part_of(adjective) == "colour"]
            self.subjects, self.is_open = [noun], False
        elif self.is_open and self.joined and "bird" not in (noun, *self.subjects):
            self.subjects.append(noun)
        elif noun != "bird" or not self.subjects:
            self.subjects, self.given, self.is_open = [noun], [], True
        self.waiting, self.predicate, self.joined, self.fresh = [], False, False, False

    def read(self, before: str, word: str, after: list[str]) -> None:
        """One word, between the one before and all those after it."""
        part, meaning = LEXICON.get(word, ("", ""))
        goes_on = self.negated and (part in ADJECTIVES or part == "noun" or word in UNDER_NEGATION)
        self.negated = goes_on or word in NEGATIONS
        if part in ADJECTIVES:
            if (self.predicate or before == "all") and self.subjects and not belongs_to_next(after):
                for noun in self.subjects:
                    self.describe(noun, word)
                self.is_open = False
            else:
                self.waiting.append(word)
        elif part == "noun" and not (word == "feathers" and part_of(before) == "noun"):
            self.read_noun(meaning, after)
        elif part in ("pose", "place"):
            self.promise(part, meaning)
            self.fresh, self.predicate = True, False
        elif part == "determiner":
            self.fresh, self.predicate = True, False
        self.predicate |= part == "copula"
        self.joined |= part == "joint"


def belongs_to_next(after: list[str]) -> bool:
    """Whether an adjective speaks of a noun after it: "yellow belly", "yellow on its belly"."""
    rest = [word for word in after if part_of(word) not in ADJECTIVES and word not in BEFORE_NOUNS]
    if rest[:1] == ["on"]:
        rest = [word for word in rest if part_of(word) in ("noun", "pose", "place")]
    return bool(rest) and part_of(rest[0]) == "noun"


def read(caption: str, attributes: Mapping[str, tuple[str, ...]]) -> dict[str, str]:
    """What a caption promises; `attributes` holds the possible values."""
    tokens = words(caption)
    check_words(tokens, VOCABULARY, "the world of birds")
    reader = Reader(caption, attributes)
    for i, word in enumerate(tokens):
        reader.read(tokens[i - 1] if i else "", word, tokens[i + 1 :])
    if reader.waiting:
        what = reader.waiting[0]
        choice = f": {PART_CHOICE}" if part_of(what) == "colour" else ""
        raise ValueError(f"In {caption!r}, {what!r} describes nothing: say which part is {what}{choice}.")
    facts = {attribute: value for attribute, (value, _) in reader.promises.items()}
    if {"sitting", "sits"} & set(tokens) and facts.get("place") in ("grass", "snow"):
        facts["pose"] = "standing"  # only branches are for perching
    return facts


# --- writing ----------------------------------------------------------------------------------------------------------


def say(value: str, rng) -> str:
    """A phrase for a value."""
    return pick(rng, PHRASES.get(value, (value,)))


def noun_phrase(adjectives: str, noun: str) -> str:
    """ "a red tail", "red wings"."""
    phrase = f"{adjectives} {noun}"
    return phrase if noun.startswith(PLURAL) else a_or_an(phrase)


def clause(noun: str, looks: str) -> str:
    """ "its tail is red", "its crown and tail are red"."""
    return f"its {noun} {'are' if noun.startswith(PLURAL) or ' and ' in noun else 'is'} {looks}"


def listing(phrases: list[str]) -> str:
    """Phrases in a row, with a comma before "and" where they have inner parts."""
    if len(phrases) == 2 and any(" and " in phrase or " that " in phrase for phrase in phrases):
        return ", and ".join(phrases)
    return join(phrases)


def group_by_colour(told: Mapping[str, str]) -> list[tuple[str, list[str]]]:
    """(colour, one or two parts that share it) for all main parts that are to be named."""
    groups: list[tuple[str, list[str]]] = []
    for part in (name for name in told if name in MAIN_PARTS):
        partners = next((parts for colour, parts in groups if colour == told[part] and len(parts) == 1), [])
        if not partners:
            groups.append((told[part], partners))
        partners.append(part)
    return groups


def features(told: Mapping[str, str], rng) -> dict[str, str]:
    """The parts of a bird as noun phrases, as clauses, and (if all are main parts) as "red on its ..."."""
    phrases, clauses, patches = [], [], []
    for colour, parts in group_by_colour(told):
        noun = " and ".join([pick(rng, PART_NOUNS[part]) for part in parts])
        if noun == "wings" and rng.random() < 0.3:
            noun = "primaries and secondaries"
        turned = noun == "wings" and rng.random() < 0.3
        phrases.append(f"wings that are {colour}" if turned else noun_phrase(colour, noun))
        clauses.append(clause(noun, colour))
        patches.append(f"{colour} on its {noun}")
    if bill := [say(told[name], rng) for name in ("bill_length", "bill_shape", "bill") if name in told]:
        noun = pick(rng, ("bill", "bill", "beak"))
        turned = rng.random() < 0.25
        phrases.append(f"a {noun} that is {join(bill)}" if turned else noun_phrase(" ".join(bill), noun))
        clauses.append(clause(noun, join(bill)))
    for mark, nouns in MARK_NOUNS.items():
        if told.get(mark) == "none":
            phrases.append(f"no {nouns[0]}")
            clauses.append(f"it has no {nouns[0]}")
        elif mark in told:
            noun = pick(rng, nouns)
            phrases.append(noun_phrase(told[mark], noun))
            clauses.append(clause(noun, told[mark]))
    if len(patches) < len(phrases):
        patches = []
    return {"features": listing(phrases), "clauses": listing(clauses), "patches": listing(patches)}


def write(truth: Mapping[str, str], rng) -> tuple[str, dict[str, str]]:
    """One caption of a bird, and the facts that it promises."""
    names = list(truth)
    chosen = [names[i] for i in rng.permutation(len(names))[: 1 + int(5 * rng.random())]]
    chosen = [name for name in chosen if truth[name] != "none" or rng.random() < 0.25] or ["size"]
    facts = {name: truth[name] for name in chosen}

    colours = [truth[part] for part in MAIN_PARTS]
    main = max(colours, key=colours.count)
    whole = main if colours.count(main) >= 3 and rng.random() < 0.4 else ""
    if whole:  # the parts of another colour must then be named
        facts |= {part: truth[part] for part in MAIN_PARTS}
    told = {name: value for name, value in facts.items() if not (name in MAIN_PARTS and value == whole)}

    noun = pick(rng, ("bird", "bird", "bird", "fellow", "creature"))
    size = say(told["size"], rng) if "size" in told else ""
    bird = " ".join(filter(None, (size, whole, noun)))
    slots = {"noun": noun, "bird": bird, "a_bird": a_or_an(" ".join(filter(None, (size, whole, "bird"))))}
    slots["adjectives"] = join(filter(None, (size, whole and f"almost all {whole}")))
    slots |= features(told, rng)
    situation = [told[name] for name in ("pose", "place") if name in told]
    if truth["pose"] == "flying" and "water" in situation:
        situation[-1] = "under a flying bird"
    slots["where"] = " ".join([say(value, rng) for value in situation])

    slots["there"] = slots["where"] if "place" in told else ""
    templates = TEMPLATES[" ".join(slot for slot in ("features", "where") if slots[slot])].split("|")
    empty = ["{" + slot + "}" for slot in ("adjectives", "patches", "there") if not slots[slot]]
    return pick(rng, [t for t in templates if not any(slot in t for slot in empty)]).format(**slots), facts
