"""The systems of 2015 to 2018: pictures per second, and their generators against plain stacks of torch's layers."""

import pytest
import torch
import torch.utils.benchmark
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


def seconds(call) -> float:
    timer = torch.utils.benchmark.Timer("call()", globals={"call": call})
    return timer.blocked_autorange(min_run_time=1).median


def plain_up(dim_in: int, dim: int, gated: bool) -> list[nn.Module]:
    conv = nn.Conv2d(dim_in, 2 * dim if gated else dim, 3, 1, 1, bias=False)
    return [nn.Upsample(scale_factor=2), conv, nn.BatchNorm2d(conv.out_channels), nn.GLU(1) if gated else nn.ReLU()]


@pytest.mark.parametrize("batch", [1, 16])
def test_stackgan_stage_1_against_a_plain_stack(benchmark, batch):
    config = stackgan.VARIANTS["small"]
    c = 8 * config.generator_width
    ours = stackgan.StageI(config).eval()
    fc = nn.Linear(config.z_dim + config.condition_dim, c * 16, bias=False)
    ups = [layer for k in range(4) for layer in plain_up(c // 2**k, c // 2 ** (k + 1), gated=False)]
    plain = nn.Sequential(
        *(fc, nn.BatchNorm1d(c * 16), nn.ReLU(), nn.Unflatten(1, (c, 4, 4)), *ups),
        *(nn.Conv2d(c // 16, 3, 3, 1, 1, bias=False), nn.Tanh()),
    ).eval()
    own = [t for name, t in ours.state_dict().items() if not name.startswith("augment.")]
    plain.load_state_dict(dict(zip(plain.state_dict(), own, strict=True)))
    z, eps = torch.randn(batch, config.z_dim), torch.randn(batch, config.condition_dim)
    text = torch.randn(batch, config.text_dim)
    mu, logvar = ours.augment(text)
    x = torch.cat([z, stackgan.condition(mu, logvar, eps)], 1)
    with torch.inference_mode():
        torch.testing.assert_close(plain(x), ours(z, eps, text)["picture"])
        other = seconds(lambda: plain(x))
        benchmark.pedantic(lambda: ours(z, eps, text), rounds=20, warmup_rounds=2)
    benchmark.extra_info["ours / plain"] = benchmark.stats["median"] / other


@pytest.mark.parametrize("batch", [1, 16])
def test_attngan_first_stage_against_a_plain_stack(benchmark, batch):
    config = attngan.VARIANTS["small"]
    c, times = config.generator_width, config.first_size // 4
    ours = attngan.FirstStage(config).eval()
    fc = nn.Linear(config.condition_dim + config.z_dim, 2 * times * c * 16, bias=False)
    halved = [times // 2**k for k in range(1, times.bit_length())]
    ups = [layer for w in halved for layer in plain_up(2 * w * c, w * c, gated=True)]
    plain = nn.Sequential(
        fc, nn.BatchNorm1d(fc.out_features), nn.GLU(1), nn.Unflatten(1, (times * c, 4, 4)), *ups
    ).eval()
    plain.load_state_dict(dict(zip(plain.state_dict(), ours.state_dict().values(), strict=True)))
    condition, z = torch.randn(batch, config.condition_dim), torch.randn(batch, config.z_dim)
    x = torch.cat([condition, z], 1)
    with torch.inference_mode():
        torch.testing.assert_close(plain(x), ours(condition, z), atol=1e-5, rtol=1e-4)
        other = seconds(lambda: plain(x))
        benchmark.pedantic(lambda: ours(condition, z), rounds=20, warmup_rounds=2)
    benchmark.extra_info["ours / plain"] = benchmark.stats["median"] / other
