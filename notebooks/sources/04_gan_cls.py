# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   t2i:
#     chapter: "04"
#     title: GAN-INT-CLS
#     year: 2016
#     system: GAN-INT-CLS
#     promise: train a generator against a discriminator that reads, say what matching-aware and interpolation change, and find out how batch norm can give an answer away
#     needs: two CPU cores, no network
#     minutes: 90
# ---

# %% [markdown]
# # 04 · GAN-INT-CLS: a critic that reads
#
# **After this chapter you will be able to**
# * write the game between a generator and a discriminator, and train it without losing it,
# * teach a discriminator to *read*: why it must see wrong captions, and how batch norm can spoil that,
# * turn captions into vectors by asking only which pictures they fit, and
# * measure what the first text-to-image GAN draws, how faithfully, and how diversely.
#
# *Walks through the lecture's first GAN. It needs no GPU and no network; the README says how long it runs.*

# %%
import matplotlib.pyplot as plt
import numpy as np
import torch
from torch import nn

from t2i_course import show, timeline, worlds
from t2i_course.gan import gan_cls, parts
from t2i_course.judge import caption_accuracy
from t2i_course.nn.losses import matching_loss
from t2i_course.text import char_cnn_rnn

torch.set_num_threads(1)  # the toy's layers are tiny: a second thread would only get in the way
system = timeline.load("gan_cls")
CAPTIONS = [
    "a flower at night with purple petals",
    "a flower in the grass with white petals",
    "a small bird that is in a lake",
    "this big blue bird is flying",
]
show.pictures(
    torch.cat([system.draw(CAPTIONS, seed) for seed in (0, 1)]),
    CAPTIONS * 2,
    columns=4,
    inches=2.2,
    alt="Four captions, each drawn twice from different noise by the small GAN-INT-CLS at 64x64.",
)

# %% [markdown]
# Each column is one caption, drawn from two noises. Do you see a difference between the rows? (More on that below.)

# %% [markdown]
# ## The story
#
# 2014: Ian Goodfellow and colleagues let two networks play against each other. A **generator** $G$ draws from noise
# $z$; a **discriminator** $D$ says whether a picture is true or drawn; each learns from the other's mistakes:
#
# $$ \min_G \max_D \; \mathbb{E}_{x}\left[\log D(x)\right] + \mathbb{E}_{z}\left[\log(1 - D(G(z)))\right] $$
#
# (In practice $G$ maximises $\log D(G(z))$ instead. The game ends at the same place, but $\log(1 - D)$ is flat where
# $D$ is sure, so a bad generator would learn nothing from it. This is the *non-saturating* loss, and what the code
# below does.) No pixel is ever compared with another, and so nothing asks for the average: the pictures are *sharp*,
# or at least not averaged.
# 2015: DCGAN finds convolutional networks that survive the game. 2016: Scott Reed, Zeynep Akata, Xinchen Yan, Lajanugen
# Logeswaran, Bernt Schiele and Honglak Lee give both players the caption, *"Generative Adversarial Text to Image
# Synthesis"*.
#
# ## The game where you can see all of it
#
# Pictures are points in the plane here. A "caption" is one of eight directions $t$; a true point lies near that
# direction's place on a ring. Both players are three small layers, but the losses are the library's own. Read only the
# lines with `draw`, `judged_together` and `discriminator_loss`; `should_be(1.0, logits)` is the mean of $-\log D$, and
# with 0.0 that of $-\log(1 - D)$. What is about `fits`, packs and `matching` does nothing in the first four games.

# %%
show.source(gan_cls.discriminator_loss, gan_cls.losses)


# %%
class ToyGenerator(nn.Module):
    """Noise (B, 4) and directions (B, 2) -> points (B, 2)."""

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(6, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 2))

    def forward(self, z, text):
        return self.net(torch.cat([z, text], 1))


class ToyDiscriminator(nn.Module):
    """Points and directions -> logits (B,)."""

    def __init__(self):
        super().__init__()
        self.look = nn.Sequential(nn.Linear(2, 64), nn.LeakyReLU(0.2))
        self.compare = nn.Sequential(nn.Linear(66, 64), nn.LeakyReLU(0.2), nn.Linear(64, 1))
        self.match = self.compare_pack = None  # what these would be is told further below

    def judge(self, seen, text):
        return self.compare(torch.cat([seen, text], 1)).flatten()


