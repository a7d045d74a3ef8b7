"""The history as data: complete, in order, and with the parameter counts that the models really have."""

import json

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


def test_asking_for_what_is_not_there():
    with pytest.raises(ValueError, match="no system 'imagen'"):  # in the history, but not in the library
        timeline.find("imagen")
    with pytest.raises(ValueError, match="no variant 'small'"):
        timeline.load("picture_layout", "small")
    with pytest.raises(ValueError, match="gan_cls draws in full precision alone"):
        timeline.load("gan_cls", half=True)
    with pytest.raises(ValueError, match="no recipe"):
        timeline.recipe("gan")
