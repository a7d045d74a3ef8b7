"""What comes back from an autoencoder: how near its copies are to pictures, and what of the captions is still there.

`python -m t2i_course.judge.copies` measures the small autoencoders in some minutes, and writes
data/benchmarks/autoencoders.json, from which chapter 14 takes it.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence

import torch
from tqdm.auto import tqdm

from t2i_course.paths import DATA, write_json

FILE = DATA / "benchmarks" / "autoencoders.json"


@torch.no_grad()
def copies(codec, world, n: int = 500, size: int = 128) -> dict:
    """{"world", "numbers", "psnr", "ssim", "rfid", "accuracy", "ceiling"} of n pictures of the split val.

    numbers: of the latent of one picture. rfid: of the features of the world's recogniser, so n must be larger than
    their number (192). accuracy: the share of the captions' facts that are read in the copies; ceiling: in pictures.
    """
    from .caption_accuracy import caption_accuracy
    from .metrics import psnr, ssim, world_extractor

    (batch,) = world.batches("val", size, n, n=n, shuffle=False)
    z, back = [], []
    for part in tqdm(batch.pictures.split(25), f"copies of {world.name}", leave=False):
        z.append(codec.encode(part))
        back.append(codec.decode(z[-1]).clamp(-1, 1))
    back = torch.cat(back)
    return {
        "world": world.name,
        "numbers": z[0][0].numel(),
        "psnr": psnr(batch.pictures, back),
        "ssim": ssim(batch.pictures, back),
        "rfid": next(iter(world_extractor(world).fid(batch.pictures, back).values())),
        "accuracy": caption_accuracy(back, batch.captions, world).accuracy,
        "ceiling": caption_accuracy(batch.pictures, batch.captions, world).accuracy,
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure small autoencoders on all worlds, and store it; what is known of others is kept."""
    from t2i_course import worlds
    from t2i_course.codec.autoencoder import SMALL, Autoencoder
    from t2i_course.run_files import hardware

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(SMALL)}; default: those that ship")
    parser.add_argument("--n", type=int, default=500, help="pictures of each world (default: 500)")
    options = parser.parse_args(arguments)
    rows, shipped = [], [name for name in SMALL if (DATA / "weights" / f"{name}.safetensors").exists()]
    names = options.names or shipped
    for name in names:
        codec = Autoencoder.load(name)
        for world in worlds.NAMES:
            rows.append({"autoencoder": name, **copies(codec, worlds.load(world), options.n)})
            rows[-1] |= {"n": options.n, "hardware": hardware()}
    known = json.loads(FILE.read_text())["rows"] if FILE.exists() else []
    rows = [row for row in known if row["autoencoder"] not in names] + rows
    write_json(FILE, {"rows": rows, "command": "python -m t2i_course.judge.copies"})


if __name__ == "__main__":
    main()
