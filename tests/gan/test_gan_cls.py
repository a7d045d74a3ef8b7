"""GAN-INT-CLS: published sizes, the losses of the paper's four variants, drawing."""

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import nn

from t2i_course import worlds
from t2i_course.gan import gan_cls
from t2i_course.gan.gan_cls import GANCLS, VARIANTS, Config, Discriminator, Generator, discriminator_loss, interpolated
from t2i_course.text import char_cnn_rnn
from t2i_course.text.char_cnn_rnn import WORLDS, CharCNNRNN, several_captions
from t2i_course.worlds import UnknownWord
from tests.shipped import accuracy_and_chance

TINY = Config(z_dim=6, text_dim=10, projected=5, generator_width=4, discriminator_width=4)


@pytest.mark.parametrize(
    ("variant", "generator", "discriminator"),
    [("full", 18_909_699, 4_032_321), ("full_coco", 41_107_551, 36_190_301)],
)
def test_published_sizes(variant, generator, discriminator):
    with torch.device("meta"):
        net = gan_cls.build(VARIANTS[variant])
    assert sum(p.numel() for p in net["generator"].parameters()) == generator
    assert sum(p.numel() for p in net["discriminator"].parameters()) == discriminator


def test_the_generator_is_the_published_stack_of_layers():
    """The layers written down once more, one after the other, with the generator's weights."""
    torch.manual_seed(0)
    net, c = Generator(TINY).eval(), TINY.generator_width
    conv, up, norm, relu = nn.Conv2d, nn.ConvTranspose2d, nn.BatchNorm2d, nn.ReLU

    def bottleneck(wide, narrow):
        return nn.Sequential(
            *(conv(wide, narrow, 1), norm(narrow), relu(), conv(narrow, narrow, 3, 1, 1), norm(narrow), relu()),
            *(conv(narrow, wide, 3, 1, 1), norm(wide)),
        )

    layers = nn.ModuleDict(
        {
            "text": nn.Linear(TINY.text_dim, TINY.projected),
            "start": nn.Sequential(up(TINY.z_dim + TINY.projected, 8 * c, 4), norm(8 * c)),
            "first": bottleneck(8 * c, 2 * c),
            "to8": nn.Sequential(up(8 * c, 4 * c, 4, 2, 1), norm(4 * c)),
            "second": bottleneck(4 * c, c),
            "to64": nn.Sequential(
                *(up(4 * c, 2 * c, 4, 2, 1), norm(2 * c), relu(), up(2 * c, c, 4, 2, 1), norm(c), relu()),
                *(up(c, 3, 4, 2, 1), nn.Tanh()),
            ),
        }
    ).eval()
    assert [t.shape for t in layers.state_dict().values()] == [t.shape for t in net.state_dict().values()]
    layers.load_state_dict(dict(zip(layers.state_dict(), net.state_dict().values(), strict=True)))
    z, text = torch.randn(3, TINY.z_dim), torch.randn(3, TINY.text_dim)
    x = torch.cat([z, nn.functional.leaky_relu(layers["text"](text), 0.2)], 1)[:, :, None, None]
    x = layers["start"](x)
    x = torch.relu(x + layers["first"](x))
    x = layers["to8"](x)
    x = torch.relu(x + layers["second"](x))
    torch.testing.assert_close(net(z, text), layers["to64"](x))


def test_discriminator_loss_is_algorithm_1():
    real, wrong, fake = torch.tensor([2.0, -1.0]), torch.tensor([0.5, 0.0]), torch.tensor([-3.0, 1.0])

    def log_d(x):
        return math.log(1 / (1 + math.exp(-x)))

    def mean(values):
        return sum(values) / len(values)

    says_true = mean([-log_d(x) for x in real.tolist()])
    says_wrong, says_fake = (mean([-log_d(-x) for x in logits.tolist()]) for logits in (wrong, fake))
    assert discriminator_loss(real, wrong, fake).item() == pytest.approx(says_true + (says_wrong + says_fake) / 2)
    assert discriminator_loss(real, fake).item() == pytest.approx(says_true + says_fake)


def test_interpolation_pairs_the_halves_of_a_batch():
    text = torch.arange(10.0).view(5, 2)
    assert torch.equal(interpolated(text), torch.tensor([[2.0, 3.0], [4.0, 5.0]]))


