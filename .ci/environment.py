"""Write environment.yml (for conda users) from pyproject.toml and requirements.lock; part of `make lock`."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HEAD = """\
# The course for conda users: `conda env create -f environment.yml`, `conda activate t2i_course`, `jupyter lab notebooks`.
# Made by `make lock` from pyproject.toml (which packages) and requirements.lock (which versions).
name: t2i_course
channels:
  - conda-forge
dependencies:
  - python=3.12
  - pip
  - pip:
"""


def environment() -> str:
    """The text of environment.yml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    lock = (ROOT / "requirements.lock").read_text()
    locked = {normal(name): version for name, version in re.findall(r"^([\w.-]+)==([^ ;\\]+)", lock, re.M)}
    names = sorted(normal(re.match(r"[\w.-]+", requirement)[0]) for requirement in wanted)
    return HEAD + "".join(f"      - {name}=={locked[name]}\n" for name in names) + "      - --editable .\n"


def normal(name: str) -> str:
    """A package's name as the index spells it."""
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    (ROOT / "environment.yml").write_text(environment())
