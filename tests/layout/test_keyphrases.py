"""Step 1: words, picturability, PageRank and the choice of keyphrases."""

import numpy as np
import pytest

from t2i_course.layout import abc, fit, keyphrases, tagging
from t2i_course.layout.chain import LinearChain
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
        ("smoothies", "smoothie"),
        ("atlas", "atlas"),
        ("jeans", "jeans"),
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
        ("hoping", "hope"),
        ("hopping", "hop"),
        ("hiking", "hike"),
        ("tossing", "toss"),
        ("purchasing", "purchase"),
        ("imagining", "imagine"),
    ],
)
def test_verbs_lose_their_ending(word, lemma):
    assert verb_lemma(word) == lemma


def with_s(word):
    """The regular plural of a noun, or the third person of a verb."""
    if word.endswith("y") and word[-2] not in "aeiou":
        return word[:-1] + "ies"
    return word + ("es" if word.endswith(("ch", "sh", "s", "x", "z", "go")) else "s")


def with_ing(verb):
    """ "bake" -> "baking", "hop" -> "hopping", "look" -> "looking"."""
    if verb.endswith("e") and verb not in ("be", "see"):
        return verb[:-1] + "ing"
    short = tagging.SHORT.search(verb) or verb == "unwrap"
    return verb + (verb[-1] if short else "") + "ing"


def test_pictogram_verbs_are_known_in_all_their_forms():
    verbs = tagging.pictogram_words()["verb"]
    forms = {form: verb for verb in verbs for form in (verb, with_s(verb), with_ing(verb))}
    assert {form: verb_lemma(form) for form in forms} == forms


def test_pictogram_nouns_are_known_in_the_plural():
    irregular = tagging.word_lists()["irregular_nouns"]
    nouns = [w for w in tagging.pictogram_words()["noun"] if w not in irregular and noun_lemma(w) == w]
    plurals = {with_s(noun): noun for noun in nouns if with_s(noun) not in irregular}
    assert len(plurals) > 500
    assert {plural: noun_lemma(plural) for plural in plurals} == plurals


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


def test_phrases_do_not_run_across_the_end_of_a_line():
    words = tag_text("The dog chases the cat\nCow milk is white")
    kept = {p.text for p in select(words, dict.fromkeys((w.lemma for w in words), 1.0), keep=20)}
    assert "cat" in kept
    assert not any("cat" in text and "cow" in text for text in kept)


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


def test_picturability_finds_more_keyphrases_than_frequency_and_plain_textrank():
    scores = fit.keyphrase_scores("held-out")
    ours = scores["picturability restart"]
    # On such short texts the walk itself hardly changes the choice.
    assert ours["F1"] == pytest.approx(scores["picturability alone (d = 0)"]["F1"], abs=0.03)
    for baseline in ("frequency", "uniform restart"):
        assert ours["precision"] > scores[baseline]["precision"] + 0.05
        assert ours["recall"] > scores[baseline]["recall"] + 0.05


def test_what_was_learnt_beats_guessing_on_held_out_sentences():
    share = fit.accuracies()
    assert share["word tags"] > 0.93
    assert share["picturable"] > share["picturable, always the commoner answer"] + 0.15
    assert share["ABC labels"] > share["ABC labels, always C"] + 0.3


def test_the_shipped_weights_are_what_the_script_fits():
    # They change with the sentences, the word lists and the pictograms; then run `python -m t2i_course.layout.fit`.
    refitted = fit.fit_picturability(PictureLibrary.default())
    shipped = Picturability.default()
    np.testing.assert_allclose([*refitted.weights, refitted.bias], [*shipped.weights, shipped.bias], atol=0.02)
    for refitted, shipped in ((fit.fit_tagger(), tagging.tagger()), (fit.fit_abc(), abc.tagger())):
        weights = LinearChain(**refitted.as_dict()).weights
        assert weights.keys() ^ shipped.weights.keys() <= {  # what rounds to nothing here or there
            name for chain in (weights, shipped.weights) for name, row in chain.items() if np.abs(row).max() < 0.03
        }
        for name in weights.keys() & shipped.weights.keys():
            np.testing.assert_allclose(weights[name], shipped.weights[name], atol=0.03, err_msg=name)
        np.testing.assert_allclose(refitted.transitions, shipped.transitions, atol=0.03)


def test_frequency_counts_words():
    words = tag_text("The cow sees the dog. The dog sees the dog.")
    assert keyphrases.most_frequent(words, 2) == ["dog", "see"]


def test_sentences_end_at_stops_and_empty_ones_vanish():
    assert tagging.sentences("One cow. ... Two dogs! ") == [["One", "cow", "."], ["Two", "dogs", "!"]]


def test_a_line_is_a_sentence_and_a_title_does_not_end_one():
    assert tagging.sentences("Dr. Bear met Mrs. Fox\nThey ran.") == [
        ["Dr", "Bear", "met", "Mrs", "Fox"],
        ["They", "ran", "."],
    ]
