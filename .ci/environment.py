"""Write environment.yml (for conda users) from pyproject.toml and requirements.lock; part of `make lock`."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HEAD = """\
# For conda users: `conda env create -f environment.yml`, `conda activate t2i_course`, `jupyter lab notebooks`.
# Made by `make lock` from requirements.lock, which follows from pyproject.toml.
name: t2i_course
channels:
  - conda-forge
dependencies:
  - python>=3.11,<3.14
  - pip
  - pip:
"""


def environment() -> str:
    """The text of environment.yml: every locked package, with the platforms and Pythons that it is for."""
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    locked = [line.strip() for line in re.findall(r"^([\w.-]+==[^\\\n]+)", lock, re.M)]
    return HEAD + "".join(f"      - {requirement}\n" for requirement in locked) + "      - --editable .\n"


if __name__ == "__main__":
    (ROOT / "environment.yml").write_text(environment(), encoding="utf-8")
