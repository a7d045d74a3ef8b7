"""Fits and measures what the 2007 system has learnt: `python -m t2i_course.layout.fit` (under a minute).

Three small models are trained on the annotated sentences of data/layout/sentences.jsonl and stored beside them: the
word tagger, the picturability regression, and the ABC labeller. The held-out sentences are used for the report alone.
"""

import json
import sys
from collections import Counter
from functools import cache

import numpy as np

from ..paths import DATA, write_atomically
from . import abc, chain, keyphrases, picturability, tagging
from .clauses import phrases
from .pictures import PictureLibrary
from .tagging import Word

FOLDER = DATA / "layout"


@cache
def annotated(split: str) -> list[dict]:
    """The annotated sentences of a split, "train" or "held-out".

    Each has its `text`, `register` and `story` (sentences of one text share it); one letter per token for `pos` (noun
    N, verb V, adjective A, other O) and `roles` (A who, B does what, C to whom or where, O none); the words that can be
    drawn (`picturable`) and those that an illustrator of the sentence would draw (`keyphrases`).
    """
    lines = (FOLDER / "sentences.jsonl").read_text(encoding="utf-8").splitlines()
    return [entry for entry in map(json.loads, lines) if entry["split"] == split]


def gold_words(entry: dict, sentence: int = 0) -> list[Word]:
    """The words of an annotated sentence with their annotated tags."""
    tokens = [token for part in tagging.sentences(entry["text"]) for token in part]
    return [tagging.as_word(token, tag, sentence) for token, tag in zip(tokens, entry["pos"], strict=True)]


def stories(split: str) -> list[tuple[str, set[str]]]:
    """Texts of a split, each with the base forms of all its key words."""
    texts: dict[int, list[dict]] = {}
    for entry in annotated(split):
        texts.setdefault(entry["story"], []).append(entry)
    return [(" ".join(e["text"] for e in group), set().union(*map(key_words, group))) for group in texts.values()]


def key_words(entry: dict) -> set[str]:
    """Base forms of the words in the annotated keyphrases of a sentence."""
    marked = {word for phrase in entry["keyphrases"] for word in phrase.split()}
    return {word.lemma for word in gold_words(entry) if word.text in marked}


# ---- the three models ----------------------------------------------------------------------------------------------


def fit_tagger() -> chain.LinearChain:
    gold = [(gold_words(entry), entry["pos"]) for entry in annotated("train")]
    return chain.train(
        [tagging.features([w.text for w in words]) for words, _ in gold], [pos for _, pos in gold], "NVAO."
    )


def fit_picturability(library: PictureLibrary) -> picturability.Picturability:
    inputs, targets = _picturability_data("train", library)
    return picturability.Picturability.fit(inputs, targets)


def fit_abc() -> chain.LinearChain:
    rows, labels = zip(*(_abc_data(entry) for entry in annotated("train")), strict=True)
    return chain.train(list(rows), list(labels), abc.LABELS, decay=1.0)


def _picturability_data(split: str, library: PictureLibrary) -> tuple[np.ndarray, np.ndarray]:
    """Features and 0/1 labels of every noun, verb and adjective of a split."""
    inputs, targets = [], []
    for entry in annotated(split):
        words = gold_words(entry)
        content = [word.tag in "NVA" for word in words]
        inputs.append(picturability.features(words, library)[content])
        targets += [word.text in entry["picturable"] for word, keep in zip(words, content, strict=True) if keep]
    return np.concatenate(inputs), np.array(targets, float)


def _abc_data(entry: dict) -> tuple[list[list[str]], str]:
    """Features and labels of the phrases of one sentence, with its annotated tags."""
    words = gold_words(entry)
    found = phrases(words)
    return abc.features(words, found), "".join(entry["roles"][phrase.head] for phrase in found)


# ---- the numbers ---------------------------------------------------------------------------------------------------


def keyphrase_scores(split: str = "held-out", damping: float = keyphrases.DAMPING) -> dict[str, dict[str, float]]:
    """Precision, recall and F1 of key words: ours, ours without a walk, plain TextRank, and word frequency.

    All keep the same number of words of each text, and are compared with the annotated ones by base form. The walk of
    TextRank (uniform restart) has the same damping as ours.
    """
    library = PictureLibrary.default()
    hits: Counter[str] = Counter()
    kept_total = gold_total = 0
    for text, gold in stories(split):
        words = tagging.tag_text(text)
        ours, graph, drawable = keyphrases.rank(words, library, damping=damping)
        keep = keyphrases.how_many(len(ours))
        plain = dict(zip(drawable, keyphrases.pagerank(graph, np.ones(len(graph)), damping), strict=True))
        chosen = {
            "picturability alone (d = 0)": sorted(drawable, key=drawable.get, reverse=True)[:keep],
            "picturability restart": sorted(ours, key=ours.get, reverse=True)[:keep],
            "uniform restart": sorted(plain, key=plain.get, reverse=True)[:keep],
            "frequency": keyphrases.most_frequent(words, keep),
        }
        hits.update({name: len(gold & set(lemmas)) for name, lemmas in chosen.items()})
        kept_total, gold_total = kept_total + keep, gold_total + len(gold)
    return {name: _precision_recall(n, kept_total, gold_total) for name, n in hits.items()}


def accuracies() -> dict[str, float]:
    """Share of held-out decisions that are right: word tags, picturable or not, ABC labels; each with its baseline."""
    library = PictureLibrary.default()
    held_out = annotated("held-out")
    gold = "".join(entry["pos"] for entry in held_out)
    tagged = "".join(tagging.tagger().tag(tagging.features([w.text for w in gold_words(e)])) for e in held_out)
    inputs, targets = _picturability_data("held-out", library)
    model = picturability.Picturability.default()
    drawable = inputs @ np.array(model.weights) + model.bias > 0
    labelled = [_abc_data(entry) for entry in held_out]
    roles = "".join(labels for _, labels in labelled)
    guessed = "".join(abc.tagger().tag(rows) for rows, _ in labelled)
    return {
        "word tags": _share(gold, tagged),
        "picturable": float((drawable == targets).mean()),
        "picturable, always the commoner answer": float(max(targets.mean(), 1 - targets.mean())),
        "ABC labels": _share(roles, guessed),
        "ABC labels, always C": roles.count("C") / len(roles),
    }


def _share(gold: str, found: str) -> float:
    return sum(a == b for a, b in zip(gold, found, strict=True)) / len(gold)


def _precision_recall(hits: int, kept: int, gold: int) -> dict[str, float]:
    precision, recall = hits / kept, hits / gold
    return {"precision": precision, "recall": recall, "F1": 2 * precision * recall / (precision + recall)}


def main() -> None:
    def store(name: str, content: dict) -> None:
        text = json.dumps(content, ensure_ascii=False, indent=None if "transitions" in content else 1)
        write_atomically(FOLDER / name, (text + "\n").encode())

    store("tagger.json", fit_tagger().as_dict())
    store("abc.json", fit_abc().as_dict())
    model = fit_picturability(PictureLibrary.default())
    store(
        "picturability.json",
        {"weights": dict(zip(picturability.FEATURES, model.weights, strict=True)), "bias": model.bias},
    )
    for cached in (tagging.tagger, abc.tagger, picturability.Picturability.default):
        cached.cache_clear()
    for name, scores in keyphrase_scores().items():
        print(f"key words, {name:28}", "  ".join(f"{key} {value:.3f}" for key, value in scores.items()))
    for name, accuracy in accuracies().items():
        print(f"{name:40} {accuracy:.3f}")


if __name__ == "__main__":
    sys.exit(main())
