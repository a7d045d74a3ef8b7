# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   t2i:
#     chapter: "14"
#     title: Latent diffusion
#     year: 2021
#     system: diffusion in the latents of an autoencoder
#     promise: say what an autoencoder keeps and what it throws away, measure what leaving pixels saves, and draw pictures of 128 x 128 pixels, and wider ones, from captions of all three worlds
#     needs: two CPU cores, no network
#     minutes: 75
# ---

# %% [markdown]
# # 14 · Latent diffusion: leave the pixels (2021)
#
# **After this chapter you will be able to**
# * say which part of a picture is costly and worth little, and measure it,
# * say by which four terms an autoencoder is trained whose latent a diffusion model can learn, and what KL and VQ change,
# * calculate what it saves to draw latents in place of pixels, and
# * draw wider than anything that the model has ever seen, and say why that works.
#
# *Walks through the lecture's latent diffusion: two stages, KL against VQ, cross-attention to a reader of captions. No
# GPU, no network; the README says how long it runs.*

# %%
import time

import numpy as np
import torch
import torch.nn.functional as F

from t2i_course import show, timeline, worlds
from t2i_course.codec.autoencoder import SMALL, VARIANTS, Autoencoder
from t2i_course.diffusion.small import SMALL as MODELS
from t2i_course.judge import caption_accuracy
from t2i_course.nn.unet import UNet
from t2i_course.worlds.base import to_uint8

system = timeline.load("latent_diffusion")
every = [worlds.load(name) for name in worlds.NAMES]
CAPTIONS = [
    "a purple flower with a yellow centre",
    "a flower with round white petals at night",
    "this small bird has a red breast and a yellow bill",
    "a blue bird that is in the snow",
    "a dog is on the street",
    "a boat on the sea at sunset",
]
show.pictures(
    system.draw(CAPTIONS, seed=2),
    CAPTIONS,
    columns=3,
    inches=2.6,
    alt="Two flowers, two birds and two scenes at 128 x 128 pixels, drawn by the small latent diffusion model.",
)

# %% [markdown]
# Less than an hour and a half of one core is little for pictures of this size from three worlds. Whether it is a
# flower, a bird or a scene, its light, its place and the larger colors are mostly as asked for; small parts melt into
# each other, and what a scene should contain is hardly ever there. How much is kept, the judge says at the end of the chapter.
#
# ## The story
#
# By the end of 2021 diffusion models draw better than GANs, and cost more than most people have: the best one of
# chapter 12 took hundreds of days of a V100 to train, and takes five days of an A100 to draw 50,000 pictures. In
# Heidelberg and Munich Robin Rombach, Andreas Blattmann, Dominik Lorenz and Björn Ommer, with Patrick Esser, by now at
# Runway, have few GPUs, and an autoencoder: the VQGAN of chapter 9. Their transformer drew its codes one by one. Now
# they ask what happens if diffusion draws its latents, all at once. *"High-Resolution Image Synthesis with Latent
# Diffusion Models"* appears in December 2021. With a BERT-like reader and 400 million captioned pictures it draws what
# one writes; the large model follows in April 2022, with its weights. In August the same code is called Stable
# Diffusion (chapter 15).
#
# ## What is costly, and worth little
#
# Most of the numbers of a picture say what nobody looks at: the grain of the paper, the exact course of an edge. The
# paper calls removing it *perceptual compression*, and it is easy: an autoencoder does it, once and for all. What is
# left, that this is a bird and where it sits, is *semantic*; that is what diffusion is for. So there are two stages:
#
# $$ z = E(x), \qquad \hat{x} = D(z), \qquad x \in \mathbb{R}^{H \times W \times 3}, \quad z \in \mathbb{R}^{H/f \times W/f \times c} $$
#
# and everything of chapter 11, with $z_0 = k\, E(x)$ in the place of $x_0$ (a factor $k$ is explained below) and a
# caption $y$, which a reader $\tau_\theta$ reads:
#
# $$ z_t = \sqrt{\bar\alpha_t}\, z_0 + \sqrt{1-\bar\alpha_t}\, \epsilon, \qquad
#    L = \mathbb{E}_{(x, y), \epsilon, t} \big\lVert \epsilon - \epsilon_\theta(z_t,\, t,\, \tau_\theta(y)) \big\rVert^2 $$
#
# Our small one differs as that of chapter 11 does: it predicts $z_0$, not the noise; its schedule is a cosine, shifted
# to more noise; the loss weighs all timesteps about alike; fine detail passes by the network; each block also hears the
# caption as a whole; Muon is the optimiser. And drawing ends before t = 0:

