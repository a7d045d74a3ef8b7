"""AttnGAN: attention over words, the losses of the release, what learns and what does not, drawing."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from t2i_course import worlds
from t2i_course.gan import attngan
from t2i_course.gan.attngan import VARIANTS, AttnGAN, Gate, Generator, NextStage
from t2i_course.gan.damsm import DAMSM, read, small_config
from t2i_course.gan.parts import judged_together
from t2i_course.text.words import vocabulary
from t2i_course.worlds import UnknownWord
from tests.gan.test_damsm import full_size
from tests.shipped import accuracy_and_chance

TINY = replace(
    VARIANTS["bird"], z_dim=6, condition_dim=5, text_dim=16, generator_width=4, discriminator_width=4, residuals=1
)
WEIGHTS = Path(__file__).parents[2] / "data" / "weights"
trained = pytest.mark.skipif(
    not (WEIGHTS / "attngan.safetensors").exists(), reason="the small AttnGAN has yet to be trained"
)
CAPTIONS = ["a red flower", "this bird has a long bill and a white belly", "a flower with five yellow petals"]


def some_text(n=3, length=6, dim=16):
    """Words, sentences and mask; caption 0 has two words, the others all."""
    torch.manual_seed(1)
    mask = torch.ones(n, length, dtype=torch.bool)
    mask[0, 2:] = False
    return torch.randn(n, length, dim), torch.randn(n, dim), mask


def some_noise(config, n=3):
    torch.manual_seed(2)
    return torch.randn(n, config.z_dim), torch.randn(n, config.condition_dim)


@pytest.fixture(scope="module")
def damsm():
    torch.manual_seed(0)
    return DAMSM(replace(small_config(), dim=TINY.text_dim)).requires_grad_(False).eval()


@pytest.mark.parametrize("shape", [(3, 8, 5, 7), (3, 8)])
@pytest.mark.parametrize("last", [True, False])
def test_the_gate_is_torchs_glu_and_keeps_the_order_of_channels(shape, last):
    x = torch.randn(shape)
    if len(shape) == 4 and last:
        x = x.to(memory_format=torch.channels_last)
    torch.testing.assert_close(Gate()(x), F.glu(x, 1))
    with torch.no_grad():
        assert torch.equal(Gate()(x), F.glu(x, 1))
    x.requires_grad_()
    (ours,) = torch.autograd.grad(Gate()(x).square().sum(), x)
    (theirs,) = torch.autograd.grad(F.glu(x, 1).square().sum(), x)
    torch.testing.assert_close(ours, theirs)
    if len(shape) == 4 and last:
        assert Gate()(x).is_contiguous(memory_format=torch.channels_last)
        assert ours.is_contiguous(memory_format=torch.channels_last)


def test_every_place_attends_to_the_words_of_its_own_caption():
    """Equation 2 of the paper, place by place; and what stands after a caption's last word never matters."""
    torch.manual_seed(0)
    stage, h, (words, _, mask) = NextStage(TINY).eval(), torch.randn(3, 4, 8, 8), some_text()
    seen = {}
    stage.refine.register_forward_pre_hook(lambda module, inputs: seen.update(x=inputs[0]))
    out, beta = stage(h, words, mask)
    assert out.shape == (3, 4, 16, 16)
    assert beta.shape == (3, 6, 8, 8)
    e = words @ stage.to_features.weight.T  # e' = U e
    for b, y, x in ((0, 0, 0), (1, 3, 5), (2, 7, 7)):
        n = int(mask[b].sum())
        weights = torch.softmax(torch.stack([h[b, :, y, x] @ e[b, i] for i in range(n)]), 0)
        torch.testing.assert_close(beta[b, :n, y, x], weights)
        torch.testing.assert_close(seen["x"][b, 4:, y, x], sum(w * e[b, i] for i, w in enumerate(weights)))
    assert not beta[0, 2:].any()
    words[~mask] = 1e3
    torch.testing.assert_close(stage(h, words, mask)[0], out)


def test_stages_double_the_picture_and_can_be_left_out():
    net = Generator(TINY).eval()
    inputs = *some_noise(TINY), *some_text()
    out = net(*inputs)
    assert [tuple(p.shape[1:]) for p in out["pictures"]] == [(3, s, s) for s in TINY.sizes]
    assert [tuple(a.shape[1:]) for a in out["attention"]] == [(6, s, s) for s in TINY.sizes[:-1]]
    assert all(p.abs().max() <= 1 for p in out["pictures"])
    first = net(*inputs, stages=1)
    assert first["attention"] == []
    (picture,) = first["pictures"]
    torch.testing.assert_close(picture, out["pictures"][0])


