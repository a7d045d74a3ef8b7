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
#     promise: write attention in three lines, say what each of its parts is for, measure what it costs, and watch words colour the places of a picture
#     needs: two CPU cores, no network
#     minutes: 60
# ---

# %% [markdown]
# # 03 · Cross-attention: every place asks the words
#
# **After this chapter you will be able to**
# * write $\mathrm{Softmax}(QK^\top/\sqrt d)\,V$ in three lines, and say what each letter is for,
# * explain the mask, the division by $\sqrt d$ and the heads, each by what goes wrong without it,
# * measure what attention costs in time and memory, and why a *fast path* exists, and
# * build the smallest text-to-image network with cross-attention, and see which word it consults where.
#
# *Walks through the lecture's row of boxes. It needs no GPU and no network; the README says how long it runs.*

# %%
import time

import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from t2i_course import show, worlds
from t2i_course.nn.attention import attention, fast_attention
from t2i_course.text.words import encode, vocabulary

torch.manual_seed(0)
flowers = worlds.load("flowers")
caption, _ = flowers.caption("train", 2)
show.pictures(
    flowers.render(flowers.spec("train", 2), 256)[None],
    [caption],
    inches=3.2,
    alt="A drawn flower with its caption; in this chapter each place of a picture asks the words of a caption.",
)

# %% [markdown]
# ## The story
#
# In 2014 a translation network had to squeeze a sentence of any length into one vector. Dzmitry Bahdanau, Kyunghyun Cho
# and Yoshua Bengio let the decoder *look back* instead: for each word that it writes it weighs all words that it has
# read. In 2015 alignDRAW (chapter 02) took that to pictures. In 2017 *"Attention Is All You Need"* (Vaswani et al.)
# threw out everything else, and gave attention the form that every later chapter of this course uses:
#
# $$ \mathrm{Attention}(Q, K, V) = \mathrm{Softmax}\!\left(\frac{QK^\top}{\sqrt d}\right) V $$
#
# Think of a library. A **query** says what you are looking for. Each book has a **key** on its spine and a **value**
# inside. A dictionary would hand you the one book whose key equals your query; attention hands you a *mixture* of all
# books, more of those whose keys are like your query. In *self*-attention queries, keys and values come from the same
# sequence. In **cross-attention** the queries are the places of the picture, and keys and values are the words.

# %%
show.source(attention)

# %% [markdown]
# ## The row of boxes
#
# Five words, each with a key in the plane (the arrows) and a value (its colour). Turn the query and watch the dot
# products, the softmax, and the output, which is a mixture of colours. At length 0 all words count the same; the longer
# the query, the more the nearest key wins: attention becomes a look-up.

# %%
WORDS = ["red", "petals", "green", "leaves", "sky"]
ANGLES = np.deg2rad([10, 55, 120, 170, 270])
KEYS = torch.tensor(np.stack([np.cos(ANGLES), np.sin(ANGLES)], 1), dtype=torch.float32)  # (5, 2)
VALUES = torch.tensor([[0.9, 0.2, 0.15], [0.95, 0.6, 0.75], [0.3, 0.7, 0.3], [0.1, 0.45, 0.2], [0.5, 0.75, 0.95]])


