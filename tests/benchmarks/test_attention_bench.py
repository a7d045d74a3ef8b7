"""Attention: the fast path against the readable path, in time and in memory."""

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from t2i_course.nn.attention import attention, fast_attention

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


def largest_allocation(call) -> int:
    """Bytes of the largest block of memory that one operation asks for: the matrix of weights, or less."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as measured:
        call()
    return max(event.self_cpu_memory_usage for event in measured.events())


@pytest.mark.parametrize("length", [64, 256, 1024, 4096])
@pytest.mark.parametrize("device", DEVICES)
def test_fast_path_against_readable_path(benchmark, length, device):
    q, k, v = torch.randn(3, 1, 4, length, 64, device=device)

    def once(path):
        path(q, k, v)
        if device == "cuda":
            torch.cuda.synchronize()

    if device == "cpu":
        for name, path in (("readable", attention), ("fast", fast_attention)):
            benchmark.extra_info[f"{name} path, MiB"] = largest_allocation(lambda path=path: path(q, k, v)) / 2**20
    start = torch.utils.benchmark.Timer("once(path)", globals={"once": once, "path": attention})
    readable = start.blocked_autorange(min_run_time=0.5).median
    benchmark(once, fast_attention)
    benchmark.extra_info["length"] = length
    benchmark.extra_info["fast / readable"] = benchmark.stats["median"] / readable
