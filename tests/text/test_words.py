"""Captions as numbers of words."""

import pytest
import torch

from t2i_course import worlds
from t2i_course.text.words import encode, vocabulary
from t2i_course.worlds import UnknownWord


def test_every_caption_of_the_worlds_can_be_written_in_their_vocabulary():
    known = vocabulary("flowers", "birds")
    assert list(known) == sorted(set(known))
    for name in ("flowers", "birds"):
        captions = [worlds.load(name).caption(split, i)[0] for split in ("train", "novel") for i in range(100)]
        tokens, lengths = encode(captions, known)
        assert tokens.shape == (200, lengths.max())
        assert tokens.max() <= len(known)
        for row, length in zip(tokens, lengths, strict=True):
            assert (row[:length] > 0).all()
            assert (row[length:] == 0).all()


def test_numbers_are_places_in_the_vocabulary():
    tokens, lengths = encode(["A red flower, red!", "flower"], ("flower", "red", "a", ","))
    assert tokens.tolist() == [[3, 2, 1, 4, 2], [1, 0, 0, 0, 0]]
    assert lengths.tolist() == [5, 1]
    cut, lengths = encode(["a red flower"], ("flower", "red", "a"), length=2)
    assert cut.tolist() == [[3, 2]]
    assert lengths.tolist() == [2]
    assert torch.equal(encode(["red"], ("flower", "red"), length=3)[0], torch.tensor([[2, 0, 0]]))


def test_what_is_no_caption():
    known = vocabulary("birds")
    with pytest.raises(UnknownWord, match="'elephant' means nothing in the worlds that this model was trained on"):
        encode(["a red elephant"], known)
    for wrong in ("a bird", (), [], 5, None):
        with pytest.raises(ValueError, match="list of at least one text; put your text into brackets"):
            encode(wrong, known)
    for wrong, message in {("",): "holds no word", ("a bird", 5): "a list of texts, and 5 is none"}.items():
        with pytest.raises(ValueError, match=message):
            encode(wrong, known)
