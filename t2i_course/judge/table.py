"""Judge anything that draws: caption accuracy by attribute and split, FID (world), and seconds per picture."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from t2i_course.worlds.base import PICTURES

from .caption_accuracy import compare, standard_error, true_pictures


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

    Returns plain data: {"world", "n", "seed", "splits": {split: {"accuracy", "standard_error", "by_attribute",
    "wholly_right", "withheld_pair", "facts", "left_out", "FID (world)", "seconds_per_picture", "chance": ...,
    "ceiling": ...}}}. The last two are the same of true pictures: dealt to other captions, and to their own.
    "withheld_pair" is the share of the captions whose withheld pair was wholly drawn. What cannot be measured is None.

    FID compares with `references` true pictures that belong to none of the captions; it falls as `n` grows, also for
    true pictures, so look at the ceiling beside it. It is None if `n` is too small for it.
    """
    if n < 2:
        raise ValueError(f"n ({n}) must be at least 2: chance is measured with the pictures of other captions.")
    for split in splits:
        if split in PICTURES and n + references > PICTURES[split]:
            raise ValueError(
                f"n ({n}) is too large: of the {PICTURES[split]} pictures of the split {split!r}, {references} are "
                f"kept for FID to compare with. Take n <= {PICTURES[split] - references}."
            )
    result = {"world": world.name, "n": n, "seed": seed, "splits": {}}
    for split in splits:
        result["splits"][split] = _judge_split(draw, world, n, split, seed, size, batch_size, references)
    return result


def _judge_split(draw, world, n, split, seed, size, batch_size, references) -> dict:
    from .metrics import fid
    from .recogniser import load_recogniser

    recogniser = load_recogniser(world)
    captions, facts = zip(*(world.caption(split, i, seed) for i in range(n)), strict=True)
    drawn, seconds = _draw_all(draw, list(captions), seed, batch_size, f"drawing {world.name}/{split}")
    features = recogniser.features(drawn)
    enough = min(n, references) > features.shape[1]  # for FID
    true = true_pictures(world, split, n + references * enough, size)
    seen = recogniser.read(true[:n])
    score, chance, ceiling = (_measured(facts, found, world) for found in (recogniser.read(drawn), _rolled(seen), seen))
    name, reference = f"FID ({world.name})", recogniser.features(true[n:]) if enough else None
    score[name] = fid(reference, features) if enough else None
    ceiling[name] = fid(reference, recogniser.features(true[:n])) if enough else None
    return {**score, "seconds_per_picture": seconds / n, "chance": chance, "ceiling": ceiling}


def _rolled(items: list) -> list:
    return [*items[-1:], *items[:-1]]


def _measured(facts, found, world) -> dict:
    """What one column of the table says of caption accuracy."""
    score = compare(facts, found)
    pairs = [{k: v for pair in world.withheld if pair.items() <= f.items() for k, v in pair.items()} for f in facts]
    measured = {
        "accuracy": score.accuracy,
        "standard_error": standard_error(facts, found),
        "by_attribute": score.by_attribute,
        "wholly_right": score.wholly_right,
        "withheld_pair": compare(pairs, found).wholly_right,
        "facts": score.facts,
        "left_out": score.left_out,
    }
    return {key: None if value != value else value for key, value in measured.items()}  # NaN is unlike itself


def format_table(result: dict) -> str:
    """The result of `judge` for a terminal: one row per attribute, chance and ceiling beside every score."""
    splits, fid_name = result["splits"], f"FID ({result['world']})"
    columns = [column for m in splits.values() for column in (m, m["chance"], m["ceiling"])]
    attributes = sorted({name for column in columns for name in column["by_attribute"]})

    def row(name, values, form):
        return [name, *("-" if value is None else form.format(value) for value in values)]

    shares = [
        row("all facts", [c["accuracy"] for c in columns], "{:.1%}"),
        row("  +/- standard error", [c["standard_error"] for c in columns], "{:.1%}"),
        *(row(a.replace("_", " "), [c["by_attribute"].get(a) for c in columns], "{:.1%}") for a in attributes),
        row("whole captions", [c["wholly_right"] for c in columns], "{:.1%}"),
        row("withheld pair", [c["withheld_pair"] for c in columns], "{:.1%}"),
    ]
    others = [
        row(name.replace("_", " "), [c.get(name) for c in columns], "{:.3g}")
        for name in (fid_name, "seconds_per_picture")
    ]
    header = ["caption accuracy", *(name for split in splits for name in (split, "chance", "ceiling"))]
    widths = [max(map(len, column)) for column in zip(header, *shares, *others, strict=True)]
    rule = ["-" * width for width in widths]

    def line(row):
        cells = [cell.rjust(width) for cell, width in zip(row, widths, strict=True)]
        return "  ".join([row[0].ljust(widths[0]), *cells[1:]]).rstrip()

    title = f"{result.get('system', 'drawn')}: {result['n']} captions of each split of {result['world']}"
    notes = ["chance: true pictures of other captions; ceiling: true pictures of these captions"]
    notes += [
        f"{split}: {m['facts']} facts; {m['left_out']} captions without facts left out"
        for split, m in splits.items()
        if m["left_out"]
    ]
    if any(m[fid_name] is None for m in splits.values()):
        notes.append("FID needs more pictures than these (--n)")
    return "\n".join([title, "", *map(line, [header, rule, *shares, rule, *others]), "", *notes])


def _draw_all(draw, captions, seed, batch_size, title) -> tuple[np.ndarray, float]:
    """Pictures uint8 (N, H, W, 3) of all captions, and the seconds it took to draw them."""
    from tqdm.auto import tqdm

    from t2i_course.worlds.base import to_uint8

    drawn, seconds = [], 0.0
    with tqdm(total=len(captions), desc=title, unit="pictures") as bar:
        for start in range(0, len(captions), batch_size):
            portion = captions[start : start + batch_size]
            before = time.perf_counter()
            # A seed of its own, lest all portions, or runs with neighbouring seeds, get the same noise.
            portion_seed = int(np.random.SeedSequence([seed, start]).generate_state(1)[0])
            pictures = draw(portion, portion_seed)
            seconds += time.perf_counter() - before
            try:
                pictures = to_uint8(pictures)
            except ValueError as error:
                raise ValueError(f"What was drawn for captions {start} and following: {error}") from error
            if len(pictures) != len(portion):
                raise ValueError(f"{len(portion)} captions were to be drawn, and {len(pictures)} pictures came back.")
            drawn.append(pictures)
            bar.update(len(portion))
    return np.concatenate(drawn), seconds
