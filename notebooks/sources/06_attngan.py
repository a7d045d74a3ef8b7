# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   t2i:
#     chapter: "06"
#     title: AttnGAN
#     year: 2017
#     system: AttnGAN with DAMSM
#     promise: let every place of a picture look up the words that concern it, train a judge of words and regions, and say what a score means that comes from one's own teacher
#     needs: two CPU cores, no network
#     minutes: 90
# ---

# %% [markdown]
# # 06 · AttnGAN: places look up words (2017)
#
# **After this chapter you will be able to**
# * read a caption into one vector *per word*, and say why one per sentence is not enough,
# * train a model that finds the picture to a caption, and see where it looks for each word (DAMSM),
# * let a generator attend to words, with a mask that is right, and
# * explain why a high R-precision, and even a high Inception score, can flatter a generator.
#
# *Walks through the lecture's AttnGAN, the last of its early GANs. No GPU, no network; the README says how long it
# runs.*

# %%
import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F

from t2i_course import judge, show, timeline, worlds
from t2i_course.gan import attngan, damsm
from t2i_course.gan.damsm import DAMSM, r_precision, read, word_attention
from t2i_course.nn.losses import matching_loss
from t2i_course.nn.noise import noises
from t2i_course.text.words import vocabulary
from t2i_course.worlds.language import words as split

system = timeline.load("attngan")
flowers, birds = worlds.load("flowers"), worlds.load("birds")
CAPTIONS = [
    "a flower with five red petals and a yellow centre",
    "a purple flower at night, with silver leaves",
    "this small bird has a yellow belly and a long black bill",
    "a blue bird that is in the snow",
]
show.pictures(
    system.draw(CAPTIONS, seed=1),
    CAPTIONS,
    columns=4,
    inches=2.6,
    alt="Two flowers and two birds, drawn by the small AttnGAN of this course, each with its caption under it.",
)

# %% [markdown]
# Colors and grounds are right, also at night; five petals and the long bill are not to be seen.
#
# ## The story
#
# November 2017. Tao Xu, Pengchuan Zhang, Qiuyuan Huang, Han Zhang, Zhe Gan, Xiaolei Huang and Xiaodong He look at what
# StackGAN (chapter 05) does with a caption: it presses the whole sentence into *one* vector, and every place of the
# picture gets the same one. But "a yellow belly and a long black bill" says one thing to the place where the belly is,
# and another to the bill. Two years earlier alignDRAW (chapter 02) had let a picture ask for words, step by step; what
# that idea lacked was a picture that anyone would want to look at. *"AttnGAN: Fine-Grained Text to Image Generation
# with Attentional Generative Adversarial Networks"* (CVPR 2018) brings the two together. It has three parts:
#
# 1. a **text encoder** that gives one vector per word,
# 2. **DAMSM**, a judge trained beforehand: does this region of the picture show this word?
# 3. a **generator in stages**, all trained together, as in StackGAN-v2; every place attends to the words before the
#    picture is made twice as large.
#
# ## Part 1: one vector per word
#
# A bidirectional LSTM reads the caption forwards and backwards. At every word the two states side by side are that
# word's vector, in its context; the two *last* states are the sentence.

# %%
from t2i_course.text.word_rnn import WordRNN

show.source(WordRNN)

# %% tags=["nbval-check-output"]
words, sentences, mask = read(system.text, CAPTIONS[:2], system.words)
print("words    ", tuple(words.shape), " caption, word, dimension")
print("sentences", tuple(sentences.shape))
print("mask     ", mask.sum(1).tolist(), "words that count; the rest is padding")

# %% [markdown]
# *In its context* means: the same word is another vector elsewhere. How alike are the three words *a* of one caption,
# and how alike are the two *black*s of another?

