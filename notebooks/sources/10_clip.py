# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   t2i:
#     chapter: "10"
#     title: CLIP and ALIGN
#     year: 2021
#     system: CLIP, ALIGN
#     promise: bring captions and pictures into one space, read InfoNCE as a picture, classify without a classifier, search by words, and measure what such a model does not see
#     needs: two CPU cores, no network
#     minutes: 90
# ---

# %% [markdown]
# # 10 · CLIP and ALIGN: one space for words and pictures (2021)
#
# **After this chapter you will be able to**
# * read InfoNCE off a matrix of similarities, in both directions, and say what its temperature does,
# * classify pictures with nothing but captions ("zero-shot"), and search them by words,
# * draw the map on which captions and pictures lie, and say what it does not promise, and
# * measure what a model that only compares does *not* see.
#
# *Walks through the lecture's CLIP and ALIGN. No GPU, no network; the README says how long it runs.*

# %%
import json
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F

from t2i_course import show, worlds
from t2i_course.judge import multiple_choice
from t2i_course.judge.recogniser import load_recogniser
from t2i_course.nn.losses import matching_loss
from t2i_course.paths import DATA
from t2i_course.text import clip as library
from t2i_course.text.clip import CLIP, compare, noised, prepared, recall_at_1, zero_shot
from t2i_course.worlds.language import a_or_an

torch.set_grad_enabled(False)  # but for the cells that train
clip = CLIP.load("small")
WORLDS = {name: worlds.load(name) for name in worlds.NAMES}
shelf = {name: next(world.batches("test", 64, 300, n=300, shuffle=False)) for name, world in WORLDS.items()}

# %%
pictures = torch.cat([batch.pictures for batch in shelf.values()])  # 900 that the model has never seen
seen = clip.picture(prepared(pictures, 64))


def search(caption: str, n: int = 8) -> list[int]:
    """The n pictures that a caption is nearest to, best first."""
    return compare(clip.text(clip.tokens([caption])), seen, clip.log_scale)[0].topk(n).indices.tolist()


WANTED = ["a flower with purple petals at night", "a small red bird in the snow", "a boat on the sea at sunset"]
show.pictures(
    pictures[[i for caption in WANTED for i in search(caption, 7)]],
    [caption if k == 0 else "" for caption in WANTED for k in range(7)],
    columns=7,
    inches=1.35,
    alt="Three rows of seven pictures, those that a small CLIP finds for three captions among nine hundred.",
)

# %% [markdown]
# Nobody told it which of these words means what: they have only ever stood under pictures. And yet it mostly finds colors,
# light and places. (Look closer, too: purple may be there, but not in the petals.) In the last row the sunset is there, and mostly the sea, but rarely a boat. By the end of this
# chapter you will know why.
#
# ## The story
#
# Until 2020 most networks that looked at pictures were taught with *labels*: a fixed list, a thousand classes of
# ImageNet, each picture sorted by hand. What was not on the list did not exist. But the web is full of pictures that
# stand beside words. (Yuhao Zhang and others had compared X-rays with their reports that year: *ConVIRT*.) In January
# 2021 Alec Radford and eleven colleagues at OpenAI publish *"Learning Transferable Visual Models From
# Natural Language Supervision"*: 400 million pairs of picture and text, and one simple question. Not "which words
# belong to this picture?" (they tried to predict the words first; it learned several times more slowly), but **which of
# these captions belongs to which of these pictures?** They call it *contrastive language-image pre-training*: CLIP.
#
# A month later Chao Jia and others at Google answer with **ALIGN**: the same question, 1.8 billion pairs, hardly
# cleaned, an EfficientNet for the pictures and a BERT for the text. That noise matters so little, if there is enough
# of it, is the lesson of *"Scaling Up Visual and Vision-Language Representation Learning With Noisy Text Supervision"*.
#
# You have met the question before: DAMSM, the teacher of AttnGAN (chapter 06), asked it of birds. What is new is not
# the loss. It is what happens when the world of the model is not two hundred kinds of birds but everything that people
# write under pictures.
#
# ## Two towers
#
# A picture is cut into patches, each becomes a vector, and one more vector joins them to become *the picture*. A
# caption is cut into tokens, each looks at those before it, and the last one, "end of text", becomes *the caption*. Two
# linear maps bring both into one space.

