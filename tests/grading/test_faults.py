"""Weaker isolation, killed graders, full disks, two graders at once; and what the lecturer gets."""

import base64
import csv
import errno
import io
import json
import os
import random
import signal
import struct
import subprocess
import sys
import time

import pytest

from t2i_course.cli import main
from t2i_course.grading import confine, feedback, grade, masters, warm
from t2i_course.grading.checks import differences

from . import submissions
from .submissions import ALL, LIMITS, warm_processes, without_payoffs

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="grading needs a system that can fork"),
]


@pytest.mark.parametrize("level", ["namespaces", "landlock", "limits"])
def test_weaker_isolation_still_ends_everything(level, tmp_path):
    """The tree is gone at each level; files are kept from submissions at all but the last."""
    chosen = {"leaves_a_daemon", "fifty_children", "exits_hard", "good_1"}
    if level != "limits":
        chosen |= {"reads_the_master", "reads_the_neighbours"}
    if level == "landlock":
        chosen.add("overwrites_the_neighbours")
    place = {
        "submissions": tmp_path / "in",
        "out": tmp_path / "out",
        "assignments": masters.ASSIGNMENTS,
        "mark": tmp_path / "m",
    }
    place["submissions"].mkdir()
    place["mark"].write_text("untouched")
    for name, _, write in ALL:
        if name in chosen:
            write(place["submissions"], place)
    before = warm_processes()
    try:
        result = grade.grade(
            without_payoffs(submissions.MASTER),
            *(place["submissions"], place["out"]),
            **{"workers": 1, "limits": LIMITS, "isolation": level, "progress": False},
        )
    except ValueError as error:
        pytest.skip(f"not on this machine: {error}")
    truth = {name: points for name, points, _ in ALL if name in chosen}
    assert {row["student"]: row["total"] for row in result["rows"]} == truth
    assert {row["isolation"].split(",")[0] for row in result["rows"]} == {level}
    assert not warm_processes() - before
    assert place["mark"].read_text() == "untouched"


def test_each_cell_has_its_own_cpu_time():
    """Two cells may take 0.7 seconds each if one may take one; what takes more is ended as such."""
    kernel = os.fork()
    if not kernel:

        def burn(seconds):
            end = time.process_time() + seconds
            while time.process_time() < end:
                pass

        confine.limit(cpu=60, memory=1 << 40, file_size=1 << 40, processes=10_000)
        for seconds in (1.4, 1.4, 60):
            confine.limit_cpu(1)
            burn(seconds)
        os._exit(0)
    forked = warm.Forked(kernel)
    start = time.monotonic()
    while forked.is_alive() and time.monotonic() - start < 60:
        time.sleep(0.05)
    used = os.times().children_user + os.times().children_system
    assert forked.used_up_cpu_time()
    assert used > 2.8


def test_without_what_linux_offers_the_limits_remain(tmp_path):
    """As on macOS: no namespaces, no Landlock, no subreaper, no change of user. It is graded, ended, and warned of."""
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare" / "sitecustomize.py").write_text(
        "import os\nfrom t2i_course.grading import confine\nconfine.LINUX = False\n"
        "del os.setresuid, os.setresgid, os.sched_getaffinity\n"
    )
    place = {"submissions": tmp_path / "in", "out": tmp_path / "out", "mark": tmp_path / "m"}
    place["submissions"].mkdir()
    chosen = {"endless_loop", "fifty_children", "exits_hard", "good_1"}
    for name, _, write in ALL:
        if name in chosen:
            write(place["submissions"], place)
    before = warm_processes()
    folders = os.pathsep.join([str(tmp_path / "bare"), str(masters.ASSIGNMENTS.parent)])
    done = subprocess.run(
        [sys.executable, "-m", "t2i_course.cli", "grade", "hw01", str(place["submissions"]), "-o", str(place["out"])],
        env=os.environ | {"PYTHONPATH": folders},
        capture_output=True,
        text=True,
    )
    assert "Warning: this machine offers only limits" in done.stdout, done.stderr
    rows = json.loads((place["out"] / "grades.json").read_text())["rows"]
    truth = {name: points for name, points, _ in ALL if name in chosen}
    assert {row["student"]: row["total"] for row in rows} == truth
    assert {row["isolation"].split(",")[0] for row in rows} == {"limits"}
    assert not warm_processes() - before


def test_the_grader_falls_back_to_what_works(monkeypatch):
    monkeypatch.setattr(confine, "LEVELS", ("none such", "limits"))
    process, records = grade.strongest(without_payoffs(submissions.MASTER), [1], [])
    process.close()
    assert process.settings["level"] == "limits"
    assert len(records) == len(submissions.MASTER.cells("check"))