# %%
text = [
    "a red flower with a white centre on a meadow",
    "a bird with a black crown, a red belly and black wings",
]
vectors, _, _ = read(system.text, text, system.words)
for k, word in enumerate(("a", "black")):
    places = [i for i, w in enumerate(split(text[k])) if w == word]
    alike = F.cosine_similarity(vectors[k, places][:, None], vectors[k, places][None], dim=-1)
    print(f"{word!r}, words number {places}: cosines", [f"{v:.2f}" for v in alike[0, 1:].tolist()])

# %% [markdown]
# The three *a* have little in common, the two *black* much, but they are not the same vector.
#
# ## Part 2: DAMSM, who looks where
#
# The *deep attentional multimodal similarity model* answers one question: does this caption fit this picture? A CNN
# whose weights are frozen cuts the picture into **regions** $v_j$; words $e_i$ come from the LSTM; a linear map brings
# both into one space. First every region asks which word it answers, then every word asks where (equations 7 to 9):
#
# $$ s_{ij} = e_i^\top v_j, \qquad \bar s_{ij} = \frac{e^{s_{ij}}}{\sum_k e^{s_{kj}}}, \qquad
#    \alpha_{ij} = \frac{e^{\gamma_1 \bar s_{ij}}}{\sum_k e^{\gamma_1 \bar s_{ik}}}, \qquad c_i = \sum_j \alpha_{ij} v_j $$
#
# $c_i$ is what the word found. A caption fits as well as its words find what they mean (equation 10, without its
# exponent $1/\gamma_2$, as in the released code; $\gamma_1$ says how sharply a word looks, $\gamma_2$ how much the best
# words count):
#
# $$ R = \log \sum_i e^{\gamma_2 \cos(c_i,\, e_i)} $$

# %%
show.source(damsm.word_attention, damsm._looks, damsm.word_scores)

# %% [markdown]
# In the paper the CNN is Inception-v3 with 17 x 17 regions. Ours is a small network that was trained to name what is on
# pictures of flowers and birds, with 8 x 8 regions. (It is *not* the judge's network. Remember that for later.)
#
# Nobody tells DAMSM which region shows which word. It only has to find, in a batch, the right caption for each picture
# and the right picture for each caption: a cross-entropy in both directions, over words and over sentences (equations
# 11 to 13; of $\gamma_3 R$, and of $\gamma_3$ times the cosine of sentence and picture: $\gamma_3 = 10$ says how sharply
# captions are compared). CUB has several photographs of one species, so the released code leaves pairs of the same class out; our
# captions promise only a few facts, so we leave out the pairs in which a caption *happens* to be true of another
# picture.

# %%
show.source(matching_loss, damsm.also_fits)

# %% [markdown]
# ### Train one
#
# A new text encoder and new linear maps, on the frozen CNN. **R-precision** is the paper's measure: of a picture's own
# caption and 99 others, does one that fits come first? (In the paper only its own counts.) A guess would be right as
# often as captions fit, and so is a new model.

# %%
recipe = damsm.recipe()
torch.manual_seed(0)
student, losses = recipe.build(), []
before = recipe.evaluate(student.eval())
optimiser = recipe.optimisers(student.train())["model"]
lesson = worlds.mixed_batches(damsm.WORLDS, "train", 64, 32, n=1000, epochs=None)
for _, batch in zip(range(80), lesson, strict=False):
    ((_, terms),) = recipe.losses(student, batch)
    optimiser.zero_grad()
    terms["loss"].backward()
    optimiser.step()
    losses.append({name: float(value.detach()) for name, value in terms.items()})
after = recipe.evaluate(student.eval())

# %%
show.lines(
    range(len(losses)),
    {name: [row[name] for row in losses] for name in ("words", "sentences")},
    xlabel="step",
    ylabel="loss",
    alt="The word loss and the sentence loss against training steps: both fall, that of words fast at first.",
)
teacher = DAMSM.load()
shipped = recipe.evaluate(teacher)
show.table(
    [
        {
            "R-precision, of 100": name.split(".")[1],
            "new": before[name],
            "after 80 steps": after[name],
            "shipped": shipped[name],
        }
        for name in before
    ],
    digits=2,
)

