"""A folder of submissions -> gradebook.csv, grades.json, feedback/*.html, summary.html.

    submissions ──answers_in──► answers ──execute, confined──► numbers ──judge──► rows
                                                                  master's numbers ─┘   (never leave this process)

One row per submission, always. Each finished row is a file in OUT/rows, so a grading that was killed goes on where it
stopped. Where `answers` are executed is a matter of taste: warm processes of this machine, or a Dask cluster.
"""

from __future__ import annotations

import builtins
import contextlib
import csv
import errno
import hashlib
import io
import json
import os
import random
import re
import secrets
import stat
import subprocess
import sys
import tempfile
import threading
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path

from ..paths import write_atomically
from . import confine, masters
from .checks import VISIBLE, differences, title_of_source
from .masters import Master

MOST_BYTES = 100 << 20  # of one submitted notebook
MOST_UNPACKED, MOST_FILES = 400 << 20, 5_000  # of the zip of one submission
MOST_UNPACKED_OF_ALL, MOST_FILES_OF_ALL = 8 << 30, 50_000  # of the zip of a class
MOST_NAME = 200  # bytes of a name in a zip that are kept
IGNORED = {"__MACOSX", ".ipynb_checkpoints", ".DS_Store", "Thumbs.db", "desktop.ini"}
FORMATS = ("t2i", "canvas", "moodle")
LIMITS = {
    "cell_seconds": 20.0,  # by the clock
    "cell_cpu_seconds": 60.0,  # of all processes and threads together
    "notebook_seconds": 120.0,
    "notebook_cpu_seconds": 240.0,
    "memory": 2 << 30,  # bytes of one process; all together may use twice as much
    "disk": 64 << 20,
    "processes": 64,
}


NOTHING = {"checks": [], "pictures": {}, "errors": {}, "trouble": {}, "seconds": 0.0}  # came back of a submission

# --- submissions ------------------------------------------------------------------------------------------------------


@dataclass
class Submission:
    """What one student handed in: its name, the file that counts, and its answers, or why there are none."""

    student: str
    file: str  # relative to the folder of submissions
    answers: dict[str, str] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    reason: str = ""  # why it is rejected
    digest: str = ""


def submissions_in(path: Path, master: Master) -> Iterator[Submission]:
    """One for each entry of the folder (or zip): a notebook, or a folder or zip with one."""
    if not os.path.lexists(path):
        raise ValueError(f"There are no submissions at {path}. Give a folder of notebooks, or a zip of one.")
    if path.is_file():
        with tempfile.TemporaryDirectory(prefix="t2i-zip-") as folder:
            try:
                unpack(path, Path(folder), MOST_UNPACKED_OF_ALL, MOST_FILES_OF_ALL)
            except ValueError as error:
                raise ValueError(f"{path}: {error}. Give a folder of notebooks, or a zip of one.") from None
            except OSError as error:
                raise ValueError(f"{path} cannot be unpacked to {folder} ({error.strerror}).") from None
            entries = _entries(Path(folder))
            while len(entries) == 1 and entries[0].is_dir() and _is_class(_entries(entries[0])):
                entries = _entries(entries[0])  # zips often hold one folder that holds all
            yield from _of_entries(entries, master)
    else:
        yield from _of_entries(_entries(path), master)


def _entries(folder: Path) -> list[Path]:
    return sorted(entry for entry in folder.iterdir() if entry.name not in IGNORED and not entry.name.startswith("._"))


def _is_class(entries: list[Path]) -> bool:
    """Whether a folder holds submissions, and not one of them: more than one file, or folders."""
    return len(entries) > 1 or any(entry.is_dir() for entry in entries)


def _of_entries(entries: list[Path], master: Master) -> Iterator[Submission]:
    if not entries:
        raise ValueError(
            "There is nothing in there to grade. Give a folder (or zip) with a notebook, or a folder, per student."
        )
    for entry in entries:
        name = os.fsencode(entry.name).decode("utf-8", "replace")
        is_folder = entry.is_dir() and not entry.is_symlink()
        submission = Submission(student=name if is_folder else os.path.splitext(name)[0], file=name)
        try:
            _fill(submission, entry, master)
        except (ValueError, OSError, RecursionError, MemoryError, UnicodeError) as error:
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise ValueError(f"The disk of {tempfile.gettempdir()} is full. Make room (or set TMPDIR).") from None
            submission.reason = _one_line(str(error)) if isinstance(error, ValueError) else _why(error)
        submission.digest = submission.digest or hashlib.blake2b(submission.reason.encode(), digest_size=8).hexdigest()
        yield submission


