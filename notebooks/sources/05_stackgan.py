# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   t2i:
#     chapter: "05"
#     title: StackGAN
#     year: 2016
#     system: StackGAN
#     promise: stack two GANs, make a caption noisy on purpose and say what that buys, and name the term that keeps the noise in bounds
#     needs: two CPU cores, no network
#     minutes: 60
# ---

# %% [markdown]
# # 05 · StackGAN: sketch first, then paint (2016)
#
# **After this chapter you will be able to**
# * split one hard drawing task into two easier ones, and say which of them answers for which fact of the caption,
# * make a caption noisy on purpose (*conditioning augmentation*), and say what the loss asks that keeps the noise in bounds,
# * tell from a network's latent space whether it still listens, and
# * compare two stages of one system with a judge.
#
# *Walks through the lecture's StackGAN. It needs no GPU and no network; the README says how long it runs.*

# %%
import json

import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F

from t2i_course import show, timeline, worlds
from t2i_course.gan import stackgan
from t2i_course.judge import caption_accuracy, ceiling
from t2i_course.nn.losses import kl_to_standard_normal
from t2i_course.nn.noise import noises
from t2i_course.paths import DATA
from t2i_course.text.char_cnn_rnn import WORLDS

torch.set_num_threads(1)
system = timeline.load("stackgan")
CAPTIONS = [
    "a flower at night with purple petals",
    "a flower in the grass with white petals",
    "a small bird that is in a lake",
    "this big blue bird is flying",
]
sketches, pictures = system.frames(CAPTIONS, seed=1)
show.pictures(
    torch.cat([sketches, pictures]),
    ["Stage I"] * 4 + CAPTIONS,
    columns=4,
    inches=2.4,
    alt="Upper row: four sketches of Stage I. Lower row: what Stage II painted from them, each over its caption.",
)

# %% [markdown]
# Grounds and colors are right; forms are not, and the big blue bird is hardly a bird.
#
# ## The story
#
# December 2016, half a year after GAN-INT-CLS (chapter 04). Han Zhang, Tao Xu, Hongsheng Li, Shaoting Zhang, Xiaogang
# Wang, Xiaolei Huang and Dimitris Metaxas want 256x256 pixels. Adding two more layers to the generator does not do it:
# true and drawn pictures of that size hardly overlap in the space of all pictures, so D tells them apart at once, and G
# learns nothing. *"StackGAN: Text to Photo-realistic Image Synthesis with Stacked Generative Adversarial Networks"*
# (ICCV 2017) does what a painter does:
#
# * **Stage I** draws 64x64: where things are, and their rough colors.
# * **Stage II** looks at that sketch, *reads the caption once more*, and paints it large. It may correct what the sketch
#   got wrong, and add what 64 pixels cannot hold.
#
# Stage I is trained first, alone, and then frozen.

# %%
show.source(stackgan.StageI, stackgan.StageII)

# %% [markdown]
# ## Conditioning augmentation
#
# A data set has few captions, and each is one point in a space of many dimensions; between the points G was never asked
# for anything. GAN-INT-CLS asked halfway between two. StackGAN asks *around* every caption: a layer turns the embedding
# $t$ into a mean and a variance, and what G gets is a draw from that Gaussian,
#
# $$ c = \mu(t) + \sigma(t) \odot \varepsilon, \qquad \varepsilon \sim \mathcal{N}(0, 1). $$

# %%
show.source(stackgan.ConditioningAugmentation, stackgan.condition)

# %% [markdown]
# Left alone, G would soon make $\sigma$ zero: noise only hurts whoever must obey a caption. So there is a price for
# being far from the standard normal:
#
# $$ D_{\mathrm{KL}}\big(\mathcal{N}(\mu, \sigma^2) \,\|\, \mathcal{N}(0, 1)\big)
#    = -\tfrac{1}{2} \left( 1 + \log \sigma^2 - \mu^2 - \sigma^2 \right) \quad \text{for each number} $$
#
# which $G$ pays besides what $D$ asks of it:
#
# $$ L_G = -\log D(G(z, c), \mu) + \lambda\, D_{\mathrm{KL}} $$
#
# ($\lambda$ is 1 in the paper, 2 in the released code and here; the code takes the mean over the numbers of $c$. Our
# small one learns by `matching`, too.)

