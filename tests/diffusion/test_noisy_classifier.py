"""The classifier of chapter 12: its classes, its recipe, and what it sees through noise."""

import json

import pytest
import torch

from t2i_course import worlds
from t2i_course.diffusion import noisy_classifier
from t2i_course.diffusion.small import SMALL, codec_of
from t2i_course.paths import DATA

FILE = DATA / "weights" / "noisy_classifier.json"


def test_classes_are_the_colors_of_flowers_and_breasts():
    flowers, birds = worlds.load("flowers"), worlds.load("birds")
    assert len(noisy_classifier.CLASSES) == len(flowers.attributes["color"]) + len(birds.attributes["breast"])
    assert noisy_classifier.CLASSES[noisy_classifier.class_of("birds", "red")] == "birds red"
    with pytest.raises(ValueError, match="no class 'flowers plaid'. There are: flowers"):
        noisy_classifier.class_of("flowers", "plaid")


def test_a_step_of_its_recipe(monkeypatch, tmp_path):
    """Every picture is labelled with the color of its own world."""
    monkeypatch.setenv("T2I_CACHE", str(tmp_path))
    recipe = noisy_classifier.recipe(batch_size=8)
    torch.manual_seed(0)
    model = recipe.build().train()
    size = SMALL["ddpm"].size
    batch = next(worlds.mixed_batches(("flowers", "birds"), "val", size, 8, n=8))
    ((_, terms),) = recipe.losses(model, batch)
    assert terms["loss"].item() == pytest.approx(torch.tensor(len(noisy_classifier.CLASSES)).log().item(), abs=0.5)
    seen = model.eval()(codec_of(SMALL["ddpm"]).encode(batch.pictures), torch.zeros(8, dtype=torch.long))
    wanted = [
        noisy_classifier.class_of(world, truth[noisy_classifier.ATTRIBUTE[world]])
        for world, truth in zip(["flowers"] * 4 + ["birds"] * 4, batch.truth, strict=True)
    ]
    sure = torch.full_like(seen, -20.0).scatter(1, torch.tensor(wanted)[:, None], 20.0)
    monkeypatch.setattr(type(model), "forward", lambda self, x, t: sure)
    ((_, terms),) = recipe.losses(model, batch)
    assert terms["right"] == 1
    assert terms["loss"] < 1e-3


@pytest.mark.skipif(not FILE.exists(), reason="the noisy classifier has yet to be trained")
def test_the_shipped_one_sees_through_noise():
    recorded = json.loads(FILE.read_text())["metrics"]
    shares = [recorded[f"right at t={t}"] for t in (0, 250, 500, 750)]
    assert shares[0] > 0.7
    assert shares[2] > 0.5
    measured = noisy_classifier.recipe().evaluate(noisy_classifier.load())
    for name, share in recorded.items():
        assert measured[name] == pytest.approx(share, abs=0.05)
