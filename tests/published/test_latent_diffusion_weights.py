"""Whole systems of latent diffusion: from one file, from a folder, and what is said of wrong ones."""

import json
from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

from t2i_course.diffusion.latent_diffusion import LatentDiffusion
from t2i_course.published import PRECISIONS
from t2i_course.published import latent_diffusion as published
from t2i_course.text.clip import tokenize

from ..parity.test_autoencoder import BLOCKS
from ..parity.test_unet import conditional, restless

diffusers = pytest.importorskip("diffusers")
WORDS = 49408


@pytest.fixture
def tiny(monkeypatch):
    """Published variants at a tiny size, and a tiny system of diffusers."""
    from transformers import CLIPTextConfig, CLIPTextModel

    from t2i_course.codec.autoencoder import Config as AutoencoderConfig
    from t2i_course.nn.unet import Config
    from t2i_course.text.clip import Config as ClipConfig
    from t2i_course.text.clip import Tower

    config = Config(32, (1, 2, 2), 1, (0, 1), 4, 4, heads=8, context_dim=40, scale_shift=False, resample="conv")
    monkeypatch.setitem(published.UNETS, "sd_1", config)
    monkeypatch.setitem(published.AUTOENCODERS, "kl_f8", AutoencoderConfig(4, (1, 2, 2), dim=32, blocks=1))
    monkeypatch.setitem(published.CLIPS, "vit_l_14", ClipConfig(16, Tower(32, 1, 1), Tower(40, 2, 2), 8, size=32))
    monkeypatch.setitem(published.VARIANTS, "sd_1", replace(published.VARIANTS["sd_1"], size=64))
    text = CLIPTextModel(
        CLIPTextConfig(
            hidden_size=40, intermediate_size=160, num_hidden_layers=2, num_attention_heads=2, vocab_size=WORDS
        )
    )
    return {
        "unet": conditional(),
        "vae": restless(diffusers.AutoencoderKL(**BLOCKS)),
        "text_encoder": restless(text),
    }


def write(folder, parts):
    for name, net in parts.items():
        (folder / name).mkdir(parents=True)
        file = "model" if name == "text_encoder" else "diffusion_pytorch_model"
        save_file({k: t.contiguous() for k, t in net.state_dict().items()}, folder / name / f"{file}.safetensors")


def test_a_folder_of_diffusers(tiny, tmp_path):
    write(tmp_path / "sd", tiny)
    system = published.load(tmp_path / "sd", "sd_1")
    captions = ["a small blue bird", ""]
    with torch.no_grad():
        expected = tiny["text_encoder"](tokenize(captions, pad=49407)).last_hidden_state
        torch.testing.assert_close(system.read(captions), expected, atol=1e-4, rtol=1e-4)
    assert system.draw(captions[:1], steps=2).shape == (1, 3, 64, 64)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_precision_of_all_networks(tiny, tmp_path, precision):
    write(tmp_path / "sd", tiny)
    exact = LatentDiffusion.load("sd_1", tmp_path / "sd").draw(["a (small:1.5) bird"], steps=3)
    system = LatentDiffusion.load("sd_1", tmp_path / "sd", precision=precision)
    dtypes = {p.dtype for net in (system.unet, system.autoencoder, system.read.module) for p in net.parameters()}
    assert dtypes == {PRECISIONS[precision]}
    picture = system.draw(["a (small:1.5) bird"], steps=3)
    assert picture.dtype == torch.float32
    assert exact.std() > 0.1
    torch.testing.assert_close(picture, exact, atol={"fp32": 0.0, "bf16": 0.1, "fp16": 0.02}[precision], rtol=0)


