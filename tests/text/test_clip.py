"""CLIP: published sizes and files, the loss both ways, tokens, pictures, and what it knows without training."""

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from t2i_course import worlds
from t2i_course.diffusion.process import cosine
from t2i_course.nn.world_cnn import load_trunk, regions
from t2i_course.published.clip import load_clip, load_text_tower
from t2i_course.text import clip as clip_module
from t2i_course.text.clip import (
    CLIP,
    MEAN,
    STD,
    VARIANTS,
    Config,
    TextTower,
    Tower,
    compare,
    measure,
    noised,
    prepared,
    recall_at_1,
    small_config,
    small_tokens,
    tokenize,
    zero_shot,
)

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
    net, captions = tiny(), ["a bird", "a small blue bird in the snow"]  # the first is read with its padding
    torch.testing.assert_close(net.text(tokenize(captions, 12)), net.text(tokenize(captions, 12, pad=7)))


def test_pictures_that_were_not_made_for_it():
    wanted = r"sees pictures \(B, 3, 32, 32\), made by prepared\(pictures, 32\), not \(2, 3, 224, 224\)"
    with pytest.raises(ValueError, match=wanted):
        tiny().picture(torch.zeros(2, 3, 224, 224))


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
    odd = torch.arange(35.0).expand(1, 3, 32, 35) / 40  # 3 too many: 2 of them on the left, as torchvision has it
    torch.testing.assert_close(prepared(odd, 32), prepared(odd[..., 2:34], 32))


def test_clear_errors(tmp_path):
    with pytest.raises(ValueError, match="There is no CLIP 'vit_x'. There are: vit_b_32"):
        load_clip("x", "vit_x")
    save_file({"visual.proj": torch.zeros(2, 2)}, tmp_path / "x.safetensors")
    for load in (load_clip, load_text_tower):
        with pytest.raises(ValueError, match=r"x\.safetensors holds the weights of another network"):
            load(tmp_path / "x.safetensors", "vit_b_32")


# --- the small ones ---------------------------------------------------------------------------------------------------

WEIGHTS = Path(__file__).parents[2] / "data" / "weights"


def test_small_tokens():
    tokens = small_tokens(["", "a red flower", "A red flower!"])
    end = small_config().words - 1
    assert tokens.shape == (3, small_config().length)
    assert tokens[0].tolist() == [end - 1, end] + [0] * 46
    assert tokens[1, 0] == end - 1
    assert tokens[1, 4:].tolist() == [end] + [0] * 43
    assert torch.equal(tokens[1], tokens[2])
    assert tokens.argmax(1).tolist() == [1, 4, 4]
    assert small_tokens([]).shape == (0, 48)
    with pytest.raises(worlds.UnknownWord, match="'blurple'"):
        small_tokens(["a blurple flower"])
    small_tokens(["red " * 46])
    with pytest.raises(ValueError, match="47 words; the small CLIP reads up to 46"):
        small_tokens(["red " * 47])
    with pytest.raises(ValueError, match="list of captions"):
        small_tokens("a red flower")


@pytest.mark.parametrize("name", worlds.NAMES)
def test_every_caption_has_room(name):
    world = worlds.load(name)
    tokens = small_tokens([world.caption(split, i)[0] for split in ("train", "novel") for i in range(300)])
    assert tokens[:, -1].eq(0).all()


def small_tiny(timesteps=0):
    torch.manual_seed(0)
    towers = {"picture": Tower(32, 2, 2), "text": Tower(32, 2, 2), "eyes": False}
    return CLIP(replace(small_config(timesteps), **towers))


def test_the_loss_ignores_what_also_fits():
    net, pictures = small_tiny().eval(), torch.randn(3, 3, 64, 64)
    tokens = net.tokens(["a red flower", "a flower", "a blue bird"])
    also = torch.zeros(3, 3, dtype=torch.bool)
    also[1, 0] = True  # "a flower" is true of the first picture, too
    scores = net.similarity(pictures, tokens)
    rows, columns = scores.clone(), scores.T.clone()
    rows[1, 0] = columns[0, 1] = -1e9
    expected = -(rows.log_softmax(1).diagonal() + columns.log_softmax(1).diagonal()).mean() / 2
    torch.testing.assert_close(net.loss(pictures, tokens, also), expected)
    assert net.loss(pictures, tokens, also) < net.loss(pictures, tokens)