# %% [markdown]
# In 80 steps it hardly begins to learn; the shipped one took thousands.
#
# ### Ask it
#
# With the trained model that ships with the course. Which of 200 pictures fit a caption best?

# %%
(shelf,) = flowers.batches("val", 64, 200, n=200, shuffle=False)
with torch.no_grad():
    regions, whole = teacher.pictures(shelf.pictures)


def find_pictures(caption: str, n: int = 6) -> list[int]:
    """The n pictures of the shelf that fit a caption best, by the cosine of sentence and whole picture."""
    with torch.no_grad():
        _, sentence, _ = read(teacher.text, [caption], vocabulary(*damsm.WORLDS))
    return F.cosine_similarity(sentence, whole).topk(n).indices.tolist()


wanted = ["a blue flower on a meadow", "a flower with eight narrow petals", "a flower at sunset, with silver leaves"]
found = [i for caption in wanted for i in find_pictures(caption)]
right = [flowers.facts(caption).items() <= shelf.truth[i].items() for caption in wanted for i in find_pictures(caption)]
show.pictures(
    shelf.pictures[found],
    [f"{wanted[k // 6] if k % 6 == 0 else ''} {'(fits)' if ok else '(does not)'}" for k, ok in enumerate(right)],
    columns=6,
    inches=1.5,
    alt="Three rows of six flowers: what was found for three captions, each marked with whether it truly fits.",
)

# %% [markdown]
# **Notice** what it confuses: backgrounds and leaves come easily, a color is found, but not always where it should be
# (some have a blue edge only), and counting is hard. What DAMSM does not see, it cannot teach.
#
# And the other way round, which captions fit a picture best?

# %%
with torch.no_grad():
    _, sentences, _ = read(teacher.text, shelf.captions, vocabulary(*damsm.WORLDS))
chosen = [3, 11, 42]
best = [F.cosine_similarity(sentences, whole[i : i + 1]).argmax().item() for i in chosen]
show.pictures(
    shelf.pictures[chosen],
    [shelf.captions[i] for i in best],
    columns=3,
    inches=2.2,
    alt="Three true flowers, each with the caption that DAMSM finds most fitting among two hundred.",
)

# %% [markdown]
# The third flower has green leaves, not red ones: DAMSM errs here, too.
#
# ### See where it looks
#
# $\alpha$ has one map per word. It is red where the word looks more than it would if it looked everywhere alike, and
# blue where it looks less; full color is four times as much, or a quarter.


# %%
def tinted(picture: torch.Tensor, weights: torch.Tensor, alike: float) -> torch.Tensor:
    """A picture (3, H, W) in grey, red where weights (h, w) are above `alike` and blue where they are below."""
    weights = F.interpolate(weights[None, None], picture.shape[1:], mode="bilinear")[0, 0]
    doubled = (weights / alike).log2().clamp(-2, 2)
    place = doubled / 5.5 + 0.5  # on the scale of colors, whose ends are dark
    color = torch.from_numpy(plt.cm.RdBu_r(place.numpy())[..., :3]).permute(2, 0, 1)
    return 0.5 * picture.mean(0) + 0.5 * (2 * color.float() - 1)


caption, picture = shelf.captions[0], shelf.pictures[0]
words, _, mask = read(teacher.text, [caption], vocabulary(*damsm.WORLDS))
looks = word_attention(words[0], regions[0], mask[0], teacher.config.gamma_1).detach().unflatten(1, (8, 8))
names = split(caption)
show.pictures(
    torch.stack([picture, *(tinted(picture, look, 1 / look.numel()) for look in looks)]),
    ["(true picture)", *names],
    columns=8,
    inches=1.3,
    alt=f"The true picture of the caption '{caption}', and one copy for each word, red where DAMSM looks for that word.",
)

