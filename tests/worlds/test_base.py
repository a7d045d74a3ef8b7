"""What every world shares: splits, batches, and the cache of pictures."""

import json
import os
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest

from t2i_course import worlds
from t2i_course.worlds import cache
from t2i_course.worlds.base import SPLITS, to_float, to_uint8

from .tiny import Squares

WORLD = Squares()


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("T2I_CACHE", str(tmp_path))
    return tmp_path / "worlds"


@pytest.mark.parametrize("name", ["squares", *worlds.NAMES])
def test_splits_are_disjoint_and_novel_holds_the_withheld_pairs(name):
    world = WORLD if name == "squares" else worlds.load(name)
    truths = {s: {repr(sorted(world.truth(world.spec(s, i)).items())) for i in range(60)} for s in SPLITS}
    for a in SPLITS:
        for b in SPLITS[: SPLITS.index(a)]:
            assert not truths[a] & truths[b], (a, b)
    for split in SPLITS:
        assert all(world.is_novel(world.truth(world.spec(split, i))) == (split == "novel") for i in range(60))
    for i in range(20):
        assert world.is_novel(world.caption("novel", i)[1])


def test_specs_and_captions_are_the_same_in_every_call():
    assert WORLD.spec("test", 7) == WORLD.spec("test", 7)
    assert WORLD.caption("test", 7, seed=3) == WORLD.caption("test", 7, seed=3)
    assert len({WORLD.caption("train", 7, seed=s)[0] for s in range(30)}) > 3


def test_batches_are_seeded_complete_and_continue_where_they_stopped(own_cache):
    def pixels(**options):
        return [b.pictures.sum(dim=(1, 2, 3)).tolist() for b in WORLD.batches("train", 8, 4, n=10, **options)]

    whole = pixels(epochs=3, seed=1)
    assert [len(batch) for batch in whole] == [4, 4, 2] * 3
    assert pixels(epochs=3, seed=1, start=4) == whole[4:]
    assert pixels(epochs=3, seed=2) != whole
    assert sorted(sum(whole[:3], [])) == sorted(sum(whole[3:6], []))  # every epoch shows every picture once
    assert whole[:3] != whole[3:6]  # in another order
    endless = WORLD.batches("train", 8, 4, n=10, epochs=None)
    assert [len(next(endless).captions) for _ in range(7)] == [4] * 7


def test_a_batch_shows_what_its_truth_says(own_cache):
    (batch,) = WORLD.batches("val", 32, 3, n=3)
    assert batch.pictures.shape == (3, 3, 32, 32)
    assert batch.pictures.min() >= -1
    assert batch.pictures.max() <= 1
    for picture, text, facts, truth in zip(
        to_uint8(batch.pictures), batch.captions, batch.facts, batch.truth, strict=True
    ):
        assert facts == WORLD.facts(text)
        assert facts.items() <= truth.items()
        corner = picture[0, 0].mean()
        assert (corner > 128) == (truth["ground"] == "white")


def test_float_and_uint8_are_inverses():
    pictures = np.arange(2 * 4 * 5 * 3, dtype=np.uint8).reshape(2, 4, 5, 3)
    assert (to_uint8(to_float(pictures)) == pictures).all()
    with pytest.raises(ValueError, match="uint8"):
        to_uint8(pictures.astype(float))
    with pytest.raises(ValueError, match=r"\(B, 3, H, W\)"):
        to_uint8(to_float(pictures)[:, :2])
    floats = to_float(pictures)
    assert (to_float(floats) == floats).all()
    assert to_float(3 * floats).abs().max() == 1


def test_what_is_no_picture_is_refused_whatever_is_made_of_it():
    import torch

    broken = torch.zeros(4, 3, 8, 8)
    broken[2, 1, 5, 5], broken[3] = torch.nan, torch.inf
    for convert in (to_uint8, to_float):
        with pytest.raises(ValueError, match="Picture 2 .* not finite"):
            convert(broken)
        with pytest.raises(ValueError, match="floating point.* not torch.uint8"):
            convert(torch.zeros(4, 3, 8, 8, dtype=torch.uint8))
        with pytest.raises(ValueError, match="not a list"):
            convert([1, 2])


def test_bad_requests_are_refused():
    for wrong in ({"size": 0}, {"batch_size": 0}, {"n": -1}, {"start": -1}, {"epochs": 0}):
        with pytest.raises(ValueError, match="must be positive|not be negative"):
            WORLD.batches(**{"split": "val", "size": 8, "batch_size": 2, **wrong})
    with pytest.raises(ValueError, match="no split 'training'"):
        WORLD.batches("training", 8, 2)
    with pytest.raises(ValueError, match="at least as many pictures"):
        WORLD.batches("val", 8, 20, n=10, epochs=None)
    with pytest.raises(ValueError, match="no world 'fish'"):
        worlds.load("fish")


# --- the cache --------------------------------------------------------------------------------------------------------


def test_the_cache_is_rendered_once_and_read_only(own_cache, monkeypatch):
    first = cache.cached_pictures(WORLD, "val", 8, 5)
    assert (first[2] == WORLD.render(WORLD.spec("val", 2), 8)).all()
    monkeypatch.setattr(Squares, "render", None)  # a second rendering would fail
    assert (cache.cached_pictures(WORLD, "val", 8, 5) == first).all()
    with pytest.raises(ValueError, match="read-only"):
        first[0] = 0


