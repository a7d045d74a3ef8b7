"""Where things are: the data that ships with the course, and the user's cache."""

import json
import os
import sys
import threading
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent

# A checkout keeps data/ beside the package (so that people find it); an installed wheel carries it inside.
DATA = _PACKAGE / "data" if (_PACKAGE / "data").is_dir() else _PACKAGE.parent / "data"


def cache_folder() -> Path:
    """The folder for what can be made again (rendered pictures, runs): `T2I_CACHE`, or the user's cache folder."""
    if os.environ.get("T2I_CACHE"):
        folder = Path(os.environ["T2I_CACHE"]).expanduser()
    elif sys.platform == "win32":
        folder = Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local")) / "t2i_course"
    elif sys.platform == "darwin":
        folder = Path.home() / "Library" / "Caches" / "t2i_course"
    else:
        folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "t2i_course"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"The cache folder {folder} cannot be made ({error.strerror}). Set T2I_CACHE to one that can.")
    return folder


def write_atomically(path: str | Path, content: bytes) -> None:
    """Write `content` so that `path` holds either the old file or the whole new one, whatever happens in between."""
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except FileNotFoundError:
        raise ValueError(f"Cannot write {path}: the folder {path.parent} does not exist.") from None
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: str | Path, data) -> None:
    """Write plain data for people to read, atomically, into a folder that is made if it has to be."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, (json.dumps(data, indent=1) + "\n").encode())
