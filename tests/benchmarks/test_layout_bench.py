"""Speed of the 2007 system, as ratios: ours against dual annealing, and each step's share of a drawing.

`pytest tests/benchmarks/test_layout_bench.py --benchmark-enable --benchmark-only -s`
"""

import time

import numpy as np
import pytest

from t2i_course.layout.optimise import best_layout, dual_annealing, energy, random_layout, random_problem
from t2i_course.layout.picture_layout import PictureLayout, read
from t2i_course.layout.pictures import PictureLibrary

FARM = "First the farmer gives hay to the goat. Then the farmer gets milk from the cow."


@pytest.mark.benchmark(group="layout of 10 pictures")
def test_ours_against_dual_annealing(benchmark):
    problem = random_problem(10)
    ours = benchmark(best_layout, problem)
    start = time.perf_counter()
    annealed, _ = dual_annealing(problem, ours.evaluations)
    seconds = time.perf_counter() - start
    chance = energy(problem, *random_layout(problem, np.random.default_rng(0), (100,))).mean()
    print(f"\nenergy: ours / dual annealing {ours.energy / annealed:.3f}, ours / random {ours.energy / chance:.3f}")
    if benchmark.stats:
        print(f"time: dual annealing / ours {seconds / benchmark.stats['mean']:.1f}")


@pytest.mark.benchmark(group="farm story")
@pytest.mark.parametrize("layout", ["collage", "abc", "strip"])
def test_a_drawing(benchmark, layout):
    benchmark(PictureLayout().draw, [FARM], size=512, layout=layout)


@pytest.mark.benchmark(group="farm story")
def test_reading_alone(benchmark):
    benchmark(read, FARM, PictureLibrary.default())
