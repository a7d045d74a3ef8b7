"""The records of several seeds: kept, replaced, refused."""

import json

import pytest

from t2i_course.judge import seeds


@pytest.fixture
def record(tmp_path, monkeypatch):
    """A function that writes a record as `t2i train --export` does, and returns its path."""
    monkeypatch.setattr(seeds, "FILE", tmp_path / "benchmarks" / "seeds.json")

    def write(name, **entries):
        whole = dict.fromkeys(seeds.KEPT, "") | {"recipe": "attngan", "seed": 0, "steps": 10, "seconds": 90.0}
        whole |= {"parameters": 7, "metrics": {"flowers": 0.5}} | entries
        (tmp_path / name).write_text(json.dumps(whole))
        return tmp_path / name

    return write


def test_records_are_kept_by_recipe_and_seed_and_newer_ones_replace_older(record, capsys):
    seeds.main([str(record("a.json", seed=1)), str(record("b.json", recipe="gan_cls"))])
    assert [(row["recipe"], row["seed"]) for row in seeds.load()] == [("attngan", 1), ("gan_cls", 0)]
    assert "parameters" not in seeds.load()[0]
    seeds.main([str(record("c.json", seed=1, metrics={"flowers": 0.75})), str(record("d.json"))])
    assert [(row["recipe"], row["seed"], row["metrics"]["flowers"]) for row in seeds.load()] == [
        ("attngan", 0, 0.5),
        ("attngan", 1, 0.75),
        ("gan_cls", 0, 0.5),
    ]
    assert "attngan  seed 1  10 steps  2 min  flowers 0.750" in capsys.readouterr().out


def test_what_is_no_record_is_refused_and_nothing_is_lost(record, tmp_path, capsys):
    seeds.main([str(record("a.json"))])
    broken, without, empty = tmp_path / "broken.json", record("without.json"), record("empty.json", metrics={})
    broken.write_text("{")
    without.write_text('{"recipe": "attngan"}')
    wrong = {broken: "is no record", without: "is no record", empty: "is no record", tmp_path / "no.json": "no file"}
    for file, message in wrong.items():
        with pytest.raises(SystemExit):
            seeds.main([str(record("b.json", seed=5)), str(file)])
        assert message in capsys.readouterr().err
    assert [row["seed"] for row in seeds.load()] == [0]


def test_a_run_with_options_or_fewer_steps_is_another_one(record, capsys):
    files = record("a.json"), record("b.json", options={"others": 0}), record("c.json", steps=5)
    seeds.main([str(file) for file in files])
    assert "attngan others=0  seed 0" in capsys.readouterr().out
    assert [(row["options"], row["steps"]) for row in seeds.load()] == [({"others": 0}, 10), ({}, 5), ({}, 10)]


def test_of_a_file_among_the_options_its_name_is_kept(record):
    (row,) = seeds.add([record("a.json", options={"stage1": "runs/of/stage_1.safetensors", "others": 0})])
    assert row["options"] == {"stage1": "stage_1.safetensors", "others": 0}


def test_without_records_what_is_known_is_shown_and_nothing_is_written(record):
    assert seeds.add([]) == []
    assert not seeds.FILE.exists()
