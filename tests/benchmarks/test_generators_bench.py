"""The systems of 2015 to 2018: pictures per second, and their generators against plain stacks of torch's layers."""

from statistics import median
from time import perf_counter

import pytest
import torch
from torch import nn

from t2i_course.gan import attngan, gan_cls, stackgan
from t2i_course.vae import aligndraw

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


def drawer(name: str, variant: str, batch: int, device: str):
    """A function without arguments that draws a batch, with random weights: they take as long as trained ones."""
    torch.manual_seed(0)

    def random(*shape):
        return torch.randn(batch, *shape, device=device)

    if name == "aligndraw":
        config = aligndraw.small_config() if variant == "small" else aligndraw.VARIANTS["full"]
        net = aligndraw.AlignDRAW(config)
        tokens, lengths = torch.randint(1, config.words, (batch, 12), device=device), torch.full((batch,), 12)
        eps = random(config.steps, config.latent)
        call = lambda: list(net.steps(tokens, lengths.to(device), eps))[-1]  # noqa: E731
    elif name == "gan_cls":
        config = gan_cls.VARIANTS[variant]
        net, inputs = gan_cls.Generator(config), (random(config.z_dim), random(config.text_dim))
        call = lambda: net(*inputs)  # noqa: E731
    elif name == "stackgan":
        config = stackgan.VARIANTS[variant]
        net = stackgan.StageII(config)
        inputs = [random(n) for n in (config.z_dim, config.condition_dim, config.condition_dim, config.text_dim)]
        call = lambda: net(*inputs)  # noqa: E731
    else:
        config = attngan.VARIANTS["small" if variant == "small" else "bird"]
        net, inputs = attngan.Generator(config), attngan_inputs(config, batch, device)
        call = lambda: net(*inputs)  # noqa: E731
    net.to(device).eval()

    def draw():
        with torch.inference_mode():
            call()
        if device == "cuda":
            torch.cuda.synchronize()

    return draw


def attngan_inputs(config, batch: int, device: str = "cpu"):
    """z, eps, words, sentence and mask."""
    sizes = [(config.z_dim,), (config.condition_dim,), (12, config.text_dim), (config.text_dim,)]
    mask = torch.ones(batch, 12, dtype=torch.bool, device=device)
    return [*(torch.randn(batch, *size, device=device) for size in sizes), mask]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(("variant", "batch"), [("small", 1), ("small", 64), ("full", 1), ("full", 64)])
@pytest.mark.parametrize("name", ["aligndraw", "gan_cls", "stackgan", "attngan"])
def test_pictures_per_second(benchmark, name, variant, batch, device):
    if device == "cpu" and variant == "full" and batch > 1:
        pytest.skip("a GPU is needed for a batch at full size")
    benchmark.pedantic(drawer(name, variant, batch, device), rounds=5, warmup_rounds=1)
    benchmark.extra_info["pictures per second"] = batch / benchmark.stats["median"]


def ratio(ours, other, rounds: int) -> float:
    """Seconds of ours / those of other: medians of as many calls, in turns, lest the machine favours one of them."""
    seconds = {ours: [], other: []}
    for _ in range(rounds):
        for call, taken in seconds.items():
            start = perf_counter()
            call()
            taken.append(perf_counter() - start)
    return median(seconds[ours]) / median(seconds[other])


# --- the same generators, of nothing but torch's own modules ----------------------------------------------------------


def plain_block(dim_in: int, dim: int, act: nn.Module | None, up: bool = False, kernel: int = 3, stride: int = 1):
    """Layers: perhaps twice as wide and high, a convolution, batch norm, perhaps an activation; GLU halves `dim`."""
    conv = nn.Conv2d(dim_in, dim, kernel, stride, 1, bias=False)
    return [*([nn.Upsample(scale_factor=2)] if up else []), conv, nn.BatchNorm2d(dim), *([act] if act else [])]


class PlainResidual(nn.Module):
    def __init__(self, dim: int, gated: bool):
        super().__init__()
        first = plain_block(dim, 2 * dim, nn.GLU(1)) if gated else plain_block(dim, dim, nn.ReLU())
        self.body, self.last = (
            nn.Sequential(*first, *plain_block(dim, dim, None)),
            nn.Identity() if gated else nn.ReLU(),
        )

    def forward(self, x):
        return self.last(x + self.body(x))