def _why(error: Exception) -> str:
    return f"it cannot be read ({getattr(error, 'strerror', None) or type(error).__name__})"


def _fill(submission: Submission, entry: Path, master: Master) -> None:
    if entry.is_symlink():
        raise ValueError("it is a link, and links are not followed")
    if entry.is_dir():
        return _fill_from(submission, _notebooks(entry), entry, master)
    if entry.suffix.lower() == ".zip":
        with tempfile.TemporaryDirectory(prefix="t2i-zip-") as folder:
            unpack(entry, Path(folder))
            return _fill_from(submission, _notebooks(Path(folder)), Path(folder), master)
    _fill_from(submission, [entry], entry.parent, master, alone=True)


def _notebooks(folder: Path) -> list[Path]:
    """All notebooks below a folder, without following links."""
    found = []
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in IGNORED)
        found += [Path(place) / name for name in sorted(files) if name.lower().endswith(".ipynb") and name[:2] != "._"]
    return found


def _fill_from(submission: Submission, files: list[Path], root: Path, master: Master, alone: bool = False) -> None:
    """Take the notebook with the most answers; of those, the one that was changed last."""
    best, reason = None, "it holds no notebook"
    for file in files:
        try:
            content = read_plain_file(file)
            answers, notes = masters.answers_in(parse(content), master)
        except (ValueError, OSError, RecursionError, MemoryError) as error:
            reason = str(error) if isinstance(error, ValueError) else _why(error)
            continue
        key = (len(answers), file.stat().st_mtime, str(file))
        if best is None or key > best[0]:
            best = (key, file, content, answers, notes)
    if best is None:
        raise ValueError(reason)
    _, file, content, submission.answers, submission.notes = best
    submission.digest = hashlib.blake2b(content, digest_size=8).hexdigest()
    if not alone:
        inside = os.fsencode(file.relative_to(root)).decode("utf-8", "replace")
        submission.file = f"{submission.file}/{inside}"


def read_plain_file(path: Path) -> bytes:
    """The bytes of a plain file; a link, a pipe, a device or a huge file is refused without being opened or read."""
    about = os.lstat(path)
    if not stat.S_ISREG(about.st_mode):
        raise ValueError("it is not a plain file (links are not followed)")
    if about.st_size > MOST_BYTES:
        raise ValueError(f"it is larger than {MOST_BYTES >> 20} MiB")
    return path.read_bytes()


