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
# *Walks through the lecture's first network. It needs no GPU and no internet; the README says how long it runs.*

# %%
import math
import time

import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F

from t2i_course import show, timeline, worlds
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
# Compare them with their captions: a flower is a flower, a bird a bird, grounds are often, but not always, those asked
# for (where is the dark sky?), and of the colors little is right. Why, is a question of this chapter.
#
# ## The story
#
# Toronto, 2015. Machine translation has just learned to *attend*, and captioning networks describe photographs. Elman
# Mansimov, Emilio Parisotto, Jimmy Ba and Ruslan Salakhutdinov turn captioning around: *"Generating Images from
# Captions with Attention"* (ICLR 2016). Generative adversarial networks exist, but are hard to train; a model named
# **DRAW** (Gregor et al. 2015) writes digits on a canvas like a hand with a brush. They make the brush listen.
#
# $$ c_t = c_{t-1} + \mathrm{write}(h^{dec}_t), \qquad x \approx \mathrm{sigmoid}(c_T) $$
#
# In each of $T$ steps the decoder $h^{dec}$ looks at the words, draws a random $z_t$, and adds something to the canvas
# $c$ (how it *writes*, comes below). Here is the canvas after each step; it is the same drawing as above, from its
# first stroke:

# %%
frames = list(system.frames(CAPTIONS))
row = [torch.cat(list(larger(frame, 5)), 2) for frame in frames]
show.film(
    to_uint8(torch.stack(row)),
    alt="A film of four canvases side by side: gray at first, then grounds and the forms of flowers and birds appear.",
)

# %% [markdown]
# ## The window
#
# Neither reading nor writing is done pixel by pixel. Five numbers set an $N \times N$ grid of Gaussian filters on the
# picture: where its centre is $(g_x, g_y)$, how far apart its filters are $(\delta)$, how blurred $(\sigma)$, how
# strong $(\gamma)$. Everything about the window is differentiable, and so the network *can learn* where to look. With
# $F_x$ and $F_y$, $N$ filters over the columns and $N$ over the rows, a picture $x$ is read, and a patch of $N \times
# N$ written on the canvas, so:
#
# $$ \mathrm{read}(x) = \gamma\, F_y\, x\, F_x^\top, \qquad \mathrm{write} = \tfrac1\gamma\, F_y^\top\, \text{patch}\; F_x $$

# %%
show.source(aligndraw.filter_means, aligndraw.filter_bank)


# %%
def through_the_window(centre_x: float, centre_y: float, log_stride: float, log_variance: float) -> np.ndarray:
    """A bird, the window's filters on it, and what is read through them."""
    birds = worlds.load("birds")
    picture = torch.from_numpy(birds.render(birds.spec("train", 11), 32)).float() / 255  # (32, 32, 3)
    head = torch.tensor([[centre_x, centre_y, log_stride, log_variance, 0.0]])  # gamma is 1
    f_x, f_y, _ = aligndraw.filter_bank(head, 32, 9)
    read = torch.einsum("na,abc,mb->nmc", f_y[0], picture, f_x[0]).clamp(0, 1)
    fig, axes = plt.subplots(1, 2, figsize=(6, 3))
    axes[0].imshow(picture)
    axes[0].scatter(*np.meshgrid(*aligndraw.filter_means(head, 32, 9)[:, 0]), s=9, color="#E4572E")
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
# And where does the trained network write? Its windows in each step of the drawing above, from the first filter to the
# last:

# %%
heads = []  # (4, 5) of each step
hook = system.model.write_head.register_forward_hook(lambda _, __, head: heads.append(head))
system.draw(CAPTIONS)
hook.remove()
means = torch.stack([aligndraw.filter_means(head, 32, 9) for head in heads])  # (T, 2, 4, 9)
fig, axes = plt.subplots(1, 4, figsize=(9, 2.8), layout="constrained")
for i, axis in enumerate(axes):
    axis.imshow(to_uint8(frames[-1])[i], alpha=0.5)
    axis.add_patch(plt.Rectangle((-0.5, -0.5), 32, 32, fill=False, ec="gray"))
    for t, (x, y) in enumerate(means[:, :, i]):
        corners = [x[[0, -1, -1, 0, 0]], y[[0, 0, -1, -1, 0]]]
        axis.plot(*corners, color=plt.cm.viridis(t / (len(means) - 1)), lw=1)
    axis.set(xlim=(-6, 46), ylim=(38, -14))
    axis.axis("off")
fig.colorbar(plt.cm.ScalarMappable(plt.Normalize(1, len(means)), "viridis"), ax=axes, label="step")
show.figure(fig, "Each of the four drawings with twelve frames, one for each step's window, on it.")
widths = means[..., -1] - means[..., 0]
print(f"the windows are {widths.min():.0f} to {widths.max():.0f} pixels wide; the canvas has 32")

