# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   t2i:
#     homework: hw02
#     title: Attention and GANs
#     minutes: 110
#     limits:
#       memory: 4294967296
#       cell_seconds: 40.0
#       notebook_seconds: 240.0
#     holes:
#       - t2i_course.nn.attention.attention
#       - t2i_course.nn.attention.fast_attention
#       - t2i_course.vae.aligndraw.filter_bank
#       - t2i_course.vae.aligndraw.gaussian_kl
#       - t2i_course.gan.stackgan.condition
#       - t2i_course.nn.losses.kl_to_standard_normal
#       - t2i_course.gan.gan_cls.discriminator_loss
#       - t2i_course.gan.parts.discriminator_loss
#       - t2i_course.gan.damsm.word_attention
#       - t2i_course.gan.damsm.word_scores
#       - t2i_course.gan.damsm._looks
# ---

# %% [markdown]
# # Homework 2 · Attention and GANs
#
# Five formulas that made pictures listen to words, from 2015 to 2018. You write them; the trained networks of the
# course then draw through *your* functions.
#
# | exercise | what | difficulty | minutes | points |
# |---|---|---|---|---|
# | 1 | Cross-attention with a mask | ●●○ | 20 | 25 |
# | 2 | DRAW's Gaussian filter bank | ●●○ | 25 | 20 |
# | 3 | Conditioning augmentation and its KL | ●○○ | 15 | 20 |
# | 4 | The matching-aware loss of GAN-CLS | ●●○ | 20 | 15 |
# | 5 | The DAMSM score: does this picture show these words? | ●●● | 30 | 20 |
#
# **How it works.** Write only into the cells that say `YOUR CODE HERE`; put helper functions into the same cell, since
# *only these cells are graded*, each with the imports below and nothing else of your notebook. Below each answer, a
# *self-check* says what differs and by how much. Your grade comes from the same checks on other inputs. Chapters 02 to
# 06 tell the story behind all this; the library's own functions for these exercises are taken out while you are graded.
#
# On the command line, `t2i check hw02.ipynb` runs everything as the grader will, and sums it up.
#
# Letters: B captions or pictures, N places, T words, D numbers of a query or key, E of a value.

# %% setup=""
import numpy as np
import torch
import torch.nn.functional as F

from t2i_course import show, worlds
from t2i_course.gan import attngan, damsm, gan_cls, stackgan
from t2i_course.vae import aligndraw

torch.set_num_threads(1)
CAPTIONS = [worlds.load("birds").caption("test", i)[0] for i in (4, 3, 15)]


def normal(rng, *shape: int) -> torch.Tensor:
    """Random numbers for the checks."""
    return torch.tensor(rng.normal(size=shape), dtype=torch.float32)


# %% [markdown]
# ## 1 · Cross-attention with a mask
#
# Every place of a picture asks a question (its query), every word answers with a key, and the place takes home the mean
# of the words' values, weighted by how well the keys answer it. Captions have different lengths, so short ones are
# padded; nobody may look at padding: it gets the weight 0, and the weights of the words sum to 1.
#
# $$ \text{weights} = \operatorname{softmax}_T\!\left(\frac{Q K^\top}{\sqrt D}\right), \qquad \text{found} = \text{weights}\; V $$
#
# ●●○ · about 20 minutes · 25 points
#
# <details><summary>Hint</summary>
#
# Scores of -inf become weights of 0: scores.masked_fill(~mask, float("-inf")) before the softmax. A mask (B, T) needs
# a dimension for the N places first.
# </details>