# %%
show.source(library.PictureTower, library.TextTower, library.Seen)

# %% [markdown]
# Our CLIP was trained for this course on the pictures of all three worlds. Its tokens are whole words, because the
# worlds speak few; published CLIPs cut any text into pieces of words. And it has few pictures and little time to learn
# to see. So its patches are not pixels but what another network sees in them (`Seen`): the course's small CNN, which
# was taught to name the attributes of flowers and birds, and which stays as it is. What is left to learn is to *say*
# what is seen. *LiT*, "locked-image text tuning" (Zhai and others, 2021), goes further and locks the whole picture
# tower; the hybrid of CNN and transformer is as old as the vision transformer (Dosovitskiy and others, 2020).

# %% tags=["nbval-check-output"]
tokens = clip.tokens(["a red flower", ""])
print("tokens  ", tokens[:, :7].tolist(), "...")
print("context ", tuple(clip.text.context(tokens).shape), " caption, token, dimension")
print("caption ", tuple(clip.text(tokens).shape))
print("picture ", tuple(clip.picture(prepared(pictures[:2], 64)).shape))
print(f"{sum(p.numel() for p in clip.parameters()):,} parameters")
record = json.loads((DATA / "weights" / "clip.json").read_text())
print(f"trained for {record['steps']} steps of 96 pairs, {record['seconds'] / 60:.0f} minutes ({record['hardware']})")

# %% [markdown]
# Start, words, end, padding: the end has the largest number, so `argmax` finds it. The empty caption is a caption, too
# (chapter 12 will need it). `context` is what diffusion models read: not one vector, but one for each token.
#
# ## InfoNCE is a picture
#
# Take a batch of pairs. Compare every caption with every picture: a square matrix of cosines. On its diagonal are the
# true pairs. That is the whole task: **make the diagonal bright, and the rest dark.**

# %%
batch = next(worlds.mixed_batches(worlds.NAMES, "test", 64, 12, n=4, shuffle=False))
torch.manual_seed(0)
newborn = CLIP(clip.config).eval()
matrices = {}
for name, model in {"untrained": newborn, "trained": clip}.items():
    matrices[name] = (
        model.similarity(prepared(batch.pictures, 64), model.tokens(batch.captions)) / model.log_scale.exp()
    )
show.pictures(
    batch.pictures,
    [f"{i}: {caption}" for i, caption in enumerate(batch.captions)],
    columns=6,
    inches=1.65,
    alt="Twelve pairs: four flowers, four birds and four scenes, each with its own caption.",
)


# %%
def heat(axis, matrix, title: str) -> None:
    """One matrix of captions (rows) and pictures (columns), with a ring on each true pair."""
    n = len(matrix)
    plt.colorbar(axis.imshow(matrix, cmap="viridis"), ax=axis, fraction=0.046)
    axis.scatter(range(n), range(n), s=90, facecolors="none", edgecolors="white")
    axis.set(title=title, xlabel="picture", ylabel="caption", xticks=range(0, n, 2), yticks=range(0, n, 2))


fig, axes = plt.subplots(1, 2, figsize=(8.5, 4), layout="constrained")
for axis, (name, matrix) in zip(axes, matrices.items(), strict=True):
    heat(axis, matrix, f"cosines, {name}")
show.figure(
    fig,
    alt="Two matrices of cosines between twelve captions and twelve pictures. Untrained: stripes without sense. "
    "Trained: the brightest places are mostly on the diagonal.",
)

# %% [markdown]
# **Notice** the places beside the diagonal that are nearly as bright. Are those mistakes? Most are. But some captions
# are simply true of another picture, too.
#
# In letters, for vectors of captions $c_i$ and pictures $p_j$ and a learned sharpness $s$:
#
# $$ S_{ij} = e^{s} \cos(c_i, p_j), \qquad
#    L = -\frac{1}{2B} \sum_i \Big( \log \frac{e^{S_{ii}}}{\sum_j e^{S_{ij}}} + \log \frac{e^{S_{ii}}}{\sum_j e^{S_{ji}}} \Big) $$
#
# The first half is a cross-entropy along each row (which picture for this caption?), the second along each column
# (which caption for this picture?). Van den Oord, Li and Vinyals named it InfoNCE in 2018.

