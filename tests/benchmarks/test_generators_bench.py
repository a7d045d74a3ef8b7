"""How fast the systems draw, and the generators of 2017 and 2018 against plain stacks of torch's layers.

    pytest tests/benchmarks/test_generators_bench.py --benchmark-enable --benchmark-only

on an idle machine keeps what it measures in data/benchmarks/generators.json, with the name of the hardware.
"""

import json
from statistics import median
from time import perf_counter

import pytest
import torch

from t2i_course import timeline, worlds
from t2i_course.gan import attngan, gan_cls, stackgan
from t2i_course.paths import DATA, write_json
from t2i_course.run_files import hardware
from t2i_course.vae import aligndraw
from tests.gan.plain import attngan_inputs, ours_and_plain

FILE = DATA / "benchmarks" / "generators.json"
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


def keep(measured: dict, **run) -> None:
    """Keep what was measured in place of what an earlier run on this hardware measured."""
    run |= {"hardware": hardware(run["device"])}
    rows = json.loads(FILE.read_text())["rows"] if FILE.exists() else []
    rows = [row for row in rows if not run.items() <= row.items()] + [run | measured]
    rows.sort(key=lambda row: [str(row[name]) for name in run])
    write_json(
        FILE,
        {
            "rows": rows,
            "command": "pytest tests/benchmarks/test_generators_bench.py --benchmark-enable --benchmark-only",
        },
    )


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(("variant", "batch"), [("small", 1), ("small", 64), ("full", 1), ("full", 64)])
@pytest.mark.parametrize("name", ["aligndraw", "gan_cls", "stackgan", "attngan"])
def test_pictures_per_second(benchmark, name, variant, batch, device):
    if device == "cpu" and variant == "full" and batch > 1:
        pytest.skip("a GPU is needed for a batch at full size")
    benchmark.pedantic(drawer(name, variant, batch, device), rounds=5, warmup_rounds=1)
    measured = {"pictures per second": batch / benchmark.stats["median"]}
    benchmark.extra_info.update(measured)
    keep(measured, system=name, variant=variant, batch=batch, device=device, against="")


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", ["ddpm", "latent_diffusion", "stable_diffusion"])
def test_sixteen_pictures_of_small_diffusion(benchmark, name, device):
    """From captions to pictures, in thirty steps with guidance."""
    system, birds = timeline.load(name, device=device), worlds.load("birds")
    captions = [birds.caption("test", i)[0] for i in range(16)]
    benchmark.pedantic(system.draw, (captions,), {"steps": 30}, rounds=2, warmup_rounds=1)
    measured = {"pictures per second": 16 / benchmark.stats["min"]}
    benchmark.extra_info.update(measured)
    keep(measured, system=name, variant="small", batch=16, device=device, against="")


def ratio(ours, other, rounds: int) -> float:
    """Seconds of ours / those of other: medians of as many calls, in turns, lest the machine favours one of them."""
    seconds = {ours: [], other: []}
    for _ in range(rounds):
        for call, taken in seconds.items():
            start = perf_counter()
            call()
            taken.append(perf_counter() - start)
    return median(seconds[ours]) / median(seconds[other])


@pytest.mark.parametrize(("variant", "batch"), [("small", 1), ("small", 16), ("full", 1)])
@pytest.mark.parametrize("name", ["stackgan", "attngan"])
def test_a_generator_against_plain_modules(benchmark, name, variant, batch):
    """That both draw the same is tested in tests/gan/test_plain.py."""
    torch.manual_seed(0)
    variants = stackgan.VARIANTS if name == "stackgan" else attngan.VARIANTS | {"full": attngan.VARIANTS["bird"]}
    ours, plain = ours_and_plain(variants[variant], batch)
    with torch.inference_mode():
        benchmark.pedantic(ours, rounds=5, warmup_rounds=1)
        rounds = 100 if (variant, batch) == ("small", 1) else 12
        measured = {"ours / plain": ratio(ours, plain, rounds)}
    benchmark.extra_info.update(measured)
    keep(measured, system=name, variant=variant, batch=batch, device="cpu", against="plain modules")
