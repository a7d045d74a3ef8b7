"""Step 3 of the 2007 system: where to put the pictures, and which lie in front.

    E(p, z) = w1 * overlap + w2 * centrality + w3 * closeness                                        (to be minimised)

    overlap     sum over pairs:   I_b * (area that both cover) / (area of b),  b = the one that lies behind
    centrality  sum over all:     I_i * |p_i - centre|
    closeness   sum over pairs:   c_ij * |p_i - p_j|,  c_ij = how strongly the text links i and j

p (n, 2) are the centres in a unit square, z (n,) the depths (0 is nearest), I the importances, scaled to a mean of 1.
The three terms are the paper's; their form and weights, and the depth in the first, are reconstructed.

The minimum is sought by Monte Carlo with random restarts. The paper (reconstructed) builds many pictures, adding one
image at a time near those already placed, and improves each by a local gradient step. Each of our many chains builds a
picture in that way too, but then improves it by random moves that become ever smaller and pickier, as in simulated
annealing. All chains move at once (one numpy call for all), and the best picture of the best chain wins.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np


class Weights(NamedTuple):
    """How much each term counts."""

    overlap: float = 4.0
    centrality: float = 1.0
    closeness: float = 1.0


WEIGHTS = Weights()


@dataclass(frozen=True)
class Problem:
    """What is to be laid out: sides of the square images (n,), importances (n,), links (n, n) symmetric in [0, 1]."""

    sides: np.ndarray
    importance: np.ndarray
    closeness: np.ndarray
    weights: Weights = WEIGHTS

    def __post_init__(self):
        n = len(self.sides)
        if n == 0 or self.importance.shape != (n,) or self.closeness.shape != (n, n):
            raise ValueError(f"A layout problem needs sides (n,), importance (n,) and closeness (n, n); got {self}.")
        if (self.sides <= 0).any() or (self.sides > 1).any():
            raise ValueError(f"Sides are parts of the unit square, above 0 and at most 1; got {self.sides}.")
        if (self.importance < 0).any() or not self.importance.sum():
            raise ValueError(f"Importances are not negative and not all 0; got {self.importance}.")
        object.__setattr__(self, "importance", self.importance / self.importance.mean())

    def first(self, order: np.ndarray) -> "Problem":
        """The same problem for some of the images, importances unchanged."""
        part = object.__new__(Problem)
        fields = (self.sides[order], self.importance[order], self.closeness[np.ix_(order, order)], self.weights)
        for name, value in zip(("sides", "importance", "closeness", "weights"), fields, strict=True):
            object.__setattr__(part, name, value)
        return part


class State(NamedTuple):
    """A layout on the way: the images placed so far (indices), positions (k, 2), depths (k,) and energy terms."""

    placed: np.ndarray
    positions: np.ndarray
    depths: np.ndarray
    terms: dict[str, float]
    energy: float
    evaluations: int


def energy_terms(problem: Problem, positions: np.ndarray, depths: np.ndarray) -> dict[str, np.ndarray]:
    """The three unweighted terms of layouts with positions (..., n, 2) and depths (..., n): arrays (...)."""
    i, j = np.triu_indices(len(problem.sides), 1)
    x, y = positions[..., 0], positions[..., 1]
    dx, dy = np.abs(x[..., i] - x[..., j]), np.abs(y[..., i] - y[..., j])
    reach, smaller = (problem.sides[i] + problem.sides[j]) / 2, np.minimum(problem.sides[i], problem.sides[j])
    area = np.clip(reach - dx, 0, smaller) * np.clip(reach - dy, 0, smaller)
    harm = problem.importance / problem.sides**2  # of hiding one unit of area of each image
    behind = np.where(depths[..., i] > depths[..., j], harm[i], harm[j])
    return {
        "overlap": (area * behind).sum(-1),
        "centrality": np.hypot(x - 0.5, y - 0.5) @ problem.importance,
        "closeness": np.hypot(dx, dy) @ problem.closeness[i, j],
    }


def energy(problem: Problem, positions: np.ndarray, depths: np.ndarray) -> np.ndarray:
    """The weighted sum of the three terms (...)."""
    terms = energy_terms(problem, positions, depths)
    return sum(weight * terms[name] for name, weight in problem.weights._asdict().items())


def inside(problem: Problem, positions: np.ndarray) -> np.ndarray:
    """Positions moved so that no image sticks out of the unit square."""
    half = problem.sides[:, None] / 2
    return np.clip(positions, half, 1 - half)


def random_layout(problem: Problem, rng: np.random.Generator, shape: tuple[int, ...] = ()):
    """Layouts without any thought: positions (*shape, n, 2), uniform in the square, and depths (*shape, n)."""
    n = len(problem.sides)
    half = problem.sides[:, None] / 2
    return half + (1 - 2 * half) * rng.random((*shape, n, 2)), rng.random((*shape, n))


def monte_carlo(
    problem: Problem, seed: int | np.random.Generator = 0, *, chains: int = 48, tries: int = 8, moves: int = 400
) -> Iterator[State]:
    """Lay the images out; yields the winning chain's states, one per image placed, then one per move, then its best.

    It takes chains * (tries * n + moves) evaluations of the energy.
    """
    rng = np.random.default_rng(seed)
    n = len(problem.sides)
    order = np.argsort(-problem.importance, kind="stable")
    positions, built = construct(problem, order, rng, chains, tries)
    depths = np.empty((chains, n))
    depths[:, order] = (np.arange(n) + 0.5) / n  # the most important lie in front
    now = energy(problem, positions, depths)
    best = (now.copy(), positions.copy(), depths.copy())
    history = [(positions, depths, now)]
    for progress in np.linspace(0, 1, moves):
        new_positions, new_depths = propose(problem, positions, depths, rng, scale=0.3 * 0.02**progress)
        new = energy(problem, new_positions, new_depths)
        temperature = 0.3 * 0.001**progress
        accept = new < now + temperature * rng.exponential(size=chains)
        positions = np.where(accept[:, None, None], new_positions, positions)
        depths = np.where(accept[:, None], new_depths, depths)
        now = np.where(accept, new, now)
        improved = now < best[0]
        for kept, current in zip(best, (now, positions, depths), strict=True):
            kept[improved] = current[improved]
        history.append((positions, depths, now))

    winner = int(best[0].argmin())
    for k in range(1, n):
        some = problem.first(order[:k])
        yield _state(some, order[:k], built[k - 1][winner], depths[winner, order[:k]], chains * tries * k)
    everything = np.arange(n)
    for step, (p, z, _) in enumerate(history):
        yield _state(problem, everything, p[winner], z[winner], chains * (tries * n + step))
    yield _state(problem, everything, best[1][winner], best[2][winner], chains * (tries * n + moves))


def construct(problem: Problem, order: np.ndarray, rng: np.random.Generator, chains: int, tries: int):
    """Place one image after another: the first near the centre, each next near one already placed, the best of `tries`.

    Returns positions (chains, n, 2) and, for the film, the positions (chains, k, 2) after each image, in `order`.
    """
    placed = np.empty((chains, 0, 2))
    built = []
    every = np.arange(chains)
    for k in range(len(order)):
        some = problem.first(order[: k + 1])
        spread = some.sides[-1]
        if k == 0:
            around = np.full((chains, tries, 2), 0.5)
        else:  # a mixture of Gaussians around the images already placed
            around = placed[every[:, None], rng.integers(k, size=(chains, tries))]
        proposed = (around + spread * rng.normal(size=around.shape))[:, :, None]  # (chains, tries, 1, 2)
        before = np.broadcast_to(placed[:, None], (chains, tries, k, 2))
        layouts = inside(some, np.concatenate([before, proposed], axis=2))
        depths = np.broadcast_to(np.arange(k + 1.0), layouts.shape[:-1])
        chosen = energy(some, layouts, depths).argmin(1)
        placed = layouts[every, chosen]
        built.append(placed)
    positions = np.empty((chains, len(order), 2))
    positions[:, order] = placed
    return positions, built


def propose(problem: Problem, positions: np.ndarray, depths: np.ndarray, rng: np.random.Generator, scale: float):
    """One random change in each chain: a step, a jump beside another image, a swap of two, or a new depth."""
    chains, n = depths.shape
    every, i, j = np.arange(chains), rng.integers(n, size=chains), rng.integers(n, size=chains)
    kind = rng.random(chains)
    step = scale * rng.normal(size=(chains, 2))
    side = problem.sides[i, None]
    angle = rng.integers(4, size=chains) * np.pi / 2
    beside = positions[every, j] + side * np.column_stack([np.cos(angle), np.sin(angle)]) + step * side
    jump, swap, deeper = kind < 0.15, (kind >= 0.15) & (kind < 0.3), (kind >= 0.3) & (kind < 0.4)
    jump &= i != j

    positions, depths = positions.copy(), depths.copy()
    here, there = positions[every, i], positions[every, j]
    target = np.where(jump[:, None], beside, np.where(swap[:, None], there, here + step))
    positions[every, i] = np.where(deeper[:, None], here, target)
    positions[every[swap], j[swap]] = here[swap]
    depths[every[deeper], i[deeper]] = rng.random(deeper.sum())
    return inside(problem, positions), depths


def best_layout(problem: Problem, seed: int | np.random.Generator = 0, **options) -> State:
    """The last state of `monte_carlo`."""
    *_, last = monte_carlo(problem, seed, **options)
    return last


def _state(problem: Problem, placed, positions, depths, evaluations: int) -> State:
    terms = {name: float(value) for name, value in energy_terms(problem, positions, depths).items()}
    total = sum(weight * terms[name] for name, weight in problem.weights._asdict().items())
    return State(placed, positions, depths, terms, total, evaluations)


# ---- against others ------------------------------------------------------------------------------------------------


def random_problem(n: int, seed: int = 0) -> Problem:
    """A text's worth of pictures: varied importances; neighbours in the text are linked, some twice as strongly."""
    rng = np.random.default_rng(seed)
    closeness = np.zeros((n, n))
    for i in range(n - 1):
        closeness[i, i + 1] = closeness[i + 1, i] = rng.choice([0.5, 1.0])
    return Problem(picture_sides(n), rng.uniform(0.3, 1.0, n), closeness)