# %%
show.source(matching_loss, CLIP.loss)

# %% tags=["nbval-check-output"]
S = clip.log_scale.exp() * matrices["trained"]
by_rows, by_columns = S.log_softmax(1).diagonal(), S.log_softmax(0).diagonal()
by_hand = -(by_rows + by_columns).mean() / 2
theirs = clip.loss(prepared(batch.pictures, 64), clip.tokens(batch.captions))
print("the formula and the library agree:", torch.allclose(by_hand, theirs, atol=1e-4))
guess = np.log(len(S))
print(f"a blind guess among {len(S)} has the loss log({len(S)}) = {guess:.2f}")

# %% [markdown]
# ### The temperature
#
# Cosines live between -1 and 1, so without $e^s$ the softmax of a batch can hardly become sharp: the best that it can
# do is $e^1$ against many $e^{-1}$. So the scale is learned, from $1/0.07$, and kept below 100. Its inverse is the
# temperature.

# %%
row = matrices["trained"][2]
scales = {"e^s = 1": 1.0, "e^s = 10": 10.0, f"learned, {clip.log_scale.exp().item():.0f}": clip.log_scale.exp().item()}
show.bars(
    [f"picture {j}" for j in range(len(row))],
    {name: (scale * row).softmax(0).tolist() for name, scale in scales.items()},
    ylabel="probability",
    alt="How probable each of twelve pictures is for caption 2: nearly even with scale 1, peaked with the learned one.",
)

# %% [markdown]
# ### Rivals that are no mistakes
#
# "This flower is red" fits every red flower of the batch. InfoNCE would push them away all the same. With captions from
# the web nobody knows which pairs these are, and in a batch of 32,768 pairs a few hardly matter. In a world we *know*:

# %%
rivals = next(WORLDS["flowers"].batches("test", 64, 24, n=24, shuffle=False))
fits = rivals.fits()
scores = clip.similarity(prepared(rivals.pictures, 64), clip.tokens(rivals.captions))
fig, axes = plt.subplots(1, 2, figsize=(8.5, 4), layout="constrained")
heat(axes[0], fits.float(), "is this caption true of that picture?")
heat(axes[1], scores / clip.log_scale.exp(), "how alike does CLIP find them?")
also = fits.clone().fill_diagonal_(False).sum() / (len(fits) * (len(fits) - 1))
show.figure(
    fig, alt="Which of 24 flower captions are true of which of 24 flowers, beside CLIP's cosines: alike in part."
)
print(f"{also:.0%} of the pairs beside the diagonal fit, too")

# %% [markdown]
# The recipe leaves these pairs out of the loss (`also_fits`): neither right nor wrong. And it makes rivals *hard*:
# three of four batches hold a single world, so that "it is a bird" helps nobody. In a mixed batch a model can do well
# by telling worlds and places apart. Here it has to look at colors and wings. Only the fourth batch is mixed, so that
# the worlds know of each other.
#
# ### Train one
#
# To watch it learn within a minute: a tiny CLIP, flowers only, and captions that say nothing but the color. Twice, from
# two starts. OpenAI starts the vectors of its tokens small (0.02). The recipe of this course starts them large (1).

# %%
colors = WORLDS["flowers"].attributes["color"]
tiny = replace(clip.config, embed=32, picture=library.Tower(64, 2, 2), text=library.Tower(64, 2, 2), eyes=False)


def of_color(truth: dict[str, str]) -> str:
    """A caption of a flower that says one thing."""
    return f"{a_or_an(truth['color'])} flower"


