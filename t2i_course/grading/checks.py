"""Check cells. One check serves three masters:

* the student, in the notebook: `Checks` compares with stored numbers and says what differs, and by how much;
* the grader: `Emitter` only writes numbers, on inputs that nobody has seen before; they are compared elsewhere;
* nbgrader: as for the student, and `check.repeat` does the same on other inputs, between its HIDDEN TESTS marks.

A check is a function of a random generator and of `value`, which takes the numbers to compare by name:

    @check("pagerank_links")
    def words_with_links(rng, value):
        graph = rng.random((6, 6))
        value("ranks", pagerank(graph, np.ones(6), 0.3))

Numbers travel as JSON: a value is [name, shape, flat list of floats, tolerance], or [name, text] if it was no number.
"""

from __future__ import annotations

import functools
import json
import math
import os
import re
import types
import zlib
from collections.abc import Callable

TOLERANCE = 1e-4  # of the largest right number
VISIBLE = 2007  # the seed of the self-checks
MOST_NUMBERS = 20_000
_used_holes: list[str] = []


class CheckFailed(AssertionError):
    """What is wrong with an answer. Notebooks show it without a traceback, which would only show the check."""

    def _render_traceback_(self) -> list[str]:
        return [f"✗ {self}"]


class Checks:
    """The self-checks of a student's notebook. expected: id of a check -> its right values."""

    def __init__(self, expected: dict[str, list]):
        self.expected = expected
        self.scope: dict | None = None
        self.last: tuple[str, Callable] | None = None

    def __call__(self, name: str) -> Callable:
        def run(body):
            body = within(self.scope, body)
            self.last = (name, body)
            self.compare(body, VISIBLE, name, self.expected[name])
            print(f"✓ {title(body)}")
            return body

        return run

    def repeat(self, seed: int, expected: list) -> None:
        """The last check once more on other inputs."""
        name, body = self.last
        self.compare(body, seed, name, expected)

    def compare(self, body: Callable, seed: int, name: str, expected: list) -> None:
        """Raises CheckFailed, or what the student's function raises."""
        try:
            found = differences(expected, emitted(body, seed, name))
        except NotImplementedError:  # what a released answer cell holds
            found = ["not answered yet: write your code in the cell above that says YOUR CODE HERE, and run it"]
        if found:
            raise CheckFailed(f"{title(body)}: {'; '.join(found)}")


class Emitter:
    """The checks of a graded notebook: they write their numbers to the grader, and judge nothing.

    Each check runs once for each seed. write: takes the record of one run; by default it goes into the grader's pipe.
    """

    def __init__(self, seeds: list[int], write: Callable[[dict], None] | None = None):
        self.seeds = seeds
        self.scope: dict | None = None
        self.write = write or functools.partial(_to_pipe, int(os.environ["T2I_VALUES"]))

    def __call__(self, name: str) -> Callable:
        def run(body):
            body = within(self.scope, body)
            for number, seed in enumerate(self.seeds):
                _used_holes.clear()
                record = {"check": name, "seed": number, "values": [], "error": ""}
                try:
                    record["values"] = emitted(body, seed, name)
                except Exception as error:
                    record["error"] = f"{type(error).__name__}: {error}"[:500]
                record["library"] = list(_used_holes)
                self.write(record)
            return body

        return run


def _to_pipe(pipe: int, record: dict) -> None:
    content = memoryview(json.dumps(record).encode() + b"\n")
    while content:
        content = content[os.write(pipe, content) :]


def own_scope(setup: str, notebook: dict, functions: list[str]) -> dict:
    """The names that a check sees: the setup's and the students' functions, not what else an answer has named "max"."""
    scope = {"__name__": "check"}
    exec(setup, scope)
    return scope | {name: notebook[name] for name in functions if name in notebook}


def within(scope: dict | None, body: Callable) -> Callable:
    """The same function with other global names, if a scope is given."""
    return body if scope is None else types.FunctionType(body.__code__, scope, body.__name__)


def title(body: Callable) -> str:
    """What a check is about: its name."""
    return body.__name__.replace("_", " ")


def title_of_source(source: str) -> str:
    """The same, from the text of a check cell."""
    match = re.search(r"^def (\w+)", source, re.M)
    return match[1].replace("_", " ") if match else "check"


def emitted(body: Callable, seed: int, name: str) -> list:
    """Run a check; the values that it gave, in order."""
    import numpy as np

    values = []

    def value(name: str, numbers, tolerance: float = TOLERANCE) -> None:
        values.append(as_value(name, numbers, tolerance))

    body(np.random.default_rng([seed, zlib.crc32(name.encode())]), value)
    return values


def as_value(name: str, numbers, tolerance: float = TOLERANCE) -> list:
    """[name, shape, numbers, tolerance] of whatever a student's function returned, or [name, what it is instead]."""
    import numpy as np

    if hasattr(numbers, "detach"):
        numbers = numbers.detach().cpu().double().numpy()
    try:
        array = np.asarray(numbers)
    except ValueError:
        return [name, "lists of unequal lengths"]
    if array.dtype.kind not in "biuf":
        return [name, "None (is the return missing?)" if numbers is None else f"a {type(numbers).__name__}"]
    if array.size > MOST_NUMBERS:
        return [name, f"{array.size:,} numbers"]
    return [name, list(array.shape), [float(x) for x in array.ravel()], tolerance]


