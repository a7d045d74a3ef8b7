"""The training loop on a GPU: bf16 by default, and a resumed run ends where an uninterrupted one does."""

import pytest

torch = pytest.importorskip("torch")
if not torch.cuda.is_available():
    pytest.skip("needs a CUDA GPU", allow_module_level=True)

import numpy as np  # noqa: E402
from torch import nn  # noqa: E402

from t2i_course.training import Recipe, train  # noqa: E402


def batches(seed, start):
    step = start
    while True:
        x = torch.from_numpy(np.random.default_rng([seed, step]).normal(size=(16, 3, 16, 16)).astype(np.float32))
        yield x, x.mean((1, 2, 3))
        step += 1


def losses(model, batch):
    x, y = batch
    assert x.is_cuda
    yield "model", {"loss": (model(x).squeeze(1).float() - y).square().mean()}


def test_training_and_resuming_on_a_gpu(tmp_path):
    recipe = Recipe(
        name="cuda",
        build=lambda: nn.Sequential(nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16 * 14 * 14, 1)),
        batches=batches,
        losses=losses,
        optimisers=lambda model: {"model": torch.optim.AdamW(model.parameters(), 1e-3)},
        steps=40,
        ema=0.9,
        every=10,
    )
    whole = train(recipe, tmp_path / "whole")
    train(recipe, tmp_path / "parts", minutes=1e-4)
    parts = train(recipe, tmp_path / "parts")
    for a, b in zip(whole.parameters(), parts.parameters(), strict=True):
        assert a.is_cuda
        torch.testing.assert_close(a, b, rtol=0, atol=1e-2)
