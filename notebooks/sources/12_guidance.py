# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   t2i:
#     chapter: "12"
#     title: Guidance
#     year: 2021
#     system: classifier, CLIP and classifier-free guidance
#     promise: push a diffusion model towards what was asked for in three ways, draw the curve of quality against obedience, and say what too strong a push does
#     needs: two CPU cores, no network
#     minutes: 75
# ---

# %% [markdown]
# # 12 · Guidance: a knob for obedience (2021)
#
# **After this chapter you will be able to**
# * steer a diffusion model that was never told about classes, with the gradient of a classifier that knows noise,
# * do the same with CLIP and a caption,
# * do it without either, by asking the model twice, and
# * draw the curve of quality against obedience, and explain what happens at its far end.
#
# *Walks through the lecture's three kinds of guidance and its curves of FID against CLIP score. No GPU, no network; the
# README says how long it runs.*

# %%
from collections import Counter, deque

import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F

from t2i_course import judge, show, timeline, worlds
from t2i_course.diffusion import guidance, noisy_classifier
from t2i_course.diffusion import process as samplers
from t2i_course.judge.recogniser import load_recogniser
from t2i_course.nn.noise import noise
from t2i_course.worlds.base import to_uint8

system = timeline.load("ddpm")
flowers, birds = worlds.load("flowers"), worlds.load("birds")
side = system.size // system.autoencoder.factor
SHAPE = system.autoencoder.z, side, side  # of a picture: 8 x 8 places, each of 8 x 8 pixels in three colors
caption = "a pink flower with eight narrow petals at night"
scales = (0, 1, 3, 8)
show.pictures(
    torch.cat([system.draw([caption] * 3, seed=4, guidance_scale=s, steps=12) for s in scales])[
        [k * 3 + i for i in range(3) for k in range(4)]
    ],
    [f"s = {s}" if i == 0 else "" for i in range(3) for s in scales],
    columns=4,
    inches=1.7,
    alt=f"Three seeds in rows, guidance scales 0, 1, 3 and 8 in columns, for '{caption}': from anything to a pink flower at night, and then to stripes.",
)

# %% [markdown]
# **Notice** the columns: without the caption anything comes; at 1 it is pink, and night; larger scales add contrast, and
# dark stripes where eight petals were asked for.

# %% [markdown]
# ## The story
#
# Early in 2021 diffusion models draw well, but GANs still win on ImageNet. GANs have a trick: at the cost of diversity
# they can draw only what is typical (truncation). In May Prafulla Dhariwal and Alex Nichol make one for diffusion of an
# idea of Sohl-Dickstein and others (2015) and Song and others (2020): let a classifier pull, and pull harder than
# Bayes' rule asks. *"Diffusion Models Beat GANs on Image Synthesis"* says the result in its title; its model is called
# ADM. In the same year Katherine Crowson lets CLIP pull, so that a *caption* can be given; in December so do Alex
# Nichol and his colleagues, with a CLIP that knows noise (GLIDE, chapter 13), and compare it with an idea of Jonathan
# Ho and Tim Salimans that needs nobody to pull at all (*"Classifier-Free Diffusion Guidance"*). People who are shown
# both prefer the latter, and nearly every diffusion model since has it.
#
# ## Bayes with a knob
#
# What is likely, given $y$? Bayes' rule, logarithm, gradient; the term that does not depend on $x$ falls away:
#
# $$ \nabla_x \log p(x \mid y) = \nabla_x \log p(x) + \nabla_x \log p(y \mid x) $$
#
# The first term, called the *score*, is what a diffusion model knows. Given $x_0$, $x_t$ is a Gaussian, so
# $\nabla_{x_t} \log q(x_t \mid x_0) = -(x_t - \sqrt{\bar\alpha_t}\, x_0) / (1 - \bar\alpha_t) = -\epsilon / \sqrt{1 -
# \bar\alpha_t}$, and the mean of that over all $x_0$ that are possible is the score. So the noise that the network
# predicts is the score but for a factor, $\epsilon_\theta = -\sqrt{1 - \bar\alpha_t}\; \nabla \log p(x_t)$. The second
# term is the gradient of a classifier. The knob $s$ multiplies it:
#
# $$ \hat\epsilon = \epsilon_\theta(x_t) - s\, \sqrt{1-\bar\alpha_t}\; \nabla_{x_t} \log p(y \mid x_t) $$
#
# ($t$ is left out as an argument. In chapter 11 $s$ was a timestep; here it is the scale, as in most code. The paper on
# classifier-free guidance counts from 0: its $w$ is $s - 1$.)