def damage_a_byte(folder):
    with open(folder / "pictures.npy", "r+b") as file:
        file.seek(500)
        byte = file.read(1)[0]
        file.seek(500)
        file.write(bytes([byte ^ 255]))


def cut_off(folder):
    os.truncate(folder / "pictures.npy", 300)


def empty(folder):
    (folder / "pictures.npy").write_bytes(b"")


def half_record(folder):
    (folder / "record.json").write_text('{"shape": [5, 8')


def no_record(folder):
    (folder / "record.json").unlink()


@pytest.mark.parametrize("damage", [damage_a_byte, cut_off, empty, half_record, no_record])
def test_a_damaged_cache_is_noticed_and_built_again(own_cache, capsys, damage):
    good = np.array(cache.cached_pictures(WORLD, "val", 8, 5))
    (folder,) = own_cache.iterdir()
    damage(folder)
    assert (cache.cached_pictures(WORLD, "val", 8, 5) == good).all()
    assert "damaged" in capsys.readouterr().err
    assert json.loads((folder / "record.json").read_text())["shape"] == [5, 8, 8, 3]


def test_an_interrupted_rendering_leaves_nothing(own_cache, monkeypatch):
    def stop(self, spec, size):
        raise KeyboardInterrupt

    monkeypatch.setattr(Squares, "render", stop)
    with pytest.raises(KeyboardInterrupt):
        cache.cached_pictures(WORLD, "val", 8, 5)
    assert list(own_cache.iterdir()) == []


def test_a_killed_rendering_leaves_no_half_cache(own_cache):
    script = (
        "from tests.worlds.tiny import Squares\nfrom t2i_course.worlds import cache\n"
        "cache.cached_pictures(Squares(), 'val', 256, 3000)"
    )
    process = subprocess.Popen([sys.executable, "-c", script])
    while not list(own_cache.glob("*.tmp-*/pictures.npy")):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert all(".tmp-" in folder.name for folder in own_cache.iterdir())
    good = cache.cached_pictures(WORLD, "val", 8, 3)
    assert (good[1] == WORLD.render(WORLD.spec("val", 1), 8)).all()


def test_left_overs_of_killed_processes_are_removed_after_an_hour(own_cache):
    old, young = own_cache / "squares-x.tmp-1", own_cache / "squares-y.tmp-2"
    for folder in (old, young):
        folder.mkdir(parents=True)
    os.utime(old, (time.time() - 7200,) * 2)
    cache.cached_pictures(WORLD, "val", 8, 3)
    assert not old.exists()
    assert young.exists()


def test_a_full_disk_is_said_before_the_work(own_cache, monkeypatch):
    monkeypatch.setattr(cache.shutil, "disk_usage", lambda _: SimpleNamespace(free=100))
    with pytest.raises(ValueError, match="Free some room, or set T2I_CACHE"):
        cache.cached_pictures(WORLD, "val", 8, 5)


def test_workers_draw_what_one_process_draws(own_cache, monkeypatch):
    monkeypatch.setattr(cache.os, "sched_getaffinity", lambda _: {0, 1}, raising=False)  # also on one core
    world = worlds.load("flowers")
    pictures = cache.cached_pictures(world, "train", 16, 520)  # enough for workers
    for i in (0, 259, 260, 519):
        assert (pictures[i] == world.render(world.spec("train", i), 16)).all()


def test_more_captions_of_the_same_pictures_on_request(own_cache):
    plain = next(WORLD.batches("train", 8, 6, seed=1, n=12))
    rich = next(WORLD.batches("train", 8, 6, seed=1, n=12, more=3))
    assert plain.more == []
    assert rich.captions == plain.captions
    assert [len(others) for others in rich.more] == [3] * 6
    for truth, others in zip(rich.truth, rich.more, strict=True):
        assert all(WORLD.facts(caption).items() <= truth.items() for caption in others)
    assert len({caption for others in rich.more for caption in others}) > 6


def test_fits_says_which_captions_are_true_of_which_pictures(own_cache):
    batch = next(WORLD.batches("train", 8, 24, n=24))
    fits = batch.fits()
    assert fits.diagonal().all()
    assert not fits.all()
    for i, facts in enumerate(batch.facts):
        for j, truth in enumerate(batch.truth):
            assert fits[i, j] == all(truth[name] == value for name, value in facts.items())
    assert fits.sum() > 24  # in so small a world some captions fit other pictures, too


def test_mixed_batches_share_out_equally_and_continue_where_they_stopped(own_cache):
    options = {"n": 8, "epochs": None, "more": 1}
    stream = worlds.mixed_batches(("flowers", "birds"), "train", 16, 4, seed=2, **options)
    batches = [next(stream) for _ in range(5)]
    for batch in batches:
        assert batch.pictures.shape == (4, 3, 16, 16)
        assert len(batch.more) == 4
        for world, mine in (("flowers", slice(0, 2)), ("birds", slice(2, 4))):
            for caption, facts in zip(batch.captions[mine], batch.facts[mine], strict=True):
                assert worlds.load(world).facts(caption) == facts
    later = next(worlds.mixed_batches(("flowers", "birds"), "train", 16, 4, seed=2, start=4, **options))
    assert later.captions == batches[4].captions
    assert later.pictures.equal(batches[4].pictures)
    with pytest.raises(ValueError, match="cannot be shared out equally among 2 worlds"):
        worlds.mixed_batches(("flowers", "birds"), "train", 16, 5)
