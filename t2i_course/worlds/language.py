"""The few pieces of English that every world's captions are written and read with."""

import difflib
import re
from collections.abc import Iterable, Sequence

NUMBERS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
COLORS = """red orange yellow green blue purple violet pink brown black white grey gray silver gold golden cream beige
crimson magenta turquoise cyan teal lavender maroon navy tan""".split()


class UnknownWord(ValueError):
    """A caption holds a word that its world has no picture for."""

    def __init__(self, word: str, vocabulary: Iterable[str], world: str = "this world"):
        self.word = word
        self.nearest = difflib.get_close_matches(word, sorted(vocabulary), n=3, cutoff=0.6)
        for kind, family in {"colors": COLORS, "numbers": NUMBERS}.items():
            if word in family:  # a word of the same kind is nearer than one of similar letters
                self.nearest = [known for known in family if known in set(vocabulary)]
                hint = f"The {kind} here are: {', '.join(self.nearest) or 'none'}."
                break
        else:
            hint = f"Did you mean {' or '.join(map(repr, self.nearest))}?" if self.nearest else "No known word is near."
        super().__init__(f"The word {word!r} means nothing in {world}. {hint}")


def words(caption: str) -> list[str]:
    """Lower-case words of a caption; a comma is a word of its own, hyphens part words, digits are spelled out.

    >>> words("A dome-like flower, with 5 petals.")
    ['a', 'dome', 'like', 'flower', ',', 'with', 'five', 'petals']
    """
    if not isinstance(caption, str):
        raise ValueError(f"A caption is a string, not {type(caption).__name__}.")
    found = re.findall(r"[^\W_]+|,", caption.lower().replace("’", "'").replace("'s ", " ").replace("'", ""))
    return [NUMBERS[int(w)] if w.isdecimal() and int(w) < len(NUMBERS) else w for w in found]


def check_words(tokens: Sequence[str], vocabulary: Iterable[str], world: str = "this world") -> None:
    """Raise `UnknownWord` for the first token that is not in the vocabulary (commas are always known)."""
    known = vocabulary if isinstance(vocabulary, (set, frozenset, dict)) else set(vocabulary)
    for token in tokens:
        if token != "," and token not in known:
            raise UnknownWord(token, known, world)


def join(parts: Sequence[str], last: str = "and") -> str:
    """'a', 'a and b', 'a, b, and c'."""
    parts = list(parts)
    if len(parts) < 3:
        return f" {last} ".join(parts)
    return ", ".join(parts[:-1]) + f", {last} {parts[-1]}"


def a_or_an(noun_phrase: str) -> str:
    """'an orange flower', 'a red flower' (by the sound that the letters usually have)."""
    article = "an" if re.match(r"(?!uni|use|one|eu)[aeiou]", noun_phrase.lower()) else "a"
    return f"{article} {noun_phrase}"


def pick(rng, options: Sequence):
    """One of the options, each as likely as the other (`rng.choice` would turn tuples into arrays, and is slower)."""
    return options[int(rng.integers(len(options)))]
