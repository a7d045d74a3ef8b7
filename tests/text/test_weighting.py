"""Words that count more or less."""

import pytest
import torch

from t2i_course.text import clip
from t2i_course.text.weighting import parse, span, weighted


def by_letters(captions):
    """A tokenizer with as many tokens as letters, a start, an end, and room for twenty."""
    rows = [[1, *(ord(c) for c in caption if c != " "), 2] for caption in captions]
    return torch.tensor([(row + [0] * 20)[:20] for row in rows])


def read(captions):
    """A context that is far from the empty one wherever there is a token."""
    return by_letters(captions)[..., None].float() * torch.tensor([1.0, 2.0])


def test_weights_are_read():
    assert parse("a bird") == ("a bird", [])
    plain, weights = parse("a (red:1.5) bird on (a branch:0.5)")
    assert plain == "a red bird on a branch"
    assert weights == [("a ", "red", 1.5), ("a red bird on ", "a branch", 0.5)]
    for wrong in ("a (red:x) bird", "a (red:-1) bird", "a (red:9) bird", "(red:)"):
        with pytest.raises(ValueError, match="a weight is a number from 0 to 5"):
            parse(wrong)
    for nested in ("a ((red:1.5):2) bird", "a (very (red:1.5) one:2)"):
        with pytest.raises(ValueError, match="a weight inside a weight"):
            parse(nested)
    assert parse("a (red) bird (red:2)") == ("a (red) bird red", [("a (red) bird ", "red", 2.0)])  # not inside


@pytest.mark.parametrize(
    ("before", "words", "expected"), [("", "red", (1, 4)), ("a ", "red", (2, 5)), ("aa ", "a a", (3, 5))]
)
def test_the_place_of_words_by_letters(before, words, expected):
    found = span(by_letters, before, words)
    assert (found.start, found.stop) == expected


@pytest.mark.parametrize("pad", [0, 49407])
def test_the_place_of_words_in_the_tokens_of_clip(pad):
    """Word by word: start, a, photograph (one piece), of ... and a word of several pieces."""
    tokens_of = lambda captions: clip.tokenize(captions, pad=pad)  # noqa: E731
    pieces = tokens_of(["a photograph of a zygodactylous bird"])[0].tolist()
    found = span(tokens_of, "a photograph of a ", "zygodactylous")
    alone = tokens_of(["zygodactylous"])[0].tolist()
    assert found.stop - found.start > 1
    assert pieces[found] == alone[1 : 1 + found.stop - found.start]
    assert pieces[found.stop] == tokens_of(["bird"])[0, 1]


def test_the_weight_moves_the_words_and_nothing_else():
    plain, null = read(["a red bird"]), read([""])
    more = weighted(read, by_letters, ["a (red:1.5) bird", "a bird"])
    assert more.shape == (2, 20, 2)
    torch.testing.assert_close(more[:1, 2:5] - null[:, 2:5], 1.5 * (plain - null)[:, 2:5])
    others = [0, 1, *range(5, 20)]
    assert torch.equal(more[0, others], plain[0, others])
    assert torch.equal(more[1:], read(["a bird"]))
    assert torch.equal(weighted(read, by_letters, ["a (red:0) bird"])[:, 2:5], null[:, 2:5])


def test_a_tokenizer_that_refuses_long_captions_need_not_read_words_twice():
    def strict(captions):
        if any(len(caption.replace(" ", "")) > 18 for caption in captions):
            raise ValueError("too long")
        return by_letters(captions)

    assert span(strict, "a" * 15, " red") == slice(16, 19)
    assert span(strict, "a" * 14, " red") == span(by_letters, "a" * 14, " red") == slice(15, 18)


def test_words_beyond_the_end_are_cut():
    long = "a" * 30
    assert torch.equal(weighted(read, by_letters, [f"{long} (red:2)"]), read([long + " red"]))
