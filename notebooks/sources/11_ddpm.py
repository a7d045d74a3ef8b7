# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   t2i:
#     chapter: "11"
#     title: DDPM
#     year: 2020
#     system: denoising diffusion
#     promise: destroy a picture in one line and create one in ten, derive why any step can be reached at once, and choose a sampler by what it costs
#     needs: two CPU cores, no network
#     minutes: 90
# ---

# %% [markdown]
# # 11 · DDPM: learn to save what drowns (2020)
#
# **After this chapter you will be able to**
# * destroy a picture step by step, and say why any step can be reached at once,
# * train a network to undo it, and see the paths that it takes in a world of two dimensions,
# * say what it means to predict the noise, the picture, or the velocity, and turn one into the others, and
# * choose a sampler and a number of steps by what they cost and what they keep.
#
# *Walks through the lecture's "destroy and create" and its two algorithms. No GPU, no network; the README says how long
# it runs.*

# %%
from time import perf_counter

import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from t2i_course import judge, show, timeline, worlds
from t2i_course.diffusion import process as samplers
from t2i_course.diffusion.losses import simple_loss
from t2i_course.diffusion.process import Process, cosine, evenly, linear, scaled_linear
from t2i_course.nn.noise import noise_stream
from t2i_course.worlds.base import to_uint8

system = timeline.load("ddpm")
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
    inches=2.4,
    alt="Two flowers and two birds, drawn by the small diffusion model of this course, each with its caption under it.",
)

# %% [markdown]
# After an hour of one core, light, place and the larger colors are mostly those asked for; petals cannot be counted, and
# birds are blurred.
#
# (All pictures of this chapter, unless it is said, are drawn with a guidance scale of 3, which exaggerates what the
# caption changes. Chapter 12 is about it.)

# %% [markdown]
# ## The story
#
# In 2015 Jascha Sohl-Dickstein, Eric Weiss, Niru Maheswaranathan and Surya Ganguli borrow an idea from physics: a drop
# of ink in water spreads until nothing of its form is left, in steps so small that each of them could be undone. *"Deep
# Unsupervised Learning using Nonequilibrium Thermodynamics"* trains a network to undo them. In 2019 Yang Song and
# Stefano Ermon arrive from another side, following the gradient of the data's density through many levels of noise, and
# draw small pictures nearly as well as GANs do. In June 2020 Jonathan Ho, Ajay Jain and Pieter Abbeel see that the two
# are one, choose a U-Net, and find that the simplest loss of all, *guess the noise*, works best. *"Denoising Diffusion
# Probabilistic Models"* reaches an FID of 3.17 (a distance to true pictures) on CIFAR-10, photographs of 32 x 32
# pixels, better than most GANs, without a discriminator, without a collapse, and with a loss that can be trusted to
# fall.
#
# ## Destroy
#
# One step keeps a little less of the picture, and adds a little noise, so that what has variance 1 keeps it:
#
# $$ q(x_t \mid x_{t-1}):\qquad x_t = \sqrt{1-\beta_t}\; x_{t-1} + \sqrt{\beta_t}\; \epsilon, \qquad \epsilon \sim N(0, 1) $$

# %%
torch.manual_seed(2)
alpha_bar = linear(1000)
beta = 1 - alpha_bar / torch.cat([alpha_bar.new_ones(1), alpha_bar[:-1]])
(some,) = flowers.batches("val", 64, 1, n=1, shuffle=False)
x, way = some.pictures, []
for t in range(1000):
    x = (1 - beta[t]).sqrt() * x + beta[t].sqrt() * torch.randn_like(x)
    if t % 25 == 0:
        way.append(x.float())
show.film(
    np.repeat(np.repeat(to_uint8(torch.cat([some.pictures] * 4 + way).clamp(-1, 1)), 4, 1), 4, 2),
    alt="A flower drowns in noise within a thousand steps; after half of them nothing of it can be seen.",
)

# %% [markdown]
# A thousand steps for one training example would be slow. But a sum of Gaussians is a Gaussian, and their variances add
# up. After two steps the picture is multiplied with $\sqrt{(1-\beta_1)(1-\beta_2)}$. Of the noise, the first step's has
# the variance $\beta_1$, of which the second step keeps $1-\beta_2$, and adds $\beta_2$ of its own:
#
# $$ (1-\beta_2)\,\beta_1 + \beta_2 = 1 - (1-\beta_1)(1-\beta_2) $$
#
# The same again and again, and with $\bar\alpha_t = \prod_{s \le t} (1-\beta_s)$ any step can be reached **at once**
# (equation 4 of Ho et al. 2020):
#
# $$ q(x_t \mid x_0):\qquad x_t = \sqrt{\bar\alpha_t}\; x_0 + \sqrt{1-\bar\alpha_t}\; \epsilon $$

# %%
show.source(Process.at, Process.add_noise)