def test_each_caption_is_drawn_as_if_it_were_alone():
    net = Generator(TINY).eval()
    inputs = *some_noise(TINY), *some_text()
    together = net(*inputs)["pictures"][-1]
    for b in range(3):
        alone = net(*(x[b : b + 1] for x in inputs))["pictures"][-1]
        torch.testing.assert_close(alone, together[b : b + 1], atol=1e-5, rtol=1e-5)


def cost(logits, answer):
    """Cross-entropy from its definition."""
    p = torch.sigmoid(logits.double())
    return -(p if answer else 1 - p).log().mean()


def test_discriminator_loss_is_that_of_the_release():
    """(real + real_alone) / 2 + (fake + wrong + fake_alone) / 3, as the released code adds it up."""
    torch.manual_seed(0)
    d, (_, sentences, _) = attngan.build(TINY)["discriminators"][0], some_text()
    seen, drawn = (d.look(torch.randn(3, 3, 64, 64)) for _ in range(2))
    real, wrong, fake = judged_together(d.judge, seen, sentences, (drawn, sentences))
    true = (cost(real, 1) + cost(d.judge_alone(seen), 1)) / 2
    untrue = (cost(fake, 0) + cost(wrong, 0) + cost(d.judge_alone(drawn), 0)) / 3
    torch.testing.assert_close(
        attngan.discriminator_loss(d, seen, drawn, sentences).double(), true + untrue, atol=1e-5, rtol=1e-5
    )


@pytest.mark.parametrize("stages", [1, 3])
@pytest.mark.parametrize("match", [True, False])
@pytest.mark.parametrize("packed", [True, False])
def test_each_step_reaches_all_that_it_trains_and_nothing_else(damsm, stages, match, packed):
    torch.manual_seed(0)
    config = replace(TINY, match=match, packed=packed)
    net, text = attngan.build(config).train(), some_text()
    reals = [torch.randn(3, 3, size, size) for size in config.sizes[:stages]]
    text = (text[0].requires_grad_(), *text[1:])
    same = torch.zeros(3, 3, dtype=torch.bool)
    same[1, 0] = True
    steps = attngan.losses(net, damsm, reals, text, same, config, packs=packed)
    name, terms = next(steps)
    assert name == "discriminators"
    assert set(terms) == {"loss", *(f"at {size}" for size in config.sizes[:stages])}
    terms["loss"].backward()
    assert all(p.grad is None for p in net["generator"].parameters())
    for k, d in enumerate(net["discriminators"]):
        assert all((p.grad is not None) == (k < stages) for p in d.parameters())
    net.zero_grad()
    name, terms = next(steps)
    assert name == "generator"
    named = sum(terms[f"at {size}"] for size in config.sizes[:stages]) + terms["kl"]
    named = named + config.damsm_weight * (terms["words"] + terms["sentences"])
    torch.testing.assert_close(terms["loss"], named)
    terms["loss"].backward()
    drawn = net["generator"] if stages == 3 else net["generator"].first
    assert all(p.grad is not None and p.grad.any() for p in drawn.parameters())
    assert all(p.grad is None for p in (*net["discriminators"].parameters(), *damsm.parameters()))
    assert next(steps, None) is None
    assert all(p.requires_grad for p in net["discriminators"].parameters())


def test_captions_of_other_pictures_are_compared_with_but_not_drawn(damsm):
    torch.manual_seed(0)
    config = replace(TINY, stages=1, match=True)
    net, text, real = attngan.build(config).eval(), some_text(), torch.randn(2, 3, 64, 64)
    same = torch.zeros(3, 2, dtype=torch.bool)
    torch.manual_seed(5)
    (_, d_terms), (_, g_terms) = attngan.losses(net, damsm, [real], text, same, config)
    torch.manual_seed(5)
    own = [part[:2] for part in text]
    (_, d_alone), (_, g_alone) = attngan.losses(net, damsm, [real], own, same[:2], config)
    torch.testing.assert_close(g_terms["kl"], g_alone["kl"])  # the same two captions were drawn
    assert d_terms["loss"] > d_alone["loss"]  # and it is harder to find the right one out of three
    for name in ("at 64", "words", "sentences"):
        assert g_terms[name] > g_alone[name]


