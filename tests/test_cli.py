"""The `t2i` command, as a user types it."""

import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from t2i_course import timeline
from t2i_course.cli import main

DDPM = ["draw", "ddpm", "", "-o", "x.png", "--variant", "ddpm_cifar10", "--weights", "x.pt"]
FARM = "First the farmer gives hay to the goat. Then the farmer gets milk from the cow."


def test_importing_the_course_imports_nothing_heavy():
    script = "import sys, t2i_course, t2i_course.cli; print(sorted({name.split('.')[0] for name in sys.modules}))"
    loaded = subprocess.check_output([sys.executable, "-c", script], text=True)
    assert "t2i_course" in loaded
    assert not any(repr(heavy) in loaded for heavy in ("torch", "numpy", "matplotlib", "PIL", "transformers"))


@pytest.mark.parametrize("command", ["systems", "draw", "world", "train", "judge", "release", "check", "grade"])
def test_help_shows_an_example(command, capsys):
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    assert stop.value.code == 0
    assert f"t2i {command}" in capsys.readouterr().out.split("example")[1]


def test_systems_as_a_table_and_as_data(capsys):
    assert main(["systems", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {"name", "year", "title", "anatomy", "variants", "chapter"} == set(rows[0])
    assert rows[0]["name"] == "picture_layout"
    assert all(isinstance(n, int) for row in rows for n in row["variants"].values())
    main(["systems"])
    table = capsys.readouterr().out
    assert all(row["name"] in table for row in rows)
    main(["systems", "--parts"])
    assert "vit_l_14" in capsys.readouterr().out
    assert main(["systems", "--parts", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == timeline.PARTS


def test_every_listed_system_draws_or_says_which_weights_it_needs():
    for system in timeline.systems():
        if "small" in system.variants or system.name == "picture_layout":
            picture = timeline.load(system.name).draw(["this bird is red and is on a branch"], seed=1)
            assert len(picture) == 1
        else:
            with pytest.raises(ValueError, match="weights"):
                timeline.load(system.name)


def test_draw_writes_a_picture_and_a_film(tmp_path, capsys):
    picture, film = tmp_path / "farm.png", tmp_path / "farm.gif"
    assert main(["draw", "picture_layout", FARM, "-o", str(picture), "--film", str(film), "--set", "size=128"]) == 0
    assert Image.open(picture).size == (128, 128)
    with Image.open(film) as frames:
        assert frames.n_frames > 5
        frames.seek(frames.n_frames - 1)
        last = np.asarray(frames.convert("RGB")).astype(int)
    assert np.abs(last - np.asarray(Image.open(picture).convert("RGB"))).mean() < 8  # it ends with the picture
    assert not list(tmp_path.glob(".*"))


def test_options_of_diffusion_can_be_set():
    from t2i_course.cli import _settings
    from t2i_course.diffusion.latent_diffusion import LatentDiffusion

    asked = ["steps=2", "guidance_scale=0", "sampler=ddim", "negative=a white flower"]
    assert _settings(asked, LatentDiffusion.frames) == {
        **{"steps": 2, "guidance_scale": 0},
        **{"sampler": "ddim", "negative": "a white flower"},
    }
    with pytest.raises(ValueError, match="NAME one of: every, steps"):
        _settings(["captions=x"], LatentDiffusion.frames)


@pytest.mark.parametrize("world", ["flowers", "birds", "scenes"])
def test_world_writes_a_sheet_and_its_captions(world, tmp_path, capsys):
    sheet = tmp_path / "sheet.png"
    assert main(["world", world, "--n", "4", "--size", "32", "-o", str(sheet), "--json", "--split", "novel"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert len(rows) == 4
    for row in rows:
        assert row["facts"].items() <= row["truth"].items()
    assert Image.open(sheet).size == (70, 70)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["draw", "dalle9", "a cat", "-o", "x.png"], "no system 'dalle9'. The systems are: picture_layout"),
        (["draw", "picture_layout", "a cat", "-o", "x.bmp"], "ends in .png or .jpg"),
        (["draw", "picture_layout", "a cat", "-o", "nowhere/x.png"], "folder nowhere does not exist"),
        (["draw", "picture_layout", "a cat", "-o", "x.png", "--film", "x.mp4"], "film ends in .gif"),
        (["draw", "picture_layout", "a cat", "-o", "x.png", "--set", "colour=1"], "NAME one of:"),
        (["draw", "picture_layout", "", "-o", "x.png"], "to draw"),
        (["draw", "picture_layout", "a cat", "-o", "x.png", "--variant", "huge"], "no variant 'huge'"),
        ([*DDPM, "--classifier", "y.pt"], "ddpm takes no classifier; leave it out"),
        ([*DDPM, "--vocabulary", "vocab.txt"], "ddpm takes no vocabulary; leave it out"),
        ([*DDPM, "--half"], "There is no file x.pt. It must hold the U-Net 'ddpm_cifar10'"),
        ([*DDPM, "--set", "precision=fp8"], "There is no precision 'fp8'. There are: fp32, bf16, fp16"),
        (["draw", "gan_cls", "a bird", "-o", "x.png", "--half"], "gan_cls takes no precision; leave it out"),
        (["world", "fish", "-o", "x.png"], "no world 'fish'"),
        (["world", "birds", "--n", "0", "-o", "x.png"], "at least 1"),
        (["world", "birds"], "where the sheet should go"),
        (["world", "birds", "--split", "fun", "-o", "x.png"], "no split 'fun'"),
        (["train", "nothing"], "no recipe 'nothing'"),
        (["train", "ddpm", "--export", "model.json"], "model.json: a file of weights is called NAME.safetensors"),
        (["train", "ddpm", "--set", "batch_size=abc"], "batch_size is a number, such as 24"),
        (["train", "ddpm", "--set", "batch_size=3.0"], "batch_size is a number, such as 24"),
        (["train", "attngan", "--set", "packs_from=late"], "packs_from is a number, such as 0"),
        (["judge", "picture_layout", "--world", "fish"], "no world 'fish'"),
    ],
)
def test_mistakes_are_answered_in_one_line(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert any(part in error for part in message.split("|"))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "precision"),
    [
        ([], None),
        (["--half"], "fp16"),
        (["--set", "precision=bf16", "--set", "steps=2"], "bf16"),
        (["--half", "--set", "precision=fp32"], "fp32"),  # the last one counts
    ],
)
def test_published_weights_are_loaded_in_a_precision(arguments, precision, tmp_path, monkeypatch):
    class System:
        def __init__(self, name, variant, **options):
            assert options == ({"precision": precision} if precision else {})

        def frames(self, captions, seed=0, *, steps=1):
            """Its options can be set."""

        def draw(self, captions, seed=0, steps=1):
            return np.zeros((1, 8, 8, 3), np.uint8)

    monkeypatch.setattr(timeline, "load", System)
    assert main(["draw", "stable_diffusion", "a cat", "-o", str(tmp_path / "cat.png"), *arguments]) == 0


def test_train_lists_what_can_be_trained(capsys):
    assert main(["train", "--list", "--json"]) == 0
    names = json.loads(capsys.readouterr().out)
    assert "recogniser_flowers" in names
    for name in names:
        assert timeline.recipe(name).name == name


def test_options_of_a_recipe_are_kept_in_its_record(capsys):
    made = timeline.recipe("ddpm", batch_size=6, steps=7)
    assert made.steps == 7
    assert made.record["options"] == {"batch_size": 6, "steps": 7}
    assert "options" not in timeline.recipe("ddpm").record
    assert main(["train", "ddpm", "--set", "batchsize=6"]) == 2
    assert "NAME one of: steps, batch_size." in capsys.readouterr().err
    assert main(["train", "clip", "--set", "steps=6"]) == 2
    assert "there is nothing to set" in capsys.readouterr().err


def test_draw_by_a_small_network_and_weights_that_are_not_there(tmp_path, capsys):
    picture, film = tmp_path / "bird.png", tmp_path / "bird.gif"
    assert main(["draw", "aligndraw", "this bird is red", "-o", str(picture), "--film", str(film)]) == 0
    assert Image.open(picture).size == (32, 32)
    assert main(["draw", "gan_cls", "this bird is red", "-o", str(picture)]) == 0
    assert Image.open(picture).size == (64, 64)
    capsys.readouterr()
    assert main(["draw", "gan_cls", "this bird is blurple", "-o", str(picture)]) == 2
    assert "'blurple' means nothing" in capsys.readouterr().err
    assert main(["draw", "attngan", "a bird", "-o", str(picture), "--variant", "bird", "--weights", str(tmp_path)]) == 2
    assert "words.txt cannot be read" in capsys.readouterr().err
    assert main(["draw", "picture_layout", "a bird", "-o", str(picture), "--weights", "x"]) == 2
    assert "has no weights to load" in capsys.readouterr().err


def test_too_little_memory_on_a_gpu_is_said_in_one_line(monkeypatch, capsys):
    def full(options):
        raise type("OutOfMemoryError", (RuntimeError,), {})

    monkeypatch.setattr("t2i_course.cli._draw", full)
    assert main(["draw", "gan_cls", "a bird", "-o", "x.png"]) == 2
    assert "too little memory on the GPU: try --half, or a smaller size." in capsys.readouterr().err
