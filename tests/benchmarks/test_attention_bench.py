"""Attention: the fast path against the readable path, in time (the ratio stands in brackets) and in peak memory.

`pytest tests/benchmarks/test_attention_bench.py --benchmark-enable --benchmark-only -s`
"""

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from t2i_course.nn.attention import attention, fast_attention

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
LENGTHS = (64, 256, 1024, 4096)


def peak(call, device: str) -> int:
    """The most bytes that a call holds at one time, besides its inputs.

    On a CPU the profiler's list of what torch's allocator gave (positive) and took back (negative), added up in order:
    the process's own peak would also count whatever ran before.
    """
    if device == "cuda":
        torch.cuda.synchronize()
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        call()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as measured:
        call()
    events = [event for event in measured.profiler.kineto_results.events() if event.name() == "[memory]"]
    held = torch.tensor([event.nbytes() for event in sorted(events, key=lambda event: event.start_ns())])
    return int(held.cumsum(0).max())


@pytest.mark.benchmark(max_time=0.5, min_rounds=3, warmup=True, warmup_iterations=1)
@pytest.mark.parametrize("path", [attention, fast_attention])
@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("device", DEVICES)
def test_fast_path_against_readable_path(benchmark, device, length, path):
    """One picture, two heads of 64 numbers; as many keys as queries."""
    q, k, v = torch.randn(3, 1, 2, length, 64, device=device)

    def once():
        path(q, k, v)
        if device == "cuda":
            torch.cuda.synchronize()

    benchmark.group = f"attention, {length} queries and keys, {device}"
    benchmark(once)
    mebibytes = peak(lambda: path(q, k, v), device) / 2**20
    benchmark.extra_info["peak MiB"] = round(mebibytes, 3)
    print(f"\n{device}, length {length:4}, {path.__name__:14}: peak {mebibytes:8.2f} MiB")
