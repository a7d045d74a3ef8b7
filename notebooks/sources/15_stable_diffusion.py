# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   t2i:
#     chapter: "15"
#     title: Stable Diffusion
#     year: 2022
#     system: latent diffusion with CLIP's reader, given away
#     promise: draw the whole architecture with its parameters, say what a frozen reader changes, edit, repaint and mix pictures, and load the published weights into the same code
#     needs: two CPU cores, no network; for the published weights a file of 2 GB or more
#     minutes: 90
# ---

# %% [markdown]
# # 15 · Stable Diffusion: the one that was given away (2022)
#
# **After this chapter you will be able to**
# * draw the whole system on one page, with the parameters of each part,
# * say what changes if the reader of captions is CLIP's, and frozen, and measure it,
# * edit a picture, repaint a part of it, weigh words, and walk from one caption to another, all with one network, and
# * put the published weights into the very code of this chapter.
#
# *Walks through the lecture's Stable Diffusion: "fix the text encoder", its training history, small GPUs, image to
# image and inpainting. No GPU, no network; the README says how long it runs.*

# %%
import json
import os

import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F

from t2i_course import show, timeline, worlds
from t2i_course.codec.autoencoder import VARIANTS as AUTOENCODERS
from t2i_course.codec.autoencoder import Autoencoder
from t2i_course.diffusion import process as samplers
from t2i_course.diffusion.latent_diffusion import LatentDiffusion
from t2i_course.diffusion.small import recipe
from t2i_course.nn.noise import noise, slerp
from t2i_course.nn.unet import VARIANTS as UNETS
from t2i_course.nn.unet import UNet
from t2i_course.paths import DATA
from t2i_course.text.clip import VARIANTS as CLIPS
from t2i_course.text.clip import TextTower
from t2i_course.worlds.base import to_uint8

system = timeline.load("stable_diffusion")
every = [worlds.load(name) for name in worlds.NAMES]
CAPTIONS = [
    "a flower with red petals and a yellow centre",
    "a blue flower at night, with green leaves",
    "this bird is yellow and has a black crown",
    "a red bird that is in the snow",
    "a cat is in the snow",
    "a house on the street at night",
]
show.pictures(
    system.draw(CAPTIONS, seed=3),
    CAPTIONS,
    columns=3,
    inches=2.6,
    alt="Two flowers, two birds and two scenes at 128 x 128 pixels, drawn by the small Stable Diffusion of this course.",
)

# %% [markdown]
# After little more than an hour and a half of one core it is a flower, a bird or a scene, as asked for, mostly with its
# light, its place and the larger colors; what is small is not right yet, and what a scene should contain hardly ever
# there. All that this chapter does with the
# model works with any that is trained longer, and at the end with the real one.
#
# ## The story
#
# In the summer of 2022 the best models are closed: DALL·E 2 has a waiting list, Imagen is a paper without a program,
# and the weights of both are secret. The authors of latent diffusion (chapter 14; Robin Rombach and Patrick Esser have
# a hand in both) train theirs again on two billion captioned pictures of LAION, at Stability AI's cost. They change
# hardly anything: the reader is now the text tower of CLIP, trained before and **frozen** (as Imagen had shown in May,
# chapter 13). On the 22nd of August they publish the weights. A graphics card made for games suffices. Within weeks
# there are plug-ins and apps, within months fine-tuned models by the thousand, and in January 2023 the first lawsuits.
# No other model of this course was read, changed and quarreled about by so many.
#
# ## The whole of it
#
# Three networks. Here are the published ones, built without memory for their weights, and ours:

# %%
with torch.device("meta"):
    full = {
        "reader (CLIP, frozen)": TextTower(CLIPS["vit_l_14"]),
        "U-Net": UNet(UNETS["sd_1"]),
        "autoencoder (frozen)": Autoencoder(AUTOENCODERS["kl_f8"]),
    }
small = (system.read.module, system.unet, system.autoencoder)


def size(net) -> int:
    """How many parameters there are, but for CLIP's last projection, which is not used."""
    return sum(p.numel() for name, p in net.named_parameters() if not name.startswith("project."))