def some_pictures(n=4):
    return torch.randn(n, 3, 64, 64, generator=torch.Generator().manual_seed(0)).clamp(-1, 1)


@pytest.mark.parametrize("matching_aware", [True, False])
@pytest.mark.parametrize("interpolate", [True, False])
@pytest.mark.parametrize("match", [True, False])
def test_the_four_variants_of_the_paper(matching_aware, interpolate, match, monkeypatch):
    """Each variant asks D about just the pairs of its name: CLS adds wrong pairs to D's step, INT new texts to G's."""
    torch.manual_seed(0)
    config = replace(TINY, match=match)
    net, real, text = gan_cls.build(config), some_pictures(), torch.randn(4, TINY.text_dim)
    asked = []
    judge = Discriminator.judge
    monkeypatch.setattr(
        Discriminator, "judge", lambda self, seen, t: (asked.append((seen, t)), judge(self, seen, t))[1]
    )
    steps = gan_cls.losses(net, real, text, config, matching_aware, interpolate)
    name, terms = next(steps)
    assert name == "discriminator"
    assert ("matching" in terms) == match
    assert len(asked[-1][1]) == (12 if matching_aware else 8)  # true, perhaps wrong, and drawn pairs
    terms["loss"].backward()
    assert all(p.grad is None for p in net["generator"].parameters())
    assert all(p.grad is not None for p in net["discriminator"].parameters())
    net.zero_grad()
    name, terms = next(steps)
    assert name == "generator"
    texts = asked[-1][1]
    assert torch.equal(texts[-6:], torch.cat([text, interpolated(text)])) == interpolate
    terms["loss"].backward()
    assert all(p.grad is not None for p in net["generator"].parameters())
    assert all(p.grad is None for p in net["discriminator"].parameters())
    assert next(steps, None) is None
    assert all(p.requires_grad for p in net["discriminator"].parameters())


def test_a_pack_is_two_true_pictures_or_one_caption_drawn_twice():
    torch.manual_seed(0)
    config = replace(TINY, packed=True)
    net, real, text, shown = gan_cls.build(config), some_pictures(), torch.randn(4, TINY.text_dim), []
    drawn = []
    net["generator"].register_forward_hook(lambda _, args, out: drawn.append((args[1], out.detach())))
    d = net["discriminator"]
    judge = d.judge_pack
    d.judge_pack = lambda *pack: (shown.append(pack), judge(*pack))[1]
    fits = torch.zeros(4, 4, dtype=torch.bool)
    fits[0, 2] = fits[3, 1] = True
    steps = gan_cls.losses(net, real, text, config, fits=fits)
    _, terms = next(steps)
    assert torch.equal(drawn[0][0], text[[0, 1, 2, 3, 0, 3]])
    seen, seen_drawn = d.look(real), d.look(drawn[0][1])
    assert all(torch.equal(asked, text[[0, 3]]) for _, _, asked in shown)
    torch.testing.assert_close(shown[0][:2], (seen[[0, 3]], seen[[2, 1]]))
    torch.testing.assert_close(shown[1][:2], (seen_drawn[[0, 3]], seen_drawn[4:]))
    true, untrue = (judge(*pack) for pack in shown)
    torch.testing.assert_close(terms["packs"], F.softplus(-true).mean() + F.softplus(untrue).mean())
    terms["loss"].backward()
    assert all(p.grad is not None for p in d.parameters())
    net.zero_grad()
    _, terms = next(steps)
    assert len(drawn[1][0]) == 2  # halfway between captions
    seen_drawn = d.look(torch.cat([drawn[0][1][:4], drawn[1][1], drawn[0][1][4:]]))
    torch.testing.assert_close(shown[2][:2], (seen_drawn[[0, 3]], seen_drawn[6:]))
    torch.testing.assert_close(terms["packs"], F.softplus(-judge(*shown[2])).mean())
    terms["packs"].backward()
    assert all(p.grad is not None for p in net["generator"].parameters())
    assert all(p.grad is None for p in d.parameters())


