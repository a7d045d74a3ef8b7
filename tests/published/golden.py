"""Golden files: random weights, inputs and outputs of the original code, at a reduced width."""

from collections.abc import Callable
from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import Tensor, nn

GOLDEN = Path(__file__).parents[1] / "golden"


def golden(
    name: str, load: Callable[[Path], nn.Module], folder: Path, small: bool = False
) -> tuple[nn.Module, dict[str, Tensor], dict[str, Tensor]]:
    """A network with the weights of a golden file, its inputs and its outputs.

    load: reads them from a file with the names of the original, which is written into `folder`. small: all weights but
    those of norms are divided by 32, so that a wrong epsilon of a norm shows.
    """
    parts = {"weights": {}, "in": {}, "out": {}}
    for key, tensor in load_file(GOLDEN / f"{name}.safetensors").items():
        part, _, rest = key.partition("/")
        parts[part][rest] = tensor
    save_file(parts["weights"], folder / f"{name}.safetensors")
    net = load(folder / f"{name}.safetensors")
    if small:
        for module in net.modules():
            if not isinstance(module, nn.GroupNorm | nn.LayerNorm):
                for p in module.parameters(recurse=False):
                    p.div_(32)  # the loaders freeze what they load
    return net, parts["in"], parts["out"]
