"""The recognisers that ship: small, recorded, and as good as their records say."""

import json

import pytest
import torch

from t2i_course import worlds
from t2i_course.judge import ceiling
from t2i_course.judge.metrics import world_extractor
from t2i_course.judge.recogniser import accuracies, load_recogniser
from t2i_course.paths import DATA


@pytest.fixture(params=worlds.NAMES)
def world(request):
    return worlds.load(request.param)


def test_weights_are_small_and_their_making_is_recorded(world):
    file = DATA / "weights" / f"recogniser_{world.name}.safetensors"
    assert file.stat().st_size <= 4 * 2**20
    record = json.loads(file.with_suffix(".json").read_text())
    assert {"recipe", "seed", "steps", "seconds", "hardware", "commit", "versions", "metrics"} < record.keys()
    assert record["attributes"] == {name: list(values) for name, values in world.attributes.items()}
    assert record["metrics"]["clean"] >= 0.99
    assert min(record["metrics"][damage] for damage in ("blur", "noise", "jpeg")) >= 0.97


@pytest.mark.slow
def test_they_read_pictures_as_well_as_recorded(world):
    """Also notices weights that are older than the drawings of their world."""
    record = json.loads((DATA / "weights" / f"recogniser_{world.name}.json").read_text())["metrics"]
    measured = accuracies(load_recogniser(world), world, n=500)
    assert measured["clean"] >= 0.99
    assert min(measured[damage] for damage in ("blur", "noise", "jpeg")) >= 0.97
    for damage in ("clean", "blur", "noise", "jpeg"):
        assert measured[damage] == pytest.approx(record[damage], abs=0.005)


def test_the_inception_score_of_a_world_asks_for_what_belongs_to_the_whole_picture(world):
    pictures = next(world.batches("val", 64, 40, n=40, shuffle=False)).pictures
    ((name, score),) = world_extractor(world).inception_score(pictures).items()
    assert name == f"IS ({world.name})"
    assert 1 < score < max(map(len, world.attributes.values()))
    if world.name == "scenes":
        sizes = [logits.shape[1] for logits in load_recogniser(world).logits(pictures)]
        assert sizes == [len(world.attributes["place"]), len(world.attributes["time"])]


def test_the_ceiling_is_near_the_top_also_for_pairs_never_seen_in_training(world):
    torch.manual_seed(0)
    assert ceiling(world, "test", 60).accuracy > 0.96
    assert ceiling(world, "novel", 60).accuracy > 0.95
