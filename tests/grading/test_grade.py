"""Grading a class of hostile, clumsy and plain submissions: the truth, one row each, nothing left behind."""

import csv
import json
import os
import socket
import threading

import pytest

from t2i_course.grading import grade, masters

from . import submissions
from .submissions import ALL, CLUMSY, HOSTILE, LIMITS, warm_processes, without_payoffs

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="grading needs a system that can fork"),
]


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    """All submissions, graded once."""
    folder = tmp_path_factory.mktemp("class")
    place = {name: folder / name for name in ("submissions", "out")} | {"assignments": masters.ASSIGNMENTS}
    place["mark"] = folder / "mark"
    place["mark"].write_text("untouched")
    place["submissions"].mkdir()
    heard = []
    server = socket.create_server(("127.0.0.1", 0))
    place["port"] = server.getsockname()[1]

    def listen():
        while True:
            try:
                heard.append(server.accept())
            except OSError:
                return

    threading.Thread(target=listen, daemon=True).start()
    for _, _, write in ALL:
        write(place["submissions"], place)
    before = {path: path.stat().st_mtime_ns for path in place["submissions"].rglob("*") if path.is_file()}
    warm = warm_processes()
    result = grade.grade(
        without_payoffs(submissions.MASTER),
        place["submissions"],
        place["out"],
        workers=2,
        limits=LIMITS,
        progress=False,
    )
    server.close()
    after = {path: path.stat().st_mtime_ns for path in place["submissions"].rglob("*") if path.is_file()}
    return {
        **{"result": result, "place": place, "heard": heard, "before": before, "after": after},
        "left": warm_processes() - warm,
    }


def rows_by_name(graded):
    rows = {}
    for row in graded["result"]["rows"]:
        assert row["student"] not in rows
        rows[row["student"]] = row
    return rows


def test_the_suite_is_as_large_as_promised():
    assert len(HOSTILE) >= 40
    assert len(CLUMSY) >= 20
    assert len({name for name, _, _ in ALL}) == len(ALL)


def test_one_row_for_each_submission(graded):
    assert len(graded["result"]["rows"]) == len(ALL)
    with open(graded["place"]["out"] / "gradebook.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(ALL)
    assert all(row["isolation"] and row["status"] in ("graded", "partly", "rejected") for row in rows)
    assert not any(value.startswith(("=", "+", "-", "@")) or "\n" in value for row in rows for value in row.values())
    assert len(list((graded["place"]["out"] / "feedback").glob("*.html"))) == len(ALL)


@pytest.mark.parametrize(("name", "truth"), [(name, truth) for name, truth, _ in ALL])
def test_a_submission_gets_what_it_deserves(name, truth, graded):
    row = rows_by_name(graded)[name]
    if graded["result"]["isolation"].startswith("limits") and name.startswith(
        ("reads_", "library_source", "library_byte")
    ):
        pytest.skip("this machine has neither namespaces nor Landlock: files cannot be kept from a submission")
    if truth == "rejected":
        assert (row["status"], row["total"]) == ("rejected", 0)
        assert row["reason"]
    else:
        assert (row["total"], row["status"] in ("graded", "partly")) == (truth, True), json.dumps(row, indent=1)


def test_what_goes_wrong_is_told(graded):
    rows = rows_by_name(graded)
    assert rows["endless_loop"]["status"] == "partly"
    assert "pagerank took too long" in rows["endless_loop"]["reason"]
    assert "pagerank ended the Python process" in rows["exits_hard"]["reason"]
    for name in ("library_answer", "library_answer_hidden", "library_answer_caught", "library_answer_by_name"):
        assert "library's own t2i_course.layout.keyphrases.pagerank" in rows[name]["reason"], name
    assert "library" not in rows["compares_with_the_library"]["reason"]
    assert "found by its name" in rows["metadata_lost"]["reason"]
    assert "links are not followed" in rows["a_link"]["reason"]
    assert "unpacks to more than" in rows["a_zip_bomb"]["reason"]
    assert "no cell of hw01" in rows["another_homework"]["reason"]
    assert rows["blank"]["reason"] == "no exercise is answered"


def test_nothing_is_left_behind(graded):
    assert graded["left"] == set()
    assert graded["before"] == graded["after"]
    assert graded["place"]["mark"].read_text() == "untouched"
    assert not os.path.exists("/tmp/evil")
    assert not os.path.exists("/tmp/climbed.ipynb")
    if not graded["result"]["isolation"].startswith("limits"):
        assert graded["heard"] == []


def test_no_script_of_a_student_is_in_any_page(graded):
    for page in (graded["place"]["out"]).rglob("*.html"):
        text = page.read_text()
        assert "<script" not in text.lower()
        assert "default-src 'none'" in text
        assert "http://" not in text
        assert "https://" not in text


def test_hidden_inputs_and_right_values_are_not_in_the_feedback(graded):
    master = submissions.MASTER
    seeds = grade.seeds_from(master, graded["result"]["seed"])
    hidden = {
        f"{number:.5g}"
        for record in masters.values(master, master.solutions, seeds[1:])
        for value in record["values"]
        for number in value[2]
        if len(f"{number:.5g}") > 6
    }
    text = (graded["place"]["out"] / rows_by_name(graded)["one_term_wrong"]["feedback"]).read_text()
    assert "should be" in text  # of the self-check's inputs, which students have
    assert not [number for number in hidden if number in text]