# %%
show.source(kl_to_standard_normal)
mu, logvar = torch.meshgrid(torch.linspace(-2, 2, 81), torch.linspace(-3, 2, 81), indexing="ij")
price = -0.5 * (1 + logvar - mu.square() - logvar.exp())
fig, axis = plt.subplots(figsize=(5, 3))
drawn = axis.contourf(mu, (logvar / 2).exp(), price, levels=12)
axis.axhline(1, color="white", linestyle=":")
axis.set(xlabel="mu", ylabel="sigma")
fig.colorbar(drawn, label="KL")
show.figure(
    fig, alt="Contours of the KL term over mu and sigma: it is 0 where mu is 0 and sigma is 1, and grows around."
)

# %% [markdown]
# **Notice** the dotted line. In the code that the authors released for MS-COCO (in PyTorch) both $\mu$ and $\log
# \sigma^2$ leave a ReLU (`rectified`; the paper does not say so), so $\sigma$ is never below 1, and the network can
# only be heard by making $\mu$ large. Our small one does without: it may also speak *softly and clearly*, below the
# line. Does it?

# %%
captions = [caption for name in WORLDS for caption, _ in (worlds.load(name).caption("test", i) for i in range(300))]
facts = [facts for name in WORLDS for _, facts in (worlds.load(name).caption("test", i) for i in range(300))]
with torch.no_grad():
    text = system.embed(captions)
    means, logvars = system.generator.stage1.augment(text)
sigma, spread_of_mu = (logvars / 2).exp().mean(0), means.std(0)
fig, axis = plt.subplots(figsize=(5, 3))
axis.scatter(sigma, spread_of_mu, s=10)
axis.axline((sigma.min(), sigma.min()), slope=1, color="gray", lw=0.8)
axis.axvline(1, color="black", linestyle=":")
axis.set(xlabel="mean sigma: its noise", ylabel="spread of mu over captions: what it says")
show.figure(
    fig,
    alt="Each number of the condition as a point: its noise to the right, what it says upwards; most are above the diagonal.",
)
heard = (spread_of_mu > sigma).sum().item()
print(f"{heard} of {means.shape[1]} numbers say more than their noise (spread of mu above sigma)")

# %% [markdown]
# It does: each number's mean $\sigma$ is below 1, and nearly all are louder than their noise. Does a draw still tell
# which caption it came from: is the nearest mean its own?

# %%
torch.manual_seed(0)
draws = stackgan.condition(means, logvars, torch.randn_like(means))
nearest = torch.cdist(draws / sigma, means / sigma).argmin(1)
own = (nearest == torch.arange(len(means))).float().mean().item()
agree = []
for i, j in enumerate(nearest.tolist()):
    if i == j:  # with itself it agrees, of course
        continue
    shared = facts[i].keys() & facts[j].keys()
    agree += [facts[i][name] == facts[j][name] for name in shared]
print(f"a draw is nearest to its own caption's mean: {own:.0%} (by chance {1 / len(means):.1%})")
print(f"of the others, facts that both captions mention, and on which they agree: {np.mean(agree):.0%} of {len(agree)}")

# %% [markdown]
# The noise hides hardly anything: nearly all draws are nearest to their own caption's mean, and the others land on
# captions that say nearly the same.
#
# ### See it
#
# Three rows, one caption. First only the noise $z$ changes, then only $\varepsilon$, then both.

# %%
ONE = "a flower in the grass with white petals"
stage1 = system.generator.stage1
dims = [system.config.z_dim, system.config.condition_dim]
z, eps = noises(3, 7, *dims)
with torch.no_grad():
    told = system.embed([ONE]).expand(7, -1)
    rows = [
        stage1(z, eps[:1].expand(7, -1), told)["picture"],
        stage1(z[:1].expand(7, -1), eps, told)["picture"],
        stage1(z, eps, told)["picture"],
    ]
    other = stage1(z, eps, system.embed(["a flower at night with purple petals"]).expand(7, -1))["picture"]
show.pictures(
    torch.cat(rows),
    columns=7,
    inches=1.3,
    alt="Three rows of seven sketches of one caption: with other noise z, with another draw around the caption, with both.",
)
spread = {name: F.mse_loss(row[1:], row[:-1]).item() for name, row in zip(("z", "eps", "both"), rows, strict=True)}
spread["the caption alone: purple, at night"] = F.mse_loss(other, rows[-1]).item()
show.table([{"what changes": name, "mean squared change": s} for name, s in spread.items()], digits=4)

