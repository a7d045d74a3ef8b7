"""The small diffusion models: what they are trained on, what they read, and what comes out."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from t2i_course import timeline, worlds
from t2i_course.codec.autoencoder import SMALL as AUTOENCODERS
from t2i_course.codec.autoencoder import Autoencoder
from t2i_course.codec.folded import Folded
from t2i_course.diffusion import small
from t2i_course.diffusion.small import SMALL
from t2i_course.gan.damsm import DAMSM, WORLDS, read
from t2i_course.grading import masters
from t2i_course.judge.caption_accuracy import caption_accuracy
from t2i_course.nn.world_cnn import Eyes
from t2i_course.paths import DATA
from t2i_course.text.words import vocabulary
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


def test_latents_can_be_folded_too(few_pictures):
    inside, x = Autoencoder.load("small_kl_f8"), torch.rand(2, 3, 32, 64) * 2 - 1
    folded = Folded(2, inside)
    z = folded.encode(x)
    assert folded.factor == 16
    assert z.shape == (2, folded.z, 2, 4) == (2, 16, 2, 4)
    assert z[0, :4, 0, 0].tolist() == inside.encode(x)[0, 0, :2, :2].flatten().tolist()  # of one place
    torch.testing.assert_close(folded.decode(z), inside.decode(inside.encode(x)))


def test_batches_follow_from_seed_and_step_and_fit_their_captions(few_pictures):
    config = SMALL["ddpm"]
    stream = small.batches(config, Folded(8), 4, seed=1, start=0)
    batches = [next(stream) for _ in range(3)]
    again = next(small.batches(config, Folded(8), 4, seed=1, start=2))
    assert torch.equal(again[0], batches[2][0])
    assert again[1] == batches[2][1]
    assert not torch.equal(batches[0][0], batches[1][0])
    latents, columns, seen = batches[0]
    assert len(columns) == config.captions
    assert columns[0] != columns[1]
    assert seen.shape == (4, 192, 8, 8)
    assert next(small.batches(replace(config, aligned=0.0, perceived=0.0), Folded(8), 4, seed=1, start=0))[2] is None
    for k, name in enumerate(("flowers", "flowers", "birds", "birds")):
        world = worlds.load(name)
        (true,) = world.batches("train", config.size, 6, n=6, shuffle=False)
        same = (true.pictures - Folded(8).decode(latents[k : k + 1])).abs().amax((1, 2, 3)) == 0
        for captions in columns:
            assert world.facts(captions[k]).items() <= true.truth[int(same.nonzero())].items()


def test_captions_that_are_read_together_tell_much_together():
    written = [("red", ["color"]), ("round", ["shape"]), ("red, at dawn", ["color", "time"]), ("crimson", ["color"])]
    first = set()
    for seed in range(20):
        told = small.telling(written, 3, np.random.default_rng(seed))
        first.add(told[0])
        assert len(set(told)) == 3  # none twice
        assert {"round", "red, at dawn"} <= set(told)  # however it begins, these add what is not known
    assert first == {caption for caption, _ in written}
    world = worlds.load("flowers")
    captions = small.captions_of(world, 3, n=5)
    assert captions == small.captions_of(world, 3, n=5)
    for caption, attributes in captions:
        facts = world.facts(caption)
        assert set(facts) == set(attributes)
        assert facts.items() <= world.truth(world.spec("train", 3)).items()


def test_latents_are_made_once_and_again_for_another_autoencoder(few_pictures, monkeypatch):
    config = SMALL["ldm"]
    codec, other = small.codec_of(config), small.codec_of(config)
    made, *_ = next(small.batches(config, codec, 6, seed=0, start=0))
    assert made.shape == (6, 16, 8, 8)
    monkeypatch.setattr(codec.inside, "encode", lambda x: pytest.fail("they were in the cache"))
    assert torch.equal(next(small.batches(config, codec, 6, seed=0, start=0))[0], made)
    assert not torch.allclose(next(small.batches(config, other, 6, seed=0, start=0))[0], made)


@pytest.mark.parametrize("name", SMALL)
def test_a_step_of_training(few_pictures, name):
    recipe = small.recipe(name, batch_size=6)
    assert timeline.RECIPES[name]
    net = recipe.build().train()
    np.random.seed(0)
    ((_, terms),) = recipe.losses(net, next(recipe.batches(0, 0)))
    assert torch.isfinite(terms["loss"])
    assert ("likeness" in terms) == ("head" in net) == bool(SMALL[name].aligned)
    assert ("perceived" in terms) == bool(SMALL[name].perceived)
    assert recipe.leave_out == ("head.", "eyes.")  # of no use for drawing
    assert ("eyes" in net) == bool(SMALL[name].codec and SMALL[name].perceived)
    terms["loss"].backward()
    assert net["unet"].last[-1].weight.grad.any()
    if SMALL[name].codec:
        latents = torch.cat([next(recipe.batches(0, k))[0] for k in range(9)]) * net.scale
        assert latents.std().item() == pytest.approx(1, abs=0.2)


def test_what_is_perceived_is_the_guess_of_the_picture(few_pictures, monkeypatch):
    """A network that says what it should shows the picture itself; one that says nothing shows what passes by it."""
    config = SMALL["ddpm"]
    recipe = small.recipe("ddpm", batch_size=4)
    net, (x0, columns, seen) = recipe.build(), next(recipe.batches(0, 0))
    t, eps = torch.full((4,), 600), torch.randn(x0.shape, generator=torch.Generator().manual_seed(0))
    monkeypatch.setattr(small, "timesteps", lambda *_: t)
    monkeypatch.setattr(torch, "randn_like", lambda _: eps)
    perceived = []
    for said in (config.process.target(x0, t, eps), torch.zeros_like(x0)):
        said.requires_grad_()
        monkeypatch.setattr(small, "with_middle", lambda *_, said=said: (said, torch.randn(4, 96, 4, 4)))
        ((_, terms),) = recipe.losses(net, (x0, columns, seen))
        terms["loss"].backward()
        perceived.append(terms["perceived"].item())
    assert perceived[0] == pytest.approx(1, abs=0.02)  # what is seen is stored in half precision
    assert perceived[1] < 0.9
    assert said.grad.any()


def test_up_to_four_captions_are_read_at_once_and_left_out_together(few_pictures, monkeypatch):
    read_at_once, config = [], SMALL["ddpm"]

    def reader(net, config):
        def plain(captions):
            read_at_once.append([bool(caption) for caption in captions])
            return torch.zeros(len(captions), small.LENGTH, 128)

        return SimpleNamespace(plain=plain)

    monkeypatch.setattr(small, "reader_of", reader)
    recipe = small.recipe("ddpm", batch_size=6)
    net, batch, lengths, told_of_all = recipe.build(), next(recipe.batches(0, 0)), set(), []
    net["unet"].middle.register_forward_hook(lambda _, args, out: lengths.add(args[2].shape[1]))
    np.random.seed(0)
    for _ in range(12):
        read_at_once.clear()
        next(recipe.losses(net, batch))
        assert all(told == read_at_once[0] for told in read_at_once)
        assert len(read_at_once) <= config.captions
        told_of_all += read_at_once[0]
    assert 0 < told_of_all.count(False) < 0.3 * len(told_of_all)
    assert lengths == {small.LENGTH * k for k in (1, 2, 3, 4)}


def test_homework_3_knows_the_noise_of_the_small_ddpm():
    space = {}
    exec(masters.find("hw03").setup, space)
    assert torch.equal(space["ALPHA_BAR"], SMALL["ddpm"].process.alpha_bar.float())


def test_what_latents_show_is_perceived_by_eyes_that_learn_along(few_pictures):
    recipe = small.recipe("ldm_clip", batch_size=6)
    torch.manual_seed(0)
    net, batch = recipe.build(), next(recipe.batches(0, 0))
    ((_, terms),) = recipe.losses(net, batch)
    terms["perceived"].backward(retain_graph=True)
    assert all(p.grad is None for p in net["eyes"].parameters())  # else they would learn to be pleased
    assert net["unet"].last[-1].weight.grad.any()
    terms["eyes"].backward(retain_graph=True)
    assert all(p.grad.any() for p in net["eyes"].parameters())


def test_no_cnn_perceives_pictures_of_worlds_that_it_does_not_know():
    with pytest.raises(ValueError, match="none knows birds, scenes"):
        replace(SMALL["ddpm"], worlds=("birds", "scenes"))


def test_all_timesteps_are_learned_from_but_those_in_the_middle_most():
    torch.manual_seed(0)
    t = small.timesteps(SMALL["ldm"].process, 20_000)
    assert (t.dtype, t.min() >= 0, t.max() < 1000) == (torch.long, True, True)
    within = ((t > 232) & (t < 599)).float().mean().item()  # a standard deviation on both sides of the median
    assert within == pytest.approx(0.683, abs=0.015)
    assert (t < 100).any()
    assert (t > 900).any()


def test_each_world_is_seen_by_the_cnn_that_knows_it(few_pictures):
    seen = next(small.batches(SMALL["ldm"], small.codec_of(SMALL["ldm"]), 9, 0, 0))[2].split(3)
    for world, mine in zip(worlds.NAMES, seen, strict=True):
        (true,) = worlds.load(world).batches("train", 128, 6, n=6, shuffle=False)
        every = {name: Eyes(name).encode(true.pictures).half() for name in ("world_cnn", "scene_cnn")}
        here = {name: any(torch.allclose(mine[0], look, atol=2e-3) for look in looks) for name, looks in every.items()}
        assert here == {"world_cnn": world != "scenes", "scene_cnn": world == "scenes"}


def test_eyes_look_at_pictures_of_the_size_of_their_system(few_pictures):
    """Both look at the same flowers in one cache, but at 128x128 they are not quite those at 64x64."""
    seen = [next(small.batches(SMALL[name], small.codec_of(SMALL[name]), 6, 0, 0))[2] for name in ("ldm", "ddpm")]
    (true,) = worlds.load("flowers").batches("train", 64, 6, n=6, shuffle=False)
    chosen = np.random.default_rng([0, 0]).integers(6, size=3)
    expected = Eyes().encode(true.pictures[chosen]).half()
    torch.testing.assert_close(seen[1][:3], expected, atol=2e-3, rtol=1e-3)


def test_a_guess_of_pixels_stays_among_colors():
    torch.manual_seed(0)
    config = SMALL["ddpm"]
    net = small.build(config)
    torch.nn.init.normal_(net["unet"].last[-1].weight, 0, 1.0)  # it says far too much
    system = small.system(net, config)
    guesses = [guess for _, guess in system.latents(["a red flower"], steps=3)]
    assert len(guesses) == 3
    assert max(guess.abs().max() for guess in guesses) <= 1
    assert next(system.latents(["a red flower"], steps=3, sampler="ddim"))[1].abs().max() <= 1
    assert next(system.latents(["a red flower"], steps=3, sampler="euler"))[1].abs().max() > 1  # as it was said


def test_the_empty_caption_and_words_that_nobody_knows():
    numbers = small.word_numbers(["a red flower", " ", "a bird"], ("flowers", "birds"))
    assert numbers.shape == (3, small.LENGTH)
    assert not numbers[1].any()
    assert numbers[0, :3].all()
    with pytest.raises(ValueError, match="a list of captions"):
        small.word_numbers("a red flower", ("flowers", "birds"))
    assert small.word_numbers(["a " * small.LENGTH], ("flowers",)).all()
    with pytest.raises(ValueError, match=f"has 41 words; this model reads up to {small.LENGTH}"):
        small.word_numbers(["a bird", "a " * (small.LENGTH + 1)], ("flowers", "birds"))
    with pytest.raises(UnknownWord, match="zebra"):
        small.word_numbers(["a zebra"], ("flowers", "birds"))
    for name in worlds.NAMES:  # no caption of the worlds is cut
        world = worlds.load(name)
        whole = small.word_numbers([world.caption("train", i)[0] for i in range(300)], worlds.NAMES)
        assert not whole[:, -1].any()


@pytest.mark.parametrize(("name", "size"), [("ddpm", 64), ("latent_diffusion", 128), ("stable_diffusion", 128)])
def test_what_ships_draws_its_captions_alone_as_in_a_batch_and_better_than_chance(name, size):
    system = timeline.load(name)
    captions = ["this bird has a red breast", "a purple flower at night"]
    both = system.draw(captions, seed=3, steps=4)
    assert both.shape == (2, 3, size, size)
    torch.testing.assert_close(system.draw(captions[:1], seed=3, steps=4), both[:1], atol=1e-3, rtol=1e-3)
    assert not torch.allclose(system.draw(captions, seed=4, steps=4), both, atol=0.1)
    for name in ("flowers", "birds"):  # chance: the same pictures, dealt to other captions
        world = worlds.load(name)
        captions = [world.caption("test", i)[0] for i in range(40)]
        drawn = system.draw(captions, seed=0, steps=10)
        dealt = captions[1:] + captions[:1]
        right, chance = (caption_accuracy(drawn, text, world).accuracy for text in (captions, dealt))
        assert right > chance + 0.08


@pytest.mark.parametrize("name", SMALL)
def test_what_ships_was_trained_in_the_latents_that_it_draws(name):
    record = json.loads((DATA / "weights" / f"{name}.json").read_text())
    assert record["codec"] == SMALL[name].codec


def test_batches_that_worlds_cannot_share(few_pictures):
    with pytest.raises(ValueError, match="batch_size=25: a multiple of 3"):
        small.recipe("ldm", batch_size=25)


def test_asking_for_what_is_not_there(tmp_path):
    with pytest.raises(ValueError, match="no small diffusion model 'x'. There are: ddpm, ldm"):
        small.load("x")
    with pytest.raises(ValueError, match="Train it: t2i train ldm"):
        small.load("ldm", tmp_path / "x.safetensors")


def test_the_reader_of_the_attngan_gives_words_and_then_the_sentence():
    config = SMALL["ddpm"]
    reader = small.reader_of(small.build(config), config)
    told = ["a red flower", "", "this bird has a long black bill"]
    context = reader.plain(told)
    assert context.shape == (3, small.LENGTH, 128)
    assert not context[1].any()
    assert torch.equal(context[0, 3], context[0, -1])
    assert not torch.equal(context[0, 2], context[0, -1])
    torch.testing.assert_close(reader.plain(told[2:])[0], context[2])  # whoever else is in the batch
    damsm = DAMSM.load()
    words, sentence, _ = read(damsm.text, told[2:], vocabulary(*WORLDS))
    torch.testing.assert_close(context[2, :7], 5 * words[0])
    torch.testing.assert_close(context[2, 7], 5 * sentence[0])
    louder = reader(["a (red:2) flower"])
    torch.testing.assert_close(louder[0, 1], 2 * context[0, 1])
    torch.testing.assert_close(louder[0, 2:], context[0, 2:])


def test_stored_latents_are_made_once_and_damaged_ones_are_named(tmp_path, monkeypatch):
    pictures = np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3), dtype=np.uint8)
    monkeypatch.setattr(small, "cached_pictures", lambda *which: pictures)
    monkeypatch.setattr(small, "cache_folder", lambda: tmp_path)
    codec, flowers = Autoencoder(AUTOENCODERS["small_kl_f8"]).requires_grad_(False), worlds.load("flowers")
    made = np.array(small._stored(flowers, SMALL["ldm"], codec))
    torch.testing.assert_close(
        torch.from_numpy(made).float(), codec.encode(worlds.base.to_float(pictures)), atol=2e-2, rtol=0
    )
    monkeypatch.setattr(codec, "encode", None)  # not asked again
    assert np.array_equal(small._stored(flowers, SMALL["ldm"], codec), made)
    (file,) = (tmp_path / "latents").iterdir()
    file.write_bytes(file.read_bytes()[:-50])
    with pytest.raises(ValueError, match=f"{file.name} is damaged: delete it"):
        small._stored(flowers, SMALL["ldm"], codec)