# %%
show.source(guidance.by_gradient)

# %% [markdown]
# ### The classifier has to know noise
#
# It is asked about $x_t$, which is mostly noise for most of the way. The judge's recogniser of this course reads nearly
# every clean picture right. And a noisy one? Beside it the small classifier of this chapter (the way down of a small
# U-Net, as ADM's is, with 17 classes: the colors of flowers, and of birds' breasts), which was trained on noisy
# pictures.

# %%
classifier, process = noisy_classifier.load(), system.process
recogniser = load_recogniser(flowers)
(batch,) = flowers.batches("val", system.size, 100, n=100, shuffle=False)
classes = torch.tensor([noisy_classifier.class_of("flowers", truth["color"]) for truth in batch.truth])
levels, right = (0, 150, 300, 450, 600, 750, 900), {"recogniser, trained on clean pictures": [], "noisy classifier": []}
eps = torch.randn(batch.pictures.shape, generator=torch.Generator().manual_seed(0))
for t in levels:
    noisy = process.add_noise(batch.pictures, t, eps)
    read = [facts["color"] for facts in recogniser.read(noisy.clamp(-1, 1))]
    right["recogniser, trained on clean pictures"].append(
        np.mean([a == truth["color"] for a, truth in zip(read, batch.truth, strict=True)])
    )
    answers = classifier(system.autoencoder.encode(noisy), torch.full((100,), t)).argmax(1)
    right["noisy classifier"].append((answers == classes).float().mean().item())
right["chance of the recogniser"] = [1 / len(flowers.attributes["color"])] * len(levels)
show.lines(
    levels,
    right,
    xlabel="timestep",
    ylabel="colors named right",
    inches=(6, 2.4),
    alt="How many colors are named right against the timestep: the clean recogniser fails early, the noisy one late.",
)

# %% [markdown]
# **Notice** that the classifier that knows noise is the worse one on clean pictures, and the better one as soon as there
# is noise.

# %% [markdown]
# ### Let it pull
#
# The diffusion model gets *no caption* (an empty one); only the classifier knows what we want.


# %%
def drawn_by(denoise, n: int, seed: int, steps: int = 25) -> torch.Tensor:
    """Pictures (n, 3, 64, 64), by DDIM."""
    way = samplers.ddim(system.process, denoise, noise(seed, n, *SHAPE), system.timesteps(steps, "ddim"), clip=1.0)
    with torch.no_grad():
        ((z, _),) = deque(way, maxlen=1)
    return system.decode(z)


def without_caption(x: torch.Tensor, t: int) -> torch.Tensor:
    """The model's answer when it is not told what the picture shows."""
    with torch.no_grad():
        return system.unet(x, torch.full((len(x),), t), system.read([""] * len(x)))


n, wanted, rows, pictures = 8, noisy_classifier.class_of("flowers", "red"), [], []
likes_red = guidance.classified(classifier, torch.full((n,), wanted))
for s in (0, 1, 3, 10):
    drawn = drawn_by(guidance.by_gradient(without_caption, system.process, likes_red, s), n, seed=0)
    pictures.append(drawn)
    read = [facts["color"] for facts in recogniser.read(drawn)]
    rows.append({"s": s, "read as red, of 8": sum(color == "red" for color in read)})
    rows[-1]["at night"] = sum(facts["background"] == "night" for facts in recogniser.read(drawn))
