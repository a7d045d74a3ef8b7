"""Published diffusion in pixels, with narrow networks in their places."""

from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

from t2i_course import timeline
from t2i_course.diffusion import pixels
from t2i_course.diffusion.pixels import VARIANTS, PixelDiffusion, class_number
from t2i_course.nn import unet
from t2i_course.nn.unet import Config, NoisyClassifier, UNet
from t2i_course.published import PRECISIONS


def narrow(name):
    """A variant with all that is special about it, but few channels, and small pictures."""
    torch.manual_seed(0)
    config = replace(unet.VARIANTS[name], dim=32, mults=(1, 2), attend=(1,), heads=1, head_dim=0)
    net = UNet(config)
    for p in net.parameters():
        if not p.any():  # as it starts, t and the class would change nothing
            torch.nn.init.normal_(p, 0, 0.05)
    return PixelDiffusion(net, replace(VARIANTS[name], size=8))


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_draws(name):
    system = narrow(name)
    known = system.unet.config.classes
    captions = ["goldfish", "7"] if known else ["", ""]
    frames = list(system.frames(captions, 3, steps=6, every=2))
    assert [tuple(f.shape) for f in frames] == [(2, 3, 8, 8)] * 3
    assert torch.equal(frames[-1], system.draw(captions, 3, steps=6))
    torch.testing.assert_close(system.draw(captions[:1], 3, steps=6), frames[-1][:1], atol=1e-4, rtol=1e-4)
    if known:
        other = system.draw(["8", "7"], 3, steps=6)
        assert (other - frames[-1])[0].abs().max() > 1e-3
        torch.testing.assert_close(other[1], frames[-1][1], atol=1e-4, rtol=1e-4)
    else:
        with pytest.raises(ValueError, match="knows no captions"):
            system.draw(["a goldfish"], steps=2)


@pytest.mark.parametrize("sampler", ["ddim", "ddpm"])
def test_a_classifier_pulls(sampler):
    """Towards pictures to which it gives its class: here it likes what is bright."""
    system = narrow("adm_256_uncond")
    classifier = NoisyClassifier(Config(32, (1, 2), 1, (1,), out=1000, heads=1), 8)
    classifier.forward = lambda x, t: torch.nn.functional.pad(x.mean((1, 2, 3))[:, None] * 300, (1, 998))  # class 1
    plain = system.draw(["", ""], 0, steps=10, sampler=sampler)
    system.classifier = classifier
    pulled = system.draw(["goldfish", "1"], 0, steps=10, sampler=sampler, guidance_scale=20.0)
    assert pulled.mean() > plain.mean() + 0.1


@pytest.mark.parametrize(
    ("name", "last"), [("iddpm_64", 999.75), ("iddpm_cifar10", 999.75), ("iddpm_64_classes", 3999), ("adm_64", 999)]
)
def test_some_networks_are_told_timesteps_out_of_a_thousand(name, last, monkeypatch):
    """As their flags in the README of improved-diffusion say (rescale_timesteps)."""
    system, told = narrow(name), []
    forward = system.unet.forward
    monkeypatch.setattr(
        system.unet, "forward", lambda x, t, **options: (told.append(float(t[0])), forward(x, t, **options))[1]
    )
    system.draw(["goldfish"] if system.unet.config.classes else [""], steps=3)
    assert told[0] == last
    assert told[-1] == 0


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_a_published_file_in_another_precision(precision, tmp_path, monkeypatch):
    exact = narrow("adm_64")
    monkeypatch.setitem(unet.VARIANTS, "adm_64", exact.unet.config)
    monkeypatch.setitem(VARIANTS, "adm_64", exact.variant)
    monkeypatch.setattr("t2i_course.published.unet.convert", lambda state, *_: state)  # our own names
    save_file(exact.unet.state_dict(), tmp_path / "adm.safetensors")
    system = timeline.load("adm", "adm_64", weights=tmp_path / "adm.safetensors", device="cpu", precision=precision)
    assert {p.dtype for p in system.unet.parameters()} == {PRECISIONS[precision]}
    picture = system.draw(["goldfish"], steps=4)
    assert picture.dtype == torch.float32
    torch.testing.assert_close(picture, exact.draw(["goldfish"], steps=4), atol=0.1, rtol=0)


def test_classes_by_name_and_number():
    assert class_number("Goldfish") == class_number("1") == 1
    assert class_number("goldfish") == pixels._imagenet().index("goldfish")
    assert (class_number("Cardigan"), class_number("cardigan")) == (264, 474)  # the dog and the garment
    for wrong in ("a goldfish in a bowl", "1000", ""):
        with pytest.raises(ValueError, match="ImageNet has no class"):
            class_number(wrong)


def test_asking_for_what_is_not_there(tmp_path):
    with pytest.raises(ValueError, match="no diffusion in pixels 'x'"):
        PixelDiffusion.load("x", tmp_path / "x.pt")
    with pytest.raises(ValueError, match="adm_64 needs weights=FILE"):
        timeline.load("adm")
    with pytest.raises(ValueError, match="There is no precision 'fp8'. There are: fp32, bf16, fp16"):
        timeline.load("adm", weights=tmp_path / "x.pt", precision="fp8")
    with pytest.raises(ValueError, match="There is no file"):
        timeline.load("ddpm", "ddpm_cifar10", weights=tmp_path / "x.pt")
    with pytest.raises(ValueError, match="no sampler 'plms' here"):
        narrow("ddpm_cifar10").draw([""], sampler="plms")
    for wrong in ("a bird", 5):
        with pytest.raises(ValueError, match="list of at least one text"):
            narrow("ddpm_cifar10").draw(wrong)
    with pytest.raises(ValueError, match="list of at least one text"):
        narrow("ddpm_cifar10").draw([])
    with pytest.raises(ValueError, match="every=0: it is at least 1"):
        narrow("ddpm_cifar10").draw([""], every=0)
    with pytest.raises(ValueError, match="guidance_scale=5 needs a classifier"):
        narrow("adm_64").draw(["7"], guidance_scale=5)
    with pytest.raises(ValueError, match="ADM's classifiers know 1,000 timesteps; iddpm_64 has 4,000"):
        PixelDiffusion.load("iddpm_64", tmp_path / "x.pt", classifier=tmp_path / "y.pt")