# %% [markdown]
# Do not believe it; measure it. Twenty thousand times the same pixel value goes down step by step, and
# as often at once:

# %%
process = Process(linear(1000))
start = torch.full((20_000, 1), 0.8)
x, rows = start.double(), []
for t in range(1000):
    x = (1 - beta[t]).sqrt() * x + beta[t].sqrt() * torch.randn_like(x)
    if t in (9, 99, 299, 999):
        at_once = process.add_noise(start, t, torch.randn_like(start))
        rows.append({"t": t, "mean, step by step": x.mean().item(), "mean, at once": at_once.mean().item()})
        rows[-1] |= {"deviation, step by step": x.std().item(), "deviation, at once": at_once.std().item()}
show.table(rows, digits=3)

# %% [markdown]
# How fast should a picture drown? Ho et al. let $\beta$ rise evenly; in latent diffusion (chapter 14) its root does;
# Nichol and Dhariwal (2021) found that a straight line wastes its last quarter on pure noise, and bent $\bar\alpha$
# along a cosine. The larger a picture, the more pixels say the same, and the more noise it survives; so Hoogeboom et
# al. (2023) shift the cosine to more noise above 64 x 64 pixels. Our drawings, with their large areas of one color, are
# shifted at 64 x 64 already.

# %%
schedules = {"linear": linear(), "scaled linear": scaled_linear(), "cosine": cosine()}
schedules["cosine, shifted"] = system.process.alpha_bar
show.lines(
    range(1000),
    {name: kept.sqrt() for name, kept in schedules.items()},
    xlabel="timestep t",
    ylabel="what is left of the picture",
    inches=(8, 2.6),
    alt="How much of a picture is left against the timestep, for four schedules; the plain cosine falls most evenly.",
)

# %% [markdown]
# ## Create
#
# Going back is harder: which picture was it? If each step is small, the answer is again a Gaussian, and all that is
# unknown is its mean. The mean follows from $x_t$ and the noise in it. So a network $\epsilon_\theta$ is shown a noisy
# picture and asked for the noise. These are the two algorithms of the slide:
#
# > **Algorithm 1, training.** Repeat: take a picture $x_0$, any $t$, noise $\epsilon$; take a gradient step on
# > $\big\lVert \epsilon - \epsilon_\theta(\sqrt{\bar\alpha_t}\,x_0 + \sqrt{1-\bar\alpha_t}\,\epsilon,\; t) \big\rVert^2$
#
# > **Algorithm 2, sampling.** Start with $x_T \sim N(0, 1)$. For $t = T, \dots, 1$:
# > $x_{t-1} = \frac{1}{\sqrt{\alpha_t}} \Big( x_t - \frac{1-\alpha_t}{\sqrt{1-\bar\alpha_t}}\, \epsilon_\theta(x_t, t) \Big) + \sigma_t z$,
# with $\alpha_t = 1 - \beta_t$, fresh noise $z$ (none at the last step), and $\sigma_t^2 = \beta_t$, or the somewhat smaller variance of
# equation 7, just below.
#
# Why this loss? $-\log p_\theta(x_0)$ is at most a sum over $t$ of $\mathrm{KL}\big(q(x_{t-1} \mid x_t, x_0) \,\Vert\,
# p_\theta(x_{t-1} \mid x_t)\big)$, and two terms for the ends. Two Gaussians of the same variance differ by their means
# alone, so each of these is, but for a constant (equation 12),
#
# $$ \frac{\beta_t^2}{2 \sigma_t^2\, \alpha_t (1 - \bar\alpha_t)}\; \big\lVert \epsilon - \epsilon_\theta \big\rVert^2 $$
#
# Ho et al. leave the factor out (equation 14), and draw better.
#
# And these are the library's lines. Algorithm 1 is `simple_loss`. Algorithm 2 is written in two halves, because every
# later sampler shares the first: *guess* the picture $x_0$ from the noise, then go *a little way* towards it, to the
# mean of the way back if both ends are known (equation 7, where $s$ is the timestep before $t$, or any earlier one):
#
# $$ q(x_s \mid x_t, x_0):\qquad \text{mean}\quad \frac{\sqrt{\bar\alpha_s}\,\beta}{1-\bar\alpha_t}\, x_0 +
#    \frac{\sqrt{1-\beta}\,(1-\bar\alpha_s)}{1-\bar\alpha_t}\, x_t, \qquad
#    \text{variance}\quad \frac{1-\bar\alpha_s}{1-\bar\alpha_t}\,\beta, \qquad \beta = 1 - \bar\alpha_t / \bar\alpha_s $$
#
# (In the listings signal is $\sqrt{\bar\alpha_t}$, sigma $\sqrt{1-\bar\alpha_t}$, and Algorithm 2's $\sigma_t$ is
# `fresh`. There $t$ counts from 0; $-1$ is the finished picture.)

