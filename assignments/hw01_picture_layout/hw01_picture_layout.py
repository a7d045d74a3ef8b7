# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   t2i:
#     homework: hw01
#     title: Laying out a picture
#     minutes: 90
#     holes:
#       - t2i_course.layout.keyphrases.pagerank
#       - t2i_course.layout.optimise.energy_terms
#       - t2i_course.layout.optimise.energy
#       - t2i_course.layout.optimise.inside
#       - t2i_course.layout.optimise.construct
#       - t2i_course.layout.optimise.propose
#       - t2i_course.layout.optimise.monte_carlo
#       - t2i_course.layout.optimise.best_layout
# ---

# %% [markdown]
# # Homework 1 · Laying out a picture (2007)
#
# You will write the three ideas of the first system of the course, and then it draws **your own story** with them.
#
# | exercise | what | difficulty | minutes | points |
# |---|---|---|---|---|
# | 1 | PageRank with picturability: which words matter? | ●●○ | 25 | 30 |
# | 2 | Overlap: how much do pictures hide of each other? | ●○○ | 15 | 20 |
# | 3 | The energy of a layout, in three terms | ●●○ | 25 | 30 |
# | 4 | One step of Monte Carlo | ●●○ | 20 | 20 |
#
# **How it works.** Write only into the cells that say `YOUR CODE HERE`; put helper functions into the same cell, since
# *only these cells are graded*, each with the imports below and nothing else of your notebook. Below each answer, a
# *self-check* says what differs and by how much; run it as often as you like. Your grade comes from the same checks on
# other inputs. What you print does not matter. Chapter 01 tells the story behind all this; its library's own
# functions for these exercises are taken out while you are graded.
#
# On the command line, `t2i check hw01.ipynb` runs everything as the grader will, and sums it up.

# %% setup=""
import numpy as np

from t2i_course import show
from t2i_course.layout import keyphrases, optimise, picture_layout
from t2i_course.layout.pictures import PictureLibrary
from t2i_course.worlds.base import rasterise

STORY = "The girl finds a small dog in the forest. She carries it to the doctor. The doctor gives milk to the dog."
LIBRARY = PictureLibrary.default()


def draw(story: picture_layout.Story, positions: np.ndarray, depths: np.ndarray, size: int = 320) -> np.ndarray:
    """A layout of a story as a picture, uint8 (size, size, 3)."""
    state = optimise.State(np.arange(len(depths)), positions, depths, {}, 0.0, 0)
    return rasterise(picture_layout.collage(story, state, LIBRARY, picture_layout.view_of(story, state)), size)


# %% [markdown]
# ## 1 · PageRank with picturability
#
# A text has more words than a picture has room. Words that stand near each other are linked in a graph, and a walker
# follows the links. With probability $1 - d$ it jumps instead, to a word **in proportion to its picturability** $v$,
# so words that are central *and* drawable get the most visits:
#
# $$ r = (1 - d)\,v + d\,P^\top r, \qquad P_{ij} = \frac{G_{ij}}{\sum_k G_{ik}}, \qquad v_i = \frac{p_i}{\sum_k p_k} $$
#
# From a word without links the walker always jumps: its row of $P$ is $v$. If no word is drawable at all, it jumps to
# every word alike. The shares $r$ sum to 1.
#
# ●●○ · about 25 minutes · 30 points
#
# <details><summary>Hint</summary>
#
# Make P row by row, then repeat r = (1 - d) v + d Pᵀ r a hundred times from r = v, or solve the linear equation
# (I - d Pᵀ) r = (1 - d) v at once. Divide only where a row's sum is not 0.
# </details>


# %% answer="pagerank"
def pagerank(graph: np.ndarray, picturability: np.ndarray, damping: float = 0.3) -> np.ndarray:
    """How often the walker is at each word: (N,), sums to 1.

    graph (N, N): how strongly words are linked, symmetric, 0 on the diagonal; picturability (N,): from 0 on, not scaled.
    """
    ### BEGIN SOLUTION
    n = len(graph)
    total = picturability.sum()
    v = picturability / total if total > 0 else np.full(n, 1 / n)
    degree = graph.sum(axis=1, keepdims=True)
    P = np.where(degree > 0, graph / np.where(degree > 0, degree, 1), v)  # (N, N), rows sum to 1
    return np.linalg.solve(np.eye(n) - damping * P.T, (1 - damping) * v)
    ### END SOLUTION


