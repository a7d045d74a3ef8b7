"""Stable Diffusion 1.5 at full size: ours and that of diffusers, in seconds and memory.

    python -m tests.benchmarks.stable_diffusion            # every part, some minutes on a CPU
    python -m tests.benchmarks.stable_diffusion unet clip  # some parts
    python -m tests.benchmarks.stable_diffusion pipeline --steps 50 --batch 8 --compile --precisions bf16  # on a GPU

Every measurement runs in a process of its own, because memory that was once taken is seldom given back; the two sides
take turns, so that a machine that slows down slows both. Weights are random: they cost as much as trained ones. The
results go to data/benchmarks/stable_diffusion.json, with the name of the hardware.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from contextlib import nullcontext

import torch
from torch.utils.flop_counter import FlopCounterMode

from t2i_course.paths import DATA, write_json
from t2i_course.run_files import hardware

PARTS = ("unet", "decoder", "clip", "pipeline")
PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}
FILE = DATA / "benchmarks" / "stable_diffusion.json"
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
SD = {  # the configuration of Stable Diffusion 1.5 in diffusers
    "unet": {"cross_attention_dim": 768, "attention_head_dim": 8},
    "vae": {
        "down_block_types": ("DownEncoderBlock2D",) * 4,
        "up_block_types": ("UpDecoderBlock2D",) * 4,
        "block_out_channels": (128, 256, 512, 512),
        "layers_per_block": 2,
        "latent_channels": 4,
    },
    "text": {
        "vocab_size": 49408,
        "hidden_size": 768,
        "intermediate_size": 3072,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
    },
}


def theirs(part: str, precision: torch.dtype, steps: int, batch: int, compiled: bool):
    """What diffusers (or transformers) does, as a function without arguments."""
    import diffusers
    import transformers

    def unet():
        net = diffusers.UNet2DConditionModel(**SD["unet"]).to(DEVICE, precision).eval()
        x, t, context = inputs(precision)
        return lambda: net(x, t, encoder_hidden_states=context).sample

    def decoder():
        net = diffusers.AutoencoderKL(**SD["vae"]).to(DEVICE, precision).eval()
        z = torch.randn(1, 4, 64, 64, device=DEVICE, dtype=precision)
        return lambda: net.decode(z).sample

    def clip():
        net = transformers.CLIPTextModel(transformers.CLIPTextConfig(**SD["text"])).to(DEVICE, precision).eval()
        tokens = torch.randint(0, 49406, (2, 77), device=DEVICE)
        return lambda: net(tokens).last_hidden_state

    def pipeline():
        vae, net = diffusers.AutoencoderKL(**SD["vae"]), diffusers.UNet2DConditionModel(**SD["unet"])
        with torch.device("cpu"):
            scheduler = diffusers.DDIMScheduler(beta_schedule="scaled_linear")
        pipe = diffusers.StableDiffusionPipeline(
            vae, None, None, net, scheduler, None, None, requires_safety_checker=False
        )
        pipe.to(DEVICE, precision)
        pipe.set_progress_bar_config(disable=True)
        if compiled:
            pipe.unet.compile()
        context = inputs(precision)[2][:1].repeat(batch, 1, 1)
        given = dict.fromkeys(("prompt_embeds", "negative_prompt_embeds"), context) | {"height": 512, "width": 512}
        return lambda: pipe(**given, num_inference_steps=steps, output_type="pt").images

    return {"unet": unet, "decoder": decoder, "clip": clip, "pipeline": pipeline}[part]()


def ours(part: str, precision: torch.dtype, steps: int, batch: int, compiled: bool):
    """The same by this course."""
    from t2i_course.codec.autoencoder import VARIANTS as AUTOENCODERS
    from t2i_course.codec.autoencoder import Autoencoder
    from t2i_course.diffusion.latent_diffusion import LatentDiffusion
    from t2i_course.diffusion.process import Process, scaled_linear
    from t2i_course.nn.unet import VARIANTS as UNETS
    from t2i_course.nn.unet import UNet
    from t2i_course.text.clip import VARIANTS as CLIPS
    from t2i_course.text.clip import TextTower

    def unet():
        net = UNet(UNETS["sd_1"]).to(DEVICE, precision).eval()
        x, t, context = inputs(precision)
        return lambda: net(x, t, context)

    def decoder():
        net = Autoencoder(AUTOENCODERS["kl_f8"]).to(DEVICE, precision).eval()
        z = torch.randn(1, 4, 64, 64, device=DEVICE, dtype=precision)
        return lambda: net.decode(z)

    def clip():
        net = TextTower(CLIPS["vit_l_14"]).to(DEVICE, precision).eval()
        tokens = torch.randint(0, 49406, (2, 77), device=DEVICE)
        return lambda: net.context(tokens)

    def pipeline():
        net = UNet(UNETS["sd_1"]).to(DEVICE, precision)
        if compiled:
            net.compile()
        codec = Autoencoder(AUTOENCODERS["kl_f8"]).to(DEVICE, precision)
        context = inputs(precision)[2][:1].repeat(batch, 1, 1)
        with torch.device("cpu"):
            process = Process(scaled_linear())
        system = LatentDiffusion(lambda captions: context, net, codec, process, 0.18215, released=True)
        return lambda: system.draw(["a cat"] * batch, steps=steps)

    return {"unet": unet, "decoder": decoder, "clip": clip, "pipeline": pipeline}[part]()


def inputs(precision: torch.dtype) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Latents of 512 x 512, timesteps and contexts, of a batch of two: with the caption and without."""
    x, context = torch.randn(2, 4, 64, 64), torch.randn(2, 77, 768)
    return x.to(DEVICE, precision), torch.full((2,), 500, device=DEVICE), context.to(DEVICE, precision)