def lesson(start: float, steps: int = 120) -> tuple[CLIP, list[float], list[float]]:
    """A tiny CLIP, its losses, and how alike it found different captions at each step."""
    torch.manual_seed(0)
    pupil, losses, alike = CLIP(tiny), [], []
    torch.nn.init.normal_(pupil.text.tokens.weight, std=start)
    optimiser = torch.optim.AdamW(pupil.parameters(), 2e-3)
    stream = WORLDS["flowers"].batches("train", 64, 32, n=1000, epochs=None)
    for _, pairs in zip(range(steps), stream, strict=False):
        captions = [of_color(truth) for truth in pairs.truth]
        also = torch.tensor([[a == b for b in captions] for a in captions]).fill_diagonal_(False)
        with torch.enable_grad():
            loss = pupil.loss(prepared(pairs.pictures, 64), pupil.tokens(captions), also)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        vectors = F.normalize(pupil.text(pupil.tokens([f"{a_or_an(color)} flower" for color in colors])), dim=1)
        losses.append(loss.item())
        alike.append((vectors @ vectors.T)[~torch.eye(len(colors), dtype=torch.bool)].mean().item())
    return pupil, losses, alike


# %%
pupils = {f"words start at {start}": lesson(start) for start in (0.02, 1.0)}
show.lines(
    range(120),
    {name: losses for name, (_, losses, _) in pupils.items()},
    xlabel="step",
    ylabel="InfoNCE",
    alt="Loss against steps: from small word vectors it stays for long where blind guessing is, from large ones it falls.",
)
show.lines(
    range(120),
    {name: alike for name, (_, _, alike) in pupils.items()},
    xlabel="step",
    ylabel="cosine of different captions",
    alt="How alike the vectors of different captions are: all the same at first, and for longer from small word vectors.",
)

# %% [markdown]
# **Notice** the *collapse*. As long as neither tower knows anything, the quickest way to a lower loss is to make all
# similarities equal: every caption the same vector, every picture too. That is the loss of a blind guess, and hardly
# any gradient leads away from it. The first pupil needs more than a third of the lesson to wake up, the second about
# half as long. Real captions, of which only some name a color at all, among a dozen other words, are harder. OpenAI
# warms up over two thousand slow steps, and has 32,767 rivals for each pair; ours has words that are large from the
# start. (A blind guess is a little better here than log 32: pairs of the same color are left out.)
#
# What have the two learned? (One picture of each color, one caption of each.)

# %%
exam = {of_color(truth): k for k, truth in enumerate(shelf["flowers"].truth)}  # one picture for each color
found = {
    name: pupil.similarity(prepared(shelf["flowers"].pictures[list(exam.values())], 64), pupil.tokens(list(exam)))
    for name, (pupil, _, _) in pupils.items()
}
fig, axes = plt.subplots(1, 2, figsize=(8.5, 3.8), layout="constrained")
for axis, (name, matrix) in zip(axes, found.items(), strict=True):
    heat(axis, matrix.softmax(1), name)
    axis.set_yticks(range(len(exam)), list(exam))
show.figure(
    fig,
    alt="The softmax of each row for seven colors and a new flower of each, for both pupils: the diagonal is clearer on the right.",
)

# %% [markdown]
# **Notice** where the brightest place of each row is: on its ring, where a pupil finds the right picture. The second one
# does so for every color; the first cannot tell some of them apart.
#
# ## Zero-shot: a classifier that nobody trained
#
# Do you want to know the color of a flower? Write one caption for each color, and see which one the picture is
# nearest to. No labels, no new layer. *Another list of captions is another classifier.*

# %%
show.source(zero_shot)

# %%
shown = shelf["flowers"].pictures[:6]
probable = zero_shot(clip, prepared(shown, 64), [f"{a_or_an(color)} flower" for color in colors])
show.pictures(
    shown,
    [
        f"{colors[row.argmax()]}, {row.max():.0%} (true: {truth['color']})"
        for row, truth in zip(probable, shelf["flowers"].truth, strict=False)
    ],
    columns=6,
    inches=1.5,
    alt="Six flowers, each with the color that CLIP finds most probable among seven, and how sure it is.",
)

# %% [markdown]
# **Notice** that it can be sure and wrong.
#
# Now everything that a world can be asked. For each picture of the test split we write captions that differ in one
# value, only one of which is true. For comparison: blind guessing, and the judge's recogniser, a network that *was*
# trained on exactly these attributes, with the truth of every picture as its label.

# %%
asked = {name: [multiple_choice.questions(WORLDS[name], truth) for truth in shelf[name].truth] for name in WORLDS}
vectors = {name: clip.picture(prepared(shelf[name].pictures, 64)) for name in WORLDS}