# %% [markdown]
# **Notice** that it hardly uses its freedom. DRAW's window went along the strokes of a digit like a hand; this one
# covers most of the canvas in each step, and wanders a little, in part beyond its edge. (Twelve windows of 9 by 9 pixels would not even reach
# every place once.)
#
# ## Which word now?
#
# A bidirectional LSTM turns the caption into one vector $h^{lang}_k$ for each word. Before each step the decoder weighs
# them, by a little network that scores each word against its state (this is *alignment*, the attention of 2014):
#
# $$ \alpha_{tk} \propto \exp\left( v^\top \tanh(U h^{lang}_k + W h^{dec}_{t-1} + b) \right), \qquad
#    s_t = \sum_k \alpha_{tk}\, h^{lang}_k $$
#
# With what it was told, $s_t$, and a latent $z_t$, which holds what no caption tells, the decoder takes its next step:
#
# $$ h^{dec}_t = \mathrm{LSTM}\big(h^{dec}_{t-1}, [z_t, s_t]\big), \qquad
#    z_t \sim P(z_t \mid h^{dec}_{t-1}) \text{ in drawing}, \quad z_t \sim Q(z_t \mid h^{enc}_t) \text{ in training} $$
#
# ($h^{enc}$ belongs to one more LSTM, which sees the true picture $x$ and what the canvas still lacks of it, $x -
# \mathrm{sigmoid}(c_{t-1})$, through the window.)

# %%
show.source(aligndraw.Align)

# %%
looks = system.explain(CAPTIONS)
fig, axes = plt.subplots(1, 2, figsize=(11, 3.2), layout="constrained")
for axis, i in zip(axes, (0, 3), strict=True):
    words = looks["words"][i]
    attention = looks["attention"][i, :, : len(words)].T
    steps = attention.shape[1]
    shown = axis.imshow(
        attention, cmap="magma", aspect="auto", vmin=0, vmax=0.5, extent=(0.5, steps + 0.5, len(words), 0)
    )
    axis.set_yticks(np.arange(len(words)) + 0.5, words)
    axis.set_xlabel("step")
fig.colorbar(shown, ax=axes, label="share of the attention (0.5 or more)")
show.figure(fig, alt="For two captions, how much attention each word gets in each step of the drawing.")

# %% [markdown]
# **Notice** *against* and *flying*: of the ground it is not *dark* or *sky* that is looked at, but the word before them,
# which may have heard of them from the LSTM that reads backwards; next come the words that say whether a flower or a bird
# is meant. Colors get an equal share at most. The loss will tell why.
#
# ## The loss
#
# How likely is a picture $x$ under this model? The latents $z_1 \dots z_T$ are unknown, and there are too many to try.
# So, as in every *variational autoencoder*, a second network looks at the true picture and guesses them, $Q(z_t)$, and
# Jensen's inequality gives a bound that can be minimised ($y$: the caption; `losses` takes one draw of $z$ for each
# picture in the place of the mean):
#
# $$ -\log p(x \mid y) \;\le\; \mathbb{E}_{z \sim Q} \Big[
#    \underbrace{-\log p(x \mid c_T)}_{\text{reconstruction}} + \sum_t \underbrace{\mathrm{KL}\big(
#    Q(z_t \mid x, z_{<t}, y) \,\|\, P(z_t \mid z_{<t}, y) \big)}_{\text{what had to be told}} \Big] $$
#
# Read it as a letter to a friend who knows the caption and the model: the second part is the number of nats that it
# takes to tell the friend each $z_t$, beyond what he expected (his expectation $P$ is learned from the steps before);
# the first those to correct the resulting picture. In drawing, nobody tells: $z_t$ comes from $P$. (Strictly, that is
# so for pixels that are black or white. Ours are anything in between, and even of a perfect picture the cross-entropy
# is not 0 but the entropy of its pixels.)

# %%
show.source(aligndraw.AlignDRAW.steps, aligndraw.AlignDRAW.losses)

# %% [markdown]
# The bound of the shipped model on pictures that it never saw, in nats per picture (an empty canvas costs $3072 \ln
# 2$), with their captions, and with those of *other* pictures. A wrong caption must cost more, or the model does not
# listen. In the last row what a perfect copy would cost; only what is above it can be learned:

