"""What comes back from an autoencoder, measured."""

import json

import torch.nn.functional as F
from torch import nn

from t2i_course import worlds
from t2i_course.codec.autoencoder import SMALL, Autoencoder
from t2i_course.codec.folded import Folded
from t2i_course.judge import copies
from t2i_course.paths import DATA


class Blurs(nn.Module):
    """Keeps the mean of 16 x 16 pixels."""

    def encode(self, x):
        return F.avg_pool2d(x, 16)

    def decode(self, z):
        return F.interpolate(z, scale_factor=16.0)


def test_a_perfect_copy_and_a_blurred_one():
    world = worlds.load("flowers")
    perfect, blurred = (copies.copies(codec, world, n=200, size=64) for codec in (Folded(4), Blurs()))
    assert perfect["numbers"] == 3 * 64 * 64
    assert blurred["numbers"] == 3 * 4 * 4
    assert perfect["accuracy"] == perfect["ceiling"] == blurred["ceiling"] > 0.97
    assert blurred["accuracy"] < 0.8
    assert abs(perfect["rfid"]) < 0.01 * blurred["rfid"]
    assert blurred["psnr"] < 25
    assert blurred["ssim"] < 0.9
    assert perfect["ssim"] > 0.999


def test_autoencoders_are_measured_on_all_worlds(monkeypatch, tmp_path):
    monkeypatch.setattr(Autoencoder, "load", lambda name: name)
    monkeypatch.setattr(copies, "copies", lambda codec, world, n: {"world": world.name, "n": n})
    monkeypatch.setattr(copies, "FILE", tmp_path / "autoencoders.json")
    copies.main(["small_kl_f4", "--n", "7"])
    copies.main(["--n", "5"])
    copies.main(["small_kl_f4", "--n", "9"])
    rows = json.loads((tmp_path / "autoencoders.json").read_text())["rows"]
    names = {name: 5 for name in SMALL if is_shipped(name)} | {"small_kl_f4": 9}
    assert sorted((row["autoencoder"], row["world"], row["n"]) for row in rows) == sorted(
        (name, world, n) for name, n in names.items() for world in worlds.NAMES
    )


def is_shipped(name):
    return (DATA / "weights" / f"{name}.safetensors").exists()