def scores_of(name: str, pictures=None):
    """A function from captions to their scores with the pictures of a world's shelf."""
    pictures = vectors[name] if pictures is None else pictures
    return lambda captions: compare(clip.text(clip.tokens(captions)), pictures, clip.log_scale)


rows = []
for name in WORLDS:
    reached = multiple_choice.accuracy(asked[name], scores_of(name))
    guessed = multiple_choice.chance(asked[name])
    read = load_recogniser(WORLDS[name]).read(shelf[name].pictures)
    ceiling = multiple_choice.read_right(asked[name], shelf[name].truth, read)
    for attribute, share in reached.items():
        rows.append({"world": name, "attribute": attribute, "chance": guessed[attribute], "CLIP, zero-shot": share})
        rows[-1]["recogniser"] = ceiling[attribute]
show.table(rows, digits=2)

# %% [markdown]
# **Notice** what comes easily: backgrounds, times of day, poses, arrangements, the size of a bird. And what does not:
# *which part* has which color (a bird's crown, breast or bill, a flower's second color), small marks, how things stand
# to each other, and the *kinds* of things, which hardly a caption of a scene leaves out. Here are your boats: its eyes
# have learned flowers and birds, and nobody has shown them a boat. Parts have another reason: a caption's rivals can
# mostly be told from it by place, size and the colors that are there at all, so that is what the loss teaches first.
# What 400 million pairs buy is, above all, the kinds of things.
#
# "Zero-shot" needs two footnotes. Our CLIP never saw a label beside a caption, but it saw captions of the same worlds,
# and its eyes were taught with labels of two of them. The published one never saw ImageNet's labels, but the web holds
# captions about everything that is in it.
#
# ### The words matter
#
# In training no caption was a lone word. OpenAI found that "a photo of a cat" beats "cat", and that the mean of eighty
# such sentences does better still. And here?

# %%
for form in ("{}", "{} flower", "{a} flower", "this flower is {}", "look at this {} flower"):
    texts = [form.format(color, a=a_or_an(color)) for color in colors]
    probable = zero_shot(clip, prepared(shelf["flowers"].pictures, 64), texts)
    right = [colors[k] == truth["color"] for k, truth in zip(probable.argmax(1), shelf["flowers"].truth, strict=True)]
    print(f"{texts[0]:26s} {np.mean(right):.0%}")

# %% [markdown]
# A color is read best where it mostly stands in captions, before its noun; alone, or after it, it is read less often.
#
# ## Search
#
# The other way round it is a search engine. **Recall at 1**: on a shelf of 100 pictures, how often is the first one
# found one that the caption is true of? And of 100 captions, how often is the first one true of the picture?

# %%
rows = []
for name, batch in shelf.items():
    fits = batch.fits()
    to_picture, to_caption = recall_at_1(scores_of(name)(batch.captions), fits)
    rows.append({"world": name, "chance": fits[:100, :100].float().mean().item()})  # on one shelf
    rows[-1] |= {"caption finds a picture": to_picture, "picture finds a caption": to_caption}
show.table(rows, digits=2)

# %% [markdown]
# ### Play
#
# Search all 900 pictures. Try what belongs to no world: a flower in the city? Two birds? Ask for less and less until
# you ask for nothing at all.


# %%
def ranked(caption: str, among: str) -> np.ndarray:
    """The twelve pictures that a caption is nearest to: uint8 (H, W, 3)."""
    first, n = (0, len(pictures)) if among == "all worlds" else (300 * worlds.NAMES.index(among), 300)
    scores = compare(clip.text(clip.tokens([caption])), seen[first : first + n], clip.log_scale)[0]
    best = worlds.base.to_uint8(pictures[first + scores.topk(12).indices])
    return show.grid(best.repeat(2, 1).repeat(2, 2), columns=6)


show.play(
    ranked,
    caption="a bird with a yellow belly and a long bill",
    among=["all worlds", *worlds.NAMES],
    alt="The twelve pictures that the small CLIP finds nearest to a caption, best first; the caption can be changed.",
)

