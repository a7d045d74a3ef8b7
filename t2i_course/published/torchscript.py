"""TorchScript archives, as OpenAI released CLIP: the tensors of a program, which is not run.

Such a file is a zip: the program's code, the numbers of each tensor, and data.pkl, a pickle that says where in the tree
of modules each has its place. A pickle may name any function of Python and have it called. This reader knows the few
names that an archive of weights needs; what stands behind them here only holds numbers. It refuses every other.
"""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from t2i_course.weights import unreadable

DTYPES = {"HalfStorage": torch.float16, "FloatStorage": torch.float32, "LongStorage": torch.int64}


class Module:
    """Stands for every class of the program, whatever that would do: it keeps what the archive gives it."""


class Reader(pickle.Unpickler):
    """Reads the data.pkl of an archive, whose files are in the folder `root`."""

    def __init__(self, archive: zipfile.ZipFile, root: str):
        super().__init__(archive.open(f"{root}data.pkl"))
        self.archive, self.root = archive, root

    def find_class(self, module: str, name: str):
        """What a name of the pickle stands for. Raises UnpicklingError for all but those that weights need."""
        if module.startswith("__torch__."):
            return Module
        if module == "torch" and name in DTYPES:
            return DTYPES[name]
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return self.tensor
        if (module, name) == ("collections", "OrderedDict"):
            return dict
        raise pickle.UnpicklingError(f"weights need no {module}.{name}")

    def persistent_load(self, saved: tuple) -> Tensor:
        """All numbers of a storage, which is named as ("storage", type, name, device, how many)."""
        _, dtype, name, *_ = saved
        return torch.frombuffer(bytearray(self.archive.read(f"{self.root}data/{name}")), dtype=dtype)

    def tensor(self, storage: Tensor, start: int, shape: tuple[int, ...], strides: tuple[int, ...], *_) -> Tensor:
        """A tensor from its storage. Raises RuntimeError if it would reach beyond it."""
        return storage.as_strided(shape, strides, start)


def is_program(file: str | Path) -> bool:
    """Whether a file is a TorchScript archive."""
    try:
        with zipfile.ZipFile(file) as archive:
            return any(name.endswith("/constants.pkl") for name in archive.namelist())
    except (OSError, zipfile.BadZipFile):
        return False


def read_program(file: str | Path, remedy: str) -> dict[str, Tensor]:
    """The tensors of a TorchScript archive by their names. Raises ValueError, which ends with `remedy`."""
    try:
        with zipfile.ZipFile(file) as archive:
            path = next(name for name in archive.namelist() if name.endswith("/data.pkl"))
            return dict(tensors(Reader(archive, path.removesuffix("data.pkl")).load()))
    except Exception as error:  # a hostile file can raise any
        raise unreadable(file, error, remedy) from error


def tensors(module: Module, place: str = "") -> Iterator[tuple[str, Tensor]]:
    """Names and tensors of a module and of all below it."""
    for name, value in vars(module).items():
        if isinstance(value, Tensor):
            yield f"{place}{name}", value
        elif isinstance(value, Module):
            yield from tensors(value, f"{place}{name}.")
