"""Published U-Nets: names and shapes of every format, outputs of the original code, clear errors."""

import gzip
import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from t2i_course.nn.unet import CLASSIFIERS, VARIANTS, Config, NoisyClassifier, UNet
from t2i_course.published.unet import convert, load_classifier, load_unet

from .golden import GOLDEN, golden

KEYS = json.loads(gzip.decompress((GOLDEN / "unet_keys.json.gz").read_bytes()))

# The golden files are of the original code at a reduced width, with its random weights.
ADM = Config(32, (1, 2, 2), 1, (1, 2), classes=7, head_dim=32, out=6)
CLASSIFIER = Config(32, (1, 2, 2), 1, (1, 2), head_dim=32, out=7)
SD = Config(32, (1, 2, 2), 1, (0, 1), channels=4, out=4, heads=8, context_dim=40, scale_shift=False, resample="conv")


@pytest.mark.parametrize("name", KEYS)
def test_every_name_of_a_published_file_has_its_place(name):
    variant, keys = KEYS[name]["variant"], KEYS[name]["keys"]
    config = VARIANTS[variant] if isinstance(variant, str) else CLASSIFIERS[variant]
    with torch.device("meta"):
        net = UNet(config) if isinstance(variant, str) else NoisyClassifier(config, variant)
        state = convert({key: torch.empty(shape) for key, shape in keys.items()}, config)
    assert {key: t.shape for key, t in state.items()} == {key: t.shape for key, t in net.state_dict().items()}


@pytest.mark.parametrize("name", ["google-ddpm-cifar10-32-diffusers", "google-ddpm-256-diffusers"])
def test_the_names_of_2022_lead_to_the_same_places(name):
    """As in the published files of DDPM, which diffusers renames when it reads them."""
    config, of_today = VARIANTS[KEYS[name]["variant"]], {}
    of_2022 = {".to_q.": ".query.", ".to_k.": ".key.", ".to_v.": ".value.", ".to_out.0.": ".proj_attn."}
    before = {}
    for key, shape in KEYS[name]["keys"].items():
        of_today[key] = torch.empty(shape, device="meta")
        part = next((part for part in of_2022 if part in key), ".")
        before[key.replace(part, of_2022.get(part, "."))] = of_today[key]
    assert len(before.keys() - of_today.keys()) == 48  # 6 attentions of 4 layers, each with a bias
    expected, found = convert(of_today, config), convert(before, config)
    assert found.keys() == expected.keys()
    assert all(found[key] is expected[key] for key in found)


@pytest.mark.parametrize("small", [False, True])
def test_adm_is_that_of_openai(small, tmp_path, monkeypatch):
    monkeypatch.setitem(VARIANTS, "adm_256", ADM)
    net, given, out = golden("adm256_unet", lambda file: load_unet(file, "adm_256"), tmp_path, small)
    with torch.no_grad():
        found = net(given["x"], given["t"], classes=given["y"])
    torch.testing.assert_close(found, out["small_out" if small else "out"], atol=9e-5, rtol=0)


@torch.no_grad()
def test_the_u_net_of_stable_diffusion_1_is_that_of_compvis(tmp_path, monkeypatch):
    monkeypatch.setitem(VARIANTS, "sd_1", SD)
    net, given, out = golden("sd1_unet", lambda file: load_unet(file, "sd_1"), tmp_path)
    torch.testing.assert_close(net(given["x"], given["t"], given["context"]), out["eps"], atol=9.8e-5, rtol=0)


def test_heads_in_the_other_order_are_found_out():
    """With the order of ADM 64 the same weights are another network: this is what makes the test above sharp."""
    tensors = load_file(GOLDEN / "adm256_unet.safetensors")
    weights = {key.removeprefix("weights/"): t.float() for key, t in tensors.items() if key.startswith("weights/")}
    net = UNet(ADM).eval()
    net.load_state_dict(convert(weights, ADM, new_order=True))
    with torch.no_grad():
        found = net(tensors["in/x"], tensors["in/t"], classes=tensors["in/y"])
    assert (found - tensors["out/out"]).abs().max() > 0.01


@pytest.mark.parametrize("small", [False, True])
def test_the_classifier_and_its_gradient_are_those_of_openai(small, tmp_path, monkeypatch):
    monkeypatch.setitem(CLASSIFIERS, 16, CLASSIFIER)
    net, given, out = golden("adm_classifier", lambda file: load_classifier(file, 16), tmp_path, small)
    x = given["x"].requires_grad_()
    logits = net(x, given["t"])
    torch.testing.assert_close(logits, out["small_logits" if small else "logits"], atol=3e-5, rtol=0)
    if not small:
        chosen = logits.log_softmax(1)[range(len(x)), given["y"]]
        (gradient,) = torch.autograd.grad(chosen.sum(), x)
        torch.testing.assert_close(gradient, out["grad_log_prob"], atol=2e-5, rtol=0)


def test_the_moving_average_is_taken_where_there_is_one():
    names = KEYS["sd-v1-original-full-ema"]["keys"]
    state = {name: torch.full((1,), float(name.startswith("model_ema."))) for name in names}
    assert all(convert(state, VARIANTS["sd_1"]).values())
    plain = {name: tensor for name, tensor in state.items() if not name.startswith("model_ema.")}
    assert not any(convert(plain | {"first_stage_model.x": torch.ones(1)}, VARIANTS["sd_1"]).values())


def test_clear_errors(tmp_path):
    with pytest.raises(ValueError, match="There is no U-Net 'sd_9'. There are: ddpm_cifar10"):
        load_unet("x.safetensors", "sd_9")
    with pytest.raises(ValueError, match="no classifier for size 100"):
        load_classifier("x.safetensors", 100)
    with pytest.raises(ValueError, match=r"There is no file .*x\.safetensors\. It must hold the U-Net 'sd_1'"):
        load_unet(tmp_path / "x.safetensors", "sd_1")
    save_file({"input_blocks.0.0.weight": torch.zeros(2, 3, 3, 3)}, tmp_path / "y.safetensors")
    with pytest.raises(ValueError, match=r"y\.safetensors holds the weights of another network"):
        load_unet(tmp_path / "y.safetensors", "adm_64")
    net = UNet(SD)
    with pytest.raises(ValueError, match=r"takes \(B, 4, H, W\) with H and W multiples of 4, not \(1, 3, 8, 8\)"):
        net(torch.zeros(1, 3, 8, 8), torch.zeros(1), torch.zeros(1, 2, 40))
    with pytest.raises(ValueError, match="needs a context"):
        net(torch.zeros(1, 4, 8, 8), torch.zeros(1))
    with pytest.raises(ValueError, match="knows no classes"):
        net(torch.zeros(1, 4, 8, 8), torch.zeros(1), torch.zeros(1, 2, 40), classes=torch.zeros(1, dtype=torch.long))
