# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   t2i:
#     homework: hw03
#     title: Diffusion
#     minutes: 95
#     limits:
#       memory: 4294967296
#       cell_seconds: 40.0
#       notebook_seconds: 240.0
#     holes:
#       - t2i_course.diffusion.process.Process.add_noise
#       - t2i_course.diffusion.process.Process.posterior
#       - t2i_course.diffusion.process.Process.split
#       - t2i_course.diffusion.process.guess
#       - t2i_course.diffusion.process.ddpm
#       - t2i_course.diffusion.process.ddim
#       - t2i_course.diffusion.process._straight_on
#       - t2i_course.diffusion.process.euler
#       - t2i_course.diffusion.process.dpm_solver
#       - t2i_course.diffusion.losses.simple_loss
#       - t2i_course.diffusion.guidance.classifier_free
#       - t2i_course.diffusion.latent_diffusion.LatentDiffusion.edit
# ---

# %% [markdown]
# # Homework 3 · Diffusion
#
# Pictures drown in noise, a network learns to save them, and a caption says which. You write the six lines of
# mathematics that this takes, from 2020 to 2022; the diffusion model that ships with the course then draws through
# *your* functions.
#
# | exercise | what | difficulty | minutes | points |
# |---|---|---|---|---|
# | 1 | Drown a picture: any timestep at once | ●○○ | 15 | 15 |
# | 2 | The training loss | ●○○ | 10 | 15 |
# | 3 | One step of DDPM, with fresh noise | ●●○ | 20 | 20 |
# | 4 | One step of DDIM, without | ●●○ | 15 | 15 |
# | 5 | Classifier-free guidance in one call | ●●○ | 20 | 20 |
# | 6 | SDEdit: start in the middle of the way | ●●○ | 15 | 15 |
#
# **How it works.** Write only into the cells that say `YOUR CODE HERE`; put helper functions into the same cell, since
# *only these cells are graded*, each with the imports below and nothing else of your notebook. Below each answer, a
# *self-check* says what differs and by how much. Your grade comes from the same checks on other inputs. Chapters 11, 12
# and 15 tell the story behind all this; the library's own functions for these exercises are taken out while you are
# graded.
#
# On the command line, `t2i check hw03.ipynb` runs everything as the grader will, and sums it up.
#
# Letters: B pictures (B, C, H, W), T timesteps, from t = 0 (little noise) to t = T - 1 (nearly nothing else).

# %% setup=""
from collections.abc import Callable
from functools import partial

import torch

from t2i_course import show, timeline, worlds
from t2i_course.diffusion import process
from t2i_course.nn.noise import noise, noise_stream

torch.set_num_threads(1)
ALPHA_BAR = process.cosine(1000, shift=2.0).float()  # (T,): how much of a picture's variance is left
CAPTIONS = [
    "a flower with five red petals and a yellow centre",
    "a purple flower at night, with silver leaves",
    "this small bird has a yellow belly and a long black bill",
    "a blue bird that is in the snow",
]


def normal(rng, *shape: int) -> torch.Tensor:
    """Random numbers for the checks."""
    return torch.tensor(rng.normal(size=shape), dtype=torch.float32)


def evenly(steps: int) -> list[int]:
    """Timesteps from the last, where all is noise, to one with so little that the guess is the better picture."""
    return [round(130 + 869 * i / (steps - 1)) for i in reversed(range(steps))]