# %% answer="cross_attention"
def cross_attention(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: torch.Tensor, scale: float | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """What each place finds (B, N, E), and where it looked, the weights (B, N, T).

    q (B, N, D), k (B, T, D), v (B, T, E); mask (B, T), bool, True for words, at least one in each caption. scale: what
    the scores are multiplied with, 1 / sqrt(D) unless given.
    """
    ### BEGIN SOLUTION
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    scores = q @ k.transpose(1, 2) * scale  # (B, N, T)
    weights = scores.masked_fill(~mask[:, None], float("-inf")).softmax(-1)
    return weights @ v, weights
    ### END SOLUTION


# %% check="attention_plain" exercise="cross_attention" points=10
@check("attention_plain")
def attention_where_every_word_counts(rng, value):
    q, k, v = normal(rng, 2, 4, 6), normal(rng, 2, 3, 6), normal(rng, 2, 3, 5)
    found, weights = cross_attention(q, k, v, torch.ones(2, 3, dtype=torch.bool))
    value("weights", weights)
    value("found", found)
    value("weights with scale=1", cross_attention(q, k, v, torch.ones(2, 3, dtype=torch.bool), 1.0)[1])


# %% check="attention_mask" exercise="cross_attention" points=15
@check("attention_mask")
def attention_that_must_not_see_padding(rng, value):
    q, k, v = normal(rng, 2, 3, 8), 3 * normal(rng, 2, 4, 8), normal(rng, 2, 4, 2)
    mask = torch.tensor([[True, True, False, False], [True, True, True, True]])
    mask[1, int(rng.integers(4))] = False
    given = mask.clone(), k.clone()
    found, weights = cross_attention(q, k, v, mask)
    value("weights", weights)
    value("found", found)
    value("the mask after the call", mask.float() - given[0].float())
    value("the keys after the call", k - given[1])


# %% [markdown]
# **Pay-off**: AttnGAN draws three captions through your attention.

# %% payoff="cross_attention"
attngan.attention = lambda q, k, v, mask, scale=None: cross_attention(q, k, v, mask[:, 0], scale)
system = attngan.AttnGAN.load("small")
show.pictures(
    system.draw(CAPTIONS, seed=3),
    CAPTIONS,
    inches=2.6,
    alt="Three birds that AttnGAN draws from their captions, looking at the words through your attention.",
)

# %% [markdown]
# ## 2 · DRAW's Gaussian filter bank
#
# How can a network look at a *part* of a picture, and still be trained by gradients? Through N Gaussian filters in a row
# (and N in a column): their common centre says where the window is, their stride how large, their variance how blurred.
# Filter $n = 1 \ldots N$ sits at $\mu_n$ and weighs the pixels $a = 0 \ldots A - 1$; its weights sum to 1.
#
# $$ \mu_n = g + \left(n - \tfrac N2 - \tfrac12\right)\delta, \qquad
#    F_{n,a} = \frac 1{Z_n} \exp\!\left(-\frac{(a - \mu_n)^2}{2\sigma^2}\right) $$
#
# ●●○ · about 25 minutes · 20 points
#
# <details><summary>Hint</summary>
#
# torch.arange counts from 0, the formula from 1. Bring everything to (B, N, A): centres [:, None, None], filters
# [None, :, None], pixels [None, None, :].
# </details>


# %% answer="filters"
def filters(centre: torch.Tensor, stride: torch.Tensor, variance: torch.Tensor, size: int, window: int) -> torch.Tensor:
    """One filter bank for each picture: (B, N, A); each filter's weights sum to 1.

    centre, stride, variance (B,): g, delta and sigma squared, in pixels; size: A; window: N.
    """
    ### BEGIN SOLUTION
    n = torch.arange(1, window + 1)
    mu = centre[:, None] + stride[:, None] * (n - window / 2 - 0.5)  # (B, N)
    a = torch.arange(size)
    bank = torch.exp(-((a - mu[..., None]) ** 2) / (2 * variance[:, None, None]))  # (B, N, A)
    return bank / bank.sum(-1, keepdim=True)
    ### END SOLUTION


# %% check="filters_even" exercise="filters" points=10
@check("filters_even")
def an_even_number_of_filters(rng, value):
    centre, stride = torch.tensor(rng.uniform(3, 6, 2)), torch.tensor(rng.uniform(0.7, 1.5, 2))
    variance = torch.tensor(rng.uniform(0.5, 2.0, 2))
    bank = filters(centre, stride, variance, 9, 4)
    value("filters", bank)
    value("the sum of each filter", bank.sum(-1))


# %% check="filters_odd" exercise="filters" points=10
@check("filters_odd")
def an_odd_number_of_filters_and_other_variances(rng, value):
    centre, stride = torch.tensor(rng.uniform(4, 7, 3)), torch.tensor(rng.uniform(1.0, 2.0, 3))
    value("filters", filters(centre, stride, torch.tensor([0.3, 1.0, 4.0]), 12, 3))
    value("one filter alone", filters(centre[:1], stride[:1], torch.tensor([2.0]), 12, 1))


# %% [markdown]
# **Pay-off**: alignDRAW reads and writes its canvas through your filters.


# %% payoff="filters"
def bank(head, size, window):
    """What alignDRAW asks for, by your filters: it puts them half a stride further to the left and up."""
    x, y, log_stride, log_variance, log_gamma = head.T
    stride = (size - 1) / (window - 1) * log_stride.exp()
    shift = (window // 2 - window / 2 + 1) * stride
    f_x, f_y = (filters((size + 1) / 2 * (p + 1) - shift, stride, log_variance.exp(), size, window) for p in (x, y))
    return f_x, f_y, log_gamma.exp()[:, None, None]


aligndraw.filter_bank = bank
canvas = aligndraw.Drawer.load("small").explain([CAPTIONS[0]], seed=1)["canvas"][:, 0]
show.pictures(
    canvas[::2],
    columns=6,
    inches=1.6,
    alt="A bird coming into being on alignDRAW's canvas in six steps, written through your filters.",
)

# %% [markdown]
# ## 3 · Conditioning augmentation
#
# Few captions, many pictures: StackGAN blurs each caption a little. Instead of the embedding itself, the generator gets
# a sample around it, and a term of the loss keeps these little clouds close to one standard normal cloud, so that the
# space between captions is filled, too.
#
# $$ c = \mu + \sigma \odot \varepsilon, \qquad \sigma = e^{\ell/2}, \qquad
#    \mathrm{KL} = -\tfrac12 \sum_i \left(1 + \ell_i - \mu_i^2 - e^{\ell_i}\right), \qquad \ell = \log \sigma^2 $$
#
# ●○○ · about 15 minutes · 20 points
#
# <details><summary>Hint</summary>
#
# logvar is the logarithm of the *variance*: sigma is exp(logvar / 2). One KL for each caption: sum over the last axis.
# </details>


# %% answer="augment"
def augment(mu: torch.Tensor, logvar: torch.Tensor, eps: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The conditions (B, D), and the KL divergence of each caption's cloud from the standard normal one (B,).

    mu, logvar, eps (B, D): mean and log variance of the clouds, and standard normal noise.
    """
    ### BEGIN SOLUTION
    c = mu + torch.exp(logvar / 2) * eps
    kl = -0.5 * (1 + logvar - mu**2 - logvar.exp()).sum(-1)
    return c, kl
    ### END SOLUTION


# %% check="augment_sample" exercise="augment" points=10
@check("augment_sample")
def the_condition(rng, value):
    mu, logvar, eps = normal(rng, 3, 4), normal(rng, 3, 4), normal(rng, 3, 4)
    given = mu.clone(), logvar.clone()
    value("conditions", augment(mu, logvar, eps)[0])
    value("mu after the call", mu - given[0])
    value("logvar after the call", logvar - given[1])


# %% check="augment_kl" exercise="augment" points=10
@check("augment_kl")
def the_kl_divergence(rng, value):
    mu, logvar = normal(rng, 3, 4), normal(rng, 3, 4)
    value("KL", augment(mu, logvar, normal(rng, 3, 4))[1])
    value("KL of standard normal clouds", augment(torch.zeros(2, 5), torch.zeros(2, 5), normal(rng, 2, 5))[1])


# %% [markdown]
# **Pay-off**: StackGAN draws one caption four times; only the noise of your augmentation differs.

# %% payoff="augment"
stackgan.condition = lambda mu, logvar, eps: augment(mu, logvar, eps)[0]
system = stackgan.StackGAN.load("small")
text = system.embed([CAPTIONS[1]] * 4)
generator = torch.Generator().manual_seed(0)
z = torch.randn(1, system.config.z_dim, generator=generator).expand(4, -1)
eps1, eps2 = torch.randn(2, 4, system.config.condition_dim, generator=generator)
with torch.no_grad():
    drawn = system.generator(z, eps1, eps2, text)["picture"]
show.pictures(
    drawn,
    [CAPTIONS[1], *["other noise"] * 3],
    inches=2.2,
    alt="Four birds by StackGAN from one caption, which differ only by the noise of your augmentation.",
)

# %% [markdown]
# ## 4 · The matching-aware loss
#
# A discriminator that sees only true pairs and drawn ones learns whether a picture is *real*, and need not read. GAN-CLS
# shows it a third kind: true pictures with the *wrong* caption. True pairs should be called true, and of the two kinds
# of false ones, each counts half:
#
# $$ L_D = -\overline{\log s(\text{real})} - \tfrac12\left( \overline{\log(1 - s(\text{wrong}))} +
#    \overline{\log(1 - s(\text{drawn}))} \right), \qquad s(x) = \frac1{1 + e^{-x}} $$
#
# with the mean over each batch. Logits may be large: log(1 - s(200)) is about -200, not minus infinity.
#
# ●●○ · about 20 minutes · 15 points
#
# <details><summary>Hint</summary>
#
# log(1 - s(x)) = log s(-x), and F.logsigmoid does not overflow. Or F.binary_cross_entropy_with_logits.
# </details>


# %% answer="matching_aware_loss"
def matching_aware_loss(real: torch.Tensor, wrong: torch.Tensor, drawn: torch.Tensor) -> torch.Tensor:
    """The loss of D, one number, from its logits of real pairs (B,), wrong pairs (B',) and drawn pairs (B'')."""
    ### BEGIN SOLUTION
    return -F.logsigmoid(real).mean() - (F.logsigmoid(-wrong).mean() + F.logsigmoid(-drawn).mean()) / 2
    ### END SOLUTION


# %% check="loss_usual" exercise="matching_aware_loss" points=9
@check("loss_usual")
def the_loss_of_usual_logits(rng, value):
    value("loss", matching_aware_loss(normal(rng, 5), 1 + normal(rng, 5), normal(rng, 5) - 1))
    value("loss of batches of other sizes", matching_aware_loss(normal(rng, 4), normal(rng, 8), normal(rng, 2)))


# %% check="loss_large" exercise="matching_aware_loss" points=6
@check("loss_large")
def the_loss_of_large_logits_and_its_gradient(rng, value):
    real, wrong, drawn = (s * torch.tensor(rng.uniform(100, 300, 3), dtype=torch.float32) for s in (-1, 1, 1))
    value("loss", matching_aware_loss(real, wrong, drawn))
    logits = [normal(rng, 3).requires_grad_() for _ in range(3)]
    matching_aware_loss(*logits).backward()
    for name, given in zip(("real", "wrong", "drawn"), logits, strict=True):
        value(f"gradient with respect to {name}", torch.zeros(3) if given.grad is None else given.grad)


# %% [markdown]
# **Pay-off**: a small discriminator on the features of the course's DAMSM learns by your loss, and reads.

# %% payoff="matching_aware_loss"
judge, birds = damsm.DAMSM.load(), worlds.load("birds")
captions = [birds.caption("val", i)[0] for i in range(32)]
true = np.stack([birds.render(birds.spec("val", i), 64) for i in range(32)])  # (32, 64, 64, 3)
true = torch.tensor(true).permute(0, 3, 1, 2) / 127.5 - 1
with torch.no_grad():
    drawn = gan_cls.GANCLS.load("small").draw(captions, seed=0)
    text = F.normalize(damsm.read(judge.text, captions, damsm.vocabulary(*damsm.WORLDS))[1])
    seen, seen_drawn = (F.normalize(judge.pictures(pictures)[1]) for pictures in (true, drawn))
torch.manual_seed(0)
D = torch.nn.Sequential(torch.nn.Linear(256, 64), torch.nn.LeakyReLU(0.2), torch.nn.Linear(64, 1))


def logits(pictures, captions):
    return D(torch.cat([pictures * captions, pictures - captions], 1)).flatten()


for _ in range(400):  # plain gradient descent
    loss = matching_aware_loss(logits(seen, text), logits(seen, text.roll(1, 0)), logits(seen_drawn, text))
    with torch.no_grad():
        for parameter, slope in zip(D.parameters(), torch.autograd.grad(loss, list(D.parameters())), strict=True):
            parameter -= 0.5 * slope
with torch.no_grad():
    believed = logits(seen[:1].expand(32, -1), text).sigmoid()
order = believed.argsort(descending=True)[[0, 1, -2, -1]].tolist()
show.pictures(
    true[[0, *order]],
    [f"asked about this one ({captions[0]})", *(f"its caption here? {believed[i]:.0%}: {captions[i]}" for i in order)],
    inches=2.2,
    alt="A bird, and four whose captions the discriminator believes of it: the two most, and the two least.",
)

# %% [markdown]
# ## 5 · The DAMSM score
#
# AttnGAN's judge compares every word $e_i$ with every region $v_j$ of the picture. Each region asks which word it shows
# (a softmax over the words, without padding), each word asks where it is shown (a softmax over the regions, sharpened
# by $\gamma_1$) and gathers those regions; then the words vote, the best ones the loudest ($\gamma_2$):
#
# $$ s = \operatorname{softmax}_{\text{words}}(e^\top v), \quad \alpha_i = \operatorname{softmax}_{\text{regions}}(\gamma_1 s_i), \quad
#    c_i = \sum_j \alpha_{ij} v_j, \quad R = \log \sum_i \exp\left(\gamma_2 \cos(c_i, e_i)\right) $$
#
# Only words count in the last sum. (The paper takes the sum to the power $1/\gamma_2$; the released code does not.)
#
# ●●● · about 30 minutes · 20 points
#
# <details><summary>Hint</summary>
#
# Six lines, one for each symbol, with their shapes: s (B, T, N), alpha (B, T, N), c (B, T, D), cos (B, T), R (B,).
# F.cosine_similarity(c, words, dim=-1); torch.logsumexp does not overflow. Mask twice.
# </details>


# %% answer="damsm_score"
def damsm_score(
    words: torch.Tensor, regions: torch.Tensor, mask: torch.Tensor, gamma_1: float = 4.0, gamma_2: float = 5.0
) -> torch.Tensor:
    """How well each picture shows its caption: R (B,).

    words (B, T, D), regions (B, N, D); mask (B, T), bool, True for words.
    """
    ### BEGIN SOLUTION
    s = words @ regions.transpose(1, 2)  # (B, T, N)
    s = s.masked_fill(~mask[..., None], float("-inf")).softmax(1)
    alpha = (gamma_1 * s).softmax(2)
    c = alpha @ regions  # (B, T, D)
    cosine = F.cosine_similarity(c, words, dim=-1)  # (B, T)
    return (gamma_2 * cosine).masked_fill(~mask, float("-inf")).logsumexp(1)
    ### END SOLUTION


# %% check="damsm_plain" exercise="damsm_score" points=10
@check("damsm_plain")
def scores_of_captions_without_padding(rng, value):
    words, regions = normal(rng, 3, 4, 5), normal(rng, 3, 6, 5)
    everything = torch.ones(3, 4, dtype=torch.bool)
    value("scores", damsm_score(words, regions, everything, 4.0, 5.0))
    value("scores with other gammas", damsm_score(words, regions, everything, 9.0, 2.0))


# %% check="damsm_mask" exercise="damsm_score" points=10
@check("damsm_mask")
def scores_of_captions_with_padding(rng, value):
    words, regions = normal(rng, 2, 5, 6), normal(rng, 2, 3, 6)
    mask = torch.arange(5) < torch.tensor([[2], [4]])
    given = words.clone(), regions.clone()
    value("scores", damsm_score(words, regions, mask, 4.0, 5.0))
    words = torch.where(mask[..., None], words, 7 * normal(rng, 2, 5, 6))
    value("scores with something else in the padding", damsm_score(words, regions, mask, 4.0, 5.0))
    value("regions after the call", regions - given[1])


# %% [markdown]
# **Pay-off**: AttnGAN draws three captions, and the shipped DAMSM asks, by your score, which picture shows which.

# %% payoff="damsm_score"
attngan.attention = lambda q, k, v, mask, scale=None: cross_attention(q, k, v, mask[:, 0], scale)
judge, drawn = damsm.DAMSM.load(), attngan.AttnGAN.load("small").draw(CAPTIONS, seed=3)
with torch.no_grad():
    words, _, mask = damsm.read(judge.text, CAPTIONS, damsm.vocabulary(*damsm.WORLDS))
    regions = judge.pictures(drawn)[0]
    scores = torch.stack([damsm_score(words, regions[p : p + 1].expand(3, -1, -1), mask) for p in range(3)])
show.pictures(
    drawn,
    ["best: " + CAPTIONS[int(row.argmax())] + f" ({row.max():.2f})" for row in scores],
    inches=2.6,
    alt="Three birds by AttnGAN, each with the caption of the three that your score finds in it, and the score.",
)
