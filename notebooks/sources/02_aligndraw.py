# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   t2i:
#     chapter: "02"
#     title: alignDRAW
#     year: 2015
#     system: alignDRAW
#     promise: explain how a network writes a picture on a canvas while it reads a caption, name the two parts of its variational loss, and measure what it can draw
#     needs: two CPU cores, no network
#     minutes: 90
# ---

# %% [markdown]
# # 02 · alignDRAW: a canvas and a caption
#
# **After this chapter you will be able to**
# * explain how a recurrent network writes a picture on a canvas, step by step, through a window,
# * say which words it looks at in each step, and read that off the network,
# * state the loss that it is trained with, a *variational bound*, and name its two parts, and
# * measure what the first neural text-to-image system can do, and what it cannot.
#
# *Walks through the lecture's first network. It needs no GPU and no network; the README says how long it runs.*

# %%
import math
import time

import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F

from t2i_course import show, timeline, worlds
from t2i_course.judge import caption_accuracy, ceiling
from t2i_course.text.words import encode, vocabulary
from t2i_course.vae import aligndraw, sharpen
from t2i_course.worlds.base import to_uint8

torch.set_num_threads(1)  # many small products, one after the other: a second thread would only get in the way
system = timeline.load("aligndraw")
CAPTIONS = [
    "this flower is against a dark sky and has purple petals",
    "a flower in the grass with white petals",
    "a small bird that is in a lake",
    "this big blue bird is flying",
]


def larger(pictures, times: int = 8):
    """The same pictures with larger pixels."""
    return F.interpolate(pictures, scale_factor=times)


show.pictures(
    larger(system.draw(CAPTIONS)),
    CAPTIONS,
    columns=4,
    inches=2.3,
    alt="Four captions drawn by the small alignDRAW at 32x32: soft pictures of two flowers and two birds.",
)

# %% [markdown]
# ## The story
#
# Toronto, 2015. Machine translation has just learned to *attend*, and captioning networks describe photographs. Elman
# Mansimov, Emilio Parisotto, Jimmy Ba and Ruslan Salakhutdinov turn captioning around: *"Generating Images from
# Captions with Attention"* (ICLR 2016). Generative adversarial networks exist, but are hard to train; a model named
# **DRAW** (Gregor et al. 2015) writes digits on a canvas like a hand with a brush. They make the brush listen.
#
# $$ c_t = c_{t-1} + \mathrm{write}(h^{dec}_t), \qquad x \approx \sigma(c_T) $$
#
# In each of $T$ steps the decoder $h^{dec}$ looks at the words, draws a random $z_t$, and adds something to the canvas
# $c$. Here is the canvas after each step; it is the same drawing as above, from its first stroke:

# %%
frames = list(system.frames(CAPTIONS))
row = [torch.cat(list(larger(frame, 5)), 2) for frame in frames]
show.film(
    to_uint8(torch.stack(row)),
    alt="A film of four canvases side by side: grey at first, then the ground appears, then the flower or the bird.",
)

# %% [markdown]
# ## The window
#
# Neither reading nor writing is done pixel by pixel. Five numbers set an $N \times N$ grid of Gaussian filters on the
# picture: where its centre is $(g_x, g_y)$, how far apart its filters are $(\delta)$, how blurred $(\sigma)$, how strong
# $(\gamma)$. Everything about the window is differentiable, and so the network *learns where to look*.

# %%
show.source(aligndraw.filter_bank)


# %%
def through_the_window(centre_x: float, centre_y: float, log_stride: float, log_variance: float) -> np.ndarray:
    """A bird, the window's filters on it, and what is read through them."""
    birds = worlds.load("birds")
    picture = torch.from_numpy(birds.render(birds.spec("train", 11), 32)).float() / 255  # (32, 32, 3)
    f_x, f_y, _ = aligndraw.filter_bank(torch.tensor([[centre_x, centre_y, log_stride, log_variance, 0.0]]), 32, 9)
    read = torch.einsum("na,abc,mb->nmc", f_y[0], picture, f_x[0]).clamp(0, 1)
    fig, axes = plt.subplots(1, 2, figsize=(6, 3))
    axes[0].imshow(picture)
    pixels = torch.arange(32).float()
    xs, ys = ((f @ pixels / f.sum(1).clamp(min=1e-3)) for f in (f_x[0], f_y[0]))
    axes[0].scatter(*np.meshgrid(xs, ys), s=9, color="#E4572E")
    axes[0].set(xlim=(-0.5, 31.5), ylim=(31.5, -0.5), title="picture and filters")
    axes[1].imshow(read)
    axes[1].set_title("what is read: 9 x 9")
    for axis in axes:
        axis.axis("off")
    fig.canvas.draw()
    drawn = np.asarray(fig.canvas.buffer_rgba())[..., :3].copy()
    plt.close(fig)
    return drawn


