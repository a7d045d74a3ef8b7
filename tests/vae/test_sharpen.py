"""The sharpener of alignDRAW: its published size, what it adds, and who learns from what."""

from pathlib import Path

import pytest
import torch

from t2i_course.vae import sharpen
from t2i_course.vae.sharpen import SIZE, VARIANTS, Config, Sharpen, Sharpener, lowered
from t2i_course.worlds.language import UnknownWord

TINY = Config(text_dim=10, width=4, discriminator_width=4)
WEIGHTS = Path(__file__).parents[2] / "data" / "weights"


def some(n=3, dim=10):
    torch.manual_seed(0)
    return torch.rand(n, 3, SIZE, SIZE) * 2 - 1, torch.randn(n, dim), torch.randn(n, 1, SIZE, SIZE)


def test_published_size():
    with torch.device("meta"):
        model = Sharpener(VARIANTS["full"])
    assert sum(p.numel() for p in model.parameters()) == 5_760_259


def test_what_is_drawn_are_edges_on_top_of_the_picture():
    low, text, eps = some()
    model = Sharpener(TINY)
    torch.nn.init.zeros_(model.edges[-1].weight)
    torch.nn.init.constant_(model.edges[-1].bias, 0.25)
    torch.testing.assert_close(model(low, text, eps), low + 0.25)


def test_edges_depend_on_picture_caption_and_noise():
    low, text, eps = some()
    model = Sharpener(TINY)
    sharp = model(low, text, eps)
    for other in ((low.roll(1, 0), text, eps), (low, text.roll(1, 0), eps), (low, text, eps.roll(1, 0))):
        assert not torch.allclose(model(*other) - other[0], sharp - low, atol=1e-5)


def test_lowered_pictures_have_lost_what_their_half_cannot_hold():
    flat = torch.full((1, 3, SIZE, SIZE), 0.3)
    torch.testing.assert_close(lowered(flat), flat)
    stripes = torch.ones(1, 3, SIZE, SIZE)
    stripes[..., ::2] = -1
    torch.testing.assert_close(lowered(stripes), torch.zeros_like(stripes))


def test_each_step_reaches_its_own_network():
    net, (real, text, _) = sharpen.build(TINY).train(), some()
    steps = sharpen.losses(net, real, text)
    for part, other in (("discriminator", "generator"), ("generator", "discriminator")):
        net.zero_grad()
        name, terms = next(steps)
        assert name == part
        terms["loss"].backward()
        assert all(p.grad is not None for p in net[part].parameters())
        assert all(p.grad is None for p in net[other].parameters())
    assert next(steps, None) is None
    assert all(p.requires_grad for p in net["discriminator"].parameters())


def test_one_training_step_at_full_size():
    net, (real, text, _) = sharpen.build(VARIANTS["full"]), some(2, 4800)
    optimisers = {part: torch.optim.Adam(net[part].parameters(), 2e-4, (0.5, 0.999)) for part in net}
    before = {name: p.detach().clone() for name, p in net.named_parameters()}
    for name, terms in sharpen.losses(net, real, text):
        optimisers[name].zero_grad()
        terms["loss"].backward()
        optimisers[name].step()
        assert torch.isfinite(terms["loss"])
    assert all(not torch.equal(p, before[name]) for name, p in net.named_parameters() if p.ndim > 1)


@pytest.mark.skipif(not (WEIGHTS / "sharpen.safetensors").exists(), reason="the sharpener has yet to be trained")
def test_the_shipped_one_adds_detail_and_keeps_the_rest():
    from t2i_course import worlds

    batch = next(worlds.load("flowers").batches("test", SIZE, 64, n=64, shuffle=False))
    low = lowered(batch.pictures)
    sharp = Sharpen.load()(low, batch.captions)
    assert sharp.abs().max() <= 1

    def detail(pictures):
        return (pictures - lowered(pictures)).abs().mean()

    assert 2 * detail(low) < detail(sharp) < 1.5 * detail(batch.pictures)
    distance = torch.cdist(sharp.flatten(1), batch.pictures.flatten(1))
    assert distance.argmin(1).eq(torch.arange(64)).float().mean() > 0.95  # it is still a picture of the same flower
    with pytest.raises(UnknownWord, match="'elephant'"):
        Sharpen.load()(low[:1], ["an elephant"])
    with pytest.raises(ValueError, match="2 captions need pictures"):
        Sharpen.load()(low, ["a red flower", "a blue flower"])
