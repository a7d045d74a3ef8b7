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

from t2i_course.paths import DATA, write_json

FILE = DATA / "benchmarks" / "standings.json"
KEPT = ("accuracy", "standard_error", "wholly_right", "by_attribute", "withheld_pair")


def standing(draw: Callable, world, n: int = 500, splits: Sequence[str] = ("test", "novel")) -> list[dict]:
    """One row for each split: {"world", "split", "n", "accuracy", "standard_error", "wholly_right", "by_attribute",
    "withheld_pair", "fid", "diversity", "seconds_per_picture", and of true pictures "ceiling", "true_fid",
    "true_diversity", and of true pictures of other captions "chance"}, of the first n captions.

    draw(captions, seed) -> pictures (B, 3, H, W) in [-1, 1]. Raises UnknownWord for a world that it does not draw.
    """
    from .progress import diversity, true_diversity
    from .table import judge

    varied = {"diversity": diversity(draw, world, split="test"), "true_diversity": None}
    with suppress(ValueError):  # a scene's caption says too much to be met by chance
        varied["true_diversity"] = true_diversity(world, split="test")
    fid, rows = f"FID ({world.name})", []
    for split, measured in judge(draw, world, n, tuple(splits))["splits"].items():
        ceiling = measured["ceiling"]
        rows.append({"world": world.name, "split": split, "n": n, **{name: measured[name] for name in KEPT}})
        rows[-1] |= {"fid": measured[fid], **varied, "seconds_per_picture": measured["seconds_per_picture"]}
        rows[-1] |= {"ceiling": ceiling["accuracy"], "true_fid": ceiling[fid], "chance": measured["chance"]["accuracy"]}
    return rows


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
    """What the chapters show: the facts that each system draws (with the standard error of the split test), FID and
    diversity, and below them the same of true pictures, of their own captions and of others."""
    from t2i_course import timeline

    rows = []
    for world in worlds:
        test, novel = load(systems, world, "test"), load(systems, world, "novel")
        for t, n in zip(test, novel, strict=True):
            rows.append({"world": world, "system": timeline.find(t["system"]).title, "test": t["accuracy"]})
            rows[-1] |= {"±": t["standard_error"], "novel": n["accuracy"], "FID": t["fid"], "diversity": t["diversity"]}
        t, n = test[0], novel[0]
        rows.append({"world": world, "system": "(true pictures)", "test": t["ceiling"], "novel": n["ceiling"]})
        rows[-1] |= {"FID": t["true_fid"], "diversity": t["true_diversity"]}
        rows.append({"world": world, "system": "(of other captions)", "test": t["chance"], "novel": n["chance"]})
    return rows


def _known() -> list[dict]:
    return json.loads(FILE.read_text("utf-8"))["rows"] if FILE.exists() else []


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure systems on the worlds that they draw, each kept as soon as it is measured."""
    from datetime import date

    from t2i_course import timeline, worlds
    from t2i_course.run_files import hardware
    from t2i_course.worlds.language import UnknownWord

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("systems", nargs="+", metavar="SYSTEM", help="as in `t2i systems`")
    parser.add_argument("--worlds", nargs="+", default=["flowers", "birds"], choices=worlds.NAMES)
    parser.add_argument("--n", type=int, default=500, help="captions of each split (default: 500)")
    options = parser.parse_args(arguments)
    for name in options.systems:
        system = timeline.load(name)
        for world in options.worlds:
            try:
                rows = standing(system.draw, worlds.load(world), options.n)
            except UnknownWord as error:
                print(f"{name} does not draw {world}: {error}")
                continue
            measured = {"hardware": hardware(), "date": date.today().isoformat()}
            others = [row for row in _known() if (row["system"], row["world"]) != (name, world)]
            rows = sorted(others + [{"system": name, **row, **measured} for row in rows], key=_key)
            write_json(FILE, {"rows": rows, "command": "python -m t2i_course.judge.standings SYSTEM"})
            test = load([name], world)[0]
            print(f"{name} {world}: {test['accuracy']:.3f} ± {test['standard_error']:.3f} of {test['ceiling']:.3f}")


def _key(row: dict) -> tuple:
    return row["system"], row["world"], row["split"]


if __name__ == "__main__":
    main()