# %%
KNOWN = vocabulary(*aligndraw.WORLDS)
batch = next(worlds.mixed_batches(aligndraw.WORLDS, "test", 32, 128, n=64))
pixels, halves = batch.pictures / 2 + 0.5, (batch.captions[:64], batch.captions[64:])  # flowers, then birds
told = {
    "its own caption": batch.captions,
    "another's, of the same world": [caption for half in halves for caption in half[1:] + half[:1]],
    "another's, of the other world": halves[1] + halves[0],
}
rows, costs = [], {}
for name, captions in told.items():
    torch.manual_seed(0)  # the same noise for all
    with torch.no_grad():
        parts = [system.model.losses(pixels[i : i + 8], *encode(captions[i : i + 8], KNOWN)) for i in range(0, 128, 8)]
    costs[name] = torch.stack([terms["loss"] for terms in parts])
    more = costs[name] - costs["its own caption"]
    rows.append({"caption": name} | {term: torch.stack([t[term] for t in parts]).mean().item() for term in parts[0]})
    rows[-1]["more than with its own"] = f"{more.mean():.1f} ± {more.std() / len(more) ** 0.5:.1f}"
entropy = F.binary_cross_entropy(pixels, pixels, reduction="none").flatten(1).sum(1).mean().item()
rows.append({"caption": "(a perfect copy)", "loss": entropy, "more than with its own": ""})
for row in rows:
    row["above a perfect copy"] = row["loss"] - entropy
show.table(rows, digits=1)
facts = [
    sum(np.log(len(world.attributes[name])) for name in promised)
    for world, part in zip(map(worlds.load, aligndraw.WORLDS), (batch.facts[:64], batch.facts[64:]), strict=True)
    for promised in part
]
print(f"the facts of a caption, were all values as likely: {np.mean(facts):.1f} nats")

# %% [markdown]
# **Notice** what it costs to mistake a bird for a flower, and what to mistake one flower for another. The facts of a
# caption are worth a few nats (the last line says how many); from an empty canvas to a perfect copy it is hundreds. So
# the loss asks for the facts late, and first for those that fill the picture. (A wrong caption can cost more than all
# facts are worth: it does not say nothing, it misleads.) How much do caption and noise decide in a drawing? Each is
# changed alone:

# %%
ONE = "this flower is against a dark sky and has purple petals"
first = system.draw([ONE])
others = {
    "other noise": system.draw([ONE], seed=1),
    '"white" for "purple"': system.draw([ONE.replace("purple", "white")]),
    '"in the grass" for "against a dark sky"': system.draw([ONE.replace("against a dark sky", "in the grass")]),
    '"bird" for "flower", "breast" for "petals"': system.draw(
        [ONE.replace("flower", "bird").replace("petals", "breast")]
    ),
}
show.table([{"changed": name, "mean change of a pixel": (y - first).abs().mean().item()} for name, y in others.items()])
show.pictures(
    larger(torch.cat([first, *others.values()]), 5),
    ["as above", *others],
    columns=5,
    inches=1.9,
    alt="A drawing; the same with other noise; with another color, another ground, and with a bird for the flower.",
)

# %% [markdown]
# **Notice** that the first drawing has no dark sky at all. Compare the first row of the table with the others: other
# noise changes as much as another ground does, so most of a drawing is left to it.

# %% [markdown]
# ## Watch it learn
#
# The same network, smaller and from scratch, on the flowers alone. In so little time it learns what all flowers have in
# common. (Both drawings begin with the same noise.)

# %%
torch.manual_seed(0)
student = aligndraw.AlignDRAW(aligndraw.Config(1 + len(KNOWN), steps=6, latent=32, hidden=160, language=48, align=64))
optimiser = torch.optim.Adam(student.parameters(), 3e-3)
stream = worlds.load("flowers").batches("train", 32, 48, n=1500, epochs=None)
STEPS, EVERY = 140, 70
losses, snapshots, start = [], [], time.perf_counter()
for step in range(STEPS + 1):
    if step % EVERY == 0:
        drawer = aligndraw.Drawer(student, KNOWN)
        snapshots.append(torch.cat([drawer.draw([caption]) for caption in CAPTIONS[:2]]))
    if step == STEPS:
        break
    batch = next(stream)
    loss = student.losses(batch.pictures / 2 + 0.5, *encode(batch.captions, KNOWN))["loss"]
    optimiser.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(student.parameters(), 10.0)
    optimiser.step()
    losses.append(loss.item())
