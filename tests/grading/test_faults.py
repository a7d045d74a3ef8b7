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
import threading
import time
import zipfile

import psutil
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


def graded(folder, chosen, **options):
    """The rows of some of the submissions, by student."""
    place = {name: folder / name for name in ("submissions", "out")} | {"assignments": masters.ASSIGNMENTS}
    place["submissions"].mkdir()
    place["mark"] = folder / "mark"
    for name, _, write in ALL:
        if name in chosen:
            write(place["submissions"], place)
    options = {"workers": 1, "limits": LIMITS, "progress": False} | options
    result = grade.grade(without_payoffs(submissions.MASTER), place["submissions"], place["out"], **options)
    return {row["student"]: row for row in result["rows"]}


def test_no_memory_holds_what_another_one_computed(tmp_path):
    """The master's values were computed before, and a good student's; by the same warm process."""
    rows = graded(tmp_path, {"good_1", "finds_values_in_memory"})
    assert rows["good_1"]["total"] == 100
    assert rows["finds_values_in_memory"]["total"] == 70


def test_all_processes_of_a_cell_have_their_cpu_time_together(tmp_path):
    rows = graded(tmp_path, {"burns_all_cores", "good_1"}, limits=LIMITS | {"cell_seconds": 60, "cell_cpu_seconds": 5})
    assert rows["burns_all_cores"]["total"] == 70
    assert "pagerank used more than 5 seconds of the CPU" in rows["burns_all_cores"]["reason"]
    assert rows["good_1"]["total"] == 100


@pytest.mark.skipif(sys.platform != "linux", reason="files without a name are seen in Linux's /proc")
def test_what_has_neither_a_name_nor_a_parent_is_seen(tmp_path):
    """An orphan, brought to us, with memory in a file without a name."""
    code = "import os, time; f = os.memfd_create('x'); os.write(f, bytes(32 << 20)); print(flush=True); time.sleep(60)"
    keeper = f"""
import os, subprocess, sys
from t2i_course.grading import confine, warm
confine.prctl(confine.PR_SET_CHILD_SUBREAPER, 1)
if not os.fork():
    subprocess.Popen([sys.executable, "-S", "-c", {code!r}], stdout=subprocess.PIPE).stdout.readline()
    os._exit(0)
os.wait()
number, memory, seconds = warm.look(0, 64)
warm.end_all_children()
print(number, memory, seconds > 0, warm.look(0, 64)[0])
"""
    said = subprocess.run([sys.executable, "-c", keeper], capture_output=True, text=True, check=True).stdout.split()
    assert said[0] == "1"
    assert 32 << 20 < int(said[1]) < 80 << 20
    assert said[2:] == ["True", "0"]


def test_a_killed_keeper_is_not_the_students_fault(tmp_path):
    """Whatever ends it, such as a machine without memory, the submission is run once more."""
    (tmp_path / "in").mkdir()
    slow = submissions.GOOD | {"pagerank": "import time\ntime.sleep(3)\n" + submissions.GOOD["pagerank"]}
    submissions.save(submissions.notebook(slow), tmp_path / "in", "ada.ipynb")
    master, killed = without_payoffs(submissions.MASTER), []
    whole = grade.Warm.ask

    def ask(self, question):
        if "time.sleep(3)" in question.get("notebook", "") and not killed:

            def kill():
                (waiter,) = psutil.Process(self.process.pid).children()
                (keeper,) = waiter.children()
                killed.append(keeper)
                keeper.kill()

            threading.Timer(1.5, kill).start()
        return whole(self, question)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(grade.Warm, "ask", ask)
        rows = grade.grade(
            master, tmp_path / "in", tmp_path / "out", workers=1, progress=False, limits=LIMITS, isolation="landlock"
        )["rows"]
    assert killed
    assert (rows[0]["status"], rows[0]["total"]) == ("graded", 100)


