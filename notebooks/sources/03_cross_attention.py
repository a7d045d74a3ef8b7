# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   t2i:
#     chapter: "03"
#     title: Cross-attention
#     year: 2014 to today
#     system: the connection of text and picture
#     promise: write attention in three lines, say what each of its parts is for, measure what it costs, and watch words color the places of a picture
#     needs: two CPU cores, no network
#     minutes: 75
# ---

# %% [markdown]
# # 03 · Cross-attention: every place asks the words
#
# **After this chapter you will be able to**
# * write $\mathrm{Softmax}(QK^\top/\sqrt d)\,V$ in three lines, and say what each letter is for,
# * explain the mask and the division by $\sqrt d$ by what goes wrong without them, and what several heads are for,
# * measure what attention costs in time and memory, and say why a *fast path* exists, and
# * build the smallest text-to-image network with cross-attention, and see which word it asks where.
#
# *Walks through the lecture's row of boxes. It needs no GPU and no internet; the README says how long it runs.*

# %%
import os
import random
import time

os.environ["KINETO_LOG_LEVEL"] = "99"  # before torch is imported: its profiler is not to tell of every start

import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.profiler import ProfilerActivity, profile

from t2i_course import show, worlds
from t2i_course.nn.attention import CrossAttention, attention, fast_attention
from t2i_course.text.words import encode, vocabulary

torch.set_num_threads(1)  # all of this is small: several threads would mostly wait for each other
flowers = worlds.load("flowers")
caption, _ = flowers.caption("train", 1759)
show.pictures(
    flowers.render(flowers.spec("train", 1759), 256)[None],
    [caption],
    inches=3.2,
    alt="A drawn flower with its caption; in this chapter each place of a picture asks the words of a caption.",
)

# %% [markdown]
# ## The story
#
# In 2014 a translation network squeezes a sentence of any length into one vector, and long sentences suffer. Dzmitry
# Bahdanau, Kyunghyun Cho and Yoshua Bengio let the decoder *look back* instead: for each word that it writes, a small
# network scores all words that it has read, and a softmax of the scores says how much of each to take. They call it
# *alignment*. In 2015 Kelvin Xu and others (*"Show, Attend and Tell"*) describe photographs so: words ask places. In
# the same year alignDRAW (chapter 02) turns it around: a canvas asks words. Minh-Thang Luong and others replace the
# little network by a plain *dot product*. In 2017 *"Attention Is All You Need"* (Ashish Vaswani and seven others)
# builds a translator of almost nothing but attention, and gives it the form and the letters that the rest of this
# course uses:
#
# $$ \mathrm{Attention}(Q, K, V) = \mathrm{Softmax}\!\left(\frac{QK^\top}{\sqrt d}\right) V $$
#
# | | shape | in a translator | in a text-to-image system |
# |---|---|---|---|
# | $Q$, queries | $N \times d$ | the word being written | the **places** of the picture |
# | $K$, keys | $T \times d$ | the words read | the **words** of the caption: *when to ask me* |
# | $V$, values | $T \times e$ | the words read | the **words** of the caption: *what I say* |
#
# ($N$ places, $T$ words, $d$ numbers to compare, $e$ numbers to tell.)
#
# Where all three come from the same sequence it is **self**-attention; where the queries come from one and keys and
# values from another, **cross**-attention.
#
# ## A soft dictionary
#
# A Python dictionary gives the value of the one key that equals your query, or an error. Attention never fails: it
# gives a *mixture* of all values, more of those whose keys are like the query. The larger the scale, the more it
# resembles the dictionary:

# %% tags=["nbval-check-output"]
heights = {"daisy": 60.0, "sunflower": 200.0, "clover": 20.0}  # centimetres
keys = torch.tensor([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0]])  # how much each is like (a daisy, clover)
values = torch.tensor(list(heights.values()))[:, None]
query = torch.tensor([[0.95, 0.3]])  # not the key of any of them
for scale in (0.0, 1.0, 10.0, 1000.0):
    found, weights = attention(query, keys, values, scale=scale)
    mixture = " + ".join(f"{w:.2f} {name}" for w, name in zip(weights[0], heights, strict=True))
    print(f"scale {scale:6.0f}: {mixture} = {found.item():.0f} cm")

