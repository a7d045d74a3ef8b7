"""Captions as numbers, one per word: what the word-level text encoders (alignDRAW, AttnGAN) read."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from t2i_course import worlds
from t2i_course.worlds.language import UnknownWord, words

PADDING = 0


def vocabulary(*world_names: str) -> tuple[str, ...]:
    """All words of these worlds' captions, in alphabetical order, and the comma. Word k has the number k + 1."""
    return tuple(sorted({","}.union(*(worlds.load(name).vocabulary for name in world_names))))


def check_captions(captions: Sequence[str]) -> None:
    """Raise ValueError for what is not a list (or tuple) of at least one text."""
    if isinstance(captions, str) or not isinstance(captions, Sequence) or not captions:
        raise ValueError("captions is a list of at least one text; put your text into brackets: [text].")
    for caption in captions:
        if not isinstance(caption, str):
            raise ValueError(f"captions is a list of texts, and {caption!r} is none.")


def numbers(
    caption: str,
    number_of: Mapping[str, int],
    length: int | None = None,
    split: Callable[[str], list[str]] = words,
) -> list[int]:
    """The numbers of a caption's words, of the first `length`. Raises UnknownWord for a word without a number."""
    row = split(caption)[:length]
    for word in row:
        if word not in number_of:
            raise UnknownWord(word, number_of, "the worlds that this model was trained on")
    return [number_of[word] for word in row]


def encode(
    captions: Sequence[str],
    vocabulary: Sequence[str],
    length: int | None = None,
    split: Callable[[str], list[str]] = words,
) -> tuple[Tensor, Tensor]:
    """Captions -> numbers of their words (B, T), padded with 0, and how many words each has (B,).

    T is that of the longest caption, or `length`: then longer captions are cut. split: caption -> its words. Raises
    UnknownWord for a word that is not in the vocabulary, and ValueError for a caption without words, or for what is
    no list of captions.
    """
    check_captions(captions)
    number_of = {word: k + 1 for k, word in enumerate(vocabulary)}
    rows = []
    for caption in captions:
        row = numbers(caption, number_of, length, split)
        if not row:
            raise ValueError(f"The caption {caption!r} holds no word.")
        rows.append(row)
    tokens = torch.full((len(rows), length or max(map(len, rows))), PADDING)
    for i, row in enumerate(rows):
        tokens[i, : len(row)] = torch.tensor(row)
    return tokens, torch.tensor([len(row) for row in rows])