def differences(expected: list, given: list, reveal: bool = True) -> list[str]:
    """What is wrong with the given values, in words; nothing if they are right. Never raises, whatever is given.

    reveal: whether the words may hold expected or given numbers (the student's own inputs), or only how many differ.
    """
    if len(given) != len(expected):
        return [f"{len(given)} values instead of {len(expected)}"]
    found = []
    for right, value in zip(expected, given, strict=True):
        try:
            wrong = _difference(right, value, reveal)
        except (TypeError, ValueError, KeyError, IndexError, OverflowError):
            wrong = "not numbers"
        if wrong:
            found.append(f"{right[0]}: {wrong}")
    return found


def _difference(right: list, value: list, reveal: bool) -> str:
    import numpy as np

    name, shape, numbers, tolerance = right
    if not isinstance(value, list) or value[0] != name:
        return "not given"
    if len(value) == 2:
        return f"{str(value[1])[:80] if reveal else 'something else'} instead of numbers of shape {tuple(shape)}"
    given_shape = [int(n) for n in value[1]]
    if given_shape != list(shape):
        return f"shape {tuple(given_shape)} instead of {tuple(shape)}"
    wanted, got = np.array(numbers, float), np.array(value[2], float)
    if got.shape != wanted.shape:
        return "not numbers"
    if not wanted.size:
        return ""
    if np.isnan(got).any():
        return f"{_some(np.isnan(got))} not a number (NaN)"
    allowed = tolerance * max(np.abs(wanted).max(), 0.01)
    wrong = ~(np.abs(got - wanted) <= allowed)
    if not wrong.any():
        return ""
    words = f"{_some(wrong)} wrong"
    if reveal:
        words += f", by up to {np.abs(got - wanted).max():.3g}"
        first = int(np.argmax(wrong))
        place = "[" + ", ".join(str(int(i)) for i in np.unravel_index(first, shape)) + "]" if shape else ""
        words += f" ({name}{place} is {got[first]:.5g} and should be {wanted[first]:.5g})"
    return words + _guess(wanted.reshape(shape), got.reshape(shape), allowed, reveal)


def _some(which) -> str:
    count = int(which.sum())
    if which.size == 1:
        return "it is"
    return f"all {count} numbers are" if count == which.size else f"{count} of {which.size} numbers are"


def _guess(wanted, got, allowed: float, reveal: bool) -> str:
    """A word on how the wrong numbers relate to the right ones, if that is plain to see."""
    import numpy as np

    def same(a, b):
        return a.shape == b.shape and bool((np.abs(a - b) <= allowed).all())

    if same(-got, wanted):
        return "; all have the wrong sign"
    if wanted.ndim == 2 and same(got.T, wanted):
        return "; it is the transpose of what it should be"
    if wanted.size > 1 and same(np.sort(got, axis=None), np.sort(wanted, axis=None)):
        return "; the right numbers are in the wrong places"
    if wanted.size > 1 and np.abs(wanted).min() > 0 and np.isfinite(got).all():
        ratio = got / wanted
        if not math.isclose(ratio.flat[0], 0) and np.allclose(ratio, ratio.flat[0], rtol=1e-3):
            return f"; all are {f'{ratio.flat[0]:.4g}' if reveal else 'as many'} times what they should be"
        if np.allclose(got - wanted, (got - wanted).flat[0], rtol=1e-3, atol=allowed):
            return f"; all are off by {f'{(got - wanted).flat[0]:+.4g}' if reveal else 'the same'}"
    return ""


# --- the library's own answers ----------------------------------------------------------------------------------------


def make_hole(name: str) -> None:
    """Replace the code of a function of the library, everywhere it is known, by a trap that tells of its use.

    name: "t2i_course.layout.keyphrases.pagerank", or a class, of which every method becomes a trap. The original is
    gone from this process and from all that it forks. A method that uses super() cannot be replaced, and stays.
    """
    target = find(name)
    functions = (
        [target] if hasattr(target, "__code__") else [f for f in vars(target).values() if hasattr(f, "__code__")]
    )
    for function in functions:
        if function.__code__.co_freevars:
            continue
        scope: dict = {}
        exec(f"def trap(*arguments, **options):\n    return _t2i_trap({name!r})", scope)
        function.__globals__["_t2i_trap"] = _spring
        function.__code__ = scope["trap"].__code__
        function.__defaults__ = function.__kwdefaults__ = None


def _spring(name: str):
    _used_holes.append(name)
    raise RuntimeError(f"{name} is what this homework asks you to write. It is not there while you are graded.")


def find(name: str):
    """The object with a dotted name."""
    import importlib

    parts = name.split(".")
    for end in range(len(parts) - 1, 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:end]))
        except ImportError:
            continue
        for part in parts[end:]:
            found = getattr(found, part)
        return found
    raise ValueError(f"There is nothing called {name}; correct the list of holes in the master.")