class PlainStackGAN(nn.Module):
    def __init__(self, config: stackgan.Config):
        super().__init__()
        c, z, told, relu = config.generator_width, config.z_dim, config.condition_dim, nn.ReLU()
        w, mu_and_logvar = 8 * c, [nn.Linear(config.text_dim, 2 * told), *([relu] if config.rectified else [])]
        ups = [layer for k in range(4) for layer in plain_block(w // 2**k, w // 2 ** (k + 1), relu, up=True)]
        self.augment1 = nn.Sequential(*mu_and_logvar)
        self.sketch = nn.Sequential(
            *(nn.Linear(z + told, 16 * w, bias=False), nn.BatchNorm1d(16 * w), relu, nn.Unflatten(1, (w, 4, 4))),
            *(*ups, nn.Conv2d(w // 16, 3, 3, 1, 1, bias=False), nn.Tanh()),
        )
        self.augment2 = nn.Sequential(nn.Linear(config.text_dim, 2 * told), *mu_and_logvar[1:])
        self.look = nn.Sequential(
            *(nn.Conv2d(3, c, 3, 1, 1, bias=False), relu, *plain_block(c, 2 * c, relu, kernel=4, stride=2)),
            *plain_block(2 * c, 4 * c, relu, kernel=4, stride=2),
        )
        n = (config.size // 16).bit_length() - 1
        self.paint = nn.Sequential(
            *plain_block(4 * c + told, 4 * c, relu),
            *(PlainResidual(4 * c, gated=False) for _ in range(config.residuals)),
            *(layer for k in range(n) for layer in plain_block(4 * c // 2**k, 4 * c // 2 ** (k + 1), relu, up=True)),
            *(nn.Conv2d(4 * c // 2**n, 3, 3, 1, 1, bias=False), nn.Tanh()),
        )

    def forward(self, z, eps1, eps2, text):
        conditions = []
        for augment, eps in ((self.augment1, eps1), (self.augment2, eps2)):
            mu, logvar = augment(text).chunk(2, 1)
            conditions.append(mu + (logvar / 2).exp() * eps)
        seen = self.look(self.sketch(torch.cat([z, conditions[0]], 1)))
        return self.paint(torch.cat([seen, conditions[1][:, :, None, None].expand(-1, -1, *seen.shape[2:])], 1))


class PlainAttnGAN(nn.Module):
    def __init__(self, config: attngan.Config):
        super().__init__()
        c, times = config.generator_width, config.first_size // 4
        wide, halved = times * c, [times // 2**k for k in range(1, times.bit_length())]
        self.condition = nn.Sequential(nn.Linear(config.text_dim, 4 * config.condition_dim), nn.GLU(1))
        fc = nn.Linear(config.condition_dim + config.z_dim, 32 * wide, bias=False)
        ups = [layer for w in halved for layer in plain_block(2 * w * c, 2 * w * c, nn.GLU(1), up=True)]
        self.first = nn.Sequential(fc, nn.BatchNorm1d(32 * wide), nn.GLU(1), nn.Unflatten(1, (wide, 4, 4)), *ups)
        self.next = nn.ModuleList(
            nn.ModuleList([nn.Linear(config.text_dim, c, bias=False), self.refine(config)])
            for _ in range(config.stages - 1)
        )
        self.to_picture = nn.ModuleList(nn.Conv2d(c, 3, 3, 1, 1, bias=False) for _ in range(config.stages))

    @staticmethod
    def refine(config):
        c = config.generator_width
        residuals = (PlainResidual(2 * c, gated=True) for _ in range(config.residuals))
        return nn.Sequential(*residuals, *plain_block(2 * c, 2 * c, nn.GLU(1), up=True))

    def forward(self, z, eps, words, sentence, mask):
        mu, logvar = self.condition(sentence).chunk(2, 1)
        h = self.first(torch.cat([mu + (logvar / 2).exp() * eps, z], 1))
        pictures = [self.to_picture[0](h).tanh()]
        for (to_features, refine), to_picture in zip(self.next, self.to_picture[1:], strict=True):
            e = to_features(words)
            scores = (h.flatten(2).transpose(1, 2) @ e.transpose(1, 2)).masked_fill(~mask[:, None], float("-inf"))
            context = (scores.softmax(-1) @ e).transpose(1, 2).unflatten(2, h.shape[2:])
            h = refine(torch.cat([h, context], 1))
            pictures.append(to_picture(h).tanh())
        return pictures[-1]


@pytest.mark.parametrize(("variant", "batch"), [("small", 1), ("small", 16), ("full", 1)])
@pytest.mark.parametrize("name", ["stackgan", "attngan"])
def test_a_generator_against_plain_modules(benchmark, name, variant, batch):
    torch.manual_seed(0)
    if name == "stackgan":
        config = stackgan.VARIANTS[variant]
        ours, plain = stackgan.StageII(config), PlainStackGAN(config)
        inputs = [torch.randn(batch, n) for n in (config.z_dim, *2 * [config.condition_dim], config.text_dim)]
        ours_draws = lambda: ours(*inputs)["picture"]  # noqa: E731
    else:
        config = attngan.VARIANTS["small" if variant == "small" else "bird"]
        ours, plain, inputs = attngan.Generator(config), PlainAttnGAN(config), attngan_inputs(config, batch)
        ours_draws = lambda: ours(*inputs)["pictures"][-1]  # noqa: E731
    ours.eval(), plain.eval()
    plain.load_state_dict(dict(zip(plain.state_dict(), ours.state_dict().values(), strict=True)))
    with torch.inference_mode():
        torch.testing.assert_close(plain(*inputs), ours_draws(), atol=1e-5, rtol=1e-4)
        benchmark.pedantic(ours_draws, rounds=5, warmup_rounds=1)
        rounds = 100 if (variant, batch) == ("small", 1) else 12
        benchmark.extra_info["ours / plain"] = ratio(ours_draws, lambda: plain(*inputs), rounds)
