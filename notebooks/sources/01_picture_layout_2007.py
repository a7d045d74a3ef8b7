# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   t2i:
#     chapter: "01"
#     title: Laying out a picture
#     year: 2007
#     system: Text-to-Picture by layout
#     promise: turn a story into a collage with keyphrases, PageRank and Monte Carlo, and say what such a system cannot draw
#     needs: two CPU cores, no network
#     minutes: 90
# ---

# %% [markdown]
# # 01 · Laying out a picture (2007)
#
# **After this chapter you will be able to**
# * choose the words of a text that are worth drawing (picturability, PageRank with restart),
# * choose *one* picture among many candidates for a word,
# * write a layout as an energy and minimise it by Monte Carlo, and
# * say, with numbers, what a system can do that draws nothing of its own, and what it cannot.
#
# *Walks through the lecture's first system. No GPU, no network; the README says how long it runs.*

# %%
import tempfile
from pathlib import Path

import numpy as np

from t2i_course import show, timeline, worlds
from t2i_course.layout import fit, keyphrases, optimise, picturability, pictures, tagging

system = timeline.load("picture_layout")
STORY = "First the farmer gives hay to the goat. Then the farmer gets milk from the cow."
show.pictures(
    system.draw([STORY]),
    [STORY],
    inches=4.5,
    alt="A collage: farmer, hay, goat, milk and cow on cards, with arrows for gives and gets.",
)

# %% [markdown]
# ## The story
#
# Madison, Wisconsin, 2007. Xiaojin Zhu, Andrew Goldberg, Mohamed Eldawy, Charles Dyer and Bradley Strock want to help
# people who cannot read: small children, learners of a language, people with a brain injury. Their *"Text-to-Picture
# Synthesis System for Augmenting Communication"* (AAAI 2007) takes any text and answers with a picture. There is no
# network that could paint; there is image *search*. So they do not generate, they **retrieve and arrange**, and they
# split the impossible problem into three possible ones:
#
# $$ k^* = \arg\max_k p(k \mid t) \qquad i^* = \arg\max_i p(i \mid t, k^*) \qquad l^* = \arg\max_l p(l \mid t, k^*, i^*) $$
#
# **k**eyphrases: what to draw. **i**mages: which picture for each. **l**ayout: where each goes. Every step takes the
# result of the one before as given. (Only the paper's abstract was at hand for this course. What is told from the
# abstract is certain; the equations, numbers and names marked **(reconstructed)** are from memory and may differ in
# detail.)
#
# ## Step 1a: which words can be drawn?
#
# *Banana* can, *Bayesian* hardly. The paper asked a search engine how many images and how many pages it knows for a
# word, and fitted a logistic regression to words that five people had labelled. Of 253 features one survived
# **(reconstructed)**:
#
# $$ p(\text{picturable} \mid x) = \frac{1}{1 + e^{-(2.78\,x + 15.40)}}, \qquad x = \ln\frac{\text{image hits} + 10^{-9}}{\text{page hits} + 10^{-9}} $$

# %%
show.source(picturability.from_hit_counts)

# %% tags=["nbval-check-output"]
print(f"banana   {picturability.from_hit_counts(356_000, 49_400_000):.2f}")
print(f"Bayesian {picturability.from_hit_counts(17_400, 10_400_000):.2f}")

# %% [markdown]
# Search engines no longer tell such counts. The course keeps the *model*, logistic regression, and gives it features
# that a laptop can compute: is there a pictogram, does the word end like an abstraction, does it follow *a* or *under*?
# They are fitted on sentences that were annotated by hand for this course (`data/layout/sentences.jsonl`).

# %%
model = picturability.Picturability.default()
order = np.argsort(model.weights)[::-1]
show.bars(
    [list(picturability.FEATURES)[i] for i in order],
    {"weight": np.array(model.weights)[order]},
    ylabel="speaks for drawing",
    alt="Bars of the fitted weights: colors, visible actions and nouns speak for "
    "drawing a word, ideas and times against it.",
)

# %%
LONGER = "The old king was tired of war. He gave his golden crown to a poor girl and went to live on an island."
words = tagging.tag_text(LONGER)
show.bars(
    [word.text for word in words],
    {"probability": model(words, system.library)},
    ylabel="picturable",
    inches=(10, 1.6),
    alt="Bars over the words of a longer story: king, crown, girl and island are high, "
    "war and the small words are low.",
)

