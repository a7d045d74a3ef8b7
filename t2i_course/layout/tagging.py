"""Step 0 of the 2007 system: words, their base forms, and which of them are nouns, verbs and adjectives.

The papers used ready-made tools (for 2007 that is reconstructed). Ours is a linear chain (`chain.py`) over word lists
(`data/layout/words.json`), the words of the pictograms, suffixes and neighbours, trained on the course's own annotated
sentences.
"""

import json
import re
from dataclasses import dataclass
from functools import cache

from ..paths import DATA
from .chain import LinearChain

SHORT = re.compile(r"^[^aeiou]*[aeiou][^aeiouwxy]$")  # one vowel between consonants: "hop", "tap"
CLOSED_CLASSES = ("determiners", "numbers", "pronouns", "prepositions", "conjunctions", "auxiliaries", "adverbs")


@dataclass(frozen=True, slots=True)
class Word:
    """One token: its text as written, lower-case base form, tag (N, V, A, O or `.`) and sentence number."""

    text: str
    lemma: str
    tag: str
    sentence: int

    @property
    def lower(self) -> str:
        return self.text.lower()


@cache
def word_lists() -> dict:
    """The word lists of data/layout/words.json: sets of words, and the tables of colours and irregular forms."""
    lists = json.loads((DATA / "layout" / "words.json").read_text(encoding="utf-8"))
    return {name: set(words.split()) if isinstance(words, str) else words for name, words in lists.items()}


@cache
def pictogram_words() -> dict[str, set[str]]:
    """The words of the course's pictograms, synonyms too: every "noun", every "verb", and who is "alive"."""
    index = json.loads((DATA / "pictograms" / "index.json").read_text(encoding="utf-8"))
    words = {"noun": set(), "verb": set(), "alive": set()}
    for entry in index:
        for name in (entry["name"], *entry["synonyms"]):
            parts = name.lower().split()
            words[entry["pos"]].update(parts if entry["pos"] == "noun" else parts[:1])  # "look for" is the verb "look"
            words["alive"].update(parts[-1:] * (entry["category"] in ("people", "animals")))
    return words


@cache
def closed_class(word: str) -> str | None:
    """The closed class of a lower-case word ("prepositions" ...), or None for an open one."""
    lists = word_lists()
    return next((name for name in CLOSED_CLASSES if word in lists[name]), None)


def sentences(text: str) -> list[list[str]]:
    """Split a text into sentences of word and punctuation tokens; a line ends a sentence too, "Mr." does not."""
    text = re.sub(r"\b(Mr|Mrs|Ms|Dr|Prof)\.", r"\1", text)
    found = [re.findall(r"[^\W_]+(?:['’-][^\W_]+)*|[.,;:!?]", part) for part in re.split(r"(?<=[.!?])\s+|\n", text)]
    return [tokens for tokens in found if any(token[0].isalnum() for token in tokens)]


def noun_lemma(word: str) -> str:
    """Singular of a noun: "children" -> "child", "berries" -> "berry", "foxes" -> "fox", "cows" -> "cow"."""
    word = word.lower().removesuffix("'s").removesuffix("’s")
    irregular = word_lists()["irregular_nouns"]
    if word in irregular:
        return irregular[word]
    for ending in ("s", "es"):  # "smoothies", "funguses"
        if word.endswith(ending) and word.removesuffix(ending) in pictogram_words()["noun"]:
            return word.removesuffix(ending)
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("ches", "shes", "sses", "xes", "zzes", "oes")):
        return word[:-2]
    if word.endswith("s") and not word.endswith(("ss", "us", "is")) and len(word) > 2:
        return word[:-1]
    return word


@cache
def _known_verbs() -> frozenset[str]:
    lists = word_lists()
    irregular = set(lists["irregular_verbs"].values())
    return frozenset(lists["verbs"] | lists["actions"] | irregular | pictogram_words()["verb"])


