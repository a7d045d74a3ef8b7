"""The optional extras: a course on nbgrader takes the masters as they are, and a Dask cluster shares the work.

pip install 't2i_course[nbgrader,dask]'
"""

import csv
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from t2i_course.grading import grade, masters

from . import submissions
from .submissions import warm_processes, without_payoffs


def nbgrader(folder, *arguments):
    command = Path(sys.executable).with_name("nbgrader")
    environment = os.environ | {"PATH": f"{command.parent}{os.pathsep}{os.environ['PATH']}"}  # it calls alembic by name
    done = subprocess.run([command, *arguments], cwd=folder, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.slow
@pytest.mark.parametrize("name", masters.names())
def test_nbgrader_makes_the_assignment_and_grades_it(name, tmp_path):
    pytest.importorskip("nbgrader")
    (master,) = masters.ASSIGNMENTS.glob(f"{name}*/{name}*.ipynb")
    (tmp_path / "source" / name).mkdir(parents=True)
    shutil.copy(master, tmp_path / "source" / name / f"{name}.ipynb")
    (tmp_path / "nbgrader_config.py").write_text("c = get_config()\nc.CourseDirectory.course_id = 'course'\n")
    nbgrader(tmp_path, "generate_assignment", name)
    released = tmp_path / "release" / name / f"{name}.ipynb"
    assert "SOLUTION" not in released.read_text()
    assert "check.repeat" not in released.read_text()
    for student, notebook in (("ada", master), ("bo", released)):
        (tmp_path / "submitted" / student / name).mkdir(parents=True)
        shutil.copy(notebook, tmp_path / "submitted" / student / name / f"{name}.ipynb")
    nbgrader(tmp_path, "autograde", name)
    nbgrader(tmp_path, "export")
    with open(tmp_path / "grades.csv", newline="") as file:
        scores = {row["student_id"]: float(row["score"]) for row in csv.DictReader(file)}
    assert scores == {"ada": 100.0, "bo": 0.0}


@pytest.mark.slow
def test_a_dask_cluster_grades_like_this_machine(tmp_path):
    distributed = pytest.importorskip("distributed")
    folder = tmp_path / "in"
    folder.mkdir()
    truth = {"good_1": 100, "exits_hard": 70, "library_answer": 70, "blank": 0, "patches_the_checks": 0}
    for name, _, write in submissions.ALL:
        if name in truth:
            write(folder, {})
    before = warm_processes()
    with distributed.LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=":0") as cluster:
        result = grade.grade(
            without_payoffs(submissions.MASTER),
            *(folder, tmp_path / "out"),
            scheduler=cluster.scheduler_address,
            progress=False,
        )
    assert {row["student"]: row["total"] for row in result["rows"]} == truth
    assert json.loads((tmp_path / "out" / "grades.json").read_text())["rows"]
    until = time.monotonic() + 20  # they end by themselves when the cluster's worker is gone
    while warm_processes() - before and time.monotonic() < until:
        time.sleep(0.1)
    assert not warm_processes() - before
