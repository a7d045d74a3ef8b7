"""The world's CNNs that others learn from: recorded, frozen, and not those that judge."""

import json

import numpy as np
import pytest
import torch

from t2i_course import timeline, worlds
from t2i_course.judge import recogniser
from t2i_course.judge.recogniser import Recogniser
from t2i_course.nn.world_cnn import CNN_OF, load_trunk
from t2i_course.paths import DATA


@pytest.mark.parametrize("name", sorted(set(CNN_OF.values())))
def test_the_shipped_trunks_are_frozen_and_recorded(name):
    trunk = load_trunk(name)
    assert not trunk.training
    assert not any(p.requires_grad for p in trunk.parameters())
    record = json.loads((DATA / "weights" / f"{name}.json").read_text())
    assert min(record["metrics"].values()) > 0.9


@pytest.mark.parametrize("world", CNN_OF)
def test_from_the_same_seed_they_start_elsewhere_than_the_judges(world):
    """A judge and the eyes that a generator learns from must not be two copies of one network."""
    starts, recipe = [], timeline.recipe(CNN_OF[world])
    for build in (lambda: Recogniser(worlds.load(world)).trunk, lambda: recipe.build().trunk):
        torch.manual_seed(0)
        starts.append(build().state_dict())
    judge, mine = starts
    filters = [name for name, t in mine.items() if t.ndim == 4]
    assert all(torch.cosine_similarity(mine[k].flatten(), judge[k].flatten(), 0).abs() < 0.1 for k in filters)


def test_the_cnn_of_scenes_never_sees_novel_but_the_judge_does(monkeypatch):
    """What a generator learns from must not know the pairs that it is to compose by itself."""
    monkeypatch.setitem(recogniser.PICTURES, "train", 40)
    asked = []

    def pictures(world, split, size, n):
        asked.append(split)
        return np.zeros((n, size, size, 3), np.uint8)

    monkeypatch.setattr(recogniser, "cached_pictures", pictures)
    judge = recogniser.recipe(worlds.load("scenes"), 40)
    for recipe, splits in ((timeline.recipe("scene_cnn"), {"train"}), (judge, {"train", "novel"})):
        asked.clear()
        next(recipe.batches(0, 0))
        assert set(asked) == splits
