"""Running a notebook by nbval, and writing down what became of each cell.

nbval is a plugin of pytest: each code cell is a test. It goes on after a cell that fails, stops one that is too slow,
and never lets what a cell prints decide anything (`--nbval-lax`).
"""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Callable
from pathlib import Path

MOST_TEXT = 2_000  # characters of one error that are kept
MOST_PICTURE = 1_000_000  # bytes (in base64) of one picture, and there are at most three of a cell


class Recorder:
    """A plugin of pytest that tells `write` what became of each cell: a dict of plain data."""

    def __init__(self, write: Callable[[dict], None]):
        self.write = write
        self.too_slow: set[str] = set()

    def pytest_runtest_setup(self, item):
        import pytest

        if _about(item).get("exercise") in self.too_slow:  # it would only be too slow again
            pytest.skip()

    def pytest_runtest_makereport(self, item, call):
        if call.when == "setup" and call.excinfo is not None:
            self.write({**_about(item), "outcome": "skipped"})
        if call.when != "call":
            return
        error = call.excinfo.value if call.excinfo else None
        outputs = item.test_outputs or []
        told = next((o for o in outputs if o.output_type == "error"), None)
        if error is None:
            outcome = "ran"
        elif "Kernel dead" in str(error) or not item.parent.kernel.is_alive():
            outcome = "died"
        elif str(error).startswith("Timeout"):
            outcome = "too slow"
        else:
            outcome = "failed"
        if outcome in ("died", "too slow"):
            self.too_slow.add(_about(item).get("exercise"))
            item.parent.timed_out = False  # nbval would expect all later cells to fail
        pictures = [o.data["image/png"] for o in outputs if isinstance(o.get("data", {}).get("image/png"), str)]
        self.write(
            {
                **_about(item),
                "outcome": outcome,
                "seconds": round(call.duration, 3),
                "error": f"{told.ename}: {told.evalue}"[:MOST_TEXT] if told else str(error or "")[:MOST_TEXT],
                "pictures": [picture for picture in pictures if len(picture) <= MOST_PICTURE][:3],
            }
        )


def _about(item) -> dict:
    return dict(item.cell.metadata.get("t2i", {}))


def run(notebook: Path, write: Callable[[dict], None], cell_seconds: float) -> None:
    """Run a notebook file in its folder; `write` is called once for each code cell, as soon as it is done."""
    try:
        import nbval  # noqa: F401
        import pytest
    except ImportError:
        raise ValueError("nbval is not installed, and it runs the notebooks. Install it: pip install nbval.") from None
    arguments = [
        *("-p", "nbval.plugin", "-p", "no:cacheprovider", "-c", os.devnull),
        *("--rootdir", str(notebook.parent), "--confcutdir", str(notebook.parent)),
        *("--nbval-lax", "--nbval-current-env", f"--nbval-cell-timeout={cell_seconds:g}", "--color=no", "-q"),
        *(
            "-p",
            "no:unraisableexception",
            "-p",
            "no:threadexception",
        ),  # they collect garbage for half a second at the end
        *("-W", "ignore", str(notebook)),
    ]
    environment = os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": ""}
    old = dict(os.environ)
    os.environ.update(environment)
    try:
        said = io.StringIO()
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            code = pytest.main(arguments, plugins=[Recorder(write)])
    finally:
        os.environ.clear()
        os.environ.update(old)
    if code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        raise ValueError(
            f"nbval could not run {notebook.name} (pytest ended with code {int(code)}): {said.getvalue()[-500:]}"
        )