def test_a_folder_is_opened_up_around_what_is_hidden(tmp_path):
    for name in ("a/x", "a/y", "b/z"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert confine.all_but(tmp_path, []) == [tmp_path]
    assert confine.all_but(tmp_path, [tmp_path / "a" / "x"]) == [tmp_path / "a" / "y", tmp_path / "b"]


# --- faults -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def small_class(tmp_path):
    """A master without pay-offs in a file, a folder of four good submissions, and where the grades go."""
    file, folder = tmp_path / "hw01.ipynb", tmp_path / "in"
    file.write_text(json.dumps(without_payoffs(submissions.MASTER).notebook))
    folder.mkdir()
    for k in range(4):
        submissions.save(submissions.notebook(submissions.GOOD), folder, f"student_{k}.ipynb")
    return file, folder, tmp_path / "out"


def test_killed_at_random_moments_and_resumed(small_class):
    file, folder, out = small_class
    command = [
        sys.executable,
        "-m",
        "t2i_course.cli",
        "grade",
        str(file),
        str(folder),
        "-o",
        str(out),
        "--workers",
        "2",
    ]
    before, rng, done = warm_processes(), random.Random(os.getpid()), {}
    for finished in (1, 2):
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        while process.poll() is None and len(list(out.glob("rows/*.json"))) < finished:
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 0.3))
        process.send_signal(signal.SIGKILL)
        process.wait()
        for path, changed in done.items():
            assert path.stat().st_mtime_ns == changed  # graded once
        done = {path: path.stat().st_mtime_ns for path in out.glob("rows/*.json")}
        until = time.monotonic() + 20
        while warm_processes() - before and time.monotonic() < until:
            time.sleep(0.05)
        assert not warm_processes() - before
    finish = subprocess.run([*command, "--json"], capture_output=True, text=True)
    assert finish.returncode == 0, finish.stderr
    assert [row["total"] for row in json.loads(finish.stdout)["rows"]] == [100] * 4
    for path, changed in done.items():
        assert path.stat().st_mtime_ns == changed
    assert (out / "gradebook.csv").read_text().count("\n") == 5


def test_only_what_changed_is_graded_again(small_class):
    file, folder, out = small_class
    master = masters.find(file)
    first = grade.grade(master, folder, out, progress=False)
    old = {path: path.stat().st_mtime_ns for path in out.glob("rows/*.json")}
    submissions.save(submissions.notebook(submissions.ZEROS), folder, "student_1.ipynb")
    (folder / "student_3.ipynb").unlink()
    second = grade.grade(master, folder, out, progress=False)
    assert second["seed"] == first["seed"]
    assert [row["total"] for row in second["rows"]] == [100, 0, 100]
    new = {path: path.stat().st_mtime_ns for path in out.glob("rows/*.json")}
    assert len(new) == 3
    assert len(new.items() & old.items()) == 2
    assert len(list(out.glob("feedback/*.html"))) == 3
    with pytest.raises(ValueError, match="Choose another folder"):
        grade.grade(master, folder, out, seed=first["seed"] + 1, progress=False)


def test_a_full_disk_loses_nothing(small_class, monkeypatch):
    """Writing fails after some rows, then at the gradebook; both times the next call goes on."""
    file, folder, out = small_class
    master, write = masters.find(file), grade.write_atomically

    def full_unless(allowed):
        def write_or_fail(path, content):
            if not allowed(path):
                raise OSError(errno.ENOSPC, "No space left on device", str(path))
            return write(path, content)

        return write_or_fail

    before = warm_processes()
    monkeypatch.setattr(grade, "write_atomically", full_unless(lambda path: len(list(out.glob("rows/*.json"))) < 2))
    with pytest.raises(OSError, match="No space left"):
        grade.grade(master, folder, out, progress=False)
    assert len(list(out.glob("rows/*.json"))) == 2
    assert not warm_processes() - before
    monkeypatch.setattr(grade, "write_atomically", full_unless(lambda path: "gradebook" not in str(path)))
    with pytest.raises(OSError, match="No space left"):
        grade.grade(master, folder, out, progress=False)
    assert not (out / "gradebook.csv").exists()
    monkeypatch.setattr(grade, "write_atomically", write)
    assert [row["total"] for row in grade.grade(master, folder, out, progress=False)["rows"]] == [100] * 4


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can make a tiny disk")
def test_a_disk_that_is_really_full(small_class):
    file, folder, out = small_class
    out.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=40k", "tiny", str(out)]).returncode:
        pytest.skip("this machine lets nobody mount")
    try:
        command = [sys.executable, "-m", "t2i_course.cli", "grade", str(file), str(folder), "-o", str(out)]
        full = subprocess.run(command, capture_output=True, text=True)
        assert full.returncode == 2
        assert "No space left" in full.stderr.splitlines()[-1]
        assert not (out / "gradebook.csv").exists()
        subprocess.run(["mount", "-o", "remount,size=40m", str(out)], check=True)
        assert subprocess.run(command, capture_output=True).returncode == 0
        assert (out / "gradebook.csv").read_text().count("\n") == 5
    finally:
        subprocess.run(["umount", str(out)], check=True)