# %% [markdown]
# **Notice** that the noise around the caption changes the sketch more than $z$ does, and that both change little beside
# what another caption does: it stays one white flower with other specks.
#
# And along the line between two captions? Draws hardly ever reach another caption, so G was rarely asked for what is in
# the middle:

# %%
with torch.no_grad():
    ends = system.embed(["a flower with red petals in the grass", "a flower with blue petals at night"])
    way = torch.linspace(0, 1, 7)[:, None]
    between = (1 - way) * ends[:1] + way * ends[1:]
    line = stage1(z[:1].expand(7, -1), 0 * eps, between)["picture"]
show.pictures(
    line, columns=7, inches=1.3, alt="Seven sketches on the way from a red flower in the grass to a blue one at night."
)

# %% [markdown]
# **Notice** that the sketches keep to one side, and then to the other; between them is half a night and half a meadow.
#
# ## What does Stage II add?
#
# It need not be given a sketch of Stage I. What does it make of a true picture, of plain grey, of another caption's
# sketch?

# %%
(true,) = worlds.load("flowers").batches("test", 64, 1, n=1, shuffle=False)
own_sketch = system.explain([ONE], seed=3)["sketch"]
other_sketch = system.explain(["a big black bird that is in the snow"], seed=3)["sketch"]
given = torch.cat([own_sketch, true.pictures, torch.zeros_like(own_sketch), other_sketch])
with torch.no_grad():
    painted = system.generator.paint(given, torch.zeros(4, dims[1]), system.embed([ONE] * 4))["picture"]