# %% check="pagerank_links" exercise="pagerank" points=15
@check("pagerank_links")
def words_with_links(rng, value):
    graph = rng.integers(0, 3, size=(6, 6)).astype(float)
    graph = np.triu(graph, 1) + np.triu(graph, 1).T
    graph[0, 1] = graph[1, 0] = graph[2, 3] = graph[3, 2] = graph[4, 5] = graph[5, 4] = 1.0  # nobody is alone
    drawable = rng.uniform(0.1, 1.0, 6)
    value("ranks", pagerank(graph, drawable, 0.3))
    value("ranks of a walker that hardly jumps", pagerank(graph, drawable, 0.9))
    value("ranks of one that always jumps", pagerank(graph, drawable, 0.0))


# %% check="pagerank_alone" exercise="pagerank" points=15
@check("pagerank_alone")
def a_word_without_links_and_texts_with_nothing_to_draw(rng, value):
    graph = np.zeros((5, 5))
    graph[0, 1] = graph[1, 0] = 2.0
    graph[1, 2] = graph[2, 1] = rng.integers(1, 4)
    graph[2, 3] = graph[3, 2] = 1.0  # word 4 stands alone
    drawable = rng.uniform(0.0, 1.0, 5)
    given = graph.copy(), drawable.copy()
    value("ranks", pagerank(graph, drawable, 0.5))
    value("the graph after the call", graph - given[0])
    value("picturability after the call", drawable - given[1])
    value("ranks if no word is drawable", pagerank(graph, np.zeros(5), 0.5))
    value("the sum of the ranks", np.sum(pagerank(graph, rng.uniform(0.0, 9.0, 5), 0.4)))


# %% [markdown]
# **Pay-off**: your PageRank chooses what to draw.

# %% payoff="pagerank"
keyphrases.pagerank = pagerank
story = picture_layout.read(STORY, LIBRARY)
show.bars(
    list(story.scores),
    {"your PageRank": list(story.scores.values())},
    ylabel="importance r",
    alt="Bars of the importance of each noun and verb of the story, by your PageRank.",
)

# %% [markdown]
# ## 2 · Overlap
#
# Pictures are squares with their centres at $p_i$ and sides $s_i$, in a unit square. A layout is bad if they hide each
# other. How long is the stretch that two of them share in x, how long in y? The product is the area that both cover.
# Careful: a small picture may lie wholly inside a big one.
#
# $$ a_{ij} = \ell_x\,\ell_y, \qquad \ell_x = \text{the length of } [x_i - \tfrac{s_i}{2},\, x_i + \tfrac{s_i}{2}] \cap
#    [x_j - \tfrac{s_j}{2},\, x_j + \tfrac{s_j}{2}] $$
#
# ●○○ · about 15 minutes · 20 points
#
# <details><summary>Hint</summary>
#
# Two intervals share min(right ends) - max(left ends), or nothing if that is negative. With left = x - s/2, the array
# left[:, None] against left[None, :] compares every picture with every other.
# </details>


# %% answer="overlap"
def overlap(positions: np.ndarray, sides: np.ndarray) -> np.ndarray:
    """The area that pictures i and j both cover: (n, n), 0 on the diagonal.

    positions (n, 2): centres x, y; sides (n,): of the squares.
    """
    ### BEGIN SOLUTION
    low = positions - sides[:, None] / 2  # (n, 2)
    high = positions + sides[:, None] / 2
    shared = np.minimum(high[:, None], high[None]) - np.maximum(low[:, None], low[None])  # (n, n, 2)
    area = np.clip(shared, 0, None).prod(-1)
    np.fill_diagonal(area, 0)
    return area
    ### END SOLUTION


