"""AttnGAN's published files: names, shapes, outputs of the original code, and files that are something else."""

import json
import pickle
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from t2i_course.gan import attngan, damsm
from t2i_course.gan.attngan import VARIANTS, AttnGAN, Generator
from t2i_course.gan.damsm import PictureEncoder, matching_loss, word_attention, word_scores
from t2i_course.gan.parts import Discriminator
from t2i_course.published import attngan as published
from t2i_course.text import word_rnn
from t2i_course.text.word_rnn import WordRNN

GOLDEN = Path(__file__).parents[1] / "golden"
KEYS = json.loads((GOLDEN / "attngan_keys.json").read_text())
TINY = replace(VARIANTS["bird"], z_dim=20, condition_dim=24, text_dim=32, generator_width=8, discriminator_width=4)


def ours_and_theirs(build, convert, keys, counted):
    with torch.device("meta"):
        net = build()
    state = {name: torch.empty(shape, device="meta") for name, shape in keys.items()}
    if not counted:
        state = {name: t for name, t in state.items() if "num_batches_tracked" not in name}
    return [{name: list(t.shape) for name, t in s.items()} for s in (net.state_dict(), convert(state))]


@pytest.mark.parametrize("counted", [True, False], ids=["with counters", "as PyTorch 0.3 wrote it"])
@pytest.mark.parametrize("variant", ["bird", "coco"])
def test_every_published_name_has_its_place(variant, counted):
    config, looks = VARIANTS[variant], damsm.VARIANTS[variant]
    ours, theirs = ours_and_theirs(
        lambda: Generator(config), published.convert_generator, KEYS[f"{variant}-G"], counted
    )
    assert ours == theirs
    for stage, size in enumerate(config.sizes):
        ours, theirs = ours_and_theirs(
            lambda size=size: Discriminator(size, config.discriminator_width, config.text_dim),
            published.convert_discriminator,
            KEYS[f"{variant}-netD{stage}"],
            counted,
        )
        assert ours == theirs
    ours, theirs = ours_and_theirs(
        lambda: WordRNN(word_rnn.Config(looks.words)),
        published.convert_text_encoder,
        KEYS[f"{variant}-text_encoder"],
        counted,
    )
    assert ours == theirs
    ours, theirs = ours_and_theirs(
        lambda: PictureEncoder(looks), published.convert_image_encoder, KEYS["image_encoder"], counted
    )
    assert ours == theirs


@pytest.mark.parametrize(
    ("variant", "generator", "discriminators"),
    [
        ("bird", 7_084_592, (6_313_730, 19_424_002, 71_858_946)),
        ("coco", 13_811_456, (13_304_450, 42_800_258, 160_774_274)),
    ],
)
def test_published_sizes(variant, generator, discriminators):
    with torch.device("meta"):
        net = attngan.build(VARIANTS[variant])
    assert sum(p.numel() for p in net["generator"].parameters()) == generator
    assert tuple(sum(p.numel() for p in d.parameters()) for d in net["discriminators"]) == discriminators


def golden(name, folder):
    """The golden tensors, and a file with their weights."""
    tensors = load_file(GOLDEN / f"attngan_{name}.safetensors")
    file = folder / f"{name}.pth"
    torch.save({k.removeprefix("weights/"): t for k, t in tensors.items() if k.startswith("weights/")}, file)
    return tensors, file


def golden_pictures(folder, tiled=False, captions=slice(0, 2)):
    """The golden tensors, and what our generator makes of their weights and inputs."""
    tensors, file = golden("bird_generator", folder)
    words, mask = tensors["in/words_emb"].transpose(1, 2), ~tensors["in/mask"].bool()
    z, eps, sentence = (tensors[f"in/{name}"] for name in ("z", "eps", "sent_emb"))
    net = published.load_generator(file, TINY, tiled)
    return tensors, net(*(x[captions] for x in (z, eps, words, sentence, mask)))


def test_the_generator_draws_what_the_original_code_draws(tmp_path):
    """The original tiles the word mask wrongly where a batch holds more than one caption; alone, each is right."""
    tensors, out = golden_pictures(tmp_path)
    torch.testing.assert_close(out["pictures"][0], tensors["out/image64"], atol=2e-5, rtol=0)
    for name in ("mu", "logvar"):
        torch.testing.assert_close(out[name], tensors[f"out/{name}"], atol=3e-5, rtol=0)
    for stage in (0, 1):
        right = tensors[f"out/single_image{TINY.sizes[stage]}"]
        torch.testing.assert_close(out["pictures"][stage][1:], right, atol=3e-5, rtol=0)


def test_with_its_mistake_a_batch_is_as_the_original_code_draws_it(tmp_path):
    tensors, out = golden_pictures(tmp_path, tiled=True)
    torch.testing.assert_close(out["attention"][0], tensors["out/attention64"], atol=2e-5, rtol=0)
    for picture, size, atol in zip(out["pictures"], TINY.sizes, (2e-5, 3.1e-5, 5.6e-5), strict=True):
        torch.testing.assert_close(picture, tensors[f"out/image{size}"], atol=atol, rtol=0)