def test_captions_of_packs_are_read_alone(monkeypatch):
    encoder = CharCNNRNN.load("small")
    batch = next(worlds.mixed_batches(WORLDS, "val", 64, 4, n=4, more=3))
    fits = torch.zeros(4, 4, dtype=torch.bool)
    fits[2, 0] = True
    monkeypatch.setattr(torch, "randint", lambda *_: torch.tensor(4))  # so many captions of each picture
    text, mean = several_captions(encoder, batch, fits), several_captions(encoder, batch)
    alone = torch.stack([mean[0], mean[1], encoder.encode(batch.captions[2:3])[0].float(), mean[3]])
    torch.testing.assert_close(text, alone)
    assert (text[2] - mean[2]).abs().max() > 0.01


def test_the_recipe_packs_from_the_step_that_it_is_told():
    recipe = gan_cls.recipe(ahead=0, batch_size=16, packs_from=3)
    torch.manual_seed(0)
    net, (_, batch) = recipe.build(), next(recipe.batches(0, 0))
    for step in (2, 3):
        _, terms = next(recipe.losses(net, (step, batch)))
        assert (terms["packs"] > 0) == (step == 3)
    assert gan_cls.recipe().build()["discriminator"].compare_pack is None


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["full", "full_coco"])
def test_one_training_step_at_full_size(variant):
    config = VARIANTS[variant]
    net, text = gan_cls.build(config), torch.randn(2, config.text_dim)
    optimisers = {part: torch.optim.Adam(net[part].parameters(), 2e-4, (0.5, 0.999)) for part in net}
    before = {name: p.detach().clone() for name, p in net.named_parameters()}
    for name, terms in gan_cls.losses(net, torch.randn(2, 3, 64, 64), text, config):
        optimisers[name].zero_grad()
        terms["loss"].backward()
        optimisers[name].step()
        assert torch.isfinite(terms["loss"])
    assert all(not torch.equal(p, before[name]) for name, p in net.named_parameters() if p.ndim > 1)


def test_the_shipped_model_draws_its_captions_alone_as_in_a_batch():
    system = GANCLS.load()
    captions = ["this small bird has a red breast", "a flower with five white petals"]
    both = system.draw(captions, seed=3)
    assert both.shape == (2, 3, 64, 64)
    assert both.abs().max() <= 1
    torch.testing.assert_close(system.draw(captions[:1], seed=3), both[:1], atol=1e-4, rtol=1e-4)
    assert not torch.allclose(system.draw(captions, seed=4), both, atol=0.1)


def test_the_shipped_discriminator_tells_right_captions_from_wrong_ones():
    system = GANCLS.load()
    batch = next(worlds.load("flowers").batches("test", 64, 64, n=64, shuffle=False))
    text = system.embed(batch.captions)
    with torch.no_grad():
        right, wrong = (system.discriminator(batch.pictures, t) for t in (text, text.roll(1, 0)))
    assert (right > wrong).float().mean() > 0.65


@pytest.mark.parametrize(("world", "ahead"), [("flowers", 0.25), ("birds", 0.33)])
def test_the_shipped_model_draws_more_of_its_captions_than_chance(world, ahead):
    """Measured: .58 against .22, and .60 against .16. The bars are two and a half standard errors below."""
    right, chance = accuracy_and_chance(GANCLS.load().draw, world, 48)
    assert right > chance + ahead


def test_clear_errors(tmp_path):
    system = GANCLS.load()
    with pytest.raises(UnknownWord, match="'elephant'"):
        system.draw(["an elephant"])
    for wrong in ("a red flower", 5):
        with pytest.raises(ValueError, match="list"):
            system.draw(wrong)
    for seed in (-1, 1.5):
        with pytest.raises(ValueError, match=f"seed={seed}"):
            system.draw(["a red flower"], seed=seed)
    with pytest.raises(ValueError, match="reads 201 letters, not 220: 'a red"):
        system.draw(["a red flower " + " red petals" * 18 + "         "])
    with pytest.raises(ValueError, match="gives 1024 numbers for a caption; the model reads 256"):
        GANCLS.load(text=CharCNNRNN(char_cnn_rnn.VARIANTS["icml_birds"])).draw(["a red flower"])
    with pytest.raises(ValueError, match="no variant"):
        GANCLS.load("huge")
    with pytest.raises(ValueError, match="Lua Torch"):
        GANCLS.load("full")
    file = tmp_path / "other.safetensors"
    save_file({"generator.x": torch.zeros(1)}, file)
    with pytest.raises(ValueError, match=r"other\.safetensors holds the weights of another network"):
        GANCLS.load("full", file, CharCNNRNN(char_cnn_rnn.VARIANTS["icml_birds"]))