# %% check="overlap_areas" exercise="overlap" points=14
@check("overlap_areas")
def pictures_that_partly_hide_each_other(rng, value):
    positions = rng.uniform(0.25, 0.75, (5, 2))
    sides = rng.uniform(0.15, 0.4, 5)
    given = positions.copy(), sides.copy()
    value("areas", overlap(positions, sides))
    value("positions and sides after the call", [*(positions - given[0]).ravel(), *(sides - given[1])])


# %% check="overlap_special" exercise="overlap" points=6
@check("overlap_special")
def pictures_inside_others_and_far_away_from_all(rng, value):
    x, y = rng.uniform(0.35, 0.45, 2)
    positions = np.array([[x, y], [x + 0.05, y - 0.03], [0.95, 0.9], [0.93, y]])
    sides = np.array([0.6, rng.uniform(0.1, 0.2), 0.1, 0.08])
    value("areas", overlap(positions, sides))
    value("areas of one picture", overlap(positions[:1], sides[:1]))


# %% [markdown]
# **Pay-off**: four careless layouts of the story, and what your overlap says of each.

# %% payoff="overlap"
story = picture_layout.read(STORY, LIBRARY)
sides = picture_layout.problem_of(story).sides
n = len(sides)
careless = np.random.default_rng(0).uniform(0.25, 0.75, (4, n, 2))
show.pictures(
    np.stack([draw(story, positions, np.arange(n) / n, 240) for positions in careless]),
    [f"covered twice: {overlap(positions, sides).sum() / 2:.2f}" for positions in careless],
    inches=2.4,
    alt="Four random layouts of the story's pictures, with the area that your function finds covered twice.",
)

# %% [markdown]
# ## 3 · The energy
#
# Three wishes in one number, the smaller the better: pictures should not hide each other, least of all important ones
# (of two, picture $b$ lies behind: the one with the larger depth); important pictures belong to the centre $(½, ½)$;
# pictures that the text links belong together.
#
# $$ E = w_1 \sum_{i<j} I_b\,\frac{a_{ij}}{s_b^2} \;+\; w_2 \sum_i I_i\,\lVert p_i - \text{centre}\rVert
#      \;+\; w_3 \sum_{i<j} c_{ij}\,\lVert p_i - p_j\rVert $$
#
# The areas $a_{ij}$ are given here, so a mistake in exercise 2 costs nothing in this one.
#
# ●●○ · about 25 minutes · 30 points, ten for each term
#
# <details><summary>Hint</summary>
#
# i, j = np.triu_indices(n, 1) are all pairs with i &lt; j. np.where(depths[i] > depths[j], i, j) says who lies behind.
# </details>


# %% answer="energy"
def energy(
    area: np.ndarray,
    positions: np.ndarray,
    depths: np.ndarray,
    sides: np.ndarray,
    importance: np.ndarray,
    closeness: np.ndarray,
    weights: tuple[float, float, float] = (4.0, 1.0, 1.0),
) -> float:
    """The energy of one layout.

    area (n, n): that both cover; positions (n, 2); depths (n,): 0 is nearest; sides (n,); importance (n,);
    closeness (n, n): symmetric; weights: of overlap, centrality and closeness.
    """
    ### BEGIN SOLUTION
    i, j = np.triu_indices(len(sides), 1)
    b = np.where(depths[i] > depths[j], i, j)
    hidden = (importance[b] * area[i, j] / sides[b] ** 2).sum()
    far_out = (importance * np.linalg.norm(positions - 0.5, axis=1)).sum()
    apart = (closeness[i, j] * np.linalg.norm(positions[i] - positions[j], axis=1)).sum()
    return float(weights[0] * hidden + weights[1] * far_out + weights[2] * apart)
    ### END SOLUTION


# %% check="energy_overlap" exercise="energy" points=10
@check("energy_overlap")
def the_term_of_overlap(rng, value):
    n = 5
    area = rng.uniform(0.0, 0.1, (n, n))
    area = np.triu(area, 1) + np.triu(area, 1).T
    depths, closeness = rng.permutation(n) / n, np.zeros((n, n))
    for weight in (1.0, 3.0):
        layout = (rng.random((n, 2)), depths, rng.uniform(0.2, 0.5, n), rng.uniform(0.5, 2.0, n), closeness)
        value(f"energy with the weights {weight:g}, 0, 0", energy(area, *layout, (weight, 0.0, 0.0)))