# %% [markdown]
# Why soft, if hard is what a dictionary does? Because the derivative of a choice is 0 wherever it has one, so nothing
# can be learned from it. A mixture's is not, and so the network can *learn* what to ask for. Here is all of it:

# %%
show.source(attention)

# %% [markdown]
# ## The row of boxes
#
# Five words, each with a key in the plane (the arrows) and a value (its color). Turn the query and watch the dot
# products, the softmax, and the output, which is a mixture of colors. At length 0 all words count the same; the longer
# the query, the more the nearest key wins.

# %%
WORDS = ["red", "petals", "green", "leaves", "sky"]
ANGLES = np.deg2rad([10, 55, 120, 170, 270])
KEYS = torch.tensor(np.stack([np.cos(ANGLES), np.sin(ANGLES)], 1), dtype=torch.float32)  # (5, 2)
VALUES = torch.tensor([[0.9, 0.2, 0.15], [0.95, 0.6, 0.75], [0.3, 0.7, 0.3], [0.1, 0.45, 0.2], [0.5, 0.75, 0.95]])


def bar_box(axis, numbers, title, low, high) -> None:
    """One box of the row: a number for each word, as a bar and in figures."""
    bars = axis.bar(WORDS, numbers, color=VALUES.numpy())
    axis.bar_label(bars, [f"{number:.2f}" for number in numbers], fontsize=7)
    axis.axhline(0, color="#2E2A3B", lw=0.8)
    axis.set(ylim=(low, high), title=title)
    axis.tick_params(axis="x", rotation=60, labelsize=8)
    axis.spines[["top", "right"]].set_visible(False)


def row_of_boxes(angle: int, length: float) -> np.ndarray:
    """The query, its dot products with the keys, their softmax, and the mixture of values, as a picture."""
    q = length * torch.tensor([[np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))]], dtype=torch.float32)
    output, weights = attention(q, KEYS, VALUES)
    fig, axes = plt.subplots(1, 4, figsize=(8.4, 2.7), width_ratios=[1.2, 1.1, 1.1, 0.5])
    for word, key, value in zip(WORDS, KEYS.numpy(), VALUES.numpy(), strict=True):
        axes[0].annotate("", key, (0, 0), arrowprops={"color": value, "arrowstyle": "-|>", "lw": 2.5})
        axes[0].text(*(1.5 * key), word, ha="center", va="center", fontsize=9)
    axes[0].plot([0, 0.15 * q[0, 0]], [0, 0.15 * q[0, 1]], color="#2E2A3B", lw=5, solid_capstyle="round")
    axes[0].set(xlim=(-1.7, 1.7), ylim=(-1.7, 1.7), title="Q (black) and K", aspect="equal")
    axes[0].axis("off")
    bar_box(axes[1], (q @ KEYS.T / 2**0.5)[0].numpy(), r"$QK^\top / \sqrt{d}$", -10, 10)
    bar_box(axes[2], weights[0].numpy(), "Softmax", 0, 1.1)
    axes[3].imshow(output[None].numpy().clip(0, 1))
    axes[3].set_title("· V")
    axes[3].axis("off")
    fig.tight_layout()
    fig.canvas.draw()
    picture = np.asarray(fig.canvas.buffer_rgba())[..., :3].copy()
    plt.close(fig)
    return picture


show.play(
    row_of_boxes,
    angle=(0, 360, 5, 25),
    length=(0.0, 12.0, 0.5, 4.0),
    alt="A query among five keys, the dot products, their softmax, and the mixed color that comes out.",
)

