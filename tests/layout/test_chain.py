"""The linear chain behind the tagger and the ABC labels, against enumeration."""

import itertools

import numpy as np
import pytest

from t2i_course.layout.chain import LinearChain, forward_backward, train


@pytest.fixture
def scores():
    rng = np.random.default_rng(0)
    return rng.normal(size=(4, 3)), rng.normal(size=(4, 3))  # emissions (T, L), transitions (L + 1, L)


def score(path, emissions, transitions):
    pairs = sum(transitions[a, b] for a, b in itertools.pairwise(path))
    return transitions[-1, path[0]] + pairs + sum(emissions[t, label] for t, label in enumerate(path))


def test_forward_backward_equals_enumeration(scores):
    emissions, transitions = scores
    paths = list(itertools.product(range(3), repeat=4))
    weights = np.exp([score(path, emissions, transitions) for path in paths])
    padded = np.concatenate([emissions, np.full((2, 3), 7.0)])[None]  # padding must not matter
    real = np.array([[True] * 4 + [False] * 2])
    log_z, marginals, pairs = forward_backward(padded, transitions, real)
    assert log_z[0] == pytest.approx(np.log(weights.sum()))
    for t, label in itertools.product(range(4), range(3)):
        share = sum(w for w, path in zip(weights, paths, strict=True) if path[t] == label) / weights.sum()
        assert marginals[0, t, label] == pytest.approx(share)
    assert not marginals[0, 4:].any()
    assert pairs.sum() == pytest.approx(3)


def test_viterbi_equals_enumeration(scores):
    emissions, transitions = scores
    chain = LinearChain("abc", transitions, {str(t): row for t, row in enumerate(emissions)})
    best = max(itertools.product(range(3), repeat=4), key=lambda path: score(path, emissions, transitions))
    assert chain.tag([[str(t)] for t in range(4)]) == "".join("abc"[label] for label in best)
    assert chain.tag([]) == ""


def test_training_learns_what_only_the_chain_can_know():
    # The features say nothing; labels alternate, so only the transitions can tell.
    chain = train([[["x"]] * 5, [["x"]] * 4], ["ababa", "abab"], "ab", decay=0.01)
    assert chain.tag([["x"]] * 6) == "ababab"
    assert chain.tag([["never seen"]] * 3) == "aba"
