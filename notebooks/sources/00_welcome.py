# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   t2i:
#     chapter: "00"
#     title: Welcome
#     year: 2007 to today
#     system: the worlds and the judge
#     promise: say what text-to-image synthesis is, read its history on six axes, and measure how much of a caption a picture keeps
#     needs: two CPU cores, no network
#     minutes: 45
# ---

# %% [markdown]
# # 00 · Welcome: from words to pictures
#
# **After this chapter you will be able to**
# * say what a text-to-image system is asked to do, and in which three ways it can fail,
# * place any system of the last two decades on six axes,
# * draw captioned pictures from the course's three *worlds*, and
# * measure exactly how much of a caption a picture keeps.
#
# *Walks through the opening of the lecture (what is text-to-image, and its time line). It needs no GPU and no network;
# the README says how long it runs.*

# %%
import numpy as np

from t2i_course import judge, show, timeline, worlds

WORLDS = [worlds.load(name) for name in worlds.NAMES]
show.pictures(
    np.stack([world.render(world.spec("train", i), 160) for world in WORLDS for i in (2, 5)]),
    [world.caption("train", i)[0] for world in WORLDS for i in (2, 5)],
    columns=6,
    alt="Six drawn pictures, two from each world (flowers, birds, scenes), each with a caption under it.",
)

# %% [markdown]
# ## The task
#
# A person writes a **caption** $c$; the machine returns a **picture** $x$. There are many right pictures for one
# caption, so the thing to learn is not a function but a distribution,
#
# $$ x \sim p(x \mid c), \qquad x \in [-1, 1]^{3 \times H \times W}. $$
#
# Three things can go wrong, and the course will measure each of them:
#
# | it should | it fails when | we measure |
# |---|---|---|
# | look **real** | it is blurred, broken, noisy | distances between features, such as FID |
# | obey the **caption** | the bird is blue where the caption says red | caption accuracy |
# | be **diverse** | every "red bird" is the same red bird | spread between pictures of one caption |
#
# ## Where it came from
#
# Each era of the lecture ends with the same question, *"How could we improve it?"*, and the same six answers:
# another **generative technique**, a better **text encoder**, a better **architecture**, a better **connection**
# between text and picture, more **data**, a bigger **model**. Those are the axes on which the whole history can be
# written down. The library keeps it as data:

# %%
show.figure(
    show.timeline(),
    alt="A time line with one row per system from 2007 to 2024, colored by generative technique; a filled dot marks "
    "the systems that this library can draw with.",
)

# %% [markdown]
# Notice the waves: a collage, a first VAE, GANs beside autoregressive models, then diffusion; and that old ideas come
# back (GANs in 2023, autoregression in 2024). The two grey ones, CLIP and ALIGN, make no pictures; they became parts of
# others. A filled dot is a system that this library has; the others are still to come, in the chapters named at the
# left.
#
# A system's **anatomy card** says which choice it made on each axis. This is the oldest one, and the subject of the
# next chapter:

# %% tags=["nbval-check-output"]
oldest = timeline.find("picture_layout")
for axis, choice in vars(oldest.anatomy).items():
    print(f"{axis:13} {choice}")
print(f"{'model size':13} {oldest.variants['full']:,} learnt numbers")

# %% [markdown]
# ## The worlds: pictures whose truth is known
#
# Is this picture what its caption says? For photographs only people can answer, slowly and not always alike. So this
# course trains and tests on pictures that it **draws itself**, from a known truth. A *world* starts from a **spec**,
# a small record of everything that is true; it draws the spec, and it talks about it.

# %% tags=["nbval-check-output"]
flowers = worlds.load("flowers")
spec = flowers.spec("train", 2)
for name, value in flowers.truth(spec).items():
    print(f"{name:15} {value}")

