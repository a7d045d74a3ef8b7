"""What a training run writes into its folder, so that a kill at any moment leaves nothing half done.

    run/checkpoints/step_00001000/   model.safetensors, ema.safetensors, state.pt, checksums.json (the last two kept)
    run/log.csv                      one row of losses every few steps
    run/metrics.csv                  one row per evaluation
    run/samples/step_00001000.png

A checkpoint is written into a temporary folder, flushed to disk, and renamed: it appears complete or not at all. Should
the disk damage it later, its checksums tell; it is renamed to step_00001000.damaged, and the one before is used. Tables
are only ever appended to or replaced as a whole; half a last line is what a kill can leave, and is not read.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import platform
import shutil
import subprocess
import sys
import zlib
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save, save_model
from torch import nn

from .paths import write_atomically

KEPT_CHECKPOINTS = 2


def save_checkpoint(folder: Path, step: int, networks: dict[str, nn.Module | None], state: dict) -> None:
    """Write weights and state as the checkpoint of `step`, and remove all but the last two."""
    final = folder / "checkpoints" / f"step_{step:08d}"
    temporary = final.with_suffix(".tmp")
    temporary.mkdir(parents=True)
    for name, network in networks.items():
        if network is not None:
            save_model(network, str(temporary / f"{name}.safetensors"))
    torch.save(state, temporary / "state.pt")
    checksums = {file.name: _checksum(file) for file in temporary.iterdir()}
    (temporary / "checksums.json").write_text(json.dumps(checksums))
    for file in [*temporary.iterdir(), temporary]:
        _flush_to_disk(file)
    os.replace(temporary, final)
    _flush_to_disk(final.parent)
    for old in checkpoints(folder)[:-KEPT_CHECKPOINTS]:
        shutil.rmtree(old)


def load_state(checkpoint: Path) -> dict:
    """Everything but the weights: recipe, seed, step, seconds, optimisers."""
    return torch.load(checkpoint / "state.pt", map_location="cpu", weights_only=True)


def prepare(folder: Path, resume: bool) -> None:
    """Make the folder; remove what a killed run left half written, or (resume=False) the whole earlier run."""
    (folder / "samples").mkdir(parents=True, exist_ok=True)
    if not resume:
        for old in folder.glob("checkpoints/step_*"):
            shutil.rmtree(old)
        for old in folder.glob("samples/step_*.png"):
            old.unlink()
        for name in ("log.csv", "metrics.csv"):
            (folder / name).unlink(missing_ok=True)
    for unfinished in folder.glob("checkpoints/*.tmp"):
        shutil.rmtree(unfinished)
    while found := checkpoints(folder):
        problem = _damage(found[-1])
        if not problem:
            break
        aside = found[-1].with_suffix(".damaged")
        print(f"{found[-1]} is damaged ({problem}). It is now {aside.name}; going on before it.", file=sys.stderr)
        if aside.exists():
            shutil.rmtree(aside)
        os.replace(found[-1], aside)


def checkpoints(folder: Path) -> list[Path]:
    """The whole checkpoints, oldest first; neither unfinished (.tmp) nor .damaged ones."""
    return sorted(path for path in folder.glob("checkpoints/step_*") if not path.suffix)


def last_step(folder: Path) -> int | None:
    """Step of the newest checkpoint, None without one."""
    found = checkpoints(folder)
    return int(found[-1].name.removeprefix("step_")) if found else None


def _damage(checkpoint: Path) -> str:
    """What is wrong with a checkpoint's files; empty if nothing is. Files that cannot be read now may be all right."""
    try:
        expected = json.loads((checkpoint / "checksums.json").read_text())
        wrong = [name for name, checksum in expected.items() if _checksum(checkpoint / name) != checksum]
    except (FileNotFoundError, ValueError) as error:
        return str(error)
    except OSError as error:
        raise OSError(error.errno, f"cannot be read ({error.strerror}); left as it is", str(checkpoint)) from error
    return f"{', '.join(wrong)}: wrong checksum" if wrong else ""


def _checksum(file: Path) -> int:
    return zlib.crc32(file.read_bytes())


def _flush_to_disk(path: Path) -> None:
    if path.is_dir() and os.name != "posix":  # only POSIX can flush a folder
        return
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read_csv(path: Path) -> list[dict[str, str]]:
    if not path.exists():
        return []
    text = path.read_text(encoding="utf-8")
    whole_lines = text[: text.rfind("\n") + 1]
    return list(csv.DictReader(io.StringIO(whole_lines)))