show.pictures(
    torch.cat(pictures),
    [f"s = {row['s']}" if i == 0 else "" for row in rows for i in range(n)],
    columns=8,
    inches=1.1,
    alt="Eight seeds in columns, four guidance scales in rows: anything at scale 0, and more red flowers at higher scales.",
)
show.table(rows)
truths = [flowers.truth(flowers.spec("train", i)) for i in range(3000)]
dark = {a: [t["background"] == "night" for t in truths if (t["color"] == "red") == a] for a in (True, False)}
print(
    f"of the flowers to learn from, {np.mean(dark[True]):.0%} of the red ones are at night, of the others {np.mean(dark[False]):.0%}"
)

# %% [markdown]
# **Notice** that nobody asked for a night, but most skies become dark, although red flowers are hardly more often at
# night than others. The push may come from what makes the *classifier* sure, which is not what is typical; and from the
# first steps, where hardly any picture is left and the smallest gradient is enlarged most (to move the guess of the
# picture it is divided by $\sqrt{\bar\alpha_t}$). (Birds become
# flowers because the class *is* a red flower.) And notice what it costs: a second network, its gradient at every step,
# and one classifier for every question that one might ask. Nobody has a classifier for captions.
#
# ## CLIP pulls
#
# But there is a network that says how well *any* caption fits: CLIP (chapter 10). GLIDE trains one on noisy pictures,
# and takes the scaled cosine of picture and caption in the place of $\log p(y \mid x_t)$. Ours comes from chapter 10.
# The last row asks the clean CLIP that it was made from.

# %%
from t2i_course.text.clip import CLIP, prepared

show.source(guidance.fitting)
clips = {"noisy": CLIP.load("noisy"), "clean": CLIP.load("small")}  # the second has never seen noise
text = "a blue flower on a meadow"
tokens = clips["noisy"].tokens([text])  # both have the same words


def seen(x: torch.Tensor) -> torch.Tensor:
    """What a CLIP gets to see of noisy, folded pictures."""
    return prepared(system.autoencoder.decode(x), 64)


fit = {
    "noisy": guidance.fitting(lambda x, t: clips["noisy"].similarity(seen(x), tokens, t)),
    "clean": guidance.fitting(lambda x, t: clips["clean"].similarity(seen(x), tokens)),
}
rows, pictures = [], []
for name, s in (("noisy", 0), ("noisy", 2), ("noisy", 8), ("clean", 8)):
    drawn = drawn_by(guidance.by_gradient(without_caption, system.process, fit[name], s), n, seed=0)
    pictures.append(drawn)
    read = recogniser.read(drawn)
    rows.append({"CLIP": name, "s": s, "read as blue, of 8": sum(facts["color"] == "blue" for facts in read)})
    rows[-1]["on a meadow"] = sum(facts["background"] == "meadow" for facts in read)
    sees = clips["clean"].similarity(prepared(drawn, 64), tokens) / clips["clean"].log_scale.exp()
    rows[-1]["cosine, by the clean CLIP"] = sees.mean().item()
show.pictures(
    torch.cat(pictures),
    [f"{row['CLIP']}, s = {row['s']}" if i == 0 else "" for row in rows for i in range(n)],
    columns=8,
    inches=1.1,
    alt=f"Eight seeds in columns: a noisy CLIP at three scales, and a clean one, pull pictures towards '{text}'.",
)
show.table(rows)

# %% [markdown]
# **Notice** the last row: the clean CLIP pulls with the same $s$, and to little avail. In the noise it does not see
# what is there, so what it asks for is not what would show. (It can pull if it looks at the model's guess of $x_0$
# instead, with the gradient through the model.) From $s = 2$ to 8 more blue appears, also in flowers that the
# recogniser still calls yellow or white: it names one color, CLIP is pleased by blue anywhere.
#
# ## Nobody pulls: ask twice
#
# Ho and Salimans read Bayes' rule backwards. The classifier's gradient is the *difference* of two scores, $\nabla \log
# p(y \mid x) = \nabla \log p(x \mid y) - \nabla \log p(x)$, and a model that was trained with captions, one in ten of
# which was left out, knows both. So the same network is asked with the caption and without, and what the caption
# *changed* is exaggerated:
#
# $$ \hat\epsilon = \epsilon_\theta(x_t) + s\,\big(\epsilon_\theta(x_t, y) - \epsilon_\theta(x_t)\big) $$
#
# $s = 0$ forgets the caption, $s = 1$ is the model as it was trained, more is guidance. Both questions go in one batch:

