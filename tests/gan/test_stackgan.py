"""StackGAN: conditioning augmentation, both stages and their losses, drawing."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from t2i_course.gan import stackgan
from t2i_course.gan.parts import judged_together
from t2i_course.gan.stackgan import VARIANTS, StackGAN, StageI, StageII, condition
from t2i_course.text.char_cnn_rnn import WORLDS, CharCNNRNN
from t2i_course.worlds import UnknownWord, mixed_batches
from tests.shipped import accuracy_and_chance

TINY = replace(
    VARIANTS["small"], z_dim=6, condition_dim=5, text_dim=10, generator_width=4, discriminator_width=4, size=128
)


WEIGHTS = Path(__file__).parents[2] / "data" / "weights"
trained = pytest.mark.skipif(
    not (WEIGHTS / "stackgan.safetensors").exists(), reason="the small StackGAN has yet to be trained"
)


def inputs(stage, n=4):
    torch.manual_seed(0)
    return torch.randn(n, 3, 64 if stage == 1 else TINY.size, 64 if stage == 1 else TINY.size), torch.randn(n, 10)


def test_conditions_are_drawn_around_mu():
    mu, logvar = torch.tensor([[1.0, -2.0]]), torch.tensor([[0.0, 2.0]])
    torch.manual_seed(0)
    c = condition(mu, logvar, torch.randn(20_000, 2))
    torch.testing.assert_close(c.mean(0), mu[0], atol=0.06, rtol=0)
    torch.testing.assert_close(c.var(0), logvar.exp()[0], atol=0.2, rtol=0)
    assert torch.equal(condition(mu, logvar, torch.zeros(1, 2)), mu)


def test_as_released_the_noise_never_falls_below_one_but_in_ours_it_may():
    mu, logvar = StageI(replace(TINY, rectified=True)).augment(inputs(1)[1])
    assert mu.min() >= 0
    assert logvar.min() >= 0
    mu, logvar = StageI(TINY).augment(inputs(1)[1])
    assert mu.min() < 0
    assert logvar.min() < 0


@pytest.mark.parametrize("stage", [1, 2])
@pytest.mark.parametrize("match", [True, False])
@pytest.mark.parametrize("packed", [True, False])
def test_losses_reach_all_that_is_trained_and_nothing_else(stage, match, packed):
    config = replace(TINY, match=match, packed=packed)
    net, (real, text) = stackgan.build(config, stage).train(), inputs(stage)
    fits = torch.zeros(len(text), len(text), dtype=torch.bool)
    fits[1, 0] = True
    steps = stackgan.losses(net, real, text, config, fits=fits)
    frozen = net["generator"].stage1 if stage == 2 else None
    before = {k: t.clone() for k, t in frozen.state_dict().items()} if frozen else {}
    for part in ("discriminator", "generator"):
        net.zero_grad()
        name, terms = next(steps)
        assert name == part
        terms["loss"].backward()
        for other in net:
            for k, p in net[other].named_parameters():
                trained = other == part and not k.startswith("stage1.")
                assert (p.grad is not None) == trained, f"{other}.{k}"
        assert set(terms) >= ({"loss"} if part == "discriminator" else {"loss", "caption", "kl"})
        assert ("matching" in terms) == match
        assert (terms["packs"] > 0) == packed
    assert ("alone" in terms) == (stage == 2)
    assert next(steps, None) is None
    for k, t in before.items():  # nor did its batch norm learn anything
        assert torch.equal(frozen.state_dict()[k], t)


@pytest.mark.parametrize("stage", [1, 2])
def test_discriminator_loss_is_that_of_the_release(stage):
    d, (real, text) = stackgan.build(TINY, stage)["discriminator"], inputs(stage)
    seen, drawn, mu = d.look(real), d.look(real.flip(0)), text[:, :5]
    true, wrong, fake = judged_together(d.judge, seen, mu, (drawn, mu))

    def cost(logits, answer):
        return (F.softplus(-logits) if answer else F.softplus(logits)).mean()

    expected = cost(true, 1) + 0.5 * (cost(wrong, 0) + cost(fake, 0))
    if stage == 2:
        alone = cost(d.judge_alone(seen), 1), cost(d.judge_alone(drawn), 0)
        expected = (cost(true, 1) + alone[0]) / 2 + (cost(wrong, 0) + cost(fake, 0) + alone[1]) / 3
    torch.testing.assert_close(stackgan.discriminator_loss(d, seen, drawn, mu), expected)


@pytest.mark.parametrize("size", [64, 128, 256])
def test_the_picture_is_as_large_as_its_config_says(size):
    generator = stackgan.build(replace(TINY, size=size), 2)["generator"].eval()
    out = generator(torch.randn(2, 6), torch.randn(2, 5), torch.randn(2, 5), torch.randn(2, 10))
    assert out["sketch"].shape == (2, 3, 64, 64)
    assert out["picture"].shape == (2, 3, size, size)


def test_stage_2_looks_at_the_sketch_and_at_the_caption():
    sketches, text = inputs(1)
    generator, eps = StageII(TINY).eval(), torch.zeros(4, 5)
    both = generator.paint(sketches, eps, text)["picture"]
    assert not torch.allclose(generator.paint(sketches.roll(1, 0), eps, text)["picture"], both, atol=1e-4)
    assert not torch.allclose(generator.paint(sketches, eps, text.roll(1, 0))["picture"], both, atol=1e-4)


def test_the_recipe_teaches_d_first_and_both_from_captions_louder_than_the_noise():
    recipe = stackgan.recipe("stackgan_1", ahead=3)
    net = recipe.build().train()
    captions = ["a flower with red petals", "a small blue bird", "a white flower at night", "a bird in the snow"]
    mu = net["generator"].augment(CharCNNRNN.load("small").encode(captions))[0]
    assert mu.std(0).mean() > 0.1  # with PyTorch's first weights it is below 0.02, and sigma is 1
    batch = next(mixed_batches(WORLDS, "val", 64, 8, n=8, more=3))
    names = [[name for name, _ in recipe.losses(net, (step, batch))] for step in (2, 3)]
    assert names == [["discriminator"], ["discriminator", "generator"]]


def test_sketches_that_lead_astray_show_the_captions_of_neighbours():
    """What Stage I is told is seen by a hook on it."""
    net, (real, text) = stackgan.build(TINY, 2), inputs(2)
    told = []
    net["generator"].stage1.register_forward_hook(lambda _, args, out: told.append(args[2]))
    for astray in (0.0, 1.0):
        next(stackgan.losses(net, real, text, TINY, astray=astray))
    torch.testing.assert_close(told[0], text)
    torch.testing.assert_close(told[1], text.roll(1, 0))


def test_pictures_are_compared_with_other_captions_than_those_of_their_batch(monkeypatch):
    compared = []

    def told(d, loss, seen, text, *options, same=None, **terms):
        compared.append((text, options[1] if options else same))
        return {"loss": loss}

    monkeypatch.setattr(stackgan, "with_matching", told)
    net, (real, text) = stackgan.build(TINY, 2).train(), inputs(2)
    more, same = (
        torch.cat([text, torch.randn(3, text.shape[1])]),
        torch.zeros(len(text) + 3, len(text), dtype=torch.bool),
    )
    list(stackgan.losses(net, real, text, TINY, candidates=more, same=same))
    assert [(a is more, b is same) for a, b in compared] == [(True, True), (True, True)]
    list(stackgan.losses(net, real, text, TINY))
    assert [(a is text, b) for a, b in compared[2:]] == [(True, None), (True, None)]


def test_the_recipe_of_stage_2_asks_among_many_captions(monkeypatch):
    asked = []
    monkeypatch.setattr(stackgan, "told_apart", lambda d, real, mu, text, same: asked.append((text, same)) or {})
    recipe = stackgan.recipe("stackgan_2", others=10)
    batch = next(mixed_batches(WORLDS, "val", 128, 4, n=8, more=3))
    list(recipe.losses(recipe.build(), (0, batch)))
    ((text, same),) = asked
    assert text.shape[0] == len(same) == 4 + 10
    torch.testing.assert_close(text[:4], CharCNNRNN.load("small").encode(batch.captions).float())
    assert not same[:4].diagonal().any()


def test_stage_2_is_not_trained_without_stage_1(tmp_path, monkeypatch):
    recipe = stackgan.recipe("stackgan_2")
    monkeypatch.setattr(stackgan, "DATA", tmp_path)
    with pytest.raises(ValueError, match="no file.*t2i train stackgan_1 --export"):
        recipe.build()


@pytest.mark.slow
@pytest.mark.parametrize("stage", [1, 2])
def test_one_training_step_at_full_size(stage):
    config = VARIANTS["full"]
    net, size = stackgan.build(config, stage).train(), 64 if stage == 1 else 256
    optimisers = {k: torch.optim.Adam([p for p in m.parameters() if p.requires_grad], 2e-4) for k, m in net.items()}
    for name, terms in stackgan.losses(net, torch.randn(2, 3, size, size), torch.randn(2, 1024), config):
        optimisers[name].zero_grad()
        terms["loss"].backward()
        optimisers[name].step()
        assert all(torch.isfinite(value) for value in terms.values())


def untrained() -> StackGAN:
    """The small model as it is before training, with the encoder that ships."""
    torch.manual_seed(0)
    return StackGAN(CharCNNRNN.load("small"), StageII(VARIANTS["small"]), VARIANTS["small"])


def test_a_sketch_is_drawn_and_then_a_picture_whoever_else_is_in_the_batch():
    system = untrained()
    captions = ["this small bird has a red breast", "a flower with five white petals"]
    sketch, picture = system.frames(captions, seed=3)
    assert sketch.shape == picture.shape == (2, 3, 128, 128)
    assert picture.abs().max() <= 1
    seen = system.explain(captions, seed=3)
    assert torch.equal(sketch[:, :, ::2, ::2], seen["sketch"])
    assert seen["mu"].shape == seen["logvar"].shape == (2, 128)
    torch.testing.assert_close(system.draw(captions[:1], seed=3), picture[:1], atol=1e-4, rtol=1e-4)
    assert not torch.allclose(system.draw(captions, seed=4), picture, atol=1e-3)


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(UnknownWord, match="'elephant'"):
        untrained().draw(["an elephant"])
    for wrong in ("a red flower", 5):
        with pytest.raises(ValueError, match="put your text into brackets"):
            untrained().draw(wrong)
    for seed in (-1, 1.5):
        with pytest.raises(ValueError, match=f"seed={seed}"):
            untrained().draw(["a red flower"], seed=seed)
    with pytest.raises(ValueError, match="no variant 'huge'.*small"):
        StackGAN.load("huge")
    with pytest.raises(ValueError, match=r"size=96: StackGAN draws 64, 128, 256"):
        stackgan.Config(size=96)
    with pytest.raises(ValueError, match="no file.*t2i train stackgan_2"):
        StackGAN.load("small", weights="nowhere.safetensors")


@trained
def test_the_shipped_model_draws_other_pictures_for_other_captions():
    system = StackGAN.load()
    day, night = system.draw(["a flower in the grass", "a flower at night"], seed=3)
    assert day.mean() > night.mean() + 0.3


@trained
@pytest.mark.parametrize(("world", "ahead"), [("flowers", 0.29), ("birds", 0.41)])
def test_the_shipped_model_draws_more_of_its_captions_than_chance(world, ahead):
    """Measured: .61 against .23, and .65 against .16. The bars are two and a half standard errors below."""
    right, chance = accuracy_and_chance(StackGAN.load().draw, world, 48)
    assert right > chance + ahead


@trained
def test_whatever_encodes_captions_can_read_for_it():
    class Quiet:
        """The small encoder, but quieter."""

        def encode(self, captions):
            return CharCNNRNN.load().encode(captions) / 2

    quiet, shipped = StackGAN.load(text=Quiet()), StackGAN.load()
    assert torch.equal(quiet.embed(["a red flower"]), shipped.embed(["a red flower"]) / 2)
    assert quiet.draw(["an elephant"]).shape == (1, 3, 128, 128)  # it answers for its words itself


def test_stage_2_sketches_with_the_weights_that_it_is_given(tmp_path):
    other, file = stackgan.build(VARIANTS["small"], 1)["generator"], tmp_path / "other.safetensors"
    save_file({f"generator.{k}": t for k, t in other.state_dict().items()}, file)
    net = stackgan.recipe("stackgan_2", stage1=str(file)).build()
    assert torch.equal(net["generator"].stage1.to_picture.weight, other.to_picture.weight)
    with pytest.raises(ValueError, match="stage1 is for stackgan_2"):
        stackgan.recipe("stackgan_1", stage1=str(file))
    with pytest.raises(ValueError, match="packs_from is for stackgan_1"):
        stackgan.recipe("stackgan_2", packs_from=5)
