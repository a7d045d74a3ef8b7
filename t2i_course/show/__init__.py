"""Pictures, films, figures and widgets for notebooks and the command line."""

from importlib import import_module

_WHERE = {
    "Brush": "brush",
    "bars": "notebook",
    "film": "notebook",
    "figure": "notebook",
    "grid": "files",
    "lines": "notebook",
    "pictures": "notebook",
    "play": "notebook",
    "save_film": "files",
    "save_picture": "files",
    "source": "notebook",
    "table": "notebook",
    "timeline": "history",
}
__all__ = sorted(_WHERE)


def __getattr__(name: str):
    # Looked up when used: saving a file must not cost the import of matplotlib.
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(f".{_WHERE[name]}", __name__), name)
    globals()[name] = found
    return found
