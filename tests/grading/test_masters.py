"""The masters: their checks are proven on right and wrong answers, and nothing secret gets to the students."""

import importlib.util
import json
import subprocess
import sys

import nbformat
import pytest

from t2i_course.cli import main
from t2i_course.grading import masters
from t2i_course.grading.checks import VISIBLE, CheckFailed, Checks, differences

HOMEWORK = masters.names()
SEEDS = [VISIBLE, 11, 12, 13]


def answers_of(name):
    (file,) = masters.ASSIGNMENTS.glob(f"{name}*/answers.py")
    spec = importlib.util.spec_from_file_location(f"answers_{name}", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def changed(solution, change):
    old, new = change
    assert old in solution, f"the solution no longer holds {old!r}"
    return solution.replace(old, new)


RIGHT = [(name, e, title) for name in HOMEWORK for e, of in answers_of(name).RIGHT.items() for title in of]
WRONG = [(name, e, title) for name in HOMEWORK for e, of in answers_of(name).WRONG.items() for title in of]


@pytest.fixture(scope="module")
def expected():
    """Homework and check -> the master's values for each seed, by running its solutions."""
    return {
        (name, record["check"], record["seed"]): record["values"]
        for name in HOMEWORK
        for record in masters.values(masters.find(name), masters.find(name).solutions, SEEDS)
    }


def failures(name, exercise, source, expected):
    """Check -> what is wrong with it, for the checks that an answer does not pass on some seed."""
    found = {}
    for record in masters.values(masters.find(name), {exercise: source}, SEEDS):
        right = expected[name, record["check"], record["seed"]]
        wrong = [record["error"]] if record["error"] else differences(right, json.loads(json.dumps(record["values"])))
        if wrong:
            found.setdefault(record["check"], wrong)
    return found


@pytest.mark.parametrize(("name", "exercise", "title"), RIGHT)
def test_right_answers_in_another_style_are_accepted(name, exercise, title, expected):
    assert failures(name, exercise, answers_of(name).RIGHT[exercise][title], expected) == {}


@pytest.mark.parametrize(("name", "exercise", "title"), WRONG)
def test_typical_wrong_answers_are_rejected(name, exercise, title, expected):
    solution = masters.find(name).solutions[exercise]
    assert failures(name, exercise, changed(solution, answers_of(name).WRONG[exercise][title]), expected)


@pytest.mark.parametrize("name", HOMEWORK)
def test_there_are_enough_right_and_wrong_answers(name):
    answers = answers_of(name)
    graded = [exercise for exercise, points in masters.find(name).points.items() if points]
    for exercise in graded:
        assert len(answers.RIGHT[exercise]) >= 2
        assert len(answers.WRONG[exercise]) >= 6
    assert set(answers.RIGHT) == set(answers.WRONG) == set(graded)


@pytest.mark.parametrize("name", HOMEWORK)
def test_the_stored_master_is_what_its_source_makes(name):
    (file,) = masters.ASSIGNMENTS.glob(f"{name}*/{name}*.ipynb")
    assert masters.build(file.with_suffix(".py")) == json.loads(file.read_text(encoding="utf-8")), (
        "run assignments/make.py"
    )


PAYOFFS = """
import sys
import matplotlib
matplotlib.use("agg")
from t2i_course.grading import checks, masters
master, space = masters.find(sys.argv[1]), {"__name__": "__main__"}
exec(master.setup, space)
for hole in master.holes:
    checks.make_hole(hole)
for source in master.solutions.values():
    exec(source, space)
for cell in master.cells("payoff"):
    exec(masters.text_of(cell), space)
"""


@pytest.mark.parametrize("name", HOMEWORK)
def test_pay_offs_need_nothing_that_is_taken_out_while_grading(name):
    ran = subprocess.run([sys.executable, "-c", PAYOFFS, name], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr


@pytest.mark.parametrize("name", HOMEWORK)
def test_a_master_has_what_nbgrader_and_readers_expect(name):
    master = masters.find(name)
    nbformat.validate(nbformat.from_dict(master.notebook))
    cells = master.notebook["cells"]
    assert master.notebook["nbformat_minor"] >= 5
    assert len({cell["id"] for cell in cells}) == len(cells)
    ids = [masters.grade_id(cell) for cell in cells if masters.grade_id(cell)]
    assert len(set(ids)) == len(ids)
    for cell in cells:
        if masters.about(cell):
            kind = cell["metadata"]["nbgrader"]
            assert kind["schema_version"] == 3
            assert {"grade", "solution", "locked", "task", "grade_id"} <= set(kind)
            assert kind["grade"] == ("points" in kind)
    assert sum(sum(points.values()) for points in master.points.values()) == 100
    for exercise, points in master.points.items():
        assert any(masters.about(cell).get("exercise") == exercise for cell in master.cells("payoff")) or not points
    text = "\n".join(masters.text_of(cell) for cell in cells if cell["cell_type"] == "markdown")
    assert text.count("<summary>Hint</summary>") >= len([p for p in master.points.values() if p])
    assert 60 <= master.notebook["metadata"]["t2i"]["minutes"] <= 120


@pytest.mark.parametrize("name", HOMEWORK)
def test_the_student_version_gives_nothing_away(name):
    master = masters.find(name)
    student = masters.student_version(master)
    nbformat.validate(nbformat.from_dict(student))
    text = json.dumps(student)
    assert text.count("YOUR CODE HERE") >= len(answers_of(name).RIGHT)
    assert "SOLUTION" not in text
    assert "HIDDEN" not in text
    assert "check.repeat" not in text
    assert not any(cell.get("outputs") for cell in student["cells"])
    for hole in master.holes:
        assert hole not in text


def test_the_audit_finds_a_solution_line_a_hidden_number_and_an_output():
    master = masters.find("hw01")
    student = masters.student_version(master)
    hidden = next(masters.HIDDEN.search(masters.text_of(cell))[0] for cell in master.cells("check"))
    number = next(
        part for part in hidden.replace("[", ",").split(",") if len(part.strip()) > 8 and "0." in part
    ).strip()
    for leak in ("v = picturability / total if total > 0 else np.full(n, 1 / n)", f"# {number}", "### BEGIN SOLUTION"):
        bad = json.loads(json.dumps(student))
        bad["cells"][0]["source"] = f"so\n{leak}\nit goes"
        with pytest.raises(ValueError, match="would give away"):
            masters.audit(master, bad)
    student["cells"][2]["outputs"] = [{"output_type": "stream", "name": "stdout", "text": "42"}]
    with pytest.raises(ValueError, match="would give away: outputs"):
        masters.audit(master, student)


def test_release_writes_all_student_notebooks(tmp_path, capsys):
    assert main(["release", "--all", "-o", str(tmp_path / "out")]) == 0
    assert sorted(file.stem for file in (tmp_path / "out").iterdir()) == HOMEWORK
    assert main(["release", "-o", str(tmp_path)]) == 2
    assert main(["release", "hw77", "-o", str(tmp_path)]) == 2
    assert "There is no homework hw77. There is: hw01" in capsys.readouterr().err


IMPORT = "from t2i_course.layout.keyphrases import pagerank as theirs\n"


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("def pagerank(g, v):\n    return keyphrases.pagerank(g, v)", True),  # the setup imports the module
        (IMPORT + "def pagerank(g, v):\n    return theirs(g, v)", True),
        (IMPORT + "pagerank = theirs", True),
        ("from t2i_course.layout.keyphrases import *\ndef mine(g, v):\n    return pagerank(g, v)", True),
        ("import t2i_course.layout.keyphrases as k\nf = k.pagerank", True),
        ("%matplotlib inline\ndef pagerank(g, v):\n    return keyphrases.pagerank(g, v)", True),
        (IMPORT + "def pagerank(g, v):\n    return g @ v\nprint(theirs(1, 2))\nassert theirs(1, 2)", False),
        ("from t2i_course.layout.keyphrases import pagerank\ndef pagerank(g):\n    return pagerank(g[1:])", False),
        ("def pagerank(g, v):\n    return 'keyphrases.pagerank'", False),
        ("def pagerank(:", False),
        ("def pagerank(g, v):\n    return optimise.WEIGHTS", False),
    ],
)
def test_the_library_s_own_answer_is_found_in_the_text(source, found):
    assert bool(masters.library_names(source, masters.find("hw01"))) == found