# %% [markdown]
# ## Step 1b: which words matter?
#
# A text has more drawable words than a picture has room. Words that stand near each other are linked, and a walker
# follows the links (TextRank). The new idea of the paper: now and then the walker jumps, and it jumps to words **in
# proportion to their picturability** $v$. The share of time $r$ that it spends at each word is
#
# $$ r = (1 - d)\,v + d\,P^\top r. $$
#
# Picturability is where the walker *restarts*, not the weight of a link **(reconstructed, as are the constants)**.

# %%
show.source(keyphrases.pagerank)

# %%
ranks, graph, drawable = keyphrases.rank(words, system.library)
show.bars(
    list(ranks),
    {
        "restart anywhere (TextRank)": keyphrases.pagerank(graph, np.ones(len(graph))),
        "restart where drawable (2007)": list(ranks.values()),
    },
    ylabel="importance r",
    alt="Two bars per word: with the drawable restart king, crown, girl and island gain, war and live lose.",
)

# %% [markdown]
# Does it help? The held-out texts know which words an illustrator would draw. Each method may keep the same number
# of words per text; the baseline takes the most frequent ones.

# %%
scores = fit.keyphrase_scores()
show.table([{"method": name, **row} for name, row in scores.items()])

# %% tags=["nbval-check-output"]
print(f"{len(fit.stories('held-out'))} held-out texts of {len(fit.annotated('held-out'))} sentences, one annotator")
print(all(scores["picturability restart"]["F1"] > scores[other]["F1"] for other in ("uniform restart", "frequency")))

# %% [markdown]
# **Notice** two rows. Picturability *alone* (a walker that always jumps) does not lose to the whole of PageRank, and
# PageRank *without* it loses even to counting words: on texts as short as these the restart vector does the work, and
# the graph has little to add. An **ablation**, a row with one part taken out, is how such things are found. (With so
# few texts and one annotator, small differences mean nothing.)

# %% [markdown]
# ## Step 2: which picture for a word?
#
# An image search answers with many pictures, some of them beside the point. The paper's answer is a vote
# **(reconstructed in its details)**: cut all candidates into segments, describe each by color, size and place, cluster
# the segments of *all* candidates (mean shift), and take the picture that owns the segment nearest to the centre of the
# largest cluster. What most pictures agree on is probably what the word means.
#
# The pictograms have one picture per word, so let us make a search engine's answer ourselves: twelve pictures called
# *bird*, three of which are flowers.

# %%
birds, flowers = worlds.load("birds"), worlds.load("flowers")
folder = Path(tempfile.mkdtemp())
for i in range(12):
    world = flowers if i % 4 == 1 else birds
    show.save_picture(folder / f"bird_{i + 1}.png", world.render(world.spec("train", i), 128))
candidates = pictures.PictureLibrary.from_folder(folder).candidates("bird")
chosen = pictures.most_typical(candidates)
show.pictures(
    np.stack([candidate.pixels(96)[..., :3] for candidate in candidates]),
    ["chosen" if candidate is chosen else "" for candidate in candidates],
    columns=12,
    inches=0.95,
    alt="Twelve candidates for the word bird, three of them flowers; a bird is marked as chosen.",
)

# %%
show.source(pictures.most_typical)

# %% [markdown]
# ## Step 3: where does everything go?
#
# Three wishes, written as an energy over the positions $p$ and depths $z$ of the pictures **(the three are the paper's,
# their form is reconstructed)**:
#
# $$ E(p, z) = \underbrace{w_1 \sum_{i<j} I_b\,\frac{\text{overlap}(i, j)}{\text{area}(b)}}_{\text{minimum overlap}}
#    + \underbrace{w_2 \sum_i I_i\,\lVert p_i - \text{centre}\rVert}_{\text{centrality}}
#    + \underbrace{w_3 \sum_{i<j} c_{ij}\,\lVert p_i - p_j\rVert}_{\text{closeness}} $$
#
# Pictures should not cover each other (and least of all the important one that lies behind, $b$); important pictures
# belong to the centre; pictures that the text links, such as the farmer and the hay he *gives*, belong together.