# %% [markdown]
# ## Why divide by $\sqrt d$?
#
# The dot product of two vectors of $d$ independent numbers with mean 0 and variance 1 has variance $d$: each of its $d$
# products has variance 1. Let us measure what a softmax over 100 such scores does, and how far a weight $w_i$ moves when
# its score $s_i$ moves: that is $\partial w_i / \partial s_i = w_i (1 - w_i)$, here summed over the keys.

# %% tags=["nbval-check-output"]
generator = torch.Generator().manual_seed(0)
print("            not divided                        divided")
print("    d   variance  largest w  w(1-w)     variance  largest w  w(1-w)")
for d in (4, 64, 1024):
    q, k = torch.randn(2, 100, d, generator=generator)
    line = f"{d:5}"
    for scores in (q @ k.T, q @ k.T / d**0.5):
        w = scores.softmax(-1)
        line += f"   {scores.var():8.1f}  {w.amax(-1).mean():9.2f}  {(w * (1 - w)).sum(-1).mean():6.2f}  "
    print(line.rstrip())

# %% [markdown]
# **Notice** the left half: the wider the vectors, the nearer the softmax comes to a hard choice *before anything was
# learned*, and the less it can be moved. Divided, it starts soft whatever $d$ is. (Not every system divides. AttnGAN,
# chapter 06, does not, and neither does the T5 text encoder, whose weights start smaller instead.)
#
# ## The mask: words that are not there
#
# Captions differ in length, so a batch of them is padded. The padding must not be attended to: its score becomes
# $-\infty$, its weight 0. A mask says **True where a query may look**. What stands at a masked key makes no difference,
# and a query that may look nowhere finds zeros:

# %% tags=["nbval-check-output"]
q, k, v = (torch.randn(1, n, 8, generator=generator) for n in (3, 5, 5))
mask = torch.tensor([True, True, True, False, False])
output, weights = attention(q, k, v, mask)
print("weights of the padded words:", weights[..., 3:].sum().item())
k[:, 3:], v[:, 3:] = 1000.0, -1000.0
print("other padding changes the output by", (attention(q, k, v, mask)[0] - output).abs().max().item())
print("looking nowhere:", attention(q, k, v, torch.zeros(5, dtype=torch.bool))[0].abs().max().item())

# %% [markdown]
# The same tool forbids a writer to look ahead. With a **causal** mask, word $i$ sees the words up to itself only, so
# all places of a sequence can be trained at once (autoregressive models live on this). And with a band, each word sees its
# neighbours:

# %%
position = torch.arange(8)
MASKS = {
    "padded: 5 words of 8": (position < 5).expand(8, 8),
    "causal": position[:, None] >= position,
    "neighbours": (position[:, None] - position).abs() <= 1,
}
fig, axes = plt.subplots(1, 3, figsize=(8, 2.7))
for axis, (name, allowed) in zip(axes, MASKS.items(), strict=True):
    axis.imshow(allowed, cmap="Greys_r", vmin=-1, vmax=1)
    axis.set(title=name, xlabel="key", ylabel="query", xticks=[], yticks=[])
fig.tight_layout()
show.figure(
    fig,
    alt="Three masks of 8 queries by 8 keys, white where a query may look: the first five columns, a triangle, a band.",
)

# %% [markdown]
# ## Several heads
#
# One softmax makes one mixture. A place that wants to know the color of the petals *and* whether it is night would get
# a blend of both answers. **Heads** are several attentions side by side, each with its own small queries, keys and
# values; their findings are put next to each other. Learned matrices (`to_q`, `to_k`, `to_v`) make the three out of
# whatever comes in, and `to_out` mixes what the heads have found:

# %%
show.source(CrossAttention)

# %% tags=["nbval-check-output"]
for heads in (1, 2, 8):
    block = CrossAttention(dim=64, context_dim=32, heads=heads)
    looks = block.weights(torch.randn(1, 256, 64), torch.randn(1, 13, 32))
    print(f"{heads} heads: {sum(p.numel() for p in block.parameters()):,} parameters, weights {tuple(looks.shape)}")

