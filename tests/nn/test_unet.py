"""The U-Net: published sizes, the formulas of its parts, and what starts as nothing."""

from dataclasses import replace

import pytest
import torch

from t2i_course import timeline
from t2i_course.nn.unet import (
    CLASSIFIERS,
    VARIANTS,
    Config,
    Downsample,
    NoisyClassifier,
    ResBlock,
    SelfAttention,
    Transformer,
    UNet,
    timestep_embedding,
)

PARAMETERS = {  # counted in the original code
    "ddpm_cifar10": 35_746_307,
    "ddpm_256": 113_673_219,
    "iddpm_cifar10": 52_546_438,
    "iddpm_64": 121_063_942,
    "iddpm_64_classes": 273_049_350,
    "iddpm_lsun": 113_676_678,
    "adm_64": 295_904_454,
    "adm_128": 421_529_606,
    "adm_256": 553_838_086,
    "adm_256_uncond": 552_814_086,
    "adm_512": 558_997_638,
    "ldm_vq_f4": 274_056_163,
    "ldm_churches": 294_966_916,
    "ldm_imagenet_vq_f8": 394_984_196,
    "ldm_imagenet": 400_920_579,
    "ldm_text_cc": 403_623_939,
    "ldm_text": 872_300_484,
    "sd_1": 859_520_964,
    "sd_1_inpainting": 859_535_364,
    "sd_2": 865_910_724,
    "sd_2_inpainting": 865_925_124,
    **timeline.PARTS["t2i_course.published.unet:load_unet"],
}
TINY = Config(32, (1, 2), 1, (1,))
TEXT = replace(TINY, context_dim=10, heads=4)


@pytest.mark.parametrize("name", VARIANTS)
def test_published_sizes(name):
    with torch.device("meta"):
        net = UNet(VARIANTS[name])
    assert sum(p.numel() for p in net.parameters()) == PARAMETERS[name]


@pytest.mark.parametrize(("size", "parameters"), [(64, 65_438_568), (128, 42_568_040), (256, 54_096_360)])
def test_published_sizes_of_classifiers(size, parameters):
    with torch.device("meta"):
        net = NoisyClassifier(CLASSIFIERS[size], size)
    assert sum(p.numel() for p in net.parameters()) == parameters


def test_timestep_embedding():
    ours = timestep_embedding(torch.tensor([10]), 8)[0]
    expected = [-0.839072, 0.540302, 0.995004, 0.99995, -0.544021, 0.841471, 0.099833, 0.01]
    torch.testing.assert_close(ours, torch.tensor(expected), atol=1e-6, rtol=0)
    ddpm = timestep_embedding(torch.tensor([10]), 8, ddpm=True)[0]
    expected = [-0.544021, 0.447671, 0.021543, 0.001, -0.839072, 0.894198, 0.999768, 1.0]
    torch.testing.assert_close(ddpm, torch.tensor(expected), atol=1e-6, rtol=0)


@pytest.mark.parametrize("config", [TINY, TEXT, replace(TINY, ddpm=True, scale_shift=False, resample="conv")])
def test_untrained_it_predicts_nothing_and_its_blocks_pass_everything_on(config):
    torch.manual_seed(0)
    x, t_emb, context = torch.randn(2, 64, 8, 8), torch.randn(2, 128), torch.randn(2, 3, 10)
    attention = Transformer(64, config) if config.context_dim else SelfAttention(64, 2, 1e-5)
    for block in (ResBlock(64, 64, config), attention):
        torch.testing.assert_close(block(x, t_emb, context), x)
    given = (torch.randn(2, 3, 8, 8), torch.tensor([5, 900]), context if config.context_dim else None)
    assert torch.equal(UNet(config)(*given), torch.zeros(2, 3, 8, 8))


def awake(net):
    """The same network with other weights than zeros in the layers that start with them."""
    torch.manual_seed(0)
    for p in net.parameters():
        if not p.any():
            torch.nn.init.normal_(p, 0, 0.05)
    return net.eval()