def directions(numbers):
    """Numbers (B,) of eight directions -> unit vectors (B, 2)."""
    angle = numbers * (2 * torch.pi / 8)
    return torch.stack([angle.cos(), angle.sin()], 1)


def play_the_game(
    matching_aware: bool, interpolate: bool, spread: float = 0.15, discriminator=ToyDiscriminator, steps: int = 600
) -> tuple[nn.ModuleDict, list]:
    """Train the toy from one seed; returns it and the points drawn along the way."""
    torch.manual_seed(0)
    net = nn.ModuleDict({"generator": ToyGenerator(), "discriminator": discriminator()})
    torch.manual_seed(1)
    optimisers = {name: torch.optim.Adam(net[name].parameters(), 2e-3, (0.5, 0.999)) for name in net}
    config, history = gan_cls.Config(z_dim=4), []
    for step in range(steps):
        asked = torch.randint(8, (64,))
        text = directions(asked)
        real = 2 * text + spread * torch.randn(64, 2)
        packed = net["discriminator"].compare_pack is not None
        fits = (asked[:, None] == asked).fill_diagonal_(False) if packed else None
        for name, terms in gan_cls.losses(net, real, text, config, matching_aware, interpolate, fits=fits):
            optimisers[name].zero_grad()
            terms["loss"].backward()
            optimisers[name].step()
        if (step + 1) % 30 == 0:
            with torch.no_grad():
                text = directions(torch.arange(8).repeat_interleave(25))
                history.append(net["generator"](torch.randn(200, 4, generator=torch.Generator().manual_seed(1)), text))
    return net, history


VARIANTS = {"GAN": (False, False), "GAN-CLS": (True, False), "GAN-INT": (False, True), "GAN-INT-CLS": (True, True)}
games = {name: play_the_game(*options) for name, options in VARIANTS.items()}


# %%
def plane(points: torch.Tensor, title: str, axis) -> None:
    """Points (200, 2), 25 for each of eight directions, each direction in its color; crosses: where they belong."""
    colors = np.repeat(plt.cm.hsv(np.arange(8) / 8), 25, axis=0)
    axis.scatter(*points.T, c=colors, s=6)
    axis.scatter(*(2 * directions(torch.arange(8))).T, c=plt.cm.hsv(np.arange(8) / 8), marker="+", s=120)
    axis.set(xlim=(-3.2, 3.2), ylim=(-3.2, 3.2), aspect="equal")
    axis.set_title(title, fontsize=10)
    axis.axis("off")


def right(points: torch.Tensor) -> float:
    """Share of points that lie nearest to the place of their own direction."""
    nearest = torch.cdist(points, 2 * directions(torch.arange(8))).argmin(1)
    return (nearest == torch.arange(8).repeat_interleave(25)).float().mean().item()


def frame(k: int) -> np.ndarray:
    """All four games after 30 (k + 1) steps."""
    fig, axes = plt.subplots(1, 4, figsize=(10, 2.7))
    for axis, (name, (_, history)) in zip(axes, games.items(), strict=True):
        plane(history[k], f"{name}: {right(history[k]):.0%} right", axis)
    fig.tight_layout()
    fig.canvas.draw()
    picture = np.asarray(fig.canvas.buffer_rgba())[..., :3].copy()
    plt.close(fig)
    return picture


show.film(
    np.stack([frame(k) for k in range(20)]),
    alt="A film of four games on a ring of eight colors: points wander and settle near the crosses of their color.",
)

# %% [markdown]
# Watch how the points chase each other before they settle: this is no descent into a valley, but two players who both
# move. And count: after how many steps have nine of ten points found the place of their own direction?

# %%
for name, (_, history) in games.items():
    reached = [30 * (k + 1) for k, points in enumerate(history) if right(points) >= 0.9]
    print(f"{name:12} {f'{reached[0]} steps' if reached else 'not yet'}")