# %% [markdown]
# **Notice** that more heads cost no parameters: 64 numbers are shared out, not multiplied. They do cost memory: each
# has its own table of weights.
#
# ## What it costs
#
# $N$ queries and $T$ keys make $N \times T$ weights. Between the places of a picture and themselves ($N = T =$ height ×
# width) that grows with the *fourth* power of the picture's side. The **readable path** above makes the table, so that
# you can look at it. The **fast path** gives the same output, and in the usual cases (its docstring says which) never
# stores the table: torch takes the keys in blocks, and keeps for each query only a running maximum, a running sum and a
# running mixture (made popular as *FlashAttention*, Tri Dao and others 2022). The second solution at the end of this
# chapter shows how.

# %%
show.source(fast_attention)


# %%
def cost(name: str, length: int) -> tuple[float, float]:
    """Milliseconds of a call (the best of eight), and MiB of the largest piece of memory that a step of it asks for."""
    path = {"readable path": attention, "fast path": fast_attention}[name]
    q, k, v = torch.randn(3, 1, length, 64)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as measured:
        path(q, k, v)
    times = []
    for _ in range(8):
        start = time.perf_counter()
        path(q, k, v)
        times.append(time.perf_counter() - start)
    return 1000 * min(times), max(event.self_cpu_memory_usage for event in measured.events()) / 2**20


LENGTHS, costs = [64, 128, 256, 512, 1024, 2048, 4096], {"readable path": [], "fast path": []}
for length in LENGTHS:
    for name, measured in costs.items():  # in turns, so that a machine that slows down slows both
        measured.append(cost(name, length))
fig, axes = plt.subplots(1, 2, figsize=(9, 3))
for i, (axis, what) in enumerate(zip(axes, ("milliseconds", "MiB, largest piece of memory"), strict=True)):
    for name, measured in costs.items():
        axis.loglog(LENGTHS, [pair[i] for pair in measured], marker="o", ms=4, label=name)
    last = costs["readable path" if i else "fast path"][-1][i]
    axis.loglog(
        LENGTHS[-4:], [3 * last * (n / LENGTHS[-1]) ** 2 for n in LENGTHS[-4:]], ":", color="#868C98", label="square"
    )
    axis.set(xlabel="length (queries = keys)", ylabel=what, xticks=LENGTHS, xticklabels=LENGTHS)
    axis.minorticks_off()
    axis.spines[["top", "right"]].set_visible(False)
axes[0].legend(frameon=False)
fig.tight_layout()
show.figure(
    fig,
    "Time and memory against length, both axes in powers: the fast path's time and the readable path's memory end along the "
    "line of the square; the readable path takes more time, and the fast one's memory grows in proportion only.",
)
q, k, v = torch.randn(3, 1, LENGTHS[-1], 64)
off = (fast_attention(q, k, v) - attention(q, k, v)[0]).abs().max()
print(f"the largest difference between the two outputs at length {LENGTHS[-1]}: {off:.0e}")

# %% [markdown]
# **Notice** that for long sequences the fast path, too, takes about four times as long for twice the length: it does
# all the work. The readable path takes even longer at last (a table of 64 MiB is larger than a processor's cache, which
# may be why). Only the memory for the table is gone. How large would that table be, for the places of a picture in
# float32? (77: the length of CLIP's captions, chapter 10.)

# %% tags=["nbval-check-output"]
for name, keys_of in (("cross-attention to 77 words", lambda places: 77), ("self-attention", lambda places: places)):
    for side in (16, 64, 256):
        size = 4 * side**2 * keys_of(side**2) / 2**20
        print(f"{name}, {side:3} x {side:3} places: {size:10.2f} MiB of weights per head")

# %% [markdown]
# **Notice** which of the two is the problem. Words are few: *cross*-attention is cheap at any size. *Self*-attention
# between places is why later systems attend at low resolutions only, or move into a smaller *latent* space (chapter
# 14).
#
# ## The smallest text-to-image network
#
# Now let places ask words. The captions name three things, in changing order; the pictures have 16×16 places. (The
# captions of this world say more, and less; these are made from its truth, so that a minute of training suffices. All
# flowers are open or layered ones: there the centre can be seen.)