show.play(
    through_the_window,
    centre_x=(-1.0, 1.0, 0.1, 0.0),
    centre_y=(-1.0, 1.0, 0.1, -0.1),
    log_stride=(-2.0, 0.5, 0.1, -0.8),
    log_variance=(-2.0, 4.0, 0.5, 0.0),
    alt="A bird with a grid of nine by nine filters on it, and the nine by nine numbers that are read through them.",
)

# %% [markdown]
# Writing is the same thing backwards: a patch of $N \times N$ is spread over the canvas by the transposed filters,
# $F_y^\top\, \text{patch}\, F_x$.
#
# ## Which word now?
#
# A bidirectional LSTM turns the caption into one vector $h^{lang}_k$ for each word. Before each step the decoder weighs
# them, by a little network that scores each word against its state (this is *alignment*, the attention of 2014):
#
# $$ \alpha_{tk} \propto \exp\left( v^\top \tanh(U h^{lang}_k + W h^{dec}_{t-1} + b) \right), \qquad
#    s_t = \sum_k \alpha_{tk}\, h^{lang}_k $$

# %%
show.source(aligndraw.Align)

# %%
looks = system.explain(CAPTIONS)
fig, axes = plt.subplots(1, 2, figsize=(11, 3.2))
for axis, i in zip(axes, (0, 3), strict=True):
    words = looks["words"][i]
    axis.imshow(looks["attention"][i, :, : len(words)].T, cmap="magma", aspect="auto", vmin=0)
    axis.set_yticks(range(len(words)), words)
    axis.set_xlabel("step")
fig.tight_layout()
show.figure(fig, alt="For two captions, how much attention each word gets in each step of the drawing.")

# %% [markdown]
# **Notice** which words get most of the attention. A word is looked at if it saves nats, and what saves most is to know
# whether a flower or a bird is meant.
#
# ## The loss
#
# How likely is a picture $x$ under this model? The latents $z_1 \dots z_T$ are unknown, and there are too many to try.
# So, as in every *variational autoencoder*, a second network looks at the true picture and guesses them,
# $Q(z_t)$, and Jensen's inequality gives a bound that can be minimised:
#
# $$ -\log p(x \mid \text{caption}) \;\le\;
#    \underbrace{-\log p(x \mid c_T)}_{\text{reconstruction}}
#    + \sum_t \underbrace{\mathrm{KL}\big( Q(z_t) \,\|\, P(z_t) \big)}_{\text{what had to be told}} $$
#
# Read it as a letter to a friend who knows the caption and the model: the second part is the number of nats that it takes to
# tell the friend each $z_t$, beyond what he expected (his expectation $P$ is learned from the steps before); the first those to
# correct the resulting picture. In drawing, nobody tells: $z_t$ comes from $P$. (Strictly, that is so for pixels that are black or
# white. Ours are anything in between, and even of a perfect picture the cross-entropy is not 0 but the entropy of its pixels.)

# %%
show.source(aligndraw.AlignDRAW.steps, aligndraw.AlignDRAW.losses)

# %% [markdown]
# The bound of the shipped model on pictures that it never saw, in nats per picture (an empty canvas costs
# $3072 \ln 2$), with the caption, and with the caption of *another* picture. A wrong caption must cost more, or the model does
# not listen. In the last row what a perfect copy would cost; only what is above it can be learned:

# %%
KNOWN = vocabulary(*aligndraw.WORLDS)
batch = next(worlds.mixed_batches(aligndraw.WORLDS, "test", 32, 128, n=64))
rows = []
for name, captions in (("its own caption", batch.captions), ("another's", batch.captions[1:] + batch.captions[:1])):
    torch.manual_seed(0)
    with torch.no_grad():
        terms = system.model.losses(batch.pictures / 2 + 0.5, *encode(captions, KNOWN))
    rows.append({"caption": name} | {term: value.item() for term, value in terms.items()})
pixels = batch.pictures / 2 + 0.5
entropy = F.binary_cross_entropy(pixels, pixels, reduction="none").flatten(1).sum(1).mean().item()
rows.append({"caption": "(a perfect copy)", "loss": entropy})
for row in rows:
    row["above a perfect copy"] = row["loss"] - entropy