# %% tags=["nbval-check-output"]
print(f"the guess that is made at t = {system.until} is the picture")

# %% [markdown]
#
# ## The autoencoder
#
# It halves height and width $\log_2 f$ times. These are the ones that were published, and ours:

# %%
OURS, rows = tuple(SMALL), []
for name, config in {**VARIANTS, **{name: SMALL[name] for name in OURS}}.items():
    with torch.device("meta"):
        size = sum(p.numel() for p in Autoencoder(config).parameters())
    f = 2 ** (len(config.mults) - 1)
    rows.append({"autoencoder": name, "f": f, "channels of the latent": config.z})
    rows[-1] |= {"numbers: picture / latent": 3 * f * f / config.z, "codes": config.codes or "(KL)"}
    rows[-1]["bits of a place"] = f"{np.log2(config.codes):.0f}" if config.codes else ""
    rows[-1]["parameters"] = f"{size:,}"
show.table(rows, digits=0)

# %% [markdown]
# The loss of an autoencoder has four terms. `pixels`: the copy should be right, pixel by pixel. `perceptual`: a trained
# network should see the same in both (in the paper LPIPS, here the course's CNN). `kl` or `vq`: the latent should be
# simple. `adversarial`: a discriminator should find every patch true. The third comes in two kinds. **KL**
# (Kullback-Leibler divergence): each place says how sure it is, and is pulled towards $N(0, 1)$, in the paper very
# gently; the latent stays continuous. **VQ** (vector quantisation): each place takes the nearest entry of a codebook.
# Diffusion needs something continuous, so it draws the vectors *before* that choice, and the codebook is the first
# layer of the decoder: whatever is drawn is moved to the nearest code. How strongly the discriminator pulls is chosen
# anew at each step, so that its gradient at the last layer is half as long as that of the reconstruction:
#
# $$ L = \underbrace{\lVert x - \hat x \rVert_1 + L_{\mathrm{perceptual}}}_{L_{\mathrm{rec}}} +
#    \beta\, L_{\mathrm{KL}} \;(\text{or } L_{\mathrm{VQ}}) + \tfrac12\, \lambda\, L_{\mathrm{adv}}, \qquad
#    \lambda = \frac{\lVert \nabla_{\mathrm{last}} L_{\mathrm{rec}} \rVert}
#    {\lVert \nabla_{\mathrm{last}} L_{\mathrm{adv}} \rVert + 10^{-4}} $$
#
# (A VQ's
# numbers in the table are those before that choice; after it a place is one code.)

# %%
from t2i_course.codec import losses as codec_losses

show.source(codec_losses.losses, codec_losses.adaptive_weight)

# %% [markdown]
# ## What the latent keeps
#
# Five small ones were trained for this course, on all three worlds: a KL and a VQ with $f = 4$ and with $f = 8$ each,
# and one more KL whose training asked for more, of which below. What comes back?

# %%
codecs = {name: Autoencoder.load(name) for name in OURS}
some = torch.cat([next(world.batches("val", 128, 2, n=2, shuffle=False)).pictures for world in every])
copies = {name: codec.decode(codec.encode(some)).clamp(-1, 1) for name, codec in codecs.items()}
shown = torch.cat([some, *copies.values()])
show.pictures(
    shown,
    [name.replace("_", " ") if i == 0 else "" for name in ("true", *copies) for i in range(len(some))],
    columns=6,
    inches=1.6,
    alt="Six true pictures in the first row; below, the copies of each small autoencoder: colors and large forms stay, lines "
    "blur, and small things melt.",
)

