"""DAMSM: its attention and losses written down once more, what is frozen, retrieval, and how it is trained."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import nn

from t2i_course import worlds
from t2i_course.gan import damsm
from t2i_course.gan.damsm import (
    DAMSM,
    VARIANTS,
    Config,
    InceptionEyes,
    also_fits,
    matching_loss,
    r_precision,
    read,
    small_config,
    word_attention,
    word_scores,
)
from t2i_course.text.words import vocabulary
from t2i_course.worlds.base import to_float

TINY = Config(1 + len(vocabulary(*damsm.WORLDS)), dim=16, eyes="world_cnn")
CAPTIONS = ["a red flower", "this bird has a long bill and a white belly", "a flower with five yellow petals"]


def some_words_and_regions():
    torch.manual_seed(0)
    mask = torch.tensor([[True] * 5, [True] * 3 + [False] * 2])
    return torch.randn(2, 5, 8), torch.randn(3, 6, 8), mask


def score_of_one_pair(e, v, gamma_1, gamma_2):
    """Equations 7 to 10 of the paper for one caption (T, D) and one picture (N, D), number by number."""
    T, N = len(e), len(v)
    s = [[float(e[i] @ v[j]) for j in range(N)] for i in range(T)]
    over_words = [[math.exp(s[i][j]) / sum(math.exp(s[k][j]) for k in range(T)) for j in range(N)] for i in range(T)]
    total = 0.0
    for i in range(T):
        weights = [math.exp(gamma_1 * over_words[i][j]) for j in range(N)]
        c = sum(weights[j] / sum(weights) * v[j] for j in range(N))
        total += math.exp(gamma_2 * float(F.cosine_similarity(c, e[i], dim=0)))
    return math.log(total)


def test_word_scores_are_equations_7_to_10():
    words, regions, mask = some_words_and_regions()
    scores = word_scores(words, regions, mask, 4.0, 5.0)
    assert scores.shape == (2, 3)
    for b in range(2):
        for p in range(3):
            assert scores[b, p].item() == pytest.approx(
                score_of_one_pair(words[b][mask[b]], regions[p], 4, 5), rel=1e-5
            )


def test_padding_never_matters():
    words, regions, mask = some_words_and_regions()
    scores = word_scores(words, regions, mask, 4.0, 5.0)
    words[~mask] = 1e3
    torch.testing.assert_close(word_scores(words, regions, mask, 4.0, 5.0), scores)
    looks = word_attention(words[1], regions[0], mask[1], 4.0)
    torch.testing.assert_close(looks[:3], word_attention(words[1, :3], regions[0], mask[1, :3], 4.0))
    torch.testing.assert_close(looks.sum(-1), torch.ones(5))


def test_the_matching_loss_is_the_negative_log_posterior_both_ways():
    """Equations 11 and 12; what also fits stands in no denominator."""
    scores = torch.tensor([[2.0, 0.5, -1.0], [0.0, 1.0, 3.0], [1.5, -0.5, 0.2]])
    same = torch.zeros(3, 3, dtype=torch.bool)
    same[1, 2] = True
    total = 0.0
    for i in range(3):
        for line in (
            [scores[i, j].item() for j in range(3) if not same[i, j]],
            [scores[j, i].item() for j in range(3) if not same[j, i]],
        ):
            total -= math.log(math.exp(scores[i, i]) / sum(map(math.exp, line))) / 3
    assert matching_loss(scores, same).item() == pytest.approx(total, rel=1e-5)


def test_a_caption_that_is_true_of_another_picture_is_no_mistake():
    facts = [{"color": "red"}, {"color": "red", "leaves": "none"}, {"color": "blue"}]
    truth = [{"color": "red", "leaves": "two"}, {"color": "red", "leaves": "none"}, {"color": "blue", "leaves": "none"}]
    batch = worlds.Batch(torch.zeros(3, 3, 8, 8), ["a", "b", "c"], facts, truth)
    assert also_fits(batch).tolist() == [[False, True, False], [False, False, False], [False, False, False]]


@pytest.mark.parametrize("variant", ["bird", "coco"])
def test_published_sizes(variant):
    with torch.device("meta"):
        model = DAMSM(VARIANTS[variant])
    counts = {name: sum(p.numel() for p in m.parameters()) for name, m in model.named_children()}
    assert counts == {"text": {"bird": 2_075_320, "coco": 8_629_420}[variant], "pictures": 22_506_720}


@pytest.mark.slow
def test_inception_eyes_are_torchvisions_inception():
    """What its own forward pass gives where ours splits it, for pictures that need no resizing."""
    from torchvision.models import inception_v3

    torch.manual_seed(0)
    theirs = inception_v3(weights=None, aux_logits=False, transform_input=False, init_weights=False).eval()
    eyes = InceptionEyes().eval()
    names = {name.split(".", 1)[1]: name for name in eyes.state_dict()}
    eyes.load_state_dict({names[k]: t for k, t in theirs.state_dict().items() if k in names})
    seen = {}
    theirs.Mixed_6e.register_forward_hook(lambda module, inputs, out: seen.update(regions=out))
    theirs.avgpool.register_forward_hook(lambda module, inputs, out: seen.update(whole=out.flatten(1)))
    pictures = torch.randn(1, 3, 299, 299)
    with torch.no_grad():
        theirs(pictures)
        regions, whole = eyes(pictures)
    assert regions.shape == (1, 768, 17, 17)
    torch.testing.assert_close(regions, seen["regions"])
    torch.testing.assert_close(whole, seen["whole"], atol=1e-5, rtol=1e-4)


def test_only_what_should_learn_learns():
    torch.manual_seed(0)
    model = DAMSM(TINY).train()
    before = {name: t.clone() for name, t in model.pictures.eyes.state_dict().items()}
    words, sentences, mask = read(model.text, CAPTIONS, vocabulary(*damsm.WORLDS))
    terms = model.losses(torch.randn(3, 3, 64, 64), words, sentences, mask, torch.zeros(3, 3, dtype=torch.bool))
    sum(terms.values()).backward()
    for name, p in model.named_parameters():
        assert (p.grad is None) == name.startswith("pictures.eyes."), name
        assert p.grad is None or p.grad.any(), name
    assert all(torch.equal(t, before[name]) for name, t in model.pictures.eyes.state_dict().items())


def full_size(variant):
    """A DAMSM of the published size with untrained weights, whose eyes let something through: as torch starts
    Inception, without batch norm's own statistics each layer makes what it sees weaker, and all is dark in the end."""
    model = DAMSM(VARIANTS[variant])
    for layer in model.pictures.eyes.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    return model


