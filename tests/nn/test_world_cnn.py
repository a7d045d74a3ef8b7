"""The world's CNN that text encoders learn from: recorded, frozen, and not the one that judges."""

import json

import torch

from t2i_course import worlds
from t2i_course.judge.recogniser import Recogniser, world_cnn_recipe
from t2i_course.nn.world_cnn import load_trunk
from t2i_course.paths import DATA


def test_the_shipped_trunk_is_frozen_and_recorded():
    trunk = load_trunk()
    assert not trunk.training
    assert not any(p.requires_grad for p in trunk.parameters())
    record = json.loads((DATA / "weights" / "world_cnn.json").read_text())
    assert min(record["metrics"].values()) > 0.9


def test_from_the_same_seed_it_starts_elsewhere_than_the_judge():
    """A judge and the eyes that a generator learns from must not be two copies of one network."""
    starts = []
    for build in (lambda: Recogniser(worlds.load("flowers")).trunk, lambda: world_cnn_recipe().build()["trunk"]):
        torch.manual_seed(0)
        starts.append(build().state_dict())
    judge, mine = starts
    filters = [name for name, t in mine.items() if t.ndim == 4]
    assert all(torch.cosine_similarity(mine[k].flatten(), judge[k].flatten(), 0).abs() < 0.1 for k in filters)
