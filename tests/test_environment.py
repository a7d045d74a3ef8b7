"""The set-up files agree with each other and tie nobody to one machine or one index."""

import importlib.util
import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def test_conda_users_get_the_same_packages():
    spec = importlib.util.spec_from_file_location("environment", ROOT / ".ci" / "environment.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    written = (ROOT / "environment.yml").read_text(encoding="utf-8")
    assert written == script.environment(), "run `make lock`"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for requirement in [*project["dependencies"], *project["optional-dependencies"]["dev"]]:
        name = re.match(r"[\w-]+", requirement)[0].replace("_", "-").lower()
        assert f"- {name}==" in written, f"{name} is wanted, but not locked: run `make lock`"


def test_the_lock_file_is_hashed_universal_and_names_no_index():
    lock = (ROOT / "requirements.lock").read_text()
    packages = re.findall(r"^[\w.-]+==\S+", lock, re.M)
    assert len(packages) > 100
    assert lock.count("--hash=sha256:") >= len(packages)
    assert not re.search(r"://|^--|\+cpu", lock, re.M)  # no address, no option of the installer, no CPU build
    assert "sys_platform == 'win32'" in lock
    assert "sys_platform == 'darwin'" in lock


def test_ci_runs_make_test_and_nothing_else():
    commands = [
        line for line in (ROOT / ".ci" / "run").read_text().splitlines() if not line.startswith(("#", "set", "cd"))
    ]
    assert commands == ["exec make test"]


def test_nothing_is_too_large_to_clone():
    for path in [*ROOT.glob("data/**/*"), *ROOT.glob("notebooks/*.ipynb")]:
        limit = 1.5e6 if path.suffix == ".ipynb" else 16 * 2**20
        assert path.stat().st_size <= limit, path
