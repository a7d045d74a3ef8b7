"""An assignment with its solutions (the master), the student's notebook made from it, and the way back.

A master is a notebook whose cells carry nbgrader's metadata (schema 3), and in `metadata.t2i` what we need to know:

    role        "setup", "expected", "answer", "check" or "payoff"
    exercise    which exercise an answer, check or pay-off belongs to; an answer's grade_id is the exercise's name
    function    the function that an answer defines; stub: a digest of what is handed out in its place

It is written as text, a Python file in jupytext's percent format, from which `assignments/make.py` makes the notebook.
Of a submission only the answers come back; where they are put together with the master's checks is `compose`.
"""

from __future__ import annotations

import ast
import copy
import hashlib
import json
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from .checks import VISIBLE, Emitter

ASSIGNMENTS = Path(__file__).resolve().parents[2] / "assignments"  # in a checkout; students have no masters
SOLUTION = re.compile(r"^([ \t]*)### BEGIN SOLUTION.*?### END SOLUTION[^\n]*", re.M | re.S)
HIDDEN = re.compile(r"\n*^[ \t]*### BEGIN HIDDEN TESTS.*?### END HIDDEN TESTS[^\n]*", re.M | re.S)
STUB = "{0}# YOUR CODE HERE\n{0}raise NotImplementedError()"
HIDDEN_SEED = 71  # of the tests for nbgrader; `t2i grade` draws its own


# --- masters ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Master:
    """A master notebook as JSON, and questions that it answers."""

    notebook: dict
    file: Path | None = None  # where it was found

    @property
    def name(self) -> str:
        """The homework, "hw01"."""
        return self.notebook["metadata"]["t2i"]["homework"]

    def cells(self, *roles: str) -> list[dict]:
        return [cell for cell in self.notebook["cells"] if about(cell).get("role") in roles]

    @cached_property
    def setup(self) -> str:
        """What comes before every check, too: the imports."""
        return "\n".join(text_of(cell) for cell in self.cells("setup"))

    @cached_property
    def solutions(self) -> dict[str, str]:
        """Exercise -> the master's answer."""
        return {about(cell)["exercise"]: text_of(cell) for cell in self.cells("answer")}

    @cached_property
    def stubs(self) -> dict[str, str]:
        """Exercise -> what the student finds in its place."""
        return {name: without_solution(source) for name, source in self.solutions.items()}

    @cached_property
    def functions(self) -> dict[str, str]:
        """Exercise -> the function (or class) that it asks for."""
        return {about(cell)["exercise"]: about(cell)["function"] for cell in self.cells("answer")}

    def is_untouched(self, exercise: str, source: str) -> bool:
        """Whether a cell is empty, or what was handed out."""
        handed_out = next(about(cell)["stub"] for cell in self.cells("answer") if about(cell)["exercise"] == exercise)
        return not source.strip() or _digest(source.strip()) == handed_out

    @cached_property
    def points(self) -> dict[str, dict[str, float]]:
        """Exercise -> check -> points."""
        points: dict[str, dict[str, float]] = {name: {} for name in self.solutions}
        for cell in self.cells("check"):
            points[about(cell)["exercise"]][grade_id(cell)] = cell["metadata"]["nbgrader"]["points"]
        return points

    @cached_property
    def holes(self) -> list[str]:
        """The library's own answers, by their dotted names."""
        return self.notebook["metadata"]["t2i"].get("holes", [])

    @cached_property
    def digest(self) -> str:
        """Changes when the master does."""
        return hashlib.blake2b(json.dumps(self.notebook, sort_keys=True).encode(), digest_size=8).hexdigest()


def find(name: str | Path, folder: Path = ASSIGNMENTS) -> Master:
    """The master "hw01" (or the path of one). Raises ValueError if there is none, or several."""
    path = Path(name)
    if path.suffix != ".ipynb":
        found = sorted(Path(folder).glob(f"{path.name}*/{path.name}*.ipynb"))
        if len(found) != 1:
            known = ", ".join(names(folder)) or f"none in {folder}; masters come with a checkout of the course"
            raise ValueError(f"There is {'no' if not found else 'more than one'} homework {name}. There is: {known}.")
        path = found[0]
    try:
        notebook = json.loads(path.read_text(encoding="utf-8"))
        notebook["metadata"]["t2i"]["homework"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path} is no master notebook ({type(error).__name__}). Make it: assignments/make.py."
        ) from None
    return Master(notebook, path)


