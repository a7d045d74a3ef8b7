"""The published autoencoder of latent and Stable Diffusion: outputs of the original code."""

import pytest
import torch

from t2i_course.codec.autoencoder import VARIANTS, Config
from t2i_course.published.autoencoder import load_autoencoder

from .golden import golden


@torch.no_grad()
@pytest.mark.parametrize("small", [False, True])
def test_kl_f8_is_that_of_compvis(small, tmp_path, monkeypatch):
    monkeypatch.setitem(VARIANTS, "kl_f8", Config(4, (1, 1, 2, 2), dim=32, blocks=1))
    net, given, out = golden("kl_f8_autoencoder", lambda file: load_autoencoder(file, "kl_f8"), tmp_path, small)
    mean, log_variance = net.moments(given["image"])
    decoded = net.decode(given["z"])
    if small:
        torch.testing.assert_close(torch.cat([mean, log_variance], 1), out["small_moments"], atol=2e-5, rtol=0)
        torch.testing.assert_close(decoded, out["small_decoded"], atol=1.6e-4, rtol=0)
    else:
        torch.testing.assert_close(mean, out["mean"], atol=5.7e-5, rtol=0)
        torch.testing.assert_close(log_variance, out["logvar"], atol=4.1e-5, rtol=0)
        torch.testing.assert_close(decoded, out["decoded"], atol=1.1e-4, rtol=0)