def test_two_graders_on_one_folder(small_class):
    file, folder, out = small_class
    out.mkdir()
    command = [sys.executable, "-m", "t2i_course.cli", "grade", str(file), str(folder), "-o", str(out)]
    with grade.only_one(out):
        second = subprocess.run(command, capture_output=True, text=True)
    assert second.returncode == 2
    assert "Another `t2i grade` is writing to" in second.stderr
    assert not (out / "rows").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["grade", "hw99", "IN", "-o", "OUT"], "There is no homework hw99"),
        (["grade", "hw01", "NOWHERE", "-o", "OUT"], "There are no submissions at"),
        (["grade", "hw01", "EMPTY", "-o", "OUT"], "nothing in there to grade"),
        (["grade", "hw01", "EMPTY.zip", "-o", "OUT"], "nothing in there to grade"),
        (["grade", "hw01", "a.txt", "-o", "OUT"], "not a zip that can be read"),
        (["grade", "hw01", "EMPTY", "-o", "OUT", "--workers", "0"], "at least 1"),
    ],
)
def test_mistakes_of_lecturers_are_answered_in_one_line(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "EMPTY").mkdir()
    (tmp_path / "a.txt").write_text("hello")
    submissions.write_empty_zip(tmp_path, None)
    (tmp_path / "an_empty_zip.zip").rename(tmp_path / "EMPTY.zip")
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert message in error


# --- what the lecturer gets -------------------------------------------------------------------------------------------


def fake_row(student="Ada", total=80):
    exercises = [
        {
            **{
                "exercise": "pagerank",
                "answered": True,
                "points": 0,
                "of": 30,
                "library": [],
                "note": "",
                "trouble": "",
            },
            "error": "<b>bold</b>",
            "checks": [{"check": "links", "title": "links", "points": 30, "passed": False, "wrong": [[], ["bad"], []]}],
        }
    ]
    return {
        **{"student": student, "file": "a.ipynb", "total": total, "of": 100, "status": "graded", "reason": "-1"},
        **{"exercises": exercises, "answers": {"pagerank": "</pre><img src=x onerror=alert(1)>"}, "pictures": {}},
        **{"isolation": "full", "seconds": 1.0},
    }


def test_columns_of_learning_platforms():
    rows = [fake_row("=1+1"), fake_row("Bo", 100)]
    canvas = list(csv.DictReader(io.StringIO(grade.gradebook(rows, submissions.MASTER, "canvas"))))
    assert [row["Student"] for row in canvas] == ["    Points Possible", "'=1+1", "Bo"]
    assert canvas[2]["hw01 Laying out a picture"] == "100"
    moodle = list(csv.DictReader(io.StringIO(grade.gradebook(rows, submissions.MASTER, "moodle"))))
    assert moodle[1]["Grade"] == moodle[1]["Maximum Grade"] == "100"
    assert moodle[1]["Feedback comments"] == "'-1"


def test_feedback_is_escaped_and_explains():
    page = feedback.page(fake_row("<i>Eve</i>"), submissions.MASTER)
    for bad in ("<i>Eve", "<b>bold", "<img src=x", "</pre><img"):
        assert bad not in page
    assert "right on the inputs of the self-check, wrong on 1 of 2 others: bad" in page


def test_only_pictures_become_pictures():
    def png(width, height, head=b"\x89PNG\r\n\x1a\n"):
        return base64.b64encode(head + b"\0\0\0\rIHDR" + struct.pack(">II", width, height) + b"rest").decode()

    assert feedback.safe(png(10, 10)).startswith("data:image/png;base64,")
    for bad in (png(50_000, 50_000), png(0, 0), png(9, 9, b"GIF89a\0\0"), "<svg onload=alert(1)>", "", None, 3, "AAAA"):
        assert feedback.safe(bad) is None


def test_differences_never_raises():
    rng = random.Random(0)
    things = [None, 3, "x", [], {}, [None], ["a", [1], [2], 3], ["ranks", [-1], [1.0], 1], ["ranks", "ab", "cd", 1]]
    for _ in range(300):
        given = [rng.choice(things) for _ in range(rng.randint(0, 3))]
        assert differences([["ranks", [1], [1.0], 1e-4]], given)