def test_the_mistake_changes_batches_and_no_caption_that_is_alone(tmp_path):
    (_, right), (_, wrong) = golden_pictures(tmp_path), golden_pictures(tmp_path, tiled=True)
    for ours, theirs in zip(right["pictures"][1:], wrong["pictures"][1:], strict=True):
        assert not torch.allclose(ours, theirs, atol=1e-2)
    for b in (0, 1):
        _, alone = golden_pictures(tmp_path, tiled=True, captions=slice(b, b + 1))
        for ours, theirs in zip(right["pictures"], alone["pictures"], strict=True):
            torch.testing.assert_close(ours[b : b + 1], theirs, atol=2e-5, rtol=0)


def test_the_text_encoder_reads_as_the_original_code(tmp_path):
    tensors, file = golden("text_encoder", tmp_path)
    text = published.load_text_encoder(file, word_rnn.Config(60, embedding=40, dim=32))
    words, sentence = text(tensors["in/captions"], tensors["in/lengths"])
    torch.testing.assert_close(words.transpose(1, 2), tensors["out/words_emb"], atol=2e-5, rtol=0)
    torch.testing.assert_close(sentence, tensors["out/sent_emb"], atol=2e-5, rtol=0)


def test_damsm_losses_are_those_of_the_original_code():
    tensors = load_file(GOLDEN / "attngan_damsm_losses.safetensors")
    regions = tensors["in/region_features"].flatten(2).transpose(1, 2)
    words, lengths = tensors["in/words_emb"].transpose(1, 2), tensors["in/lengths"]
    mask = torch.arange(words.shape[1]) < lengths[:, None]
    ids = tensors["in/class_ids"]
    same = (ids[:, None] == ids[None]).fill_diagonal_(False)
    scores = 10 * word_scores(words, regions, mask, 4.0, 5.0)  # (captions, pictures)
    both = (tensors["out/w_loss0"] + tensors["out/w_loss1"]).squeeze()
    torch.testing.assert_close(matching_loss(scores, same), both, atol=2e-4, rtol=0)
    code, sentence = tensors["in/image_code"], tensors["in/sent_emb"]
    cosine = torch.nn.functional.cosine_similarity(sentence[:, None], code[None], dim=-1)
    both = (tensors["out/s_loss0"] + tensors["out/s_loss1"]).squeeze()
    torch.testing.assert_close(matching_loss(10 * cosine, same), both, atol=2e-4, rtol=0)
    for i in (0, 2):
        n = int(lengths[i])
        looks = word_attention(words[i, :n], regions[i], mask[i, :n], 4.0).view(1, n, 5, 5)
        torch.testing.assert_close(looks, tensors[f"out/attention{i}"], atol=2e-5, rtol=0)


class Hostile:
    def __reduce__(self):
        return print, ("this must never run",)


def test_files_that_are_something_else(tmp_path, capsys):
    _, file = golden("text_encoder", tmp_path)
    with pytest.raises(ValueError, match="another network"):
        published.load_generator(file, TINY)
    with pytest.raises(ValueError, match="another network"):
        published.load_text_encoder(file, word_rnn.Config(61, embedding=40, dim=32))
    (tmp_path / "cut.pth").write_bytes(file.read_bytes()[:3000])
    (tmp_path / "hostile.pth").write_bytes(pickle.dumps(Hostile()))
    for name in ("cut.pth", "hostile.pth"):
        with pytest.raises(ValueError, match=f"{name} cannot be read"):
            published.load_discriminator(tmp_path / name, 0)
    assert "never" not in capsys.readouterr().out


def test_a_published_folder_must_hold_the_words_as_text(tmp_path):
    with pytest.raises(ValueError, match="do not ship"):
        AttnGAN.load("bird")
    with pytest.raises(ValueError, match=r"words\.txt cannot be read.*A pickle can run code"):
        AttnGAN.load("bird", tmp_path)
    (tmp_path / "words.txt").write_text("<end>\nbird\n")
    with pytest.raises(ValueError, match=r"has 2 lines, not 5,450"):
        AttnGAN.load("bird", tmp_path)


@pytest.mark.slow
def test_a_published_folder_draws(tmp_path):
    """Random weights in the published format: a caption becomes a picture of 256x256."""
    torch.manual_seed(0)
    for file, keys in {"generator": KEYS["bird-G"], "text_encoder": KEYS["bird-text_encoder"]}.items():
        torch.save(
            {k: torch.rand(shape) if shape else torch.tensor(0) for k, shape in keys.items()}, tmp_path / f"{file}.pth"
        )
    (tmp_path / "words.txt").write_text("\n".join(["<end>", "red", "bird", "5", *(f"word{i}" for i in range(5_446))]))
    system = AttnGAN.load("bird", tmp_path)
    assert system.draw(["red bird"]).shape == (1, 3, 256, 256)
    assert system.explain(["Red, 5 red-bird"])["words"] == [["red", "5", "red", "bird"]]  # no comma is in the file
    assert [a.shape[1:] for a in system.explain(["red bird"])["attention"]] == [(2, 64, 64), (2, 128, 128)]
