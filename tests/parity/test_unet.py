"""The U-Net against that of diffusers, with the same random weights."""

from dataclasses import replace

import pytest
import torch

from t2i_course.nn.unet import Config, UNet
from t2i_course.published.unet import convert

diffusers = pytest.importorskip("diffusers")

SD = Config(32, (1, 2, 2), 1, (0, 1), channels=4, out=4, context_dim=40, scale_shift=False, resample="conv")
DDPM = Config(32, (1, 2, 2), 2, (1,), scale_shift=False, resample="conv", ddpm=True)


def restless(net):
    """Random weights everywhere, those of norms and those that start with zeros, too."""
    torch.manual_seed(0)
    with torch.no_grad():
        for p in net.parameters():
            p.add_(0.1 * torch.randn_like(p) if p.ndim == 1 else 0.02 * torch.randn_like(p))
    return net.eval()


def agree(theirs, config, *inputs, call):
    ours = UNet(config).eval()
    ours.load_state_dict(convert(theirs.state_dict(), config))
    with torch.no_grad():
        expected, found = call(theirs), ours(*inputs[:2], *inputs[2:])
    scale = expected.abs().max()
    assert scale > 0.1  # else it would be easy
    torch.testing.assert_close(found, expected, atol=1e-4 * scale.item(), rtol=0)


def conditional(**options):
    blocks = ("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D")
    return restless(
        diffusers.UNet2DConditionModel(
            **{
                "in_channels": 4,
                "out_channels": 4,
                "block_out_channels": (32, 64, 64),
                "layers_per_block": 1,
                "down_block_types": blocks,
                "up_block_types": tuple(name.replace("Down", "Up") for name in reversed(blocks)),
                "cross_attention_dim": 40,
                "attention_head_dim": 8,
                "sample_size": 64,
            }
            | options
        )
    )


@pytest.mark.parametrize(
    ("config", "options"),
    [
        (replace(SD, heads=8), {}),  # Stable Diffusion 1: as many heads everywhere
        (replace(SD, head_dim=16), {"attention_head_dim": (2, 4, 4), "use_linear_projection": True}),  # and 2
        (replace(SD, heads=8, channels=9), {"in_channels": 9}),  # inpainting
    ],
    ids=["sd_1", "sd_2", "inpainting"],
)
def test_stable_diffusion(config, options):
    theirs = conditional(**options)
    x, t, context = torch.randn(2, config.channels, 16, 24), torch.tensor([3, 970]), torch.randn(2, 7, 40)
    agree(theirs, config, x, t, context, call=lambda net: net(x, t, context).sample)


def test_the_upscaler_of_stable_diffusion():
    config = replace(SD, heads=8, channels=7, classes=9, only_context=(0,))
    theirs = conditional(in_channels=7, num_class_embeds=9, only_cross_attention=(True, False, False))
    x, t, context = torch.randn(2, 7, 16, 16), torch.tensor([3, 970]), torch.randn(2, 7, 40)
    noise = torch.tensor([2, 8])
    agree(theirs, config, x, t, context, noise, call=lambda net: net(x, t, context, class_labels=noise).sample)


def test_ddpm():
    theirs = restless(
        diffusers.UNet2DModel(
            block_out_channels=(32, 64, 64),
            layers_per_block=2,
            down_block_types=("DownBlock2D", "AttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
            attention_head_dim=None,
            downsample_padding=0,
            flip_sin_to_cos=False,
            freq_shift=1,
            norm_eps=1e-6,
        )
    )
    x, t = torch.randn(2, 3, 16, 24), torch.tensor([3, 970])
    agree(theirs, DDPM, x, t, call=lambda net: net(x, t).sample)