count = {name: (size(net), size(other)) for (name, net), other in zip(full.items(), small, strict=True)}
count["all together"] = tuple(map(sum, zip(*count.values(), strict=True)))
show.table(
    [
        {"part": name, "Stable Diffusion 1.5": f"{theirs:,}", "small (this course)": f"{ours:,}"}
        for name, (theirs, ours) in count.items()
    ]
)

# %%
fig, axis = plt.subplots(figsize=(11, 3.9))
reader_size, unet_size, codec_size, _ = (f"{theirs / 1e6:.0f} M" for theirs, _ in count.values())


def box(x: float, y: float, width: float, height: float, text: str, color: str, fontsize: float = 8.5) -> None:
    """A part of the architecture."""
    axis.add_patch(plt.Rectangle((x, y), width, height, color=color, alpha=0.25, lw=0))
    axis.text(x + width / 2, y + height / 2, text, ha="center", va="center", fontsize=fontsize)


def arrow(x: float, y: float, to_x: float, to_y: float, text: str = "") -> None:
    """What goes from one part to another."""
    axis.annotate("", (to_x, to_y), (x, y), arrowprops={"arrowstyle": "->", "color": "#2E2A3B"})
    axis.text((x + to_x) / 2, (y + to_y) / 2 + 0.12, text, ha="center", fontsize=8)


box(0, 3, 2.2, 1, f"CLIP's text tower\n{reader_size}, frozen", "#868C98")
levels = [int(UNETS["sd_1"].dim * mult) for mult in UNETS["sd_1"].mults]
for k, channels in enumerate(levels):
    height = 2.6 - 0.5 * k
    for x in (3.6 + 0.62 * k, 8.62 - 0.62 * k):
        box(x, 1.6 - height / 2, 0.55, height, f"{channels}\n{64 >> k}²", "#2F6DB5", 7)
        if k in UNETS["sd_1"].attend:  # the context comes down to it
            axis.plot((x + 0.27,) * 2, (1.6 + height / 2, 3.3), color="#868C98", lw=1)
    axis.plot((4.15 + 0.62 * k, 8.62 - 0.62 * k), (2.8 - 0.25 * k,) * 2, ":", color="#2F6DB5", lw=1)  # skips
box(6.08, 1.25, 0.55, 0.7, "mid", "#2F6DB5")
axis.plot((6.36, 6.36), (1.95, 3.3), color="#868C98", lw=1)
axis.plot((2.2, 8.89), (3.3, 3.3), color="#868C98", lw=1)
axis.text(
    6.5, 3.42, "context 77 x 768: keys and values of the cross-attention in these levels", ha="center", fontsize=8
)
axis.text(6.36, -0.05, f"U-Net, {unet_size}: channels and places of its levels", ha="center", fontsize=8.5)
axis.text(-0.1, 4.15, '"a caption", and "" for guidance', fontsize=9)
box(0, 1.1, 1.9, 1, "noise\n4 x 64 x 64", "#E0A526")
arrow(1.9, 1.6, 3.55, 1.6, "z_t, t")
arrow(9.2, 1.6, 10.1, 1.6, "eps")
box(10.15, 1.1, 1.3, 1, "sampler,\nguidance", "#E0A526")
arrow(11.45, 1.6, 12.25, 1.6, "z_0")
box(12.3, 1.1, 2.3, 1, f"decoder\n(with the encoder\n{codec_size})", "#E4572E")
arrow(14.6, 1.6, 15.6, 1.6, "picture\n512²")
axis.plot((10.8, 10.8, 2.7), (1.1, -0.4, -0.4), color="#2E2A3B", lw=1)
arrow(2.7, -0.4, 2.7, 1.55)
axis.text(6.36, -0.75, "50 times: z, with less noise, goes round again", ha="center", fontsize=8.5)
axis.set(xlim=(-0.2, 16), ylim=(-0.9, 4.4))
axis.axis("off")
show.figure(
    fig,
    "The architecture: a caption goes through CLIP's text tower into three of the U-Net's four levels and its middle; noise goes "
    "round U-Net and sampler fifty times, and the decoder makes a picture of what comes out.",
)