# %%
show.source(optimise.energy_terms)

# %% tags=["nbval-check-output"]
two = optimise.Problem(np.array([0.5, 0.5]), np.array([1.0, 1.0]), np.array([[0.0, 1.0], [1.0, 0.0]]))
for name, x in {"on top of each other": 0.5, "half covered": 0.25, "side by side": 0.0}.items():
    terms = optimise.energy_terms(
        two,
        np.array([[0.5 - (0.5 - x) / 2, 0.5], [0.5 + (0.5 - x) / 2, 0.5]]),
        np.array([0.0, 1.0]),
    )
    print(f"{name:20}", {key: round(float(value), 2) for key, value in terms.items()})

# %% [markdown]
# The three wishes fight, the energy has many valleys, and no formula gives the best. So: **Monte Carlo**. (The arrows,
# the small pictures on them, counts and colors are this course's additions.) Build a picture by adding one image at a
# time near those already placed; then try small random moves, accept what helps and, at first, some of what does not;
# start again from scratch many times, and keep the best of all.

# %%
info = system.story_info(STORY)
frames = np.concatenate(list(system.frames([STORY], size=256, film_frames=30)))
show.film(
    frames,
    alt="A film: the cards of the farm story are placed one by one, wander, settle, and are joined by arrows.",
    seconds=5,
)

# %%
show.lines(
    [row["evaluations"] for row in info["energies"]],
    {name: [row[name] for row in info["energies"]] for name in ("energy", "overlap", "centrality", "closeness")},
    xlabel="energy evaluations",
    alt="Energy and its three terms against evaluations: restless at first, then falling and settling.",
)

# %% [markdown]
# Is our Monte Carlo any good? Against the best of as many layouts thrown at random, and against
# `scipy.optimize.dual_annealing`, a general-purpose optimiser that was given the same budget of energy evaluations (it
# checks its budget only now and then); ten pictures, mean of three problems:

# %%
rows = optimise.compare(n=10, problems=3)
show.table([{"method": name, **row} for name, row in rows.items()])

# %% tags=["nbval-check-output"]
print("no worse than dual annealing:", rows["ours"]["energy"] <= rows["dual annealing"]["energy"])
print("better than random:", rows["ours"]["energy"] < rows["best of random"]["energy"])

# %% [markdown]
# ## Play
#
# Your own story, your own weights. Set *overlap* to zero and watch everything fall on one heap; raise *closeness* and
# the linked pictures cling together; another seed shows how many almost equally good layouts there are.


# %%
def lay_out(story: str, overlap: float, centrality: float, closeness: float, seed: int) -> np.ndarray:
    """The collage of a story for these weights: uint8 (H, W, 3)."""
    return system.draw([story], seed, size=420, weights=(overlap, centrality, closeness))[0]


show.play(
    lay_out,
    story="The girl finds a small dog in the forest. She carries it to the doctor.",
    overlap=(0.0, 10.0, 0.5, optimise.WEIGHTS.overlap),
    centrality=(0.0, 5.0, 0.25, optimise.WEIGHTS.centrality),
    closeness=(0.0, 5.0, 0.25, optimise.WEIGHTS.closeness),
    seed=(0, 20, 1, 0),
    alt="A collage of girl, dog, forest and doctor; sliders for the three weights and a text box change it.",
)

# %% [markdown]
# ## One year later: who, what, whom
#
# A heap of pictures does not say who did what. The follow-up (Goldberg et al., *"Easy as ABC?"*, CoNLL 2008) tags each
# phrase of a sentence as **A** (who), **B** (did what) or **C** (to whom, where), with a linear-chain model, and puts
# the three groups into fixed places with arrows. Its baseline was the plain strip in reading order.

# %%
sentence = "The farmer gives hay to the goat in the morning."
show.pictures(
    np.concatenate([system.draw([sentence], layout=layout, size=300) for layout in ("collage", "abc", "strip")]),
    ["collage (2007)", "ABC (2008)", "strip (the baseline)"],
    inches=3.2,
    alt="The same sentence about a farmer, hay and a goat as a collage, as an ABC layout and as a strip.",
)

# %% tags=["nbval-check-output"]
print(system.story_info(sentence)["abc"])

