"""Weight files, read without running code that may hide in them, and refused in one clear sentence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn


def load_weights(
    net: nn.Module,
    file: str | Path,
    remedy: str,
    convert: Callable[[dict[str, Tensor]], dict[str, Tensor]] = lambda state: state,
    assign: bool = False,
) -> None:
    """Fill `net` with the weights of a file (safetensors, or torch's own format), as float32.

    `convert` may rename them first. Every mistake is a ValueError that names the file and ends with `remedy`.
    """
    fill(net, read_weights(file, remedy), file, remedy, convert, assign)


def loaded(
    build: Callable[[], nn.Module],
    file: str | Path,
    remedy: str,
    convert: Callable[[dict[str, Tensor]], dict[str, Tensor]] = lambda state: state,
    read: Callable[[str | Path, str], dict[str, Tensor]] | None = None,
) -> nn.Module:
    """A network that is built without memory, filled as by `load_weights`, and frozen. read: for `read_weights`."""
    with torch.device("meta"):
        net = build()
    fill(net, (read or read_weights)(file, remedy), file, remedy, convert, assign=True)
    return net.requires_grad_(False).eval()


def read_weights(file: str | Path, remedy: str) -> dict[str, Tensor]:
    """The tensors of a file by their names; of a training's checkpoint, those of its "state_dict"."""
    file = Path(file)
    if not file.is_file():
        raise ValueError(f"There is no file {file}. {remedy}")
    try:
        if file.suffix == ".safetensors":
            return load_file(file)
        state = _load(file)
        return state.get("state_dict", state)
    except Exception as error:  # damaged files raise a dozen kinds, from EOFError to UnpicklingError
        raise unreadable(file, error, remedy) from error


class _Empty:
    """Stands for a class that a file names and we do not need: nothing of it is imported or run."""

    def __new__(cls, *_, **__):
        return super().__new__(cls)

    def __setstate__(self, _):
        pass


def _load(file: Path):
    """What torch's own format holds. Those of Lightning, such as Stable Diffusion 1.5's, also tell of callbacks."""
    try:
        named = torch.serialization.get_unsafe_globals_in_checkpoint(file)
    except ValueError:  # an older format, of which only torch.load can tell
        named = []
    empty = [(_Empty, name) for name in named if name.startswith(("pytorch_lightning.", "numpy."))]
    with torch.serialization.safe_globals(empty):
        return torch.load(file, map_location="cpu", weights_only=True)


def fill(
    net: nn.Module,
    state: dict[str, Tensor],
    file: str | Path,
    remedy: str,
    convert: Callable[[dict[str, Tensor]], dict[str, Tensor]] = lambda state: state,
    assign: bool = False,
) -> None:
    """Fill `net` with what `read_weights` read from `file`, as `load_weights` says."""
    try:
        state = {name: t.float() if t.is_floating_point() else t for name, t in convert(state).items()}
    except Exception as error:  # anything may stand in a file
        raise unreadable(file, error, remedy) from error
    own = net.state_dict()
    wrong = {
        "missing": own.keys() - state.keys(),
        "not of this network": state.keys() - own.keys(),
        "of another shape": {name for name in own.keys() & state.keys() if own[name].shape != state[name].shape},
    }
    wrong = {what: names for what, names in wrong.items() if names}
    if wrong:
        told = "; ".join(f"{len(names)} {what}, such as {min(names, key=str)}" for what, names in wrong.items())
        raise ValueError(f"{file} holds the weights of another network ({told}). {remedy}")
    net.load_state_dict(state, strict=True, assign=assign)


def unreadable(file: str | Path, error: Exception, remedy: str) -> ValueError:
    """What is said of a damaged file."""
    return ValueError(f"{file} cannot be read as a file of weights ({type(error).__name__}). {remedy}")