def test_a_folder_of_stable_diffusion_2_lacks_the_block_that_is_left_out(tiny, tmp_path, monkeypatch):
    monkeypatch.setitem(published.UNETS, "sd_2", published.UNETS["sd_1"])
    monkeypatch.setitem(published.CLIPS, "vit_h_14", replace(published.CLIPS["vit_l_14"], quick=True))
    text, shallow = tiny["text_encoder"], deepcopy(tiny["text_encoder"])
    del shallow.encoder.layers[-1]
    write(tmp_path / "sd", tiny | {"text_encoder": shallow})
    system, captions = published.load(tmp_path / "sd", "sd_2_base"), ["a small blue bird"]
    with torch.no_grad():
        states = text(tokenize(captions), output_hidden_states=True).hidden_states
        norm = getattr(text, "text_model", text).final_layer_norm
        torch.testing.assert_close(system.read(captions), norm(states[-2]), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("variant", "said", "right"),
    [("sd_2", "epsilon", "sd_2_base"), ("sd_2", None, "sd_2_base"), ("sd_2_base", "v_prediction", "sd_2")],
)
def test_weights_that_look_the_same_but_predict_something_else(tiny, tmp_path, monkeypatch, variant, said, right):
    monkeypatch.setitem(published.UNETS, "sd_2", published.UNETS["sd_1"])
    monkeypatch.setitem(published.CLIPS, "vit_h_14", replace(published.CLIPS["vit_l_14"], quick=True))
    del tiny["text_encoder"].encoder.layers[-1]
    write(tmp_path, tiny)
    for name in (variant, right):  # without a scheduler, a folder is believed
        assert published.load(tmp_path, name).process.predicts == published.VARIANTS[name].predicts
    (tmp_path / "scheduler").mkdir()
    file = tmp_path / "scheduler" / "scheduler_config.json"
    file.write_text(json.dumps({"num_train_timesteps": 1000} | ({"prediction_type": said} if said else {})))
    with pytest.raises(ValueError, match=f"This is '{right}': ask for that variant"):
        published.load(tmp_path, variant)
    assert published.load(tmp_path, right).process.predicts == published.VARIANTS[right].predicts


def test_a_scheduler_that_fits_no_variant(tmp_path):
    (tmp_path / "scheduler").mkdir()
    file = tmp_path / "scheduler" / "scheduler_config.json"
    file.write_text('{"prediction_type": "v_prediction"}')
    with pytest.raises(ValueError, match="'v_prediction', but the U-Net of 'sd_1' predicts eps. There is no such"):
        published.load(tmp_path, "sd_1")
    for text in ("not json", "[]", '{"prediction_type": "x"}', '{"prediction_type": []}'):
        file.write_text(text)
        with pytest.raises(ValueError, match=r"scheduler_config\.json cannot be read as the settings of a scheduler"):
            published.load(tmp_path, "sd_1")


def test_clear_errors(tiny, tmp_path):
    with pytest.raises(ValueError, match="There is no latent diffusion 'sd_3'. There are: ldm_text, sd_1"):
        published.load(tmp_path, "sd_3")
    with pytest.raises(ValueError, match="There is no precision 'half'. There are: fp32, bf16, fp16"):
        published.load(tmp_path, precision="half")
    with pytest.raises(ValueError, match="sd_1 needs weights=PATH"):
        published.load(None)
    with pytest.raises(ValueError, match=r"There is no file .*nowhere\.safetensors\. It must hold 'sd_1'"):
        published.load(tmp_path / "nowhere.safetensors")
    with pytest.raises(ValueError, match=r"There is no file of weights in .*unet\. It must hold 'sd_1'"):
        published.load(tmp_path)
    with pytest.raises(ValueError, match="give vocabulary=FILE"):
        published.load(tmp_path, "ldm_text")
    with pytest.raises(ValueError, match="sd_1 takes no vocabulary"):
        published.load(tmp_path, "sd_1", tmp_path / "vocab.txt")
    write(tmp_path / "sd", tiny | {"vae": tiny["unet"]})
    with pytest.raises(
        ValueError, match=r"holds the weights of another network \(.*\)\. Of its vae: It must hold 'sd_1'"
    ):
        published.load(tmp_path / "sd")
    (tmp_path / "broken.ckpt").write_bytes(b"not weights")
    with pytest.raises(ValueError, match=r"broken\.ckpt cannot be read as a file of weights"):
        published.load(tmp_path / "broken.ckpt")