# %%
GROUNDS = {
    "sky": "against a blue sky",
    "meadow": "in the grass",
    "dusk": "at sunset",
    "night": "at night",
    "cream": "in a studio",
}
KNOWN = vocabulary("flowers")


def describe(truth: dict, rng: random.Random) -> str:
    """A caption that names the colors of petals and centre, and the ground."""
    parts = [f"{truth['color']} petals", f"a {truth['center_color']} center"]
    rng.shuffle(parts)
    caption = ["a flower with " + " and ".join(parts), GROUNDS[truth["background"]]]
    rng.shuffle(caption)
    return " ".join(caption)


everything = next(flowers.batches("train", 16, 2000, n=2000))
chosen = [i for i, truth in enumerate(everything.truth) if truth["arrangement"] in ("open", "layered")]
seen, unseen = chosen[:-200], chosen[-200:]
captions = [describe(everything.truth[i], random.Random(i)) for i in chosen]
show.pictures(
    F.interpolate(everything.pictures[chosen[:6]], scale_factor=8),
    captions[:6],
    inches=1.7,
    alt="Six flowers of 16 by 16 pixels, each with a caption that names petals, centre and ground.",
)
print(f"{len(seen)} flowers to learn from, {len(unseen)} kept back")

# %% [markdown]
# The painter uses what you have seen. First the words ask each other, with the *neighbours* mask: so *red* learns
# whether it is said of *petals* or of a *center*. Then each place makes a query out of where it is, **asks the words**,
# and decodes what it finds into its color.
#
# Beside it stands a painter with the other way to connect text and picture: the words are averaged into **one vector**,
# which every place gets. It is the same network: a softmax over a single key is 1 whatever the query, so "asking" one
# vector is being handed it. (So two of its matrices, those of queries and keys of `ask`, learn nothing: 8,192
# parameters less at work.)

# %%
side = torch.linspace(-1, 1, 16)
y, x = torch.meshgrid(side, side, indexing="ij")
waves = [f(k * torch.pi / 2 * p) for k in (1, 2, 3, 4) for p in (x, y) for f in (torch.sin, torch.cos)]
PLACES = torch.stack([x, y, *waves], -1).flatten(0, 1)  # (256, 18): where each place is


class Painter(nn.Module):
    """Numbers of words (B, T) -> pictures (B, 3, 16, 16); connection: "attention" or "mean"."""

    def __init__(self, connection: str, dim: int = 64):
        super().__init__()
        self.connection = connection
        self.embed = nn.Embedding(1 + len(KNOWN), dim, padding_idx=0)
        self.read = CrossAttention(dim, heads=4)  # words ask words
        self.norm = nn.LayerNorm(dim)
        self.place = nn.Sequential(nn.Linear(18, dim), nn.GELU(), nn.Linear(dim, dim))
        self.ask = CrossAttention(dim, heads=1)  # places ask words
        self.decode = nn.Sequential(nn.Linear(2 * dim, 96), nn.GELU(), nn.Linear(96, 96), nn.GELU(), nn.Linear(96, 3))

    def inputs(self, tokens):
        """What attention needs: the places' queries, what they may ask, and the mask."""
        mask = (tokens > 0)[:, None]  # (B, 1, T)
        position = torch.arange(tokens.shape[1])
        neighbours = (position[:, None] - position).abs() <= 1  # (T, T)
        words = self.embed(tokens)  # (B, T, D)
        words = self.norm(words + self.read(words, mask=mask & neighbours))  # (B, T, D)
        places = self.place(PLACES).expand(len(tokens), -1, -1)  # (B, 256, D)
        if self.connection == "mean":
            words, mask = mask.float() @ words / mask.sum(-1, keepdim=True), None  # (B, 1, D)
        return places, words, mask

    def forward(self, tokens):
        places, words, mask = self.inputs(tokens)
        found = self.ask(places, words, mask)  # (B, 256, D)
        colors = torch.tanh(self.decode(torch.cat([places, found], 2)))  # (B, 256, 3)
        return colors.transpose(1, 2).unflatten(2, (16, 16))


