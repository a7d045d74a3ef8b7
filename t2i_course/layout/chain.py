"""A linear-chain conditional random field: labels for the words (or phrases) of a sentence.

    p(y | x) = exp( sum_t  W[y_t] . f(x, t)  +  T[y_(t-1), y_t] ) / Z(x)                    (Lafferty et al., 2001)

The 2008 "ABC" paper tags the phrases of a sentence with it. Here it also tags words as noun, verb, adjective or other.
Features f(x, t) are sets of strings; a feature that never occurred in training weighs nothing.

Shapes: S sentences, T positions, L labels, F features.
"""

import json
from pathlib import Path

import numpy as np

Features = list[list[str]]  # one list of feature strings per position of one sentence


class LinearChain:
    """Labels, transition scores (L + 1, L) whose last row starts a sentence, and one row of L weights per feature."""

    def __init__(self, labels: str, transitions, weights: dict[str, list[float]]):
        self.labels = labels
        self.transitions = np.asarray(transitions, float)
        self.weights = {name: np.asarray(row, float) for name, row in weights.items()}

    def tag(self, features: Features) -> str:
        """The most probable labels of one sentence (Viterbi), one letter per position."""
        if not features:
            return ""
        nothing = np.zeros(len(self.labels))
        emissions = [sum((self.weights.get(f, nothing) for f in names), nothing) for names in features]
        best, back = emissions[0] + self.transitions[-1], []
        for emission in emissions[1:]:
            scores = best[:, None] + self.transitions[:-1]  # (L, L): from, to
            back.append(scores.argmax(0))
            best = scores.max(0) + emission
        path = [int(best.argmax())]
        for pointers in reversed(back):
            path.append(int(pointers[path[-1]]))
        return "".join(self.labels[label] for label in reversed(path))

    def as_dict(self, digits: int = 2) -> dict:
        """Plain data for JSON; rows that round to nothing are left out."""
        rows = {name: [round(float(w), digits) for w in row] for name, row in sorted(self.weights.items())}
        return {
            "labels": self.labels,
            "transitions": self.transitions.round(digits).tolist(),
            "weights": {name: row for name, row in rows.items() if any(row)},
        }

    @classmethod
    def load(cls, path: str | Path) -> "LinearChain":
        return cls(**json.loads(Path(path).read_text(encoding="utf-8")))


def train(sentences: list[Features], tags: list[str], labels: str, decay: float = 0.3) -> LinearChain:
    """Fit a chain by maximum likelihood with an L2 penalty: exact gradients by forward-backward, steps by L-BFGS."""
    from scipy.optimize import minimize
    from scipy.sparse import csr_matrix

    names = sorted({f for sentence in sentences for position in sentence for f in position})
    column = {name: i for i, name in enumerate(names)}
    positions = [position for sentence in sentences for position in sentence]
    rows = np.repeat(np.arange(len(positions)), [len(p) for p in positions])
    columns = [column[f] for p in positions for f in p]
    inputs = csr_matrix((np.ones(len(rows)), (rows, columns)), shape=(len(positions), len(names)))

    lengths = np.array([len(s) for s in sentences])
    real = np.arange(lengths.max()) < lengths[:, None]  # (S, T): False where a short sentence is padded
    gold = np.zeros((*real.shape, len(labels)))
    gold[real] = np.eye(len(labels))[[labels.index(tag) for tag in "".join(tags)]]

    def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        transitions, weights = _unpack(parameters, len(labels))
        emissions = np.zeros_like(gold)
        emissions[real] = inputs @ weights
        log_z, marginals, pairs = forward_backward(emissions, transitions, real)
        gold_pairs = np.einsum("sti,stj->ij", gold[:, :-1], gold[:, 1:])
        gold_score = (gold * emissions).sum() + (gold_pairs * transitions[:-1]).sum()
        gold_score += (gold[:, 0] @ transitions[-1]).sum()
        gradient_t = np.vstack([pairs - gold_pairs, (marginals[:, 0] - gold[:, 0]).sum(0)])
        gradient_w = inputs.T @ (marginals - gold)[real]
        gradient = np.concatenate([gradient_t.ravel(), gradient_w.ravel()]) + decay * parameters
        return log_z.sum() - gold_score + decay / 2 * (parameters**2).sum(), gradient

    start = np.zeros((len(labels) + 1 + len(names)) * len(labels))
    transitions, weights = _unpack(minimize(loss, start, jac=True, method="L-BFGS-B").x, len(labels))
    return LinearChain(labels, transitions, dict(zip(names, weights, strict=True)))


def forward_backward(emissions: np.ndarray, transitions: np.ndarray, real: np.ndarray):
    """Log-partition (S,), label probabilities (S, T, L) and expected label pairs (L, L) of a padded batch."""
    forward, backward = np.zeros_like(emissions), np.zeros_like(emissions)
    forward[:, 0] = transitions[-1] + emissions[:, 0]
    steps = range(1, emissions.shape[1])
    for t in steps:
        step = _logsumexp(forward[:, t - 1, :, None] + transitions[:-1], axis=1) + emissions[:, t]
        forward[:, t] = np.where(real[:, t, None], step, forward[:, t - 1])
    for t in reversed(steps):
        ahead = transitions[:-1] + (emissions[:, t] + backward[:, t])[:, None]
        backward[:, t - 1] = np.where(real[:, t, None], _logsumexp(ahead, axis=2), 0)
    log_z = _logsumexp(forward[:, -1], axis=1)
    marginals = np.exp(forward + backward - log_z[:, None, None]) * real[..., None]
    joint = forward[:, :-1, :, None] + transitions[:-1] + (emissions + backward)[:, 1:, None, :]
    pairs = (np.exp(joint - log_z[:, None, None, None]) * real[:, 1:, None, None]).sum((0, 1))
    return log_z, marginals, pairs


def _unpack(parameters: np.ndarray, n_labels: int) -> tuple[np.ndarray, np.ndarray]:
    table = parameters.reshape(-1, n_labels)
    return table[: n_labels + 1], table[n_labels + 1 :]


def _logsumexp(scores: np.ndarray, axis: int) -> np.ndarray:
    top = scores.max(axis, keepdims=True)
    return np.squeeze(top, axis) + np.log(np.exp(scores - top).sum(axis))