# %% [markdown]
# ## A map of words and pictures
#
# Every caption and every picture is a point on a sphere of 128 dimensions. Flattened to the two directions in which the
# points differ most (their principal components; to the right those in which the mean flowers of the seven colors differ
# most, pictures and captions each moved to their own middle):


# %%
def flat(points: torch.Tensor, of: torch.Tensor) -> torch.Tensor:
    """Points (N, E) in the two principal directions of others (M, E)."""
    directions = torch.linalg.svd(of - of.mean(0), full_matrices=False)[2][:2]
    return (points - of.mean(0)) @ directions.T


unit = {
    name: [F.normalize(v, dim=1) for v in (vectors[name], clip.text(clip.tokens(shelf[name].captions)))]
    for name in WORLDS
}
everything = torch.cat([v for both in unit.values() for v in both])
fig, axes = plt.subplots(1, 2, figsize=(11, 4.6))
for (name, both), ink in zip(unit.items(), ("#E4572E", "#2F6DB5", "#2A9D8F"), strict=True):
    for points, mark, what in zip(both, ("o", "x"), ("pictures", "captions"), strict=True):
        axes[0].scatter(*flat(points, everything).T, s=14, marker=mark, color=ink, alpha=0.55, label=f"{name}: {what}")
axes[0].legend(fontsize=8)
axes[0].set_title("three worlds")
words = F.normalize(clip.text(clip.tokens([f"{a_or_an(color)} flower" for color in colors])), dim=1)
blooms = unit["flowers"][0]
means = torch.stack([blooms[[t["color"] == color for t in shelf["flowers"].truth]].mean(0) for color in colors])
for points, mark, size in ((blooms - blooms.mean(0), "o", 14), (words - words.mean(0), "*", 220)):
    truth = [t["color"] for t in shelf["flowers"].truth] if mark == "o" else colors
    inks = [worlds.flowers.COLORS[color] for color in truth]
    axes[1].scatter(
        *flat(points, means - means.mean(0)).T, s=size, marker=mark, c=inks, edgecolors="#868C98", linewidths=0.6
    )
axes[1].set_title('flowers, and "a ... flower" (stars)')
show.figure(
    fig,
    alt="Left: pictures and captions of flowers, birds and scenes; the worlds lie apart, and captions among the pictures "
    "of their world. Right: flowers in their color, and a star for the caption of each color, mostly further out.",
)

# %%
for name, (of_pictures, of_captions) in unit.items():
    pairs = (of_pictures * of_captions).sum(1).mean()
    print(
        f"{name:8s} cosine of a true pair: {pairs:.2f}; of two pictures: {(of_pictures @ of_pictures.T).mean():.2f}; "
        f"of two captions: {(of_captions @ of_captions.T).mean():.2f}"
    )

# %% [markdown]
# **Notice** that worlds lie apart, that colors have their regions, and that many of the stars lie further out than
# their flowers: a caption says *blue* and nothing else, while a picture has a background, too.
#
# And notice what is *not* there. InfoNCE never asks a caption to lie *on* its picture, only to be nearer to it than to
# others. In published CLIPs all pictures lie in one narrow cone and all captions in another (Liang and others, 2022:
# *"Mind the Gap"*). On our map both lie together, and yet no caption lies *on* its picture: see the cosines of true
# pairs. Whoever draws from a caption's vector as if it were a picture's has to cross that gap; DALL·E 2 trains a
# *prior* for it (chapter 13).
#
# ## What CLIP does not see
#
# A picture with a red flower and a white center; the captions "a red flower with a white center" and "a white flower
# with a red center". The same words. Which is true? Whoever looks knows at once.

# %%
rows = []
for name in WORLDS:
    pairs = [multiple_choice.swapped(WORLDS[name], truth) for truth in shelf[name].truth]
    share = multiple_choice.accuracy(pairs, scores_of(name))["swapped"]
    rows.append({"world": name, "asked": sum(map(len, pairs)), "right": share, "chance": 0.5})
    rows[-1]["example"] = " / ".join(next(q for some in pairs for q in some).captions)
show.table(rows, digits=2)

