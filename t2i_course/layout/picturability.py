"""Step 1a of the 2007 system: how likely a word can be drawn.

The paper asked a search engine. Reconstructed: of 253 features made from hit counts one survived, the (natural)
logarithm of image hits over page hits,

    p(picturable | x) = 1 / (1 + exp(-(2.78 x + 15.40))),   x = ln((image hits + 1e-9) / (page hits + 1e-9)).

Nobody can count hits like that any more, so `Picturability` is the same logistic regression on features that need no
network; `FEATURES` lists them. Its weights are fitted on sentences annotated for this course (`fit.py`).
"""

import json
import math
from dataclasses import dataclass
from functools import cache

import numpy as np

from ..paths import DATA
from .pictures import PictureLibrary
from .tagging import Word, closed_class, word_lists

ABSTRACT_ENDINGS = ("tion", "sion", "ness", "ity", "ment", "ance", "ence", "ism", "ship", "hood", "dom", "cy", "age")
PERSON_ENDINGS = ("er", "or", "ist", "man", "woman", "ess")
PLACES = frozenset(("in", "on", "under", "over", "behind", "beside", "near", "into", "above", "through", "across"))


def from_hit_counts(image_hits: float, page_hits: float) -> float:
    """The formula of 2007, reconstructed (its hit counts: banana 356,000 and 49,400,000; Bayesian 17,400 and
    10,400,000)."""
    x = math.log((image_hits + 1e-9) / (page_hits + 1e-9))
    return 1 / (1 + math.exp(-(2.78 * x + 15.40)))


FEATURES = {
    "a noun": lambda w, before, library: w.tag == "N",
    "an adjective": lambda w, before, library: w.tag == "A",
    "a noun with a picture in the library": lambda w, before, library: w.tag == "N" and w.lemma in library,
    "a verb with a picture in the library": lambda w, before, library: w.tag == "V" and library.has_action(w.lemma),
    "on the list of visible things": lambda w, before, library: w.tag == "N" and w.lemma in word_lists()["concrete"],
    "on the list of ideas": lambda w, before, library: w.tag == "N" and w.lemma in word_lists()["abstract"],
    "on the list of visible actions": lambda w, before, library: w.tag == "V" and w.lemma in word_lists()["actions"],
    "a colour": lambda w, before, library: w.lower in word_lists()["colours"],
    "a time": lambda w, before, library: w.lemma in word_lists()["time"],
    "abstract ending (-tion, -ness ...)": lambda w, before, library: (
        w.tag == "N" and w.lemma.endswith(ABSTRACT_ENDINGS)
    ),
    "person ending (-er, -ist ...)": lambda w, before, library: w.tag == "N" and w.lemma.endswith(PERSON_ENDINGS),
    "plural": lambda w, before, library: w.tag == "N" and w.lower != w.lemma,
    "a name (capital)": lambda w, before, library: w.tag == "N" and w.text[0].isupper(),
    "after a or an": lambda w, before, library: before in ("a", "an"),
    "after a number": lambda w, before, library: closed_class(before) == "numbers",
    "after a place word (in, on, under ...)": lambda w, before, library: before in PLACES,
    "letters / 10": lambda w, before, library: len(w.lemma) / 10,
}


def features(words: list[Word], library: PictureLibrary) -> np.ndarray:
    """(N, F) features of a tagged text. A determiner is looked through: in "on the table", "table" is after "on"."""
    rows = []
    for i, word in enumerate(words):
        before = [w.lower for w in words[max(0, i - 2) : i] if w.sentence == word.sentence]
        if len(before) == 2 and before[-1] in ("the", "his", "her", "its", "my", "your", "our", "their"):
            before.pop()
        rows.append([float(test(word, before[-1] if before else "", library)) for test in FEATURES.values()])
    return np.array(rows).reshape(-1, len(FEATURES))


@dataclass(frozen=True)
class Picturability:
    """Logistic regression p(picturable | features) = sigmoid(features @ weights + bias)."""

    weights: tuple[float, ...]
    bias: float

    def __call__(self, words: list[Word], library: PictureLibrary) -> np.ndarray:
        """(N,) probabilities; words that are not nouns, verbs or adjectives get 0."""
        logits = features(words, library) @ np.array(self.weights) + self.bias
        return np.where([w.tag in "NVA" for w in words], 1 / (1 + np.exp(-logits)), 0.0)

    @classmethod
    def fit(cls, inputs: np.ndarray, targets: np.ndarray, decay: float = 1.0) -> "Picturability":
        """Newton's method on the penalised log-likelihood; inputs (N, F), targets (N,) of 0 and 1."""
        inputs = np.column_stack([inputs, np.ones(len(inputs))])
        penalty = decay * np.diag([1.0] * (inputs.shape[1] - 1) + [0.0])
        w = np.zeros(inputs.shape[1])
        for _ in range(15):
            p = 1 / (1 + np.exp(-inputs @ w))
            hessian = inputs.T @ (inputs * (p * (1 - p))[:, None]) + penalty
            w += np.linalg.solve(hessian, inputs.T @ (targets - p) - penalty @ w)
        return cls(tuple(w[:-1].round(3).tolist()), round(float(w[-1]), 3))

    @classmethod
    @cache
    def default(cls) -> "Picturability":
        """The fitted weights, data/layout/picturability.json."""
        stored = json.loads((DATA / "layout" / "picturability.json").read_text(encoding="utf-8"))
        return cls(tuple(stored["weights"][name] for name in FEATURES), stored["bias"])
