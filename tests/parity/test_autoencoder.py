"""Autoencoders against those of diffusers, with the same random weights."""

import pytest
import torch

from t2i_course.codec.autoencoder import Autoencoder, Config
from t2i_course.published.autoencoder import convert

from .test_unet import restless

diffusers = pytest.importorskip("diffusers")
BLOCKS = {
    "block_out_channels": (32, 64, 64),
    "layers_per_block": 1,
    "down_block_types": ("DownEncoderBlock2D",) * 3,
    "up_block_types": ("UpDecoderBlock2D",) * 3,
    "latent_channels": 4,
}


def ours(theirs, config):
    net = Autoencoder(config).eval()
    net.load_state_dict(convert(theirs.state_dict(), config))
    return net


def close(found, expected):
    scale = expected.abs().max().item()
    assert scale > 0.05
    torch.testing.assert_close(found, expected, atol=1e-4 * scale, rtol=0)


@torch.no_grad()
def test_kl():
    theirs = restless(diffusers.AutoencoderKL(**BLOCKS))
    net, x = ours(theirs, Config(4, (1, 2, 2), dim=32, blocks=1)), torch.randn(2, 3, 16, 24)
    mean, log_variance = net.moments(x)
    expected = theirs.encode(x).latent_dist
    close(mean, expected.mean)
    close(log_variance, expected.logvar)
    close(net.decode(mean), theirs.decode(mean).sample)


@torch.no_grad()
def test_vq():
    theirs = restless(diffusers.VQModel(**BLOCKS, num_vq_embeddings=24))
    net, x = ours(theirs, Config(4, (1, 2, 2), dim=32, blocks=1, codes=24)), torch.randn(2, 3, 16, 24)
    z = net.encode(x)
    close(z, theirs.encode(x).latents)
    assert len(net.quantizer.indices(z).unique()) > 2
    close(net.decode(z), theirs.decode(z).sample)
