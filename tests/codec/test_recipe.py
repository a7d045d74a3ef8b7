"""The recipe of the small autoencoders, with a few pictures."""

from collections import Counter

import pytest
import torch

from t2i_course import timeline, worlds
from t2i_course.codec import autoencoder
from t2i_course.codec.autoencoder import SMALL, Autoencoder
from t2i_course.codec.losses import compared_by


def three_pictures():
    """One of each world."""
    return next(worlds.mixed_batches(worlds.NAMES, "val", 128, 3, n=2))


@pytest.mark.parametrize("name", SMALL)
def test_the_discriminator_joins_late(name):
    recipe = timeline.recipe(name, gan_from=3)
    net = recipe.build().train()
    batch = three_pictures()
    early, late = (list(recipe.losses(net, (step, batch))) for step in (2, 3))
    assert [part for part, _ in early] == ["autoencoder"]
    assert [part for part, _ in late] == ["autoencoder", "discriminator"]
    assert torch.isfinite(late[0][1]["loss"])


def test_an_aligned_one_is_told_what_the_cnn_sees():
    for name in ("small_kl_f8", "small_kl_f8_aligned"):
        made = timeline.recipe(name)
        net = made.build().train()
        ((_, terms),) = made.losses(net, (0, three_pictures()))
        assert ("likeness" in terms) == ("head" in net) == (name == "small_kl_f8_aligned")
        exported = {key.split(".")[0] for key in net.state_dict() if not key.startswith(made.leave_out)}
        assert exported == {"autoencoder"}


def test_what_is_seen_is_what_the_part_shows(monkeypatch):
    """The CNN looks at whole pictures; each part has its own places of what was seen, and all parts have their turn."""
    from t2i_course.codec import losses
    from t2i_course.nn.world_cnn import CNN_OF, Eyes

    given = []
    monkeypatch.setattr(
        losses, "losses", lambda net, x, perceptual, **options: given.append((x, options["seen"])) or ()
    )
    recipe = autoencoder.recipe("small_kl_f8", aligned=0.3)
    net, batch = recipe.build(), three_pictures()
    torch.manual_seed(0)
    for _ in range(100):
        list(recipe.losses(net, (0, batch)))
    known = zip(worlds.NAMES, batch.pictures.split(1), strict=True)
    whole = torch.cat([Eyes(CNN_OF[world]).encode(pictures) for world, pictures in known])
    places, turns = range(5), Counter()
    for x, seen in given:
        (at,) = [(i, j) for i in places for j in places if torch.equal(x, _part(batch.pictures, 16 * i, 16 * j, 64))]
        torch.testing.assert_close(seen, _part(whole, *at, 4))
        turns.update([("top", at[0]), ("left", at[1])])
    assert len(turns) == 10
    assert min(turns.values()) > 5


def _part(maps, top, left, size):
    return maps[:, :, top : top + size, left : left + size]


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("small_vq_f8", {"aligned": 0.3}, "small_vq_f8 has a codebook"),
        ("small_vq_f8", {"noise": 1.0}, "small_vq_f8 has a codebook"),
        ("small_kl_f8", {"aligned": 0.3, "crop": 56}, "aligned=0.3: it takes f = 8, and crops of a multiple of 16"),
        ("small_kl_f4", {"aligned": 0.3}, "aligned=0.3: it takes f = 8"),
        ("small_kl_f8", {"crop": 256}, "crop=256: it is a multiple of 8, at most 128"),
        ("small_kl_f8", {"crop": 60}, "crop=60: it is a multiple of 8"),
    ],
)
def test_options_that_do_not_fit_the_autoencoder(name, options, message):
    with pytest.raises(ValueError, match=message):
        autoencoder.recipe(name, **options)


def test_the_perceptual_loss_compares_directions_in_all_maps():
    class Sees(torch.nn.Module):
        def forward(self, x):
            return x, x[:, :, ::2, ::2]

    perceptual, x = compared_by(Sees()), torch.randn(2, 3, 8, 8)
    assert perceptual(x, x).tolist() == [0, 0]
    torch.testing.assert_close(perceptual(x, 3 * x), torch.zeros(2), atol=1e-6, rtol=0)  # directions, not sizes
    torch.testing.assert_close(perceptual(x, -x), torch.full((2,), 8.0))  # |2|^2 at every place of both maps


def test_asking_for_what_is_not_there(tmp_path):
    with pytest.raises(ValueError, match="no small autoencoder 'x'. There are: small_kl_f4"):
        Autoencoder.load("x")
    with pytest.raises(ValueError, match="Train it: t2i train small_kl_f8"):
        Autoencoder.load(weights=tmp_path / "x.safetensors")


@pytest.mark.parametrize(
    ("which", "shape", "leasts"),
    [
        ("small_kl_f4", (4, 32, 32), (0.98, 0.98, 0.97)),
        ("small_vq_f4", (4, 32, 32), (0.98, 0.98, 0.97)),
        ("small_kl_f8", (4, 16, 16), (0.97, 0.97, 0.93)),
        ("small_kl_f8_aligned", (4, 16, 16), (0.93, 0.95, 0.9)),
        ("small_vq_f8", (8, 16, 16), (0.95, 0.95, 0.9)),
    ],
)
def test_those_that_ship_keep_what_pictures_show(which, shape, leasts):
    """Copies of true pictures are read by the judge nearly as the originals are."""
    from t2i_course.judge.caption_accuracy import caption_accuracy

    model = Autoencoder.load(which)
    for name, least in zip(("flowers", "birds", "scenes"), leasts, strict=True):
        world = worlds.load(name)
        (batch,) = world.batches("val", 128, 40, n=40, shuffle=False)
        with torch.no_grad():
            latents = model.encode(batch.pictures)
            copies = model.decode(latents).clamp(-1, 1)
        assert latents.shape[1:] == shape
        true, copied = (caption_accuracy(p, batch.captions, world).accuracy for p in (batch.pictures, copies))
        assert copied > least * true


def test_noise_drowns_less_of_what_aligned_latents_show():
    """With as much noise as latents vary, the judge finds far more of the captions in the copies."""
    from t2i_course.judge.caption_accuracy import caption_accuracy

    world, kept = worlds.load("birds"), []
    (batch,) = world.batches("val", 128, 40, n=40, shuffle=False)
    for name in ("small_kl_f8", "small_kl_f8_aligned"):
        model = Autoencoder.load(name)
        with torch.no_grad():
            z = model.encode(batch.pictures)
            eps = torch.randn(z.shape, generator=torch.Generator().manual_seed(0))
            copies = model.decode(z + z.std() * eps).clamp(-1, 1)
        kept.append(caption_accuracy(copies, batch.captions, world).accuracy)
    assert kept[1] > kept[0] + 0.2
