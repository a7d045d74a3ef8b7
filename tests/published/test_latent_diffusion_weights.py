"""Whole systems of latent diffusion: from one file, from a folder, and what is said of wrong ones."""

import json
import sys
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


@pytest.fixture
def imagenet(tiny, tmp_path, monkeypatch):
    """A tiny model of ImageNet in one file, and its parts: U-Net and VQ autoencoder of diffusers, and an embedding."""
    from t2i_course.codec.autoencoder import Config as AutoencoderConfig

    torch.manual_seed(0)
    monkeypatch.setitem(published.UNETS, "ldm_imagenet", published.UNETS["sd_1"])
    vq = AutoencoderConfig(4, (1, 2, 2), dim=32, blocks=1, codes=24)
    monkeypatch.setitem(published.AUTOENCODERS, "vq_f4", vq)
    monkeypatch.setitem(published.VARIANTS, "ldm_imagenet", replace(published.VARIANTS["ldm_imagenet"], size=64))
    vae, embedding = restless(diffusers.VQModel(**BLOCKS, num_vq_embeddings=24)), torch.randn(1001, 40)
    named = {"model.diffusion_model.": tiny["unet"], "first_stage_model.": vae}
    state = {prefix + name: t for prefix, net in named.items() for name, t in net.state_dict().items()}
    state["cond_stage_model.embedding.weight"] = embedding
    save_file({name: t.contiguous() for name, t in state.items()}, tmp_path / "imagenet.safetensors")
    return tmp_path / "imagenet.safetensors", tiny["unet"], vae, embedding


@torch.no_grad()
def test_classes_of_imagenet_are_drawn_as_the_schedulers_of_diffusers_draw_them(imagenet):
    file, unet, vae, embedding = imagenet
    system = LatentDiffusion.load("ldm_imagenet", file, device="cpu")
    expected = system._noise(2, 3, 64)
    beta = {"beta_start": 0.0015, "beta_end": 0.0195, "beta_schedule": "scaled_linear"}
    scheduler = diffusers.DDIMScheduler(**beta, clip_sample=False, set_alpha_to_one=False, steps_offset=1)
    scheduler.set_timesteps(8)
    told = embedding[[1, 388, 1000, 1000]][:, None]  # a goldfish, a giant panda, and no class
    for t in scheduler.timesteps:
        cond, uncond = unet(torch.cat([expected, expected]), t, told).sample.chunk(2)
        expected = scheduler.step(uncond + 1.5 * (cond - uncond), t, expected).prev_sample
    found = system.draw(["goldfish", "388"], 3, steps=8)
    assert found.std() > 0.05
    torch.testing.assert_close(found, vae.decode(expected).sample.clamp(-1, 1), atol=1e-4, rtol=0)


def test_what_a_model_of_classes_does_not_know(imagenet, monkeypatch):
    system = LatentDiffusion.load("ldm_imagenet", imagenet[0], device="cpu")
    with pytest.raises(ValueError, match="ImageNet has no class 'a bird'"):
        system.draw(["a bird"], steps=1)
    assert system.between("goldfish", "giant panda", 3, steps=2).shape == (3, 3, 64, 64)
    never = replace(published.VARIANTS["ldm_imagenet"], null_class=False)
    monkeypatch.setitem(published.VARIANTS, "ldm_imagenet", never)
    system = LatentDiffusion.load("ldm_imagenet", imagenet[0], device="cpu")
    with pytest.raises(ValueError, match="knows no empty caption: name a class"):
        system.draw(["goldfish"], steps=1)
    assert system.draw(["goldfish"], steps=1, guidance_scale=1).shape == (1, 3, 64, 64)


