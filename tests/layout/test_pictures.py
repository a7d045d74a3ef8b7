"""Step 2: finding pictures, and the most typical of several."""

import json

import numpy as np
import pytest
from PIL import Image

from t2i_course.layout.pictures import LibraryPicture, PictureLibrary, mean_shift, most_typical, segments

DISC = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 64 64"><circle cx="32" cy="32" r="{r}" fill="{fill}"/></svg>'
)


@pytest.fixture
def library():
    return PictureLibrary.default()


def names(pictures):
    return [picture.name for picture in pictures]


def test_words_find_pictures_by_plural_inflection_and_ending(library):
    assert names(library.candidates("cows")) == ["cow"]
    assert names(library.candidates("fat brown cows")) == ["cow"]
    assert names(library.candidates("gave", "verb")) == names(library.candidates("giving", "verb")) == ["give"]
    assert names(library.candidates("red stop signs")) == ["stop sign"]
    assert library.candidates("justice") == []
    assert library.candidates("") == []


def test_every_pictogram_is_found_by_its_name_and_synonyms(library):
    for picture in library.pictures:
        for words in (picture.name, *picture.synonyms):
            assert picture in library.candidates(words, picture.pos), words


def test_a_folder_groups_numbered_files(tmp_path):
    for name, colour in (("dog_1.png", "brown"), ("dog_2.jpg", "black"), ("hot_air_balloon.png", "red")):
        Image.new("RGB", (30, 20), colour).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("not a picture")
    library = PictureLibrary.from_folder(tmp_path)
    assert len(library) == 3
    assert len(library.candidates("dogs")) == 2
    assert names(library.candidates("a hot air balloon")) == ["hot air balloon"]
    pixels = library.candidates("hot air balloon")[0].pixels(30)
    assert tuple(pixels[15, 15]) == (255, 0, 0, 255)
    assert pixels[0, 0, 3] == 0  # fitted, not stretched


def test_a_missing_or_empty_folder_says_what_to_do(tmp_path):
    with pytest.raises(ValueError, match=r"no folder .*nowhere.*dog_1\.png"):
        PictureLibrary.from_folder(tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"holds no \.svg"):
        PictureLibrary.from_folder(tmp_path)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("cat.png", b"\x89PNG nonsense \xff\xfe"),
        ("cat.png", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR and no more"),
        ("cat.jpg", b"nonsense"),
        ("cat.svg", b"\x89PNG nonsense \xff\xfe"),
        ("cat.svg", b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><circle r="5"></svg>'),
        ("cat.svg", b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"/>'),
    ],
)
def test_a_damaged_file_is_named(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=name):
        PictureLibrary.from_folder(tmp_path)


def test_an_empty_library_is_refused():
    with pytest.raises(ValueError, match="at least one picture"):
        PictureLibrary([])


def test_a_photograph_taken_sideways_stands_upright(tmp_path):
    photo = Image.new("RGB", (40, 20), "blue")
    photo.paste("red", (0, 0, 20, 20))  # left; upright it is the top
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise
    photo.save(tmp_path / "cat.png", exif=exif)
    pixels = LibraryPicture("cat", tmp_path / "cat.png").pixels(40)
    assert tuple(pixels[5, 20, :3]) == (255, 0, 0)
    assert tuple(pixels[35, 20, :3]) == (0, 0, 255)
    assert pixels[20, 2, 3] == 0


def test_an_index_without_a_file_name_is_refused(tmp_path):
    (tmp_path / "index.json").write_text(json.dumps([{"name": "cat"}]))
    with pytest.raises(ValueError, match="lacks file"):
        PictureLibrary.from_index(tmp_path / "index.json")


def test_the_odd_one_out_is_not_typical(tmp_path):
    for i, (fill, r) in enumerate(
        [("#2060D0", 12), ("#E02020", 28), ("#E02828", 29), ("#D82020", 27), ("#20C040", 8)], 1
    ):
        (tmp_path / f"ball_{i}.svg").write_text(DISC.format(fill=fill, r=r))
    chosen = most_typical(PictureLibrary.from_folder(tmp_path).candidates("ball"))
    assert chosen.path.name in {"ball_2.svg", "ball_3.svg", "ball_4.svg"}


def test_segments_describe_colour_size_and_place(tmp_path):
    (tmp_path / "ball.svg").write_text(DISC.format(fill="#FF0000", r=16))
    (row,) = segments(LibraryPicture("ball", tmp_path / "ball.svg").pixels(64))
    np.testing.assert_allclose(row[:3], [1, 0, 0], atol=0.01)
    assert row[3] ** 2 == pytest.approx(np.pi * 16**2 / 64**2, rel=0.05)
    np.testing.assert_allclose(row[4:6], [0.5, 0.5], atol=0.02)
    assert segments(np.zeros((32, 32, 4), np.uint8)).shape == (0, 8)


def test_mean_shift_finds_two_heaps():
    rng = np.random.default_rng(0)
    points = np.concatenate([rng.normal(0, 0.05, (20, 3)), rng.normal(1, 0.05, (10, 3))])
    labels, centres = mean_shift(points, bandwidth=0.3)
    assert len(centres) == 2
    assert len(set(labels[:20])) == len(set(labels[20:])) == 1
    np.testing.assert_allclose(centres[labels[0]], points[:20].mean(0), atol=0.02)
