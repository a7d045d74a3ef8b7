"""Published checkpoints -> our modules: one visible table of names for each format, and a strict load."""

import re
from collections.abc import Mapping

import torch
from torch import Tensor

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def dtype_of(precision: str) -> torch.dtype:
    """What a loaded network computes in. Raises ValueError for a precision that is none of these."""
    if precision not in PRECISIONS:
        raise ValueError(f"There is no precision {precision!r}. There are: {', '.join(PRECISIONS)}.")
    return PRECISIONS[precision]


def renamed(state: Mapping[str, Tensor], table: Mapping[str, str]) -> dict[str, Tensor]:
    """Their names -> ours. The table is {regular expression for the beginning of a name: its replacement}; the first
    that fits counts. A name that none fits is kept, and the strict load that follows says that it is not expected."""
    result = {}
    for name, tensor in state.items():
        for pattern, replacement in table.items():
            ours, fits = re.subn(f"^(?:{pattern})", replacement, name, count=1)
            if fits:
                name = ours
                break
        result[name] = tensor
    return result


def with_counts(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Add the counters of batches of batch norms: files written by PyTorch 0.3 and older have none."""
    counters = {
        name.replace("running_mean", "num_batches_tracked"): torch.tensor(0) for name in state if "running_mean" in name
    }
    return counters | dict(state)