show.table(rows, digits=2)

# %% [markdown]
# ## Watch it learn
#
# The same network, from scratch, for twenty seconds, on the flowers alone. In so little time it learns what all flowers have in
# common, and the first words that matter.

# %%
torch.manual_seed(0)
student = aligndraw.AlignDRAW(aligndraw.Config(1 + len(KNOWN), steps=6, latent=32, hidden=160, language=48, align=64))
optimiser = torch.optim.Adam(student.parameters(), 3e-3)
stream = worlds.load("flowers").batches("train", 32, 48, n=1500, epochs=None)
batch, losses, snapshots, start = next(stream), [], [], time.perf_counter()
while (spent := time.perf_counter() - start) < 20:
    loss = student.losses(batch.pictures / 2 + 0.5, *encode(batch.captions, KNOWN))["loss"]
    optimiser.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(student.parameters(), 10.0)
    optimiser.step()
    losses.append(loss.item())
    if spent > 10 * len(snapshots):
        snapshots.append(aligndraw.Drawer(student, KNOWN).draw(CAPTIONS[:2]))
        student.train()
    batch = next(stream)
snapshots.append(aligndraw.Drawer(student, KNOWN).draw(CAPTIONS[:2]))
smooth = [float(np.mean(losses[i : i + 8])) for i in range(0, len(losses) - 8, 8)]
show.lines(
    [8 * i for i in range(len(smooth))],
    {"loss": smooth},
    xlabel="step",
    ylabel="nats per picture",
    alt="The variational bound falls quickly at first, and then more and more slowly.",
)
show.pictures(
    larger(torch.cat([torch.stack(snapshots)[:, i] for i in range(2)]), 5),
    [f"{min(10 * k, 20)} s: {caption}" for caption in CAPTIONS[:2] for k in range(len(snapshots))],
    columns=len(snapshots),
    inches=1.9,
    alt="Two captions drawn at the start of training and after each ten seconds: from grey to blurred flowers.",
)

# %% [markdown]
# ## Things that nobody has seen
#
# The paper's most famous picture shows *"a stop sign is flying in blue skies"*: no such photograph was in the training
# set. Our worlds keep a split `novel` with pairs of attributes that training never shows together. Above what the
# model draws for such captions, below the truth:

# %%
flowers = worlds.load("flowers")
novel = [flowers.caption("novel", i)[0] for i in range(5)]
true = np.stack([flowers.render(flowers.spec("novel", i), 160) for i in range(5)])
show.pictures(
    np.concatenate([to_uint8(larger(system.draw(novel), 5)), true]),
    novel + ["(true)"] * 5,
    columns=5,
    inches=1.9,
    alt="Five captions with pairs of attributes never seen in training, drawn in the upper row; the truth in the lower.",
)

# %% [markdown]
# ## What does the judge say?
#
# How many of the promised facts are found in the pictures (chapter 00), beside the chance of a true picture of another
# caption and the ceiling of the judge. The system of 2007 has no flower with white edges in its library; it is asked all the same.

# %%
N = 32
layout = timeline.load("picture_layout")
rows = []
for name in aligndraw.WORLDS:
    world = worlds.load(name)
    for split in ("test", "novel"):
        captions = [world.caption(split, i)[0] for i in range(N)]
        pictures = next(world.batches(split, 64, N, n=N, shuffle=False)).pictures
        rows.append(
            {
                "world": name,
                "split": split,
                "chance": caption_accuracy(pictures.roll(1, 0), captions, world).accuracy,
                "picture layout (2007)": caption_accuracy(layout.draw(captions, size=64), captions, world).accuracy,
                "alignDRAW (2015)": caption_accuracy(system.draw(captions), captions, world).accuracy,
                "ceiling": ceiling(world, split, N).accuracy,
            }
        )
show.table(rows, digits=2)

# %% [markdown]
# **Notice** how close it is to chance. The table of the bound says why: of what can be learned, the right caption saves a
# small part, so the loss hardly asks for it; nearly all of it is about pixels. And the pictures are blurred, because a
# reconstruction in the pixels asks for the *average* of all pictures that could have been meant. Nor was it trained to its end:

# %%
import json

from t2i_course.paths import DATA

record = json.loads((DATA / "weights" / "aligndraw.json").read_text())
print(f"{record['steps']:,} steps in {record['seconds'] / 60:.0f} minutes; its recipe has {aligndraw.recipe().steps:,}")