@pytest.mark.slow
def test_one_training_step_at_full_size():
    torch.manual_seed(0)
    model = full_size("bird").train()
    before = {name: t.clone() for name, t in model.state_dict().items()}
    optimiser = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], 2e-3, (0.5, 0.999))
    tokens, lengths = torch.randint(1, model.config.words, (2, 9)), torch.tensor([9, 7])
    words, sentences = model.text(tokens, lengths)
    mask, same = torch.arange(9) < lengths[:, None], torch.zeros(2, 2, dtype=torch.bool)
    terms = model.losses(torch.randn(2, 3, 256, 256), words, sentences, mask, same)
    sum(terms.values()).backward()
    optimiser.step()
    assert all(torch.isfinite(value) for value in terms.values())
    for name, t in model.state_dict().items():
        assert torch.equal(t, before[name]) == name.startswith("pictures.eyes."), name


def test_its_gradient_reaches_the_pixels_at_any_size():
    """What AttnGAN's generator is led by."""
    torch.manual_seed(0)
    model = DAMSM(TINY).requires_grad_(False).eval()
    words, sentences, mask = read(model.text, CAPTIONS, vocabulary(*damsm.WORLDS))
    pictures = torch.randn(3, 3, 128, 128, requires_grad=True)
    same = torch.zeros(3, 3, dtype=torch.bool)
    sum(model.losses(pictures, words, sentences, mask, same).values()).backward()
    assert pictures.grad.flatten(1).any(1).all()