def guess(system, x: torch.Tensor, t: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
    """What a diffusion model believes x_0 to be (B, C, H, W)."""
    return system.unet(x, t, context) + system.process.passed(x, t)


@torch.no_grad()
def sample(step: Callable, model: Callable, x: torch.Tensor, ts: list[int]) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """From noise to pictures, one timestep after the other: (x, the model's guess of x_0) after each.

    step(x, x0, bar_t, bar_s) -> x_s is yours; model(x, t) -> x0.
    """
    bars, way = [*ALPHA_BAR[ts].tolist(), 1.0], []
    for t, bar_t, bar_s in zip(ts, bars, bars[1:], strict=False):
        x0 = model(x, torch.full((len(x),), t)).clamp(-1, 1)
        x = step(x, x0, bar_t, bar_s)
        way.append((x, x0))
    return way


# %% [markdown]
# ## 1 · Drown a picture: any timestep at once
#
# Each of a thousand little steps keeps a part of the picture and adds noise, so that the whole stays as loud as it was.
# Sums of Gaussians are Gaussian, so nobody has to walk: any timestep can be reached at once, and in training every
# picture of a batch goes to another one.
#
# $$ q(x_t \mid x_0): \qquad x_t = \sqrt{\bar\alpha_t}\; x_0 + \sqrt{1 - \bar\alpha_t}\; \varepsilon $$
#
# ●○○ · about 15 minutes · 15 points
#
# <details><summary>Hint</summary>
#
# alpha_bar[t] is (B,), the pictures are (B, C, H, W). PyTorch lines shapes up from the right, so (B,) would be taken
# for the width: give it three more dimensions first, as by .view(-1, 1, 1, 1).
# </details>


# %% answer="add_noise"
def add_noise(x0: torch.Tensor, t: torch.Tensor, eps: torch.Tensor, alpha_bar: torch.Tensor) -> torch.Tensor:
    """The noisy pictures x_t (B, C, H, W), each at its own timestep.

    x0, eps (B, C, H, W): pictures and standard normal noise; t (B,), int: timesteps; alpha_bar (T,): of all of them.
    """
    ### BEGIN SOLUTION
    kept = alpha_bar[t].view(-1, 1, 1, 1)
    return kept.sqrt() * x0 + (1 - kept).sqrt() * eps
    ### END SOLUTION


# %% check="noise_one_timestep" exercise="add_noise" points=5
@check("noise_one_timestep")
def one_picture_and_the_ends_of_the_way(rng, value):
    alpha_bar, x0, eps = ALPHA_BAR[::100], normal(rng, 1, 3, 2, 5), normal(rng, 1, 3, 2, 5)
    value("x_t", add_noise(x0, torch.tensor([int(rng.integers(2, 8))]), eps, alpha_bar))
    value("x_t at t = 0", add_noise(x0, torch.tensor([0]), eps, torch.tensor([0.7, 0.4, 0.1])))
    value("x_t at the last t", add_noise(x0, torch.tensor([2]), eps, torch.tensor([0.7, 0.4, 0.1])))


# %% check="noise_many_timesteps" exercise="add_noise" points=10
@check("noise_many_timesteps")
def each_picture_at_its_own_timestep(rng, value):
    x0, eps, t = normal(rng, 3, 2, 4, 5), normal(rng, 3, 2, 4, 5), torch.tensor(rng.permutation(1000)[:3])
    given = x0.clone(), eps.clone()
    value("x_t", add_noise(x0, t, eps, ALPHA_BAR))
    value("x0 after the call", x0 - given[0])
    value("eps after the call", eps - given[1])
    x0, eps, t = normal(rng, 4, 4, 4, 4), normal(rng, 4, 4, 4, 4), torch.tensor([50, 300, 600, 900])
    value("x_t of as many pictures as they are wide", add_noise(x0, t, eps, ALPHA_BAR))


# %% [markdown]
# **Pay-off**: a flower drowns at four timesteps by your function, all in one batch, and the model tries to save it.

# %% payoff="add_noise"
system, flowers = timeline.load("ddpm"), worlds.load("flowers")
(some,) = flowers.batches("val", system.size, 1, n=1, shuffle=False)
x0, t = system.autoencoder.encode(some.pictures).expand(4, -1, -1, -1), torch.tensor([200, 500, 700, 900])
x_t = add_noise(x0, t, noise(0, 4, 192, 8, 8), ALPHA_BAR)
with torch.no_grad():
    saved = guess(system, x_t, t, system.read(some.captions * 4))
show.pictures(
    system.autoencoder.decode(torch.cat([x_t, saved])).clamp(-1, 1),
    [*(f"t = {k}" for k in t.tolist()), *["saved"] * 4],
    columns=4,
    inches=1.8,
    alt="A flower in more and more noise by your function, and below each what the model makes of it.",
)

# %% [markdown]
# ## 2 · The training loss
#
# Sampling such pictures is easy; going back is what a network has to learn. Ho, Jain and Abbeel show it a noisy picture
# and ask which *noise* is in it. Of all the losses that they derive, the simplest draws best: the squared error of
# that.
#
# $$ L_i = \frac{1}{C H W} \sum \big( \varepsilon_\theta(x_{t,i},\, t_i) - \varepsilon_i \big)^2,
#    \qquad x_t = \text{add\_noise}(x_0, t, \varepsilon) $$
#
# One number for each picture: training takes the mean of them, or weighs them by their timesteps first.
#
# ●○○ · about 10 minutes · 15 points
#
# <details><summary>Hint</summary>
#
# The network sees the noisy pictures and their timesteps, never x0. A mean over all but the first dimension:
# .flatten(1).mean(1), or .mean((1, 2, 3)).
# </details>


# %% answer="training_loss"
def training_loss(
    model: Callable, add_noise: Callable, x0: torch.Tensor, t: torch.Tensor, eps: torch.Tensor
) -> torch.Tensor:
    """The loss of each picture (B,).

    model(x_t, t) -> the noise that it sees (B, C, H, W); add_noise(x0, t, eps) -> x_t, as in exercise 1, but it knows
    the schedule. x0, eps (B, C, H, W); t (B,). Draw nothing: the noise is eps.
    """
    ### BEGIN SOLUTION
    error = model(add_noise(x0, t, eps), t) - eps
    return error.square().flatten(1).mean(1)
    ### END SOLUTION


# %% check="loss_each_picture" exercise="training_loss" points=10
@check("loss_each_picture")
def the_loss_of_each_picture(rng, value):
    x0, eps, t = normal(rng, 3, 2, 4, 5), normal(rng, 3, 2, 4, 5), torch.tensor(rng.permutation(9)[:3])
    given = x0.clone(), eps.clone()

    def model(x, t):
        return torch.tanh(x) + t[:, None, None, None] / 9

    def noisy(x0, t, eps):
        return x0 / (1 + t[:, None, None, None]) + t[:, None, None, None] * eps

    value("loss", training_loss(model, noisy, x0, t, eps))
    value("loss of a model that sees no noise", training_loss(lambda x, t: 0 * x, noisy, x0, t, eps))
    value("x0 after the call", x0 - given[0])
    value("eps after the call", eps - given[1])


# %% check="loss_gradient" exercise="training_loss" points=5
@check("loss_gradient")
def what_a_model_learns_from_it(rng, value):
    x0, eps, t = normal(rng, 2, 3, 4, 4), normal(rng, 2, 3, 4, 4), torch.tensor(rng.permutation(9)[:2])
    weights = normal(rng, 3, 1, 1).requires_grad_()
    seen = []

    def model(x, t):
        seen.append((x, t))
        return weights * x

    loss = training_loss(model, lambda x0, t, eps: x0 + (1 + t[:, None, None, None]) * eps, x0, t, eps)
    if getattr(loss, "requires_grad", False):
        loss.sum().backward()
    value("gradient of the loss", torch.zeros(3, 1, 1) if weights.grad is None else weights.grad)
    value("times that the model was asked", len(seen))
    value("timesteps that the model was told", seen[0][1])


# %% [markdown]
# **Pay-off**: a model that draws can also *read*, by your loss. Which caption makes it see the noise best? For each of
# four pictures, every caption is tried at the same timesteps with the same noise ("Your Diffusion Model is Secretly a
# Zero-Shot Classifier", Li et al. 2023).

# %% payoff="training_loss"
system, pictures, captions = timeline.load("ddpm"), [], []
for name in ("flowers", "birds"):
    (some,) = worlds.load(name).batches("val", system.size, 2, n=2, shuffle=False)
    pictures, captions = [*pictures, *some.pictures], [*captions, *some.captions]
latents, context = system.autoencoder.encode(torch.stack(pictures)), system.read(captions)
t = torch.arange(450, 850, 25)
eps = noise(1, len(t), 192, 8, 8)
bar = ALPHA_BAR[t, None, None, None]


def loss_with(caption: int, picture: int) -> float:
    """By your function; the model says the picture, and the noise follows from it."""

    def model(x, t):
        picture = guess(system, x, t, context[caption].expand(len(x), -1, -1))
        return (x - bar.sqrt() * picture) / (1 - bar).sqrt()

    x0 = latents[picture].expand(len(t), -1, -1, -1)
    with torch.no_grad():
        return training_loss(model, lambda x0, t, eps: add_noise(x0, t, eps, ALPHA_BAR), x0, t, eps).mean().item()


table = torch.tensor([[loss_with(c, p) for c in range(4)] for p in range(4)])  # (pictures, captions)
show.pictures(
    torch.stack(pictures),
    [f"read as: {captions[int(row.argmin())]} (loss {row.min():.4f}, the worst {row.max():.4f})" for row in table],
    inches=2.6,
    alt="Two flowers and two birds, each with the caption of the four with which the model's loss is the smallest.",
)

# %% [markdown]
# ## 3 · One step of DDPM, with fresh noise
#
# Going back from $t$ to an earlier $s$ would be easy if the picture were known: $q(x_s \mid x_t, x_0)$ is a Gaussian
# again. So the network's guess stands in for $x_0$; a step goes a little way towards it, and adds fresh noise, with
# the *small* one of the two variances of the paper. At the end $\bar\alpha_s = 1$, and the formula itself adds none.
#
# $$ \beta = 1 - \frac{\bar\alpha_t}{\bar\alpha_s}, \qquad
#    \mu = \frac{\sqrt{\bar\alpha_s}\, \beta}{1 - \bar\alpha_t}\; x_0 +
#          \frac{\sqrt{1 - \beta}\, (1 - \bar\alpha_s)}{1 - \bar\alpha_t}\; x_t, \qquad
#    \sigma^2 = \frac{1 - \bar\alpha_s}{1 - \bar\alpha_t}\, \beta, \qquad x_s = \mu + \sigma z $$
#
# ●●○ · about 20 minutes · 20 points
#
# <details><summary>Hint</summary>
#
# bar_t and bar_s are plain numbers: ** 0.5 takes their roots, torch.sqrt would want tensors. At the end beta is
# 1 - bar_t, so mu becomes x0, and sigma 0.
# </details>


# %% answer="ddpm_step"
def ddpm_step(x_t: torch.Tensor, x0: torch.Tensor, bar_t: float, bar_s: float, z: torch.Tensor) -> torch.Tensor:
    """x_s (B, C, H, W), drawn from q(x_s | x_t, x_0).

    x_t, x0 (B, C, H, W): the noisy pictures, and the guess of how they will end. bar_t < bar_s: alpha_bar at t, and at
    the earlier timestep s, which is 1 at the end. z (B, C, H, W): fresh standard normal noise.
    """
    ### BEGIN SOLUTION
    beta = 1 - bar_t / bar_s
    of_x0 = bar_s**0.5 * beta / (1 - bar_t)
    of_x_t = (1 - beta) ** 0.5 * (1 - bar_s) / (1 - bar_t)
    variance = (1 - bar_s) / (1 - bar_t) * beta
    return of_x0 * x0 + of_x_t * x_t + variance**0.5 * z
    ### END SOLUTION


# %% check="ddpm_mean" exercise="ddpm_step" points=10
@check("ddpm_mean")
def a_step_without_its_noise(rng, value):
    x_t, x0, nothing = normal(rng, 2, 3, 2, 4), normal(rng, 2, 3, 2, 4), torch.zeros(2, 3, 2, 4)
    given = x_t.clone(), x0.clone()
    bar_t = float(rng.uniform(0.2, 0.4))
    value("x_s for z = 0", ddpm_step(x_t, x0, bar_t, float(rng.uniform(0.5, 0.8)), nothing))
    value("x_s of a small step for z = 0", ddpm_step(x_t, x0, bar_t, bar_t + 0.01, nothing))
    value("x_s at the end for z = 0", ddpm_step(x_t, x0, bar_t, 1.0, nothing))
    value("x_t after the call", x_t - given[0])
    value("x0 after the call", x0 - given[1])


# %% check="ddpm_noise" exercise="ddpm_step" points=10
@check("ddpm_noise")
def the_fresh_noise_of_a_step(rng, value):
    x_t, x0, z = normal(rng, 2, 2, 3, 3), normal(rng, 2, 2, 3, 3), normal(rng, 2, 2, 3, 3)
    given = z.clone()
    bar_t, bar_s = float(rng.uniform(0.1, 0.3)), float(rng.uniform(0.4, 0.9))
    value("what z adds", ddpm_step(x_t, x0, bar_t, bar_s, z) - ddpm_step(x_t, x0, bar_t, bar_s, torch.zeros_like(z)))
    value("x_s with z", ddpm_step(x_t, x0, bar_t, bar_s, z))
    value("what z adds at the end", ddpm_step(x_t, x0, bar_t, 1.0, z) - x0)
    value("z after the call", z - given)


# %% [markdown]
# **Pay-off**: the model draws four captions in twelve of your steps. Above what the sampler holds halfway, in the
# middle the guess at that time, below the picture.

# %% payoff="ddpm_step"
system = timeline.load("ddpm")
context, fresh = system.read(CAPTIONS), noise_stream(8, 4)
way = sample(
    lambda x, x0, bar_t, bar_s: ddpm_step(x, x0, bar_t, bar_s, fresh(192, 8, 8)),
    lambda x, t: guess(system, x, t, context),
    noise(7, 4, 192, 8, 8),
    evenly(12),
)
show.pictures(
    system.autoencoder.decode(torch.cat([*way[5], way[-1][0]])).clamp(-1, 1),
    [*["x halfway"] * 4, *["the guess halfway"] * 4, *CAPTIONS],
    columns=4,
    inches=1.8,
    alt="Four captions drawn in twelve steps of your DDPM: the noisy pictures halfway, the guesses then, the pictures.",
)

# %% [markdown]
# ## 4 · One step of DDIM, without
#
# Song, Meng and Ermon see in 2020 that the same network can also walk without fresh noise. Their step asks which noise
# is in $x_t$ beside the guess of the picture, and puts the *same* noise back in, as much of it as belongs to $s$.
# Nothing is left to chance: where a path ends follows from where it began, and few large steps arrive nearly there,
# too.
#
# $$ x_t = \sqrt{\bar\alpha_t}\; x_0 + \sqrt{1 - \bar\alpha_t}\; \hat\varepsilon \quad\Rightarrow\quad \hat\varepsilon
#    \quad\Rightarrow\quad x_s = \sqrt{\bar\alpha_s}\; x_0 + \sqrt{1 - \bar\alpha_s}\; \hat\varepsilon $$
#
# ●●○ · about 15 minutes · 15 points
#
# <details><summary>Hint</summary>
#
# Solve the first equation for the noise, and put it into the second one, which is exercise 1 at another timestep.
# </details>


# %% answer="ddim_step"
def ddim_step(x_t: torch.Tensor, x0: torch.Tensor, bar_t: float, bar_s: float) -> torch.Tensor:
    """x_s (B, C, H, W), without any fresh noise (eta = 0).

    x_t, x0 (B, C, H, W): the noisy pictures, and the guess of how they will end. bar_t < bar_s: alpha_bar at t, and at
    the earlier timestep s, which is 1 at the end.
    """
    ### BEGIN SOLUTION
    eps = (x_t - bar_t**0.5 * x0) / (1 - bar_t) ** 0.5
    return bar_s**0.5 * x0 + (1 - bar_s) ** 0.5 * eps
    ### END SOLUTION


# %% check="ddim_one_step" exercise="ddim_step" points=10
@check("ddim_one_step")
def a_step_and_the_last_one(rng, value):
    x_t, x0 = normal(rng, 2, 3, 2, 4), normal(rng, 2, 3, 2, 4)
    given = x_t.clone(), x0.clone()
    bar_t = float(rng.uniform(0.1, 0.4))
    value("x_s", ddim_step(x_t, x0, bar_t, float(rng.uniform(0.5, 0.9))))
    value("x_s at the end", ddim_step(x_t, x0, bar_t, 1.0))
    value("x_t after the call", x_t - given[0])
    value("x0 after the call", x0 - given[1])


# %% check="ddim_many_steps" exercise="ddim_step" points=5
@check("ddim_many_steps")
def the_steps_of_a_whole_way(rng, value):
    x, x0, bars = normal(rng, 1, 2, 3, 3), normal(rng, 1, 2, 3, 3), [0.001, 0.05, 0.3, 0.7, 0.95]
    for bar_t, bar_s in zip(bars, bars[1:], strict=False):
        x = ddim_step(x, x0 + 0.1 * x, bar_t, bar_s)
        value(f"x_s after the step to {bar_s}", x)


# %% [markdown]
# **Pay-off**: the model draws two captions from the same noise in 4, 8 and 16 of your steps.

# %% payoff="ddim_step"
system, drawn, begin = timeline.load("ddpm"), [], noise(7, 2, 192, 8, 8)
context = system.read(CAPTIONS[1:3])
for steps in (4, 8, 16):
    way = sample(ddim_step, lambda x, t: guess(system, x, t, context), begin, evenly(steps))
    drawn.append(system.autoencoder.decode(way[-1][0]))
show.pictures(
    torch.stack(drawn, 1).flatten(0, 1).clamp(-1, 1),
    [f"{steps} steps: {caption}" for caption in CAPTIONS[1:3] for steps in (4, 8, 16)],
    columns=3,
    inches=2.2,
    alt="A flower and a bird in 4, 8 and 16 steps of your DDIM: from the same noise nearly the same pictures come.",
)

# %% [markdown]
# ## 5 · Classifier-free guidance in one call
#
# A model that was trained with captions, and sometimes without, can be asked both ways. Ho and Salimans exaggerate what
# the caption *changes*. Two answers for each step would take twice as long; on a GPU one call with a batch twice as
# large hardly takes longer than one without, so that is how everybody asks.
#
# $$ \text{guided} = \text{uncond} + s\, (\text{cond} - \text{uncond}) $$
#
# $s = 0$ forgets the caption, $s = 1$ is the model as it is. Each picture has an $s$ of its own here.
#
# ●●○ · about 20 minutes · 20 points
#
# <details><summary>Hint</summary>
#
# torch.cat([x, x]) for the pictures, the same for t; .chunk(2) takes the answer apart again, in the order in which
# you asked. null is for one picture: null.expand(len(x), -1, -1). And s (B,) needs three more dimensions.
# </details>


# %% answer="guided"
def guided(
    model: Callable, x: torch.Tensor, t: torch.Tensor, context: torch.Tensor, null: torch.Tensor, s: torch.Tensor
) -> torch.Tensor:
    """The guided prediction (B, C, H, W), with ONE call of the model.

    model(x, t, context) -> prediction, for batches of any size. x (B, C, H, W); t (B,); context (B, T, K): what was
    read of the captions; null (1, T, K): what was read of the empty caption, the same for all; s (B,): the scales.
    """
    ### BEGIN SOLUTION
    both = torch.cat([null.expand(len(x), -1, -1), context])
    uncond, cond = model(torch.cat([x, x]), torch.cat([t, t]), both).chunk(2)
    return uncond + s.view(-1, 1, 1, 1) * (cond - uncond)
    ### END SOLUTION


# %% check="guided_prediction" exercise="guided" points=12
@check("guided_prediction")
def the_guided_prediction(rng, value):
    def model(x, t, context):
        return torch.tanh(x) * context.mean((1, 2))[:, None, None, None] + t[:, None, None, None] / 100

    x, context, null = normal(rng, 3, 2, 4, 5), normal(rng, 3, 6, 4), normal(rng, 1, 6, 4)
    t, given = torch.tensor(rng.permutation(900)[:3]), (x.clone(), context.clone())
    value("guided for s = 3", guided(model, x, t, context, null, torch.full((3,), 3.0)))
    value("guided for s = 1", guided(model, x, t, context, null, torch.ones(3)))
    value("guided for s = 0", guided(model, x, t, context, null, torch.zeros(3)))
    value("x after the call", x - given[0])
    value("context after the call", context - given[1])


# %% check="guided_one_call" exercise="guided" points=8
@check("guided_one_call")
def one_call_and_a_scale_for_each_picture(rng, value):
    asked = []

    def model(x, t, context):
        asked.append((len(x), len(t), len(context)))
        return x + context.sum((1, 2))[:, None, None, None] - t[:, None, None, None] / 50

    x, context, null = normal(rng, 4, 3, 4, 4), normal(rng, 4, 5, 2), normal(rng, 1, 5, 2)
    s = torch.tensor([0.0, 1.0, 2.5, 7.0])
    value("guided", guided(model, x, torch.tensor(rng.permutation(900)[:4]), context, null, s))
    value("times that the model was called", len(asked))
    value("sizes of the batch of x, t and context", asked[0])


# %% [markdown]
# **Pay-off**: two captions, each at four scales, eight pictures in one batch, in ten of your DDIM steps.

# %% payoff="guided"
system, scales = timeline.load("ddpm"), torch.tensor([0.0, 1.0, 3.0, 8.0])
context, null = system.read([CAPTIONS[0]] * 4 + [CAPTIONS[2]] * 4), system.read([""])
way = sample(
    ddim_step,
    lambda x, t: guided(partial(guess, system), x, t, context, null, scales.repeat(2)),
    noise(5, 1, 192, 8, 8).expand(8, -1, -1, -1),
    evenly(10),
)
show.pictures(
    system.autoencoder.decode(way[-1][0]).clamp(-1, 1),
    [f"s = {s:g}: {caption}" for caption in (CAPTIONS[0], CAPTIONS[2]) for s in scales.tolist()],
    columns=4,
    inches=2.0,
    alt="A flower and a bird, from the same noise at guidance scales 0, 1, 3, 8: from anything to what was asked for.",
)

# %% [markdown]
# ## 6 · SDEdit: start in the middle of the way
#
# Who can draw from noise can also draw from a *sketch*: give it so much noise that its flaws drown and its forms do
# not, and go only the rest of the way. One number says how much is drawn anew: at strength 1 everything, near 0 hardly
# anything (Meng et al. 2021; in Stable Diffusion it is called "image to image").
#
# $$ n = \max(1, \lfloor \text{strength} \cdot N \rfloor), \qquad
#    \text{rest} = \text{the last } n \text{ of the } N \text{ timesteps}, \qquad
#    x = \text{add\_noise}(x_0, \text{rest}_1, \varepsilon) $$
#
# ●●○ · about 15 minutes · 15 points
#
# <details><summary>Hint</summary>
#
# ts[-n:] are the last n; int() rounds down. add_noise wants a timestep for each picture:
# torch.full((len(x0),), rest[0]).
# </details>


# %% answer="start_of_edit"
def start_of_edit(
    add_noise: Callable, x0: torch.Tensor, eps: torch.Tensor, ts: list[int], strength: float
) -> tuple[torch.Tensor, list[int]]:
    """The noisy pictures to start from (B, C, H, W), and the timesteps that are left to go, from much noise to little.

    add_noise(x0, t, eps) -> x_t, as in exercise 1, but it knows the schedule. x0, eps (B, C, H, W): sketches and noise.
    ts: the timesteps of the whole way, from much noise to little. strength: above 0, at most 1.
    """
    ### BEGIN SOLUTION
    n = max(1, int(strength * len(ts)))
    rest = ts[-n:]
    return add_noise(x0, torch.full((len(x0),), rest[0]), eps), rest
    ### END SOLUTION


# %% check="edit_timesteps" exercise="start_of_edit" points=8
@check("edit_timesteps")
def the_timesteps_that_are_left(rng, value):
    x0, eps = normal(rng, 2, 1, 2, 2), normal(rng, 2, 1, 2, 2)
    ts = sorted(rng.permutation(1000)[:9].tolist(), reverse=True)
    given = list(ts)
    for strength in (0.5, 0.7, 0.05, 1.0):  # of 9: four (not five), six, one and all
        rest = start_of_edit(lambda x0, t, eps: x0, x0, eps, ts, strength)[1]
        value(f"timesteps for strength {strength}", [float(t) for t in rest])
    value("how many timesteps ts has after the call", len(ts) - len(given))


# %% check="edit_start" exercise="start_of_edit" points=7
@check("edit_start")
def where_it_starts(rng, value):
    x0, eps = normal(rng, 3, 2, 4, 3), normal(rng, 3, 2, 4, 3)
    ts, given = sorted(rng.permutation(1000)[:8].tolist(), reverse=True), x0.clone()

    def noisy(x0, t, eps):
        return torch.cos(t / 700)[:, None, None, None] * x0 + torch.sin(t / 700)[:, None, None, None] * eps

    for strength in (0.6, 1.0, 0.01):
        value(f"start for strength {strength}", start_of_edit(noisy, x0, eps, ts, strength)[0])
    value("x0 after the call", x0 - given)


# %% [markdown]
# **Pay-off**: a sketch of six discs becomes a flower, by all that you have written: your noise, your guidance, your
# steps. Draw another one.

# %% payoff="start_of_edit"
system, caption = timeline.load("ddpm"), "a flower with five red petals and a yellow centre"
sketch = torch.tensor([-0.6, 0.0, -0.6]).view(3, 1, 1).repeat(1, 64, 64)  # dark green
y, x = torch.meshgrid(torch.arange(64), torch.arange(64), indexing="ij")
petals = [(32 + 15 * torch.tensor(a).sin(), 32 - 15 * torch.tensor(a).cos(), 9) for a in (0.0, 1.26, 2.51, 3.77, 5.03)]
for column, row, radius in [*petals, (32, 32, 8)]:
    color = (0.8, -0.7, -0.6) if radius > 8 else (0.9, 0.7, -0.6)
    sketch[:, (x - column) ** 2 + (y - row) ** 2 < radius**2] = torch.tensor(color).view(3, 1)
context, null, drawn = system.read([caption]), system.read([""]), [sketch[None]]
model = partial(guided, partial(guess, system))
for strength in (0.3, 0.5, 0.7, 0.9):
    begin, rest = start_of_edit(
        lambda x0, t, eps: add_noise(x0, t, eps, ALPHA_BAR),
        system.autoencoder.encode(sketch[None]),
        noise(2, 1, 192, 8, 8),
        evenly(12),
        strength,
    )
    way = sample(ddim_step, lambda x, t: model(x, t, context, null, torch.tensor([3.0])), begin, rest)
    drawn.append(system.autoencoder.decode(way[-1][0]))
show.pictures(
    torch.cat(drawn).clamp(-1, 1),
    ["your sketch", *(f"strength {s}" for s in (0.3, 0.5, 0.7, 0.9))],
    columns=5,
    inches=2.0,
    alt="A sketch of discs, and what the model makes of it at four strengths: from a sketch to a new flower.",
)