def test_a_noisy_clip_is_told_how_noisy_a_picture_is():
    net, pictures = small_tiny(timesteps=10).eval(), torch.randn(2, 3, 64, 64)
    early, late = (net.picture(pictures, torch.full((2,), t)) for t in (0, 9))
    assert (early - late).abs().amax(1).min() > 1e-3
    mixed = net.picture(pictures, torch.tensor([0, 9]))
    torch.testing.assert_close(mixed, torch.stack([early[0], late[1]]))
    for clip, t in ((net, None), (small_tiny(), torch.zeros(2, dtype=torch.long))):
        with pytest.raises(ValueError, match="needs the timesteps"):
            clip.picture(pictures, t)


def test_the_noisy_clip_sees_pictures_as_large_as_those_that_it_guides():
    from t2i_course.diffusion.small import SMALL

    assert SMALL["ddpm"].size == clip_module.small_config().size
    assert len(SMALL["ddpm"].process.alpha_bar) == clip_module.SHIPPED["noisy"][1]


def test_noise_follows_the_schedule_of_the_small_ddpm():
    """At the first timestep a picture is hardly touched, at the last nothing of it is left, and between as it says."""
    pictures, eps = torch.ones(3, 3, 64, 64), torch.full((3, 3, 64, 64), 0.5)
    first, half, last = noised(pictures, torch.tensor([0, 500, 999]), eps)
    kept = cosine(1000, shift=2.0)[500].item()
    torch.testing.assert_close(half, torch.full((3, 64, 64), kept**0.5 + 0.5 * (1 - kept) ** 0.5))
    torch.testing.assert_close(first, torch.ones(3, 64, 64), atol=0.02, rtol=0)
    torch.testing.assert_close(last, eps[0], atol=0.02, rtol=0)


def test_noisy_clip_begins_as_the_clean_one():
    clean, noisy = CLIP.load("small"), clip_module.recipe("noisy_clip").build().eval()
    pictures, tokens = torch.randn(2, 3, 64, 64), clean.tokens(["a red flower", "a bird"])
    torch.testing.assert_close(
        noisy.similarity(pictures, tokens, torch.tensor([3, 700])), clean.similarity(pictures, tokens)
    )
    trained = {name.split(".")[0] for name, p in noisy.named_parameters() if p.requires_grad}
    assert trained == {"picture", "log_scale"}


def test_the_small_clip_looks_with_the_worlds_cnn_which_stays_as_it_is():
    model, trunk = clip_module.recipe().build(), load_trunk()
    optimiser = clip_module.recipe().optimisers(model)["model"]
    (batch,) = worlds.load("flowers").batches("val", 64, 4, n=4, shuffle=False)
    seen = model.picture.patches.project(regions(*trunk(batch.pictures)))
    torch.testing.assert_close(model.picture.patches(prepared(batch.pictures, 64)), seen)

    model.train()
    before = {name: value.clone() for name, value in model.picture.patches.state_dict().items()}
    model.loss(prepared(batch.pictures, 64), model.tokens(batch.captions)).backward()
    optimiser.step()
    changed = {name for name, value in model.picture.patches.state_dict().items() if not value.equal(before[name])}
    assert changed == {"project.weight"}


def test_batches_take_turns_and_go_on_where_a_run_stopped():
    stream = clip_module._batches(seed=1, start=0, batch_size=6, n=12)
    seen = [next(stream) for _ in range(10)]
    kinds = [{"petal_count": "flowers", "bill": "birds", "time": "scenes"} for _ in seen]
    of = [[next(w for k, w in kind.items() if k in t) for t in b.truth] for kind, b in zip(kinds, seen, strict=True)]
    one_world = [[name] * 6 for name in worlds.NAMES]
    mixed = [name for name in worlds.NAMES for _ in range(2)]
    assert of == [*one_world, mixed, *one_world, mixed, *one_world[:2]]
    for start in (1, 4, 7):
        again = next(clip_module._batches(seed=1, start=start, batch_size=6, n=12))
        assert again.captions == seen[start].captions
        assert torch.equal(again.pictures, seen[start].pictures)


