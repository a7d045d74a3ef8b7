"""Does a recipe work, or did it work once? What became of the same recipe from several seeds.

    t2i train attngan --seed 1 --folder RUN --export RUN/attngan.safetensors
    python -m t2i_course.judge.seeds RUN/attngan.json ...

The second command keeps what the records beside exported weights say in data/benchmarks/seeds.json, one for each recipe
with its options, steps and seed.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from t2i_course.paths import DATA, write_json

FILE = DATA / "benchmarks" / "seeds.json"
KEPT = ("recipe", "seed", "steps", "seconds", "hardware", "commit", "date", "metrics")


def load() -> list[dict]:
    """All that is known, by recipe, options, steps and seed."""
    return json.loads(FILE.read_text("utf-8")) if FILE.exists() else []


def add(records: Sequence[str | Path]) -> list[dict]:
    """Keep what these records (.json) say; one that is read later replaces another of the same run.

    Raises ValueError for a file that is no record of a training, or one without metrics.
    """
    known = {_run(row): row for row in load()}
    for file in records:
        try:
            record = json.loads(Path(file).read_text("utf-8"))
            row = {name: record[name] for name in KEPT}
            # Of a file, such as the Stage I below a Stage II, the name: folders differ between machines.
            options = record.get("options", {}).items()
            row["options"] = {name: Path(v).name if isinstance(v, str) else v for name, v in options}
            if not row["metrics"]:
                raise KeyError("metrics")
        except FileNotFoundError:
            raise ValueError(f"There is no file {file}.") from None
        except (ValueError, KeyError, TypeError):
            raise ValueError(
                f"{file} is no record of a training with its metrics: `t2i train --export` writes one."
            ) from None
        known[_run(row)] = row
    rows = [known[key] for key in sorted(known)]
    if records:
        write_json(FILE, rows)
    return rows


def _run(row: dict) -> tuple:
    """What tells one run from another."""
    return row["recipe"], json.dumps(row["options"], sort_keys=True), row["steps"], row["seed"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Keep records, and show all that is known."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("records", nargs="*", metavar="RECORD.json", help="beside exported weights")
    try:
        for row in add(parser.parse_args(arguments).records):
            measured = "  ".join(f"{name} {value:.3f}" for name, value in row["metrics"].items())
            run = " ".join([row["recipe"], *(f"{name}={value}" for name, value in row["options"].items())])
            print(f"{run}  seed {row['seed']}  {row['steps']} steps  {row['seconds'] / 60:.0f} min  {measured}")
    except ValueError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