# %%
rng = np.random.default_rng(0)
captions = flowers.captions(spec, rng, 4)
sizes = (16, 32, 64, 256)
show.pictures(
    np.stack([flowers.render(spec, size).repeat(256 // size, axis=0).repeat(256 // size, axis=1) for size in sizes]),
    [f"{size} pixels: {caption}" for size, caption in zip(sizes, captions, strict=True)],
    columns=4,
    alt="One flower drawn at 16, 32, 64 and 256 pixels; under each stands another caption of the same flower.",
)

# %% [markdown]
# One spec, four resolutions (it is a vector drawing), and as many captions as you like: each mentions only *some* of
# what is true. What a caption promises are its **facts**, and a world can read them back from any caption that it
# could have written, and from plain ones that you would type:

# %% tags=["nbval-check-output"]
for caption in [captions[0], "a red flower with white edges", "six pointed blue petals"]:
    print(caption, "\n   ", flowers.facts(caption))

# %% [markdown]
# A word that the world does not know is refused, and the nearest words are named. (Some known words, such as *pretty*,
# promise nothing that could be seen or measured; they are no facts.)

# %% tags=["nbval-check-output"]
try:
    flowers.facts("a purpel flower")
except worlds.UnknownWord as error:
    print(error)

# %% [markdown]
# ### Four splits, and one of them is unfair on purpose
#
# Models train on `train`; `val` and `test` hold other specs. The split `novel` holds pairs of attributes that **never**
# occur together in training, although each occurs alone: the lecture's *"a stop sign is flying in blue skies"*. A
# system that has only memorised will fail there. Which split a spec belongs to follows from its truth alone, so no
# two splits can ever share a picture:

# %%
show.source(worlds.World.split_of)

# %%
show.pictures(
    np.stack([world.render(world.spec("novel", i), 160) for world in WORLDS for i in (0, 1)]),
    [world.caption("novel", i)[0] for world in WORLDS for i in (0, 1)],
    columns=6,
    alt="Six pictures of the split novel, two from each world, showing combinations that training never shows.",
)

# %% [markdown]
# ## Play: draw by looking it up
#
# A world can already do text-to-image, in the dullest way there is: draw specs at random until one keeps every
# promised fact. It obeys the caption, looks right and is diverse, but it needs the world's own pencil: nothing was
# *learned*. Every system of this course has to come close to it from examples alone. Try captions of your own: "a bird
# with a long curved bill" (world: birds), "three dogs on the grass" (world: scenes). A word that the world does not
# know is named, with its nearest neighbours.


# %%
def look_up(caption: str, world: str, another: int) -> np.ndarray:
    """Nine pictures of which every one keeps the caption's facts: uint8 (H, W, 3)."""
    pencil = worlds.load(world)
    facts, rng, found = pencil.facts(caption), np.random.default_rng(another), []
    for _ in range(20_000):
        spec = pencil.sample(rng)
        if facts.items() <= pencil.truth(spec).items():
            found.append(pencil.render(spec, 128))
        if len(found) == 9:
            break
    if not found:
        raise ValueError(f"Twenty thousand random specs, and none keeps {facts}.")
    return show.grid(np.stack(found))


show.play(
    look_up,
    caption="a purple flower with white edges",
    world=list(worlds.NAMES),
    another=(0, 20, 1, 0),
    alt="Nine flowers, all purple with white edges, drawn by looking for specs that keep the caption.",
)

# %% [markdown]
# ## The judge: who says what is in a picture?
#
# A **recogniser** does, a small network trained on the world's pictures: it names each attribute of any picture,
# whoever drew it. **Caption accuracy** is the share of the promised facts that it finds,
#
# $$ \text{caption accuracy} = \frac{\sum_i \left|\{(a, v) \in \text{facts}(c_i) : \text{read}(x_i)_a = v\}\right|}
#    {\sum_i \left|\text{facts}(c_i)\right|}. $$
#
# The recogniser errs too. Its accuracy on *true* pictures is the **ceiling**, the most that this judge can give, and
# stands beside every score in this course.

# %%
show.source(judge.caption_accuracy, judge.compare)

# %%
rows = []
for world in WORLDS:
    captions = [world.caption("test", i)[0] for i in range(200)]
    true = np.stack([world.render(world.spec("test", i), 64) for i in range(200)])
    rows.append(
        {
            "world": world.name,
            "true pictures (the ceiling)": judge.caption_accuracy(true, captions, world).accuracy,
            "pictures of other captions": judge.caption_accuracy(np.roll(true, 1, axis=0), captions, world).accuracy,
            "grey squares": judge.caption_accuracy(np.full_like(true, 128), captions, world).accuracy,
        }
    )
show.table(rows)

# %% [markdown]
# Read the table from right to left. The recogniser must name *something*, so even a grey square keeps a few promises by
# luck; so does a good picture of the *wrong* caption: it looks perfect and obeys by **chance**. A true picture reaches
# the **ceiling**. Where a system lands between chance and the ceiling is the score of the course.
#
# ## Exercise: the judge by hand
#
# Write `kept(facts, truth)`: the share of the facts that are true, and 1.0 for a caption that promises nothing. *(Five
# minutes. Facts and truth are dicts; a fact holds if the truth has the same value under the same name.)*


# %%
def kept(facts: dict[str, str], truth: dict[str, str]) -> float:
    """Share of facts that hold."""
    # your code here
    return float("nan")


# %%
def check(answer) -> str:
    """What is right, or what is wrong with it."""
    truth = {"color": "red", "pattern": "edges", "leaves": "none"}
    cases = [({}, 1.0), ({"color": "red"}, 1.0), ({"color": "red", "leaves": "green"}, 0.5), ({"wings": "red"}, 0.0)]
    for facts, right in cases:
        if answer(facts, truth) != right:
            return f"not yet: kept({facts}, {truth}) is {answer(facts, truth)}, and should be {right}"
    return "right"


print(check(kept))

# %% [markdown]
# **Solution** (folded: click the dots, or the bar, to open it)


# %% jupyter={"source_hidden": true} tags=["nbval-check-output"]
def kept_solution(facts: dict[str, str], truth: dict[str, str]) -> float:
    """Share of facts that hold."""
    if not facts:
        return 1.0
    return sum(truth.get(name) == value for name, value in facts.items()) / len(facts)


print(check(kept_solution))

# %% [markdown]
# The judge does almost the same, with two differences: it adds up the facts of all captions before it divides, so a
# long caption counts more than a short one, and it leaves captions out that promise nothing.
#
# ## How to use this course
#
# * **Read** a notebook from top to bottom; it is stored with its results. **Run** it with *Run ▸ Run All Cells*.
# * **Look inside**: the library is small enough to read. `show.source(anything)` shows the code that really runs; one
#   system is one file, in the order of its chapter.
# * **Draw from the shell**: `t2i systems`, `t2i draw …`, `t2i world flowers -o sheet.png`, `t2i judge …`; each has
#   `--help` with an example. The folder `sources/` beside the notebooks is for those who write them.
#
# ## What came next
#
# In 2007 nobody could learn $p(x \mid c)$, so a group in Wisconsin drew pictures from text without it: find the words
# that can be pictured, look up a picture for each, and lay them out like a collage. The
# [next chapter](01_picture_layout_2007.ipynb) builds the whole system.
