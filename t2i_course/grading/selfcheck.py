"""`t2i check`: what students run. Their answers run as the grader will run them, with the self-checks' own inputs."""

from __future__ import annotations

import tempfile
from pathlib import Path

from . import masters, runner
from .checks import title_of_source
from .masters import about, text_of


def check(path: Path, cell_seconds: float | None = None) -> dict:
    """Run the self-checks of a student's notebook by nbval.

    Only the homework's own cells run, each after the imports, as when it is graded; so a helper function that stands in
    another cell is missing here, too. Returns {"homework", "checks": [...], "points", "of", "passed"}.
    Raises ValueError for a file that is no homework of the course.
    """
    from .grade import LIMITS, parse, read_plain_file

    try:
        notebook = parse(read_plain_file(path))
        homework = notebook["metadata"]["t2i"]["homework"]
        ours = {
            masters.grade_id(c): c for c in reversed(masters.cells_of(notebook)) if _is_ours(c)
        }  # the first of copies
        handed_out = masters.Master({**notebook, "cells": list(ours.values())[::-1]})
        answers, _ = masters.answers_in(notebook, handed_out)
    except OSError as error:
        raise ValueError(f"{path} cannot be read ({error.strerror}). Give the notebook of a homework.") from None
    except (ValueError, KeyError, TypeError, SyntaxError) as error:
        reason = error if isinstance(error, ValueError) else "it is not a homework of this course"
        raise ValueError(f"{path}: {reason}. Give the notebook that you were handed out.") from None
    cells: dict[str, dict] = {}
    with tempfile.TemporaryDirectory(prefix="t2i-check-", ignore_cleanup_errors=True) as folder:
        file = Path(folder) / f"{homework}.ipynb"
        file.write_text(masters.compose(handed_out, answers, None), encoding="utf-8")
        limits = LIMITS | notebook["metadata"]["t2i"].get("limits", {})
        runner.run(file, lambda cell: cells.update({cell["id"]: cell}), cell_seconds or limits["cell_seconds"])
    return _summed_up(homework, handed_out, answers, cells)


def _is_ours(cell: dict) -> bool:
    return isinstance(masters.grade_id(cell), str) and isinstance(about(cell), dict) and bool(about(cell))


def _summed_up(homework: str, handed_out: masters.Master, answers: dict, cells: dict) -> dict:
    checks = []
    for cell in handed_out.cells("check"):
        exercise, name = about(cell)["exercise"], masters.grade_id(cell)
        ran, answer = cells.get(name, {}), cells.get(exercise, {})
        if exercise not in answers:
            wrong = "not answered yet"
        elif ran.get("outcome") == "ran":
            wrong = ""
        elif answer.get("outcome") not in (None, "ran"):
            wrong = f"its cell {_words(answer)}"
        else:
            wrong = _words(ran)
        points = cell["metadata"]["nbgrader"].get("points", 0)
        checks.append({"exercise": exercise, "title": title_of_source(text_of(cell)), "points": points, "wrong": wrong})
    return {
        "homework": homework,
        "checks": checks,
        "points": sum(c["points"] for c in checks if not c["wrong"]),
        "of": sum(c["points"] for c in checks),
        "passed": not any(c["wrong"] for c in checks),
    }


def _words(cell: dict) -> str:
    """What became of a cell that did not run to its end."""
    outcome, error = cell.get("outcome"), cell.get("error", "")
    if outcome == "too slow":
        return "takes too long: is there a loop that never ends?"
    if outcome in ("died", "skipped", None):
        return "was not reached: the Python process ended, or an earlier check took too long"
    return (
        error.removeprefix("CheckFailed: ").partition(": ")[2] if error.startswith("CheckFailed") else f"raises {error}"
    )


def summary(result: dict) -> str:
    """The result in words, a line for each check and one for each thing that is wrong with it."""
    lines, exercise = [], None
    for check in result["checks"]:
        if check["exercise"] != exercise:
            exercise = check["exercise"]
            lines.append(exercise)
        lines.append(f"  {'✗' if check['wrong'] else '✓'} {check['title']} ({check['points']:g})")
        lines += [f"      {part}" for part in check["wrong"].split("; ") if part]
    passed = sum(not check["wrong"] for check in result["checks"])
    lines.append(
        f"{passed} of {len(result['checks'])} self-checks pass, worth {result['points']:g} of {result['of']:g} points "
        "if your answers are as right on the grader's other inputs."
    )
    return "\n".join(lines)
