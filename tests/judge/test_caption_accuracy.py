"""Caption accuracy counts promised facts that are found, and the table puts the ceiling beside every score."""

import math

import numpy as np
import pytest
import torch

from t2i_course.judge import Score, caption_accuracy, ceiling
from t2i_course.judge.caption_accuracy import compare, standard_error, true_pictures
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


def test_the_standard_error_is_that_of_a_mean_over_captions():
    facts = [{"color": "red"}] * 100 + [{}]
    found = [{"color": "red"}] * 80 + [{"color": "blue"}] * 21
    expected = (0.8 * 0.2 / 100) ** 0.5
    assert standard_error(facts, found) == pytest.approx(expected, rel=0.15)
    assert standard_error(facts, found) == standard_error(facts, found)
    # Ten facts that stand or fall together tell no more than one.
    names = [f"color:{i}" for i in range(10)]
    together = [[{name: f["color"] for name in names if f} for f in part] for part in (facts, found)]
    assert standard_error(*together) == pytest.approx(standard_error(facts, found))
    assert standard_error(facts[:80], found[:80]) == 0
    assert math.isnan(standard_error([{}], [{}]))


def test_true_pictures_are_those_of_the_captions_and_not_more_than_there_are(world):
    pictures = true_pictures(world, "test", 3)
    assert (pictures[2] == world.render(world.spec("test", 2))).all()
    with pytest.raises(ValueError, match="no 1001 pictures of the split 'val' .* val has 1000"):
        true_pictures(world, "val", 1001)
    with pytest.raises(ValueError, match="no 5000 pictures"):
        ceiling(world, "novel", 5000)


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
        assert split["standard_error"] == 0
        assert split["FID (squares)"] >= 0
        assert split["seconds_per_picture"] > 0
    chance = result["splits"]["test"]["chance"]
    assert chance["accuracy"] < 0.9
    assert 0 < chance["standard_error"] < 0.1
    stubborn = judge(
        lambda captions, seed: obedient(world)(["a red square left"] * len(captions), seed), world, n=30, references=60
    )
    novel = stubborn["splits"]["novel"]
    assert novel["accuracy"] == 0.0, "novel captions ask for blue squares on the right"
    assert novel["chance"]["accuracy"] == 1.0, "and they all ask for the same"


def test_half_of_a_withheld_pair_is_not_the_pair(world, eyes):
    left = judge(
        lambda captions, seed: obedient(world)(["a blue square left"] * len(captions), seed), world, n=10, references=60
    )
    test, novel = left["splits"]["test"], left["splits"]["novel"]
    assert test["withheld_pair"] is None
    assert (novel["accuracy"], novel["withheld_pair"], novel["ceiling"]["withheld_pair"]) == (0.5, 0.0, 1.0)
    (row,) = [line.split() for line in format_table(left).splitlines() if line.startswith("withheld pair")]
    assert row[2:] == ["-", "-", "-", "0.0%", "100.0%", "100.0%"]


def test_fid_compares_with_pictures_of_no_caption(world, eyes):
    def true(captions, seed):  # draws exactly the pictures that the captions were made for
        start = asked.pop(0)
        return np.stack([world.render(world.spec("test", start + i)) for i in range(len(captions))])

    asked = [0, 16]
    test = judge(true, world, n=30, splits=("test",), references=60)["splits"]["test"]
    assert test["FID (squares)"] == test["ceiling"]["FID (squares)"] > 0.1
    with pytest.raises(ValueError, match=r"n \(1500\) is too large.* Take n <= 1000"):
        judge(obedient(world), world, n=1500)


def test_the_same_seed_gives_the_same_score_and_every_portion_has_its_own_seed(world, eyes):
    seeds = []

    def draw(captions, seed):
        seeds.append(seed)
        return obedient(world)(captions, seed)

    first, second = (judge(draw, world, n=20, splits=("test",), batch_size=8, seed=3, references=60) for _ in range(2))
    assert seeds[:3] == seeds[3:]
    assert len({*seeds}) == 3
    judge(draw, world, n=20, splits=("test",), batch_size=8, seed=11, references=60)
    assert len({*seeds}) == 6, "portions of another run must not get the same noise either"
    for result in (first, second):
        result["splits"]["test"].pop("seconds_per_picture")
    assert first == second


def test_too_few_pictures_for_fid_are_said_in_the_table(world, eyes):
    result = judge(obedient(world), world, n=5, splits=("test",))
    assert result["splits"]["test"]["FID (squares)"] is None
    table = format_table(result)
    assert "FID needs more pictures" in table
    assert table.splitlines()[2].split() == ["caption", "accuracy", "test", "chance", "ceiling"]
    assert any(line.split()[::3] == ["color", "100.0%"] for line in table.splitlines())
    assert any(line.startswith("  +/- standard error") for line in table.splitlines())
    assert max(map(len, format_table(judge(obedient(world), world, n=5)).splitlines())) <= 100


def test_a_draw_that_returns_too_few_pictures_is_named(world, eyes):
    with pytest.raises(ValueError, match="8 captions were to be drawn, and 7 pictures came back"):
        judge(lambda captions, seed: obedient(world)(captions, seed)[1:], world, n=8)
    with pytest.raises(ValueError, match="at least 2"):
        judge(obedient(world), world, n=1)
    with pytest.raises(ValueError, match="captions 0 and following: Picture 2 holds values that are not finite"):
        judge(lambda captions, seed: torch.full((4, 3, 8, 8), torch.nan).index_fill(0, torch.arange(2), 0), world, n=4)