# %% [markdown]
# Its training, as the model cards tell it; 32 machines of 8 A100 each, batches of 2,048. Each version begins where an
# earlier one ended:
#
# | version | from | steps, size | pictures |
# |---|---|---|---|
# | 1.1 | nothing | 237,000 at 256², 194,000 at 512² | LAION-2B in English; then those of LAION-5B of 1024² and more |
# | 1.2 | 1.1 | 515,000 at 512² | of LAION-2B, what a network finds beautiful (above 5 of 10), without watermarks |
# | 1.3 | 1.2 | 195,000 at 512² | the same; one caption in ten left out, for guidance |
# | 1.4 | 1.2 | 225,000 at 512² | another choice of beautiful ones; one caption in ten left out |
# | 1.5 | 1.2 | 595,000 at 512² | the same; published by Runway in October |
#
# The models' cards say 150,000 hours of an A100. Only the U-Net was trained; reader and autoencoder were frozen.
#
# Ours:

# %%
record = json.loads((DATA / "weights" / "ldm_clip.json").read_text())
theirs, batch = 2048 * (237_000 + 194_000 + 515_000 + 595_000), recipe.__kwdefaults__["batch_size"]
print(f"{record['steps']:,} steps of {batch} pictures in {record['seconds'] / 60:.0f} minutes on {record['hardware']}")
print(f"Stable Diffusion 1.5 saw {theirs / (batch * record['steps']):,.0f} times as many pictures")

# %% [markdown]
# ## From prompt to pixels
#
# All that happens between a caption and a picture, in fifteen lines; everything that they call you know from chapters
# 10 (CLIP), 11 (sampler), 12 (guidance) and 14 (autoencoder). (The published U-Net predicts the noise, ours $z_0$;
# `system.process` knows which.)


# %%
@torch.no_grad()
def prompt_to_pixels(
    system: LatentDiffusion, caption: str, seed: int = 0, steps: int = 30, s: float = 5.0
) -> torch.Tensor:
    """One picture (1, 3, H, W): all of Stable Diffusion."""
    context = system.read(["", caption])
    side = system.size // system.autoencoder.factor
    z = noise(seed, 1, system.autoencoder.z, side, side).to(context.device)

    def denoise(z: torch.Tensor, t: int) -> torch.Tensor:
        both, times = torch.cat([z, z]).to(context.dtype), torch.full((2,), t, device=z.device)
        without, asked = system.unet(both, times, context).float().chunk(2)
        return without + s * (asked - without)

    end = 0 if system.released else -1  # -1: the last guess of z_0; 0: as released, where a little noise is left
    *_, (z, _) = samplers.ddim(system.process, denoise, z, system.timesteps(steps, "ddim"), end=end)
    return system.decode(z)


caption = "a bird with a yellow breast is in the water"
show.pictures(prompt_to_pixels(system, caption), [caption], inches=2.6, alt=f"'{caption}', drawn by the lines above.")

# %% [markdown]
# The library's own has more options, but not more ideas:

# %%
show.source(LatentDiffusion.latents, LatentDiffusion.decode)

# %% [markdown]
# ## Fix the reader
#
# Chapter 14 trained its reader along; this one has CLIP's, frozen. Autoencoder, loss and the number of steps are the
# same. But CLIP comes with what it has learned from pairs of the same worlds (chapter 10), and that is the point: it
# had been paid for. (One more thing differs, so what follows is no experiment on the reader alone: the U-Net of this
# chapter asks the words on both of its levels, so it is larger, and its steps are slower.) Which one keeps more of the
# captions? Facts kept, and FID, against the guidance scale (chapter 12), measured once by the command in the title:

# %%
measured = json.loads((DATA / "benchmarks" / "guidance.json").read_text())
named = {"latent_diffusion": "trained along (ch. 14)", "stable_diffusion": "CLIP, frozen (ch. 15)"}
fig, axes = plt.subplots(2, 3, figsize=(11, 5), sharex=True)
for (above, below), world in zip(axes.T, every, strict=True):
    for name, label in named.items():
        points = [row for row in measured["curves"][name] if row["world"] == world.name]
        x, y, error, fid = zip(
            *((p["guidance_scale"], p["accuracy"], p["standard_error"], p["fid"]) for p in points), strict=True
        )
        above.errorbar(x, y, error, marker="o", ms=3, lw=1.2, capsize=2, label=label)
        below.plot(x, fid, marker="o", ms=3, lw=1.2)
    below.axhline(points[0]["true_fid"], color="gray", lw=1, ls=":")
    above.set(title=world.name, ylabel="facts kept" if world is every[0] else "")
    below.set(xlabel="guidance scale", ylabel="FID (dotted: true)" if world is every[0] else "")
    for axis in (above, below):
        axis.spines[["top", "right"]].set_visible(False)