# %%
show.source(simple_loss, samplers.guess, Process.posterior, samplers.ddpm)

# %% [markdown]
# How much does the factor weigh? Beside it `simple_loss`, and what later papers chose:

# %%
from t2i_course.diffusion import losses as diffusion_losses

t = torch.arange(1, 1000)
kept = process.alpha_bar[t]
fig, axis = plt.subplots(figsize=(7, 2.8))
axis.semilogy(t, beta[t] / (2 * (1 - beta[t]) * (1 - kept)), label=r"the bound, $\sigma_t^2 = \beta_t$")
axis.semilogy(t, torch.ones(len(t)), label="simple_loss")
axis.semilogy(t, diffusion_losses.min_snr_weight(process, t), label="min-SNR (Hang et al. 2023)")
axis.semilogy(t, diffusion_losses.v_weight(process, t), label="as if it were v, at most 5 (our rule)")
axis.set(xlabel="timestep t", ylabel="weight of the noise's error")
axis.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
show.figure(
    fig,
    alt="Weights of the squared error of the noise against the timestep: the bound falls, simple is flat, the others rise.",
)

# %% [markdown]
# **Notice** that the bound cares most for the last steps of drawing, where little noise is left and the finest detail is
# decided; min-SNR spares them. Our rule also pulls hard where there is hardly anything but noise, as it is there that the
# caption decides. (All for one schedule and a network that predicts the noise, to compare them; ours predicts the
# picture. A network that also says how sure it is, as that of improved DDPM, needs the bound for it: `hybrid_loss` adds
# a thousandth.)

# %% [markdown]
# Are the two halves Algorithm 2? Its mean beside the library's, for the same answer of a network:

# %%
x_t, eps = torch.randn(2, 500, dtype=torch.float64)
for t in (1, 10, 500, 999):
    signal, sigma = process.at(t, x_t)
    of_x0, of_x_t, *_ = process.posterior(t, t - 1, x_t)
    in_halves = of_x0 * (x_t - sigma * eps) / signal + of_x_t * x_t
    algorithm_2 = (x_t - beta[t] / (1 - alpha_bar[t]).sqrt() * eps) / (1 - beta[t]).sqrt()
    print(f"t = {t:3d}: the largest difference is {(in_halves - algorithm_2).abs().max():.0e}")

# %% [markdown]
# ## A world of two dimensions
#
# In pictures one cannot see where a path leads: they have thousands of dimensions. So let a "picture" be a point, and
# let the true ones lie on a flower. The network is a few layers; the loss is the library's own.

# %%
torch.manual_seed(0)


def true_points(n: int) -> torch.Tensor:
    """Points (n, 2) on a flower of five petals."""
    angle = 2 * np.pi * torch.rand(n)
    radius = 0.9 + 0.6 * torch.cos(5 * angle)
    return torch.stack([radius * angle.cos(), radius * angle.sin()], 1) + 0.02 * torch.randn(n, 2)


