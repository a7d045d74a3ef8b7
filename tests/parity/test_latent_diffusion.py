"""Stable Diffusion from caption to picture against the pipelines of diffusers, with the same random weights."""

import pytest
import torch

from t2i_course.codec.autoencoder import Autoencoder
from t2i_course.codec.autoencoder import Config as AutoencoderConfig
from t2i_course.diffusion.latent_diffusion import LatentDiffusion
from t2i_course.diffusion.process import Process, scaled_linear
from t2i_course.nn.unet import UNet
from t2i_course.published import autoencoder, unet

from .test_autoencoder import BLOCKS
from .test_samplers import SCALED
from .test_unet import SD, conditional, restless

diffusers = pytest.importorskip("diffusers")
SCALE, CAPTIONS, STEPS = 0.18215, ["a bird", "a flower"], 8
CONTEXT = {"": 0, "a bird": 1, "a flower": 2}


def read(captions):
    """In place of CLIP, which has a test of its own: a fixed context for each caption."""
    words = torch.randn(3, 7, 40, generator=torch.Generator().manual_seed(5))
    return words[[CONTEXT[caption] for caption in captions]]


def systems(kind, channels=4, scheduler=None):
    """A pipeline, and ours with its weights."""
    vae = restless(diffusers.AutoencoderKL(**BLOCKS))
    net = conditional(in_channels=channels)
    scheduler = scheduler or diffusers.DDIMScheduler(
        **SCALED, clip_sample=False, set_alpha_to_one=False, steps_offset=1
    )
    pipe = kind(vae, None, None, net, scheduler, None, None, requires_safety_checker=False)
    pipe.set_progress_bar_config(disable=True)
    config = SD.__class__(**vars(SD) | {"heads": 8, "channels": channels})
    ours, codec = UNet(config), Autoencoder(AutoencoderConfig(4, (1, 2, 2), dim=32, blocks=1))
    ours.load_state_dict(unet.convert(net.state_dict(), config))
    codec.load_state_dict(autoencoder.convert(vae.state_dict(), codec.config))
    return pipe, LatentDiffusion(read, ours, codec, Process(scaled_linear()), SCALE, size=64, released=True)


def embedded():
    return {"prompt_embeds": read(CAPTIONS), "negative_prompt_embeds": read(["", ""])}


def close(found, expected):
    """Pictures in [-1, 1] and in [0, 1]."""
    assert found.std() > 0.05
    torch.testing.assert_close(found / 2 + 0.5, expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("sampler", ["ddim", "plms"])
@torch.no_grad()
def test_caption_to_picture(sampler):
    plms = diffusers.PNDMScheduler(**SCALED, skip_prk_steps=True, set_alpha_to_one=False, steps_offset=1)
    pipe, ours = systems(diffusers.StableDiffusionPipeline, scheduler=plms if sampler == "plms" else None)
    options = {"num_inference_steps": STEPS, "guidance_scale": 5.0, "output_type": "pt", "height": 64, "width": 64}
    expected = pipe(latents=ours._noise(2, 3, 64), **embedded(), **options).images
    close(ours.draw(CAPTIONS, 3, steps=STEPS, guidance_scale=5.0, sampler=sampler), expected)


@torch.no_grad()
def test_picture_and_caption_to_picture(monkeypatch):
    pipe, ours = systems(diffusers.StableDiffusionImg2ImgPipeline)
    pictures = torch.rand(2, 3, 64, 64) * 2 - 1
    start = ours.encode(pictures)  # theirs draws from around the mean; both get the mean, and the same noise
    monkeypatch.setattr(
        diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion_img2img,
        "randn_tensor",
        lambda *a, **b: ours._noise(2, 3, 64),
    )
    options = {"num_inference_steps": STEPS, "guidance_scale": 5.0, "strength": 0.6, "output_type": "pt"}
    expected = pipe(image=start, **embedded(), **options).images
    close(ours.edit(pictures, CAPTIONS, 3, strength=0.6, steps=STEPS, guidance_scale=5.0), expected)


@torch.no_grad()
def test_inpainting():
    pipe, ours = systems(diffusers.StableDiffusionInpaintPipeline, channels=9)
    pictures, mask = torch.rand(2, 3, 64, 64) * 2 - 1, torch.zeros(2, 1, 64, 64)
    mask[:, :, 16:48, 24:64] = 1
    kept = ours.encode(pictures * (mask < 0.5))
    options = {"num_inference_steps": STEPS, "guidance_scale": 5.0, "output_type": "pt", "height": 64, "width": 64}
    expected = pipe(
        image=pictures,
        mask_image=mask,
        masked_image_latents=kept,
        latents=ours._noise(2, 3, 64),
        **embedded(),
        **options,
    ).images
    close(ours.inpaint(pictures, mask, CAPTIONS, 3, steps=STEPS, guidance_scale=5.0), expected)