def test_the_recipe_teaches_the_discriminators_first_and_a_generator_that_hears_the_sentence():
    recipe = attngan.recipe(ahead=3, others=4)
    net = recipe.build().train()
    batch = next(worlds.mixed_batches(attngan.WORLDS, "val", 128, 16, n=16))
    sentences = read(DAMSM.load().text, batch.captions, vocabulary(*attngan.WORLDS))[1]
    mu, logvar = net["generator"].condition(sentences)
    assert mu.std(0).mean() > 0.5 * (logvar / 2).exp().mean()  # with PyTorch's first weights it is a fifteenth
    names = [[name for name, _ in recipe.losses(net, (step, batch))] for step in (2, 3)]
    assert names == [["discriminators"], ["discriminators", "generator"]]


def test_the_generators_loss_is_that_of_the_release(damsm):
    """The terms written down once more, from what was drawn with the same noise."""
    torch.manual_seed(0)
    config = replace(TINY, stages=1)
    net, text, same = attngan.build(config).eval(), some_text(), torch.zeros(3, 3, dtype=torch.bool)
    real = torch.randn(3, 3, 64, 64)
    torch.manual_seed(5)
    terms = list(attngan.losses(net, damsm, [real], text, same, config))[1][1]
    torch.manual_seed(5)
    noise = torch.randn(3, config.z_dim), torch.randn(3, config.condition_dim)
    out, (d,) = net["generator"](*noise, *text), net["discriminators"]
    seen = d.look(out["pictures"][0])  # in eval mode it does not matter with whom
    expected = cost(d.judge(seen, text[1]), 1) + cost(d.judge_alone(seen), 1)
    found = damsm.losses(out["pictures"][0], *text, same)
    expected = expected + config.damsm_weight * (found["words"] + found["sentences"])
    kl = 0.5 * (out["mu"] ** 2 + out["logvar"].exp() - 1 - out["logvar"]).mean()
    torch.testing.assert_close(terms["loss"].double(), expected + kl, atol=1e-4, rtol=1e-5)


def test_true_and_drawn_pictures_are_looked_at_in_one_batch(damsm):
    """Otherwise batch norm tells them apart."""
    config = replace(TINY, stages=1)
    net, text, same, sizes = attngan.build(config), some_text(), torch.zeros(3, 3, dtype=torch.bool), []
    net["discriminators"][0].look[0].register_forward_hook(lambda _, pictures, __: sizes.append(len(pictures[0])))
    list(attngan.losses(net, damsm, [torch.randn(3, 3, 64, 64)], text, same, config))
    assert sizes == [6, 6]


def test_shaken_pictures_differ_a_little_each_in_its_own_way_and_pass_gradients_on():
    torch.manual_seed(0)
    pictures = F.interpolate(torch.randn(1, 3, 4, 4), (64, 64), mode="bilinear").repeat(3, 1, 1, 1).requires_grad_()
    seen = attngan.augmented(pictures)
    assert seen.shape == pictures.shape
    assert not torch.allclose(seen[0], seen[1], atol=0.1)
    assert F.cosine_similarity(seen.flatten(1), pictures.flatten(1)).min() > 0.6
    seen.sum().backward()
    assert pictures.grad.flatten(1).any(1).all()


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["bird", "coco"])
def test_one_training_step_at_full_size(variant):
    """As released: from 64x64 to 256x256, Inception's eyes, Adam."""
    config = VARIANTS[variant]
    torch.manual_seed(0)
    net = attngan.build(config).train()
    damsm = full_size(variant).requires_grad_(False).eval()
    optimisers = {part: torch.optim.Adam(net[part].parameters(), 2e-4, (0.5, 0.999)) for part in net}
    before = {name: p.detach().clone() for name, p in net.named_parameters()}
    reals, text = [torch.randn(2, 3, size, size) for size in config.sizes], some_text(2, 6, config.text_dim)
    for name, terms in attngan.losses(net, damsm, reals, text, torch.zeros(2, 2, dtype=torch.bool), config):
        optimisers[name].zero_grad()
        terms["loss"].backward()
        optimisers[name].step()
        assert torch.isfinite(terms["loss"])
    assert all(not torch.equal(p, before[name]) for name, p in net.named_parameters() if p.grad is None or p.grad.any())