# %% check="energy_centre" exercise="energy" points=10
@check("energy_centre")
def the_term_of_centrality(rng, value):
    n = 4
    nothing, sides, depths = np.zeros((n, n)), np.full(n, 0.2), np.arange(n) / n
    for weight in (1.0, 0.5):
        layout = (rng.random((n, 2)), depths, sides, rng.uniform(0.5, 2.0, n), nothing)
        value(f"energy with the weights 0, {weight:g}, 0", energy(nothing, *layout, (0.0, weight, 0.0)))


# %% check="energy_close" exercise="energy" points=10
@check("energy_close")
def the_term_of_closeness(rng, value):
    n = 5
    closeness = rng.uniform(0.0, 1.0, (n, n))
    closeness = np.triu(closeness, 1) + np.triu(closeness, 1).T
    nothing, sides, depths, importance = np.zeros((n, n)), np.full(n, 0.2), np.arange(n) / n, rng.uniform(0.5, 2.0, n)
    positions = rng.random((n, 2))
    given = positions.copy(), closeness.copy()
    for weight in (1.0, 2.0):
        layout = (positions, depths, sides, importance, closeness)
        value(f"energy with the weights 0, 0, {weight:g}", energy(nothing, *layout, (0.0, 0.0, weight)))
    value("positions after the call", positions - given[0])
    value("closeness after the call", closeness - given[1])


# %% [markdown]
# **Pay-off**: of three hundred layouts thrown at random, the worst and the best by your energy (and your overlap).

# %% payoff="energy"
story = picture_layout.read(STORY, LIBRARY)
problem = picture_layout.problem_of(story)
sides, importance, closeness = problem.sides, problem.importance, problem.closeness
depths = np.arange(len(sides)) / len(sides)
layouts = np.random.default_rng(1).uniform(0.2, 0.8, (300, len(sides), 2))
energies = [energy(overlap(p, sides), p, depths, sides, importance, closeness) for p in layouts]
chosen = [int(np.argmax(energies)), int(np.argmin(energies))]
show.pictures(
    np.stack([draw(story, layouts[k], depths) for k in chosen]),
    [f"{name}: {energies[k]:.2f}" for name, k in zip(("worst", "best"), chosen, strict=True)],
    inches=3,
    alt="The worst and the best of 300 random layouts of the story, with the energy that your function finds.",
)

# %% [markdown]
# ## 4 · One step of Monte Carlo
#
# The energy has many valleys. So: move one picture a little, keep it inside the unit square, and look. A better layout is
# always taken; a worse one now and then, and the rarer the worse it is (Metropolis):
#
# $$ \text{take the new layout if}\quad u < \exp\!\left(-\frac{E_\text{new} - E_\text{old}}{T}\right), \qquad u \sim U(0, 1) $$
#
# The random numbers (which picture `i`, its `step`, and `u`) are given, so that your step can be checked. A picture is
# inside if none of it sticks out: its centre is at least half a side away from every edge.
#
# ●●○ · about 20 minutes · 20 points
#
# <details><summary>Hint</summary>
#
# Copy the positions before you change them. np.clip keeps the centre between half a side and 1 - half a side.
# </details>


# %% answer="monte_carlo_step"
def monte_carlo_step(
    positions: np.ndarray, i: int, step: np.ndarray, sides: np.ndarray, energy_of, temperature: float, u: float
) -> np.ndarray:
    """The positions (n, 2) after one step: those with picture i moved if that is taken, else the old ones.

    positions (n, 2) must stay as they are; step (2,); sides (n,); energy_of(positions) -> float; u in [0, 1).
    """
    ### BEGIN SOLUTION
    proposed = positions.copy()
    proposed[i] = np.clip(positions[i] + step, sides[i] / 2, 1 - sides[i] / 2)
    worse_by = energy_of(proposed) - energy_of(positions)
    return proposed if worse_by <= 0 or u < np.exp(-worse_by / temperature) else positions
    ### END SOLUTION