axes[0, 0].legend(frameon=False, fontsize=8)
point = measured["curves"]["stable_diffusion"][0]
fig.suptitle(f"{measured['command']}: {point['n']} captions for each point, {point['steps']} steps", fontsize=9)
fig.tight_layout()
show.figure(
    fig,
    "Facts kept, with standard errors, and FID, against the guidance scale for both readers, a column for each world.",
)

# %%
rows = []
for world in every:
    rows.append({"world": world.name})
    for name, label in named.items():
        (row,) = (r for r in measured["curves"][name] if r["world"] == world.name and r["guidance_scale"] == 5)
        rows[-1] |= {f"{label}: facts kept, s = 5": f"{row['accuracy']:.2f} ± {row['standard_error']:.2f}"}
        rows[-1] |= {f"{label}: FID": row["fid"]}
    rows[-1]["true pictures: FID"] = row["true_fid"]
show.table(rows, digits=1)
(scenes,) = (r for r in measured["curves"]["stable_diffusion"] if r["world"] == "scenes" and r["guidance_scale"] == 5)
show.table(
    [
        {"of scenes, CLIP frozen": fact, "kept": share, "by chance": scenes["chance_by_attribute"][fact]}
        for fact, share in scenes["by_attribute"].items()
    ],
    digits=2,
)
trained = {name: json.loads((DATA / "weights" / f"{name}.json").read_text()) for name in ("ldm", "ldm_clip", "clip")}
print("; ".join(f"{name}: {r['steps']:,} steps, {r['seconds'] / 60:.0f} minutes" for name, r in trained.items()))

# %% [markdown]
# **Notice** that the model with the frozen reader (and the larger U-Net) keeps more of flowers and birds, while its FID
# (world) is not lower everywhere: to keep more facts is not to look more like true pictures. Of scenes it knows the
# place and the time of day, of things only a little, such as a color; guidance helps it a little, and the other not at
# all: who has not understood has nothing to exaggerate. (The panels have axes of their own.)
#
# Stable Diffusion 1 takes what comes out of CLIP's text tower; Stable Diffusion 2, and ours, leave its last block out.
# CLIP's loss looks at one place alone, the end of the caption, so what the last block says at the other words was never
# asked for.
#
# ## Image to image
#
# A picture need not begin as noise. Give a picture *some* noise and let the sampler go on from there with a caption
# (SDEdit, Meng et al. 2021): little noise, and it stays as it was; much, and only the caption counts.

# %%
show.source(LatentDiffusion.edit)

# %%
sketch = np.full((128, 128, 3), (205, 225, 240), np.uint8)
rows_, columns_ = np.mgrid[:128, :128]
sketch[(rows_ - 60) ** 2 + (columns_ - 62) ** 2 < 34**2] = (190, 40, 50)
sketch[(rows_ - 60) ** 2 + (columns_ - 62) ** 2 < 13**2] = (235, 200, 60)
sketch[94:, 58:66] = (60, 130, 60)
sketch = worlds.base.to_float(sketch[None])
strengths = (0.2, 0.4, 0.6, 0.8, 1.0)
caption = "a red flower with a yellow centre"
edited = torch.cat([system.edit(sketch, [caption], seed=2, strength=s) for s in strengths])
show.pictures(
    torch.cat([sketch, edited]),
    ["the sketch", *(f"strength {s}" for s in strengths)],
    columns=6,
    inches=1.7,
    alt="A sketch made of a red disk, a yellow disk and a green line; with growing strength less of it is left.",
)


# %% [markdown]
# How much of the sketch does the sampler start with? $\sqrt{\bar\alpha_t}$ of it, at the timestep where each strength
# begins:

# %%
starts = [system.timesteps(system.steps, system.sampler, s)[0] for s in strengths]
show.table(
    [
        {"strength": s, "t": t, "of the sketch": system.process.alpha_bar[t].sqrt().item()}
        for s, t in zip(strengths, starts, strict=True)
    ],
    digits=2,
)

