"""How much of a caption each system draws, of captions enough that differences mean something.

    python -m t2i_course.judge.standings gan_cls stackgan ...

lets systems draw for some minutes, and keeps what was measured in data/benchmarks/standings.json, from which the
chapters take their tables.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import reduce
from zlib import crc32

from t2i_course.paths import DATA, write_json

FILE = DATA / "benchmarks" / "standings.json"
KEPT = ("accuracy", "standard_error", "wholly_right", "by_attribute", "withheld_pair")
OPTIONS = ("steps", "sampler", "guidance_scale")  # of a system that can be asked to draw otherwise


def standing(draw: Callable, world, n: int = 500) -> list[dict]:
    """One row for each of the splits test and novel: {"world", "split", "n", "accuracy", "standard_error",
    "wholly_right", "by_attribute", "withheld_pair", "fid", of true pictures "ceiling" and "true_fid", and of true
    pictures of other captions "chance"}, of the first n captions.

    The row of test has "diversity", too, and "true_diversity" (None where `specs_of` finds none), of eight pictures for
    each of its first 25 captions. draw(captions, seed) -> pictures (B, 3, H, W) in [-1, 1], or uint8 arrays. Raises
    UnknownWord for a world that it does not draw.
    """
    from .progress import TooRare, diversity, true_diversity
    from .table import judge

    varied = {"diversity": diversity(draw, world, split="test"), "true_diversity": None}
    with suppress(TooRare):
        varied["true_diversity"] = true_diversity(world, split="test")
    fid, rows = f"FID ({world.name})", []
    for split, measured in judge(draw, world, n)["splits"].items():
        ceiling = measured["ceiling"]
        rows.append({"world": world.name, "split": split, "n": n, **{name: measured[name] for name in KEPT}})
        rows[-1] |= {"fid": measured[fid], "ceiling": ceiling["accuracy"], "true_fid": ceiling[fid]}
        rows[-1] |= {"chance": measured["chance"]["accuracy"], **(varied if split == "test" else {})}
    return rows


def checksum(system) -> str:
    """Of all the weights with which a system draws, by which one sees whether a row was measured of others."""
    from torch import nn

    parts = [part for kept in vars(system).values() for part in (kept, getattr(kept, "module", None))]
    tensors = [t for part in parts if isinstance(part, nn.Module) for t in part.state_dict().values()]
    return f"{reduce(lambda crc, t: crc32(t.cpu().contiguous().numpy().tobytes(), crc), tensors, 0):08x}"


def load(systems: Sequence[str], world: str, split: str = "test") -> list[dict]:
    """What was measured, one row for each of `systems` in their order.

    Raises ValueError for a system that was not measured on this split of this world.
    """
    rows = {(row["system"], row["world"], row["split"]): row for row in _known()}
    for system in systems:
        if (system, world, split) not in rows:
            raise ValueError(
                f"{system} was not measured on {world}/{split}: run `python -m t2i_course.judge.standings {system} "
                f"--worlds {world}`."
            )
    return [rows[system, world, split] for system in systems]


def table(systems: Sequence[str], worlds: Sequence[str] = ("flowers", "birds")) -> list[dict]:
    """What the chapters show: the facts that each system draws (with the standard error of the split test), how often
    both of a pair that training withheld, FID and diversity; and the same of true pictures, of their own captions and
    of others."""
    from t2i_course import timeline

    rows = []
    for world in worlds:
        if len(counts := {row["n"] for row in load(systems, world)}) > 1:
            raise ValueError(
                f"These systems were measured on {sorted(counts)} captions of {world}: take one n for all."
            )
        test, novel = load(systems, world, "test"), load(systems, world, "novel")
        for t, n in zip(test, novel, strict=True):
            rows.append({"world": world, "system": timeline.find(t["system"]).title, "test": t["accuracy"]})
            rows[-1] |= {"±": t["standard_error"], "novel": n["accuracy"], "its pair": n["withheld_pair"]}
            rows[-1] |= {"FID": t["fid"], "diversity": t["diversity"]}
        t, n = test[0], novel[0]
        rows.append({"world": world, "system": "(true pictures)", "test": t["ceiling"], "novel": n["ceiling"]})
        varied = t["true_diversity"]
        rows[-1] |= {"FID": t["true_fid"], "diversity": "" if varied is None else varied}
        rows.append({"world": world, "system": "(of other captions)", "test": t["chance"], "novel": n["chance"]})
    return rows


def _known() -> list[dict]:
    return json.loads(FILE.read_text("utf-8"))["rows"] if FILE.exists() else []


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure systems on the worlds that they draw, each kept as soon as it is measured."""
    from datetime import date

    from t2i_course import timeline, worlds
    from t2i_course.worlds.language import UnknownWord

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("systems", nargs="+", metavar="SYSTEM", help="as in `t2i systems`")
    parser.add_argument("--worlds", nargs="+", default=["flowers", "birds"], choices=worlds.NAMES)
    parser.add_argument("--n", type=int, default=500, help="captions of each split (default: 500)")
    options = parser.parse_args(arguments)
    try:
        for name in options.systems:
            timeline.find(name)
    except ValueError as error:
        parser.error(str(error))
    if not 2 <= options.n <= 1000:
        parser.error(f"--n ({options.n}) is between 2 and 1,000.")
    for name in options.systems:
        system = timeline.load(name)
        for world in options.worlds:
            try:
                rows = standing(system.draw, worlds.load(world), options.n)
            except UnknownWord as error:
                print(f"{name} does not draw {world}: {error}")
                continue
            how = {option: getattr(system, option) for option in OPTIONS if hasattr(system, option)}
            measured = {"options": how, "weights": checksum(system), "date": date.today().isoformat()}
            others = [row for row in _known() if (row["system"], row["world"]) != (name, world)]
            rows = sorted(others + [{"system": name, **row, **measured} for row in rows], key=_key)
            write_json(FILE, {"rows": rows, "command": "python -m t2i_course.judge.standings SYSTEM"})
            test = load([name], world)[0]
            print(f"{name} {world}: {test['accuracy']:.3f} ± {test['standard_error']:.3f} of {test['ceiling']:.3f}")


def _key(row: dict) -> tuple:
    return row["system"], row["world"], row["split"]


if __name__ == "__main__":
    main()
