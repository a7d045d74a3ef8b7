"""What is kept of systems: measured once, replaced by system and world, and not made up."""

import pytest
import torch

from t2i_course import timeline
from t2i_course.judge import standings
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


def test_the_table_of_a_chapter_ends_with_true_pictures(grey, monkeypatch):
    monkeypatch.setattr(timeline, "find", lambda name: timeline.System(1915, name, "Black Square", "00", None))
    standings.main(["grey", "--n", "20"])
    drawn, true, others = standings.table(["grey"], ["flowers"])
    assert drawn["system"] == "Black Square"
    assert drawn["diversity"] < true["diversity"]
    assert max(drawn["test"], others["test"], drawn["novel"], others["novel"]) < 0.5 < true["novel"] <= 1


def test_what_is_measured_again_is_replaced_and_the_rest_is_kept(grey):
    for name, n in (("a", 10), ("b", 12), ("a", 14)):
        standings.main([name, "--n", str(n), "--worlds", "flowers"])
    assert [row["n"] for row in standings.load(["b", "a"], "flowers", "novel")] == [12, 14]


def test_what_was_not_measured_is_refused_with_the_remedy(grey):
    with pytest.raises(ValueError, match=r"standings attngan --worlds birds"):
        standings.load(["attngan"], "birds")
