"""Sheets, pictures and films as files."""

import io

import numpy as np
import pytest
from PIL import Image

from t2i_course.show import files


def colours(n, size=8):
    """n pictures of one colour each."""
    rng = np.random.default_rng(0)
    return np.broadcast_to(rng.integers(0, 256, (n, 1, 1, 3)), (n, size, size, 3)).astype(np.uint8)


def test_a_grid_holds_every_picture_in_reading_order():
    pictures = colours(5)
    sheet = files.grid(pictures, columns=3, gap=2)
    assert sheet.shape == (2 * 10 + 2, 3 * 10 + 2, 3)
    for i in range(5):
        y, x = 2 + i // 3 * 10, 2 + i % 3 * 10
        assert (sheet[y : y + 8, x : x + 8] == pictures[i]).all()
    assert (sheet[12:, 22:] == 255).all()  # the sixth place stays white


def test_a_grid_refuses_what_is_no_picture():
    for wrong in (np.zeros((2, 8, 8, 3)), np.zeros((8, 8, 3), np.uint8), np.zeros((0, 8, 8, 3), np.uint8)):
        with pytest.raises(ValueError, match="uint8"):
            files.grid(wrong)


@pytest.mark.parametrize("kind", ["gif", "animated_png"])
def test_a_film_keeps_its_frames_order_and_colours(kind):
    frames = colours(6, 16)
    film = Image.open(io.BytesIO(getattr(files, kind)(frames, seconds=3, hold=1)))
    assert film.n_frames == 6
    for i, frame in enumerate(frames):
        film.seek(i)
        assert np.abs(np.asarray(film.convert("RGB")).astype(int) - frame).max() < 16
        assert film.info["duration"] == (1500 if i == 5 else 500)


def test_a_failed_write_leaves_the_old_picture(tmp_path, monkeypatch):
    path = tmp_path / "x.png"
    files.save_picture(path, colours(1)[0])
    before = path.read_bytes()

    def full_disk(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full_disk)
    with pytest.raises(OSError, match="No space"):
        files.save_picture(path, colours(2)[1])
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["x.png"]


def test_the_format_follows_the_name(tmp_path):
    for name, kind in {"a.png": "PNG", "a.JPG": "JPEG", "a.webp": "WEBP"}.items():
        files.save_picture(tmp_path / name, colours(1)[0])
        assert Image.open(tmp_path / name).format == kind