def one(who: str, part: str, precision: str, rounds: int, **settings) -> dict:
    """Seconds of the fastest round, after one to warm up, the peak of memory in MiB, and the work of a round.

    Gflop: products of matrices and convolutions. They are counted as one warms up, unless it is compiled.
    """
    counter = nullcontext() if settings["compiled"] else FlopCounterMode(display=False)
    with torch.no_grad():
        torch.set_default_dtype(PRECISIONS[precision])  # weights are made in it, and take no more memory than that
        with torch.device(DEVICE):  # on a GPU, random weights are made there
            call, times = (ours if who == "ours" else theirs)(part, PRECISIONS[precision], **settings), []
        torch.set_default_dtype(torch.float32)
        for k in range(rounds + 1):
            start = time.perf_counter()
            with counter if k == 0 else nullcontext():
                call()
            if DEVICE == "cuda":
                torch.cuda.synchronize()
            times.append(time.perf_counter() - start)
    peak = torch.cuda.max_memory_allocated() / 2**20 if DEVICE == "cuda" else peak_of_process()
    found = {"seconds": min(times[1:] or times), "peak MiB": round(peak)}
    return found if settings["compiled"] else found | {"Gflop": round(counter.get_total_flops() / 1e9, 1)}


def peak_of_process() -> float:
    """The most memory that this process has had, in MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def matmul_peak(precision: str) -> float:
    """What a large product of matrices reaches here, in Gflop per second."""
    n = 8192 if DEVICE == "cuda" else 2048
    a = torch.randn(n, n, device=DEVICE, dtype=PRECISIONS[precision])
    times = []
    for _ in range(5):
        start = time.perf_counter()
        a @ a
        if DEVICE == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return 2 * n**3 / min(times) / 1e9


def main() -> None:
    """Measure, print, and store."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", help=f"some of {', '.join(PARTS)} (default: all)")
    parser.add_argument("--precisions", nargs="+", default=list(PRECISIONS), choices=PRECISIONS)
    parser.add_argument("--steps", type=int, default=20, help="of the pipeline (default: 20)")
    parser.add_argument("--batch", type=int, default=1, help="pictures of the pipeline at once (default: 1)")
    parser.add_argument("--compile", action="store_true", help="the pipeline's U-Net by torch.compile")
    parser.add_argument("--rounds", type=int, default=2, help="the fastest counts (default: 2)")
    parser.add_argument("--one", help=argparse.SUPPRESS)  # in a process of its own: whose part is measured
    options = parser.parse_args()
    parts = options.parts or PARTS
    if unknown := set(parts) - set(PARTS):
        parser.error(f"there is no part {', '.join(unknown)}; there are: {', '.join(PARTS)}")
    settings = {"steps": options.steps, "batch": options.batch, "compiled": options.compile}
    if options.one:
        print(json.dumps(one(options.one, parts[0], options.precisions[0], options.rounds, **settings)))
        return
    known = json.loads(FILE.read_text()) if FILE.exists() else {"rows": []}
    for precision in options.precisions:
        peak = matmul_peak(precision)
        for part in parts:
            row = {"part": part, "precision": precision, "hardware": hardware(), "torch": torch.__version__}
            row |= {"matmul Gflop/s": round(peak)} | (settings if part == "pipeline" else {})
            rounds = 0 if part == "pipeline" and DEVICE == "cpu" else options.rounds
            for who in ("ours", "theirs"):
                command = [sys.executable, "-m", "tests.benchmarks.stable_diffusion", part, "--one", who]
                command += ["--precisions", precision, "--steps", str(options.steps), "--rounds", str(rounds)]
                command += ["--batch", str(options.batch), *(["--compile"] if options.compile else [])]
                row[who] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
            row["time ratio"] = row["ours"]["seconds"] / row["theirs"]["seconds"]
            row["memory ratio"] = row["ours"]["peak MiB"] / row["theirs"]["peak MiB"]
            if "Gflop" in row["ours"]:
                row["share of matmul peak"] = row["ours"]["Gflop"] / row["ours"]["seconds"] / peak
            print(json.dumps(row), flush=True)
            same = ("part", "precision", "hardware", *settings)
            known["rows"] = [r for r in known["rows"] if any(r.get(k) != row.get(k) for k in same)] + [row]
    write_json(FILE, known)


if __name__ == "__main__":
    main()
