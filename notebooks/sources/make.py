"""Make the notebooks from their text sources: convert, run, normalise, measure; then the README's table and picture.

    make notebooks              # those whose source has changed; where only prose has, nothing is run
    make notebooks ARGS=--all   # all of them (after a change of the library)
    make notebooks ARGS=01      # those whose name begins so

A source is a Python file in jupytext's percent format. Its header says, under `t2i:`, what the table of chapters says.
"""

import argparse
import base64
import hashlib
import io
import os
import subprocess
import sys
import time
from pathlib import Path

import jupytext
import nbformat

from t2i_course.show.poster import poster

SOURCES = Path(__file__).resolve().parent
NOTEBOOKS = SOURCES.parent
README = NOTEBOOKS.parent / "README.md"
WIDGET = "application/vnd.jupyter.widget-view+json"


def sources() -> list[Path]:
    """The chapters' sources, in order."""
    return sorted(SOURCES.glob("[0-9][0-9]_*.py"))


def convert(source: Path) -> nbformat.NotebookNode:
    """A source as a notebook that has not been run, with cell ids that follow from the cells' text."""
    notebook = jupytext.read(source)
    seen: dict[str, int] = {}
    for cell in notebook.cells:
        name = hashlib.blake2b(cell.source.encode(), digest_size=4).hexdigest()
        seen[name] = seen.get(name, 0) + 1
        cell.id = name if seen[name] == 1 else f"{name}-{seen[name]}"
        cell.metadata.pop("lines_to_next_cell", None)
    notebook.metadata = nbformat.from_dict(
        {
            "kernelspec": {"display_name": "Python 3 (t2i_course)", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
            "t2i": notebook.metadata["t2i"],
        }
    )
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    return notebook


def same_text(a: nbformat.NotebookNode, b: nbformat.NotebookNode) -> bool:
    """Whether two notebooks hold the same cells and metadata, whatever their outputs and what they cost."""
    about = [{name: value for name, value in n.metadata.items() if name != "budget"} for n in (a, b)]
    return about[0] == about[1] and [(c.id, c.cell_type, c.source, c.metadata) for c in a.cells] == [
        (c.id, c.cell_type, c.source, c.metadata) for c in b.cells
    ]


def is_current(source: Path) -> bool:
    """Whether the stored notebook is the one that its source makes."""
    stored = NOTEBOOKS / f"{source.stem}.ipynb"
    return stored.exists() and same_text(convert(source), nbformat.read(stored, as_version=4))


def retell(source: Path) -> bool:
    """Store a notebook in which only prose has changed, with the outputs that it has; whether that could be done."""
    notebook, file = convert(source), NOTEBOOKS / f"{source.stem}.ipynb"
    if not file.exists():
        return False
    stored = nbformat.read(file, as_version=4)
    new, old = ([c for c in n.cells if c.cell_type == "code"] for n in (notebook, stored))
    if [(c.source, c.metadata) for c in new] != [(c.source, c.metadata) for c in old]:
        return False
    for fresh, known in zip(new, old, strict=True):
        fresh.outputs, fresh.execution_count = known.outputs, known.execution_count
    notebook.metadata["budget"] = stored.metadata["budget"]
    nbformat.validate(notebook)
    nbformat.write(notebook, file)
    return True


def run(source: Path) -> None:
    """Convert, run, normalise and store one notebook, and write down what it cost."""
    import resource

    from nbclient import NotebookClient

    notebook = convert(source)
    if hasattr(os, "sched_setaffinity"):  # what is measured is what a laptop with two cores would take
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])
    start = time.perf_counter()
    NotebookClient(
        notebook,
        timeout=300,
        kernel_name="python3",
        store_widget_state=False,
        resources={"metadata": {"path": NOTEBOOKS}},
    ).execute()
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    normalise(notebook)
    notebook.metadata["budget"] = {"seconds": round(seconds), "peak_mib": round(peak / 2**20)}
    nbformat.validate(notebook)
    nbformat.write(notebook, NOTEBOOKS / f"{source.stem}.ipynb")


def normalise(notebook: nbformat.NotebookNode) -> None:
    """Keep what readers need: no timestamps, no progress bars, small pictures, and a picture in a widget's place."""
    notebook.metadata["language_info"] = {"name": "python"}  # running it adds the version of this machine's Python
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type != "code":
            continue
        outputs = []
        for output in cell.outputs:
            if output.output_type == "stream" and output.name == "stderr":
                continue  # progress bars
            data = output.get("data", {})
            if WIDGET in data:
                if "image/png" not in data:
                    continue
                data.pop(WIDGET)
            if "image/png" in data:
                data["image/png"] = smaller(data["image/png"])
            outputs.append(output)
        cell.outputs = outputs


def smaller(png: str) -> str:
    """The same PNG (base64) in fewer bytes: at most 256 colors. Films stay as they are."""
    from PIL import Image

    image = Image.open(io.BytesIO(base64.b64decode(png)))
    if getattr(image, "n_frames", 1) > 1:
        return png
    image = image.convert("RGB")
    buffer = io.BytesIO()
    image.quantize(256, method=Image.Quantize.FASTOCTREE if image.width * image.height > 4e6 else 0).save(
        buffer, "PNG", optimize=True
    )
    return base64.b64encode(buffer.getvalue()).decode()


def table_of_chapters() -> str:
    """The README's table, from what the notebooks carry: the header of their source, and what they cost to run."""
    lines = [
        "| chapter | year | system | what you will be able to do | class minutes | needs | runs in | memory |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for source in sources():
        metadata = nbformat.read(NOTEBOOKS / f"{source.stem}.ipynb", as_version=4).metadata
        about, cost = metadata["t2i"], metadata["budget"]
        lines.append(
            f"| [{about['chapter']} {about['title']}](notebooks/{source.stem}.ipynb) | {about['year']} "
            f"| {about['system']} | {about['promise']} | {about['minutes']} "
            f"| {about['needs']} | {cost['seconds']} s | {cost['peak_mib']} MiB |"
        )
    return "\n".join(lines)


def readme_with_table(readme: str) -> str:
    """The README with its table of chapters made new."""
    begin, end = "<!-- chapters: made by `make notebooks` -->", "<!-- end of chapters -->"
    before, _, rest = readme.partition(begin)
    _, _, after = rest.partition(end)
    if not rest or not after:
        raise ValueError(f"README.md has lost its marks {begin} and {end}.")
    return f"{before}{begin}\n{table_of_chapters()}\n{end}{after}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="only notebooks whose names begin so, changed or not")
    parser.add_argument("--all", action="store_true", help="also those that have not changed")
    parser.add_argument("--run", metavar="SOURCE", help=argparse.SUPPRESS)  # one, in a process of its own
    options = parser.parse_args()
    if options.run:
        return run(Path(options.run))
    unknown = [name for name in options.names if not any(source.name.startswith(name) for source in sources())]
    if unknown:
        parser.error(f"no chapter begins with {', '.join(unknown)}; there are {', '.join(s.stem for s in sources())}")
    for source in sources():
        named = any(source.name.startswith(name) for name in options.names)
        changed = not options.names and not options.all and not is_current(source)
        if changed and retell(source):
            print(f"{source.stem}: new prose", flush=True)
        elif named or options.all or changed:
            print(f"running {source.stem} …", flush=True)
            # In a process of its own, so that the peak memory measured is this notebook's.
            subprocess.run([sys.executable, __file__, "--run", str(source)], check=True)
    poster(README.parent / "data" / "poster.png")
    README.write_text(readme_with_table(README.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
