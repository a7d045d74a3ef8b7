"""Autoencoders: published sizes and files, latents, and the two ways to keep them simple."""

import gzip
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from t2i_course import timeline
from t2i_course.codec.autoencoder import VARIANTS, Autoencoder, Config, scale_of
from t2i_course.published.autoencoder import convert, load_autoencoder

GOLDEN = Path(__file__).parents[1] / "golden"
KEYS = json.loads(gzip.decompress((GOLDEN / "autoencoder_keys.json.gz").read_bytes()))
PARAMETERS = timeline.PARTS["t2i_course.published.autoencoder:load_autoencoder"]
KL = Config(4, (1, 2, 2), dim=32, blocks=1, attend=(2,))
VQ = Config(4, (1, 2), dim=32, blocks=1, codes=16)


@pytest.mark.parametrize("name", VARIANTS)
def test_published_sizes(name):
    with torch.device("meta"):
        net = Autoencoder(VARIANTS[name])
    assert sum(p.numel() for p in net.parameters()) == PARAMETERS[name]


@pytest.mark.parametrize("name", KEYS)
def test_every_name_of_a_published_file_has_its_place(name):
    config, keys = VARIANTS[KEYS[name]["variant"]], KEYS[name]["keys"]
    with torch.device("meta"):
        expected = Autoencoder(config).state_dict()
        file = {key: torch.empty(shape) for key, shape in keys.items()}
        whole = {f"first_stage_model.{key}": t for key, t in file.items()} | {"model.x": torch.empty(1)}
    for state in (file, file | {"loss.discriminator.main.0.weight": torch.empty(1)}, whole):
        found = convert(state, config)
        assert {key: t.shape for key, t in found.items()} == {key: t.shape for key, t in expected.items()}


def test_latents_are_smaller_maps_and_pictures_come_back_in_their_size():
    torch.manual_seed(0)
    for config in (KL, VQ):
        net, x = Autoencoder(config).eval(), torch.randn(2, 3, 16, 24)
        z = net.encode(x)
        assert z.shape == (2, 4, 16 // net.factor, 24 // net.factor)
        assert net.decode(z).shape == x.shape


def test_a_kl_autoencoder_draws_around_its_mean():
    torch.manual_seed(0)
    net, x = Autoencoder(KL).eval(), torch.randn(1, 3, 8, 8)
    mean, log_variance = net.moments(x)
    assert torch.equal(net.encode(x), mean)
    draws = net.encode(x, torch.randn(4000, *mean.shape[1:]))
    torch.testing.assert_close(draws.mean(0), mean[0], atol=0.15, rtol=0)
    torch.testing.assert_close(draws.var(0), log_variance.exp()[0], atol=0.2, rtol=0.2)


def test_a_vq_autoencoder_decodes_codes_alone():
    torch.manual_seed(0)
    net = Autoencoder(VQ).eval()
    z = net.encode(torch.randn(2, 3, 8, 8))
    codes = net.quantizer.look_up(net.quantizer.indices(z))
    assert not torch.allclose(codes, z)
    torch.testing.assert_close(net.decode(z), net.decode(codes))
    with pytest.raises(ValueError, match="no mean and variance"):
        net.moments(torch.randn(2, 3, 8, 8))


def test_scaled_latents_vary_as_much_as_noise():
    torch.manual_seed(0)
    net, x = Autoencoder(KL).eval(), torch.randn(8, 3, 16, 16)
    assert (scale_of(net, x) * net.encode(x)).std().item() == pytest.approx(1)


def test_clear_errors(tmp_path):
    with pytest.raises(ValueError, match=r"multiples of 4, not \(1, 3, 10, 8\)"):
        Autoencoder(KL).encode(torch.zeros(1, 3, 10, 8))
    with pytest.raises(ValueError, match="There is no autoencoder 'kl_f9'"):
        load_autoencoder("x", "kl_f9")
    save_file({"encoder.conv_in.weight": torch.zeros(2)}, tmp_path / "x.safetensors")
    with pytest.raises(
        ValueError, match=r"x\.safetensors holds the weights of another network \(.*\)\. It must hold the auto"
    ):
        load_autoencoder(tmp_path / "x.safetensors", "kl_f8")