def test_r_precision_of_a_perfect_and_of_a_blind_model():
    torch.manual_seed(0)
    n = 150
    vectors, fits = torch.randn(n, 64), torch.eye(n, dtype=torch.bool)
    assert r_precision(vectors, vectors, fits) == 1
    assert r_precision(torch.randn(n, 64), vectors, fits) < 0.1
    assert r_precision(torch.randn(n, 64), vectors, torch.ones(n, n, dtype=torch.bool)) == 1
    with pytest.raises(ValueError, match="20 captions are too few for R-precision out of 100"):
        r_precision(vectors[:20], vectors[:20], fits[:20, :20])


def test_a_few_steps_of_the_recipe_bring_the_loss_down():
    torch.manual_seed(0)
    recipe = damsm.recipe()
    model = recipe.build().train()
    optimiser = recipe.optimisers(model)["model"]
    batch, values = next(worlds.mixed_batches(damsm.WORLDS, "train", 64, 16, n=8)), []
    for _ in range(12):
        ((_, terms),) = recipe.losses(model, batch)
        optimiser.zero_grad()
        terms["loss"].backward()
        optimiser.step()
        values.append(terms["loss"].item())
    assert values[-1] < 0.8 * values[0]


def test_the_shipped_model_finds_pictures_as_well_as_recorded():
    record = json.loads((Path(__file__).parents[2] / "data" / "weights" / "damsm.json").read_text())
    model = DAMSM.load()
    for world in damsm.WORLDS:
        recorded = record["metrics"][f"R-precision.{world}"]
        assert recorded > 0.5
        batch = next(worlds.load(world).batches("test", 64, 120, n=120, shuffle=False))
        with torch.no_grad():
            _, sentences, _ = read(model.text, batch.captions, vocabulary(*damsm.WORLDS))
            whole = model.pictures(batch.pictures)[1]
        assert r_precision(sentences, whole, batch.fits()) > recorded - 0.15


def test_the_shipped_model_looks_where_a_word_tells_it_to():
    """Of flowers whose centre alone is red, "red" looks at the centre; the words around it look anywhere."""
    model, flowers = DAMSM.load(), worlds.load("flowers")
    assert all(not p.requires_grad for p in model.parameters())
    words, _, mask = read(model.text, ["a flower with a red centre"], vocabulary(*damsm.WORLDS))
    specs = [flowers.spec("val", i) for i in range(600)]
    red = [s for s in specs if (s.center_color, s.arrangement) == ("red", "open")]
    chosen = [s for s in red if "red" not in (s.color, s.second_color)]
    regions, _ = model.pictures(to_float(np.stack([flowers.render(s, 64) for s in chosen[:20]])))
    looks = torch.stack([word_attention(words[0], seen, mask[0], model.config.gamma_1) for seen in regions])
    assert looks.shape == (20, 6, 64)
    in_the_middle = looks.mean(0).unflatten(-1, (8, 8))[:, 2:5, 3:6].sum((1, 2))  # nine of 64 places
    assert in_the_middle[4] > 3 * 9 / 64
    assert (in_the_middle[[0, 2, 3]] - 9 / 64).abs().max() < 0.03


def test_clear_errors(tmp_path):
    with pytest.raises(ValueError, match=r"There is no file .*nothing\.safetensors.*t2i train damsm"):
        DAMSM.load(tmp_path / "nothing.safetensors")
    save_file({"x": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match="another network"):
        DAMSM.load(tmp_path / "other.safetensors")
    with pytest.raises(worlds.UnknownWord, match="'blurple'"):
        read(DAMSM(TINY).text, ["a blurple flower"], vocabulary(*damsm.WORLDS))
    assert replace(small_config(), dim=16) == TINY