# %% [markdown]
# **Notice** that colors look where they are, that many words look everywhere alike, even some that name a part, and
# that *flower* looks at all but the flower: nothing forces them to. Attention maps are a view into a model, not an
# explanation of it.
#
# ## Part 3: a generator that asks
#
# The first stage is StackGAN's: the sentence, made a little noisy (conditioning augmentation), and $z$ become a small
# picture. Then every place $h_n$ of the features asks the words (equation 2):
#
# $$ c_n = \sum_i \beta_{ni}\, e'_i, \qquad \beta_{ni} = \mathrm{softmax}_i\big(h_n^\top e'_i\big), \qquad e' = U e $$
#
# and with what it is told, it makes the picture twice as large. You know this from chapter 03: queries are places, keys
# and values are words.

# %%
from t2i_course.nn.attention import attention

show.source(attention, attngan.NextStage)

# %% tags=["nbval-check-output"]
seen = system.explain(CAPTIONS, seed=1)
print("pictures ", [tuple(p.shape) for p in seen["pictures"]])
print("attention", [tuple(a.shape) for a in seen["attention"]], " caption, word, place")
total = sum(p.numel() for p in system.generator.parameters())
sizes = ", ".join(f"{n:,} ({name})" for name, n in timeline.find("attngan").variants.items() if name != "small")
print(f"generator: {total:,} parameters; published: {sizes}")

# %%
show.pictures(
    torch.cat(list(system.frames(CAPTIONS, seed=1))),
    [f"{p.shape[-1]} x {p.shape[-1]}" for p in seen["pictures"] for _ in CAPTIONS],
    columns=4,
    inches=1.9,
    alt="The pictures of all stages, one row each: the second adds what the first lacked, the third hardly more than pixels.",
)

# %% [markdown]
# **Notice** that the second stage adds what the first lacked (a center, edges), and the third hardly more than pixels.
#
# Where did the places of one of them look?

# %%
k = 2
names = seen["words"][k]
for stage, looks in zip((2, 3), seen["attention"], strict=True):
    looks, drawn = looks[k, : len(names)], seen["pictures"][-1][k]
    show.pictures(
        torch.stack([drawn, *(tinted(drawn, look, 1 / len(names)) for look in looks)]),
        ["(finished)", *names],
        columns=7,
        inches=1.45,
        alt=f"The picture drawn for '{CAPTIONS[k]}', and one copy for each word, red where stage {stage} asked for it.",
    )
    print(
        f"stage {stage}: the loudest word has {looks.amax(0).mean():.2f} of the weight, alike for all it would be {1 / len(names):.2f}"
    )

# %% [markdown]
# Here each place shares its weight among the words: red is more than an equal share. This attention, too, has to be
# learned from nothing but the losses. In stage 2 *yellow* has found the belly, and *black* the head; in stage 3 most
# places hear a mixture of all words. Does it matter, then, which words a place looks at, and what they say? Draw with
# words that are all the same, the mean of the caption's words, so that no place can choose; with another caption's words
# but the own sentence; and the other way round:

# %%
rows, n = [], 100
for world in (flowers, birds):
    asked = [world.caption("test", i)[0] for i in range(n)]
    words, sentences, mask = read(system.text, asked, system.words)
    mean = (words * mask[:, :, None]).sum(1, keepdim=True) / mask.sum(1)[:, None, None]
    parts = [system.config.z_dim, system.config.condition_dim]
    z, eps = noises(0, n, *parts)
    rows.append({"world": world.name})
    for title, (w, m, s) in {
        "own words": (words, mask, sentences),
        "all words alike": (mean.expand_as(words), mask, sentences),
        "another's words": (words.roll(1, 0), mask.roll(1, 0), sentences),
        "another's sentence": (words, mask, sentences.roll(1, 0)),
    }.items():
        with torch.no_grad():
            drawn = system.generator(z, eps, w, s, m)["pictures"][-1]
        rows[-1][title] = judge.caption_accuracy(drawn, asked, world).accuracy
show.table(rows, digits=2)

