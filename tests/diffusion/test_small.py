"""The small diffusion models: what they are trained on, what they read, and what comes out."""

import numpy as np
import pytest
import torch

from t2i_course import timeline, worlds
from t2i_course.codec.autoencoder import SMALL as AUTOENCODERS
from t2i_course.codec.autoencoder import Autoencoder
from t2i_course.codec.folded import Folded
from t2i_course.diffusion import small
from t2i_course.diffusion.small import SMALL
from t2i_course.worlds.language import UnknownWord


@pytest.fixture
def few_pictures(monkeypatch, tmp_path):
    """Six pictures of each world, and an autoencoder that has learned nothing."""
    monkeypatch.setattr(small, "PICTURES", 6)
    monkeypatch.setenv("T2I_CACHE", str(tmp_path))
    torch.manual_seed(0)
    monkeypatch.setattr(Autoencoder, "load", lambda name: Autoencoder(AUTOENCODERS[name]).requires_grad_(False).eval())


def test_folding_loses_nothing():
    x, folded = torch.randn(2, 3, 8, 12), Folded(4)
    z = folded.encode(x)
    assert z.shape == (2, folded.z, 2, 3) == (2, 48, 2, 3)
    assert torch.equal(folded.decode(z), x)
    with pytest.raises(ValueError, match="multiples of 4"):
        folded.encode(x[..., :10])


def test_batches_follow_from_seed_and_step_and_fit_their_captions(few_pictures):
    config = SMALL["ddpm"]
    stream = small.batches(config, Folded(4), 4, seed=1, start=0)
    batches = [next(stream) for _ in range(3)]
    again = next(small.batches(config, Folded(4), 4, seed=1, start=2))
    assert torch.equal(again[0], batches[2][0])
    assert again[1] == batches[2][1]
    assert not torch.equal(batches[0][0], batches[1][0])
    latents, captions = batches[0]
    for k, name in enumerate(("flowers", "flowers", "birds", "birds")):
        world = worlds.load(name)
        (true,) = world.batches("train", config.size, 6, n=6, shuffle=False)
        same = (true.pictures - Folded(4).decode(latents[k : k + 1])).abs().amax((1, 2, 3)) == 0
        assert world.facts(captions[k]).items() <= true.truth[int(same.nonzero())].items()


def test_latents_are_made_once_and_again_for_another_autoencoder(few_pictures, monkeypatch):
    config, codec = SMALL["ldm"], Autoencoder.load("small_kl_f8")
    made, _ = next(small.batches(config, codec, 6, seed=0, start=0))
    assert made.shape == (6, 8, 16, 16)
    monkeypatch.setattr(codec, "encode", lambda x: pytest.fail("they were in the cache"))
    assert torch.equal(next(small.batches(config, codec, 6, seed=0, start=0))[0], made)
    monkeypatch.undo()


@pytest.mark.parametrize("name", SMALL)
def test_a_step_of_training(few_pictures, name):
    recipe = small.recipe(name, batch_size=6)
    assert timeline.RECIPES[name]
    net = recipe.build().train()
    np.random.seed(0)
    ((_, terms),) = recipe.losses(net, next(recipe.batches(0, 0)))
    assert torch.isfinite(terms["loss"])
    terms["loss"].backward()
    assert net["unet"].last[-1].weight.grad.any()
    if SMALL[name].codec:
        latents = torch.cat([next(recipe.batches(0, k))[0] for k in range(9)]) * net.scale
        assert latents.std().item() == pytest.approx(1, abs=0.2)


def test_the_empty_caption_and_words_that_nobody_knows():
    numbers = small.word_numbers(["a red flower", " ", "a bird"], ("flowers", "birds"))
    assert numbers.shape == (3, small.LENGTH)
    assert not numbers[1].any()
    assert numbers[0, :3].all()
    with pytest.raises(UnknownWord, match="zebra"):
        small.word_numbers(["a zebra"], ("flowers", "birds"))
    for name in worlds.NAMES:  # no caption of the worlds is cut
        world = worlds.load(name)
        whole = small.word_numbers([world.caption("train", i)[0] for i in range(300)], worlds.NAMES)
        assert not whole[:, -1].any()


def test_asking_for_what_is_not_there(tmp_path):
    with pytest.raises(ValueError, match="no small diffusion model 'x'. There are: ddpm, ldm"):
        small.load("x")
    with pytest.raises(ValueError, match="Train it: t2i train ldm"):
        small.load("ldm", tmp_path / "x.safetensors")