def test_without_alone_nothing_is_judged_alone_and_each_picture_meets_its_wrong_captions(damsm):
    config = replace(TINY, stages=1)
    net, same = attngan.build(config).train(), torch.zeros(3, 3, dtype=torch.bool)
    (d,), asked = net["discriminators"], []
    d.compare.register_forward_pre_hook(lambda _, args: asked.append(len(args[0])))
    d.alone.register_forward_hook(lambda *_: pytest.fail("judged alone"))
    real = [torch.randn(3, 3, 64, 64)]
    for _, terms in attngan.losses(net, damsm, real, some_text(), same, config, wrongs=2, alone=False):
        terms["loss"].backward()
    assert asked == [12, 12]  # 3 true, 6 wrong, 3 drawn


def test_the_recipe_changes_at_its_steps(monkeypatch):
    recipe, given = attngan.recipe(ahead=1, alone_from=3, last_stage_from=4, others=4), []

    def seen(net, damsm, reals, text, same, config, **options):
        given.append((len(reals), len(text[1]), options["alone"], options["wrongs"]))
        return iter(())

    monkeypatch.setattr(attngan, "losses", seen)
    net, batch = recipe.build(), next(worlds.mixed_batches(attngan.WORLDS, "val", 128, 16, n=16))
    for step in (2, 3, 4):
        list(recipe.losses(net, (step, batch)))
    assert given == [(2, 20, False, 4), (2, 20, True, 4), (3, 20, True, 4)]


@trained
def test_the_shipped_model_draws_its_captions_alone_as_in_a_batch():
    system = AttnGAN.load()
    both = system.draw(CAPTIONS[:2], seed=3)
    size = system.config.sizes[-1]
    assert both.shape == (2, 3, size, size)
    torch.testing.assert_close(system.draw(CAPTIONS[:1], seed=3), both[:1], atol=1e-4, rtol=1e-4)
    assert not torch.allclose(system.draw(CAPTIONS[:2], seed=4), both, atol=0.1)
    *_, last = frames = list(system.frames(CAPTIONS[:2], seed=3))
    assert torch.equal(last, both)
    assert all(frame.shape == both.shape for frame in frames)
    seen = system.explain(CAPTIONS[:2], seed=3)
    assert seen["words"][0] == ["a", "red", "flower"]
    side = system.config.first_size  # the first look is taken before the picture grows
    torch.testing.assert_close(seen["attention"][0].sum(1), torch.ones(2, side, side))
    assert not seen["attention"][0][0, 3:].any()


@trained
@pytest.mark.parametrize(("world", "ahead"), [("flowers", 0.47), ("birds", 0.4)])
def test_the_shipped_model_draws_more_of_its_captions_than_chance(world, ahead):
    """Measured: .77 against .23, and .67 against .17. The bars are two and a half standard errors below."""
    right, chance = accuracy_and_chance(AttnGAN.load().draw, world, 48)
    assert right > chance + ahead


@trained
def test_the_shipped_model_draws_nights():
    day, night = AttnGAN.load().draw(["a flower in the grass", "a flower at night"], seed=3)
    assert day.mean() > night.mean() + 0.3


def test_clear_errors(tmp_path):
    with pytest.raises(ValueError, match="no variant 'huge'"):
        AttnGAN.load("huge")
    save_file({"generator.x": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match=r"other\.safetensors holds the weights of another network"):
        AttnGAN.load("small", tmp_path / "other.safetensors")
    config = replace(VARIANTS["small"], text_dim=16, generator_width=4)
    damsm = DAMSM(replace(small_config(), dim=16))
    system = AttnGAN(damsm.text, vocabulary("flowers", "birds"), Generator(config), config)
    with pytest.raises(UnknownWord, match="'elephant'"):
        system.draw(["an elephant"])
    for wrong in ("a red flower", 5):
        with pytest.raises(ValueError, match="brackets"):
            system.draw(wrong)
    for seed in (-1, 1.5):
        with pytest.raises(ValueError, match=f"seed={seed}"):
            system.draw(CAPTIONS, seed=seed)
    with pytest.raises(ValueError, match="first_size=48: AttnGAN begins with 8, 16"):
        replace(config, first_size=48)
    with pytest.raises(ValueError, match="stages=0: AttnGAN draws in at least one stage"):
        replace(config, stages=0)
