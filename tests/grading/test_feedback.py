"""What students and lecturers are told, without running anything."""

import json

from t2i_course.grading import feedback, grade, masters

MASTER = masters.find("hw01")
SEEDS = [1]


def records_of(notebook: str) -> list[dict]:
    """A record without values for each check of a composed notebook."""
    about = [cell["metadata"]["t2i"] for cell in json.loads(notebook)["cells"]]
    return [{**cell, "outcome": "ran", "error": ""} for cell in about]


def test_an_error_that_another_exercise_caused_is_forgotten_when_the_cell_ran_again():
    runs = []

    def run(notebook):
        runs.append(notebook)
        cells = records_of(notebook)
        if len(runs) == 1:
            for cell in cells:
                if cell["role"] == "answer":
                    died = cell["exercise"] == "pagerank"
                    cell |= {"outcome": "died" if died else "skipped", "error": "gone" if died else "Kernel dead"}
        return {"cells": cells, "checks": [], "end": "", "seconds": 1.0}

    result = grade.execute(MASTER.solutions, MASTER, SEEDS, run, most_seconds=100)
    assert len(runs) == 2
    assert result["trouble"] == {"pagerank": "ended the Python process"}
    assert not any(error for exercise, error in result["errors"].items() if exercise != "pagerank")


def row(**about) -> dict:
    """A row of the gradebook with one exercise."""
    told = "positions (of three): all 6 numbers are wrong, by up to 0.7"
    wrong = [[f"{told} (positions (of three)[0] is 1 and should be 0)"]]
    check = {"check": "c", "title": "the check", "points": 30, "wrong": wrong, "passed": False}
    exercise = {"exercise": "pagerank", "answered": True, "checks": [check], "library": [], "points": 0, "of": 30}
    return {
        **{"student": "ada", "file": "ada.zip", "total": 0, "of": 30, "status": "graded", "reason": "", "pictures": {}},
        **{"answers": {"pagerank": "pass"}, "feedback": "ada.html", "seconds": 1, "isolation": "full"},
        "exercises": [exercise | {"note": "", "error": "", "trouble": ""}],
        **about,
    }


def test_nothing_is_said_of_exercises_of_what_could_not_be_read():
    page = feedback.page(row(status="rejected", reason="it is no zip"), MASTER)
    assert "it is no zip" in page
    assert "Nothing in ada.zip could be graded." in page
    assert "pagerank" not in page
    assert "pagerank" in feedback.page(row(), MASTER)


def test_one_reason_is_told_where_an_exercise_was_left_out():
    told = row()
    told["exercises"][0] |= {"error": "Timeout of 8 seconds exceeded", "trouble": "ended the Python process"}
    page = feedback.page(told, MASTER)
    assert "It ended the Python process, so it was left out" in page
    assert "Timeout" not in page


def test_the_class_s_page_says_what_went_wrong_but_no_student_s_numbers():
    page = feedback.summary([row()], MASTER)
    assert "<td>positions (of three): all 6 numbers are wrong, by up to 0.7</td>" in page
