"""The pictogram library: every picture is there, drawn whole, and like no other."""

import json
import re

import numpy as np
import pytest

from t2i_course.paths import DATA
from t2i_course.worlds.base import rasterise

FOLDER = DATA / "pictograms"
INDEX = json.loads((FOLDER / "index.json").read_text(encoding="utf-8"))
SIZE = 48

# Every noun of the lecture's example captions that can be seen.
LECTURE = """farmer hay goat milk cow girl bus school stop_sign sky elephant herd toilet grass field flower petal bird
breast crown crest wing""".split()


def alone(svg: str, background: str) -> np.ndarray:
    """A pictogram on one colour, with a wide margin around its frame of 64 units: int (SIZE, SIZE, 3)."""
    wide = svg.replace('viewBox="0 0 64 64"', 'viewBox="-8 -8 80 80"', 1)
    paper = f'<rect x="-8" y="-8" width="80" height="80" fill="{background}"/>'
    return rasterise(re.sub(r"(<svg[^>]*>)", rf"\1{paper}", wide, count=1), SIZE).astype(int)


@pytest.fixture(scope="module")
def drawn():
    return {e["name"]: alone((FOLDER / e["file"]).read_text(encoding="utf-8"), "#ffffff") for e in INDEX}


def test_the_index_and_the_folder_agree():
    assert {e["file"] for e in INDEX} == {path.name for path in FOLDER.glob("*.svg")}
    assert len(INDEX) >= 160
    for entry in INDEX:
        assert set(entry) == {"name", "file", "synonyms", "category", "pos", "attribution"}
        assert entry["file"] == entry["name"].replace(" ", "_") + ".svg"
        assert entry["pos"] in ("noun", "verb")


def test_no_word_means_two_pictures():
    words = [word for e in INDEX for word in [e["name"], *e["synonyms"]]]
    assert sorted(words) == sorted(set(words))


def test_the_lecture_can_be_drawn():
    words = {word for e in INDEX for word in [e["name"], *e["synonyms"]]}
    assert not {name.replace("_", " ") for name in LECTURE} - words


def test_no_picture_is_empty_or_tiny(drawn):
    for name, picture in drawn.items():
        assert (picture.min(axis=2) < 250).mean() > 0.06, name


def test_no_picture_is_clipped_by_its_frame(drawn):
    margin = SIZE * 8 // 80
    for name, picture in drawn.items():
        inside = picture[margin:-margin, margin:-margin]
        assert (picture < 250).sum() == (inside < 250).sum(), name


def test_no_picture_is_a_duplicate(drawn):
    names, pictures = list(drawn), np.stack(list(drawn.values())).astype(np.float32)
    for i, name in enumerate(names[:-1]):
        distance = np.abs(pictures[i + 1 :] - pictures[i]).mean(axis=(1, 2, 3))
        assert distance.min() > 2, (name, names[i + 1 + int(distance.argmin())])


def test_the_style_is_one(drawn):
    allowed = set(
        """#2E2A3B #FFFFFF #F6EFE3 #FFD9B3 #E0A878 #9A6240 #E4572E #B83A1B #F4A259 #F7D154 #E0A526 #8CC152 #4E8D3A
        #2A9D8F #5DA9E9 #2F6DB5 #BFE3F7 #9B6BC8 #F49AC2 #D4608F #8D5A3B #5F3A24 #C9CDD4 #868C98 #4A4E5A""".split()
    )
    for entry in INDEX:
        svg = (FOLDER / entry["file"]).read_text(encoding="utf-8")
        assert set(map(str.upper, re.findall(r"#[0-9a-fA-F]{6}\b", svg))) <= allowed, entry["name"]
        assert 'viewBox="0 0 64 64"' in svg
        assert not re.search(r"<(text|image|filter|script|style|a)\b|href|on\w+=", svg), entry["name"]
