"""The stored notebooks: made from their sources, run from top to bottom, readable without being run."""

import importlib.util
import re
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[1]
SPEC = importlib.util.spec_from_file_location("make", ROOT / "notebooks" / "sources" / "make.py")
make = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(make)

SOURCES = make.sources()
CHECKED = "nbval-check-output"


def stored(source):
    return nbformat.read(ROOT / "notebooks" / f"{source.stem}.ipynb", as_version=4)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]


def test_every_source_has_its_notebook_and_the_other_way_round():
    assert SOURCES
    assert {s.stem for s in SOURCES} == {n.stem for n in (ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb")}


@pytest.mark.parametrize("source", SOURCES, ids=lambda s: s.stem)
def test_a_notebook_is_what_its_source_makes(source):
    assert make.is_current(source), "run `make notebooks`"


@pytest.mark.parametrize("source", SOURCES, ids=lambda s: s.stem)
def test_a_notebook_was_run_from_top_to_bottom_without_errors(source):
    notebook = stored(source)
    nbformat.validate(notebook)
    cells = code_cells(notebook)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert not [o for cell in cells for o in cell.outputs if o.output_type == "error"]


@pytest.mark.parametrize("source", SOURCES, ids=lambda s: s.stem)
def test_what_nbval_compares_can_be_compared(source):
    """Cells are marked by a tag. nbval silently ignores a misspelt mark, and pictures; a semicolon confuses it."""
    notebook = stored(source)
    for cell in notebook.cells:
        assert "NBVAL" not in cell.source, "use the tag nbval-check-output"
        assert set(cell.metadata.get("tags", [])) <= {CHECKED}
    compared = [cell for cell in code_cells(notebook) if CHECKED in cell.metadata.get("tags", [])]
    assert compared
    for cell in compared:
        assert not cell.source.rstrip().endswith(";"), cell.source
        assert cell.outputs, f"nothing to compare: {cell.source}"
        assert all(output.output_type == "stream" for output in cell.outputs), cell.source


@pytest.mark.parametrize("source", SOURCES, ids=lambda s: s.stem)
def test_every_picture_has_words_and_no_widget_is_left_dead(source):
    for cell in code_cells(stored(source)):
        for output in cell.outputs:
            data = output.get("data", {})
            assert make.WIDGET not in data
            for kind in ("image/png", "image/gif"):
                if kind in data:
                    assert len(data["text/plain"].split()) >= 5, f"no description: {cell.source}"
                    assert not re.match(r"<.* at 0x|<Figure|<IPython", data["text/plain"]), cell.source
            if output.output_type == "stream":
                assert output.name == "stdout", output.text
    for cell in stored(source).cells:
        if cell.cell_type == "markdown":
            assert not re.search(r"!\[\]\(|<img(?![^>]*alt=\"[^\"])", cell.source), cell.source


@pytest.mark.parametrize("source", SOURCES, ids=lambda s: s.stem)
def test_the_rhythm_of_a_chapter(source):
    """A promise, something to play with, one exercise with its solution folded, and what came next."""
    notebook = stored(source)
    first = notebook.cells[0].source
    assert first.startswith("# ")
    assert "you will be able to" in first
    text = "\n".join(cell.source for cell in notebook.cells)
    assert "show.play(" in text
    assert re.search(r"^## .*exercise", text, re.M | re.I)
    assert [c for c in code_cells(notebook) if c.metadata.get("jupyter", {}).get("source_hidden")]
    assert "next" in notebook.cells[-1].source


@pytest.mark.parametrize("source", SOURCES, ids=lambda s: s.stem)
def test_a_notebook_fits_its_budget(source):
    """The stored measure (nothing is timed here): at most 90 s, 1.5 MB, and no network."""
    budget = stored(source).metadata["budget"]
    assert budget["seconds"] <= 90
    assert (ROOT / "notebooks" / f"{source.stem}.ipynb").stat().st_size <= 1.5e6
    assert budget["peak_mib"] > 0


def test_the_readme_has_the_table_of_chapters():
    readme = make.README.read_text(encoding="utf-8")
    assert make.readme_with_table(readme) == readme, "run `make notebooks`"


HEAD = """# ---
# jupyter:
#   t2i: {chapter: '99', title: x, year: 2007, system: x, promise: x, needs: x, minutes: 1}
# ---
"""


def test_a_notebook_that_was_run_is_current_and_normalised(tmp_path, monkeypatch):
    monkeypatch.setattr(make, "NOTEBOOKS", tmp_path)
    source = tmp_path / "99_x.py"
    code = "import sys\nprint('progress', file=sys.stderr)\nprint(6 * 7)"
    source.write_text(HEAD + f"\n# %% [markdown]\n# hello\n\n# %%\n{code}\n")
    assert not make.is_current(source)
    make.run(source)
    assert make.is_current(source)
    (cell,) = [c for c in nbformat.read(tmp_path / "99_x.ipynb", as_version=4).cells if c.cell_type == "code"]
    assert [(output.name, output.text) for output in cell.outputs] == [("stdout", "42\n")]
    assert "execution" not in cell.metadata
    source.write_text(source.read_text().replace("# hello", "# good morning"))
    assert not make.is_current(source)
    assert make.retell(source)  # without running it
    assert make.is_current(source)
    assert nbformat.read(tmp_path / "99_x.ipynb", as_version=4).cells[1].outputs == cell.outputs
    source.write_text(source.read_text().replace("6 * 7", "7 * 6"))
    assert not make.is_current(source)
    assert not make.retell(source)


def test_cell_ids_follow_the_text(tmp_path):
    source = tmp_path / "99_x.py"
    source.write_text(HEAD + "\n# %% [markdown]\n# hello\n\n# %%\n1\n\n# %%\n1\n")
    first = make.convert(source)
    source.write_text(HEAD + "\n# %% [markdown]\n# hello\n\n# %%\n2\n\n# %%\n1\n")
    second = make.convert(source)
    ids = [[cell.id for cell in notebook.cells] for notebook in (first, second)]
    assert len(set(ids[0])) == 3
    assert ids[0][0] == ids[1][0]
    assert ids[0][1] == ids[1][2]  # the same text keeps its id wherever it moves
    assert first.metadata["t2i"]["chapter"] == "99"
