"""StackGAN's published files: names, shapes, outputs of the original code, and files that are something else."""

import json
import pickle
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from t2i_course.gan.stackgan import VARIANTS, StackGAN, build
from t2i_course.published import stackgan as published

GOLDEN = Path(__file__).parents[1] / "golden"
KEYS = json.loads((GOLDEN / "stackgan_keys.json").read_text())
TINY = replace(
    VARIANTS["full"], z_dim=20, condition_dim=24, text_dim=48, generator_width=16, discriminator_width=4, residuals=2
)


def meta(stage):
    with torch.device("meta"):
        return build(VARIANTS["full"], stage)


@pytest.mark.parametrize("counted", [True, False], ids=["with counters", "as PyTorch 0.3 wrote it"])
@pytest.mark.parametrize("stage", [1, 2])
def test_every_published_name_has_its_place(stage, counted):
    net = meta(stage)
    for part, convert in {"G": published.convert_generator, "D": published.convert_discriminator}.items():
        keys = KEYS[f"stage{stage}-{part}"]
        state = {name: torch.empty(shape, device="meta") for name, shape in keys.items()}
        if not counted:
            state = {name: t for name, t in state.items() if "num_batches_tracked" not in name}
        ours = convert(state)
        mine = net["generator" if part == "G" else "discriminator"].state_dict()
        assert {name: list(t.shape) for name, t in ours.items()} == {name: list(t.shape) for name, t in mine.items()}


@pytest.mark.parametrize(
    ("stage", "generator", "discriminator"), [(1, 20_020_832, 12_407_425), (2, 57_151_312, 159_889_538)]
)
def test_published_sizes(stage, generator, discriminator):
    net = meta(stage)
    assert sum(p.numel() for p in net["generator"].parameters()) == generator
    assert sum(p.numel() for p in net["discriminator"].parameters()) == discriminator


def golden(stage, folder):
    """The golden tensors, and the file of the generator with their weights."""
    tensors = load_file(GOLDEN / f"stackgan_stage{stage}_generator.safetensors")
    file = folder / "netG.pth"
    torch.save({k.removeprefix("weights/"): t for k, t in tensors.items() if k.startswith("weights/")}, file)
    return tensors, published.load_generator(file, stage, TINY)


def test_stage_1_draws_what_the_original_code_draws(tmp_path):
    tensors, net = golden(1, tmp_path)
    out = net(tensors["in/z"], tensors["in/eps"], tensors["in/text"])
    expected = {"picture": ("image", 2.4e-5), "mu": ("mu", 2.9e-5), "logvar": ("logvar", 6e-5)}
    for ours, (theirs, atol) in expected.items():
        torch.testing.assert_close(out[ours], tensors[f"out/{theirs}"], atol=atol, rtol=0)


def test_stage_2_draws_what_the_original_code_draws(tmp_path):
    tensors, net = golden(2, tmp_path)
    out = net(tensors["in/z"], tensors["in/eps_stage1"], tensors["in/eps"], tensors["in/text"])
    expected = {"sketch": ("stage1_image", 3e-5), "picture": ("image", 2e-5), "mu": ("mu", 4.8e-5)}
    for ours, (theirs, atol) in (expected | {"logvar": ("logvar", 6.7e-5)}).items():
        torch.testing.assert_close(out[ours], tensors[f"out/{theirs}"], atol=atol, rtol=0)


class Hostile:
    def __reduce__(self):
        return print, ("this must never run",)


def test_files_that_are_something_else(tmp_path, capsys):
    golden(1, tmp_path)
    whole = tmp_path / "netG.pth"
    with pytest.raises(ValueError, match="holds the weights of another network.*Stage II generator"):
        published.load_generator(whole, 2, TINY)
    with pytest.raises(ValueError, match="another network"):
        published.load_generator(whole, 1, replace(TINY, generator_width=8))
    with pytest.raises(ValueError, match="another network.*netD of stage 1"):
        published.load_discriminator(whole, 1, TINY)
    (tmp_path / "cut.pth").write_bytes(whole.read_bytes()[:5000])
    (tmp_path / "hostile.pth").write_bytes(pickle.dumps(Hostile()))
    for name in ("cut.pth", "hostile.pth"):
        with pytest.raises(ValueError, match=f"{name} cannot be read"):
            published.load_generator(tmp_path / name, 1, TINY)
    assert "never" not in capsys.readouterr().out
    with pytest.raises(ValueError, match="There is no file"):
        published.load_generator(tmp_path / "missing.pth", 1, TINY)
    with pytest.raises(ValueError, match="needs weights=FILE and text=ENCODER"):
        StackGAN.load("full")