# %% [markdown]
# There is no noise in it: it draws the average of all flowers that fit a caption, so its pictures will be blurred. (The
# next chapters mend that.) Both see the same pictures and captions in the same order; now and then we measure on the
# flowers kept back.

# %%
STEPS, EVERY = 300, 20


def train(connection: str) -> tuple[Painter, list[float], float]:
    """A painter, its error on unseen pictures as it learns, and the seconds it took."""
    torch.manual_seed(0)
    rng, start = random.Random(0), time.perf_counter()
    painter, errors = Painter(connection), []
    optimiser = torch.optim.Adam(painter.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, STEPS)
    test = encode(captions[-len(unseen) :], KNOWN)[0]
    for step in range(1, STEPS + 1):
        batch = rng.sample(seen, 32)
        tokens, _ = encode([describe(everything.truth[i], rng) for i in batch], KNOWN)
        loss = F.mse_loss(painter(tokens), everything.pictures[batch])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        if step % EVERY == 0:
            with torch.no_grad():
                errors.append(F.mse_loss(painter(test), everything.pictures[unseen]).item())
    return painter, errors, time.perf_counter() - start


results = {connection: train(connection) for connection in ("attention", "mean")}
show.lines(
    range(3 * EVERY, STEPS + 1, EVERY),  # without the first steps, which are alike and would dwarf the rest
    {name: errors[2:] for name, (_, errors, _) in results.items()},
    xlabel="steps",
    ylabel="squared error, unseen",
    alt="The error on unseen pictures against steps: with attention it falls sooner and ends lower than with the mean.",
)

# %%
no_caption = everything.pictures[seen].mean(0).expand(len(unseen), -1, -1, -1)
blind = F.mse_loss(no_caption, everything.pictures[unseen]).item()
show.table(
    [
        {
            "connection": "none (the mean of all flowers)",
            "error on unseen pictures": blind,
            "parameters": "",
            "seconds": "",
        }
    ]
    + [
        {
            "connection": name,
            "error on unseen pictures": errors[-1],
            "parameters": f"{sum(p.numel() for p in painter.parameters()):,}",
            "seconds": round(seconds),
        }
        for name, (painter, errors, seconds) in results.items()
    ]
)

# %% tags=["nbval-check-output"]
attending, averaging = (results[name][1] for name in ("attention", "mean"))
print("attention ends lower:", attending[-1] < averaging[-1])

# %% [markdown]
# (One run of each.) The error says little of what matters here: has each part its *own* color? The judge reads it, in
# the drawings for the captions kept back, in the true pictures, and in those of other captions. (At 16 × 16 pixels it
# misreads some true petals, too; flat ones are easier.)

# %%
from t2i_course.judge import caption_accuracy

with torch.no_grad():
    asked = captions[-len(unseen) :]
    true = everything.pictures[unseen]
    judged = {"true pictures": true, "(true, of other captions)": true.roll(1, 0)}
    judged |= {name: painter(encode(asked, KNOWN)[0]) for name, (painter, *_) in results.items()}
rows = []
for name, pictures in judged.items():
    kept = caption_accuracy(pictures, asked, flowers).by_attribute
    rows.append(
        {"pictures": name, "petals": kept["color"], "centre": kept["center_color"], "ground": kept["background"]}
    )
show.table(rows, digits=2)

# %%
ASKED = [
    "a flower with red petals and a yellow center against a blue sky",
    "a flower with yellow petals and a red center against a blue sky",
    "at night a flower with a purple center and white petals",
    "a flower with a white center and blue petals in the grass",
]
with torch.no_grad():
    drawn = torch.cat([results[name][0](encode(ASKED, KNOWN)[0]) for name in ("attention", "mean")])