# --- what the checks say ----------------------------------------------------------------------------------------------


def one(numbers, shape, tolerance=1e-4):
    return [["ranks", shape, numbers, tolerance]]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (one([1.0, 2.0, 3.0, 4.0], [2, 2]), None),
        (one([1.0, 2.0, 3.0, 4.0003], [2, 2]), None),
        (
            one([1.0, 2.0, 3.0, 4.5], [2, 2]),
            "1 of 4 numbers are wrong, by up to 0.5 (ranks[1, 1] is 4.5 and should be 4)",
        ),
        (one([1.0, 3.0, 2.0, 4.0], [2, 2]), "transpose"),
        (one([-1.0, -2.0, -3.0, -4.0], [2, 2]), "wrong sign"),
        (one([2.0, 4.0, 6.0, 8.0], [2, 2]), "all are 2 times"),
        (one([2.0, 3.0, 4.0, 5.0], [2, 2]), "off by +1"),
        (one([4.0, 3.0, 2.0, 1.0], [2, 2]), "wrong places"),
        (one([1.0, 2.0, 3.0, 4.0], [4]), "shape (4,) instead of (2, 2)"),
        (one([1.0, float("nan"), 3.0, 4.0], [2, 2]), "NaN"),
        (one([1.0, float("inf"), 3.0, 4.0], [2, 2]), "1 of 4"),
        ([["ranks", "None (is the return missing?)"]], "return missing"),
        ([], "0 values instead of 1"),
        ([["ranks", [2, 2], [1.0], 1e9]], "not numbers"),
        ([["ranks", [2, 2], ["x", {}, None, 1], 1]], "not numbers"),
        ([["ranks", [2, 2], [1, 2, 3, 10**400], 1]], "not numbers"),
        ([["other", [2, 2], [1.0, 2.0, 3.0, 4.0], 1]], "not given"),
        ([None], "not given"),
        ([["ranks", None, None, None]], "not numbers"),
    ],
)
def test_what_differs_is_said_in_words(given, words):
    found = "; ".join(differences(one([1.0, 2.0, 3.0, 4.0], [2, 2]), given))
    assert (words is None) == (not found)
    assert (words or "") in found


