"""Step 3: the energy by hand, and the search."""

import itertools

import numpy as np
import pytest

from t2i_course.layout.optimise import (
    Problem,
    Weights,
    best_layout,
    dual_annealing,
    energy,
    energy_terms,
    monte_carlo,
    picture_sides,
    random_layout,
    random_problem,
)


def problem(sides, importance=None, links=(), weights=None):
    n = len(sides)
    closeness = np.zeros((n, n))
    for i, j in links:
        closeness[i, j] = closeness[j, i] = 1
    return Problem(
        np.array(sides),
        np.ones(n) if importance is None else np.array(importance),
        closeness,
        weights or Weights(1, 1, 1),
    )


def terms(p, positions, depths=None):
    depths = np.arange(len(p.sides)) if depths is None else np.array(depths)
    return {name: float(value) for name, value in energy_terms(p, np.array(positions), depths).items()}


def test_coincident_squares_overlap_wholly():
    assert terms(problem([0.2, 0.2]), [(0.5, 0.5), (0.5, 0.5)]) == {
        "overlap": pytest.approx(1),
        "centrality": 0,
        "closeness": 0,
    }


def test_squares_side_by_side_do_not_overlap():
    assert terms(problem([0.2, 0.2]), [(0.4, 0.5), (0.6, 0.5)])["overlap"] == pytest.approx(0)


def test_a_quarter_hidden_counts_a_quarter():
    assert terms(problem([0.2, 0.2]), [(0.4, 0.4), (0.5, 0.5)])["overlap"] == pytest.approx(0.25)


def test_a_small_image_in_front_hides_part_of_a_large_one():
    p, both = problem([0.4, 0.2]), [(0.5, 0.5), (0.5, 0.5)]
    assert terms(p, both, depths=[1, 0])["overlap"] == pytest.approx(0.25)  # 0.04 of the 0.16 behind
    assert terms(p, both, depths=[0, 1])["overlap"] == pytest.approx(1)  # the small one is hidden


def test_hiding_the_important_image_costs_more():
    p, both = problem([0.2, 0.2], importance=[3, 1]), [(0.5, 0.5), (0.5, 0.5)]
    assert terms(p, both, depths=[0, 1])["overlap"] == pytest.approx(0.5)  # importances have mean 1: 1.5 and 0.5
    assert terms(p, both, depths=[1, 0])["overlap"] == pytest.approx(1.5)


def test_centrality_is_distance_from_the_middle_times_importance():
    p = problem([0.1, 0.1], importance=[3, 1])
    assert terms(p, [(0.5, 0.5), (0.8, 0.9)])["centrality"] == pytest.approx(0.5 * 0.5)
    assert terms(p, [(0.8, 0.9), (0.5, 0.5)])["centrality"] == pytest.approx(1.5 * 0.5)


def test_closeness_counts_linked_pairs_only():
    positions = [(0.1, 0.1), (0.4, 0.5), (0.9, 0.9)]
    assert terms(problem([0.1] * 3, links=[(0, 1)]), positions)["closeness"] == pytest.approx(0.5)
    assert terms(problem([0.1] * 3), positions)["closeness"] == 0


def test_energy_is_the_weighted_sum_and_works_on_batches():
    p = problem([0.3] * 4, links=[(0, 1), (2, 3)], weights=Weights(2, 3, 5))
    positions, depths = random_layout(p, np.random.default_rng(0), (6, 5))
    assert energy(p, positions, depths).shape == (6, 5)
    one = terms(p, positions[2, 3], depths[2, 3])
    expected = 2 * one["overlap"] + 3 * one["centrality"] + 5 * one["closeness"]
    assert energy(p, positions, depths)[2, 3] == pytest.approx(expected)


@pytest.mark.parametrize("seed", range(3))
def test_monte_carlo_ends_no_worse_than_any_state_on_its_way(seed):
    p = random_problem(6, seed)
    whole = [state for state in monte_carlo(p, seed, moves=100) if len(state.placed) == 6]
    assert whole[-1].energy <= min(state.energy for state in whole) + 1e-12
    assert whole[-1].energy < whole[0].energy


def test_states_place_one_image_after_another_inside_the_square():
    p = random_problem(5)
    states = list(monte_carlo(p, moves=50))
    assert [len(state.placed) for state in states[:5]] == [1, 2, 3, 4, 5]
    assert states[0].placed[0] == p.importance.argmax()
    for state in states:
        half = p.sides[state.placed, None] / 2
        assert (state.positions >= half - 1e-12).all()
        assert (state.positions <= 1 - half + 1e-12).all()
        total = sum(weight * state.terms[name] for name, weight in p.weights._asdict().items())
        assert state.energy == pytest.approx(total)


def test_monte_carlo_meets_brute_force_on_a_tiny_case():
    # Two linked images of unequal importance. By symmetry the best layout lies on the horizontal line through the
    # centre, so a fine grid on that line, in both depth orders, is exhaustive up to the spacing of the grid.
    p = problem([0.3, 0.3], importance=[2, 1], links=[(0, 1)], weights=Weights(4, 1, 1))
    xs = np.linspace(0.15, 0.85, 281)
    layouts = np.array([[(a, 0.5), (b, 0.5)] for a, b in itertools.product(xs, xs)])
    brute = min(energy(p, layouts, np.broadcast_to(z, (len(layouts), 2))).min() for z in ([0, 1], [1, 0]))
    found = best_layout(p, 0).energy
    assert found == pytest.approx(brute, abs=0.01)
    assert found >= brute - 0.01


def test_one_image_goes_to_the_centre():
    found = best_layout(problem([0.3]), 0)
    np.testing.assert_allclose(found.positions, [[0.5, 0.5]], atol=0.01)


def test_links_bring_images_together():
    def distance(links):
        p = problem(picture_sides(6), links=links, weights=Weights(4, 1, 3))
        x = best_layout(p, 0).positions
        return np.linalg.norm(x[0] - x[5])

    assert distance([(0, 5)]) < 1.1 * picture_sides(6)[0]
    assert distance([(0, 1), (2, 5)]) > distance([(0, 5)])


def test_the_same_seed_gives_the_same_layout():
    p = random_problem(7)
    one, same, other = best_layout(p, 3), best_layout(p, 3), best_layout(p, 4)
    np.testing.assert_array_equal(one.positions, same.positions)
    assert not np.array_equal(one.positions, other.positions)


def test_ours_is_no_worse_than_dual_annealing_with_the_same_budget_and_far_better_than_chance():
    for seed in range(2):
        p = random_problem(10, seed)
        ours = best_layout(p, seed)
        annealed, used = dual_annealing(p, ours.evaluations, seed)
        assert used >= 0.95 * ours.evaluations
        assert ours.energy <= annealed * 1.001
        assert ours.energy < 0.5 * energy(p, *random_layout(p, np.random.default_rng(seed), (50,))).mean()


@pytest.mark.parametrize(
    ("sides", "importance", "message"),
    [
        ([], [], "needs sides"),
        ([0.2, 1.5], [1, 1], "Sides"),
        ([0.2, 0.2], [0, 0], "Importances"),
        ([0.2], [1, 1], "needs"),
    ],
)
def test_impossible_problems_are_refused(sides, importance, message):
    n = len(sides)
    with pytest.raises(ValueError, match=message):
        Problem(np.array(sides), np.array(importance), np.zeros((n, n)))