# %% [markdown]
# **Notice** that the sentence decides most: with another's, most of what is kept beyond chance is lost (the last
# line of each world in the judge's table below), whatever the words say. *Having* the right words beside their own
# sentence is worth something, most for birds, whose parts have colors of their own. But *choosing* among them is worth
# little: with one mean word everywhere nearly as many facts are kept (of a hundred captions, so 0.03 may be chance). Our
# captions promise three or four facts, and a sentence vector has room for those.
#
# ### Its losses
#
# Each stage has a discriminator of its own, which answers two questions: is this a true picture, and is it one of this
# *sentence*? G must please all of them, and DAMSM:
#
# $$ L_G = \sum_k \Big( -\log D_k(x_k) - \log D_k(x_k, \bar e) \Big) + \lambda\, L_{\mathrm{DAMSM}} + L_{\mathrm{KL}} $$
#
# ($x_k$ is the picture of stage $k$, $D_k$ its discriminator, $\bar e$ the sentence.)

# %%
show.source(attngan.discriminator_loss, attngan.losses)

# %% [markdown]
# $\lambda$ is the lever: 5 for birds, 50 for MS-COCO in the released code. Too small, and the words are lost; too
# large, and G paints whatever DAMSM's eyes take for a flower. (The small model of this course needs a much smaller
# one, as the next cell says.)

# %%
print(f"lambda of the small model: {system.config.damsm_weight}")

# %% [markdown]
# Like all of our small GANs it also learns by `matching` (chapter 04). Among the few captions of a batch two or three
# facts already give the right one away, so here a picture has to find its caption among many more (so it has in StackGAN's Stage II). `matching` hears
# only the sentence, and counts more than the DAMSM: that is why ours hears its sentence first. And G is asked about
# captions first, and only later whether its pictures look true *whatever they show* (`alone_from`, in the recipe at the
# end of `t2i_course/gan/attngan.py`): most true pictures are bright, and a flower at night has to pass as a dim one
# first, of which there are none. (We have not measured what each of these is worth alone.)
#
# ## Play
#
# Change the words; change the seed; and choose a word to see which places of stage 2 asked for it.


# %%
def paint(caption: str, seed: int, word: int) -> np.ndarray:
    """The stages of one drawing, and where the second one asked for a word: uint8 (H, W, 3)."""
    seen = system.explain([caption], seed)
    *_, last = stages = [F.interpolate(picture, seen["pictures"][-1].shape[2:]) for picture in seen["pictures"]]
    looks = seen["attention"][0][0]
    words = len(seen["words"][0])
    shown = tinted(last[0], looks[min(word, words) - 1], 1 / words)
    return show.grid(worlds.base.to_uint8(torch.cat([*stages, shown[None]])), columns=4)


show.play(
    paint,
    caption="a small bird with a red breast and a yellow bill",
    seed=(0, 50, 1, 0),
    word=(1, 12, 1, 6),
    alt="The stages of a drawn bird and a copy red where the chosen word was asked for; caption, seed and word can be changed.",
)

# %% [markdown]
# ## What does the judge say?
#
# Beside its predecessors, all of them small and trained for this course on the same flowers and birds: the share of
# facts that the judge finds in the pictures of 500 captions of each split (± is the standard error of *test*; *novel*
# asks for combinations that no picture in training showed), FID, and diversity (chapter 04); and of true pictures, of
# their own captions (the ceiling) and of others (chance). That takes some minutes, so it was done beforehand (`python -m
# t2i_course.judge.standings attngan`).

# %%
from t2i_course.judge import seeds, standings

show.table(standings.table(("aligndraw", "gan_cls", "stackgan", "attngan")), digits=2)

# %% [markdown]
# **Notice** that AttnGAN keeps most facts in both worlds, by most on the split *novel* of flowers, where it alone draws
# half of the new pairs; that FID does not agree about flowers (StackGAN's is lower); and that its pictures of one caption
# are much alike, which true ones are not.
#
# ### Did it work, or did it work once?
#
# GANs are known for trainings that fail. So the recipes were run from more than one seed; here is what every run reached
# at its end, on the split val, and the time it took (a second run beside it on the same machine makes it longer).
# StackGAN's Stage II of 6,000 steps was not yet compared with other captions than those of its batches; that of 7,000
# was.

