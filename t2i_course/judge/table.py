"""Judge anything that draws: caption accuracy by attribute and split, FID (world), and seconds per picture."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from .caption_accuracy import Score, caption_accuracy, ceiling


def judge(
    draw: Callable,
    world,
    n: int = 200,
    splits: tuple[str, ...] = ("test", "novel"),
    seed: int = 0,
    size: int = 64,
    batch_size: int = 16,
    references: int = 1000,
) -> dict:
    """Let `draw(captions, seed)` draw `n` captions of each split, and measure what came out.

    Returns plain data: {"world", "n", "seed", "splits": {split: {"accuracy", "wholly_right", "facts", "left_out",
    "by_attribute", "ceiling": the same of true pictures, "FID (world)", "seconds_per_picture"}}}. FID compares with
    `references` true pictures of `size` pixels; it is None if `n` is too small for it.
    """
    if n < 1:
        raise ValueError(f"n ({n}) must be at least 1.")
    result = {"world": world.name, "n": n, "seed": seed, "splits": {}}
    for split in splits:
        captions = [world.caption(split, i, seed)[0] for i in range(n)]
        pictures, seconds = _draw_all(draw, captions, seed, batch_size, f"drawing {world.name}/{split}")
        best = ceiling(world, split, n, size, seed)
        result["splits"][split] = {
            **_as_data(caption_accuracy(pictures, captions, world)),
            "ceiling": _as_data(best),
            f"FID ({world.name})": _fid(pictures, world, split, size, references),
            "seconds_per_picture": seconds / n,
        }
    return result


def format_table(result: dict) -> str:
    """The result of `judge` for a terminal: one row per attribute, the ceiling beside every score."""
    splits = result["splits"]
    header = ["caption accuracy"]
    for split in splits:
        header += [split, "ceiling"]
    attributes = sorted({a for measured in splits.values() for a in measured["ceiling"]["by_attribute"]})
    rows = [[name.replace("_", " ")] for name in ("all facts", *attributes, "whole captions")]
    for measured in splits.values():
        for part in (measured, measured["ceiling"]):
            shares = [part["accuracy"], *(part["by_attribute"].get(a) for a in attributes), part["wholly_right"]]
            for row, share in zip(rows, shares, strict=True):
                row.append("-" if share is None else f"{share:.1%}")
    others = [[], []]
    for row, name in zip(others, (f"FID ({result['world']})", "seconds_per_picture"), strict=True):
        row.append(name.replace("_", " "))
        for measured in splits.values():
            value = measured[name]
            row += ["-" if value is None else f"{value:.3g}", ""]
    widths = [max(len(row[i]) for row in [header, *rows, *others]) for i in range(len(header))]
    rule = ["-" * width for width in widths]

    def line(row):
        cells = [cell.rjust(width) for cell, width in zip(row, widths, strict=True)]
        return "  ".join([row[0].ljust(widths[0]), *cells[1:]]).rstrip()

    title = f"{result.get('system', 'drawn')}: {result['n']} captions of each split of {result['world']}"
    notes = [
        f"{split}: {m['facts']} facts; {m['left_out']} captions without facts left out"
        for split, m in splits.items()
        if m["left_out"]
    ]
    if any(m[f"FID ({result['world']})"] is None for m in splits.values()):
        notes.append("FID needs more pictures than these (--n)")
    return "\n".join([title, "", *map(line, [header, rule, *rows, rule, *others]), *notes])


def _draw_all(draw, captions, seed, batch_size, title) -> tuple[np.ndarray, float]:
    """Pictures uint8 (N, H, W, 3) of all captions, and the seconds it took to draw them."""
    from tqdm.auto import tqdm

    from t2i_course.worlds.base import to_uint8

    drawn, seconds = [], 0.0
    with tqdm(total=len(captions), desc=title, unit="pictures") as bar:
        for start in range(0, len(captions), batch_size):
            portion = captions[start : start + batch_size]
            before = time.perf_counter()
            pictures = to_uint8(draw(portion, seed + start))  # a seed of its own, lest all portions get the same noise
            seconds += time.perf_counter() - before
            if len(pictures) != len(portion):
                raise ValueError(f"{len(portion)} captions were to be drawn, and {len(pictures)} pictures came back.")
            drawn.append(pictures)
            bar.update(len(portion))
    return np.concatenate(drawn), seconds


def _as_data(score: Score) -> dict:
    return {
        "accuracy": score.accuracy,
        "wholly_right": score.wholly_right,
        "facts": score.facts,
        "left_out": score.left_out,
        "by_attribute": score.by_attribute,
    }


def _fid(pictures, world, split, size, references) -> float | None:
    """FID (world) against true pictures of the same split, or None if there are too few pictures for it."""
    import torch

    from .metrics import fid
    from .recogniser import load_recogniser

    recogniser = load_recogniser(world)
    drawn = recogniser.features(pictures)
    if min(len(drawn), references) <= drawn.shape[1]:
        return None
    true = [b.pictures for b in world.batches(split, size, 250, n=references, shuffle=False)]
    return fid(recogniser.features(torch.cat(true)), drawn)