# %% [markdown]
# Those that see wrong captions, the two with CLS, are there first. (One run of each; by itself INT should not matter
# here: it is for captions that training lacks, and all eight are in training.) What the two are for:
#
# * **CLS, matching-aware.** $D$ also sees true pictures with *wrong* captions, as a third kind of pair. Otherwise it can
#   win for long by looking at the picture alone, and $G$ learns first to draw well, and only then what was asked.
# * **INT, interpolation.** Halfway between two captions lies a caption that nobody wrote; $G$ has to satisfy $D$ there,
#   too. So the few captions of a data set become a continuum.
#
# Both together, with $\hat t$ a wrong caption and $t' = \tfrac12 (t_a + t_b)$:
#
# $$ L_D = -\log D(x, t) - \tfrac12 \big[ \log(1 - D(x, \hat t)) + \log(1 - D(G(z, t), t)) \big], \qquad
#    L_G = -\log D(G(z, t), t) - \log D(G(z, t'), t') $$
#
# (The code takes one mean over all that G drew, of which a third are for captions halfway.)
#
# ## Letters to vectors
#
# What $t$ should say was settled before the GAN was trained: **char-CNN-RNN** (Reed et al., CVPR 2016) reads a caption
# letter by letter, and is trained for nothing but saying which captions fit which pictures:

# %%
show.source(char_cnn_rnn.joint_embedding_loss)

# %%
flowers = worlds.load("flowers")
asked = [flowers.caption("test", i) for i in range(600)]
colors = {
    "red": "#d33",
    "orange": "#f80",
    "yellow": "#dc0",
    "pink": "#f8b",
    "purple": "#83b",
    "blue": "#36d",
    "white": "#bbb",
}
told = [(caption, facts["color"]) for caption, facts in asked if "color" in facts]
embedded = system.embed([caption for caption, _ in told])
u, s, _ = torch.pca_lowrank(embedded, 2)
fig, axis = plt.subplots(figsize=(5.5, 4))
axis.scatter(*(u * s).T, c=[colors[color] for _, color in told], s=14)
for name, color in colors.items():
    axis.scatter([], [], c=color, label=name)
axis.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
axis.axis("off")
show.figure(fig, alt="Captions as points in the plane of largest variance, colored by the petal color that they name.")

# %%
query = "a flower with crimson petals in the meadow"
similar = torch.cosine_similarity(system.embed([query]), system.embed([caption for caption, _ in asked]))
show.table([{"nearest captions": asked[i][0], "cosine": similar[i].item()} for i in similar.topk(4).indices.tolist()])

# %% [markdown]
# **Notice** that captions of one petal color lie near each other, though nobody told the encoder what a color is; and
# that *crimson* finds *red*, with which it shares hardly a letter.
#
# ## What the discriminator thinks
#
# The shipped $D$ on true pictures with their captions, true pictures with another's, and drawn ones. The further apart
# the first two, the better it reads.

# %%
batch = next(worlds.mixed_batches(char_cnn_rnn.WORLDS, "test", 64, 400, n=200))
text = system.embed(batch.captions)
drawn = system.draw(batch.captions)
with torch.no_grad():
    verdicts = {
        "true picture, its caption": system.discriminator(batch.pictures, text),
        "true picture, another's": system.discriminator(batch.pictures, text.roll(1, 0)),
        "drawn picture": system.discriminator(drawn, text),
    }
fig, axis = plt.subplots(figsize=(8, 2.6))
bins = np.linspace(*np.quantile(torch.cat(list(verdicts.values())), (0, 1)), 45)
for name, logits in verdicts.items():
    axis.hist(logits.numpy(), bins=bins, histtype="step", label=name, linewidth=2)
axis.set(xlabel="logit of D", ylabel="pictures")
axis.legend(frameon=False, fontsize=8)
show.figure(fig, alt="Histograms of the discriminator's logits for true pairs, wrong pairs and drawn pictures.")
apart = (verdicts["true picture, its caption"] > verdicts["true picture, another's"]).float().mean().item()
print(f"own caption above another's: {apart:.0%} of the pictures")

# %% [markdown]
# (Only differences mean something here: in training, batch norm used each batch's own statistics, here it uses running
# averages, and nothing fixes where 0 lies.)
#
# ### What can it read?
#
# $G$ learns from nothing but $D$, so it pays to ask $D$ alone. "True or not" is one number about a whole picture, and
# when it says "not", it does not say what would have been right. So our small GANs have one layer more, which is not in
# the paper. It turns what $D$ sees into an embedding, and must find each picture's caption among those of the batch, as
# the text encoder learned to read; and $G$ has to draw what is found:

# %%
show.source(parts.matching, matching_loss)

# %% [markdown]
# (`t2i train gan_cls_plain` trains the same model without it.) Take captions that name a single fact, one for each
# value ("a red flower", "a blue flower", ...), and a true picture: which of them does $D$ find most fitting, by its
# number and by matching? And does $G$ draw what such a caption names?

# %%
shelf = next(flowers.batches("val", 64, 200, n=200, shuffle=False))
single = [(c, *f.items()) for c, f in (flowers.caption("val", i) for i in range(1500)) if len(f) == 1]
with torch.no_grad():
    seen = system.discriminator.look(shelf.pictures)
    embedded = nn.functional.normalize(system.discriminator.match(seen.flatten(1)), dim=1)
rows = []
for fact in flowers.attributes:
    of_value = {}  # value -> up to eight captions that name it and nothing else
    for caption, (name, value) in single:
        if name == fact and len(of_value.setdefault(value, [])) < 8:
            of_value[value].append(caption)
    values = list(of_value)
    known = torch.tensor([truth[fact] in values for truth in shelf.truth])
    true = torch.tensor([values.index(truth[fact]) for truth in shelf.truth if truth[fact] in values])
    told = [system.embed(captions).mean(0) for captions in of_value.values()]
    with torch.no_grad():
        numbers = torch.stack([system.discriminator.judge(seen, t.expand(len(seen), -1)) for t in told], 1)
    cosines = embedded @ nn.functional.normalize(torch.stack(told), dim=1).T
    row = {"fact": fact, "chance": 1 / len(values)}
    for name, scores in (("D, its number", numbers), ("D, matching", cosines)):
        row[name] = (scores.argmax(1)[known] == true).float().mean().item()
    asked_for = [caption for captions in of_value.values() for caption in captions]
    row["G draws"] = caption_accuracy(system.draw(asked_for, seed=1), asked_for, flowers).accuracy
    rows.append(row | {"captions": len(asked_for)})
show.table(sorted(rows, key=lambda row: -row["D, matching"]), digits=2)

# %% [markdown]
# **Notice** that $G$ follows *matching*, not the single number: where D's number knows nothing and matching knows, as of
# the size of the center, $G$ draws it. (Of as many captions as the last column says, so to about a tenth.) A loss that
# falls only says that $D$ wins; it does not say by what. Where $D$ hardly reads by either, as the second color, $G$ does
# not know better, however long it is trained; and what is small and drawn many times over, such as a pattern on petals,
# $G$ may miss even where $D$ reads it.
#
# ## How batch norm gave the answer away
#
# The released code judges true, wrong and drawn pairs in three batches. In a
# batch of true pairs, pictures and captions have something in common, a *covariance*; a batch of wrong pairs has none;
# and batch norm divides by what the whole batch varies. So $D$ could tell the batches apart, and did not have to read a
# single caption. Here is the effect in one line each, a "picture" number plus a "caption" number, normalised:

# %% tags=["nbval-check-output"]
torch.manual_seed(0)
picture = torch.randn(1000, 1)
caption = picture.clone()  # in true pairs, both say the same
norm = nn.BatchNorm1d(1, affine=False)
for name, pairs in {"true": picture + caption, "wrong": picture.roll(1, 0) + caption}.items():
    print(f"a batch of {name:5} pairs is multiplied by {(norm(pairs) / pairs).median():.2f}")

# %% [markdown]
# The cure is to judge all kinds of pairs as *one* batch, and it changes nothing in the networks. (The layers that look
# at pictures still see true and drawn ones apart, in this model and in StackGAN; AttnGAN, chapter 06, joins them, too.)

# %%
show.source(parts.judged_together)

# %% [markdown]
# ## Between captions, and between noises
#
# Upper row: from one caption to another with the same noise. Lower row: one caption, from one noise to another.

# %%
from t2i_course.nn.noise import noise

ends = system.embed(["a flower with red petals in the grass", "a flower with blue petals at night"])
z = noise(0, 2, system.config.z_dim)
way = torch.linspace(0, 1, 7)[:, None]
with torch.no_grad():
    between_captions = system.generator(z[:1].expand(7, -1), (1 - way) * ends[:1] + way * ends[1:])
    between_noises = system.generator((1 - way) * z[:1] + way * z[1:], ends[:1].expand(7, -1))