# %%
rows = []
for run in seeds.load():
    on = " on Stage I of this seed" if "stage1" in run["options"] else ""
    rows.append({"recipe": run["recipe"] + on, "seed": run["seed"], "steps": run["steps"]})
    rows[-1] |= {"minutes": round(run["seconds"] / 60), **run["metrics"]}
show.table(rows, digits=2)

# %% [markdown]
# **Notice** that no run failed, and that seeds of one recipe differ by a few hundredths, which is also how far apart some
# *systems* are. A paper that reports one run of each may report its luck. (Of Stage II as it is trained now there is one
# run, too.)
#
# ### How fast?
#
# One pass, and the picture is there: that is what GANs have over the autoregressive and the diffusion models that
# followed. (alignDRAW, in the first line, needs a pass for each step, but its pictures are tiny.) Pictures per second of
# the networks alone, small and at the published size (AttnGAN: that of birds), one at a time and 64 together, as
# `tests/benchmarks/` measured it. (A batch of the published size asks for a GPU.)

# %%
import json

from t2i_course.paths import DATA

measured = json.loads((DATA / "benchmarks" / "generators.json").read_text())["rows"]
measured = [run for run in measured if run["hardware"] == measured[0]["hardware"]]
rows = []
for name in ("aligndraw", "gan_cls", "stackgan", "attngan"):
    of_system = [run for run in measured if run["system"] == name and not run["against"]]
    side = {"aligndraw": "32 / 32", "gan_cls": "64 / 64", "stackgan": "128 / 256", "attngan": "128 / 256"}[name]
    rows.append({"system": timeline.find(name).title, "pixels a side, small / full": side})
    for run in sorted(of_system, key=lambda run: (run["variant"] != "small", run["batch"])):
        rows[-1][f"{run['variant']}, {run['batch']} at a time"] = run["pictures per second"]
show.table(rows, digits=1)
print("measured on", measured[0]["hardware"])

# %% [markdown]
# **Notice** the second column: pictures of 128 x 128 have sixteen times the pixels of 32 x 32. A batch helps where the
# work is small, and not where the pictures are large.
#
# ## A score from one's own teacher
#
# The paper also reports R-precision: drawn pictures are shown to DAMSM, which has to find their captions. Let us do the
# same, for drawn pictures and for *true* ones, and ask the judge about both. As in the paper, only a picture's own
# caption counts in the first column, and not another that happens to fit; in the second any that fits does.

# %%
n = 120
(test,) = birds.batches("test", 64, n, n=n, shuffle=False)
drawn = torch.cat([system.draw(test.captions[i : i + 30], seed=i) for i in range(0, n, 30)])
with torch.no_grad():
    _, sentences, _ = read(teacher.text, test.captions, vocabulary(*damsm.WORLDS))
    rows = []
    for name, pictures in {"drawn by AttnGAN": drawn, "true": test.pictures}.items():
        whole = teacher.pictures(pictures)[1]
        own = torch.eye(n, dtype=torch.bool)  # as in the paper: only the caption that it was drawn for counts
        rows.append({"pictures": name, "R-precision (DAMSM)": r_precision(sentences, whole, own)})
        rows[-1]["any caption that fits"] = r_precision(sentences, whole, test.fits())
        rows[-1]["caption accuracy (judge)"] = judge.caption_accuracy(pictures, test.captions, birds).accuracy
show.table(rows, digits=2)