def row_of_boxes(angle: int, length: float) -> np.ndarray:
    """The query, its dot products with the keys, their softmax, and the mixture of values, as a picture."""
    q = length * torch.tensor([[np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))]], dtype=torch.float32)
    output, weights = attention(q, KEYS, VALUES)
    fig, axes = plt.subplots(1, 4, figsize=(10, 2.6), width_ratios=[1.2, 1, 1, 0.7])
    for word, key, value in zip(WORDS, KEYS, VALUES, strict=True):
        axes[0].annotate("", key.numpy(), (0, 0), arrowprops={"color": value.numpy(), "arrowstyle": "->", "lw": 2})
        axes[0].text(*(1.18 * key).tolist(), word, ha="center", va="center", fontsize=8)
    axes[0].plot([0, q[0, 0] / max(length, 1)], [0, q[0, 1] / max(length, 1)], color="#2E2A3B", lw=4)
    axes[0].set(xlim=(-1.6, 1.6), ylim=(-1.6, 1.6), title="Q (thick) and K", aspect="equal")
    axes[0].axis("off")
    scores = (q @ KEYS.T / 2**0.5).flatten()
    for axis, numbers, title in ((axes[1], scores, "Q K / √d"), (axes[2], weights.flatten(), "Softmax")):
        axis.bar(WORDS, numbers.numpy(), color=VALUES.numpy())
        axis.set_title(title)
        axis.tick_params(axis="x", rotation=60, labelsize=8)
    axes[2].set_ylim(0, 1)
    axes[3].imshow(output.view(1, 1, 3).numpy().clip(0, 1))
    axes[3].set_title("· V")
    axes[3].axis("off")
    fig.tight_layout()
    fig.canvas.draw()
    picture = np.asarray(fig.canvas.buffer_rgba())[..., :3].copy()
    plt.close(fig)
    return picture


show.play(
    row_of_boxes,
    angle=(0, 360, 5, 30),
    length=(0.0, 12.0, 0.5, 4.0),
    alt="A query among five keys, the dot products, their softmax, and the mixed colour that comes out.",
)

# %% [markdown]
# ## Why divide by $\sqrt d$?
#
# The dot product of two vectors of $d$ independent numbers with variance 1 has variance $d$. Without the division a
# softmax over such scores is nearly one-hot from the start, and one-hot softmaxes have almost no gradient: nothing is
# learned. Measured, on random queries and keys:

# %% tags=["nbval-check-output"]
generator = torch.Generator().manual_seed(0)
for d in (4, 64, 1024):
    q, k = torch.randn(2, 500, d, generator=generator)
    raw, scaled = (q @ k.T), (q @ k.T) / d**0.5
    print(
        f"d = {d:4}:  variance {raw.var():6.0f}, largest weight {raw.softmax(-1).amax(-1).mean():.2f}"
        f"   divided: variance {scaled.var():.1f}, largest weight {scaled.softmax(-1).amax(-1).mean():.2f}"
    )

# %% [markdown]
# ## The mask: words that are not there
#
# Captions differ in length, so a batch is padded. A padded place must not be attended to: its score becomes $-\infty$,
# its weight 0. What stands in a padded place then makes no difference:

# %% tags=["nbval-check-output"]
q, k, v = (torch.randn(1, n, 8, generator=generator) for n in (3, 5, 5))
mask = torch.tensor([True, True, True, False, False])
output, weights = attention(q, k, v, mask)
print("weights of the padded words:", weights[..., 3:].sum().item())
k[:, 3:], v[:, 3:] = 1000.0, -1000.0
print("changed padding changes the output by", (attention(q, k, v, mask)[0] - output).abs().max().item())

# %% [markdown]
# ## What it costs
#
# $N$ queries and $T$ keys make an $N \times T$ matrix of weights. Between the places of a picture and themselves
# ($N = T = $ height × width) it grows with the *fourth* power of the picture's side. The **readable path** above makes
# that matrix, and so you can look at it. The **fast path** gives the same output without ever storing it: it works on
# blocks, and keeps the running sum of the softmax.

# %%
show.source(fast_attention)

# %%
lengths = [256, 512, 1024, 2048, 3072]
seconds = {"readable path": [], "fast path": []}
for n in lengths:
    q, k, v = torch.randn(3, 1, n, 64)
    for name, path in (("readable path", attention), ("fast path", fast_attention)):
        path(q, k, v)
        start = time.perf_counter()
        for _ in range(3):
            path(q, k, v)
        seconds[name].append((time.perf_counter() - start) / 3)
show.lines(
    lengths,
    {name: [1000 * s for s in times] for name, times in seconds.items()},
    xlabel="length (queries = keys)",
    ylabel="milliseconds",
    alt="Time of both paths against the length: it grows with the square of the length, the fast path's more slowly.",
)
show.table([{"length": n, "matrix of weights, MiB": 4 * n * n / 2**20} for n in (64, 1024, 4096, 16384)], digits=2)