# %% [markdown]
# ## What does the judge say?
#
# The world of scenes asks for things, counts, colors, relations, places, times of day. The judge looks for them in
# the collages (and was never trained on collages: it reads what it can).

# %%
from t2i_course.judge.table import judge

scenes = worlds.load("scenes")
result = judge(lambda captions, seed: system.draw(captions, seed, size=128), scenes, n=64)
names = ["all facts", *result["splits"]["test"]["by_attribute"]]


def column(scored: dict) -> list:
    """Caption accuracy of all facts, then of each attribute."""
    return [scored["accuracy"], *(scored["by_attribute"].get(name, "-") for name in names[1:])]


columns = {"caption accuracy": names}
for split, scored in result["splits"].items():
    columns |= {f"{split}: chance": column(scored["chance"]), f"{split}: picture layout": column(scored)}
    columns |= {f"{split}: ceiling": column(scored["ceiling"])}
show.table([dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)], digits=2)
print(f"standard error of all facts: {result['splits']['test']['standard_error']:.2f}")

# %%
captions = [scenes.caption("novel", i)[0] for i in (0, 3, 5, 8)]
show.pictures(
    np.concatenate(
        [
            system.draw(captions, size=224),
            np.stack([scenes.render(scenes.spec("novel", i), 224) for i in (0, 3, 5, 8)]),
        ]
    ),
    captions + ["(true)"] * 4,
    columns=4,
    alt="Four novel captions drawn as collages in the upper row, and the true pictures in the lower row.",
)

# %% [markdown]
# **Notice** what it does *well*: nothing was learned from pictures, so no combination is too new to be drawn. A stop
# sign in the sky is a stop sign and a sky. Compare the columns *test* and *novel*, and keep them in mind: will the
# networks of the next chapters manage that? *Place* and *time* do no better than chance: a
# card with a sky on it is no sky.
#
# **What it could not do**: it has no sky to put the elephants *into*: the sky is another card. It cannot make a picture
# that is not in the library: no purple petals with white edges, no bird with a red breast. It knows *near*, but not
# *on*, *inside*, *left of*; it draws "the boy does not eat" like "the boy eats", and it leaves out in silence what it
# cannot draw, such as the morning. Whatever the pictures share, light, ground, scale, is missing. To fix that, the
# pixels themselves must depend on the words.
#
# ## Exercise: reading order
#
# The energy cannot tell a layout from its mirror image; readers can. Write a fourth term: for pictures in the order of
# the text, the sum of how far each next picture lies to the *left* of the one before,
# $\sum_i \max(0, x_i - x_{i+1})$. It must work on any number of layouts at once, positions `(..., n, 2)`. *(Ten
# minutes.)*


# %%
def reading_order(positions: np.ndarray) -> np.ndarray:
    """How far the pictures run backwards: positions (..., n, 2) -> (...)."""
    # your code here
    return np.full(positions.shape[:-2], np.nan)


# %%
def check(answer) -> str:
    """What is right, or what is wrong with it."""
    forwards = np.array([[0.2, 0.5], [0.5, 0.1], [0.9, 0.5]])
    for name, positions, right in [
        ("from left to right", forwards, 0.0),
        ("from right to left", forwards[::-1], 0.7),
        ("one step back", forwards[[1, 0, 2]], 0.3),
        ("two layouts at once", np.stack([forwards, forwards[::-1]]), [0.0, 0.7]),
    ]:
        if np.shape(answer(positions)) != np.shape(right) or not np.allclose(answer(positions), right):
            return f"not yet: {name}, positions {positions.tolist()}: {answer(positions)} should be {right}"
    return "right"


print(check(reading_order))

# %% [markdown]
# **Solution** (folded: click the dots, or the bar, to open it)


# %% jupyter={"source_hidden": true} tags=["nbval-check-output"]
def reading_order_solution(positions: np.ndarray) -> np.ndarray:
    """How far the pictures run backwards: positions (..., n, 2) -> (...)."""
    x = positions[..., 0]
    return np.maximum(0, x[..., :-1] - x[..., 1:]).sum(-1)


print(check(reading_order_solution))

# %% [markdown]
# ## What came next
#
# Eight years later networks had learned to attend. The next system on the time line, alignDRAW (2015), no longer
# looks anything up: it paints, step by step, and at every step it asks which words matter now.