def test_files_are_counted_as_far_as_needed(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    for name in ("x", "a/y", "a/b/z"):
        (tmp_path / name).write_bytes(os.urandom(1 << 20))
    assert 3 << 20 <= warm.size_of(tmp_path, 1 << 30) < 4 << 20
    assert 1 << 20 < warm.size_of(tmp_path, 1 << 20) < 3 << 20
    for i in range(20_000):
        (tmp_path / f"{i}").touch()
    assert warm.size_of(tmp_path, 1 << 30) > 1 << 30  # too many to count


def test_a_grader_that_fails_gives_no_points_and_tries_again(tmp_path, monkeypatch):
    def broken(self, notebook):
        raise OSError("no memory left")

    whole = grade.Warm.run
    monkeypatch.setattr(
        grade.Warm, "run", lambda self, notebook: (broken if "unlucky" in notebook else whole)(self, notebook)
    )
    master = without_payoffs(submissions.MASTER)
    (tmp_path / "in").mkdir()
    submissions.save(submissions.notebook(submissions.GOOD), tmp_path / "in", "ada.ipynb")
    bad = submissions.GOOD | {"pagerank": "# unlucky\n" + submissions.ZEROS["pagerank"]}
    submissions.save(submissions.notebook(bad), tmp_path / "in", "bo.ipynb")
    options = {"workers": 1, "progress": False, "limits": LIMITS}
    rows = grade.grade(master, tmp_path / "in", tmp_path / "out", **options)["rows"]
    assert [(row["status"], row["total"]) for row in rows] == [("graded", 100), ("error", 0)]
    assert "no memory left" in rows[1]["reason"]
    monkeypatch.undo()
    rows = grade.grade(master, tmp_path / "in", tmp_path / "out", **options)["rows"]
    assert [(row["status"], row["total"]) for row in rows] == [("graded", 100), ("graded", 70)]


def test_the_zip_of_a_class_may_hold_one_folder_and_broken_members(tmp_path):
    good = json.dumps(submissions.notebook(submissions.GOOD))
    with zipfile.ZipFile(tmp_path / "class.zip", "w") as archive:
        for name in ("ada.ipynb", "bo.ipynb", "cy/hw01.ipynb", f"{'d' * 300}.ipynb", f"{'d' * 301}.ipynb", "eve.ipynb"):
            archive.writestr(f"submissions/{name}", good)
        archive.writestr("submissions/flo.pdf", "%PDF")
        archive.writestr("submissions/gus/hw01.pdf", "%PDF")
    content = bytearray((tmp_path / "class.zip").read_bytes())
    at = content.rindex(good.encode()[-40:])
    content[at : at + 10] = b"0123456789"  # eve's no longer fits its checksum
    (tmp_path / "class.zip").write_bytes(content)
    found = {s.student: bool(s.answers) for s in grade.submissions_in(tmp_path / "class.zip", submissions.MASTER)}
    assert len(found) == 8
    assert [found[name] for name in ("ada", "bo", "cy", "eve", "flo", "gus")] == [True, True, True, False, False, False]
    assert all(answered for name, answered in found.items() if name.startswith("ddd"))


def test_a_full_disk_rejects_nobody(tmp_path, monkeypatch):
    with zipfile.ZipFile(tmp_path / "class.zip", "w") as archive:
        for name in ("ada.ipynb", "bo.ipynb"):
            archive.writestr(name, json.dumps(submissions.notebook(submissions.GOOD)))

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("pathlib.Path.touch", full)
    with pytest.raises(ValueError, match="No space left"):
        list(grade.submissions_in(tmp_path / "class.zip", submissions.MASTER))


@pytest.mark.parametrize("homework", ["hw02", "hw03"])
def test_the_other_homework_is_graded_as_the_first(homework, tmp_path):
    """Under the whole limits and with pay-offs: solutions have all points and draw, one wrong answer costs its own."""
    master = masters.find(homework)
    notebook = json.loads(json.dumps(master.notebook))
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "ada.ipynb").write_text(json.dumps(notebook))
    first = next(name for name, points in master.points.items() if points)
    for cell in notebook["cells"]:
        if masters.grade_id(cell) == first:
            cell["source"] = f"def {master.functions[first]}(*a, **k):\n    return 0.0\n"
    (tmp_path / "in" / "bo.ipynb").write_text(json.dumps(notebook))
    result = grade.grade(master, tmp_path / "in", tmp_path / "out", workers=1, progress=False)
    ada, bo = result["rows"]
    assert (ada["total"], ada["status"], ada["reason"]) == (100, "graded", "")
    assert bo["total"] == 100 - sum(master.points[first].values())
    page = (tmp_path / "out" / ada["feedback"]).read_text()
    assert page.count("data:image/png") >= len(master.cells("payoff"))


def test_without_what_linux_offers_the_limits_remain(tmp_path):
    """As on macOS: no namespaces, no Landlock, no subreaper, no change of user. It is graded, ended, and warned of."""
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare" / "sitecustomize.py").write_text(
        "import os\nfrom t2i_course.grading import confine\nconfine.LINUX = False\n"
        "del os.setresuid, os.setresgid, os.sched_getaffinity\n"
    )
    place = {"submissions": tmp_path / "in", "out": tmp_path / "out", "mark": tmp_path / "m"}
    place["submissions"].mkdir()
    chosen = {"endless_loop", "leaves_a_daemon", "exits_hard", "good_1"}
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