# %% [markdown]
# ## Sharpened afterwards
#
# The paper therefore lets another network draw the edges that are missing: one that was trained on true pictures to make up what a
# picture lost when it was made half as large and enlarged again, so well that a discriminator takes the result for true.

# %%
show.source(sharpen.Sharpener, sharpen.lowered, sharpen.losses)

# %%
blurred = system.draw(CAPTIONS)
sharp = sharpen.Sharpen.load()
show.pictures(
    larger(torch.cat([blurred, sharp(blurred, CAPTIONS)])),
    ["alignDRAW"] * len(CAPTIONS) + ["sharpened"] * len(CAPTIONS),
    columns=len(CAPTIONS),
    inches=1.7,
    alt="Upper row: what alignDRAW drew. Lower row: the same after the sharpener, with edges, and in part with other colors.",
)
rows = []
for name in aligndraw.WORLDS:
    captions = [worlds.load(name).caption("test", i)[0] for i in range(N)]
    drawn = system.draw(captions)
    for title, pictures in (("alignDRAW", drawn), ("sharpened", sharp(drawn, captions))):
        rows.append({"world": name, "pictures": title})
        rows[-1]["detail"] = (pictures - sharpen.lowered(pictures)).abs().mean().item()
        rows[-1]["facts kept"] = caption_accuracy(pictures, captions, worlds.load(name)).accuracy
show.table(rows, digits=3)

# %% [markdown]
# Sharper is not the same as more faithful: compare the last column. What a picture shows was decided before; the sharpener can
# only lose it, as where it changes a color. This small network
# was made to please a discriminator; the next systems (chapter 04) are nothing but adversarial.
#
# ## At full size
#
# `aligndraw.VARIANTS["full"]` is the network of the paper for MS-COCO. Most of its numbers are a dictionary:

# %% tags=["nbval-check-output"]
with torch.device("meta"):  # shapes without memory
    full = aligndraw.AlignDRAW(aligndraw.VARIANTS["full"])
total = sum(p.numel() for p in full.parameters())
words = sum(p.numel() for p in full.words.from_word.parameters())
print(f"full size: {total:,} parameters, {words:,} of them for {full.config.words:,} words")
print(f"small:     {sum(p.numel() for p in system.model.parameters()):,} parameters")

# %% [markdown]
# ## Exercise: what had to be told
#
# Write the KL divergence between two Gaussians, summed over the latent: `mu, log_sigma` of $Q$ and `mu_p, log_sigma_p` of $P$,
# tensors `(B, Z)` of *logarithms of standard deviations*. *(Ten minutes. Hint: begin with one number; the integral of
# $q \log q$ is minus the entropy.)*


# %%
def kl(mu, log_sigma, mu_p, log_sigma_p):
    """KL(Q || P) of each row, (B,)."""
    # your code here
    return torch.full((len(mu),), math.nan)


# %%
def check(answer) -> str:
    """What is right, or what is wrong with it."""
    mu, log_s, mu_p, log_p = torch.randn(4, 3, 5, generator=torch.Generator().manual_seed(0))
    for name, inputs in (
        ("two equal Gaussians", (mu, log_s, mu, log_s)),
        ("equal widths", (mu, log_s, mu_p, log_s)),
        ("equal centres", (mu, log_s, mu, log_p)),
        ("two different Gaussians", (mu, log_s, mu_p, log_p)),
    ):
        q, p = (torch.distributions.Normal(m, s.exp()) for m, s in (inputs[:2], inputs[2:]))
        right = torch.distributions.kl_divergence(q, p).sum(1)
        if answer(*inputs).shape != right.shape or not torch.allclose(answer(*inputs), right, atol=1e-4):
            return f"not yet: for {name} it gives {answer(*inputs).tolist()}, and should give {right.tolist()}"
    return "right"


print(check(kl))

# %% [markdown]
# **Solution** (folded: click the dots, or the bar, to open it)


# %% jupyter={"source_hidden": true} tags=["nbval-check-output"]
def kl_solution(mu, log_sigma, mu_p, log_sigma_p):
    """KL(Q || P) of each row, (B,)."""
    ratio = ((mu - mu_p) ** 2 + torch.exp(2 * log_sigma)) / torch.exp(2 * log_sigma_p)
    return 0.5 * (ratio - 1 - 2 * log_sigma + 2 * log_sigma_p).sum(1)


print(check(kl_solution))

# %% [markdown]
# ## What came next
#
# The look at the words was the better half of the idea. The next chapter takes it out of the network and looks at it
# alone; it is in nearly everything that came after. The blur went away with the *adversarial* loss, in chapter 04.