def test_words_about_hidden_inputs_hold_no_number_of_them():
    found = differences(one([0.123456, 0.777777], [2]), one([0.5, 0.777777], [2]), reveal=False)
    assert found
    assert "0.123" not in found[0]
    assert "0.5 " not in found[0]


def test_a_self_check_in_the_notebook_says_what_differs(capsys):
    check = Checks({"ranks": one([2.0], [])})

    @check("ranks")
    def the_ranks(rng, value):
        value("ranks", 2)

    assert "✓ the ranks" in capsys.readouterr().out
    with pytest.raises(CheckFailed, match="the ranks: ranks: it is wrong, by up to 1"):

        @check("ranks")
        def the_ranks(rng, value):
            value("ranks", 3)

    with pytest.raises(CheckFailed):
        check.repeat(5, one([4.0], []))


def test_a_self_check_of_an_empty_answer_says_where_to_write():
    def not_yet():
        raise NotImplementedError

    with pytest.raises(CheckFailed, match="ranks of words: not answered yet: write your code") as failed:

        @Checks({"ranks": [["ranks", [], [2.0], 1e-4]]})("ranks")
        def ranks_of_words(rng, value):
            value("ranks", not_yet())

    assert failed.value._render_traceback_() == [f"✗ {failed.value}"]  # not the way through the library


def test_check_on_a_half_done_notebook(tmp_path, capsys):
    """What passes, what differs, and exit code 1; then everything right, and exit code 0. In a process of its own."""
    master = masters.find("hw01")
    notebook = masters.student_version(master)
    for cell in notebook["cells"]:
        if masters.grade_id(cell) == "pagerank":
            cell["source"] = master.solutions["pagerank"]
        if masters.grade_id(cell) == "overlap":
            cell["source"] = changed(master.solutions["overlap"], ("np.fill_diagonal(area, 0)", "area *= 2"))
        if masters.grade_id(cell) == "energy":
            cell["source"] = "def energy(*everything):\n    return helper(everything)"
    file = tmp_path / "hw01.ipynb"
    file.write_text(json.dumps(notebook))
    command = [sys.executable, "-m", "t2i_course.cli", "check", str(file)]
    half = subprocess.run(command, capture_output=True, text=True)
    assert half.returncode == 1, half.stderr
    assert "✓ words with links" in half.stdout
    assert "numbers are wrong, by up to" in half.stdout
    assert "NameError: name 'helper' is not defined" in half.stdout
    assert "not answered yet" in half.stdout
    assert "worth 30 of 100 points" in half.stdout

    for cell in notebook["cells"]:
        if masters.grade_id(cell) in master.solutions:
            cell["source"] = master.solutions[masters.grade_id(cell)]
    file.write_text(json.dumps(notebook))
    done = subprocess.run([*command, "--json"], capture_output=True, text=True)
    assert done.returncode == 0
    assert json.loads(done.stdout)["points"] == 100
    assert sorted(path.name for path in tmp_path.iterdir()) == ["hw01.ipynb"]


@pytest.mark.parametrize("content", ["", "{}", '{"cells": []}', '{"cells": [], "metadata": {"t2i": 3}}', "[1]"])
def test_check_of_something_else_is_answered_in_one_line(content, tmp_path, capsys):
    (tmp_path / "x.ipynb").write_text(content)
    assert main(["check", str(tmp_path / "x.ipynb")]) == 2
    assert main(["check", str(tmp_path / "nowhere.ipynb")]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 2
    assert "handed out" in error
