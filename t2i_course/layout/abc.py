"""The 2008 follow-up: "Easy as ABC? Facilitating Pictorial Communication via Semantically Enhanced Layout"
(Goldberg, Zhu, Dyer, Eldawy, Heng; CoNLL 2008).

A sentence becomes three groups from left to right, joined by arrows:

    A  who      ->      B  does what      ->      C  to whom, with what, where

Every phrase gets a label, A, B, C or O (no picture), from a linear-chain conditional random field. The paper's features
came from a semantic role labeller and a parser; ours are the plain ones of `features`, and the model is trained on the
sentences of data/layout/ (`fit.py` reports how well it does on held-out ones). What the labels mean, and where they
stand, is reconstructed.
"""

from functools import cache

from ..paths import DATA
from .chain import LinearChain
from .clauses import Phrase, phrases
from .tagging import Word, word_lists

LABELS = "ABCO"


def features(words: list[Word], found: list[Phrase]) -> list[list[str]]:
    """What the tagger sees at each phrase of one sentence."""
    verbs = [i for i, phrase in enumerate(found) if phrase.kind == "verb"]
    rows = []
    for i, phrase in enumerate(found):
        before, after = (found[i - 1] if i else None), (found[i + 1] if i + 1 < len(found) else None)
        seen_verbs = sum(v < i for v in verbs)
        last_verb = next((found[v] for v in reversed(verbs) if v < i), None)
        next_verb = next((found[v] for v in verbs if v > i), None)
        since = before.end if before else 0
        between = [w.lower for w in words[since : phrase.start] if w.sentence == words[phrase.head].sentence]
        head = words[phrase.head].lemma
        row = [
            f"kind={phrase.kind}",
            f"kind={phrase.kind} verbs before={min(seen_verbs, 2)}",
            f"kind={phrase.kind} preposition={phrase.preposition}",
            f"before={before.kind if before else '-'} kind={phrase.kind}",
            f"after={after.kind if after else '-'} kind={phrase.kind}",
        ]
        row += [f"joined kind={phrase.kind} after={after.kind if after else '-'}"] * (
            "and" in between or "," in between
        )
        if last_verb:
            row.append(f"after passive={last_verb.passive} preposition={phrase.preposition}")
        if next_verb:
            row.append(f"before passive={next_verb.passive} preposition={bool(phrase.preposition)}")
        row += ["time"] * (head in word_lists()["time"])
        row += [f"verb={head}"] * (phrase.kind == "verb")
        rows.append(row)
    return rows


@cache
def tagger() -> LinearChain:
    """The trained labeller (data/layout/abc.json)."""
    return LinearChain.load(DATA / "layout" / "abc.json")


def label(words: list[Word], found: list[Phrase] | None = None) -> list[tuple[Phrase, str]]:
    """The phrases of a tagged text (those `found`, if given) with their labels, sentence by sentence.

    >>> from t2i_course.layout.tagging import tag_text
    >>> words = tag_text("The girl rides the bus to school in the morning.")
    >>> [(words[phrase.head].lemma, letter) for phrase, letter in label(words) if letter != "O"][:4]
    [('girl', 'A'), ('ride', 'B'), ('bus', 'C'), ('school', 'C')]
    """
    found = phrases(words) if found is None else found
    result = []
    for number in sorted({w.sentence for w in words}):
        own = [phrase for phrase in found if words[phrase.head].sentence == number]
        result += list(zip(own, tagger().tag(features(words, own)), strict=True))
    return result