# %%
show.source(guidance.classifier_free)

# %% [markdown]
# What does the caption change, and when? The difference of the two answers, as a picture, along the way:

# %%
context, null = system.read([caption]), system.read([""])
shown, titles = [], []
for z, _ in system.latents([caption], seed=4, steps=20, sampler="ddim"):
    shown.append(z)
ts = system.timesteps(20, "ddim")
differences = []
with torch.no_grad():
    for k in (0, 4, 8, 12, 16):
        z, t = (noise(4, 1, *SHAPE) if k == 0 else shown[k - 1]), torch.tensor([ts[k]])
        with_caption, without = (system.process.split(system.unet(z, t, c), z, t)[0] for c in (context, null))
        differences += [system.decode(with_caption), system.decode(without)]
        differences.append((2 * (differences[-2] - differences[-1])).clamp(-1, 1))
        titles += [f"t = {ts[k]}: asked for", "without caption", "difference"]
show.pictures(
    torch.cat([differences[i] for row in range(3) for i in range(row, 15, 3)]),
    [titles[i] for row in range(3) for i in range(row, 15, 3)],
    columns=5,
    inches=1.5,
    alt="The guess of the picture with the caption, without it, and their difference, at five timesteps.",
)

# %% [markdown]
# (In the differences gray is none; they are shown twice as strong as they are.) **Notice** that the caption matters
# most at the beginning. Later it can be seen in the picture itself what it shows, and the two answers agree.
#
# ## Quality against obedience
#
# The lecture's curves: how much of the caption is kept, and how far the pictures are from true ones, for each $s$. (FID
# is the distance between two Gaussians, fitted to what the judge's recogniser sees in drawn and in true pictures: lower
# is nearer.) Measured once by the command that the title names; one point is measured again here. The dotted lines are
# those of true pictures, the bars one standard error.

# %%
import json

from t2i_course.paths import DATA

measured = json.loads((DATA / "benchmarks" / "guidance.json").read_text())
curve = measured["curves"]["ddpm"]
fig, axes = plt.subplots(1, 3, figsize=(11, 2.8))
for axis, (x, y) in zip(
    axes, (("guidance_scale", "accuracy"), ("guidance_scale", "fid"), ("accuracy", "fid")), strict=True
):
    for world in ("flowers", "birds"):
        points = [row for row in curve if row["world"] == world and (x != "accuracy" or row["guidance_scale"])]
        bars = [p["standard_error"] for p in points] if y == "accuracy" else None
        (line, *_) = axis.errorbar(
            [p[x] for p in points], [p[y] for p in points], bars, fmt="o-", label=world, lw=1.5, ms=4
        )
        if y == "fid":
            axis.axhline(points[0]["true_fid"], color=line.get_color(), ls=":", lw=1)
        for p in points:
            if x == "accuracy" and p["guidance_scale"] in (1, 3, 8, 12):
                axis.annotate(f"{p['guidance_scale']:g}", (p[x], p[y]), (3, 3), textcoords="offset points", fontsize=7)
    named = {"accuracy": "facts kept", "fid": "FID (world)", "guidance_scale": "guidance scale"}
    axis.set(xlabel=named[x], ylabel=named[y])
    axis.spines[["top", "right"]].set_visible(False)
axes[0].legend(frameon=False)
fig.suptitle(
    f"{measured['command'].replace('SYSTEM --worlds WORLD', 'ddpm')}: {curve[0]['n']} captions for each point, {curve[0]['steps']} steps",
    fontsize=9,
)
fig.tight_layout()
show.figure(
    fig,
    "Facts kept and FID against the guidance scale, and FID against facts kept with the scale beside each point (from 1 on), "
    "for flowers and birds, beside the FID of true pictures.",
)