# %% [markdown]
# Now in numbers: how near the pixels are (PSNR, in decibels: 20 is poor, 30 good; SSIM: 1 is equal), how near the
# features (rFID: the world's own FID between pictures and their copies; 0 is equal), and what a caption is about: which
# share of the facts does the judge still read in the copies?

# %%
import json

from t2i_course.paths import DATA

measured = json.loads((DATA / "benchmarks" / "autoencoders.json").read_text())
show.table(
    [
        {
            "world": row["world"],
            "autoencoder": row["autoencoder"],
            "numbers": row["numbers"],
            "PSNR": row["psnr"],
            "SSIM": row["ssim"],
            "rFID (world)": row["rfid"],
            "facts read": row["accuracy"],
            "in true pictures": row["ceiling"],
        }
        for row in sorted(measured["rows"], key=lambda row: (row["world"], OURS.index(row["autoencoder"])))
    ],
    digits=2,
)
print(f"{measured['rows'][0]['n']} pictures of each world, measured by {measured['command']}")

# %% [markdown]
# **Notice** what goes: first lines, then what is small. With $f = 4$ you still see what each thing of a
# scene is; with $f = 8$ you often do not. The judge still reads nearly all facts: it was trained on these few kinds of
# things, and sees more in a blur than you do. And how much is left of a picture? A number of
# a KL latent carries about as many bits as the logarithm (to base 2) of how many values can be told apart in its own
# noise, a code of a VQ latent at most the logarithm of the size of its codebook. (The perplexity says how many codes
# are in use, as if all of them were used alike.)

# %%
many = torch.cat([next(world.batches("val", 128, 24, n=24, shuffle=False)).pictures for world in every])
rows = [{"": "the picture", "bits": some[0].numel() * 8.0, "perplexity of the codes": ""}]
for name, codec in codecs.items():
    z = codec.encode(many)
    rows.append({"": name, "perplexity of the codes": ""})
    if codec.quantizer:
        rows[-1]["bits"] = z[0, 0].numel() * np.log2(codec.config.codes)
        rows[-1]["perplexity of the codes"] = codec.quantizer.perplexity(codec.quantizer.indices(z)).item()
    else:
        mean, log_variance = codec.moments(many)
        ratio = mean.std((0, 2, 3)) / (log_variance / 2).exp().mean((0, 2, 3))
        rows[-1]["bits"] = z[0, 0].numel() * 0.5 * (1 + ratio.square()).log2().sum().item()  # of a Gaussian channel
show.table(rows, digits=0)

# %% [markdown]
# More bits need not be better: those of a VQ are the most that its codes could say, while neighbors repeat each other.
#
# Does the best copy come from the best latent? A diffusion model meets latents in noise. `small_kl_f8_aligned` is the
# same network as `small_kl_f8`, trained with that in mind: its decoder was given latents with up to as much noise as
# they vary, and from these a small head had to predict the features that the course's CNN finds in the picture (`noise`
# and `aligned` in the source above, after Yang and others, *"Latent Denoising Makes Good Visual Tokenizers"*, and Yao,
# Yang and Wang, *"Reconstruction vs. Generation"*, both of 2025). It also learned twice as long, and what the CNN sees
# weighs three times as much against pixels. What does the judge read in decoded noisy latents?

# %%
(few,) = every[1].batches("val", 128, 60, n=60, shuffle=False)
rows = []
for name in ("small_kl_f8", "small_kl_f8_aligned"):
    z = codecs[name].encode(few.pictures)
    eps = torch.randn(z.shape, generator=torch.Generator().manual_seed(0))
    rows.append({"autoencoder": name})
    for noise in (0.0, 0.5, 1.0, 1.5):
        noisy = codecs[name].decode(z + noise * z.std() * eps).clamp(-1, 1)
        rows[-1][f"noise {noise:g}"] = caption_accuracy(noisy, few.captions, every[1]).accuracy