show.pictures(
    torch.cat([between_captions, between_noises]),
    columns=7,
    inches=1.4,
    alt="Two rows of seven flowers: in the upper one the caption changes gradually, in the lower one the noise.",
)

# %% [markdown]
# **Notice** that between the captions there is a jump in the middle, and that to the eye the lower row is one picture. At
# the end of an ideal game $G$ draws every picture that a caption allows. On the way there it is otherwise: $D$ tells each
# picture in which direction it looks truer, and pictures that are nearly alike are told nearly the same. So they move
# together, and nothing rewards $G$ for keeping them apart. This is **mode collapse**. (How much variety is left, the judge
# will say.)
#
# ## Two pictures say more than one
#
# In 2016 Tim Salimans and others let $D$ see how far each picture is from the others of its batch (*minibatch
# discrimination*, in *"Improved Techniques for Training GANs"*). In 2018 Zinan Lin and others let $D$ judge *packs* of
# pictures, several at once (*"PacGAN"*). Our recipes can do as both: besides single pictures, $D$
# judges two pictures of one caption at a time, by how far apart they are in what it sees. Take a caption that is true of
# its own picture and of another one in the batch (our worlds know what is true): these two are a *true* pack. The same
# caption drawn twice is a *drawn* pack. $D$ learns to tell one from the other, and $G$ wants its own taken for true. The
# answer depends on the difference of the two, so it can push them in opposite directions. (Mostly captions that promise
# little fit two pictures, so that is what packs teach about.)
#
# In `losses`, above, the captions `first` are drawn a second time, `again`; `seen[first]` and `seen[second]` are the true
# packs. `pack_judge` has no batch norm that could give kinds away, so they are judged one by one.

# %%
show.source(parts.packs_of, parts.pack_judge, parts.apart, gan_cls.Discriminator.judge_pack, parts.packs_should_be)


# %% [markdown]
# In the plane you can see what that does. The clouds are wider this time; GAN-CLS, whose captions are all in training,
# plays once without packs and once with them (one run of each). The *spread* is the standard deviation within a
# direction, and *right* the share of points that are nearest to their own cross.


# %%
class PackedToy(ToyDiscriminator):
    """Also judges two points of one direction."""

    def __init__(self):
        super().__init__()
        self.compare_pack = parts.pack_judge(64 + 2)  # what is seen, and a direction

    def judge_pack(self, seen, again, text):
        apart = (seen - again).abs()  # as parts.apart, but there are no places to average over
        return self.compare_pack(torch.cat([apart, text], 1)).flatten()


SPREAD = 0.4
torch.manual_seed(2)
clouds = {"true": 2 * directions(torch.arange(8)).repeat_interleave(25, 0) + SPREAD * torch.randn(200, 2)}
for name, toy in {"one at a time": ToyDiscriminator, "in packs, too": PackedToy}.items():
    _, history = play_the_game(*VARIANTS["GAN-CLS"], spread=SPREAD, discriminator=toy)
    clouds[name] = history[-1]
fig, axes = plt.subplots(1, 3, figsize=(9, 3.2))
for axis, (name, points) in zip(axes, clouds.items(), strict=True):
    plane(points, f"{name}: spread {points.view(8, 25, 2).std(1).mean():.2f}, {right(points):.0%} right", axis)
    axis.set(xlim=(-3.6, 3.6), ylim=(-3.6, 3.6))
fig.tight_layout()
show.figure(fig, alt="Eight clouds of true points; of points drawn against a D that saw one at a time; and in packs.")

# %% [markdown]
# **Notice** that without packs the clouds shrink, each to a place beside its cross; with packs they have nearly their true
# width. With pictures it is less easy, perhaps because the differences of two of them show $D$ more than how varied they
# are, such as noise. The small model above was trained without; that $D$ judges packs from some step on, when $G$ can
# draw, is an option of the recipe, `packs_from`.
#
# ## Play
#
# Type a caption about a flower or a bird. A word that the model never read is refused, and its neighbours are named.

# %%
from t2i_course.show.files import grid
from t2i_course.worlds.base import to_uint8


