"""What notebooks show always comes with words, and widgets answer mistakes where the reader looks."""

import base64

import numpy as np
import pytest

from t2i_course import show
from t2i_course.diffusion.latent_diffusion import LatentDiffusion
from t2i_course.show import notebook
from t2i_course.worlds import World


@pytest.fixture
def displayed(monkeypatch):
    """Everything that is displayed: a list of (data, metadata)."""
    seen = []

    def display(thing, raw=False, metadata=None):
        seen.append((thing if raw else {"text/markdown": thing.data}, metadata))

    monkeypatch.setattr("IPython.display.display", display)
    return seen


def test_pictures_come_with_their_description(displayed):
    show.pictures(np.zeros((2, 8, 8, 3), np.uint8), ["a", "b"], alt="two black squares")
    (figure, metadata), (below, _) = displayed
    assert figure["text/plain"] == "two black squares"
    assert metadata["image/png"]["alt"] == "two black squares"
    assert below["text/markdown"] == "*two black squares*"
    assert base64.b64decode(figure["image/png"]).startswith(b"\x89PNG")


def test_nothing_is_shown_without_words(displayed):
    with pytest.raises(ValueError, match="alt text"):
        show.pictures(np.zeros((1, 8, 8, 3), np.uint8), alt=" ")
    with pytest.raises(ValueError, match="2 pictures cannot have 1 captions"):
        show.pictures(np.zeros((2, 8, 8, 3), np.uint8), ["a"], alt="two")
    assert not displayed


def test_source_is_the_code_that_runs(displayed):
    show.source(World.split_of)
    text = displayed[0][0]["text/markdown"]
    assert text.startswith("`t2i_course/worlds/base.py`, line ")
    assert "\ndef split_of(self, spec) -> str:\n" in text  # and not indented as in its class
    show.source(LatentDiffusion.decode)  # which torch.no_grad() decorates
    assert displayed[1][0]["text/markdown"].startswith("`t2i_course/diffusion/latent_diffusion.py`, line ")


def test_tables_round_floats(displayed):
    show.table([{"a": 1, "b": 0.12345}, {"a": 2, "b": 2.0}])
    assert displayed[0][0]["text/markdown"] == "| a | b |\n| --- | --- |\n| 1 | 0.123 |\n| 2 | 2.000 |"


def test_play_draws_again_and_says_what_is_wrong(displayed, monkeypatch):
    boxes = []
    monkeypatch.setattr(notebook, "_png", lambda picture: picture.tobytes())

    def draw(word, size):
        if word == "bad":
            raise ValueError("<no such word>")
        return np.full((size, size, 3), len(word), np.uint8)

    import ipywidgets

    real = ipywidgets.VBox
    monkeypatch.setattr(ipywidgets, "VBox", lambda children: boxes.append(real(children)) or boxes[-1])
    show.play(draw, word="abc", size=(1, 4, 1, 2), alt="a grey square")
    word, size, note, image = boxes[0].children
    assert image.value == draw("abc", size.value).tobytes()
    data = displayed[0][0]
    assert data["text/plain"] == "a grey square"
    assert base64.b64decode(data["image/png"]) == image.value
    size.value = 1
    assert image.value == draw("abc", 1).tobytes()
    word.value = "bad"
    assert note.value == "<b>&lt;no such word&gt;</b>"
    word.value = "four"
    assert note.value == ""
    assert image.value == draw("four", 1).tobytes()


def test_everything_that_show_promises_is_there():
    for name in show.__all__:
        assert callable(getattr(show, name))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        show.nothing  # noqa: B018


def test_a_brush_is_played_with_square_by_square(displayed):
    seen, brush = [], show.Brush(4, (5, 6))

    def draw(where):
        seen.append(where)
        return (255 * show.Brush.mask(where, 8, 4)[..., None].repeat(3, 2)).astype(np.uint8)

    show.play(draw, where=brush, alt="two white squares on black")
    brush.squares[0].value = True
    brush.squares[6].value = False
    assert seen == [(5, 6), (0, 5, 6), (0, 5)]
    assert draw(brush.value)[:, :, 0].nonzero()[0].tolist() == [0, 0, 1, 1, 2, 2, 3, 3]  # rows of two blocks of 2 x 2
    assert brush.children[0].value == "where"
    with pytest.raises(ValueError, match="4 squares do not fit into 9 pixels"):
        show.Brush.mask((), 9, 4)
