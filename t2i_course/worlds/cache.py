"""Pictures rendered once, by all cores, into a memory-mapped file.

A cache is a folder with `pictures.npy`, uint8 (n, size, size, 3), and `record.json`, which holds its checksum. It is
built under another name and renamed when it is whole, so a killed process leaves no half cache; a damaged one is
noticed by its checksum and built again.
"""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from pathlib import Path

import numpy as np

from ..paths import cache_folder

_REPORT_EVERY = 32  # pictures between two lines of a worker's report


def cached_pictures(world, split: str, size: int, n: int) -> np.ndarray:
    """The first `n` pictures of a split, uint8 (n, size, size, 3), read-only and memory-mapped."""
    folder = cache_folder() / "worlds" / f"{world.name}-{split}-{size}px-{n}-{world.fingerprint()}"
    pictures = _open(folder)
    if pictures is None:
        _build(world, split, size, n, folder)
        pictures = _open(folder)
    if pictures is None:
        raise ValueError(f"The picture cache {folder} could not be written whole; is the disk full or failing?")
    return pictures


def _open(folder: Path) -> np.ndarray | None:
    """The pictures of a cache, or None if there is none or it is damaged."""
    if not folder.exists():
        return None
    pictures = None
    try:
        record = json.loads((folder / "record.json").read_text())
        pictures = np.load(folder / "pictures.npy", mmap_mode="r", allow_pickle=False)
        whole = list(pictures.shape) == record["shape"] and _checksum(pictures) == record["crc32"]
    except (OSError, EOFError, ValueError, KeyError, TypeError):
        whole = False
    if not whole:
        print(f"The picture cache {folder.name} is damaged; it is built again.", file=sys.stderr)
        pictures = None  # closes the file: Windows removes no folder with an open one
        shutil.rmtree(folder, ignore_errors=True)
    return pictures


def _checksum(pictures: np.ndarray) -> int:
    crc = 0
    for start in range(0, len(pictures), 1024):
        crc = zlib.crc32(pictures[start : start + 1024], crc)
    return crc


def _build(world, split: str, size: int, n: int, folder: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    for left_over in folder.parent.glob("*.tmp-*"):  # of processes that were killed
        with contextlib.suppress(FileNotFoundError):  # another process has just finished it
            if time.time() - left_over.stat().st_mtime > 3600:
                shutil.rmtree(left_over, ignore_errors=True)
    needed, free = n * size * size * 3, shutil.disk_usage(folder.parent).free
    if needed > free:
        raise ValueError(
            f"The picture cache needs {needed / 2**20:.0f} MiB, but only {free / 2**20:.0f} MiB are free in "
            f"{folder.parent}. Free some room, or set T2I_CACHE to a folder on another disk."
        )
    temporary = Path(tempfile.mkdtemp(prefix=f"{folder.name}.tmp-", dir=folder.parent))
    try:
        shape = (n, size, size, 3)
        pictures = np.lib.format.open_memmap(temporary / "pictures.npy", mode="w+", dtype=np.uint8, shape=shape)
        _render_all(world, split, size, n, pictures, temporary / "pictures.npy")
        pictures.flush()
        record = {"world": world.name, "split": split, "shape": shape, "crc32": _checksum(pictures)}
        (temporary / "record.json").write_text(json.dumps(record))
        del pictures  # closes the file: Windows renames no folder with an open one
        try:
            os.rename(temporary, folder)
        except OSError:
            if not folder.exists():  # if it does, another process was faster, and its pictures are the same
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _render_all(world, split, size, n, pictures, file):
    from tqdm.auto import tqdm

    from . import NAMES, load

    with tqdm(total=n, desc=f"drawing {world.name}/{split} at {size} px", unit="pictures", disable=n < 500) as bar:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        if world.name in NAMES and load(world.name) is world and n >= 500 and cores > 1:
            _render_by_workers(world.name, split, size, n, file, cores, bar)
        else:
            for done in _render_range(world, split, size, range(n), pictures):
                bar.update(done)


def _render_range(world, split, size, indices, pictures):
    """Draw these pictures, yielding now and then how many more are done."""
    since = 0
    for i in indices:
        pictures[i] = world.render(world.spec(split, i), size)
        since += 1
        if since == _REPORT_EVERY:
            yield since
            since = 0
    yield since


def _render_by_workers(name, split, size, n, file, cores, bar):
    # Plain subprocesses, not multiprocessing: they work the same from notebooks and from scripts without a
    # __main__ guard, on every platform, and do not copy a parent that may hold gigabytes of torch.
    package_parent = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join(filter(None, [package_parent, os.environ.get("PYTHONPATH")]))
    command = [sys.executable, "-m", "t2i_course.worlds.cache", name, split, str(size), str(file)]
    workers = [
        subprocess.Popen(
            [*command, str(n * i // cores), str(n * (i + 1) // cores)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": path},
        )
        for i in range(cores)
    ]

    def follow(worker):
        for line in worker.stdout:
            bar.update(int(line))

    readers = [threading.Thread(target=follow, args=(worker,), daemon=True) for worker in workers]
    try:
        for reader in readers:
            reader.start()
        for worker in workers:
            if worker.wait():
                raise RuntimeError(f"Drawing {name}/{split} failed:\n{worker.stderr.read()[-2000:]}")
        for reader in readers:
            reader.join()
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
            worker.stdout.close()
            worker.stderr.close()


def _work(name, split, size, file, start, stop):
    import signal

    from . import load

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; the parent answers it for all

    pictures = np.load(file, mmap_mode="r+", allow_pickle=False)
    for done in _render_range(load(name), split, int(size), range(int(start), int(stop)), pictures):
        print(done, flush=True)
    pictures.flush()


if __name__ == "__main__":
    _work(*sys.argv[1:])
