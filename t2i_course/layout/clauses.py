"""Who does what to whom: noun and verb phrases of a tagged text, and the links between them.

The 2008 paper used a parser; these are rules over tags. They know subjects, objects, "to" and "from", passives with
"by", two objects ("gives the goat hay"), verbs that share a subject ("sat and watched"), groups ("a herd of
elephants"), and two rules for pronouns: a subject pronoun stands for the subject of the clause before it, an object
pronoun for the last object.
"""

from dataclasses import dataclass, replace

from .pictures import PictureLibrary
from .tagging import Word, closed_class, pictogram_words, word_lists

BE = frozenset(("is", "are", "was", "were", "be", "been", "being"))


@dataclass(frozen=True, slots=True)
class Phrase:
    """A noun phrase, verb or pronoun: words[start:end], whose head is words[head]."""

    kind: str  # "noun", "verb" or "pronoun"
    start: int
    end: int
    head: int
    preposition: str = ""  # "to" in "to the goat"
    passive: bool = False
    number: int = 1  # how many to draw: 3 for a herd


@dataclass(frozen=True, slots=True)
class Link:
    """Two phrases (by index) that the text links: by a verb, or by a preposition after it."""

    source: int
    target: int
    verb: int | None = None  # index of the verb phrase
    preposition: str = ""


def phrases(words: list[Word], library: PictureLibrary | None = None) -> list[Phrase]:
    """Noun phrases, verbs and pronouns in the order of the text.

    The library (by default the course's pictograms) tells "gives the goat hay" from "buys a fire truck".
    """
    library = PictureLibrary.default() if library is None else library
    found: list[Phrase] = []
    i = 0
    while i < len(words):
        if words[i].lower in word_lists()["pronouns"] and words[i].tag != "V":
            found.append(Phrase("pronoun", i, i + 1, i, _preposition_before(words, i)))
        elif words[i].tag == "V":
            found.append(Phrase("verb", i, i + 1, i, passive=_is_passive(words, i)))
        elif end := _noun_phrase_end(words, i):
            end = _receiver_end(words, i, end, library)
            phrase = Phrase("noun", i, end, end - 1, _preposition_before(words, i), number=_number(words, i, end))
            found.append(phrase)
            i = end
            continue
        i += 1
    return _merge_partitives(words, found)


def _noun_phrase_end(words: list[Word], start: int) -> int | None:
    """One past the last noun of the noun phrase that starts here (adjectives, numbers, nouns), or None."""
    end, last = start, None
    while end < len(words) and words[end].sentence == words[start].sentence:
        word = words[end]
        if word.tag == "N":
            last = end + 1
        elif last or not (word.tag == "A" or closed_class(word.lower) in ("numbers", "determiners")):
            break
        end += 1
    return last


def _receiver_end(words: list[Word], start: int, end: int, library: PictureLibrary) -> int:
    """After a verb of giving, one past "goat" in "the goat hay": a living being, then a thing. Otherwise `end`."""
    nouns = [i for i in range(start, end) if words[i].tag == "N"]
    if not start or not _gives(words[start - 1]) or [w.lower for w in words[end : end + 1]] == ["to"]:
        return end

    def has_picture(first: int, last: int) -> bool:
        return " ".join([*(w.lower for w in words[first:last]), words[last].lemma]) in library

    if has_picture(nouns[0], nouns[-1]) or not has_picture(nouns[-1], nouns[-1]):
        return end
    receivers = [i for i in nouns[:-1] if words[i].lemma in pictogram_words()["alive"] and has_picture(nouns[0], i)]
    return receivers[-1] + 1 if receivers else end


def _gives(word: Word) -> bool:
    return word.tag == "V" and word.lemma in word_lists()["giving"]


def _number(words: list[Word], start: int, end: int) -> int:
    values = {"two": 2, "both": 2, "three": 3, "four": 4, "many": 4, "several": 3, "some": 3, "hundred": 4}
    named = [values[w.lower] for w in words[start:end] if w.lower in values]
    if named:
        return named[0]
    if any(closed_class(w.lower) == "numbers" and w.lower != "one" for w in words[start:end]):
        return 4  # more than four are drawn as four
    head = words[end - 1]
    return 3 if head.tag == "N" and head.lower != head.lemma else 1


def _preposition_before(words: list[Word], start: int) -> str:
    """The preposition that governs the phrase, looking through "the", "of the" and "left of"."""
    i = start - 1
    while i >= 0 and words[i].sentence == words[start].sentence and closed_class(words[i].lower) == "determiners":
        i -= 1
    governs = i >= 0 and words[i].sentence == words[start].sentence and closed_class(words[i].lower) == "prepositions"
    return words[i].lower if governs else ""