def names(folder: Path = ASSIGNMENTS) -> list[str]:
    """The homework that there is."""
    return sorted(path.name.split("_")[0] for path in Path(folder).glob("hw*/") if list(path.glob("hw*.ipynb")))


def about(cell: dict) -> dict:
    """Our metadata of a cell, {} for one without."""
    return cell["metadata"].get("t2i", {})


def grade_id(cell: dict):
    """nbgrader's name of a cell, None for one without; of a submission, it may be anything."""
    metadata = cell.get("metadata")
    nbgrader = metadata.get("nbgrader") if isinstance(metadata, dict) else None
    return nbgrader.get("grade_id") if isinstance(nbgrader, dict) else None


def text_of(cell: dict) -> str:
    """The source of a cell: "" for what is none. Notebook format 3 called it "input"."""
    source = cell.get("source", cell.get("input", ""))
    if isinstance(source, list):
        source = "".join(line for line in source if isinstance(line, str))
    return source.encode("utf-8", "replace").decode() if isinstance(source, str) else ""


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=4).hexdigest()


def without_solution(source: str) -> str:
    """The source with a stub in place of each solution."""
    return SOLUTION.sub(lambda match: STUB.format(match[1]), source)


def without_hidden(source: str) -> str:
    return HIDDEN.sub("", source)


def _first_definition(source: str) -> str:
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            return node.name
    raise ValueError(f"An answer cell defines a function; this one does not: {source[:80]!r}.")


# --- from the text source to the master -------------------------------------------------------------------------------