def parse(content: bytes):
    """The notebook in the bytes of a file."""
    try:
        return json.loads(content.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        raise ValueError("it is not a notebook (no valid JSON)") from None


def unpack(path: Path, folder: Path, room: int = MOST_UNPACKED, most_files: int = MOST_FILES) -> None:
    """Unpack the notebooks and zips in a zip: plain files only, below the folder, in no more than `room` bytes.

    What is wrong with one of them (encrypted, broken, too large) costs only that one: what came out of it stays, which
    is no notebook. Of other files only the names are kept, so that nobody who handed in something is forgotten.
    Raises ValueError for what is no zip, and if there is no more room.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError) as error:
        raise ValueError(f"it is not a zip that can be read ({_one_line(str(error))})") from None
    if len(members) > most_files:
        raise ValueError(f"it holds more than {most_files:,} files")
    with zipfile.ZipFile(path) as archive:
        for member in members:
            parts = [_shortened(part) for part in member.filename.split("/") if part not in ("", ".")]
            is_link = stat.S_ISLNK(member.external_attr >> 16)
            if member.is_dir() or not parts or ".." in parts or is_link or member.filename.startswith("/"):
                continue
            size = 0
            with contextlib.suppress(*BROKEN):
                target = folder.joinpath(*parts)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.touch()
                if not parts[-1].lower().endswith((".ipynb", ".zip")):
                    continue
                with open(target, "wb") as sink, archive.open(member) as source:
                    while size <= MOST_BYTES and (chunk := source.read(1 << 20)):
                        size += len(chunk)
                        if size > room:  # what the zip says of its sizes may be a lie: count what comes out
                            raise ValueError(f"it unpacks to more than {(room + size) >> 20} MiB")
                        sink.write(chunk)
            room -= size


BROKEN = (  # what is wrong with a part of a zip; not a full disk
    *(zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError),
    *(FileExistsError, NotADirectoryError, IsADirectoryError),
)


def _shortened(name: str) -> str:
    """A name that every file system takes, and that no other name becomes; its end is kept."""
    if len(name.encode("utf-8", "replace")) <= MOST_NAME:
        return name
    stem, end = os.path.splitext(name)
    mark = hashlib.blake2b(name.encode("utf-8", "replace"), digest_size=4).hexdigest()
    return f"{stem.encode('utf-8', 'replace')[: MOST_NAME - 40].decode('utf-8', 'ignore')}-{mark}{end[:8]}"


# --- execution --------------------------------------------------------------------------------------------------------


class Warm:
    """A warm process, seen from the grader. settings: see `warm.py`."""

    def __init__(self, settings: dict):
        self.settings = settings
        self.process: subprocess.Popen | None = None
        self.closed, self.lock = False, threading.Lock()

    def start(self) -> None:
        keep = ("PATH", "PYTHONPATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "HOME", "SYSTEMROOT")
        environment = {name: os.environ[name] for name in keep if name in os.environ}  # not the lecturer's secrets
        environment |= {"OMP_NUM_THREADS": "1", "MPLBACKEND": "module://matplotlib_inline.backend_inline"}
        environment["T2I_WARM"] = secrets.token_hex(8)  # by which its descendants can be found
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "t2i_course.grading.warm"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
        )
        self.said: list[bytes] = []
        threading.Thread(target=self.said.extend, args=[self.process.stderr], daemon=True).start()
        self.ask(self.settings)

    def ask(self, question: dict) -> dict:
        """Raises OSError if the process is gone."""
        process = self.process
        if process is None:
            raise OSError("the process that runs notebooks has been ended")
        try:
            process.stdin.write(json.dumps(question).encode() + b"\n")
            process.stdin.flush()
        except ValueError:  # closed meanwhile
            raise OSError("the process that runs notebooks has been ended") from None
        line = process.stdout.readline()
        try:
            answer = json.loads(line)
        except ValueError:  # nothing, or not all of it
            self._end()
            told = _one_line(b"".join(self.said).decode(errors="replace")[-500:])
            raise OSError(f"the process that runs notebooks ended: {told}") from None
        if answer.get("failed"):
            raise OSError(answer["failed"])
        return answer

    def run(self, notebook: str) -> dict:
        """Run a notebook; a warm process that is gone is started once more. Raises OSError if that does not help."""
        for attempt in (1, 2):
            try:
                with self.lock:
                    if self.closed:
                        raise OSError("the grading has been stopped")
                    if self.process is None:
                        self.start()
                return self.ask({"notebook": notebook})
            except OSError:
                self._end()
                if attempt == 2 or self.closed:
                    raise
        raise AssertionError

    def close(self) -> None:
        """It ends for good, even if another thread is waiting for it."""
        self.closed = True
        with self.lock:
            self._end()

    def _end(self) -> None:
        """Its input ends, so it ends, and all below it."""
        process, self.process = self.process, None
        if process is not None:
            with contextlib.suppress(OSError):
                process.stdin.close()
            process.wait()


def execute(
    answers: dict[str, str], master: Master, seeds: list[int], run: Callable[[str], dict], most_seconds: float
) -> dict:
    """Run answers until each exercise had its chance: what brings the kernel down is left out, and the rest runs again,
    as long as not all of it has taken more than `most_seconds`.

    Returns {"checks": records, "pictures": {payoff: [...]}, "errors": {exercise: text}, "trouble": {exercise: text},
    "seconds"}.
    """
    checks: dict[tuple, dict] = {}
    pictures: dict[str, list] = {}
    errors: dict[str, str] = {}
    trouble: dict[str, str] = {}
    left_out: set[str] = set()
    seconds = 0.0
    for _ in range(2 * len(master.solutions) + 1):
        notebook = masters.compose(master, answers, seeds, left_out)
        result = run(notebook)
        seconds += result["seconds"]
        for record in result["checks"]:
            if isinstance(record.get("check"), str) and isinstance(record.get("seed"), int):
                checks.setdefault((record["check"], record["seed"]), record)
        for cell in result["cells"]:
            if cell["role"] == "payoff" and cell.get("pictures"):
                pictures[cell["id"]] = cell["pictures"]
            if cell["role"] == "answer":  # of its last run: before, another one may have taken it down
                errors[cell["exercise"]] = cell.get("error", "")
            if cell["outcome"] == "too slow":
                trouble[cell["exercise"]] = "took too long"
        culprit = _culprit(json.loads(notebook)["cells"], result)
        if culprit is None:
            break
        about, why = culprit
        if about["role"] == "payoff":
            left_out.add(about["id"])
        elif about["role"] == "setup":
            trouble |= dict.fromkeys(answers, why)
            break
        else:
            left_out.add(about["exercise"])
            trouble[about["exercise"]] = why
        if seconds > most_seconds:
            for exercise in answers.keys() - trouble.keys():
                if any((check, k) not in checks for check in master.points[exercise] for k in range(len(seeds))):
                    trouble[exercise] = "had no time left"
            break
    return {
        **{"checks": list(checks.values()), "pictures": pictures, "errors": errors, "trouble": trouble},
        "seconds": round(seconds, 2),
    }


def _culprit(cells: list[dict], result: dict) -> tuple[dict, str] | None:
    """The cell that brought the kernel down, and how; None if all cells had their chance."""
    for cell in result["cells"]:
        if cell["outcome"] == "died":
            why = "ended the Python process" if "Kernel dead" not in cell["error"] else "left a dead process behind"
            return cell, why
    if len(result["cells"]) < len(cells):  # the keeper ended it all while this one was running
        return cells[len(result["cells"])]["metadata"]["t2i"], result["end"] or "ended the Python process"
    return None


def settings_for(master: Master, level: str, root: bool, concealed: list[Path], limits: dict | None = None) -> dict:
    """What a warm process must know: nothing secret."""
    import importlib.util

    hidden = []
    for hole in master.holes:
        parts = hole.split(".")
        for end in range(len(parts) - 1, 0, -1):
            try:
                spec = importlib.util.find_spec(".".join(parts[:end]))
            except ModuleNotFoundError:
                continue
            if spec and spec.origin:
                hidden += [spec.origin, importlib.util.cache_from_source(spec.origin)]
                break
    limits = LIMITS | master.notebook["metadata"]["t2i"].get("limits", {}) | (limits or {})
    return {
        **{"setup": master.setup, "holes": master.holes, "level": level, "root": root, "limits": limits},
        **{"hidden": sorted(set(hidden)), "concealed": [str(path.resolve()) for path in concealed if path.exists()]},
    }


def private(master: Master) -> list[Path]:
    """What students' code must not read on any machine: masters, their history, and the home of whoever grades."""
    own = [master.file.resolve().parent] if master.file else []
    return [masters.ASSIGNMENTS, masters.ASSIGNMENTS.parent / ".git", Path.home(), *own]


def strongest(
    master: Master, seeds: list[int], concealed: list[Path], wanted: str | None = None, limits: dict | None = None
) -> tuple[Warm, list[dict]]:
    """(warm process with the best isolation that works here, the master's records), found by running its solutions."""
    root = is_root() and readable_for_nobody()
    reasons = []
    for level in [wanted] if wanted else confine.LEVELS if confine.LINUX else ["limits"]:
        settings = settings_for(master, level, root, concealed, limits)
        warm = Warm(settings)
        try:
            result = execute(master.solutions, master, seeds, warm.run, settings["limits"]["notebook_seconds"])
        except OSError as error:
            result = NOTHING | {"trouble": {"": str(error)}}
        complete = len(result["checks"]) == len(seeds) * len(master.cells("check"))
        broken = [f"{r['check']}: {r['error']}" for r in result["checks"] if r["error"]]
        if complete and not broken:
            return warm, result["checks"]
        warm.close()
        reasons.append(f"{level}: {'; '.join([*broken, *result['trouble'].values()][:1]) or 'no values'}")
    raise ValueError(
        f"The solutions of {master.name} cannot be run under any isolation ({' | '.join(reasons)}). Try `t2i check` on "
        "the master, and see that the course is readable for all users."
    )


def is_root() -> bool:
    return hasattr(os, "getuid") and os.getuid() == 0


def readable_for_nobody() -> bool:
    """Whether `nobody` could run this Python and read the course (not if they are in root's home). Linux only."""
    if not confine.LINUX:
        return False
    command = [sys.executable, "-P", "-c", "import t2i_course, IPython"]
    with contextlib.suppress(OSError):
        return subprocess.run(command, user=confine.NOBODY, extra_groups=[], capture_output=True).returncode == 0
    return False


def _weakness(isolation: str) -> tuple[int, bool]:
    level, _, as_root = isolation.partition(",")
    return confine.LEVELS.index(level), bool(as_root)


def isolation_of(settings: dict) -> str:
    return settings["level"] + (", as root" if is_root() and not settings["root"] else "")


# --- judging ----------------------------------------------------------------------------------------------------------


def judged(submission: Submission, result: dict, right: dict[tuple, list], master: Master, seeds: list[int]) -> dict:
    """As `judge`; and if what came back of a submission is so strange that judging it fails, that is its row."""
    try:
        return judge(submission, result, right, master, seeds)
    except Exception as error:  # whatever it is, it must not stop the batch
        submission.reason = f"what it reports cannot be judged ({type(error).__name__})"
        return judge(submission, NOTHING, right, master, seeds)


def judge(submission: Submission, result: dict, right: dict[tuple, list], master: Master, seeds: list[int]) -> dict:
    """The row of a submission. right: (check, number of the seed) -> the master's values."""
    given = {(record["check"], record["seed"]): record for record in result["checks"]}
    titles = {masters.grade_id(cell): title_of_source(masters.text_of(cell)) for cell in master.cells("check")}
    exercises = []
    for exercise, points in master.points.items():
        if not points:
            continue
        answered = exercise in submission.answers
        library = masters.library_names(submission.answers[exercise], master) if answered else []
        checks = []
        for check, worth in points.items():
            records = [given.get((check, number)) for number in range(len(seeds))]
            for record in filter(None, records):
                library += [name for name in _strings(record.get("library")) if name in master.holes]
            wrong = [_wrong(records[k], right.get((check, k), []), reveal=k == 0) for k in range(len(seeds))]
            checks.append({"check": check, "title": titles[check], "points": worth, "wrong": wrong})
        library = sorted(set(library))
        for check in checks:
            check["passed"] = answered and not library and not any(check["wrong"])
        exercises.append(
            {
                **{"exercise": exercise, "answered": answered, "checks": checks, "library": library},
                "points": sum(check["points"] for check in checks if check["passed"]),
                "of": sum(check["points"] for check in checks),
                "note": submission.notes.get(exercise, ""),
                "error": result["errors"].get(exercise, ""),
                "trouble": result["trouble"].get(exercise, ""),
            }
        )
    failed = _one_line(result.get("failed", ""))[:300]
    reasons = [submission.reason] if submission.reason else []
    reasons += [f"the grader failed ({failed}); grade again"] if failed else []
    reasons += [f"{e['exercise']} {e['trouble']}" for e in exercises if e["trouble"]]
    reasons += [f"{e['exercise']} uses the library's own {', '.join(e['library'])}" for e in exercises if e["library"]]
    reasons += [f"{e['exercise']}: {e['note']}" for e in exercises if e["note"]]
    if not submission.reason and not any(e["answered"] for e in exercises):
        reasons.append("no exercise is answered")
    status = "partly" if any(e["trouble"] for e in exercises) else "graded"
    status = "error" if failed else "rejected" if submission.reason else status
    return {
        "student": submission.student,
        "file": submission.file,
        "total": sum(e["points"] for e in exercises),
        "of": sum(e["of"] for e in exercises),
        "status": status,
        "reason": "; ".join(reasons),
        "seconds": result["seconds"],
        "exercises": exercises,
        "answers": submission.answers,
        "pictures": result["pictures"],
    }


def _strings(value) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def _wrong(record: dict | None, right: list, reveal: bool) -> list[str]:
    """What is wrong with the record of one check and seed, [] if nothing is."""
    if record is None:
        return ["it was not reached"]
    if record.get("error"):
        error = str(record["error"])[:300]
        kind = error.split(":")[0]
        return [f"it raises {error if reveal else kind if hasattr(builtins, kind) else 'an error'}"]
    values = record.get("values")
    return differences(right, values if isinstance(values, list) else [], reveal)


# --- a whole class ----------------------------------------------------------------------------------------------------


def grade(
    master: Master,
    submissions: Path,
    out: Path,
    *,
    seed: int | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
    isolation: str | None = None,
    format: str = "t2i",
    limits: dict | None = None,
    progress: bool = True,
) -> dict:
    """Grade everything in `submissions`; returns what grades.json holds. Goes on where an earlier call was stopped.

    limits: other ones than LIMITS, by name.
    """
    if not hasattr(os, "fork"):
        raise ValueError("Grading needs Linux or macOS. On Windows, run it in the Windows Subsystem for Linux.")
    submissions, out = Path(submissions), Path(out)
    out.mkdir(parents=True, exist_ok=True)
    with only_one(out):
        seed = _seed_of(out, seed, master)
        seeds = seeds_from(master, seed)
        todo = list(submissions_in(submissions, master))
        (out / "rows").mkdir(exist_ok=True)
        files = [_row_file(out, submission, master, seed) for submission in todo]
        rows = [json.loads(file.read_text(encoding="utf-8")) if file.exists() else None for file in files]
        waiting = [number for number, row in enumerate(rows) if row is None]
        if waiting:
            concealed = [submissions, out, *private(master)]
            warm, records = strongest(master, seeds, concealed, isolation, limits)
            if warm.settings["level"] == "limits":
                confine.prctl(confine.PR_SET_DUMPABLE, 0)  # programs of the same user cannot read our memory
            right = {(record["check"], record["seed"]): record["values"] for record in records}

            def finish(number: int, result: dict) -> None:
                row = judged(todo[number], result, right, master, seeds)
                row["isolation"] = result.get("isolation") or isolation_of(warm.settings)
                if row["status"] != "error":  # that one is tried again
                    write_atomically(files[number], json.dumps(row).encode())
                rows[number] = row

            jobs = {number: todo[number].answers for number in waiting if todo[number].answers}
            for number in set(waiting) - set(jobs):
                finish(number, NOTHING)
            results = (
                _on_cluster(scheduler, warm, jobs, master, seeds)
                if scheduler
                else (_on_this_machine(workers, warm, jobs, master, seeds))
            )
            from tqdm import tqdm

            with (
                contextlib.closing(results),
                tqdm(
                    total=len(todo), initial=len(todo) - len(jobs), desc=f"grading {master.name}", disable=not progress
                ) as bar,
            ):
                for number, result in results:
                    finish(number, result)
                    bar.update()
        for stale in set((out / "rows").glob("*.json")) - set(files):
            stale.unlink()  # of submissions that were replaced or taken away
        return write_results(out, master, seed, rows, format)


def _seed_of(out: Path, seed: int | None, master: Master) -> int:
    """The seed of this folder: given, or what an earlier call wrote down, or a new one that nobody could know."""
    file = out / "seed.json"
    if file.exists():
        stored = json.loads(file.read_text())
        if stored["homework"] != master.name or seed not in (None, stored["seed"]):
            raise ValueError(
                f"{out} holds {stored['homework']} with seed {stored['seed']}. Choose another folder, or the same."
            )
        return stored["seed"]
    seed = secrets.randbits(40) if seed is None else seed
    write_atomically(file, json.dumps({"homework": master.name, "seed": seed}).encode())
    return seed


def seeds_from(master: Master, seed: int) -> list[int]:
    """The seed of the self-checks, which only serves to explain, and three that nobody has seen."""
    rng = random.Random(f"{master.name} {seed}")
    return [VISIBLE, *(rng.getrandbits(40) for _ in range(3))]


def _row_file(out: Path, submission: Submission, master: Master, seed: int) -> Path:
    name = f"{master.digest} {seed} {submission.file} {submission.digest} {submission.student}"
    return out / "rows" / f"{hashlib.blake2b(name.encode('utf-8', 'replace'), digest_size=10).hexdigest()}.json"


@contextlib.contextmanager
def only_one(out: Path):
    """Nobody else grades into this folder. The lock goes with the process, however it ends."""
    with open(out / ".lock", "a+") as lock:
        try:
            import fcntl

            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except ImportError:
            pass  # Windows
        except OSError:
            raise ValueError(
                f"Another `t2i grade` is writing to {out}. Wait until it is done, or choose another folder."
            )
        yield


def _on_this_machine(
    workers: int | None, warm: Warm, jobs: dict[int, dict], master: Master, seeds: list[int]
) -> Iterator[tuple[int, dict]]:
    """The results of all jobs, as they come, by warm processes of this machine: the given one, and its like."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    count = min(workers or min(8, cores), max(1, len(jobs)))
    pool = [warm, *(Warm(warm.settings) for _ in range(count - 1))]
    free = list(pool)

    def one(answers):
        mine = free.pop()
        try:
            return execute(answers, master, seeds, mine.run, warm.settings["limits"]["notebook_seconds"])
        except Exception as error:  # whatever it is, it must not stop the batch
            return NOTHING | {"failed": f"{type(error).__name__}: {error}"}
        finally:
            free.append(mine)

    executor = ThreadPoolExecutor(count)
    try:
        futures = {executor.submit(one, answers): number for number, answers in jobs.items()}
        for future in as_completed(futures):
            yield futures[future], future.result()
    finally:
        executor.shutdown(wait=False, cancel_futures=True)
        for process in pool:
            process.close()


def _on_cluster(
    address: str, warm: Warm, jobs: dict[int, dict], master: Master, seeds: list[int]
) -> Iterator[tuple[int, dict]]:
    """The same by the workers of a Dask cluster, each with a warm process of its own."""
    warm.close()
    try:
        from distributed import Client
        from distributed import as_completed as completed
    except ImportError:
        raise ValueError("--scheduler needs Dask: pip install 't2i_course[dask]'.") from None
    handed, wanted = masters.without_answers(master), (warm.settings["level"], warm.settings["limits"])
    with Client(address, timeout="20s") as client:
        futures = {
            client.submit(on_a_worker, answers, handed, seeds, *wanted, pure=False, retries=2): number
            for number, answers in jobs.items()
        }
        for future in completed(list(futures)):
            try:
                yield futures[future], future.result()
            except Exception as error:  # whatever it is, it must not stop the batch
                yield futures[future], NOTHING | {"failed": f"{type(error).__name__}: {error}"}


_here = threading.local()  # the warm process of this thread of a Dask worker


def on_a_worker(answers: dict, notebook: dict, seeds: list[int], level: str, limits: dict) -> dict:
    """`execute` on a machine of a cluster; its warm process stays for the next submission.

    There it may be shut in by less than where the grader runs: the result says by what.
    """
    master, wanted = Master(notebook), (notebook, level, limits)
    if getattr(_here, "wanted", None) != wanted:
        if hasattr(_here, "warm"):
            _here.warm.close()
        _here.wanted, _here.warm = wanted, _works_here(master, seeds, level, limits)
    result = execute(answers, master, seeds, _here.warm.run, limits["notebook_seconds"])
    return result | {"isolation": isolation_of(_here.warm.settings)}


def _works_here(master: Master, seeds: list[int], level: str, limits: dict) -> Warm:
    """A warm process with the best isolation, up to a level, under which the homework's imports run on this machine."""
    root = is_root() and readable_for_nobody()
    for weaker in confine.LEVELS[confine.LEVELS.index(level) :] if confine.LINUX else ["limits"]:
        warm = Warm(settings_for(master, weaker, root, private(master), limits))
        with contextlib.suppress(OSError):
            if all(cell["outcome"] == "ran" for cell in warm.run(masters.compose(master, {}, seeds))["cells"] or [{}]):
                return warm
        warm.close()
    raise ValueError(f"the imports of {master.name} do not run on {os.uname().nodename}")


# --- what the lecturer gets -------------------------------------------------------------------------------------------


def write_results(out: Path, master: Master, seed: int, rows: list[dict], format: str) -> dict:
    """All files of the results; each appears whole or not at all."""
    from . import feedback

    folder = out / "feedback"
    folder.mkdir(exist_ok=True)
    names: set[str] = set()
    for row in rows:
        row["feedback"] = f"feedback/{_file_name(row['student'], names)}.html"
        write_atomically(out / row["feedback"], feedback.page(row, master).encode("utf-8", "replace"))
    for stale in folder.glob("*.html"):
        if stale.stem not in names:
            stale.unlink()
    shown = [{key: value for key, value in row.items() if key not in ("answers", "pictures")} for row in rows]
    weakest = max((row["isolation"] for row in rows), key=_weakness)
    grades = {"homework": master.name, "seed": seed, "isolation": weakest, "rows": shown}
    write_atomically(out / "summary.html", feedback.summary(rows, master).encode("utf-8", "replace"))
    write_atomically(out / "grades.json", json.dumps(grades, indent=1).encode())
    write_atomically(out / "gradebook.csv", gradebook(rows, master, format).encode("utf-8", "replace"))
    return grades


def _file_name(student: str, taken: set[str]) -> str:
    plain = unicodedata.normalize("NFKC", student)
    name = re.sub(r"[^\w.-]+", "_", plain).strip("._")[:60] or "student"
    chosen, count = name, 1
    while chosen.lower() in {other.lower() for other in taken}:
        count += 1
        chosen = f"{name}-{count}"
    taken.add(chosen)
    return chosen


def gradebook(rows: list[dict], master: Master, format: str = "t2i") -> str:
    """The gradebook as CSV, with the column names of a learning platform if one is named."""
    exercises = [exercise for exercise, points in master.points.items() if points]
    of = sum(sum(points.values()) for points in master.points.values())
    title = f"{master.name} {master.notebook['metadata']['t2i']['title']}"
    table = []
    for row in rows:
        points = {e["exercise"]: e["points"] for e in row["exercises"]}
        line = {"student": row["student"]}
        if format == "canvas":
            login, number = canvas_student(row["file"])
            line = {"Student": row["student"], "ID": number, "SIS User ID": "", "SIS Login ID": login, "Section": ""}
            line |= {title: row["total"]}
        elif format == "moodle":
            name, number = moodle_student(row["file"])
            line = {"Identifier": f"Participant {number}" if number else row["student"], "Full name": name}
            line |= {"Grade": row["total"], "Maximum Grade": of, "Feedback comments": row["reason"]}
        else:
            line |= {"file": row["file"], **{exercise: points[exercise] for exercise in exercises}}
            line |= {name: row[name] for name in ("total", "status", "reason", "isolation", "seconds")}
        table.append({name: _safe(value) for name, value in line.items()})
    text = io.StringIO()
    writer = csv.DictWriter(text, list(table[0]), lineterminator="\n")
    writer.writeheader()
    if format == "canvas":
        writer.writerow(dict.fromkeys(table[0], "") | {"Student": "    Points Possible", title: of})
    writer.writerows(table)
    return text.getvalue()


def canvas_student(file: str) -> tuple[str, str]:
    """(login, ID) in the name that Canvas gives to what it hands out: lovelaceada_LATE_1234_98765_hw01.ipynb."""
    found = re.match(r"([^_/]+)_(?:LATE_)?(\d+)_\d+_", file)
    return (found[1], found[2]) if found else (file.split("/")[0].removesuffix(".ipynb"), "")


def moodle_student(file: str) -> tuple[str, str]:
    """(full name, number of the participant) in such a name of Moodle: Ada Lovelace_1234_assignsubmission_file_."""
    found = re.match(r"([^/]+?)_(\d+)_assignsubmission_", file)
    return (found[1], found[2]) if found else (file.split("/")[0].removesuffix(".ipynb"), "")


def _safe(value):
    """A text that stays on one line, and that no spreadsheet takes for a formula."""
    if not isinstance(value, str):
        return value
    text = _one_line(value)
    return f"'{text}" if text[:1] in "=+-@" and text else text


def _one_line(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text).strip()