# %% [markdown]
# Of flowers it mostly knows: petals are much larger than the center, so one of the colors is *the* color. Of birds and
# scenes it does not: it tosses a coin. It has found the right words, and not what they belong to. Tristan Thrush and
# others asked published models so, about photographs (2022, *"Winoground"*), and found them hardly above chance. A
# caption's bag of words wins nearly every comparison in a batch, so that is what InfoNCE teaches.
#
# And numbers?

# %%
for name, attribute in (("flowers", "petal_count"), ("scenes", "count")):
    chosen = {}
    questions = [q for some in asked[name] for q in some if q.attribute.startswith(attribute)]
    pictures_of = [i for i, some in enumerate(asked[name]) for q in some if q.attribute.startswith(attribute)]
    captions = list(dict.fromkeys(c for q in questions for c in q.captions))
    table = scores_of(name)(captions)
    values = WORLDS[name].attributes[attribute]
    for i, q in zip(pictures_of, questions, strict=True):
        answer = table[[captions.index(c) for c in q.captions], i].argmax().item()
        chosen.setdefault(q.right, []).append(answer)
    rows = [
        {"true": v, **{f"says {w}": np.mean([a == k for a in chosen[j]]) for k, w in enumerate(values)}}
        for j, v in enumerate(values)
    ]
    print(name)
    show.table(rows, digits=2)

# %% [markdown]
# **Notice** what is taken for what. Few petals and many are told apart; of what lies between, much goes to a neighbor,
# and six are called eight more often than six. In a scene, two of something may be called anything. It knows how few and
# how many *look*; it does not count.
#
# ## CLIP in the noise
#
# CLIP can say how well a picture fits a caption, and the gradient of that can *push* a picture. In a diffusion model,
# though, the picture is mostly noise, and CLIP has never seen such a thing. How long does it recognise a flower?

# %%
steps, eps = (0, 150, 300, 450, 600, 750, 900), torch.randn(300, 3, 64, 64, generator=torch.Generator().manual_seed(0))
told = []
for t in steps:
    x_t = prepared(noised(shelf["flowers"].pictures, torch.full((300,), t), eps), 64)
    told.append(multiple_choice.accuracy(asked["flowers"], scores_of("flowers", pictures=clip.picture(x_t)))["color"])
show.lines(
    steps,
    {"color of the petals": told, "chance": [1 / len(colors)] * len(steps)},
    xlabel="timestep t (more noise to the right)",
    ylabel="right answers",
    alt="How often CLIP names the color of a flower, against the timestep of the noise: it falls towards chance while the flower can still be seen.",
)
show.pictures(
    torch.cat([noised(shelf["flowers"].pictures[2:3], torch.tensor([t]), eps[2:3]).clamp(-1, 1) for t in steps]),
    [f"t = {t}" for t in steps],
    columns=7,
    inches=1.3,
    alt="One flower at seven timesteps, from clean to pure noise.",
)

# %% [markdown]
# At t = 450 you still see which color it is; our CLIP is right far less often than without noise. So GLIDE (Nichol and
# others, 2021) trains a **noisy CLIP**: pictures are noised as the diffusion model does it, and the extra token of the
# picture is replaced by a learned vector for the timestep $t$, so that the network knows what to expect. `t2i train
# noisy_clip` makes one from the small CLIP in some minutes; it keeps the text tower. Chapter 12 guides with it.
#
# ## The real ones
#
# Counted here, without their weights (on torch's `meta` device, which holds shapes and no numbers):