print(f"{STEPS} steps of 48 pictures in {time.perf_counter() - start:.0f} seconds")
smooth = [float(np.mean(losses[i : i + 7])) for i in range(0, STEPS, 7)]
show.lines(
    [7 * i for i in range(len(smooth))],
    {"loss": smooth},
    xlabel="step",
    ylabel="nats per picture",
    alt="The variational bound falls quickly at first, and then more and more slowly.",
)
show.pictures(
    larger(torch.cat([torch.stack(snapshots)[:, i] for i in range(2)]), 5),
    [f"step {EVERY * k}: {caption}" for caption in CAPTIONS[:2] for k in range(len(snapshots))],
    columns=len(snapshots),
    inches=1.9,
    alt="Two captions drawn at the start of training, in its middle and at its end: from gray to blurred flowers.",
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
# The grounds are there, where they are told; shapes, patterns and most of the colors are not. But neither are they with
# well-known pairs, above, so this is no test of novelty yet. Later chapters come back to this split.
#
# ## What does the judge say?
#
# How many of the promised facts are found in the pictures of 500 captions of each split (chapter 00; ±: one standard error
# of *test*), beside true pictures, of their own captions (the ceiling) and of others (chance). Captions of *novel* always
# name a pair that training withheld, so their pictures have more in common, and chance is higher there; *its pair* says
# how often both of the pair were drawn. Two more columns: **FID** says how far the pictures are from true ones, as the
# features of the judge's network see them (lower is better), and **diversity** how unlike each other the pictures of one
# caption are (eight for each of 25 captions of *test*), as a share of how unlike true pictures of other captions are.
# That takes minutes, so it was done beforehand (`python -m t2i_course.judge.standings aligndraw`). The system of 2007
# can only paste pictures that its library holds; it is asked all the same.

# %%
from t2i_course.judge import standings

show.table(standings.table(("picture_layout", "aligndraw")), digits=2)

# %% [markdown]
# **Notice** how little is kept beside the ceiling: clearly more than by chance, but for birds of the split *novel*, where
# a true picture of another caption keeps as much. The pictures are diverse, and that is no merit without facts. They are
# blurred, because every pixel answers for itself, and z was told only some nats (the column "kl" above) of where things
# are: what it does not say is averaged. How long it was trained:

# %%
import json

from t2i_course.paths import DATA

record = json.loads((DATA / "weights" / "aligndraw.json").read_text())
print(f"{record['steps']:,} steps in {record['seconds'] / 60:.0f} minutes on {record['hardware']}")

# %% [markdown]
# ## Sharpened afterwards
#
# The paper therefore lets another network draw the edges that are missing, one level of a LAPGAN (Denton et al. 2015).
# It was trained on true pictures, to make up what each lost when it was made half as large and enlarged again, against a
# discriminator that knows the true ones; and it is told the caption, too.

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
    alt="Upper row: what alignDRAW drew. Lower row: the same after the sharpener, with edges and speckle, and in part with "
    "other colors.",
)

# %% [markdown]
# *Detail* is what is lost when a picture is made half as large: the mean of $|x - \mathrm{lowered}(x)|$. How much of it
# is there, and how much of what the sharpener changes is not detail (what of the change is left when it is lowered)?

# %%
from t2i_course.judge.caption_accuracy import compare, standard_error
from t2i_course.judge.recogniser import load_recogniser


def facts_kept(pictures, captions: list[str], world) -> str:
    """The share of the captions' facts that is found in pictures, with its standard error."""
    facts, found = [world.facts(caption) for caption in captions], load_recogniser(world).read(pictures)
    return f"{compare(facts, found).accuracy:.2f} ± {standard_error(facts, found):.2f}"


rows, n = [], 64
for name in aligndraw.WORLDS:
    world = worlds.load(name)
    captions = [world.caption("test", i)[0] for i in range(n)]
    true = next(world.batches("test", 32, n, n=n, shuffle=False)).pictures
    drawn = system.draw(captions)
    sharpened = sharp(drawn, captions)
    for title, pictures in (("true", true), ("true, lowered", sharpen.lowered(true)), ("alignDRAW", drawn)):
        rows.append({"world": name, "pictures": title})
        rows[-1]["detail"] = (pictures - sharpen.lowered(pictures)).abs().mean().item()
        rows[-1] |= {"changed": "", "of it no detail": "", "facts kept": facts_kept(pictures, captions, world)}
    change = sharpened - drawn
    rows.append({"world": name, "pictures": "sharpened"})
    rows[-1]["detail"] = (sharpened - sharpen.lowered(sharpened)).abs().mean().item()
    rows[-1]["changed"] = change.abs().mean().item()
    rows[-1]["of it no detail"] = sharpen.lowered(change).abs().mean().item()
    rows[-1]["facts kept"] = facts_kept(sharpened, captions, world)
show.table(rows, digits=3)

# %% [markdown]
# **Notice** that there is more detail, and that the facts are, within the error, what they were. (The 64 captions
# are the first of the 500 above, so the numbers differ by chance.) The code calls what it adds `edges`, but nothing in
# the loss holds the sharpener to them: most of what it changes is color. This small network was made to please a
# discriminator; chapter 04 begins with discriminators alone.
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
# Write the KL divergence between two Gaussians, summed over the latent: `mu, log_sigma` of $Q$ and `mu_p, log_sigma_p`
# of $P$, tensors `(B, Z)` of *logarithms of standard deviations*. *(Ten minutes. Hint: begin with one number; the
# integral of $q \log q$ is minus the entropy.)*


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