# %% [markdown]
# **Notice** that a picture of 64×64 places already has 4,096 of them. That is why later systems attend at low
# resolutions only, or work in a smaller *latent* space (chapter 14). Words are few: *cross*-attention is cheap.
#
# ## The smallest text-to-image network
#
# Now let places ask words. Our network draws flowers at 16×16. Each of the 256 places has a query (what it wants to know,
# learned from where it is), each word of the caption a learned key and value; what a place takes home is decoded into
# its colour. Beside it, the same network with the *other* connection: all words averaged into one vector, which every
# place gets. (There is no noise: it draws the average of all flowers that fit a caption.)


# %%
class TinyPainter(nn.Module):
    """Numbers of words (B, T) -> pictures (B, 3, 16, 16); connection: "attention" or "mean"."""

    def __init__(self, words: int, connection: str, dim: int = 64, heads: int = 4):
        super().__init__()
        self.connection, self.heads = connection, heads
        line = torch.linspace(-1, 1, 16)
        yx = torch.cartesian_prod(line, line)  # where the places are, (256, 2); then as waves, (256, 16)
        self.where = torch.cat([f(k * torch.pi * yx) for k in (0.5, 1, 2, 3) for f in (torch.sin, torch.cos)], 1)
        self.places = nn.Linear(16, dim)
        self.embed = nn.Embedding(words, dim, padding_idx=0)
        self.to_q, self.to_k, self.to_v = (nn.Linear(dim, dim, bias=False) for _ in range(3))
        self.decode = nn.Sequential(nn.Linear(2 * dim, 128), nn.GELU(), nn.Linear(128, 3))

    def forward(self, tokens):
        words, mask = self.embed(tokens), tokens > 0  # (B, T, D), (B, T)
        places = self.places(self.where).expand(len(tokens), -1, -1)  # (B, 256, D)
        if self.connection == "attention":
            q, k, v = (
                f(x).unflatten(2, (self.heads, -1)).transpose(1, 2)  # (B, heads, ..., D / heads)
                for f, x in ((self.to_q, places), (self.to_k, words), (self.to_v, words))
            )
            found, self.weights = attention(q, k, v, mask[:, None, None])  # (B, heads, 256, ...)
            found = found.transpose(1, 2).flatten(2)  # (B, 256, D)
        else:
            found = self.to_v(words.sum(1) / mask.sum(1, keepdim=True))[:, None].expand_as(places)
        colours = torch.tanh(self.decode(torch.cat([places, found], 2)))  # (B, 256, 3)
        return colours.transpose(1, 2).unflatten(2, (16, 16))


# %% [markdown]
# The four **heads** are four attentions side by side, each with its own queries, keys and values of a quarter of the
# size: a place can look at the word for the background with one, and at the word for the petals with another. Short
# captions that name both, and a few seconds of training for each painter:

# %%
GROUNDS = {
    "sky": "against a blue sky",
    "meadow": "in the grass",
    "dusk": "at dusk",
    "night": "at night",
    "cream": "against a cream background",
}
KNOWN = vocabulary("flowers")
batch = next(flowers.batches("train", 16, 1200, n=1200))
tokens, _ = encode([f"a {truth['color']} flower {GROUNDS[truth['background']]}" for truth in batch.truth], KNOWN)


def trained(connection: str, steps: int = 160) -> tuple[TinyPainter, list[float]]:
    """A painter, and its mean loss over each tenth of the training."""
    torch.manual_seed(0)
    painter, losses = TinyPainter(1 + len(KNOWN), connection), []
    optimiser = torch.optim.Adam(painter.parameters(), 5e-3)
    for _ in range(steps):
        chosen = torch.randint(len(tokens), (48,))
        loss = F.mse_loss(painter(tokens[chosen]), batch.pictures[chosen])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    return painter, np.reshape(losses, (10, -1)).mean(1).tolist()