show.pictures(
    torch.cat([F.interpolate(given, scale_factor=system.config.size // 64), painted]),
    ["its own sketch", "a true picture", "plain grey", "a bird's sketch", *["painted"] * 4],
    columns=4,
    inches=1.9,
    alt="Upper row: four pictures given to Stage II with one caption about a white flower. Lower row: what it painted.",
)

# %% [markdown]
# Does it read the caption at all? Sketches of the same captions, painted with the caption that they were drawn for, and
# with another one; how much of the sketch's caption is kept?

# %%
rows, n = [], 60
for name in WORLDS:
    world = worlds.load(name)
    asked = [world.caption("test", i)[0] for i in range(n)]
    text_of = system.embed(asked)
    with torch.no_grad():
        drawn = stage1(*noises(0, n, *dims), text_of)["picture"]
        told = {"its own caption": text_of, "another's caption": text_of.roll(1, 0)}
        kept = {
            title: caption_accuracy(system.generator.paint(drawn, torch.zeros(n, dims[1]), t)["picture"], asked, world)
            for title, t in told.items()
        }
    rows.append({"world": name} | {f"Stage II told {title}": score.accuracy for title, score in kept.items()})
show.table(rows, digits=2)

# %% [markdown]
# **Notice** that it matters what Stage II is told, for birds very much; but it trusts the form of the sketch: a tulip's
# petals turn mostly white and stay a tulip's, its sky does not become grass, and a bird stays a bird. From plain grey
# it makes no flower at all: it can paint, but not draw. A good sketch already holds most of what the discriminator asks
# for, so a Stage II could get by with enlarging it. Lest it do, a quarter of the sketches that ours is given in training
# lead it `astray`: they were made for another caption, and it has to correct them. And by `matching` it has to find its
# caption not only among the sixteen of its batch, of which two or three facts tell the right one, but among 112 others
# besides. (The paper does without either.)

# %%
show.source(stackgan.losses)

# %% [markdown]
# ### Which stage answers for which fact?
#
# The judge reads both stages' pictures of the same captions, with the same noise.

# %%
N = 60
rows = []
for name in WORLDS:
    world = worlds.load(name)
    asked = [world.caption("test", i)[0] for i in range(N)]
    sketch, picture = system.frames(asked, seed=0)
    by_stage = [caption_accuracy(p, asked, world) for p in (sketch, picture)]
    best = ceiling(world, "test", N)
    for fact in by_stage[0].by_attribute:
        rows.append({"world": name, "fact": fact, "asked": by_stage[0].promised[fact]})
        rows[-1] |= {f"Stage {n}": s.by_attribute[fact] for n, s in zip(("I", "II"), by_stage, strict=True)}
        rows[-1] |= {"ceiling": best.by_attribute[fact]}
    rows.append({"world": name, "fact": "(all)", "asked": by_stage[0].facts})
    rows[-1] |= {f"Stage {n}": s.accuracy for n, s in zip(("I", "II"), by_stage, strict=True)}
    rows[-1] |= {"ceiling": best.accuracy}
show.table(rows, digits=2)

# %% [markdown]
# **Notice** that Stage I answers for nearly all that is kept. Stage II adds pixels and clearer edges, and all in all no
# facts: of colors it gains a few, of forms, such as arrangement and petals, it loses some. (Of each single fact few were
# asked.)
#
# ## Train one
#
# Stage I at a size that learns while you watch: half of the small one's width in G, on a thousand pictures of each
# world. Do not expect flowers: in so few steps there will be blots on pale grounds, and a matching loss that falls. As
# in chapter 04, D also learns by `matching`, and looks at more than one wrong caption of each picture, which the paper
# does without.

# %%
from dataclasses import replace

from t2i_course.text.char_cnn_rnn import several_captions

tiny = replace(stackgan.VARIANTS["small"], generator_width=16, discriminator_width=12)
torch.manual_seed(0)
net = stackgan.build(tiny, 1)
# The encoder's numbers are small: with PyTorch's first weights, mu would drown in its noise.
net["generator"].augment.fc.weight.data.div_(text.std())
optimisers = {part: torch.optim.Adam(net[part].parameters(), 8e-4, (0.5, 0.999)) for part in net}
lesson = worlds.mixed_batches(WORLDS, "train", 64, 24, n=1000, epochs=None, more=3)
log, seen = [], []
for step, batch in zip(range(160), lesson, strict=False):
    told = several_captions(system.text, batch)
    for name, terms in stackgan.losses(net, batch.pictures, told, tiny, wrongs=2):
        optimisers[name].zero_grad()
        terms["loss"].backward()
        optimisers[name].step()
        if name == "generator":
            log.append({name: float(terms[name].detach()) for name in ("matching", "kl")})
    if step % 20 == 19:
        with torch.no_grad():
            seen.append(net["generator"](z[:4, : tiny.z_dim], eps[:4], system.embed(CAPTIONS))["picture"])
smooth = [{k: float(np.mean([row[k] for row in log[i : i + 10]])) for k in log[0]} for i in range(0, len(log), 10)]
show.lines(
    range(0, len(log), 10),
    {"matching, of G": [row["matching"] for row in smooth]},
    xlabel="step",
    ylabel="loss",
    alt="The matching loss of the generator against training steps, means of ten steps: it falls.",
)
print(f"KL, at the first and the last: {smooth[0]['kl']:.3f}, {smooth[-1]['kl']:.3f}")
show.film(
    np.stack([show.grid(worlds.base.to_uint8(p).repeat(2, 1).repeat(2, 2), columns=4) for p in seen]),
    alt="A film of four sketches as training goes on: from gray to the colors of grounds, and blots on them.",
)

# %% [markdown]
# ## Play
#
# Type a caption; see the sketch and the painting. `louder` multiplies the embedding, and with it what the mean and the
# variance say: what does G do with a caption that shouts?


# %%
def sketch_and_paint(caption: str, seed: int, louder: float) -> np.ndarray:
    """The sketch, enlarged, and the painting, uint8 (H, W, 3); the caption's embedding is multiplied by `louder`."""
    with torch.no_grad():
        told = louder * system.embed([caption])
        out = system.generator(*noises(seed, 1, *dims, dims[1]), told)
    both = torch.cat([F.interpolate(out["sketch"], scale_factor=system.config.size // 64), out["picture"]])
    return show.grid(worlds.base.to_uint8(both).repeat(2, 1).repeat(2, 2), columns=2)


show.play(
    sketch_and_paint,
    caption="a bird with a yellow belly that is on a branch",
    seed=(0, 20, 1, 0),
    louder=(0.0, 3.0, 0.5, 1.0),
    alt="A sketch and a painting of one caption; caption, seed and loudness can be changed.",
)

# %% [markdown]
# ## What does the judge say?
#
# Of 500 captions of each split, measured beforehand, as in chapter 04. (What is blurred varies much: diversity is no
# merit without facts.)

# %%
from t2i_course.judge import standings

show.table(standings.table(("aligndraw", "gan_cls", "stackgan")), digits=2)

# %% [markdown]
# And what did each cost, and how many facts did it draw at the end of its training, of the split val? Steps and minutes
# of the row `stackgan` are those of Stage II, and come on top of Stage I's; its facts are of both together.

# %%
rows = []
for before in ("aligndraw", "gan_cls", "stackgan_1", "stackgan"):
    record = json.loads((DATA / "weights" / f"{before}.json").read_text())
    rows.append({"system": before, "steps": record["steps"], "minutes": round(record["seconds"] / 60)})
    rows[-1] |= {name: record["metrics"][name] for name in WORLDS}
show.table(rows, digits=2)

# %% [markdown]
# **Notice** that our small StackGAN keeps as many facts of flowers as GAN-INT-CLS, and more of birds and of *novel*, in
# pictures twice as wide that vary more and are nearer to true ones (FID); for both stages it took more than three times
# as long to train. What its noise costs can be measured, too: here Stage I gets less of it
# than it was trained with.

# %%
rows = []
for name in WORLDS:
    world = worlds.load(name)
    asked = [world.caption("test", i)[0] for i in range(N)]
    rows.append({"world": name})
    for title, scale in {"all": 1.0, "half": 0.5, "none": 0.0}.items():
        z_, eps_ = noises(0, N, *dims)
        with torch.no_grad():
            drawn = stage1(z_, scale * eps_, system.embed(asked))["picture"]
        rows[-1][f"Stage I, {title} of the noise"] = caption_accuracy(drawn, asked, world).accuracy
show.table(rows, digits=2)

# %% [markdown]
# **Notice** that it keeps hardly more: noise is not what keeps it from the ceiling. (The paper had photographs, a network
# many times as large, and days of training.)
#
# ## At full size

# %% tags=["nbval-check-output"]
for variant in ("full", "small"):
    for stage in (1, 2):
        with torch.device("meta"):  # shapes without memory
            parts_of = stackgan.build(stackgan.VARIANTS[variant], stage)
        trained = {
            name: sum(p.numel() for p in part.parameters() if p.requires_grad) for name, part in parts_of.items()
        }
        print(f"{variant:6} Stage {'I' * stage:3}", {name: f"{count:,}" for name, count in trained.items()})

# %% [markdown]
# `StackGAN.load("full", weights=FILE, text=ENCODER)` draws with the released MS-COCO weights.
#
# ## Exercise: the price of being heard
#
# Suppose that one number of the condition has to tell two captions apart, with $\mu = +m$ for one and $-m$ for the
# other, and $\sigma = 1$. A reader who sees one draw decides by its sign. Write two functions of $m$: the price that KL
# asks for this number, and the share of draws that the reader decides rightly. *(Ten minutes. Hint:
# `torch.special.ndtr` is the standard normal's distribution function.)*


# %%
def price_and_share(m):
    """m (N,) -> (KL of one number (N,), share of draws with the right sign (N,))."""
    # your code here
    return torch.full_like(m, float("nan")), torch.full_like(m, float("nan"))


# %%
def check(answer) -> str:
    """What is right, or what is wrong with it."""
    m = torch.tensor([0.0, 0.5, 1.0, 2.0])
    price, share = answer(m)
    expected = torch.stack([kl_to_standard_normal(value, torch.zeros(())) for value in m])
    if not torch.allclose(price, expected, atol=1e-5):
        return f"not yet: the price of m = {m.tolist()} should be {expected.tolist()}"
    draws = m[:, None] + torch.randn(4, 200_000, generator=torch.Generator().manual_seed(0))
    counted = (draws > 0).float().mean(1)
    if not torch.allclose(share, counted, atol=5e-3):
        return f"not yet: counted in 200,000 draws, the shares are {[round(v, 3) for v in counted.tolist()]}"
    return "right"


print(check(price_and_share))

# %% [markdown]
# **Solution** (folded: click the dots, or the bar, to open it)


# %% jupyter={"source_hidden": true} tags=["nbval-check-output"]
def price_and_share_solution(m):
    """m (N,) -> (KL of one number (N,), share of draws with the right sign (N,))."""
    return m.square() / 2, torch.special.ndtr(m)


print(check(price_and_share_solution))

# %% [markdown]
# ## What came next
#
# In 2017 StackGAN-v2 trains all stages together, each with a discriminator of its own. But all of them get the caption
# as *one* vector, the same for every place of the picture. AttnGAN (chapter 06) gives one vector to each word, and lets
# every place choose.