def verb_lemma(word: str) -> str:
    """Base form of a verb: "gave" -> "give", "running" -> "run", "baked" -> "bake", "carries" -> "carry"."""
    word = word.lower()
    lists = word_lists()
    if word in lists["irregular_verbs"]:
        return lists["irregular_verbs"][word]
    guesses = [word]
    for ending in ("ing", "ed", "es", "s"):
        if word.endswith(ending) and len(word) > len(ending) + 1:
            stem = word.removesuffix(ending)
            doubled = len(stem) > 2 and stem[-1] == stem[-2]
            guesses += [stem[:-1] + "y"] if stem.endswith("i") else []
            guesses += [stem[:-1]] * (doubled and ending in ("ing", "ed"))
            hisses = stem.endswith(("ch", "sh", "ss", "x", "z", "o"))  # "watch-es", but "bake-s"
            stems = [stem] * (ending in ("ing", "ed") or hisses == (ending == "es"))
            with_e = [stem + "e"] * (ending in ("ing", "ed"))
            # "hoping" comes from "hope": short verbs such as "hop" double their last letter.
            guesses += with_e + stems if SHORT.search(stem) else stems + with_e
    known = _known_verbs()
    return next((guess for guess in guesses if guess in known), guesses[min(1, len(guesses) - 1)])


def features(tokens: list[str]) -> list[list[str]]:
    """What the tagger sees at each token: the word, its endings, the lists that hold it, and its neighbours."""
    return [_word_features(tokens, i) for i in range(len(tokens))]


def _word_features(tokens: list[str], i: int) -> list[str]:
    word = tokens[i].lower()
    seen = [f"word={word}", f"end2={word[-2:]}", f"end3={word[-3:]}", *_memberships(word)]
    if i and tokens[i][0].isupper():
        seen.append("capital")
    for offset in (-2, -1, 1, 2):
        inside = 0 <= i + offset < len(tokens)
        neighbour = tokens[i + offset].lower() if inside else "-"
        kind = closed_class(neighbour) or ("open" if neighbour[0].isalnum() else neighbour)
        seen.append(f"{offset:+d}:{kind}")
        if abs(offset) == 1:
            seen += [f"{offset:+d}:{name}" for name in _memberships(neighbour)]
    return seen


@cache
def _memberships(word: str) -> tuple[str, ...]:
    """Which lists hold a word, as a noun, verb or adjective."""
    lists = word_lists()
    noun, verb = noun_lemma(word), verb_lemma(word)
    is_noun = noun in pictogram_words()["noun"] or any(noun in lists[name] for name in ("concrete", "abstract", "time"))
    is_verb = verb in _known_verbs()
    held = {
        closed_class(word): closed_class(word) is not None,
        "open class": word[0].isalpha() and closed_class(word) is None,
        "noun": is_noun,
        "verb": is_verb,
        "noun, not verb": is_noun and not is_verb,
        "verb, not noun": is_verb and not is_noun,
        "verb form": is_verb and verb != word,
        "adjective": word in lists["adjectives"] or word in lists["colours"],
    }
    return tuple(name for name, is_member in held.items() if is_member)


@cache
def tagger() -> LinearChain:
    """The trained tagger (data/layout/tagger.json)."""
    return LinearChain.load(DATA / "layout" / "tagger.json")


def tag_text(text: str) -> list[Word]:
    """All words of a text with base forms and tags.

    >>> [w.lemma for w in tag_text("The farmer gives hay to the goats.") if w.tag in "NV"]
    ['farmer', 'give', 'hay', 'goat']
    """
    words = []
    for number, tokens in enumerate(sentences(text)):
        tags = tagger().tag(features(tokens))
        words += [as_word(token, tag, number) for token, tag in zip(tokens, tags, strict=True)]
    return words


def as_word(token: str, tag: str, sentence: int) -> Word:
    """A token with its base form, which depends on its tag ("flies" is a "fly" or to "fly")."""
    if not token[0].isalnum():
        tag = "."
    elif tag == "N" and (closed_class(token.lower()) or token.isdigit()):
        tag = "O"
    base = {"N": noun_lemma, "V": verb_lemma}.get(tag, str.lower)
    return Word(token, base(token), tag, sentence)
