"""Grading one submission by a warm process, against a bare `pytest --nbval` of the same notebook; and a whole class.

.venv/bin/python -m pytest tests/benchmarks/test_grading_bench.py --benchmark-enable --benchmark-only
"""

import json
import subprocess
import sys

import pytest

from t2i_course.grading import grade, masters

MASTER = masters.find("hw01")
SEEDS = grade.seeds_from(MASTER, 1)


@pytest.fixture(scope="module")
def warm():
    process, _ = grade.strongest(MASTER, SEEDS, [])
    process.run(masters.compose(MASTER, MASTER.solutions, SEEDS))
    yield process
    process.close()


@pytest.fixture
def notebook(tmp_path):
    """The master with its solutions, as a student's finished notebook."""
    file = tmp_path / "hw01.ipynb"
    file.write_text(json.dumps(MASTER.notebook))
    return file


@pytest.mark.benchmark(group="one submission of hw01")
def test_bare_nbval(benchmark, notebook):
    command = [sys.executable, "-m", "pytest", "-q", "--nbval-lax", str(notebook), "-p", "no:cacheprovider"]
    benchmark.pedantic(lambda: subprocess.run(command, check=True, capture_output=True), rounds=5)


@pytest.mark.benchmark(group="one submission of hw01")
def test_warm_and_confined(benchmark, warm):
    result = benchmark.pedantic(lambda: grade.execute(MASTER.solutions, MASTER, SEEDS, warm.run, 100.0), rounds=5)
    assert len(result["checks"]) == len(SEEDS) * len(MASTER.cells("check"))


@pytest.mark.benchmark(group="a class of 20 on two cores")
def test_a_class(benchmark, tmp_path, notebook):
    folder = tmp_path / "in"
    folder.mkdir()
    for k in range(20):
        (folder / f"{k}.ipynb").write_bytes(notebook.read_bytes())
    options = {"workers": 2, "progress": False}
    result = benchmark.pedantic(lambda: grade.grade(MASTER, folder, tmp_path / "out", **options), rounds=1)
    assert {row["total"] for row in result["rows"]} == {100}