# %% [markdown]
# (Large areas of one color survive much noise: at strength 0.8 what is left of the sketch still keeps the flower where it
# was; at 1 nothing is left. And ours does not draw down to t = 0: its guess at the last timestep is the picture, so no
# strength begins below that.)

# %%
print(f"the last timestep: {system.timesteps(system.steps, system.sampler)[-1]}")
petals = (sketch[:, 0] > 0.3) & (sketch[:, 1] < -0.5)  # the red ones


def edit(caption: str, hue: str, strength: float, seed: int) -> np.ndarray:
    """The sketch with petals of another color, and what becomes of it: uint8 (H, W, 3)."""
    color = torch.tensor({"red": (190, 40, 50), "blue": (50, 70, 190), "purple": (130, 60, 170)}[hue])
    start = torch.where(petals[:, None], color.view(1, 3, 1, 1) / 127.5 - 1, sketch)
    drawn = system.edit(start, [caption], seed, strength=strength, steps=20)
    return show.grid(to_uint8(F.interpolate(torch.cat([start, drawn]), scale_factor=2.0)), columns=2)


show.play(
    edit,
    caption="a flower in the meadow",
    hue=["red", "blue", "purple"],
    strength=(0.1, 1.0, 0.1, 0.4),
    seed=(0, 30, 1, 0),
    alt="Left a sketch of a flower, right what becomes of it; caption, color of the petals, strength and seed can be changed.",
)

# %% [markdown]
# ## Repaint a part
#
# After each step, put back what is to stay, with as much noise as there still is: the network only ever decides about
# the rest, but sees the whole. (Stable Diffusion's inpainting variant was trained further for it and is shown mask and
# picture as five more channels.)

# %%
show.source(LatentDiffusion.inpaint)


# %%
(batch,) = every[1].batches("val", 128, 6, n=6, shuffle=False)
original = batch.pictures[3:4]


def repaint(caption: str, where: tuple[int, ...], seed: int) -> np.ndarray:
    """What was there, with the chosen squares gray, and what is there now: uint8 (H, W, 3)."""
    mask = torch.from_numpy(show.Brush.mask(where, 128))[None, None]
    drawn = system.inpaint(original, mask, [caption], seed, steps=12)
    shown = torch.cat([original * (1 - 0.7 * mask), drawn])
    return show.grid(to_uint8(F.interpolate(shown, scale_factor=2.0)), columns=2)


brush = show.Brush(8, tuple(8 * row + column for row in (1, 2, 3, 4) for column in (2, 3, 4, 5)))
show.play(
    repaint,
    caption="a red bird with a black bill",
    where=brush,
    seed=(0, 30, 1, 0),
    alt="Left a bird, the chosen squares of it grayed; right the same picture with these squares drawn anew. "
    "The caption, the squares and the seed can be changed.",
)

# %% [markdown]
# **Notice** that the new part does not fit the old: half a bird need not find its other half. The model is told of the
# rest only by what is put back after each step, and it has little time to make its own part fit. RePaint (Lugmayr and
# others, 2022) jumps back to more noise, and comes down again, many times on the way; Stable Diffusion's variant sees
# the rest all the time.
#
# Click squares to choose them, and again to keep them; the picture is drawn after each click. To go on beyond the edge
# (*outpainting*) is the same with a larger canvas, of which all but the picture is to be drawn:

# %%
canvas, mask = F.pad(original, (64, 64)), F.pad(torch.zeros(1, 1, 128, 128), (64, 64), value=1.0)
show.pictures(
    torch.cat([canvas, system.inpaint(canvas, mask, ["a bird in the sky"], 2)]),
    ["the canvas", "drawn on"],
    columns=2,
    inches=3.4,
    alt="Left a bird in the middle of a gray canvas that is twice as wide; right the same bird, the canvas filled on both sides.",
)

# %% [markdown]
# **Notice** the seams: each side became a picture of its own, as the model was trained on squares with one bird in them.
#
# ## Weigh words
#
# The context is one vector for each word, so a word can be made to count more: its vectors are moved away from those of
# an empty caption, or towards them. (Words after it have heard of it, as CLIP reads from left to right: with weight 0
# it need not vanish.) In many programs people write it like this:

# %%
weights = (0, 0.5, 1, 1.5, 2.5)
texts = [f"a flower with (red petals:{w}) and a yellow centre" for w in weights]
red, blue = "a flower with red petals and a yellow centre", "a flower with blue petals and a yellow centre"
mixed_up = []
for first, then in ((red, blue), (blue, red)):
    context = system.read([first])
    context[:, 6:] = system.read([then])[:, 6:]  # what stands after "petals"
    mixed_up.append(system.draw([first], seed=3, context=context))
show.pictures(
    # one by one, so that all start with the same noise
    torch.cat([*(system.draw([text], seed=3) for text in texts), *mixed_up]),
    [*(f"(red petals:{w})" for w in weights), 'red, then as after "blue"', 'blue, then as after "red"'],
    columns=7,
    inches=1.4,
    alt="The same seed five times, while the words 'red petals' count from nothing to two and a half times as much; then twice with "
    "all words after 'petals' taken from the caption with the other color.",
)

# %% [markdown]
# **Notice** how the red grows with its weight, until it takes the centre, too, and other things change with it. At
# weight 0 some of it may be left: the words that follow, and the end of the caption, have heard "red petals", and every
# place of the picture asks them as well. In the last two pictures all that stands after "petals" is taken from the
# caption with the other color. Both are blue: in the first the words after decide, in the second the word itself. So
# both places hold the color, and one seed does not say which counts for more. Stable Diffusion's CLIP reads from left to
# right, too.
#
# ## From one caption to another
#
# Contexts can be mixed, along a straight line, and noise along an arc, because halfway on a line it would be too weak.

# %%
first, last = "a purple flower at night", "a yellow bird that is in the snow"
way = system.between(first, last, 9, seeds=(5, 6), steps=20, sampler="ddim")
show.pictures(
    way,
    [first, *[""] * 7, last],
    columns=9,
    inches=1.25,
    alt=f"Nine pictures on the way from '{first}' to '{last}'.",
)
show.film(
    np.repeat(np.repeat(to_uint8(torch.cat([way, way.flip(0)])), 2, 1), 2, 2),
    alt="The same as a film, there and back.",
)

# %% [markdown]
# **Notice** that the way is no even one: for some pictures hardly anything happens, then in two or three everything.
# Halfway lies no picture of both, for no caption ever asked for one.

# %% [markdown]
# ## The real one
#
# Nothing of the above was written for the small model. Set `T2I_STABLE_DIFFUSION` to a file as it was published
# (`.safetensors` or `.ckpt`) or to a folder of diffusers, and `prompt_to_pixels` draws with the networks of the table;
# `edit`, `inpaint` and `between` take them, too. From a shell: `t2i draw stable_diffusion "a photograph of an astronaut
# riding a horse" --weights FILE -o astronaut.png` (on a GPU with `--half`).

# %%
weights = os.environ.get("T2I_STABLE_DIFFUSION")
if weights:
    big = LatentDiffusion.load("sd_1", weights, precision="fp16" if torch.cuda.is_available() else "fp32")
    prompt = "a photograph of an astronaut riding a horse"
    picture = prompt_to_pixels(big, prompt, s=7.5)
    show.pictures(picture, [prompt], inches=5, alt="An astronaut on a horse, drawn by the published weights.")
else:
    print("T2I_STABLE_DIFFUSION is not set, so the published weights are not loaded.")

# %% [markdown]
# What it costs. Each part, ours beside that of diffusers, with random weights of the same shapes on the same machine,
# as `tests/benchmarks/` measured it. (The U-Net: one step of a picture of 512², with both questions of guidance. The
# pipeline: twenty of them, and the decoder. The peak is the most memory that the process, or the GPU, ever held. The
# matmul peak is what a large product of matrices reaches on the same machine: how much of it is used says how near a
# part is to as fast as it can be. On the GPU it was measured with a product too small for it, so shares there are even
# lower than they seem.)

# %%
measured = json.loads((DATA / "benchmarks" / "stable_diffusion.json").read_text())["rows"]
show.table(
    [
        {
            "part": row["part"],
            "precision": row["precision"],
            "on": row["hardware"],
            "seconds": row["ours"]["seconds"],
            "peak MiB": row["ours"]["peak MiB"],
            "our time / diffusers'": row["time ratio"],
            "our memory / diffusers'": row["memory ratio"],
            "of the matmul peak": row.get("share of matmul peak", ""),
            "torch": row["torch"].split("+")[0],
        }
        for row in sorted(measured, key=lambda row: (row["hardware"], row["part"], row["precision"]))
        if "time ratio" in row
    ],
    digits=3,
)

