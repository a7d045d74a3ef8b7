"""Step 1: words, picturability, PageRank and the choice of keyphrases."""

import numpy as np
import pytest

from t2i_course.layout import fit, keyphrases, tagging
from t2i_course.layout.keyphrases import how_many, pagerank, rank, select
from t2i_course.layout.picturability import Picturability, from_hit_counts
from t2i_course.layout.pictures import PictureLibrary
from t2i_course.layout.tagging import noun_lemma, tag_text, verb_lemma

FARM = "First the farmer gives hay to the goat. Then the farmer gets milk from the cow."


@pytest.mark.parametrize(
    ("word", "lemma"),
    [
        ("cows", "cow"),
        ("children", "child"),
        ("berries", "berry"),
        ("foxes", "fox"),
        ("bus", "bus"),
        ("Geese", "goose"),
    ],
)
def test_nouns_lose_their_plural(word, lemma):
    assert noun_lemma(word) == lemma


@pytest.mark.parametrize(
    ("word", "lemma"),
    [
        ("gave", "give"),
        ("running", "run"),
        ("baked", "bake"),
        ("carries", "carry"),
        ("watches", "watch"),
        ("feed", "feed"),
    ],
)
def test_verbs_lose_their_ending(word, lemma):
    assert verb_lemma(word) == lemma


def test_the_tagger_uses_context():
    tags = {word.text: word.tag for word in tag_text("The farmer gives hay to the goat.")}
    assert tags == {"The": "O", "farmer": "N", "gives": "V", "hay": "N", "to": "O", "the": "O", "goat": "N", ".": "."}
    (plant,) = [w.tag for w in tag_text("They plant a tree.") if w.lower == "plant"]
    assert plant == "V"


def test_the_papers_formula_gives_the_papers_numbers():
    banana, bayesian = from_hit_counts(356_000, 49_400_000), from_hit_counts(17_400, 10_400_000)
    assert (round(banana, 2), round(bayesian, 2)) == (0.84, 0.09)


def test_our_picturability_orders_things_above_ideas():
    words = tag_text("The banana lies beside the information about happiness.")
    p = {
        word.lemma: value
        for word, value in zip(words, Picturability.default()(words, PictureLibrary.default()), strict=True)
    }
    assert p["banana"] > 0.8
    assert p["information"] < 0.5
    assert p["happiness"] < 0.5
    assert p["the"] == 0


def test_logistic_regression_finds_the_weights_that_made_the_data():
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(20_000, 2))
    targets = rng.random(20_000) < 1 / (1 + np.exp(-(inputs @ (2.0, -1.0) + 0.5)))
    fitted = Picturability.fit(inputs, targets.astype(float), decay=1e-3)
    np.testing.assert_allclose([*fitted.weights, fitted.bias], [2.0, -1.0, 0.5], atol=0.1)


@pytest.mark.parametrize("damping", [0.0, 0.3, 0.85])
def test_pagerank_equals_the_dense_linear_solve(damping):
    rng = np.random.default_rng(1)
    graph = np.triu(rng.integers(0, 3, (12, 12)), 1).astype(float)
    graph += graph.T
    graph[4] = graph[:, 4] = 0  # a word without neighbours
    restart = rng.random(12)
    v = restart / restart.sum()
    step = np.array([row / row.sum() if row.sum() else v for row in graph])
    exact = np.linalg.solve(np.eye(12) - damping * step.T, (1 - damping) * v)
    found = pagerank(graph, restart, damping)
    np.testing.assert_allclose(found, exact, atol=1e-10)
    assert found.sum() == pytest.approx(1)


def test_the_restart_vector_matters():
    line = np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]], float)
    uniform, left = pagerank(line, np.ones(3)), pagerank(line, np.array([1.0, 0, 0]))
    assert uniform[0] == pytest.approx(uniform[2])
    assert left[0] > left[1] > left[2]


def test_longer_texts_keep_more_words_but_a_smaller_share():
    kept = [how_many(n) for n in range(200)]
    assert kept == sorted(kept)
    assert all(k <= n for n, k in enumerate(kept))
    assert how_many(10) / 10 > how_many(100) / 100


def test_chosen_neighbours_merge_into_one_phrase():
    words = tag_text("The red fire truck stops.")
    phrases = select(words, {"fire": 0.4, "truck": 0.4, "stop": 0.2}, keep=2)
    assert [(p.text, p.places) for p in phrases] == [("red fire truck", ((1, 4),))]
    assert [p.text for p in select(words, {"fire": 0.1, "truck": 0.4, "stop": 0.2}, keep=1)] == ["truck"]


def test_the_farm_story_keeps_its_five_things():
    words = tag_text(FARM)
    scores, graph, drawable = rank(words, PictureLibrary.default())
    phrases = {p.text for p in select(words, scores, how_many(len(scores)))}
    assert {"farmer", "hay", "goat", "milk", "cow"} <= phrases
    assert sum(scores.values()) == pytest.approx(1)
    assert graph.shape == (len(scores),) * 2
    assert drawable["hay"] > drawable["get"]


def test_annotations_cover_what_the_report_needs():
    train, held_out = fit.annotated("train"), fit.annotated("held-out")
    assert len(train) + len(held_out) >= 240
    assert not {e["story"] for e in train} & {e["story"] for e in held_out}
    assert {e["register"] for e in held_out} == {"story", "news", "recipe", "instruction", "caption"}
    for entry in train + held_out:
        words = fit.gold_words(entry)
        texts = {word.text for word in words}
        assert len(words) == len(entry["pos"]) == len(entry["roles"])
        assert {part for phrase in entry["keyphrases"] for part in phrase.split()} <= texts
        assert set(entry["picturable"]) <= texts


def test_ours_finds_more_keyphrases_than_frequency_and_plain_textrank():
    scores = fit.keyphrase_scores("held-out")
    ours = scores["picturability restart"]
    for baseline in ("frequency", "uniform restart"):
        assert ours["precision"] > scores[baseline]["precision"] + 0.05
        assert ours["recall"] > scores[baseline]["recall"] + 0.05


def test_what_was_learnt_beats_guessing_on_held_out_sentences():
    share = fit.accuracies()
    assert share["word tags"] > 0.93
    assert share["picturable"] > share["picturable, always the commoner answer"] + 0.15
    assert share["ABC labels"] > share["ABC labels, always C"] + 0.3


def test_the_shipped_weights_are_what_the_script_fits():
    refitted = fit.fit_picturability(PictureLibrary.default())
    shipped = Picturability.default()
    # The feature "has a picture" changes with the library; then run `python -m t2i_course.layout.fit` again.
    np.testing.assert_allclose(refitted.weights, shipped.weights, atol=0.2)


def test_frequency_counts_words():
    words = tag_text("The cow sees the dog. The dog sees the dog.")
    assert keyphrases.most_frequent(words, 2) == ["dog", "see"]


def test_sentences_end_at_stops_and_empty_ones_vanish():
    assert tagging.sentences("One cow. ... Two dogs! ") == [["One", "cow", "."], ["Two", "dogs", "!"]]