def test_each_picture_is_alone_with_its_timestep_and_caption():
    net = awake(UNet(TEXT))
    x, t, context = torch.randn(3, 3, 8, 8), torch.tensor([1, 400, 999]), torch.randn(3, 5, 10)
    together = net(x, t, context)
    for i in range(3):
        torch.testing.assert_close(net(x[i : i + 1], t[i : i + 1], context[i : i + 1]), together[i : i + 1])
    for other in ((x.roll(1, 0), t, context), (x, t.roll(1, 0), context), (x, t, context.roll(1, 0))):
        assert (net(*other) - together).abs().amax((1, 2, 3)).min() > 1e-3


def test_the_order_of_words_does_not_matter_but_their_number_may():
    net = awake(UNet(TEXT))
    x, t, context = torch.randn(1, 3, 8, 8), torch.tensor([7]), torch.randn(1, 5, 10)
    torch.testing.assert_close(net(x, t, context.flip(1)), net(x, t, context))
    assert net(x, t, context[:, :2]).shape == x.shape


def test_a_pooled_context_is_told_to_blocks_without_attention():
    config = Config(8, (1, 2), 1, (), 3, 3, context_dim=4, pooled=True, groups=4)
    torch.manual_seed(0)
    net, plain = UNet(config), UNet(replace(config, pooled=False))
    assert not net.pool.weight.any(), "at first it is not heard"
    plain.load_state_dict(net.state_dict(), strict=False)
    for p in net.parameters():
        torch.nn.init.normal_(p, 0, 0.2)
    x, t, context = torch.randn(2, 3, 8, 8), torch.tensor([3, 700]), torch.randn(2, 5, 4)
    heard = []
    net.encoder[0][0].register_forward_hook(lambda block, given, made: heard.append(made))
    for said in (context, context.flip(1), context + 1):
        net(x, t, said)
    torch.testing.assert_close(heard[1], heard[0])  # the mean over the words
    assert not torch.allclose(heard[2], heard[0], atol=1e-2)


def test_classes_are_told_to_every_block():
    net = awake(UNet(replace(TINY, classes=4)))
    x, t = torch.randn(2, 3, 8, 8), torch.tensor([7, 7])
    one, other = (net(x, t, classes=torch.tensor([k, k])) for k in (1, 2))
    assert (one - other).abs().max() > 1e-3
    with pytest.raises(ValueError, match="needs classes"):
        net(x, t)


def test_clear_errors():
    for wrong in (replace(TINY, dim=16), replace(TINY, dim=96, head_dim=64)):
        with pytest.raises(ValueError, match="multiples of 32, for group norm, and of head_dim"):
            UNet(wrong)
    with pytest.raises(ValueError, match=r"no attention at levels \[5\]: the levels are 0 to"):
        UNet(replace(TINY, attend=(0, 5)))
    with pytest.raises(ValueError, match=r"so t is \(2,\), not \(\)"):
        UNet(TINY)(torch.zeros(2, 3, 8, 8), torch.tensor(5))
    with pytest.raises(ValueError, match=r"with H = W = 16, not \(1, 3, 8, 8\)"):
        NoisyClassifier(TINY, 16)(torch.zeros(1, 3, 8, 8), torch.zeros(1))


def test_ddpm_pads_right_and_below_where_others_pad_all_around():
    """A place in the middle is seen by the windows that begin at 0 and 2, or by the one around 2 alone."""
    x = torch.zeros(1, 32, 4, 4)
    x[..., 2, 2] = 1
    for ddpm, expected in ((True, [[True, True], [True, True]]), (False, [[False, False], [False, True]])):
        down = Downsample(32, ddpm)
        torch.nn.init.ones_(down.weight)
        torch.nn.init.zeros_(down.bias)
        assert (down(x)[0, 0] > 0).tolist() == expected


@pytest.mark.parametrize("config", [TINY, TEXT])
def test_gradients_reach_all_of_it(config):
    net = UNet(config)
    x, t = torch.randn(2, 3, 8, 8), torch.tensor([5, 900])
    context = torch.randn(2, 3, 10) if config.context_dim else None
    optimiser = torch.optim.Adam(net.parameters(), 1e-2)
    for _ in range(4):  # zeros hide what is behind them: it takes some steps until all have been reached
        optimiser.zero_grad()
        (net(x, t, context) - x).square().mean().backward()
        optimiser.step()
    assert all(p.grad.any() for p in net.parameters())
