"""What is measured while a model trains: caption accuracy, diversity, and a sheet of samples."""

import numpy as np
import pytest
import torch

from t2i_course import worlds
from t2i_course.judge import progress
from t2i_course.judge.progress import caption_accuracies, diversity, sample_sheet, specs_of, true_diversity
from t2i_course.worlds.base import to_float

FLOWERS = worlds.load("flowers")


def true_pictures(indices):
    return to_float(np.stack([FLOWERS.render(FLOWERS.spec("test", i), 64) for i in indices]))


def test_a_collapsed_generator_has_no_diversity_and_true_pictures_have_it_all():
    same = diversity(lambda captions, seed: true_pictures([0] * len(captions)), FLOWERS, captions=4, samples=4)
    assert same == pytest.approx(0, abs=1e-3)
    drawn = iter(range(100))
    anything = diversity(
        lambda captions, seed: true_pictures([next(drawn) for _ in captions]), FLOWERS, captions=8, samples=4
    )
    assert anything == pytest.approx(1, abs=0.2)


def test_true_pictures_of_one_caption_vary_less_than_those_of_all():
    caption = "a flower with five red petals"
    specs = specs_of(FLOWERS, caption, 5)
    wanted = FLOWERS.facts(caption)
    assert len(wanted) == 2
    assert all(wanted.items() <= FLOWERS.truth(spec).items() for spec in specs)
    assert len({str(spec) for spec in specs}) == 5
    assert 0.5 < true_diversity(FLOWERS, captions=6, samples=4) < 1


def test_a_caption_that_says_too_much_is_not_looked_for_forever(monkeypatch):
    monkeypatch.setattr(progress, "TRIES", 2)
    with pytest.raises(progress.TooRare, match="of 2 random flowers; 5 are needed"):
        specs_of(FLOWERS, "a flower with eight purple petals", 5)


def test_true_pictures_keep_what_their_captions_promise():
    index = {FLOWERS.caption("val", i)[0]: i for i in range(20)}

    def truth(captions, seed):
        specs = (FLOWERS.spec("val", index.get(caption, 0)) for caption in captions)
        return to_float(np.stack([FLOWERS.render(spec, 64) for spec in specs]))

    measured = caption_accuracies(truth, ["flowers"], n=20)
    assert measured["flowers"] > 0.95
    assert measured.keys() == {"flowers", "flowers.diversity"}
    others = caption_accuracies(lambda captions, seed: truth(captions[::-1], seed), ["flowers"], n=20)
    assert others["flowers"] < 0.6


def test_a_sheet_shows_each_worlds_captions():
    asked = []

    def draw(captions, seed):
        asked.extend(captions)
        return torch.zeros(len(captions), 3, 16, 16)

    sheet = sample_sheet(draw, ["flowers", "birds"], each=4, columns=4)
    assert sheet.shape == (2 * 16 + 6, 4 * 16 + 10, 3)
    assert asked[:4] == [FLOWERS.caption("val", i)[0] for i in range(4)]
    assert asked[4:] == [worlds.load("birds").caption("val", i)[0] for i in range(4)]
