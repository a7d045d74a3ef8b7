"""Words of a caption that count more or less: "a (red:1.5) bird on a (branch:0.5)".

The context of a caption is one vector for each token. Where a weight is given, a token's vector is moved away from that
of the empty caption, or towards it, by so much; 1 leaves it as it is. This is how people who draw with Stable Diffusion
write, and the simplest of several ways to read it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from torch import Tensor

WEIGHTED = re.compile(r"\(([^():]+):([^():]*)\)")

Read = Callable[[Sequence[str]], Tensor]


def parse(caption: str) -> tuple[str, list[tuple[str, str, float]]]:
    """The caption without weights, and for each weight: the text before, the words, and how much they count.

    Raises ValueError for a weight that is not a number from 0 to 5, and for weights inside weights.
    """
    plain, weights, end = "", [], 0
    if nested := re.search(r"\([^()]*\([^()]*:[^()]*\)[^()]*:[^()]*\)", caption):
        raise ValueError(f"{nested[0]!r} in a caption: a weight inside a weight; give each word one, as in (red:1.5).")
    for found in WEIGHTED.finditer(caption):
        plain += caption[end : found.start()]
        try:
            weight = float(found[2])
        except ValueError:
            weight = -1.0
        if not 0 <= weight <= 5:
            raise ValueError(f"{found[0]!r} in a caption: a weight is a number from 0 to 5, as in (red:1.5).")
        weights.append((plain, found[1], weight))
        plain, end = plain + found[1], found.end()
    return plain + caption[end:], weights


def span(tokens_of: Read, before: str, words: str) -> slice:
    """Where the tokens of `words` stand when they follow the text `before`.

    Found by comparing, so it serves every tokenizer that reads word by word: what differs first between a text and a
    longer one is the first token of what was added.
    """
    short, long = (tokens_of([text])[0] for text in (before, before + words))
    first = ((short != long).nonzero().flatten().tolist() or [len(short)])[0]
    try:
        longer = tokens_of([f"{before}{words} {words}"])[0]
    except ValueError:  # no room for them twice; then nothing is cut, and those that were added can be counted
        padding = tokens_of([""])[0][-1]
        return slice(first, first + int((long != padding).sum() - (short != padding).sum()))
    end = ((long != longer).nonzero().flatten().tolist() or [len(short)])[0]
    return slice(first, end)  # beyond the end: cut off


def weighted(read: Read, tokens_of: Read, captions: Sequence[str]) -> Tensor:
    """The context (B, T, K) of captions with weights.

    read: captions without weights -> context. tokens_of: captions -> tokens (B, T).
    """
    parsed = [parse(caption) for caption in captions]
    context = read([plain for plain, _ in parsed])
    if not any(weights for _, weights in parsed):
        return context
    null, context = read([""])[0], context.clone()
    for row, (_, weights) in zip(context, parsed, strict=True):
        for before, words, weight in weights:
            where = span(tokens_of, before, words)
            row[where] = null[where] + weight * (row[where] - null[where])
    return context
