"""The training loop on a GPU: bf16 by default, and a resumed run ends where an uninterrupted one does.

What is compared runs on any device, so that it is exercised without a GPU, too.
"""

import pytest

torch = pytest.importorskip("torch")

import numpy as np  # noqa: E402
from torch import nn  # noqa: E402

from t2i_course.training import Recipe, train  # noqa: E402


class Stop(Exception):
    pass


def small_recipe(starts, stop_at=None):
    """A recipe that notes in `starts` where its batches begin, and raises Stop before step `stop_at` is trained."""

    def batches(seed, start):
        starts.append(start)
        step = start
        while step != stop_at:
            x = torch.from_numpy(np.random.default_rng([seed, step]).normal(size=(16, 3, 16, 16)).astype(np.float32))
            yield x, x.mean((1, 2, 3))
            step += 1
        raise Stop

    def losses(model, batch):
        x, y = batch
        prediction = model(x)
        expected = torch.bfloat16 if x.is_cuda and torch.cuda.get_device_capability() >= (8, 0) else prediction.dtype
        assert prediction.dtype == expected
        yield "model", {"loss": (prediction.squeeze(1).float() - y).square().mean()}

    return Recipe(
        name="small",
        build=lambda: nn.Sequential(
            nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Flatten(), nn.Dropout(0.1), nn.Linear(16 * 14 * 14, 1)
        ),
        batches=batches,
        losses=losses,
        optimisers=lambda model: {"model": torch.optim.AdamW(model.parameters(), 1e-3)},
        steps=40,
        ema=0.9,
        every=10,
    )


def train_whole_and_in_parts(folder):
    """Trains once in one go, and once stopped at step 25 and resumed; returns both networks."""
    starts = []
    whole = train(small_recipe(starts), folder / "whole")
    with pytest.raises(Stop):
        train(small_recipe(starts, stop_at=25), folder / "parts")
    parts = train(small_recipe(starts), folder / "parts")
    assert starts == [0, 0, 20], "the second part resumed the checkpoint of step 20"
    return whole, parts


@pytest.fixture
def deterministic(monkeypatch):
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(before)


def test_a_resumed_run_ends_at_the_same_weights(tmp_path, deterministic):
    whole, parts = train_whole_and_in_parts(tmp_path)
    for a, b in zip(whole.parameters(), parts.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-7)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_a_gpu_is_used_and_resuming_there_is_exact(tmp_path, deterministic):
    whole, parts = train_whole_and_in_parts(tmp_path)
    for a, b in zip(whole.parameters(), parts.parameters(), strict=True):
        assert a.is_cuda
        torch.testing.assert_close(a, b, rtol=0, atol=1e-7)
