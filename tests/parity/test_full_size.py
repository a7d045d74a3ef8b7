"""Stable Diffusion 1.5 at its published size against diffusers and transformers, with the same random weights.

Both sides share the memory of the weights.
"""

import pytest
import torch

from t2i_course.codec.autoencoder import VARIANTS as AUTOENCODERS
from t2i_course.codec.autoencoder import Autoencoder
from t2i_course.diffusion.latent_diffusion import LatentDiffusion
from t2i_course.diffusion.process import Process, scaled_linear
from t2i_course.nn.unet import VARIANTS as UNETS
from t2i_course.nn.unet import UNet
from t2i_course.published import autoencoder, unet
from t2i_course.published.clip import text_alone
from t2i_course.text.clip import VARIANTS as CLIPS
from t2i_course.text.clip import TextTower
from tests.benchmarks.stable_diffusion import SD

from .test_samplers import SCALED

diffusers = pytest.importorskip("diffusers")
transformers = pytest.importorskip("transformers")


def with_weights_of(net, state):
    """Our network, with these tensors themselves as its weights."""
    net.load_state_dict(state, assign=True)
    return net.eval()


@pytest.mark.slow
@torch.no_grad()
def test_caption_to_picture_of_stable_diffusion_1_5():
    torch.manual_seed(0)
    vae = diffusers.AutoencoderKL(**SD["vae"]).eval()
    net = diffusers.UNet2DConditionModel(**SD["unet"]).eval()
    clip = transformers.CLIPTextModel(transformers.CLIPTextConfig(**SD["text"])).eval()
    scheduler = diffusers.DDIMScheduler(**SCALED, clip_sample=False, set_alpha_to_one=False, steps_offset=1)
    pipe = diffusers.StableDiffusionPipeline(vae, None, None, net, scheduler, None, None, requires_safety_checker=False)
    pipe.set_progress_bar_config(disable=True)

    with torch.device("meta"):
        text, ours = TextTower(CLIPS["vit_l_14"]), UNet(UNETS["sd_1"])
        codec = Autoencoder(AUTOENCODERS["kl_f8"])
    text.project = None  # transformers' has none
    with_weights_of(text, text_alone(clip.state_dict()))
    with_weights_of(ours, unet.convert(net.state_dict(), ours.config))
    with_weights_of(codec, autoencoder.convert(vae.state_dict(), codec.config))

    tokens = {"": torch.full((77,), 49407), "a bird": torch.randint(0, 49406, (77,))}
    tokens["a bird"][5:] = 49407

    def read(captions):
        return text.context(torch.stack([tokens[caption] for caption in captions]))

    def agree(found, expected):
        torch.testing.assert_close(found, expected, atol=1e-4 * expected.abs().max().item(), rtol=0)

    for caption in tokens:
        agree(read([caption]), clip(tokens[caption][None]).last_hidden_state)
    z, t, context = torch.randn(1, 4, 32, 32), torch.tensor([500]), read(["a bird"])
    agree(ours(z, t, context), net(z, t, context).sample)
    agree(codec.decode(z), vae.decode(z).sample)

    system = LatentDiffusion(read, ours, codec, Process(scaled_linear()), 0.18215, size=256, released=True)
    given = {"prompt_embeds": read(["a bird"]), "negative_prompt_embeds": read([""]), "height": 256, "width": 256}
    options = {"num_inference_steps": 2, "guidance_scale": 7.5}
    expected = pipe(latents=system._noise(1, 3, 256), **given, **options, output_type="pt").images
    found = system.draw(["a bird"], 3, steps=2, guidance_scale=7.5, sampler="ddim")
    assert found.std() > 0.05
    torch.testing.assert_close(found / 2 + 0.5, expected, atol=1e-4, rtol=0)