show.pictures(
    F.interpolate(drawn, scale_factor=8),
    [f"{name}: {caption}" for name in ("attention", "mean") for caption in ASKED],
    columns=4,
    inches=1.9,
    alt="Four captions drawn by both painters: with attention petals and centres have their own colors, with the mean "
    "the two run into each other.",
)

# %% [markdown]
# **Notice** the first two columns: the same words, with *red* and *yellow* exchanged. Both painters are told who is
# what (the words have asked their neighbours). But the mean hands every place *all* answers at once, and the decoder
# must take them apart again; with attention a place gets the answer that it asked for. The mean is not hopeless: its
# grounds are right, and its petals more often than by chance. But it has to learn in the *picture* part of the
# network what attention has in its form.
#
# ## Which word where?
#
# The readable path returns the weights. Turn them over, from "for each place, the words" to "for each word, the
# places":


# %%
@torch.no_grad()
def maps(caption: str, painter: Painter) -> np.ndarray:
    """The picture (16, 16, 3) in [0, 1], and for each word where it is asked (T, 16, 16)."""
    tokens, _ = encode([caption], KNOWN)
    looks = painter.ask.weights(*painter.inputs(tokens))[0, 0]  # (256, T)
    return painter(tokens)[0].permute(1, 2, 0).numpy() / 2 + 0.5, looks.T.unflatten(1, (16, 16)).numpy()


def draw_maps(caption: str):
    """A figure: what is drawn, and a map for each word."""
    picture, looks = maps(caption, results["attention"][0])
    fig, axes = plt.subplots(2, 7, figsize=(7, 2.5))
    for axis in axes.flat:
        axis.axis("off")
    for axis, shown, name in zip(axes.flat, (picture, *looks), ("(drawn)", *caption.split()), strict=False):
        axis.imshow(shown, cmap="magma", vmin=0, vmax=1)
        axis.set_title(name, fontsize=9)
    fig.tight_layout(pad=0.3)
    return fig


for caption in ASKED[0], ASKED[2]:
    show.figure(
        draw_maps(caption),
        alt=f"'{caption}': what is drawn, and for each word a map of the places that ask it, bright where it is asked.",
    )

# %% [markdown]
# **Notice** three things. Nobody told the network where petals are: the ring, the disc and the ground come from the
# squared error alone. The maps follow the *words*, not their order in the sentence. And they are not quite an
# explanation: *petals* is asked far more than its color, for it has read its neighbour, and may know the color
# by now. Does it? Let no place ask the word *red* itself:

# %%
tokens, _ = encode(ASKED[:1], KNOWN)
painter = results["attention"][0]
with torch.no_grad():
    places, words, mask = painter.inputs(tokens)
    without = mask.clone()
    without[..., ASKED[0].split().index("red")] = False
    found = torch.cat([painter.ask(places, words, m) for m in (mask, without)])
    colors = torch.tanh(painter.decode(torch.cat([places.expand(2, -1, -1), found], 2)))
show.pictures(
    F.interpolate(colors.transpose(1, 2).unflatten(2, (16, 16)), scale_factor=8),
    ["all words may be asked", '"red" may not be asked'],
    inches=1.9,
    alt=f"'{ASKED[0]}', drawn as before, and drawn with no place asking the word 'red'.",
)

# %% [markdown]
# The petals stay red: the word *petals* tells it alone. (Of the ground, on the other hand, *blue* is asked more than
# *sky*.) A map says where a place looked, not what it learned there. (A softmax must also spend all of its weight
# somewhere: the leaves, of which these captions say nothing, leave theirs on words such as *flower* or *at*.)
#
# Now you:


# %%
def paint(petals: str, center: str, ground: str) -> np.ndarray:
    """The picture and the maps for a caption put together from three choices: uint8 (H, W, 3)."""
    fig = draw_maps(f"a flower with {petals} petals and a {center} center {ground}")
    fig.canvas.draw()
    picture = np.asarray(fig.canvas.buffer_rgba())[..., :3].copy()
    plt.close(fig)
    return picture


