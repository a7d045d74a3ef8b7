"""Step 1 of the 2007 system: which words of a text to draw.

Words are the nodes of a graph; those that stand near each other are linked (TextRank). A walker follows links with
probability `damping` and otherwise jumps to a word in proportion to its picturability, so the share of time it spends
at a word,

    r = (1 - d) v + d P^T r,      v = picturability / sum,

is high for words that are both central to the text and drawable. The best words are kept, more of them in a longer
text, and neighbours merge into phrases ("fire" + "truck"); adjectives come with their noun ("blue" + "sky").

Reconstructed: the paper's nodes are nouns, proper nouns and adjectives; ours are nouns and verbs, because verbs become
arrows. Window, damping and the number kept are ours too.

On texts as short as those of data/layout/ the walk hardly changes the choice: picturability alone (d = 0) finds the key
words as well (`fit.keyphrase_scores`).
"""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from .picturability import Picturability
from .pictures import PictureLibrary
from .tagging import Word

NODES = "NV"  # tags of the words that are ranked
WINDOW = 2  # nouns and verbs that many places apart (or less) are linked
DAMPING = 0.3  # on the training sentences the scores hardly differ from 0 to 0.3, and fall towards the web's 0.85


@dataclass(frozen=True, slots=True)
class Keyphrase:
    """A phrase to draw: base form, where its words are in the text, and its importance (PageRank of its best word)."""

    text: str
    pos: str  # "noun" or "verb"
    places: tuple[tuple[int, int], ...]  # (first word, last word + 1) of every mention
    importance: float


def rank(
    words: list[Word], library: PictureLibrary, *, picturability: Picturability | None = None, damping: float = DAMPING
) -> tuple[dict[str, float], np.ndarray, dict[str, float]]:
    """(PageRank of every base form, the word graph (N, N), picturability of every base form).

    A word that occurs several times counts as drawable as its most drawable occurrence.
    """
    drawable: dict[str, float] = {}
    for word, p in zip(words, (picturability or Picturability.default())(words, library), strict=True):
        if word.tag in NODES:
            drawable[word.lemma] = max(drawable.get(word.lemma, 0.0), float(p))
    graph = cooccurrence([w for w in words if w.tag in NODES], list(drawable))
    scores = pagerank(graph, np.array(list(drawable.values())), damping)
    return dict(zip(drawable, scores.tolist(), strict=True)), graph, drawable


def cooccurrence(words: list[Word], nodes: list[str], window: int = WINDOW) -> np.ndarray:
    """Symmetric (N, N) counts of how often two base forms stand within `window` such words in one sentence."""
    index = {node: i for i, node in enumerate(nodes)}
    graph = np.zeros((len(nodes), len(nodes)))
    for i, word in enumerate(words):
        for other in words[i + 1 : i + 1 + window]:
            if other.sentence == word.sentence and other.lemma != word.lemma:
                graph[index[word.lemma], index[other.lemma]] += 1
                graph[index[other.lemma], index[word.lemma]] += 1
    return graph


def pagerank(graph: np.ndarray, restart: np.ndarray, damping: float = DAMPING, tolerance: float = 1e-12) -> np.ndarray:
    """Stationary probabilities (N,) of a walk on `graph` (N, N) that restarts in proportion to `restart` (N,).

    From a node without links the walk always restarts.
    """
    if not len(graph):
        return np.zeros(0)
    restart = restart / restart.sum() if restart.sum() else np.full(len(graph), 1 / len(graph))
    degree = graph.sum(1, keepdims=True)
    step = np.where(degree > 0, graph / np.where(degree > 0, degree, 1), restart)
    scores = restart
    while True:
        moved = (1 - damping) * restart + damping * step.T @ scores
        if np.abs(moved - scores).sum() < tolerance:
            return moved
        scores = moved


def how_many(n_words: int) -> int:
    """How many words to keep of a text of `n_words` different nouns and verbs: 6 of 7, 10 of 15, 27 of 50."""
    return min(n_words, round(1.2 * n_words**0.8))


def select(words: list[Word], scores: dict[str, float], keep: int, starts: Collection[int] = ()) -> list[Keyphrase]:
    """The `keep` best words, neighbours merged into phrases, the most important phrase first.

    A phrase is a run of chosen nouns in the text, with the adjectives before it, or one chosen verb. No run goes on
    across one of the `starts` (places of words).
    """
    kept = set(sorted(scores, key=lambda lemma: (-scores[lemma], lemma))[:keep])
    found: dict[tuple[str, str], list[tuple[int, int]]] = {}
    i = 0
    while i < len(words):
        chosen = words[i].lemma in kept
        if chosen and words[i].tag == "V":
            found.setdefault((words[i].lemma, "verb"), []).append((i, i + 1))
        if not (chosen and words[i].tag == "N"):
            i += 1
            continue
        start, end = i, i + 1
        while start and words[start - 1].tag == "A" and words[start - 1].sentence == words[i].sentence:
            start -= 1
        while end < len(words) and words[end].tag == "N" and words[end].lemma in kept:
            if end in starts or words[end].sentence != words[i].sentence:
                break
            end += 1
        text = " ".join([*(w.lower for w in words[start : end - 1]), words[end - 1].lemma])
        found.setdefault((text, "noun"), []).append((start, end))
        i = end
    phrases = [
        Keyphrase(text, pos, tuple(places), max(scores.get(w.lemma, 0.0) for w in words[slice(*places[0])]))
        for (text, pos), places in found.items()
    ]
    return sorted(phrases, key=lambda phrase: -phrase.importance)


def most_frequent(words: list[Word], keep: int) -> list[str]:
    """The baseline: the `keep` most frequent nouns and verbs, the earlier ones first among equals."""
    return [lemma for lemma, _ in Counter(w.lemma for w in words if w.tag in NODES).most_common(keep)]