@torch.no_grad()
def test_a_model_that_is_told_nothing_draws_as_the_pipeline_of_diffusers(tmp_path, monkeypatch):
    """A folder as diffusers has it of CelebA-HQ: a U-Net, an autoencoder with a codebook, and no reader."""
    from t2i_course.codec.autoencoder import Config as AutoencoderConfig
    from t2i_course.nn.unet import Config

    torch.manual_seed(0)
    shape = {"in_channels": 4, "out_channels": 4, "block_out_channels": (32, 64), "layers_per_block": 1}
    blocks = {"down_block_types": ("DownBlock2D", "AttnDownBlock2D"), "up_block_types": ("AttnUpBlock2D", "UpBlock2D")}
    net = restless(diffusers.UNet2DModel(sample_size=8, attention_head_dim=8, **shape, **blocks))
    vae = restless(diffusers.VQModel(**BLOCKS, num_vq_embeddings=24, scaling_factor=1.0))
    write(tmp_path, {"unet": net, "vqvae": vae})
    config = Config(32, (1, 2), 1, (1,), 4, 4, head_dim=8, scale_shift=False, resample="conv")
    monkeypatch.setitem(published.UNETS, "ldm_vq_f4", config)
    vq = AutoencoderConfig(4, (1, 2, 2), dim=32, blocks=1, codes=24)
    monkeypatch.setitem(published.AUTOENCODERS, "vq_f4", vq)
    monkeypatch.setitem(published.VARIANTS, "ldm_vq_f4", replace(published.VARIANTS["ldm_vq_f4"], size=32))
    system = published.load(tmp_path, "ldm_vq_f4", device="cpu")
    beta = {"beta_start": 0.0015, "beta_end": 0.0195, "beta_schedule": "scaled_linear"}
    scheduler = diffusers.DDIMScheduler(**beta, clip_sample=False, set_alpha_to_one=False, steps_offset=1)
    pipe = diffusers.LDMPipeline(vae, net, scheduler)
    pipe.set_progress_bar_config(disable=True)
    monkeypatch.setattr(
        sys.modules[diffusers.LDMPipeline.__module__], "randn_tensor", lambda *a, **b: system._noise(2, 3, None)
    )
    expected = torch.from_numpy(pipe(batch_size=2, num_inference_steps=8, output_type="np").images).permute(0, 3, 1, 2)
    found = system.draw(["", ""], 3, steps=8)
    assert found.std() > 0.05
    torch.testing.assert_close(found / 2 + 0.5, expected, atol=1e-4, rtol=0)
    assert system.between("", "", 2, steps=2).shape == (2, 3, 32, 32)
    with pytest.raises(ValueError, match="draws what it likes and knows no captions"):
        system.draw(["a bird"])
    with pytest.raises(ValueError, match="guidance_scale=3: this model knows no captions"):
        system.draw([""], guidance_scale=3)


def test_a_scale_that_was_measured_stands_in_the_file(tiny, tmp_path, monkeypatch):
    from t2i_course.nn.unet import Config

    shape = {"in_channels": 4, "out_channels": 4, "block_out_channels": (32, 64), "layers_per_block": 1}
    blocks = {"down_block_types": ("DownBlock2D", "AttnDownBlock2D"), "up_block_types": ("AttnUpBlock2D", "UpBlock2D")}
    net = restless(diffusers.UNet2DModel(sample_size=8, attention_head_dim=8, **shape, **blocks))
    config = Config(32, (1, 2), 1, (1,), 4, 4, head_dim=8, scale_shift=False, resample="conv")
    monkeypatch.setitem(published.UNETS, "ldm_churches", config)
    named = {"model.diffusion_model.": net, "first_stage_model.": tiny["vae"]}
    state = {prefix + name: t.contiguous() for prefix, net in named.items() for name, t in net.state_dict().items()}
    save_file(state | {"scale_factor": torch.tensor(0.25)}, tmp_path / "churches.safetensors")
    system = LatentDiffusion.load("ldm_churches", tmp_path / "churches.safetensors", device="cpu")
    z = torch.randn(1, 4, 8, 8)
    with torch.no_grad():
        expected = tiny["vae"].decode(4 * z).sample.clamp(-1, 1)
    torch.testing.assert_close(system.decode(z), expected, atol=1e-4, rtol=0)
    save_file(state, tmp_path / "without.safetensors")
    with pytest.raises(ValueError, match="has no scale_factor, which this variant needs"):
        LatentDiffusion.load("ldm_churches", tmp_path / "without.safetensors", device="cpu")
    for variant in ("ldm_churches", "ldm_imagenet", "ldm_text"):
        with pytest.raises(ValueError, match=f"{variant} is read from the single file of its authors"):
            published.load(tmp_path, variant)


@pytest.mark.parametrize(
    ("variant", "autoencoder", "scale", "beta", "classes"),
    [
        ("ldm_vq_f4", "vq_f4", 1.0, (0.0015, 0.0195), 0),
        ("ldm_churches", "kl_f8", None, (0.0015, 0.0155), 0),
        ("ldm_imagenet_vq_f8", "vq_f8", 1.0, (0.0015, 0.0195), 1000),
        ("ldm_imagenet", "vq_f4", 1.0, (0.0015, 0.0195), 1001),
        ("ldm_text_cc", "vq_f4", 1.0, (0.0015, 0.0195), 0),
        ("ldm_text", "kl_f8", 0.18215, (0.00085, 0.012), 0),
    ],
)
def test_as_their_authors_configured_them(variant, autoencoder, scale, beta, classes):
    v = published.VARIANTS[variant]
    assert (v.autoencoder, v.scale, v.betas, v.classes) == (autoencoder, scale, beta, classes)
    assert v.size == 256


def test_clear_errors(tiny, tmp_path):
    with pytest.raises(ValueError, match="There is no latent diffusion 'sd_3'. There are: ldm_vq_f4, .*, sd_1,"):
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
        published.load(tmp_path / "ldm.ckpt", "ldm_text")
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