# %%
rows = []
for name, config in {"small": clip.config, **library.VARIANTS}.items():
    with torch.device("meta"):
        net = CLIP(config)
    picture, text = (sum(p.numel() for p in tower.parameters()) for tower in (net.picture, net.text))
    rows.append({"CLIP": name, "picture tower": f"{picture:,}", "text tower": f"{text:,}"})
    rows[-1] |= {
        "pixels": config.size,
        "patch": config.patch,
        "tokens of a picture": 1 + (config.size // config.patch) ** 2,
    }
    rows[-1] |= {"tokens of a caption": config.length, "common space": config.embed}
show.table(rows)

# %% [markdown]
# `CLIP.load("vit_l_14", weights=FILE)` reads the file of open_clip or of transformers. (OpenAI's own is a program,
# which this library does not run; the weights are the same.) The text towers inside the files of Stable Diffusion 1
# (ViT-L/14) and 2 (ViT-H/14, trained by LAION on open data) are read in the same way. ALIGN was never released; its
# largest had an EfficientNet-L2 and a BERT-Large. As published, without any training on these data sets:
#
# | | pairs | ImageNet, top 1 | Flickr30k, picture finds caption / caption finds picture (R@1) |
# |---|---|---|---|
# | CLIP, ViT-L/14 at 336 pixels | 400 million | 76.2 % | 88.0 % / 68.7 % |
# | ALIGN | 1.8 billion | 76.4 % | 88.6 % / 75.7 % |
#
# A ResNet-50 that was *trained* on ImageNet reaches about 76 %. More telling: on drawings, sketches and odd views of
# the same classes such networks collapse, and CLIP loses much less.
#
# ## Exercise: eighty sentences
#
# OpenAI's classifier has no single caption for a class. It writes eighty, takes their vectors, and makes *one* of them:
# each is first brought to length 1, then the mean is taken, and that is brought to length 1 again. Why both? Because
# only directions count, a long vector must not outvote the others, and the scale belongs to $e^s$ alone. Write it:
# `vectors` is a list with a tensor (n_k, E) for each of K classes, the result (K, E). *(Five minutes.)*


# %%
def class_vectors(vectors: list[torch.Tensor]) -> torch.Tensor:
    """One direction for each class, (K, E)."""
    return torch.stack([v[0] for v in vectors])  # takes the first sentence alone: your code here


# %%
def check(answer) -> str:
    """What is right, or what is wrong with it."""
    first, second = torch.tensor([[3.0, 0.0], [0.0, 1.0]]), torch.tensor([[0.0, 5.0]])
    found = answer([first, second])
    if tuple(found.shape) != (2, 2):
        return f"not yet: the shape is {tuple(found.shape)}, not (2, 2)"
    if not torch.allclose(found.norm(dim=1), torch.ones(2)):
        return f"not yet: the lengths are {[round(v, 2) for v in found.norm(dim=1).tolist()]}, not 1"
    if not torch.allclose(found[0], torch.full((2,), 0.5**0.5)):
        return "not yet: a long vector outvotes a short one"
    return "right" if torch.allclose(found[1], torch.tensor([0.0, 1.0])) else "not yet: the second class is wrong"


print(check(class_vectors))

# %% [markdown]
# **Solution** (folded: click the dots, or the bar, to open it)


# %% jupyter={"source_hidden": true} tags=["nbval-check-output"]
def class_vectors_solution(vectors: list[torch.Tensor]) -> torch.Tensor:
    """One direction for each class, (K, E)."""
    return torch.stack([F.normalize(F.normalize(v, dim=1).mean(0), dim=0) for v in vectors])


print(check(class_vectors_solution))

# %% [markdown]
# With it, do several sentences beat one?

# %%
FORMS = (
    "{a} flower",
    "this flower is {}",
    "this {} flower has petals",
    "a flower with {} petals",
    "a flower whose petals are {}",
)
vectors = [clip.text(clip.tokens([form.format(color, a=a_or_an(color)) for form in FORMS])) for color in colors]
first = F.normalize(torch.stack([v[0] for v in vectors]), dim=1)
for name, directions in {"the first alone": first, "the mean of all": class_vectors_solution(vectors)}.items():
    answers = (unit["flowers"][0] @ directions.T).argmax(1)
    right = [colors[k] == truth["color"] for k, truth in zip(answers, shelf["flowers"].truth, strict=True)]
    print(f"{name}: {np.mean(right):.1%}")

# %% [markdown]
# Not here: all of these sentences are of the kind that it was trained on, and none of them means anything else.
# OpenAI's labels are words like *crane*, which is a bird or a machine; there a sentence helps.
#
# ## What came next
#
# CLIP drew nothing. But within months people turned it around: take any generator, and push what it draws until CLIP
# finds that it fits. From 2021 to 2023 CLIP became the *reader* of Stable Diffusion, the *space* in which DALL·E 2 and
# Kandinsky think, the *judge* of the CLIP score, and the *filter* of LAION's data sets. What it
# needed beside it was a generator that could be steered. The next chapter begins with noise.