show.play(
    paint,
    petals=["purple", "red", "orange", "yellow", "pink", "blue", "white"],
    center=["yellow", "white", "green", "brown", "purple", "red"],
    ground=list(GROUNDS.values()),
    alt="A flower with purple petals and a yellow center, and for each word of its caption a map of who asks it.",
)

# %% [markdown]
# ## Exercise: attention by hand
#
# 1. Write the readable path yourself in numpy, for one query `(d,)`, keys `(T, d)` and values `(T, e)`. Take care that a
#    score of some thousands does not overflow. *(Ten minutes.)*
# 2. *(Harder, if you like.)* Write the fast path: keys and values come in blocks of two, one after the other, and you may
#    keep no more than a maximum, a sum and a mixture. *(Fifteen minutes.)*


# %%
def attend(query: np.ndarray, keys: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The mixture of values (e,) for one query."""
    # your code here
    return np.full(values.shape[1], np.nan)


def attend_in_blocks(query: np.ndarray, blocks) -> np.ndarray:
    """The mixture of values (e,) for one query. blocks: yields keys (2, d) and their values (2, e)."""
    mixture = np.zeros(3)
    for _keys, _values in blocks:
        pass  # your code here
    return mixture


# %%
def check(answer, in_blocks: bool = False) -> str:
    """What is right, or what is wrong with it."""
    rng = np.random.default_rng(0)
    for name, scale in (
        ("small scores", 1.0),
        ("scores in the thousands", 4000.0),
        ("large scores, near each other", 4e3),
    ):
        query, keys, values = scale * rng.normal(size=4), rng.normal(size=(6, 4)), rng.normal(size=(6, 3))
        if "near" in name:
            keys = keys[:1] + 1e-4 * keys

        def blocks(keys=keys, values=values):
            held = np.empty((2, 4)), np.empty((2, 3))  # each block is overwritten by the next
            for i in range(0, len(keys), 2):
                held[0][:], held[1][:] = keys[i : i + 2], values[i : i + 2]
                yield held

        right = attention(*(torch.from_numpy(x) for x in (query[None], keys, values)))[0][0].numpy()
        given = answer(query, blocks()) if in_blocks else answer(query, keys, values)
        if np.shape(given) != right.shape:
            return f"not yet: its shape is {np.shape(given)}, and should be {right.shape}"
        if not np.allclose(given, right):
            return f"not yet: with {name} it gives {np.round(given, 3)}, and should give {np.round(right, 3)}"
    return "right"


print(check(attend))
print(check(attend_in_blocks, in_blocks=True))

# %% [markdown]
# **Solution** (folded: click the dots, or the bar, to open it)


# %% jupyter={"source_hidden": true} tags=["nbval-check-output"]
def attend_solution(query: np.ndarray, keys: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The mixture of values (e,) for one query."""
    scores = keys @ query / np.sqrt(len(query))
    weights = np.exp(scores - scores.max())  # the same weights, and no exponent above 0
    return weights @ values / weights.sum()


def attend_in_blocks_solution(query: np.ndarray, blocks) -> np.ndarray:
    """The mixture of values (e,) for one query. blocks: yields keys (2, d) and their values (2, e)."""
    largest, total, mixture = -np.inf, 0.0, 0.0
    for keys, values in blocks:
        scores = keys @ query / np.sqrt(len(query))
        new = max(largest, scores.max())
        shrink, weights = np.exp(largest - new), np.exp(scores - new)  # what was summed so far had another maximum
        total = total * shrink + weights.sum()
        mixture = mixture * shrink + weights @ values
        largest = new
    return mixture / total


print(check(attend_solution), check(attend_in_blocks_solution, in_blocks=True))

# %% [markdown]
# ## What came next
#
# In 2016 the field did *not* yet connect text and picture so: the first GANs that draw captions (the next chapter)
# squeeze the caption into one vector again. Attention over words returns with AttnGAN (chapter 06), and with the
# diffusion models (chapters 11 to 15) it has come to stay.