# %% check="step_taken" exercise="monte_carlo_step" points=12
@check("step_taken")
def which_steps_are_taken(rng, value):
    sides, target = np.full(3, 0.2), rng.uniform(0.3, 0.7, (3, 2))

    def energy_of(positions):
        return float(np.square(positions - target).sum())

    for case in range(4):
        positions, i = target + rng.uniform(-0.1, 0.1, (3, 2)), int(rng.integers(3))
        uphill = positions[i] - target[i]  # away from the minimum, or towards it
        step = (0.8 if case < 3 else -0.7) * uphill + 0.02
        worse_by = energy_of(positions + step * np.eye(3)[i][:, None]) - energy_of(positions)
        temperature = rng.uniform(0.5, 1.5) * max(worse_by, 0.01)
        limit = np.exp(-max(worse_by, 0.0) / temperature)
        u = (0.3 * limit, 0.5 * (1 + limit), 0.9 * limit, 0.95)[case]
        name = ("worse, but u is small", "worse, and u is large", "worse, and u just below the limit", "better")[case]
        value(f"positions ({name})", monte_carlo_step(positions.copy(), i, step, sides, energy_of, temperature, u))


# %% check="step_inside" exercise="monte_carlo_step" points=8
@check("step_inside")
def steps_over_the_edge_and_what_must_not_change(rng, value):
    sides, positions = rng.uniform(0.1, 0.4, 4), rng.uniform(0.3, 0.7, (4, 2))
    given = positions.copy()
    for i, step in ((0, (0.9, -0.8)), (3, (-0.7, rng.uniform(-0.01, 0.01))), (1, (0.05, 0.6))):
        moved = monte_carlo_step(positions, i, np.array(step), sides, lambda p: 0.0, 0.1, 0.5)
        value(f"positions after a step of {step[0]:g}, …", moved)
    value("the old positions after the call", positions - given)

    def energy_of(p):
        return 5.0 * float(np.abs(p - given).sum())

    value(
        "positions after a step not taken",
        monte_carlo_step(positions, 2, np.array([0.2, 0.1]), sides, energy_of, 0.1, 0.9),
    )


# %% [markdown]
# ## Pay-off: your own story
#
# Write one (this cell is yours, too; the pictograms know some two hundred things, people and animals) …


# %% answer="my_story"
def my_story() -> str:
    """Three or four short sentences."""
    return "The girl finds a small dog in the forest. She carries it to the doctor. The doctor gives milk to the dog."


# %% [markdown]
# … and everything that you have written lays it out.

# %% payoff="monte_carlo_step"
keyphrases.pagerank = pagerank
story = picture_layout.read(my_story(), LIBRARY)
problem = picture_layout.problem_of(story)
sides, importance, closeness = problem.sides, problem.importance, problem.closeness
n = len(sides)
depths = (np.argsort(np.argsort(-importance)) + 0.5) / n


def energy_of(positions):
    return energy(overlap(positions, sides), positions, depths, sides, importance, closeness)


best = None
for restart in range(3):
    rng = np.random.default_rng(restart)
    positions = rng.uniform(0.3, 0.7, (n, 2))
    for progress in np.linspace(0, 1, 800):
        step = 0.3 * 0.03**progress * rng.normal(size=2)
        temperature = 0.3 * 0.001**progress
        positions = monte_carlo_step(positions, int(rng.integers(n)), step, sides, energy_of, temperature, rng.random())
    if best is None or energy_of(positions) < energy_of(best):
        best = positions
show.pictures(
    np.stack([draw(story, np.random.default_rng(7).uniform(0.3, 0.7, (n, 2)), depths), draw(story, best, depths)]),
    ["without a thought", f"your layout, energy {energy_of(best):.2f}"],
    inches=4,
    alt="Your story twice: its pictures thrown anywhere, and laid out by your functions.",
)