def build(source: Path) -> dict:
    """The master notebook of a percent source, run once to store the right values of its checks. Needs jupytext."""
    import jupytext
    import nbformat

    written = jupytext.read(source)
    cells = []
    for cell in written.cells:
        cell.metadata.pop("lines_to_next_cell", None)
        marks = dict(cell.metadata)
        role = next((role for role in ("setup", "answer", "check", "payoff") if role in marks), None)
        if role is None:
            cells.append(cell)
            continue
        name = marks.pop(role) or role
        exercise = name if role == "answer" else marks.pop("exercise", name)
        points = marks.pop("points", None)
        nbgrader = {"schema_version": 3, "grade_id": name if role in ("answer", "check") else f"{role}_{name}"}
        nbgrader |= {"solution": role == "answer", "grade": role == "check", "locked": role != "answer", "task": False}
        nbgrader |= {"points": points} if role == "check" else {}
        rest = {key: value for key, value in marks.items() if key != role}
        ours = {"role": role} | ({"exercise": exercise} if role != "setup" else {})
        if role == "answer":
            stub = without_solution(cell.source)
            ours |= {"function": _first_definition(stub), "stub": _digest(stub.strip())}
        cell.metadata = nbformat.from_dict({**rest, "nbgrader": nbgrader, "t2i": ours})
        cells.append(cell)
        if role == "setup":
            cells.append(nbformat.v4.new_code_cell("", metadata=_expected_metadata()))
    notebook = nbformat.v4.new_notebook(cells=cells)
    notebook.metadata = nbformat.from_dict(
        {
            "kernelspec": {"display_name": "Python 3 (t2i_course)", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
            "t2i": written.metadata["t2i"],
        }
    )
    master = Master(json.loads(nbformat.writes(notebook)))
    records = values(master, master.solutions, [VISIBLE, HIDDEN_SEED])
    broken = [f"{record['check']}: {record['error']}" for record in records if record["error"]]
    if broken:
        raise ValueError(f"The solutions of {source.name} do not run: {'; '.join(broken)}.")
    right = {(record["check"], record["seed"]): shortened(record["values"]) for record in records}
    for cell in master.notebook["cells"]:
        role = about(cell).get("role")
        if role == "expected":
            visible = {check: values for (check, seed), values in right.items() if seed == 0}
            lines = ",\n".join(f"    {json.dumps(check)}: {json.dumps(values)}" for check, values in visible.items())
            cell["source"] = EXPECTED.format(lines)
        elif role == "check":
            again = f"check.repeat({HIDDEN_SEED}, {json.dumps(right[grade_id(cell), 1])})"
            cell["source"] = f"{text_of(cell)}\n\n### BEGIN HIDDEN TESTS\n{again}\n### END HIDDEN TESTS"
    seen: dict[str, int] = {}
    for cell in master.notebook["cells"]:
        digest = _digest(text_of(cell))
        seen[digest] = seen.get(digest, 0) + 1
        cell["id"] = grade_id(cell) or (digest if seen[digest] == 1 else f"{digest}-{seen[digest]}")
    return master.notebook


EXPECTED = """# The numbers that the self-checks compare with. Made with the homework; there is nothing to do here.
from t2i_course.grading.checks import Checks

check = Checks({{
{}
}})"""


def _expected_metadata() -> dict:
    nbgrader = {"schema_version": 3, "grade_id": "expected", "solution": False, "grade": False, "locked": True}
    return {"nbgrader": nbgrader | {"task": False}, "t2i": {"role": "expected"}, "jupyter": {"source_hidden": True}}


def shortened(values: list) -> list:
    """Values with seven digits, which is more than any tolerance asks for."""
    return [
        [name, shape, [float(f"{x:.7g}") for x in numbers], tolerance] for name, shape, numbers, tolerance in values
    ]


def values(master: Master, answers: dict[str, str], seeds: list[int]) -> list[dict]:
    """The records of the answers' checks, run right here and without protection: for the master's and known answers."""
    records: list[dict] = []
    scope = {"__name__": "homework"}
    for cell in master.cells("setup", "answer", "check"):
        role = about(cell)["role"]
        if role != "setup" and about(cell)["exercise"] not in answers:
            continue
        if role == "setup":
            exec(compile(text_of(cell), "<setup>", "exec"), scope)
        elif role == "answer":
            exec(compile(answers[about(cell)["exercise"]], f"<{about(cell)['exercise']}>", "exec"), scope)
        elif role == "check":
            scope["check"] = Emitter(seeds, records.append)
            exec(compile(without_hidden(text_of(cell)), f"<{grade_id(cell)}>", "exec"), scope)
    return records


# --- from the master to the student -----------------------------------------------------------------------------------


def student_version(master: Master) -> dict:
    """The notebook to hand out: no solutions, no hidden tests, no outputs. Raises ValueError if the audit finds any."""
    notebook = copy.deepcopy(master.notebook)
    notebook["metadata"]["t2i"] = {
        key: value
        for key, value in master.notebook["metadata"]["t2i"].items()
        if key in ("homework", "title", "minutes", "limits")
    }
    for cell in notebook["cells"]:
        if cell["cell_type"] != "code":
            continue
        cell["source"] = without_hidden(without_solution(text_of(cell))).splitlines(keepends=True)
        cell["outputs"], cell["execution_count"] = [], None
        if about(cell):
            cell["metadata"]["deletable"] = False
            if about(cell)["role"] != "answer":
                cell["metadata"]["editable"] = False
    audit(master, notebook)
    return notebook


def without_answers(master: Master) -> dict:
    """The master without what is secret: all that is needed to run answers."""
    notebook = copy.deepcopy(master.notebook)
    for cell in notebook["cells"]:
        cell["source"] = without_hidden(without_solution(text_of(cell)))
    return notebook


def audit(master: Master, notebook: dict) -> None:
    """Raises ValueError if a line of a solution, or a number of a hidden test, is anywhere in the notebook."""
    kept = "\n".join(text_of(cell) for cell in notebook["cells"])
    everything = json.dumps(notebook)
    lines = {line.strip() for line in kept.splitlines()}
    secret_lines = [
        line.strip()
        for cell in master.notebook["cells"]
        for match in [*SOLUTION.finditer(text_of(cell)), *HIDDEN.finditer(text_of(cell))]
        for line in match[0].splitlines()
    ]
    leaked = [line for line in secret_lines if line in lines and re.search(r"[=(.]|return ", line)]
    leaked += [line for line in secret_lines if len(line) >= 24 and json.dumps(line)[1:-1] in everything]
    numbers = {
        number
        for cell in master.cells("check")
        for match in HIDDEN.finditer(text_of(cell))
        for number in re.findall(r"\d\.\d{5,}", match[0])
    }
    visible = "".join(text_of(cell) for cell in master.cells("expected"))  # where some cases leave nothing to chance
    leaked += sorted(number for number in numbers if number in everything and number not in visible)
    leaked += [mark for mark in ("BEGIN SOLUTION", "END SOLUTION", "HIDDEN TESTS", *master.holes) if mark in everything]
    handed_out = {grade_id(cell): text_of(cell) for cell in notebook["cells"]}
    for exercise, source in master.solutions.items():
        stub = "YOUR CODE HERE" in handed_out[exercise] and handed_out[exercise].strip() != source.strip()
        if master.points[exercise] and not stub:
            leaked.append(f"the answer of {exercise}, which has no SOLUTION marks")
    if any(cell.get("outputs") for cell in notebook["cells"]):
        leaked.append("outputs")
    if leaked:
        raise ValueError(f"The student version of {master.name} would give away: {'; '.join(leaked[:3])}.")


# --- from the student to the answers ----------------------------------------------------------------------------------


def cells_of(notebook) -> list[dict]:
    """The cells of a submitted notebook, of format 4 or 3. Raises ValueError for anything else."""
    if not isinstance(notebook, dict):
        raise ValueError("it is not a notebook")
    cells = notebook.get("cells")
    if cells is None and isinstance(notebook.get("worksheets"), list):
        sheets = [sheet for sheet in notebook["worksheets"] if isinstance(sheet, dict)]
        cells = [cell for sheet in sheets if isinstance(sheet.get("cells"), list) for cell in sheet["cells"]]
    if not isinstance(cells, list):
        raise ValueError("it is not a notebook")
    return [cell for cell in cells if isinstance(cell, dict)]


def answers_in(notebook, master: Master) -> tuple[dict[str, str], dict[str, str]]:
    """(exercise -> source of its answer, exercise -> a note on how it was found) of a submitted notebook.

    The rule: an exercise's candidates are the cells with its grade_id, whatever type they have now. If none of them
    holds an answer, they are the code cells without any grade_id of the homework that define its function. Untouched
    stubs and empty cells are no candidates. Of several, the last one counts, as when the notebook is run from top to
    bottom. Raises ValueError if the notebook holds no cell of this homework.
    """
    cells = cells_of(notebook)
    known = {grade_id(cell) for cell in master.cells("setup", "expected", "answer", "check", "payoff")}
    answers, notes, seen = {}, {}, False
    for exercise in master.solutions:
        own = [cell for cell in cells if grade_id(cell) == exercise]
        other = [
            cell
            for cell in cells
            if cell.get("cell_type") == "code"
            and not (isinstance(grade_id(cell), str) and grade_id(cell) in known)
            and defines(text_of(cell), master.functions[exercise])
        ]
        seen = seen or bool(own or other)
        for found, note in ((own, ""), (other, f"found by its name, {master.functions[exercise]}")):
            candidates = [text_of(cell) for cell in found if not master.is_untouched(exercise, text_of(cell))]
            if candidates:
                answers[exercise] = candidates[-1]
                notes[exercise] = note or ("the last of several cells" if len(set(candidates)) > 1 else "")
                break
    if not seen:
        raise ValueError(f"it holds no cell of {master.name}")
    return answers, {exercise: note for exercise, note in notes.items() if note}


def defines(source: str, name: str) -> bool:
    """Whether a cell defines a function or class, or gives a value to the name, at its top level."""
    pattern = rf"^(async\s+def|def|class)\s+{re.escape(name)}\b|^{re.escape(name)}\s*(:[^=\n]*)?=(?!=)"
    return re.search(pattern, source, re.M) is not None


def library_names(source: str, master: Master) -> list[str]:
    """The library's own answers that an answer uses, as far as its text tells: in functions, and in assignments.

    A call at the top level of a cell, say to compare with one's own result, is no use.
    """
    try:
        setup, tree = ast.parse(master.setup), ast.parse(plain_python(source))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    known: dict[str, str] = {}
    for node in [*ast.walk(setup), *ast.walk(tree)]:
        if isinstance(node, ast.Import):
            for name in node.names:
                known[name.asname or name.name.split(".")[0]] = name.name if name.asname else name.name.split(".")[0]
        elif isinstance(node, ast.ImportFrom) and node.module:
            for name in node.names:
                if name.name == "*":
                    known |= {hole.split(".")[-1]: hole for hole in master.holes if hole.startswith(node.module + ".")}
                else:
                    known[name.asname or name.name] = f"{node.module}.{name.name}"
    for statement in tree.body:
        if isinstance(statement, ast.FunctionDef | ast.ClassDef):
            known.pop(statement.name, None)  # the name is the student's own now
    used = set()
    for statement in tree.body:
        if not isinstance(statement, ast.Expr | ast.Assert | ast.Import | ast.ImportFrom):
            used |= {_dotted(node, known) for node in ast.walk(statement)}
    return sorted(hole for hole in master.holes if hole in used)


def _dotted(node: ast.AST, known: dict[str, str]) -> str:
    """The full name of `alias.of.something`, if its first part is known."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if isinstance(node, ast.Name) and node.id in known:
        return ".".join([known[node.id], *reversed(parts)])
    return ""


def plain_python(source: str) -> str:
    """A cell with its magics turned into calls, so that it can be parsed."""
    from IPython.core.inputtransformer2 import TransformerManager

    return TransformerManager().transform_cell(source)


# --- from the answers to a notebook that can be graded ----------------------------------------------------------------

MARKER = re.compile(r"^(\s*#[#\s]*)(?=NBVAL_|PYTEST_VALIDATE_)", re.M)  # such a comment would be an order to nbval


def compose(master: Master, answers: dict[str, str], seeds: list[int] | None, leave_out=frozenset()) -> str:
    """The notebook that is graded, as JSON: the master's cells, the student's answers, checks that only emit numbers.

    Without seeds, the checks compare: this is what `t2i check` runs.
    leave_out: exercises, and pay-offs ("payoff_energy"), that have brought a kernel down before.
    """
    emit = f"from t2i_course.grading.checks import Emitter\ncheck = Emitter({seeds})"
    if seeds is None:
        emit = "\n".join(text_of(cell) for cell in master.cells("expected"))
    names = sorted(master.functions.values())
    emit += "\nfrom t2i_course.grading.checks import own_scope"
    emit += f"\ncheck.scope = own_scope({master.setup!r}, globals(), {names})"
    answers = {name: stub for name, stub in master.stubs.items() if not master.points[name]} | answers
    cells = []
    for cell in master.cells("setup", "answer", "check", "payoff"):
        role, exercise = about(cell)["role"], about(cell).get("exercise")
        if exercise in leave_out or (role == "payoff" and grade_id(cell) in leave_out):
            continue
        if role != "setup" and exercise not in answers:
            continue
        if role == "answer":
            source = MARKER.sub(r"\1not for nbval: ", answers[exercise])
        elif role == "check":  # the imports again: an answer may use their names for something else
            source = f"{master.setup}\n{emit}\n{without_hidden(text_of(cell))}"
        elif role == "payoff":
            source = f"{master.setup}\n{text_of(cell)}"
        else:
            source = text_of(cell)
        metadata = {"t2i": {"role": role, "exercise": exercise or "", "id": grade_id(cell)}}
        cells.append(
            {
                **{"cell_type": "code", "id": f"cell-{len(cells)}", "metadata": metadata},
                **{"source": source, "outputs": [], "execution_count": None},
            }
        )
    spec = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    return json.dumps({"cells": cells, "metadata": spec, "nbformat": 4, "nbformat_minor": 5})
