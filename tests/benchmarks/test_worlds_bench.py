"""How fast the worlds draw: one picture at 64 pixels, from a random spec to pixels, beside an empty picture.

    .venv/bin/python -m pytest tests/benchmarks/test_worlds_bench.py --benchmark-enable --benchmark-only

The column OPS is pictures per second on one core; the ratio to "blank" is what does not depend on the machine.
"""

import numpy as np
import pytest

from t2i_course import worlds
from t2i_course.worlds.base import rasterise

BLANK = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 100 100"><rect width="100" height="100"/></svg>'


@pytest.mark.parametrize("name", worlds.NAMES)
@pytest.mark.benchmark(group="one picture at 64 pixels")
def test_draw(benchmark, name):
    world, rng = worlds.load(name), np.random.default_rng(0)
    picture = benchmark.pedantic(lambda: world.render(world.sample(rng), 64), rounds=600, warmup_rounds=20)
    assert picture.shape == (64, 64, 3)


@pytest.mark.benchmark(group="one picture at 64 pixels")
def test_blank(benchmark):
    assert benchmark.pedantic(lambda: rasterise(BLANK, 64), rounds=600, warmup_rounds=20).shape == (64, 64, 3)
