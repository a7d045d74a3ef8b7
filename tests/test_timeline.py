"""The history as data: complete, in order, and with the parameter counts that the models really have."""

import json
from importlib import import_module

import pytest
import torch

from t2i_course import timeline
from t2i_course.paths import DATA
from t2i_course.show.history import family


def test_history_is_in_order_and_complete():
    years = [system.year for system in timeline.HISTORY]
    assert years == sorted(years)
    names = [system.name for system in timeline.HISTORY]
    assert len(set(names)) == len(names)
    for system in timeline.HISTORY:
        assert all(vars(system.anatomy).values())
        assert family(system.anatomy.technique)
        assert bool(system.module) == bool(system.variants)


def test_parameters_of_the_2007_system():
    """Its learnt numbers: picturability weights and bias, and two linear chains."""
    stored = json.loads((DATA / "layout" / "picturability.json").read_text())
    count = len(stored["weights"]) + 1
    for name in ("tagger", "abc"):
        chain = json.loads((DATA / "layout" / f"{name}.json").read_text())
        count += sum(map(len, chain["weights"].values())) + sum(map(len, chain["transitions"]))
    assert timeline.find("picture_layout").variants == {"full": count}


def test_parameters_of_the_systems_of_2015_to_2018():
    """Those of what draws: of a GAN, its generator."""
    from t2i_course.gan import attngan, gan_cls, stackgan
    from t2i_course.vae import aligndraw

    builders = {
        "aligndraw": (aligndraw.AlignDRAW, {"small": aligndraw.small_config(), **aligndraw.VARIANTS}),
        "gan_cls": (gan_cls.Generator, gan_cls.VARIANTS),
        "stackgan": (stackgan.StageII, stackgan.VARIANTS),
        "attngan": (attngan.Generator, attngan.VARIANTS),
    }
    for name, (build, configs) in builders.items():
        for variant, parameters in timeline.find(name).variants.items():
            with torch.device("meta"):
                assert sum(p.numel() for p in build(configs[variant]).parameters()) == parameters, (name, variant)


def test_parameters_of_diffusion():
    """Those of the U-Net."""
    from t2i_course.diffusion.small import SMALL
    from t2i_course.nn.unet import VARIANTS, UNet
    from t2i_course.published.latent_diffusion import VARIANTS as PUBLISHED

    small = {"ddpm": "ddpm", "latent_diffusion": "ldm", "stable_diffusion": "ldm_clip"}
    for name in (*small, "adm"):
        for variant, parameters in timeline.find(name).variants.items():
            if variant == "small":
                config = SMALL[small[name]].unet
            else:
                config = VARIANTS[PUBLISHED[variant].unet if variant in PUBLISHED else variant]
            with torch.device("meta"):
                assert sum(p.numel() for p in UNet(config).parameters()) == parameters, (name, variant)


def test_every_published_network_is_listed_with_its_parameters():
    """As a variant of a system, or as a part."""
    from t2i_course.codec import autoencoder
    from t2i_course.nn import unet
    from t2i_course.published import latent_diffusion
    from t2i_course.text import clip

    listed = {variant for system in timeline.systems() for variant in system.variants}
    whole = {v.unet for name, v in latent_diffusion.VARIANTS.items() if name in listed} | listed
    kinds = {
        "unet:load_unet": (unet.UNet, {k: c for k, c in unet.VARIANTS.items() if k not in whole}),
        "autoencoder:load_autoencoder": (autoencoder.Autoencoder, autoencoder.VARIANTS),
        "clip:load_clip": (clip.CLIP, clip.VARIANTS),
    }
    counted = {}
    with torch.device("meta"):
        for kind, (build, configs) in kinds.items():
            counted[kind] = {k: sum(p.numel() for p in build(c).parameters()) for k, c in configs.items()}
        counted["unet:load_classifier"] = {
            str(size): sum(p.numel() for p in unet.NoisyClassifier(c, size).parameters())
            for size, c in unet.CLASSIFIERS.items()
        }
    assert {f"t2i_course.published.{kind}": parts for kind, parts in counted.items()} == timeline.PARTS
    for by in timeline.PARTS:
        module, function = by.split(":")
        assert callable(getattr(import_module(module), function))


def test_asking_for_what_is_not_there():
    with pytest.raises(ValueError, match="no system 'imagen'"):  # in the history, but not in the library
        timeline.find("imagen")
    with pytest.raises(ValueError, match="no variant 'small'"):
        timeline.load("picture_layout", "small")
    with pytest.raises(ValueError, match="gan_cls takes no half"):
        timeline.load("gan_cls", half=True)
    for name in ("half", "classifier", "vocabulary"):
        with pytest.raises(ValueError, match=f"ddpm takes no {name}; leave it out"):
            timeline.load("ddpm", "ddpm_cifar10", weights="x.pt", **{name: "y"})
    with pytest.raises(ValueError, match="no recipe"):
        timeline.recipe("gan")


def test_weights_are_those_of_the_first_published_variant_unless_another_is_named(tmp_path):
    missing = tmp_path / "v1-5.safetensors"
    with pytest.raises(ValueError, match=r"no file .*v1-5\.safetensors\. It must hold 'sd_1'"):
        timeline.load("stable_diffusion", weights=missing)
    with pytest.raises(ValueError, match="ldm_text reads captions by the word pieces of BERT: give vocabulary"):
        timeline.load("latent_diffusion", weights=missing)
    with pytest.raises(ValueError, match="Train it: t2i train ldm_clip"):
        timeline.load("stable_diffusion", "small", weights=missing)
    with pytest.raises(ValueError, match="stable_diffusion takes no half"):
        timeline.load("stable_diffusion", half=True)
    with pytest.raises(ValueError, match="The small model takes no precision"):
        timeline.load("ddpm", precision="bf16")