# %%
for world in ("flowers", "birds"):
    points = [row for row in curve if row["world"] == world]
    best, nearest = (max(points, key=lambda p: p["accuracy"]), min(points, key=lambda p: p["fid"]))
    as_good = [
        f"{p['guidance_scale']:g}" for p in points if p["accuracy"] > best["accuracy"] - 1.5 * best["standard_error"]
    ]
    print(
        f"{world}: most facts, {best['accuracy']:.2f}, at s = {best['guidance_scale']:g} (with s = 1 {points[1]['accuracy']:.2f}); "
        f"hardly to be told from it: {', '.join(as_good)}; nearest to true pictures at s = {nearest['guidance_scale']:g}"
    )

# %% [markdown]
# **Notice** that some guidance also brings pictures nearer to true ones, those of flowers clearly, those of birds
# hardly; too much of it does the opposite. At s = 12 birds keep clearly fewer facts than at the best s, flowers
# perhaps, and both are far away. (With so few pictures FID is too high for all, also for true ones; only differences
# count.)

# %% [markdown]
# Which facts are these? Of flowers, with growing scales, beside what pictures of other captions would keep by chance:

# %%
points = [row for row in curve if row["world"] == "flowers" and row["guidance_scale"] in (1, 3, 5, 8)]
rows, asked = [], Counter(fact for i in range(points[0]["n"]) for fact in flowers.caption("test", i)[1])
for fact, by_chance in points[0]["chance_by_attribute"].items():
    rows.append({"fact": fact.replace("_", " "), "asked": asked[fact], "by chance": by_chance})
    rows[-1] |= {f"s = {p['guidance_scale']:g}": p["by_attribute"][fact] for p in points}
show.table(sorted(rows, key=lambda row: -row["s = 5"]), digits=2)

# %% [markdown]
# **Notice** what guidance can do and what it cannot. It exaggerates what the caption changes: arrangement, shape,
# number and pattern of the petals gain from s = 1 to 3. Pushed harder, size and color of the center seem to gain
# still, and the petals' color and their second one to lose, all of them at the limit of what so many facts can show. (Of sixty facts
# a tenth more or less may be chance, of forty even more.) The background had nothing left to gain.

# %%
texts = [flowers.caption("test", i)[0] for i in range(40)]
again = judge.caption_accuracy(system.draw(texts, seed=9, guidance_scale=3, steps=10), texts, flowers)
print(f"measured here, flowers, s = 3: {again.accuracy:.0%} of {again.facts} facts")

# %% [markdown]
# ## Where guidance distorts, and why
#
# What is exaggerated is not only what was meant. Look at a world of one dimension: data from two classes, around -1 and
# 1, and what guidance aims at if we ask for the one at 1, $p(x)\,p(y \mid x)^s$, as a density. (What a sampler arrives
# at is not quite that: the guided scores are not those of this density with noise; Bradley and Nakkiran 2024.)

# %%
x = torch.linspace(-5, 5, 400)
ours, other = (torch.exp(-((x - m) ** 2) / 2) for m in (1, -1))
joint = (ours + other) / 2
fig, axis = plt.subplots(figsize=(8, 2.4))
for s in (0, 1, 3, 30):
    density = joint * (ours / (ours + other)) ** s
    axis.plot(x, density / density.sum(), label=f"s = {s}")
axis.legend(frameon=False)
axis.set_yticks([])
axis.spines[["top", "right", "left"]].set_visible(False)
axis.set_xlabel("x")
show.figure(
    fig,
    "Four densities: s = 0 is all data, s = 1 the class around 1; for s = 3 and 30 the peak moves on, away from the other class.",
)

# %% [markdown]
# With growing $s$ the density moves *away from the other class*, to where fewer data are. In pictures that is a color
# that is purer than most true ones, and more contrast. Here is how much of the pictures lies at the end of the scale,
# black or white or pure in a channel, and how unlike each other pictures of the same caption are. The last row is of
# true pictures that keep the caption:

# %%
promised = flowers.facts(caption)
fitting = [i for i in range(20_000) if promised.items() <= flowers.truth(flowers.spec("train", i)).items()][:24]
true = worlds.base.to_float(np.stack([flowers.render(flowers.spec("train", i), 64) for i in fitting]))
rows = []
for s in (1, 3, 6, 12, "true pictures"):
    drawn = true if s == "true pictures" else system.draw([caption] * 24, seed=7, guidance_scale=s, steps=10)
    features = recogniser.features(drawn)
    rows.append({"s": s, "values at the end of the scale": (drawn.abs() > 0.98).float().mean().item()})
    rows[-1] |= {"contrast": drawn.std().item(), "distance of two pictures": torch.pdist(features).mean().item()}