show.table(rows, digits=2)

# %% [markdown]
# **Notice** that far more is read where there is much noise. It has a price where there is none: of the facts of birds
# hardly any are lost, of scenes more, and rFID rises (table above). The gain may be the latent, in which what counts is
# stronger, or the decoder, which has learned to look past noise; this table cannot tell them apart. Both are welcome:
# the latents that a small network draws are never quite right. (Noise in the latents' own standard deviations; birds
# only.)
#
# So the course's latent diffusion takes that one. In our KL autoencoders the KL term weighs much more than the paper's
# (0.5 instead of 0.000001), also so that their decoders meet noise. (It is counted for each number of the *picture*, so
# pixels still win: latents vary by more than 1, as is seen below.) How was it trained?

# %%
CODEC = MODELS["ldm"].codec
record = json.loads((DATA / "weights" / f"{CODEC}.json").read_text())
print(f"{CODEC}: {record['steps']:,} steps in {record['seconds'] / 60:.0f} minutes on {record['hardware']}")

# %% [markdown]
# What does a latent look like? Each of its channels is a small picture of its own:

# %%
codec = codecs[CODEC]
z = codec.encode(some[2:3])
channels = z[0] / z.abs().max()
show.pictures(
    torch.cat(
        [
            F.interpolate(some[2:3], size=64),
            channels[:, None].expand(-1, 3, -1, -1).repeat_interleave(4, 2).repeat_interleave(4, 3),
        ]
    ),
    ["x", *(f"channel {k}" for k in range(len(channels)))],
    columns=len(channels) + 1,
    inches=1.6,
    alt="A bird, and the channels of its latent as small gray pictures, in which the bird can be seen.",
)

# %% [markdown]
# It is still a picture: places stay where they were. That is why convolutions and attention over places work on it as
# they do on pixels, and why a part of it can be changed alone. Here the 16 places of the head are copied into the sky,
# then all are moved by three, and then the latent is mirrored:

# %%
moved = z.repeat(4, 1, 1, 1)
moved[1, :, 1:5, 2:6] = z[0, :, 7:11, 9:13]
moved[2] = z[0].roll(3, 2)
moved[3] = z[0].flip(2)
show.pictures(
    codec.decode(moved).clamp(-1, 1),
    ["as it was", "the head, twice", "3 places to the right", "the latent, mirrored"],
    columns=4,
    inches=1.9,
    alt="A copy; a copy with a patch from elsewhere; a copy that moved by 24 pixels; and the mirrored latent, whose decoded "
    "picture is nearly the mirrored bird, but with broken outlines.",
)

# %% [markdown]
# **Notice** the last one. Convolutions know about moving, not about mirroring: some channels say "an edge, dark on its
# left", and mirrored they say so in the wrong place, and outlines break. A latent is a picture *for its decoder*.
#
# One more number is needed. Diffusion adds noise of deviation 1, so what it drowns should vary as much. The latents of
# an autoencoder vary as they like; so they are multiplied with a constant $k$, once measured. Stable Diffusion's is
# 0.18215.

# %%
print(f"latents have a standard deviation of {1 / system.scale:.3f}, so they are multiplied with {system.scale:.3f}")

# %% [markdown]
# ## What it saves
#
# The same U-Net, on pixels and on latents. The work of its convolutions grows with the number of places, that of its
# attention (on the coarser level) with its square. (Ours folds 2 x 2 places of the latent into one, as diffusion
# transformers do with their patches.)

# %%
from dataclasses import replace