# %% [markdown]
# A picture takes fifty steps and one decoding: minutes on a laptop, about a second on such a GPU. And our small
# models, from caption to picture, in thirty steps with both questions of guidance?

# %%
measured = json.loads((DATA / "benchmarks" / "generators.json").read_text())["rows"]
show.table(
    [
        {"small model": row["system"], "on": row["hardware"], "16 pictures, seconds": 16 / row["pictures per second"]}
        for row in measured
        if (row["variant"], row["batch"], row["against"]) == ("small", 16, "")
    ],
    digits=3,
)

# %% [markdown]
# ## Exercise: noise between noises
#
# Mix two noises along an arc: with $\theta$ the angle between $a$ and $b$,
#
# $$ \text{slerp}(a, b, u) = \frac{\sin((1-u)\,\theta)}{\sin\theta}\, a + \frac{\sin(u\,\theta)}{\sin\theta}\, b $$
#
# *(Five minutes.)*


# %%
def mixed(a: torch.Tensor, b: torch.Tensor, u: float) -> torch.Tensor:
    """Between two noises of the same shape; u is 0 at a and 1 at b."""
    return (1 - u) * a + u * b  # your code here


# %%
def check(answer) -> str:
    """What is right, or what is wrong with it."""
    one, other = noise(0, 2, 4, 16, 16)
    for a, b in ((one, other), (one, 0.6 * one + 0.8 * other), (2 * one + 1, other + 1)):  # any angle, length and mean
        for u in (0.0, 0.25, 0.5, 1.0):
            found, right = answer(a.clone(), b.clone(), u), slerp(a, b, u)
            if found.shape != a.shape:
                return f"not yet: the shape is {tuple(found.shape)}, not {tuple(a.shape)}"
            if not torch.allclose(found, right, atol=1e-4):
                off, deviation = (found - right).abs().max(), found.std()
                return f"not yet: at u = {u} it is off by up to {off:.3f}, and its deviation is {deviation:.2f}"
    return "right"


print(check(mixed))

# %% [markdown]
# **Solution** (folded: click the dots, or the bar, to open it)


# %% jupyter={"source_hidden": true} tags=["nbval-check-output"]
def mixed_solution(a: torch.Tensor, b: torch.Tensor, u: float) -> torch.Tensor:
    """Between two noises of the same shape; u is 0 at a and 1 at b."""
    theta = torch.arccos((a * b).sum() / (a.norm() * b.norm()))
    return (torch.sin((1 - u) * theta) * a + torch.sin(u * theta) * b) / torch.sin(theta)


print(check(mixed_solution))

# %% [markdown]
# And if the noise is too weak? Halfway on a line it is by three tenths. Below there is also one with half of that:

# %%
side = system.size // system.autoencoder.factor
a, b = (noise(seed, 1, system.autoencoder.z, side, side) for seed in (5, 6))
halves = {"on the arc": mixed_solution(a, b, 0.5), "on the line": (a + b) / 2, "half of that": (a + b) / 4}
drawn = [system.draw([first], z=z, sampler="ddim", steps=20) for z in halves.values()]
deviations = zip(halves.items(), drawn, strict=True)
show.pictures(
    torch.cat(drawn),
    [f"{name}: noise {z.std():.2f}, picture {picture.std():.2f}" for (name, z), picture in deviations],
    columns=3,
    inches=2.6,
    alt="The middle of two noises, drawn to its end: that on the arc, that on the straight line, and half of that. "
    "Below each the standard deviation of the noise and of the picture.",
)

# %% [markdown]
# **Notice** that ours hardly minds: color and contrast stay. (It predicts $z_0$, not the noise.)

# %% [markdown]
# ## What came next
#
# What had been given away grew: larger readers, better pictures, adapters. In Moscow a group joined latent diffusion,
# in the latents of another autoencoder (MoVQ), with DALL·E 2's prior and a reader of a hundred languages: Kandinsky,
# the next chapter.