def picture_sides(n: int) -> np.ndarray:
    """Sides of n equal images that together cover half of the square, none larger than four tenths of its side."""
    return np.full(n, min(0.4, (0.5 / n) ** 0.5))


def dual_annealing(problem: Problem, evaluations: int, seed: int = 0) -> tuple[float, int]:
    """scipy's general-purpose optimiser on the same energy and budget: (energy reached, evaluations it used)."""
    from scipy.optimize import dual_annealing as anneal

    n = len(problem.sides)
    half = np.repeat(problem.sides / 2, 2)
    bounds = [(h, 1 - h) for h in half] + [(0, 1)] * n

    def objective(flat: np.ndarray) -> float:
        return float(energy(problem, flat[: 2 * n].reshape(n, 2), flat[2 * n :]))

    found = anneal(objective, bounds, maxfun=evaluations, maxiter=evaluations, seed=seed)
    return float(found.fun), int(found.nfev)


def compare(n: int = 10, problems: int = 5) -> dict[str, dict[str, float]]:
    """Mean energy and seconds over some random problems: ours, and with the same budget dual annealing and chance."""
    names = ("ours", "dual annealing", "best of random")
    rows = {name: {"energy": 0.0, "seconds": 0.0, "evaluations": 0.0} for name in names}
    for seed in range(problems):
        problem = random_problem(n, seed)
        start = time.perf_counter()
        ours = best_layout(problem, seed)
        middle = time.perf_counter()
        annealed, used = dual_annealing(problem, ours.evaluations, seed)
        end = time.perf_counter()
        layouts = random_layout(problem, np.random.default_rng(seed), (ours.evaluations,))
        luckiest = float(energy(problem, *layouts).min())
        last = time.perf_counter()
        for row, values in zip(
            rows.values(),
            [
                (ours.energy, middle - start, ours.evaluations),
                (annealed, end - middle, used),
                (luckiest, last - end, ours.evaluations),
            ],
            strict=True,
        ):
            for key, value in zip(row, values, strict=True):
                row[key] += value / problems
    return rows


if __name__ == "__main__":
    for name, row in compare().items():
        print(f"{name:16}", "  ".join(f"{key} {value:.4g}" for key, value in row.items()))