painters = {name: trained(name) for name in ("attention", "mean")}
show.lines(
    [16 * (i + 1) for i in range(10)],
    {name: losses for name, (_, losses) in painters.items()},
    xlabel="step",
    ylabel="squared error",
    alt="The loss of both painters over 160 steps: both fall, the one with attention faster.",
)

# %%
ASKED = [
    "a red flower at night",
    "a white flower in the grass",
    "a blue flower at dusk",
    "a yellow flower against a blue sky",
]
with torch.no_grad():
    drawn = torch.cat([painters[name][0](encode(ASKED, KNOWN)[0]) for name in ("attention", "mean")])
show.pictures(
    F.interpolate(drawn, scale_factor=8),
    [f"{name}: {caption}" for name in ("attention", "mean") for caption in ASKED],
    columns=4,
    inches=1.9,
    alt="Four captions drawn at 16x16 by both painters: soft flowers whose colour and ground follow the caption.",
)

# %% [markdown]
# ## Which word where?
#
# The readable path returned the weights, so we can look at them: for each word, how much each place consulted it
# (the strongest head).

# %%
asked = "a yellow flower against a blue sky"
painter = painters["attention"][0]
with torch.no_grad():
    picture = painter(encode([asked], KNOWN)[0])
weights = painter.weights[0].amax(0).T.unflatten(1, (16, 16))  # (T, 16, 16)
fig, axes = plt.subplots(1, 1 + len(weights), figsize=(11, 1.9))
axes[0].imshow((picture[0].permute(1, 2, 0) / 2 + 0.5).numpy())
axes[0].set_title("drawn", fontsize=9)
for axis, word, looks in zip(axes[1:], asked.split(), weights, strict=True):
    axis.imshow(looks.numpy(), cmap="magma", vmin=0, vmax=1)
    axis.set_title(word, fontsize=9)
for axis in axes:
    axis.axis("off")
show.figure(
    fig,
    alt="The drawn flower and, for each word of its caption, a map of the places that consult it: "
    "the words of the ground are consulted by other places than the word of the petals.",
)

# %% [markdown]
# **Notice** that nobody told the network where the sky is. Words that change nothing in the picture (*a*, *flower*)
# share what is left of the weight, because a softmax must spend all of it.
#
# ## Exercise: attention by hand
#
# Write the readable path yourself, for one query of shape `(d,)`, keys `(T, d)` and values `(T, e)`, in numpy. Take care
# that a score of 1,000 does not overflow. *(Ten minutes.)*


# %%
def attend(query: np.ndarray, keys: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The mixture of values (e,) for one query."""
    # your code here
    return np.full(values.shape[1], np.nan)


# %%
def check(answer) -> str:
    """What is right, or what is wrong with it."""
    rng = np.random.default_rng(0)
    for name, scale in (("small scores", 1.0), ("scores in the thousands", 4000.0)):
        query, keys, values = scale * rng.normal(size=4), rng.normal(size=(6, 4)), rng.normal(size=(6, 3))
        right = attention(*(torch.from_numpy(x) for x in (query[None], keys, values)))[0][0].numpy()
        if not np.allclose(answer(query, keys, values), right):
            return f"not yet: with {name} it gives {answer(query, keys, values)}, and should give {right}"
    return "right"


print(check(attend))

# %% [markdown]
# **Solution** (folded: click the dots, or the bar, to open it)


# %% jupyter={"source_hidden": true} tags=["nbval-check-output"]
def attend_solution(query: np.ndarray, keys: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The mixture of values (e,) for one query."""
    scores = keys @ query / np.sqrt(len(query))
    weights = np.exp(scores - scores.max())
    return weights @ values / weights.sum()


print(check(attend_solution))

# %% [markdown]
# ## What came next
#
# In 2016 the field did *not* yet connect text and picture so: the first GANs that draw captions (the next chapter)
# squeeze the caption into one vector again. Attention over words returns with AttnGAN (chapter 06), and with diffusion
# (chapter 14) it has come to stay.