show.table(rows, digits=3)

# %% [markdown]
# **Notice** that already at s = 1 drawn pictures of a caption are more alike than true ones (by the distance of what
# the recogniser sees in them); a push makes them more so, as it makes them typical, until at s = 12 they differ by
# their distortions. Remedies: limit the guess to $[-1, 1]$ (what `clip` does, in all of these; it is not enough), or to
# a percentile of it (Imagen's dynamic thresholding, chapter 13); guide only in the middle of the way, as it is the push
# through the most noise that makes all pictures alike (Kynkäänniemi et al. 2024); or train on more captions, so that
# less guidance is needed.
#
# ## Play


# %%
def paint(caption: str, without: str, s: float, seed: int) -> np.ndarray:
    """Four pictures: uint8 (H, W, 3)."""
    drawn = system.draw([caption] * 4, seed, guidance_scale=s, negative=without, steps=10)
    return show.grid(to_uint8(F.interpolate(drawn, scale_factor=3.0)), columns=4)


show.play(
    paint,
    caption="this bird is yellow with a black crown",
    without="",
    s=(0.0, 12.0, 0.5, 3.0),
    seed=(0, 50, 1, 0),
    alt="Four drawn birds; the caption, a caption to be pushed away from, the guidance scale and the seed can be changed.",
)

# %% [markdown]
# The second field is the *negative prompt*: it stands in the place of the empty caption, so the model is pushed away
# from it. Try "a bird in the snow".
#
# ## Exercise: guidance for two captions
#
# Liu and others (2022) let two captions pull at once: to the answer without a caption the two differences are added,
# each with the same $s$. Write it, with **one** call of the model. *(Ten minutes.)*


# %%
def two_captions(model, x, t, one, two, null, s):
    """The guided prediction (B, C, H, W); one, two and null are contexts (B, T, K), t is (B,)."""
    return model(x, t, one)  # your code here


# %%
def check(answer) -> str:
    """What is right, or what is wrong with it."""
    calls = []

    def model(x, t, context):
        calls.append(len(x))
        return x * context.square().mean((1, 2))[:, None, None, None] + t[:, None, None, None]

    x, t = torch.randn(3, 2, 4, 4), torch.tensor([1, 2, 3])
    values = 2.0, 3.7, 0.6
    for s in (0.5, 2.0, 3.0):
        calls.clear()
        found = answer(model, x, t, *(torch.full((3, 5, 2), v) for v in values), s)
        if len(calls) != 1:
            return f"not yet: the model was called {len(calls)} times"
        a, b, without = (v**2 for v in values)
        wanted = x * (without + s * (a - without) + s * (b - without)) + t[:, None, None, None]
        if found.shape != wanted.shape:
            return f"not yet: the shape is {tuple(found.shape)}, not {tuple(wanted.shape)}"
        if not torch.allclose(found, wanted, atol=1e-4):
            return f"not yet: with s = {s:g} the sum of the differences is another one"
    return "right"


print(check(two_captions))

# %% [markdown]
# **Solution** (folded: click the dots, or the bar, to open it)


# %% jupyter={"source_hidden": true} tags=["nbval-check-output"]
def two_captions_solution(model, x, t, one, two, null, s):
    """The guided prediction (B, C, H, W); one, two and null are contexts (B, T, K), t is (B,)."""
    a, b, without = model(torch.cat([x] * 3), torch.cat([t] * 3), torch.cat([one, two, null])).chunk(3)
    return without + s * (a - without) + s * (b - without)


print(check(two_captions_solution))

# %% [markdown]
# ## What came next
#
# With guidance a diffusion model does more of what it is told. What it could not do yet is draw *large*: at 256 x 256
# pixels a U-Net in pixels is slow, at 1024 x 1024 hopeless. One way out is a cascade of models, each enlarging what the
# one before has drawn (chapter 13); the other is to leave pixels altogether (chapter 14).
