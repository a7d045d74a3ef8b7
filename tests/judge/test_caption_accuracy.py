"""Caption accuracy counts promised facts that are found, and the table puts the ceiling beside every score."""

import math

import numpy as np
import pytest

from t2i_course.judge import Score, caption_accuracy, ceiling
from t2i_course.judge.caption_accuracy import compare
from t2i_course.judge.table import format_table, judge


def test_facts_are_counted_by_hand():
    facts = [{"color": "red", "count:cat": "two"}, {"color": "blue"}, {}]
    found = [{"color": "red", "count:cat": "one"}, {"color": "blue", "place": "sea"}, {"color": "red"}]
    score = compare(facts, found)
    assert (score.facts, score.accuracy) == (3, 2 / 3)
    assert score.by_attribute == {"color": 1.0, "count": 0.0}
    assert (score.captions, score.wholly_right, score.left_out) == (2, 0.5, 1)
    twice = score + score
    assert (twice.facts, twice.accuracy, twice.left_out) == (6, 2 / 3, 2)
    assert math.isnan(Score().accuracy)


def test_true_pictures_score_full_marks_and_wrong_ones_do_not(world, eyes):
    specs = [world.spec("test", i) for i in range(40)]
    captions = [world.caption("test", i)[0] for i in range(40)]
    pictures = np.stack([world.render(spec) for spec in specs])
    assert caption_accuracy(pictures, captions, world).accuracy == 1.0
    mirrored = caption_accuracy(pictures[:, :, ::-1].copy(), captions, world)
    assert mirrored.by_attribute == {"color": 1.0, "side": 0.0}
    assert ceiling(world, "test", 40).accuracy == 1.0
    with pytest.raises(ValueError, match="39 pictures but 40 captions"):
        caption_accuracy(pictures[1:], captions, world)


def obedient(world):
    """Draws what the caption says, and a red square on the left where it says nothing."""

    def draw(captions, seed):
        spec_of = type(world.spec("train", 0))
        wanted = [{"color": "red", "side": "left"} | world.facts(caption) for caption in captions]
        return np.stack([world.render(spec_of(**w, variation=seed + i)) for i, w in enumerate(wanted)])

    return draw


def test_judge_measures_anything_that_draws(world, eyes):
    result = judge(obedient(world), world, n=30, references=60)
    assert list(result["splits"]) == ["test", "novel"]
    for split in result["splits"].values():
        assert split["accuracy"] == split["ceiling"]["accuracy"] == 1.0
        assert split["FID (squares)"] >= 0
        assert split["seconds_per_picture"] > 0
    stubborn = judge(lambda captions, seed: obedient(world)(["a red square left"] * len(captions), seed), world, n=30)
    assert stubborn["splits"]["novel"]["accuracy"] == 0.0, "novel captions ask for blue squares on the right"


def test_the_same_seed_gives_the_same_score_and_every_portion_has_its_own_seed(world, eyes):
    seeds = []

    def draw(captions, seed):
        seeds.append(seed)
        return obedient(world)(captions, seed)

    first, second = (judge(draw, world, n=20, splits=("test",), batch_size=8, seed=3) for _ in range(2))
    assert seeds == [3, 11, 19] * 2
    for result in (first, second):
        result["splits"]["test"].pop("seconds_per_picture")
    assert first == second


def test_too_few_pictures_for_fid_are_said_in_the_table(world, eyes):
    result = judge(obedient(world), world, n=5, splits=("test",))
    assert result["splits"]["test"]["FID (squares)"] is None
    table = format_table(result)
    assert "FID needs more pictures" in table
    assert table.splitlines()[2].split() == ["caption", "accuracy", "test", "ceiling"]
    assert any(line.split() == ["color", "100.0%", "100.0%"] for line in table.splitlines())


def test_a_draw_that_returns_too_few_pictures_is_named(world, eyes):
    with pytest.raises(ValueError, match="8 captions were to be drawn, and 7 pictures came back"):
        judge(lambda captions, seed: obedient(world)(captions, seed)[1:], world, n=8)
    with pytest.raises(ValueError, match="at least 1"):
        judge(obedient(world), world, n=0)