# %% [markdown]
# **Notice** that DAMSM finds the captions of drawn pictures *more often* than those of true ones, while the judge finds
# far fewer of their facts in the drawn ones. (In the second column
# it is fair to true pictures, too.) G was trained to please DAMSM; asking DAMSM whether it succeeded is asking
# the teacher whether the pupil has learned to please the teacher. The same holds, less plainly, for the Inception score
# of MS-COCO in the paper: DAMSM's eyes are an Inception network trained on ImageNet, and so is the network that gives
# the score.
#
# ## Where it got stuck
#
# As published, Inception score (IS, higher is better) and FID (lower is better):
#
# | | IS, CUB birds | IS, MS-COCO | FID, MS-COCO | R-precision, CUB / COCO |
# |---|---|---|---|---|
# | GAN-INT-CLS (2016) | 2.88 | 7.88 | | |
# | StackGAN (2016) | 3.70 | 8.45 | | |
# | StackGAN-v2 (2017) | 4.04 | | | |
# | AttnGAN (2017) | 4.36 | 25.89 | 35.49 (as others measured it) | 67.82 % / 85.47 % |
# | DM-GAN (2019) | 4.75 | 30.49 | 32.64 | |
# | DF-GAN (2020; as published at CVPR 2022) | | | 19.32 | |
#
# (Blank: not repeated here.)
#
# On birds, where every picture has one thing in its middle, each system looks better than the one before. On MS-COCO,
# with several things in their places, the scores rose three times over, and the pictures were still not ones in which a
# person could say what is where. From 2018 to 2020 many papers added a part to this design: a memory (DM-GAN, whose FID
# is hardly lower), a second discriminator, a caption model that reads the picture back; DF-GAN took parts away, and got
# further. The six axes of chapter 00 say what stayed as it was: tens
# of thousands of pictures, a text encoder that had read nothing but their captions, a generator of ten million
# parameters, and the instability of GANs.
#
# ## Load the published weights
#
# `AttnGAN.load("bird", weights=FOLDER)` draws with the released files. The names of their tensors are mapped to ours
# by one visible table:

# %%
from t2i_course.published import attngan as published

show.source(published.load)
print(published.REMEDY)

# %% [markdown]
# ## Exercise: whose padding is it?
#
# A batch holds captions of different lengths, so words beyond a caption's end must be masked. The attention of a batch
# has one row per place, `B * N` rows, sorted by caption: first the N places of caption 0, then those of caption 1. The
# released code makes the mask of these rows with `mask.repeat(N, 1)`. For one caption that is right. For more it is
# not, and the published weights were trained that way. Write the right one: `mask` is `(B, T)`, the result `(B * N,
# T)`. *(Five minutes.)*


# %%
def mask_of_places(mask: torch.Tensor, n: int) -> torch.Tensor:
    """The mask (B * n, T) for n places of each caption, in the order of the captions."""
    return mask.repeat(n, 1)  # as released: wrong. Your code here


# %%
def check(answer) -> str:
    """What is right, or what is wrong with it."""
    mask = torch.tensor([[True, True, True], [True, False, False]])
    for n in (1, 2, 3):
        rows = answer(mask, n)
        if tuple(rows.shape) != (2 * n, 3):
            return f"not yet: the shape is {tuple(rows.shape)}, not {(2 * n, 3)}"
        for row in range(2 * n):
            if not torch.equal(rows[row], mask[row // n]):
                return f"not yet: of {n} places each, row {row} belongs to caption {row // n} but has another mask"
    return "right"


print(check(mask_of_places))

# %% [markdown]
# **Solution** (folded: click the dots, or the bar, to open it)


# %% jupyter={"source_hidden": true} tags=["nbval-check-output"]
def mask_of_places_solution(mask: torch.Tensor, n: int) -> torch.Tensor:
    """The mask (B * n, T) for n places of each caption, in the order of the captions."""
    return mask.repeat_interleave(n, 0)


print(check(mask_of_places_solution))

# %% [markdown]
# ## What came next
#
# While GANs grew more parts, others asked whether a picture could be *read*, pixel by pixel or token by token, with the
# same machines that read text: PixelCNN in 2016, visual words, and the transformer that draws. The chapters about them
# are still to come; the next one is about CLIP, which reads pictures and captions alike (chapter 10).