class PointNet(nn.Module):
    """Noisy points (B, 2) and their timesteps (B,) -> the noise in them (B, 2)."""

    def __init__(self, dim: int = 128):
        super().__init__()
        angles = torch.arange(12) * torch.pi / 12
        self.directions = torch.stack([angles.cos(), angles.sin()])  # (2, 12)
        self.rates = torch.exp(torch.linspace(0, 2, 8))
        self.where, self.when = nn.Linear(2 + 2 * 3 * 12, dim), nn.Linear(16, dim)
        self.layers, self.out = nn.ModuleList(nn.Linear(dim, dim) for _ in range(3)), nn.Linear(dim, 2)

    def forward(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        along = x @ self.directions
        waves = torch.cat([along, 2.5 * along, 6 * along], 1)  # fine differences are easier to see in waves
        h = self.where(torch.cat([x, waves.sin(), waves.cos()], 1))
        ticks = t[:, None] / 1000 * self.rates.square()
        told = self.when(torch.cat([ticks.sin(), ticks.cos()], 1))
        for layer in self.layers:
            h = h + layer(F.silu(h + told))
        return self.out(F.silu(h))


threads = torch.get_num_threads()
torch.set_num_threads(1)  # so small a network is fastest with one
toy = Process(cosine(1000))
net = PointNet()
optimiser = torch.optim.AdamW(net.parameters(), 4e-3)
losses = []
for step in range(2000):
    for group in optimiser.param_groups:
        group["lr"] = 4e-3 * (1 - step / 2000)
    x0, t = true_points(512), torch.randint(0, 1000, (512,))
    eps = torch.randn_like(x0)
    loss = simple_loss(toy, net(toy.add_noise(x0, t, eps), t), x0, t, eps).mean()
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    losses.append(loss.item())
torch.set_num_threads(threads)
# %% [markdown]
# The loss cannot go to zero: from a point that lies between two petals nobody can
# tell which of them it came from. The best answer is the mean of all that are possible, each counted by how likely noise
# would have carried it here:
#
# $$ \mathrm{E}[x_0 \mid x_t] = \sum_i w_i\, x^{(i)}, \qquad
#    w = \mathrm{softmax}_i \Big( -\frac{\lVert x_t - \sqrt{\bar\alpha_t}\, x^{(i)} \rVert^2}{2 (1 - \bar\alpha_t)} \Big) $$
#
# With points one can compute it, from many true ones $x^{(i)}$. How much noise does this best answer leave unexplained?

# %%
many = true_points(4000)


def best_guess(x: torch.Tensor, t: int) -> torch.Tensor:
    """The mean (B, 2) of the true points that noisy points (B, 2) may come from."""
    signal, sigma = toy.at(t, x)
    distances = (x[:, None] - signal * many).square().sum(2)
    return (-distances / (2 * sigma**2)).softmax(1) @ many


torch.manual_seed(2)
left = []
for t in range(5, 1000, 10):
    x0, eps = true_points(256), torch.randn(256, 2)
    x = toy.add_noise(x0, torch.full((256,), t), eps)
    signal, sigma = toy.at(t, x)
    left.append(((x - signal * best_guess(x, t)) / sigma - eps).square().mean().item())
smooth = np.convolve(losses, np.ones(50) / 50, "valid")
show.lines(
    range(len(smooth)),
    {"the network": smooth, "the best answer": [np.mean(left)] * len(smooth)},
    xlabel="step",
    ylabel="squared error",
    inches=(7, 2.2),
    alt="The loss against training steps: it falls fast, then slowly and unevenly, to that of the best answer.",
)
print(f"the best answer: {np.mean(left):.2f}; the network, in its last 200 steps: {np.mean(losses[-200:]):.2f}")

# %% [markdown]
# Now three paths from noise (circles) to the flower, once with fresh noise at each step (DDPM), once without (DDIM,
# below), and in gray where three hundred end:


# %%
@torch.no_grad()
def denoise(x: torch.Tensor, t: int) -> torch.Tensor:
    """The network's answer for one timestep."""
    return net(x, torch.full((len(x),), t))


torch.manual_seed(1)
begin, steps = torch.randn(300, 2), evenly(toy, 100)
paths = {
    "DDPM": [x for x, _ in samplers.ddpm(toy, denoise, begin, steps, noise_stream(0, len(begin)), clip=None)],
    "DDIM": [x for x, _ in samplers.ddim(toy, denoise, begin, steps)],
}
fig, axes = plt.subplots(1, 3, figsize=(11, 4.2))
axes[0].scatter(*true_points(1500).T, s=2, color="#868C98")
axes[0].set_title("true points")
for axis, (name, path) in zip(axes[1:], paths.items(), strict=True):
    lines = torch.stack([begin, *path])
    axis.scatter(*lines[-1].T, s=3, color="#9AA0AA", zorder=3)
    for k in begin.norm(dim=1).topk(40).indices[::14]:  # from far out, so that there is something to see
        (line,) = axis.plot(*lines[:, k].T, lw=0.7, alpha=0.7)
        axis.plot(*lines[0, k], "o", ms=4, color=line.get_color())
    axis.set_title(name)
for axis in axes:
    axis.set(xlim=(-3.8, 3.8), ylim=(-3.8, 3.8), aspect="equal")
    axis.axis("off")
show.figure(
    fig,
    "True points on a flower of five petals; three jagged paths of DDPM and three smooth ones of DDIM from far out to the flower.",
)

# %% [markdown]
# Where does the network pull at a given time? A line from each point of a grid to the network's guess, a dot, and below
# it the best guess. From left to right there is less and less noise. At first every guess is near the middle, the mean of
# all true points (the square is that of the grid); only late do the petals matter. *Coarse first, fine last*: in
# pictures it is the same, first the light, then the forms, then the edges.


# %%
def guesses(axis, t: int, guess, name: str) -> None:
    """What points come from: a line from each point of a grid to a dot, guess(x, t)."""
    line = torch.linspace(-2.4, 2.4, 13)
    x = torch.cartesian_prod(line, line)
    x0 = guess(x, t)
    axis.scatter(*true_points(800).T, s=1, color="#C7CAD1")
    axis.plot(*torch.stack([x, x0]).permute(2, 0, 1), color="#2A9D8F", lw=0.7, alpha=0.8)
    axis.scatter(*x0.T, s=2, color="#2E2A3B", zorder=3)
    axis.set(xlim=(-2.6, 2.6), ylim=(-2.6, 2.6), aspect="equal", title=f"{name}, t = {t}")
    axis.axis("off")


def networks_guess(x: torch.Tensor, t: int) -> torch.Tensor:
    """The network's, of the noise, turned into one of the points (B, 2)."""
    return toy.split(denoise(x, t), x, t)[0]


fig, axes = plt.subplots(2, 3, figsize=(10, 6.8))
for row, (name, guess) in zip(axes, {"the network": networks_guess, "the best": best_guess}.items(), strict=True):
    for axis, t in zip(row, (800, 450, 250), strict=True):
        guesses(axis, t, guess, name)
show.figure(
    fig,
    "Lines from the points of a grid to what they are guessed to come from, for three timesteps, above by the network, below "
    "the best guess, much alike: at first the middle of the flower, at last its petals.",
)


# %%
def field(t: int) -> np.ndarray:
    """The lines of one timestep: uint8 (H, W, 3)."""
    fig, axis = plt.subplots(figsize=(4.4, 4.4))
    guesses(axis, t, networks_guess, "the network")
    fig.canvas.draw()
    picture = np.asarray(fig.canvas.buffer_rgba())[..., :3].copy()
    plt.close(fig)
    return picture


show.play(
    field,
    t=(5, 905, 10, 255),
    alt="Lines from a grid of points to what the network believes they come from, for the timestep of the slider.",
)

# %% [markdown]
# ## The noise, the picture, or the velocity
#
# $x_t$ is known, so whoever knows the noise knows the picture, and the other way round. A third choice lies between
# them, $v = \sqrt{\bar\alpha}\,\epsilon - \sqrt{1-\bar\alpha}\,x_0$ (Salimans and Ho 2022): the direction in which
# $x_t$ moves. The library names the choice once, in `Process.predicts`:

# %%
show.source(Process.target, Process.split)

# %% tags=["nbval-check-output"]
torch.manual_seed(0)
x0, eps, t = torch.randn(5, 2), torch.randn(5, 2), torch.tensor([0, 200, 500, 800, 999])
for predicts in samplers.PREDICTIONS:
    as_it_is = Process(cosine(), predicts)
    x_t = as_it_is.add_noise(x0, t, eps)
    back = as_it_is.split(as_it_is.target(x0, t, eps), x_t, t)
    off = [(found - wanted).abs().amax(1) for found, wanted in zip(back, (x0, eps), strict=True)]
    print(
        f"{predicts:4s} x0 and eps again, to within", ", ".join(f"{max(a, b):.0e}" for a, b in zip(*off, strict=True))
    )

# %% [markdown]
# As equations they are the same (the five numbers are those of five timesteps; where hardly any picture is left, or
# hardly any noise, even the computer's rounding grows); for a network they are not. At large $t$, where hardly any
# picture is left, a small error in the noise is an enormous error in the picture, which is divided by
# $\sqrt{\bar\alpha_t}$; at small $t$ it is the other way round. The velocity divides by neither. The small model of
# this chapter predicts the picture itself, because it looks at blocks of 8 x 8 pixels: of 192 numbers of noise each
# must be guessed, while a clean block is mostly one color. (Only of the finest detail it is not asked: with `detail` a
# part of $x_t$ passes by the network, nearly all of it where there is hardly any noise, as in Karras et al. 2022.)
#
# ## The network
#
# A U-Net: down to fewer places (mostly with more channels; ours has two levels of 96), and up again, with a bridge at
# every width, so that what is fine does not have to pass through what is coarse. The timestep comes in as sinusoids. In
# DDPM it is added in every block; since Nichol and Dhariwal (2021), and in ours, it scales and shifts what group norm
# has made equal. In our small one each place of the coarse level also asks the words of the caption (chapter 03), as
# the AttnGAN's reader understands them (chapter 06), and what they say as a whole is added to what the timestep says.
# DDPM had neither: it drew without being asked for anything.

# %%
from t2i_course.nn.unet import VARIANTS, ResBlock, UNet

show.source(ResBlock)

# %%
rows = []
for name in ("ddpm_cifar10", "ddpm_256", "adm_256", "sd_1"):
    with torch.device("meta"):
        size = sum(p.numel() for p in UNet(VARIANTS[name]).parameters())
    rows.append(
        {"U-Net": name, "channels of its levels": str([int(VARIANTS[name].dim * m) for m in VARIANTS[name].mults])}
    )
    rows[-1]["parameters"] = f"{size:,}"
ours = system.unet.config
rows.append({"U-Net": "small (this chapter)", "channels of its levels": str([int(ours.dim * m) for m in ours.mults])})
rows[-1]["parameters"] = f"{sum(p.numel() for p in system.unet.parameters()):,}"
show.table(rows)

# %% [markdown]
# (The table's adm is that of Dhariwal and Nichol 2021, chapter 12, and sd_1 is Stable Diffusion, chapter 15.)
#
# A gradient of a layer is a matrix, and mostly a few of its directions (pairs of singular vectors) are loud (their
# singular value is large), and drown what the soft ones would teach. Adam makes single numbers alike (its first step is
# their sign), which helps the soft directions only in part. The small one was trained by **Muon** (Jordan et al. 2024),
# which makes the directions themselves far more alike before it takes a step. (A matrix made by hand: three loud
# directions, and a little of all. Each row is divided by its largest number.)

# %%
from t2i_course.nn.muon import orthogonalised

show.source(orthogonalised)
gradient = torch.randn(64, 3) @ torch.diag(torch.tensor([30.0, 3.0, 1.0])) @ torch.randn(3, 64) + 0.1 * torch.randn(
    64, 64
)
steps_of = {"as it is": gradient, "Adam's first step": gradient.sign(), "Muon's step": orthogonalised(gradient)}
show.table(
    [
        {"the loudest directions of a gradient": name, **{str(k + 1): (s[k] / s[0]).item() for k in (0, 1, 2, 9, 39)}}
        for name, s in ((name, torch.linalg.svdvals(m)) for name, m in steps_of.items())
    ],
    digits=2,
)

# %% [markdown]
# And squared error knows nothing of what a picture shows. One flower, changed in three ways: which of them breaks a
# promise of a caption?

# %%
from dataclasses import replace

from t2i_course.nn.losses import likeness
from t2i_course.nn.world_cnn import Eyes

specs = [
    s for s in (flowers.spec("val", i) for i in range(300)) if s.center_color != "yellow" and s.center_size == "large"
][:50]
true, yellow = (
    worlds.base.to_float(np.stack([flowers.render(s, 64) for s in some]))
    for some in (specs, [replace(s, center_color="yellow") for s in specs])
)
changed = {
    "a little noise": true + 0.1 * torch.randn(true.shape, generator=torch.Generator().manual_seed(0)),
    "one pixel to the right": true.roll(1, 3),
    "a yellow centre": yellow,
}
eyes = Eyes()
seen = eyes.encode(true)
show.pictures(
    torch.cat([true[:1], *(y[:1] for y in changed.values())]).clamp(-1, 1),
    [f"a flower, its centre {specs[0].center_color}", *changed],
    columns=4,
    inches=1.9,
    alt="A flower; the same with a little noise, one pixel to the right, and with a yellow centre.",
)
show.table(
    [
        {
            f"changed, mean of {len(specs)} flowers": name,
            "squared error": F.mse_loss(y, true).item(),
            "what the CNN sees, 1 - cos": 1 - likeness(eyes.encode(y), seen).mean().item(),
        }
        for name, y in changed.items()
    ],
    digits=3,
)

# %% [markdown]
# So the guess of the small model is also *looked at* while it learns, by the course's CNN: it should see in the guess
# what it sees in the picture. Such a *perceptual loss* (Johnson, Alahi and Fei-Fei 2016) was tried on diffusion by Lin
# and Yang (2024), who let a frozen copy of the model itself look. Ours knows what to look for, as it was trained on the
# attributes of which the captions speak. (It is not the judge's network, which was trained apart.) The middle of the
# U-Net is asked what is seen, too; chapter 14 tells why. And in training up to four captions of a picture are read at
# once: any one, then those that add most to what is known.
#
# | | Ho, Jain and Abbeel 2020 | our small one |
# |---|---|---|
# | says | the noise | the picture |
# | sees | pixels | blocks of 8 x 8 pixels |
# | schedule | linear | a cosine, shifted |
# | is told | nothing | what the DAMSM reads in up to four captions; nothing for one picture in ten |
# | loss | squared error | the same, weighted by timestep, and what the CNN sees, in the guess and in the middle |
# | t | is added | scales and shifts |
# | optimiser | Adam | Muon |
#
# To be looked at has a price. Sampling takes the guess for the *mean* of all pictures that are possible, blurred where
# nothing can be known. Rewarded for looking right, the network shows detail too early, and the sampler keeps it. (The
# mesh in its petals may come from there.)

# %%
show.source(likeness)

# %% [markdown]
# ## The film
#
# Left what the sampler holds, right how the network believes it will end: first the light, then the flower. (Without
# guidance: it would make the first guesses glaring. And our small model stops at t = 130: with less noise it makes its
# guess no better, so that guess is the picture. Hence the jump at the end.)

# %%
caption = "a white flower with purple spots at sunset"
pairs = list(system.latents([caption], seed=3, steps=25, sampler="ddim", guidance_scale=1))
frames = [
    to_uint8(torch.cat([system.decode(z / z.std().clamp(min=1)), system.decode(guess)], 3).clamp(-1, 1))[0]
    for z, guess in pairs
]
show.film(
    np.stack([np.repeat(np.repeat(f, 4, 0), 4, 1) for f in frames + frames[-1:] * 5]),
    alt=f"Left noise becomes a picture of '{caption}' in 25 steps; right the network's guess of the end at each step.",
)

# %% [markdown]
# ## Fewer steps
#
# DDPM took a thousand steps for a picture. Then it was seen that the network need not be trained again to take fewer:
#
# | | idea | |
# |---|---|---|
# | DDIM | leave the fresh noise out: what remains is a path that can be cut into any number of steps | Song, Meng, Ermon 2020 |
# | PLMS | the noise changes slowly: extrapolate it from the last four steps (its first step asks twice) | Liu et al. 2022 |
# | Euler, Heun | DDIM's path obeys an ordinary differential equation (Song et al. 2020): solve it by the book | Karras et al. 2022 |
# | DPM-Solver++ | solve its easy half exactly, extrapolate the rest | Lu et al. 2022 |

# %%
show.source(samplers.ddim, samplers.dpm_solver)

# %% [markdown]
# How much of the caption is kept, against the number of steps? And, as guidance asks the network twice at every step
# (chapter 12), what do two of them keep without it, at half the cost?

# %%
asked, kept, spent, n, guided = (4, 8, 16), {}, {}, 16, ("ddpm", "ddim", "plms", "dpm_solver")
captions = [world.caption("test", i)[0] for world in (flowers, birds) for i in range(n)]
ways = {name: {"sampler": name} for name in guided}
ways |= {f"{name}, unguided": {"sampler": name, "guidance_scale": 1} for name in ("ddim", "plms")}
for name, options in ways.items():
    kept[name] = []
    for count in asked:
        since = perf_counter()
        drawn = system.draw(captions, seed=0, steps=count, **options)
        spent[name, count] = (perf_counter() - since) / len(captions)
        scores = [
            judge.caption_accuracy(part, text, world)
            for part, text, world in zip(drawn.split(n), (captions[:n], captions[n:]), (flowers, birds), strict=True)
        ]
        kept[name].append((scores[0] + scores[1]).accuracy)
facts = (scores[0] + scores[1]).facts
error = (0.7 * 0.3 / facts) ** 0.5
fig, axis = plt.subplots(figsize=(7, 3))
for k, (name, shares) in enumerate(kept.items()):
    shifted = [count * 1.012 ** (k - 2.5) for count in asked]  # side by side, so that none hides another
    axis.errorbar(shifted, shares, error, marker="o", ms=4, lw=1, capsize=2, label=name)
axis.set(xscale="log", xticks=asked, xticklabels=asked, xlabel="steps", ylabel="facts kept")
axis.minorticks_off()
axis.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
show.figure(
    fig,
    alt="The share of facts kept against the number of steps, for four samplers, two of them without guidance, too.",
)
print(f"{facts} facts: a standard error of about {error:.2f}")
show.table(
    [{"seconds of a picture": name} | {f"{count} steps": spent[name, count] for count in asked} for name in ways],
    digits=3,
)
caption, shown = CAPTIONS[2], (*asked, 40)
show.pictures(
    torch.cat([system.draw([caption], seed=1, steps=count, sampler=name) for name in guided for count in shown]),
    [f"{name}, {count} steps" for name in guided for count in shown],
    columns=len(shown),
    inches=1.5,
    alt=f"'{caption}' from the same noise: a row for each of four samplers, with 4, 8, 16 and 40 steps.",
)

# %% [markdown]
# **Notice** first how little four steps cost: DDPM, DDIM and DPM-Solver keep about as many facts with them as with
# sixteen. (Of small pictures of few things; what few steps cost in looks, facts do not say.) All but PLMS begin at the
# last timestep, where there is nothing but noise. (Many released samplers begin below it, with a network that expects
# some of a picture where there is none, which costs much with few steps; Lin et al. 2023.) PLMS works on the noise. At
# the last timestep $x_t$ *is* noise: to know it says nothing of the picture, so PLMS has to begin below, and with four
# steps that costs facts. (DPM-Solver++ extrapolates the picture, not the noise.)
#
# And what is guidance worth? A step costs about the same with every sampler, for the network is all of it (PLMS's first
# asks twice); without guidance half. So eight steps without it cost as much as four with it, and those four keep clearly
# more. (That DDIM without guidance keeps fewer facts with more steps is two standard errors: perhaps chance.)
#
# And notice, in the rows, that DDIM and DPM-Solver arrive at the *same* picture: it follows from the noise that they
# started with. That makes seeds meaningful, pictures editable (chapter 15), and noise a kind of latent. (PLMS, which
# begins elsewhere, does not always arrive there.) DDPM adds noise of its own, so its picture can change with the number of
# steps.
#
# ## Play


# %%
def paint(caption: str, seed: int, steps: int, sampler: str) -> np.ndarray:
    """Four pictures of one caption: uint8 (H, W, 3)."""
    drawn = system.draw([caption] * 4, seed, steps=steps, sampler=sampler)
    return show.grid(to_uint8(F.interpolate(drawn, scale_factor=3.0)), columns=4)


show.play(
    paint,
    caption="a small bird with a red breast and a yellow bill",
    seed=(0, 50, 1, 0),
    steps=(2, 40, 1, 12),
    sampler=["ddpm", "ddim", "plms", "dpm_solver"],
    alt="Four drawn birds; caption, seed, number of steps and sampler can be changed.",
)

# %% [markdown]
# ## What does the judge say?
#
# Beside the systems before it, all of them small and trained for this course on the same flowers and birds: the share of
# facts that the judge finds in the pictures of 500 captions of each split (± is the standard error of *test*), FID, and
# diversity (chapter 04); and of true pictures, of their own captions and of others. That takes minutes, so it was
# measured beforehand (`python -m t2i_course.judge.standings ddpm`).

# %%
from t2i_course.judge import standings

show.table(standings.table(("gan_cls", "attngan", "ddpm")), digits=2)

# %%
import inspect
import json

from t2i_course.diffusion import small
from t2i_course.paths import DATA

records = {
    n: json.loads((DATA / "weights" / f"{n}.json").read_text())
    for n in ("gan_cls", "attngan", "ddpm", "damsm", "world_cnn")
}
show.table(
    [
        {"trained": name, "steps": f"{r['steps']:,}", "minutes of a core": round(r["seconds"] / 60)}
        for name, r in records.items()
    ]
)
pictures = records["ddpm"]["steps"] * inspect.signature(small.recipe).parameters["batch_size"].default
print(f"Ho et al., CIFAR-10: 800,000 steps of 128 pictures, {800_000 * 128 / pictures:,.0f} times as many")

# %% [markdown]
# (The DAMSM taught the AttnGAN, and reads for the DDPM; the world's CNN taught the DAMSM and the DDPM to see. Both were
# trained before.) **Notice** that history repeats itself on our pictures, in part: the DDPM's pictures are nearer to true
# ones (FID), and of one caption it draws pictures that differ, as the GANs hardly do: whoever predicts *every* picture
# from its noise may forget none. Of birds it keeps more facts than the AttnGAN, of flowers fewer. (The CNN that looked at
# its guesses was taught the very attributes that the judge asks for; the AttnGAN's DAMSM has learned from the same CNN.)
# It was trained for less time, no second network has to be kept in balance with it, and whoever has the patience (or a GPU) goes on;
# the AttnGAN needed tricks that took us many trials (chapter 06). That one draws in one step, though, and 128 x 128
# pixels; the DDPM took thirty steps in this table, each of them asked twice, for 64 x 64. To draw large with little is the
# subject of chapters 13 and 14.
#
# ## Exercise: a step of DDIM
#
# Given $x_t$, the predicted noise, and $\bar\alpha$ at $t$ and at the next, earlier timestep $s$, take DDIM's step:
# compute the guess of $x_0$, then drown it again, up to $s$, with the *same* noise: equation 4 at $s$, with the
# predicted $\epsilon$. (Of the finished picture $\bar\alpha_s = 1$.) *(Ten minutes.)*


# %%
def ddim_step(x_t: torch.Tensor, eps: torch.Tensor, bar_t: float, bar_s: float) -> torch.Tensor:
    """x_s (B, C, H, W)."""
    return x_t  # your code here


# %%
def check(answer) -> str:
    """What is right, or what is wrong with it."""
    x = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    for t, s in ((999, 500), (500, 100), (100, -1)):
        bar_t, bar_s = float(process.alpha_bar[t]), float(process.alpha_bar[s]) if s >= 0 else 1.0
        eps = 0.5 * x.flip(3)
        found = answer(x.clone(), eps.clone(), bar_t, bar_s)
        right = next(samplers.ddim(process, lambda *_, eps=eps: eps, x, [t], end=s))[0]
        if found.shape != x.shape:
            return f"not yet: the shape is {tuple(found.shape)}, not {tuple(x.shape)}"
        if not torch.allclose(found, right, rtol=1e-3, atol=1e-3):
            return f"not yet: from t = {t} to s = {s} it is off by up to {(found - right).abs().max():.3f}"
    return "right"


print(check(ddim_step))

# %% [markdown]
# **Solution** (folded: click the dots, or the bar, to open it)


# %% jupyter={"source_hidden": true} tags=["nbval-check-output"]
def ddim_step_solution(x_t: torch.Tensor, eps: torch.Tensor, bar_t: float, bar_s: float) -> torch.Tensor:
    """x_s (B, C, H, W)."""
    x0 = (x_t - (1 - bar_t) ** 0.5 * eps) / bar_t**0.5
    return bar_s**0.5 * x0 + (1 - bar_s) ** 0.5 * eps


print(check(ddim_step_solution))

# %% [markdown]
# ## What came next
#
# The DDPM of 2020 drew whatever it liked. Within a year and a half it was told what to draw: by a class, by the
# gradient of a classifier, and by a caption, with a knob that says how strictly. That knob is the next chapter.
