"""CLIP: published sizes and files, the loss both ways, tokens, pictures, and what it knows without training."""

import math

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from t2i_course.published.clip import load_clip, load_text_tower
from t2i_course.text.clip import CLIP, MEAN, STD, VARIANTS, Config, TextTower, Tower, prepared, tokenize, zero_shot

PARAMETERS = {  # counted in the original code
    "vit_b_32": 151_277_313,
    "vit_b_16": 149_620_737,
    "vit_l_14": 427_616_513,
    "vit_l_14_336": 427_944_193,
    "vit_h_14": 986_109_441,
}
TINY = Config(16, Tower(32, 2, 4), Tower(24, 2, 3), patch=8, size=32, length=12)


@pytest.mark.parametrize("name", VARIANTS)
def test_published_sizes(name):
    with torch.device("meta"):
        net = CLIP(VARIANTS[name])
    assert sum(p.numel() for p in net.parameters()) == PARAMETERS[name]


def tiny():
    torch.manual_seed(0)
    return CLIP(TINY).eval()


def test_words_see_only_those_before_them():
    net, tokens = tiny(), tokenize(["a small blue bird in the snow"], 12)
    other = tokens.clone()
    other[0, 5] = 1000
    before, after = net.text.context(tokens), net.text.context(other)
    torch.testing.assert_close(before[:, :5], after[:, :5])
    assert (before[:, 5:] - after[:, 5:]).abs().amax(2).min() > 1e-4


def test_what_stands_after_the_end_does_not_matter():
    net = tiny()
    torch.testing.assert_close(net.text(tokenize(["a bird"], 12)), net.text(tokenize(["a bird"], 12, pad=7)))


def test_blocks_can_be_skipped():
    net, tokens = tiny(), tokenize(["a bird"], 12)
    shorter = TextTower(Config(16, Tower(32, 2, 4), Tower(24, 1, 3), patch=8, size=32, length=12))
    shorter.load_state_dict({k: t for k, t in net.text.state_dict().items() if not k.startswith("blocks.1.")})
    torch.testing.assert_close(net.text.context(tokens, skip_last=1), shorter.context(tokens))


def test_the_loss_is_cross_entropy_both_ways():
    net, tokens, pictures = tiny(), tokenize(["a bird", "a flower", "a tree"], 12), torch.randn(3, 3, 32, 32)
    captions, seen = net.text(tokens), net.picture(pictures)
    cosines = torch.stack([F.cosine_similarity(c, seen) for c in captions])
    p_picture, p_caption = ((cosines / 0.07).softmax(dim) for dim in (1, 0))
    expected = -(p_picture.diagonal().log() + p_caption.diagonal().log()).mean() / 2
    torch.testing.assert_close(net.loss(pictures, tokens), expected)
    with torch.no_grad():
        net.log_scale.fill_(math.log(500))
    net.loss(pictures, tokens).backward()
    torch.testing.assert_close(net.similarity(pictures, tokens), 100 * cosines)  # no sharper than that
    assert net.log_scale.grad  # and it may come down again


def test_it_learns_which_caption_is_whose():
    net, captions = tiny().train(), ["a red bird", "a blue flower", "two trees", "the sea"]
    tokens, pictures = tokenize(captions, 12), torch.randn(4, 3, 32, 32)
    optimiser = torch.optim.Adam(net.parameters(), 3e-3)
    for _ in range(40):
        optimiser.zero_grad()
        net.loss(pictures, tokens).backward()
        optimiser.step()
    chosen = zero_shot(net, pictures, captions)
    torch.testing.assert_close(chosen.sum(1), torch.ones(4))
    assert chosen.argmax(1).tolist() == [0, 1, 2, 3]


def test_tokens():
    (tokens,) = tokenize(["A photo of a cat"])
    assert tokens[:7].tolist() == [49406, 320, 1125, 539, 320, 2368, 49407]
    assert tokens[7:].eq(0).all()
    assert tokenize(["a cat"], pad=49407)[0, 3:].eq(49407).all()
    long = tokenize(["flower " * 100])[0]
    assert len(long) == 77
    assert long[-1] == 49407
    with pytest.raises(ValueError, match="list of captions"):
        tokenize("a cat")


def test_pictures_are_made_as_large_as_a_clip_wants_them():
    assert prepared(torch.zeros(2, 3, 64, 96), 32).shape == (2, 3, 32, 32)
    white = prepared(torch.ones(1, 3, 32, 32), 32)
    expected = (1 - torch.tensor(MEAN)) / torch.tensor(STD)
    torch.testing.assert_close(white, expected[None, :, None, None].expand(1, 3, 32, 32))
    halves = torch.ones(1, 3, 32, 64)
    halves[..., :16] = halves[..., 48:] = -1
    torch.testing.assert_close(prepared(halves, 32), white)  # the middle is kept


def test_clear_errors(tmp_path):
    with pytest.raises(ValueError, match="There is no CLIP 'vit_x'. There are: vit_b_32"):
        load_clip("x", "vit_x")
    save_file({"visual.proj": torch.zeros(2, 2)}, tmp_path / "x.safetensors")
    for load in (load_clip, load_text_tower):
        with pytest.raises(ValueError, match=r"x\.safetensors holds the weights of another network"):
            load(tmp_path / "x.safetensors", "vit_b_32")
