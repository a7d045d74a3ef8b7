"""The recogniser learns a world from pictures, survives damage, and answers in the world's own words."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from t2i_course.judge import recogniser as module
from t2i_course.judge.recogniser import Recogniser, SceneReader, accuracies, augmented, load_recogniser, recipe
from t2i_course.training import export, train


@pytest.fixture(scope="module")
def trained(world, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    return train(recipe(world, pictures=256, steps=40, batch_size=32, checked=50), folder), folder


def test_it_learns_a_world(world, trained):
    scores = accuracies(trained[0], world, n=100)
    assert scores["clean"] > 0.9
    assert scores["jpeg"] > 0.9
    assert {"clean.color", "clean.side", "blur", "noise", "jpeg.side"} < scores.keys()


def test_it_answers_in_the_form_of_truth_whatever_the_form_of_the_pictures(world, trained):
    model, _ = trained
    batch = next(world.batches("val", 64, 20, n=20))
    answers = model.read(batch.pictures)
    assert all(a.keys() == t.keys() for a, t in zip(answers, batch.truth, strict=True))
    as_bytes = ((batch.pictures + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()
    assert model.read(as_bytes) == answers
    large = next(world.batches("val", 160, 20, n=20))
    assert np.mean([a == b for a, b in zip(model.read(large.pictures), large.truth, strict=True)]) > 0.8
    features = model.features(batch.pictures)
    assert features.shape == (20, 192)
    assert len({tuple(f) for f in features.tolist()}) == 20


@pytest.mark.parametrize(
    "pictures",
    [
        np.zeros((2, 64, 64, 3)),
        torch.zeros(2, 64, 64, 3),
        torch.zeros(0, 3, 64, 64),
        torch.zeros(2, 3, 64, 64, dtype=torch.uint8),
    ],
)
def test_pictures_of_another_form_are_refused(world, pictures):
    with pytest.raises(ValueError, match="pictures"):
        Recogniser(world).read(pictures)


def test_pictures_that_are_no_pictures_get_no_points(world):
    pictures = torch.zeros(5, 3, 64, 64)
    pictures[3, 0, 0, 0], pictures[4] = torch.inf, torch.nan
    with pytest.raises(ValueError, match="Picture 3 holds values that are not finite"):
        Recogniser(world).read(pictures)


def test_a_recogniser_is_loaded_only_if_it_fits_its_world(world, trained, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "DATA", tmp_path)
    load_recogniser.cache_clear()
    with pytest.raises(ValueError, match="t2i train recogniser_squares --export"):
        load_recogniser(world)
    file = tmp_path / "weights" / "recogniser_squares.safetensors"
    export(trained[1], file)
    pictures = next(world.batches("val", 64, 20, n=20)).pictures
    assert load_recogniser(world).read(pictures) == trained[0].read(pictures)
    load_recogniser.cache_clear()
    record = json.loads(file.with_suffix(".json").read_text())
    assert record["metrics"]["clean.color"] > 0.8
    record["attributes"]["color"] = ["red", "green"]
    file.with_suffix(".json").write_text(json.dumps(record))
    with pytest.raises(ValueError, match="trained on other attributes"):
        load_recogniser(world)
    load_recogniser.cache_clear()


def wrong_weights(file):
    save_file({"linear.weight": torch.zeros(3)}, file)


def cut_off(file):
    file.write_bytes(file.read_bytes()[:-100])


def no_weights(file):
    file.unlink()


def no_record(file):
    file.with_suffix(".json").unlink()


def half_record(file):
    file.with_suffix(".json").write_text('{"attributes": {"col')


def other_record(file):
    file.with_suffix(".json").write_text("[]")


@pytest.mark.parametrize("damage", [wrong_weights, cut_off, no_weights, no_record, half_record, other_record])
def test_damaged_recognisers_are_named_with_what_to_do(world, tmp_path, monkeypatch, damage):
    monkeypatch.setattr(module, "DATA", tmp_path)
    load_recogniser.cache_clear()
    file = tmp_path / "weights" / "recogniser_squares.safetensors"
    file.parent.mkdir()
    save_file(Recogniser(world).state_dict(), file)
    attributes = {name: list(values) for name, values in world.attributes.items()}
    file.with_suffix(".json").write_text(json.dumps({"attributes": attributes}))
    load_recogniser(world)
    load_recogniser.cache_clear()
    damage(file)
    with pytest.raises(ValueError, match=r"recogniser_squares\..*t2i train recogniser_squares --export"):
        load_recogniser(world)


def test_augmentation_changes_pictures_but_keeps_their_range_and_is_given_by_the_seed(world):
    pictures = next(world.batches("val", 64, 32, n=32)).pictures
    before = pictures.clone()
    torch.manual_seed(1)
    first = augmented(pictures)
    torch.manual_seed(1)
    assert torch.equal(first, augmented(pictures))
    assert torch.equal(pictures, before)
    assert first.abs().max() <= 1.001
    assert not torch.equal(first, before)


SCENE_ATTRIBUTES = {
    "place": ("sky", "sea"),
    "count": ("one", "two"),
    "color": ("red", "blue"),
    "size": ("small", "large"),
    "relation": ("left of", "on"),
}
KINDS = ("cat", "dog", "cow")


def thing(kind, count, color, size):
    return {f"present:{kind}": "yes", f"count:{kind}": count, f"color:{kind}": color, f"size:{kind}": size}


SCENES = [
    {"place": "sea", **thing("cat", "two", "red", "small")},
    {
        "place": "sky",
        **thing("cat", "one", "blue", "small"),
        **thing("dog", "two", "red", "large"),
        "relation:cat|dog": "on",
    },
]


class Boxes(tuple):
    """Stands for a spec: things with boxes."""

    def boxes(self):
        return list(self)


SPECS = [
    Boxes([("cat", 0.0, 0.5, 0.25, 0.75), ("cat", 0.5, 0.5, 0.75, 0.75)]),
    Boxes([("cat", 0.5, 0.0, 0.75, 0.25), ("dog", 0.25, 0.25, 1.0, 1.1)]),
]


def test_scene_targets_number_what_is_there_and_leave_out_the_rest():
    targets = SceneReader(SCENE_ATTRIBUTES, KINDS).targets(SPECS, SCENES)
    assert targets["place"].tolist() == [1, 0]
    assert targets["present"].tolist() == [[1, 0, 0], [1, 1, 0]]
    assert targets["count"].tolist() == [[1, -100, -100], [0, 1, -100]]
    assert targets["where"].sum(2).tolist() == [[32, 0, 0], [16, 144, 0]]
    assert targets["where"][0, 0].view(16, 16)[8:12, 8:12].all()
    assert targets["pairs"].tolist() == [[1, 0, 1], [1, 1, 0]]
    assert targets["relation"].tolist() == [2, 0], "cat on dog; nothing is said of the dog and the cat"


def test_a_scene_reader_can_learn_scenes_by_heart():
    torch.manual_seed(0)
    reader = SceneReader(SCENE_ATTRIBUTES, KINDS)
    maps = torch.randn(2, 64, 16, 16), torch.randn(2, 192, 8, 8)
    optimiser = torch.optim.Adam(reader.parameters(), 3e-3)
    for _ in range(60):
        loss = sum(reader.losses(reader(*maps), reader.targets(SPECS, SCENES)).values())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    reader.eval()
    with torch.no_grad():
        assert reader.answers(reader(*maps)) == SCENES
