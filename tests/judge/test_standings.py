"""What is kept of systems: measured once, replaced by system and world, and not made up."""

import pytest
import torch

from t2i_course import timeline, worlds
from t2i_course.gan.gan_cls import GANCLS
from t2i_course.judge import progress, standings
from t2i_course.worlds.language import UnknownWord


class Grey:
    """Draws the same grey picture for every caption about flowers."""

    def draw(self, captions, seed=0):
        for caption in captions:
            if "bird" in caption:
                raise UnknownWord("bird", ["flower"])
        return torch.zeros(len(captions), 3, 64, 64)


@pytest.fixture
def grey(tmp_path, monkeypatch):
    monkeypatch.setattr(standings, "FILE", tmp_path / "benchmarks" / "standings.json")
    monkeypatch.setattr(timeline, "load", lambda name: Grey())
    monkeypatch.setattr(timeline, "find", lambda name: timeline.System(1915, name, "Black Square", "00", None))


def test_a_system_that_draws_nothing_is_at_chance_and_has_no_diversity(grey, capsys):
    standings.main(["grey", "--n", "20"])
    (row,) = standings.load(["grey"], "flowers")
    assert row["accuracy"] < row["chance"] + 4 * row["standard_error"]
    assert row["ceiling"] > 0.95
    assert row["diversity"] == pytest.approx(0, abs=1e-3)
    assert 0.6 < row["true_diversity"] < 1
    assert row["n"] == 20
    assert row["fid"] is None  # of too few pictures
    out = capsys.readouterr().out
    assert "grey flowers: 0." in out
    assert "grey does not draw birds: " in out


def test_the_table_of_a_chapter_ends_with_true_pictures(grey):
    standings.main(["grey", "--n", "20"])
    drawn, true, others = standings.table(["grey"], ["flowers"])
    assert drawn["system"] == "Black Square"
    assert drawn["diversity"] < true["diversity"]
    assert max(drawn["test"], others["test"], drawn["novel"], others["novel"]) < 0.5 < true["novel"] <= 1


def test_what_is_measured_again_is_replaced_and_the_rest_is_kept(grey):
    for name, n in (("a", 10), ("b", 12), ("a", 14)):
        standings.main([name, "--n", str(n), "--worlds", "flowers"])
    assert [row["n"] for row in standings.load(["b", "a"], "flowers", "novel")] == [12, 14]


def test_what_is_kept_was_measured_of_the_weights_that_ship():
    """Or the table would tell of other models than the pictures show."""
    kept = {(row["system"], row["weights"]) for row in standings._known()}
    assert {name for name, _ in kept} >= {"picture_layout", "aligndraw", "gan_cls", "stackgan", "attngan"}
    assert kept == {(name, standings.checksum(timeline.load(name))) for name, _ in kept}


def test_a_checksum_tells_weights_apart():
    one, other = GANCLS.load(), GANCLS.load()
    assert standings.checksum(one) == standings.checksum(other) != standings.checksum(Grey())
    other.generator.body[0].weight[0, 0, 0, 0] += 1e-3
    assert standings.checksum(one) != standings.checksum(other)
    latent = timeline.load("latent_diffusion")
    before = standings.checksum(latent)
    next(latent.read.module.parameters()).data[0] += 1  # a reader is no network, but has one
    assert standings.checksum(latent) != before


def test_measurements_of_different_numbers_of_captions_are_not_mixed(grey):
    standings.main(["a", "--n", "10", "--worlds", "flowers"])
    standings.main(["b", "--n", "12", "--worlds", "flowers"])
    with pytest.raises(ValueError, match=r"measured on \[10, 12\] captions of flowers: take one n for all"):
        standings.table(["a", "b"], ["flowers"])


def test_what_cannot_be_measured_is_said_before_the_work(monkeypatch, capsys):
    for arguments in (["imagen"], ["gan_cls", "--n", "1"], ["gan_cls", "--n", "1001"]):
        with pytest.raises(SystemExit):
            standings.main(arguments)
    said = capsys.readouterr().err
    assert "no system 'imagen'" in said
    assert "--n (1001) is between 2 and 1,000" in said


def test_a_scene_says_too_much_to_have_a_true_diversity(monkeypatch):
    monkeypatch.setattr(progress, "TRIES", 10)
    rows = standings.standing(lambda captions, seed: torch.zeros(len(captions), 3, 64, 64), worlds.load("scenes"), n=2)
    assert [row.get("diversity") for row in rows] == [pytest.approx(0, abs=1e-3), None]
    assert rows[0]["true_diversity"] is None


def test_what_was_not_measured_is_refused_with_the_remedy(grey):
    with pytest.raises(ValueError, match=r"standings attngan --worlds birds"):
        standings.load(["attngan"], "birds")