config, folded, rows = system.unet.config, system.autoencoder, []
sizes = {
    "pixels": (3, system.size),
    "pixels, folded 8 x 8 (as in chapter 11)": (3 * 64, system.size // 8),
    "pixels, folded 16 x 16": (3 * 256, system.size // 16),
    f"latents, f = {codec.factor}": (codec.z, system.size // codec.factor),
    "latents, folded 2 x 2 (ours)": (folded.z, system.size // folded.factor),
}
for name, (channels, side) in sizes.items():
    net = UNet(replace(config, channels=channels, out=channels))
    x, context = torch.randn(1, channels, side, side), torch.randn(1, 20, config.context_dim)
    seconds = {"one step of drawing": [], "one step of training": []}
    for _ in range(1 if side > 64 else 3):
        begin = time.perf_counter()
        with torch.no_grad():
            net(x, torch.tensor([500]), context)
        middle = time.perf_counter()
        net(x, torch.tensor([500]), context).square().mean().backward()
        for took, since, until in zip(seconds.values(), (begin, middle), (middle, time.perf_counter()), strict=False):
            took.append(until - since)
    rows.append({"U-Net on": name, "places": side * side, "numbers": x[0].numel()})
    rows[-1] |= {name: min(took) for name, took in seconds.items()}
    rows[-1]["times as fast to train"] = rows[0]["one step of training"] / rows[-1]["one step of training"]
show.table(rows, digits=2)

# %% [markdown]
# (Seconds for one picture.) **Notice** that what saves is to have *few places*, however they are made: folding pixels
# saves about as much. (The square of attention hardly shows, as it sits on the coarser level.) What the autoencoder
# adds is that a place holds 16 numbers, not 768, and that the U-Net need not learn what nobody looks at. Our own models
# do not prove that it pays: they differ in too much. The paper compares $f$ from 1 to 32 with as many parameters and as
# many steps (two million, on one A100): 4 and 8 are best. At $f = 1$ and 2 learning is slow, at 32 too little of the
# picture is left.
#
# A picture takes many steps, each with two questions (guidance), but only one pass of the decoder. Where does the time
# go?

# %%
begin = time.perf_counter()
*_, (z0, _) = system.latents(CAPTIONS[:4], seed=0)
middle = time.perf_counter()
system.decode(z0)
rows = [
    (f"{system.steps} steps of the U-Net", middle - begin),
    ("one pass of the decoder", time.perf_counter() - middle),
]
show.table([{"four pictures": name, "seconds": took} for name, took in rows])

# %% [markdown]
# Most of it goes into the U-Net.
#
# ## A reader, trained along
#
# The captions of chapter 11 were read by the DAMSM of chapter 06, which had been trained before. Here a small
# transformer learns to read together with the U-Net, from the same loss, as in the paper. Its words are the keys and
# values of the U-Net's cross-attention (chapter 03):

# %%
from t2i_course.text.bert import BERT

show.source(BERT)
reader = sum(p.numel() for p in system.read.module.parameters())
print(f"the reader: {reader:,} parameters, the U-Net: {sum(p.numel() for p in system.unet.parameters()):,}")

# %% [markdown]
# ## Taught by one who sees
#
# To denoise a picture one must first find out what it shows. The U-Net does learn that, but slowly, because the
# error of what it predicts is mostly one of edges and textures. Networks that were trained to *see* know it already. So
# in 2024 Sihyun Yu and others ask a network that learns to draw, during training alone, what such a network sees in the
# clean picture (REPA, "representation alignment"). Theirs, a transformer whose eighth block is asked about the features
# of DINOv2, needs a seventeenth of the steps. Ours is asked in the middle of the U-Net, and taught by the CNN of the
# GAN years (chapter 06). It is not the judge's, but it learned from the same attributes of flowers and birds, so what
# it sees is what captions speak of:

# %%
from t2i_course.diffusion import alignment
from t2i_course.nn.losses import likeness

show.source(alignment.head, alignment.with_middle, likeness)

# %% [markdown]
# Drawing is what it was: noise, a sampler, guidance. Only the last line is new, the decoder:

# %%
show.source(type(system).draw, type(system).decode)

# %% [markdown]
# The film of a drawing: after each step, the guess of its end, decoded. Already the first guess has the ground, the light
# and something red; the form comes later:

# %%
caption = "a red bird is on the grass"
frames = [to_uint8(frame)[0].repeat(2, 0).repeat(2, 1) for frame in system.frames([caption], seed=5, steps=30, every=1)]
show.film(
    np.stack(frames + frames[-1:] * 12),
    alt=f"The guesses for '{caption}', decoded after each of thirty steps: from a red blot on grass to something like a bird.",
)

# %% [markdown]
# ## Wider than ever seen
#
# No layer of the network has a fixed width: the same weights visit every place, however many there are. So let the
# noise be twice as wide. Below, the same captions at the size that was trained, 128 x 128:

# %%
wide = ["a yellow flower in a green meadow", "a red bird in the sky"]
show.pictures(
    system.draw(wide, seed=1, size=(128, 256)),
    wide,
    columns=2,
    inches=3.6,
    alt="Two pictures, twice as wide as those that the model was trained on.",
)
show.pictures(
    system.draw(wide, seed=1), wide, columns=2, inches=1.8, alt="The same captions, as wide as those pictures are high."
)

# %% [markdown]
# **Notice** what becomes of the middle. What a picture *contains* was learned from squares, so there may be two flowers
# where one was asked for, or two that grow together. Stable Diffusion has the same habit beyond 512 pixels; models that
# were trained on several sizes lose it (chapter 19).
#
# ## What does the judge say?
#
# Of 500 captions of each split, measured beforehand, the diffusion models in thirty steps (`python -m
# t2i_course.judge.standings latent_diffusion`; ± is the standard error of *test*). The captions of *novel* ask for pairs
# that training never showed together; *its pair* says how often both were drawn. FID and diversity: chapter 04.

# %%
from t2i_course.judge import standings

show.table(
    [
        *standings.table(("attngan", "ddpm", "latent_diffusion")),
        *standings.table(("latent_diffusion",), ["scenes"]),  # the others have never seen one
    ],
    digits=2,
)

# %% [markdown]
# And how long was each of them trained? (The DAMSM taught the AttnGAN, and reads for the DDPM. `world_cnn`, the CNN
# that sees, taught the DAMSM, both diffusion models and the autoencoder. The latent diffusion model shares its time
# among three worlds.)

# %%
show.table(
    [
        {"trained": name, "steps": f"{r['steps']:,}", "minutes of a core": round(r["seconds"] / 60)}
        for name in ("attngan", "ddpm", "ldm", "world_cnn", "damsm", CODEC)
        for r in [json.loads((DATA / "weights" / f"{name}.json").read_text())]
    ]
)

# %% [markdown]
# **Notice** that the latent model keeps less of flowers and birds than the DDPM of chapter 11, which learned two worlds,
# not three, from a reader that had been trained before, and whose *guesses* the CNN looked at, as it knows pixels. It
# draws four times as many pixels. And on flowers the AttnGAN, years older, is still ahead: our DDPM and our latent
# diffusion had less time. By FID and diversity it is the other way round: what the diffusion models draw is nearer to
# true pictures, and they draw more than one picture of a caption. Of scenes the latent model keeps more than twice what
# chance would, nearly all of it place and light (chapter 15 has the table). Things were not learned; the CNN that taught
# it to see knows flowers and birds alone, which may be why.
#
# ## Play


# %%
def paint(caption: str, seed: int, steps: int, guidance_scale: float) -> np.ndarray:
    """Two pictures of one caption: uint8 (H, W, 3)."""
    drawn = system.draw([caption] * 2, seed, steps=steps, guidance_scale=guidance_scale)
    return show.grid(to_uint8(F.interpolate(drawn, scale_factor=2.0)), columns=2)


show.play(
    paint,
    caption="a purple flower in the meadow",
    seed=(0, 50, 1, 0),
    steps=(2, 40, 1, 12),
    guidance_scale=(0.0, 10.0, 0.5, 4.0),
    alt="Two drawn flowers; caption, seed, number of steps and guidance scale can be changed.",
)

# %% [markdown]
# ## At full size
#
# The released systems that draw from captions, from classes or from nothing, with the autoencoder of each and the
# parameters of its U-Net. `LatentDiffusion.load(NAME, weights=FILE)` takes the file of its authors (and, for captions,
# `vocabulary=FILE`, the words of BERT). Those of ImageNet are told a class, `system.draw(["goldfish"])`; those that are
# told nothing draw what they like, `system.draw([""])`.

# %% tags=["nbval-check-output"]
from t2i_course.published.latent_diffusion import VARIANTS as RELEASED

for name, parameters in timeline.find("latent_diffusion").variants.items():
    if v := RELEASED.get(name):
        told = {"bert": "captions", "classes": "classes", "": "nothing"}[v.text]
        print(f"{name:20}{parameters:>12,}   {v.autoencoder:6} {v.size} x {v.size}   told {told}")

# %% [markdown]
# ## Exercise: how simple is the latent?
#
# A KL autoencoder says for each number of its latent a mean $\mu$ and a log variance $\log\sigma^2$, and pays for how
# far that is from $N(0, 1)$:
#
# $$ KL = \tfrac12 \sum \big( \mu^2 + \sigma^2 - 1 - \log \sigma^2 \big) $$
#
# with the sum over all numbers of its latent. Write it for each picture of a batch. *(Five minutes.)*


# %%
def divergence(mean: torch.Tensor, log_variance: torch.Tensor) -> torch.Tensor:
    """KL to N(0, 1) in nats, of (B, Z, h, w) twice: (B,)."""
    return mean.sum((1, 2, 3))  # your code here


# %%
def check(answer) -> str:
    """What is right, or what is wrong with it."""
    from torch.distributions import Normal, kl_divergence

    generator = torch.Generator().manual_seed(0)
    mean, log_variance = torch.randn(2, 3, 2, 4, 4, generator=generator)
    found = answer(mean.clone(), log_variance.clone())
    wanted = kl_divergence(Normal(mean, (log_variance / 2).exp()), Normal(0.0, 1.0)).sum((1, 2, 3))
    if found.shape != wanted.shape:
        return f"not yet: the shape is {tuple(found.shape)}, not {tuple(wanted.shape)}"
    if not torch.allclose(found, wanted, rtol=1e-4):
        return f"not yet: {found[0]:.3f} nats for the first picture, not {wanted[0]:.3f}"
    return "right"


print(check(divergence))

# %% [markdown]
# **Solution** (folded: click the dots, or the bar, to open it)


# %% jupyter={"source_hidden": true} tags=["nbval-check-output"]
def divergence_solution(mean: torch.Tensor, log_variance: torch.Tensor) -> torch.Tensor:
    """KL to N(0, 1) in nats, of (B, Z, h, w) twice: (B,)."""
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum((1, 2, 3))


print(check(divergence_solution))

# %% [markdown]
# What does ours say? Much more than the bits that were counted above. Those compare an encoder's noise with how much the
# channel varies; the KL compares with $N(0, 1)$, and where a mean varies by more than 1, most of it is the price of
# $\mu^2$. Below, for each channel: how much the mean varies from place to place and from picture to picture, and how
# unsure the encoder is of it.

# %%
mean, log_variance = codec.moments(many)
print(f"{divergence_solution(mean, log_variance).mean() / np.log(2):,.0f} bits for a picture")
show.bars(
    [str(k) for k in range(codec.z)],
    {
        "the mean varies by": mean.std((0, 2, 3)).tolist(),
        "it is unsure by": (log_variance / 2).exp().mean((0, 2, 3)).tolist(),
    },
    ylabel="standard deviation",
    alt="For each channel of the latent how much it varies, and beside it, far lower, how unsure the encoder is.",
)

# %% [markdown]
# ## What came next
#
# One thing was still trained from scratch together with the rest: the reader. One that has already read 400 million
# captions exists since chapter 10. Freeze it, train on two billion pairs of the web, give the weights away: that is the
# next chapter.