def _write_csv(path: Path, rows: list[dict[str, Any]]) -> None:
    columns = dict.fromkeys(name for row in rows for name in row)
    table = io.StringIO(newline="")
    writer = csv.DictWriter(table, columns)
    writer.writeheader()
    writer.writerows(rows)
    write_atomically(path, table.getvalue().encode())


def append_csv(path: Path, row: dict[str, Any]) -> None:
    """Add a row; if it has other columns than the file, the file gets them, too."""
    header = None
    if path.exists():
        with path.open(newline="", encoding="utf-8") as file:
            header = next(csv.reader(file), None)
    if header != list(row):
        _write_csv(path, [*_read_csv(path), row])
        return
    with path.open("a", newline="", encoding="utf-8") as file:
        csv.DictWriter(file, row).writerow(row)


def trim_csv(path: Path, step: int) -> None:
    """Drop the rows after `step`, which a resumed run writes again, and half a last line."""
    kept = [row for row in _read_csv(path) if (row.get("step") or "").isdigit() and int(row["step"]) <= step]
    if kept:
        _write_csv(path, kept)
    else:
        path.unlink(missing_ok=True)


def write_png(path: Path, picture: np.ndarray) -> None:
    from PIL import Image

    path.parent.mkdir(exist_ok=True)
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG")
    write_atomically(path, buffer.getvalue())


def _commit() -> str | None:
    """The commit that the code is at, marked if files were changed since; None outside a repository."""
    try:
        command = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
        done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True)
    except OSError:
        return None
    return done.stdout.strip() or None


def export(folder: str | Path, path: str | Path, fp16: bool = True, record: dict | None = None) -> dict:
    """Write the run's weights to `path` (safetensors) and beside it a JSON record of how they were made.

    The moving average is taken if there is one, without what the recipe leaves out. `record` adds to the entries that
    are written anyway: recipe, seed, steps, seconds, parameters (without buffers such as batch norm's averages),
    hardware, commit, versions, date, the metrics measured at that step if any, and the recipe's own. Returns it all.
    """
    folder, path = Path(folder), Path(path)
    if path.suffix != ".safetensors":
        raise ValueError(f"{path}: a file of weights is called NAME.safetensors.")
    found = checkpoints(folder)
    if not found:
        raise FileNotFoundError(f"{folder} holds no checkpoint: train a recipe there first.")
    state = load_state(found[-1])
    weights_file = found[-1] / "ema.safetensors"
    weights = load_file(weights_file if weights_file.exists() else found[-1] / "model.safetensors")
    left_out = tuple(state.get("leave_out", ()))
    weights = {name: t for name, t in weights.items() if not name.startswith(left_out)}
    if fp16:
        weights = {name: t.half() if t.is_floating_point() else t for name, t in weights.items()}
    if not all(torch.isfinite(t).all() for t in weights.values()):
        raise ValueError(f"{path}: some weights are not finite{' in fp16: export with fp16=False' if fp16 else ''}.")
    full_record = {
        "recipe": state["recipe"],
        "seed": state["seed"],
        "steps": state["step"],
        "seconds": round(state["seconds"]),
        "parameters": sum(t.numel() for name, t in weights.items() if name not in state.get("buffers", ())),
        "hardware": hardware(),
        "commit": _commit(),
        "versions": {"python": platform.python_version()} | {p: version(p) for p in ("torch", "accelerate")},
        "date": date.today().isoformat(),
        "metrics": last_metrics(folder),
        **state.get("record", {}),
    } | (record or {})
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, save(weights))
    write_atomically(path.with_suffix(".json"), (json.dumps(full_record, indent=2) + "\n").encode())
    return full_record


def is_measured(folder: Path, step: int) -> bool:
    return any(row.get("step") == str(step) for row in _read_csv(folder / "metrics.csv"))


def last_metrics(folder: str | Path) -> dict[str, float]:
    """What was measured at the newest checkpoint; empty if nothing was, as after an interruption."""
    folder = Path(folder)
    rows = [row for row in _read_csv(folder / "metrics.csv") if row.get("step") == str(last_step(folder))]
    return {name: float(value) for name, value in rows[-1].items() if name != "step" and value} if rows else {}


def hardware(device: str = "cuda") -> str:
    """The machine in words: its GPU, if it has one, or (also if device is "cpu") its processor and torch's threads."""
    if device != "cpu" and torch.cuda.is_available():
        return f"{torch.cuda.device_count()} x {torch.cuda.get_device_name()}"
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return f"{line.split(':')[1].strip()}, {torch.get_num_threads()} threads"
    return f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads"