def test_a_few_steps_of_the_recipe_bring_the_loss_down():
    torch.manual_seed(0)
    recipe, net = clip_module.recipe(), small_tiny().train()
    optimiser = recipe.optimisers(net)["model"]
    batch, values = next(clip_module._batches(0, 3, batch_size=12, n=12)), []
    for _ in range(25):
        ((_, terms),) = recipe.losses(net, batch)
        optimiser.zero_grad()
        terms["loss"].backward()
        optimiser.step()
        values.append(terms["loss"].item())
    assert values[-1] < 0.5 * values[0]


def test_recall_of_a_perfect_and_of_a_blind_model():
    torch.manual_seed(0)
    eye = torch.eye(200, dtype=torch.bool)
    assert recall_at_1(eye.float(), eye) == (1, 1)
    assert max(recall_at_1(torch.randn(200, 200), eye)) < 0.1
    one_way = torch.zeros(4, 4)
    one_way[:, 0] = 1  # every caption finds picture 0, which finds the first caption
    assert recall_at_1(one_way, torch.eye(4, dtype=torch.bool), 4) == (0.25, 0.25)
    with pytest.raises(ValueError, match="do not fill a shelf of 100"):
        recall_at_1(torch.zeros(99, 99), torch.zeros(99, 99, dtype=torch.bool))


def test_the_shipped_model_sees_as_well_as_recorded():
    """On pictures and captions that neither its training nor its record has seen."""
    recorded = json.loads((WEIGHTS / "clip.json").read_text())["metrics"]
    model = CLIP.load()
    assert not any(p.requires_grad for p in model.parameters())
    measured = measure(model, "test", 100)
    for name, bound in {"flowers": 0.75, "birds": 0.62, "scenes": 0.57}.items():
        assert recorded[f"zero-shot.{name}"] > bound
        assert measured[f"zero-shot.{name}"] > recorded[f"zero-shot.{name}"] - 0.08
        for way in ("picture", "caption"):
            assert measured[f"R@1.{name}.{way}"] > recorded[f"R@1.{name}.{way}"] - 0.25  # of a hundred


def test_the_noisy_model_sees_where_the_clean_one_is_blind():
    recorded = json.loads((WEIGHTS / "noisy_clip.json").read_text())["metrics"]
    by_level = [recorded[f"zero-shot.flowers.t{t}"] for t in (0, 250, 500, 750)]
    assert by_level == sorted(by_level, reverse=True)
    (batch,) = worlds.load("flowers").batches("test", 64, 100, n=100, shuffle=False)
    t = torch.full((100,), 500)
    x_t = prepared(noised(batch.pictures, t, torch.randn(100, 3, 64, 64, generator=torch.manual_seed(0))), 64)
    clean, noisy, colors = CLIP.load("small"), CLIP.load("noisy"), worlds.load("flowers").attributes["color"]
    words = clean.text(clean.tokens([f"a {color} flower" for color in colors]))
    right = torch.tensor([colors.index(truth["color"]) for truth in batch.truth])
    shares = [
        (compare(words, seen, clean.log_scale).argmax(0) == right).float().mean()
        for seen in (clean.picture(x_t), noisy.picture(x_t, t))
    ]
    assert shares[1] > 0.5
    assert shares[1] > shares[0] + 0.1


def test_loading(tmp_path):
    with pytest.raises(ValueError, match=r"There is no file .*nothing\.safetensors\. Train it: t2i train noisy_clip"):
        CLIP.load("noisy", tmp_path / "nothing.safetensors")
    save_file({"x": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match="another network"):
        CLIP.load("small", tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match="There is no CLIP 'huge'. There are: small, noisy, vit_b_32"):
        CLIP.load("huge")
    with pytest.raises(ValueError, match="weights of vit_b_32 do not ship"):
        CLIP.load("vit_b_32")