def _is_passive(words: list[Word], i: int) -> bool:
    before = [w.lower for w in words[max(0, i - 3) : i] if w.sentence == words[i].sentence]
    return bool(BE & set(before)) and words[i].lower != words[i].lemma and not words[i].lower.endswith("ing")


def _merge_partitives(words: list[Word], found: list[Phrase]) -> list[Phrase]:
    """ "a herd" + "of elephants" -> one phrase about elephants, of which there are several."""
    merged: list[Phrase] = []
    for phrase in found:
        before = merged[-1] if merged else None
        same = before and words[before.head].sentence == words[phrase.head].sentence
        if same and before.kind == "noun" and words[before.end].lower == "of":
            measure = words[before.head].lemma
            if measure in word_lists()["partitives"]:
                several = 4 if measure in word_lists()["crowds"] else before.number
                merged[-1] = replace(phrase, start=before.start, preposition=before.preposition, number=several)
                continue
        merged.append(phrase)
    return merged


def links(words: list[Word], found: list[Phrase]) -> list[Link]:
    """Links between noun phrases, in the order of the text; pronouns are resolved to noun phrases."""
    result: list[Link] = []
    subject = last_object = None  # noun phrases that pronouns may stand for
    previous_verb: int | None = None
    for v, verb in enumerate(found):
        if verb.kind != "verb":
            continue
        after = _arguments_after(words, found, v)
        before = _subject_before(words, found, v, previous_verb)
        shares_subject = previous_verb is not None and _joined(words, found[previous_verb].end, verb.start)
        if (before is None and shares_subject) or (before is not None and found[before].kind == "pronoun"):
            before = subject
        objects = [i for i in after if not found[i].preposition]
        others = [i for i in after if found[i].preposition]
        receiver = None
        if _has_receiver(words, found, v, objects):
            receiver, *objects = objects  # "gives the goat hay": hay to the goat
            receiver = last_object if found[receiver].kind == "pronoun" else receiver
        objects = [last_object if found[i].kind == "pronoun" else i for i in objects]
        objects = [i for i in objects if i is not None]
        others = [i for i in others if found[i].kind == "noun"]
        if verb.passive:
            agents = [i for i in others if found[i].preposition == "by"]
            others = [i for i in others if i not in agents]
            objects, before = [before] * (before is not None) + objects, agents[0] if agents else None
        targets = objects or [i for i in others[:1] if before is not None]
        if before is not None:
            result += [Link(before, i, v, found[i].preposition) for i in targets if i != before]
        for i in others:
            if objects and i not in targets and i != objects[-1]:
                source, target = (i, objects[-1]) if found[i].preposition == "from" else (objects[-1], i)
                result.append(Link(source, target, None, found[i].preposition))
        if receiver is not None and objects and receiver != objects[-1]:
            result.append(Link(objects[-1], receiver, None, "to"))
        subject = before if before is not None else subject
        last_object = objects[-1] if objects else last_object
        previous_verb = v
    return result


def _subject_before(words: list[Word], found: list[Phrase], v: int, previous_verb: int | None) -> int | None:
    """The nearest noun phrase or pronoun before a verb that no preposition governs; not across another verb's object
    unless a conjunction or comma parts them."""
    for i in range(v - 1, -1, -1):
        phrase = found[i]
        if words[phrase.head].sentence != words[found[v].head].sentence:
            return None
        if phrase.kind == "verb":
            if previous_verb == i and not _joined(words, phrase.end, found[v].start):
                continue
            return None
        if not phrase.preposition:
            crosses_verb = any(found[k].kind == "verb" for k in range(i))
            same = crosses_verb and words[found[v].head - 1].lower in ("and", "or", "then")
            return None if same else i
    return None


def _has_receiver(words: list[Word], found: list[Phrase], v: int, objects: list[int]) -> bool:
    """Whether the first of a verb's objects receives the second: "gives the goat hay", not "sells hay and milk"."""
    if len(objects) < 2 or not _gives(words[found[v].head]):
        return False
    return not _joined(words, found[objects[0]].end, found[objects[1]].start)


def _joined(words: list[Word], start: int, end: int) -> bool:
    return any(w.lower in ("and", "or", "then", ",") for w in words[start:end])


def _arguments_after(words: list[Word], found: list[Phrase], v: int) -> list[int]:
    """Noun phrases and pronouns after a verb, up to the next verb; the next verb's own subject is not among them."""
    after: list[int] = []
    for i in range(v + 1, len(found)):
        phrase = found[i]
        if words[phrase.head].sentence != words[found[v].head].sentence:
            break
        if phrase.kind == "verb":
            opens_clause = after and _joined(words, found[after[-1]].start - 2, found[after[-1]].start)
            # "eats the hay and the cow sleeps": the cow belongs to the second verb
            if len(after) > 1 and opens_clause and words[phrase.head - 1].lower not in ("and", "or"):
                after.pop()
            break
        after.append(i)
    return after