def draw_four(caption: str, seed: int) -> np.ndarray:
    """Four pictures of one caption."""
    return grid(to_uint8(system.draw([caption] * 4, seed)).repeat(2, 1).repeat(2, 2), columns=4)


show.play(
    draw_four,
    caption="a bird with a yellow belly that is on a branch",
    seed=(0, 20, 1, 0),
    alt="Four pictures that the small GAN-INT-CLS drew for the caption in the text field.",
)

# %% [markdown]
# ## What does the judge say?
#
# Beside the systems before: the share of facts that the judge finds in the pictures of 500 captions of each split (± is
# the standard error of *test*), FID, and **diversity**: how unlike each other the pictures of one caption are (eight for
# each of 25 captions of *test*), as a share of how unlike true pictures of other captions are. A collapsed generator has
# 0. The last lines are true pictures, of their own captions (the ceiling) and of others (chance); even those of one
# caption are not all alike, as it leaves most of a picture open. All this takes minutes, so it was measured beforehand
# (`python -m t2i_course.judge.standings gan_cls`).

# %%
from t2i_course.judge import standings

show.table(standings.table(("picture_layout", "aligndraw", "gan_cls")), digits=2)

# %% [markdown]
# **Notice** that many more facts are kept than by alignDRAW, with a lower FID, and with half its diversity. *Novel* asks
# for pairs that training withheld, and *its pair* says how often both are drawn: hardly more often than by alignDRAW, so
# halfway captions (INT) were not enough for that. And sharp is not the same as right. In the table of facts further up,
# what fills the picture is drawn as asked for; what $D$ hardly reads, as the second color, $G$ does not learn. And the
# diversity is about a third of that of true pictures; to the eye, the four above that answer one caption are nearly one.
#
# ## At full size
#
# `full` is the network for birds and flowers, `full_coco` the wider one that was released for MS-COCO.

# %% tags=["nbval-check-output"]
for variant in ("full", "full_coco", "small"):
    with torch.device("meta"):  # shapes without memory
        net = gan_cls.build(gan_cls.VARIANTS[variant])
    counts = {name: sum(p.numel() for p in part.parameters()) for name, part in net.items()}
    print(f"{variant:10} generator {counts['generator']:>10,}   discriminator {counts['discriminator']:>10,}")

# %% [markdown]
# ## Exercise: the wrong half
#
# Write the discriminator's loss of the matching-aware GAN from three tensors of logits `(B,)`: for true pairs, for true
# pictures with wrong captions, and for drawn pictures. The last two share the weight of the first. *(Ten minutes. Hint:
# $-\log \sigma(l)$ is `softplus(-l)`.)*


# %%
def matching_aware_loss(real, wrong, fake):
    """L_D, one number."""
    # your code here
    return torch.tensor(float("nan"))


# %%
def check(answer) -> str:
    """What is right, or what is wrong with it."""
    real, wrong, fake = torch.randn(3, 8, generator=torch.Generator().manual_seed(0))
    for name, logits in (
        ("all logits zero", (0 * real, 0 * wrong, 0 * fake)),
        ("a sure discriminator", (real + 20, wrong - 20, fake - 20)),
        ("any logits", (real, wrong, fake)),
        ("large logits", (50 * real, 50 * wrong, 50 * fake)),
    ):
        right, given = gan_cls.discriminator_loss(*logits), torch.as_tensor(answer(*logits))
        if given.shape != right.shape:
            return f"not yet: its shape is {tuple(given.shape)}, but the loss is one number"
        if not torch.allclose(given, right, atol=1e-4):
            return f"not yet: {name}: {given.item():.4f} should be {right.item():.4f}"
    return "right"


print(check(matching_aware_loss))

# %% [markdown]
# **Solution** (folded: click the dots, or the bar, to open it)


# %% jupyter={"source_hidden": true} tags=["nbval-check-output"]
def matching_aware_solution(real, wrong, fake):
    """L_D, one number."""
    softplus = nn.functional.softplus
    return softplus(-real).mean() + 0.5 * (softplus(wrong).mean() + softplus(fake).mean())


print(check(matching_aware_solution))

# %% [markdown]
# ## What came next
#
# 64×64 pixels hold no eye and no feather. The next systems draw in stages: StackGAN (chapter 05) sketches first and
# paints then, and AttnGAN (chapter 06) lets each place of the painting look up its words again.
