"""Published CLIPs: names and shapes of every format, outputs of the original code, programs that are not run."""

import gzip
import json
import pickle
import warnings
import zipfile
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from t2i_course.published.clip import convert, load_clip, load_text_tower, text_alone
from t2i_course.published.torchscript import is_program, read_program
from t2i_course.text.clip import CLIP, VARIANTS, Config, TextTower, Tower

from .golden import GOLDEN, golden

KEYS = json.loads(gzip.decompress((GOLDEN / "clip_keys.json.gz").read_bytes()))
NARROW = Config(48, Tower(128, 2, 2), Tower(128, 2, 2), patch=14, size=56, length=24, words=600)


def shapes(state):
    return {key: t.shape for key, t in state.items()}


@pytest.mark.parametrize("name", KEYS)
def test_every_name_of_a_published_file_has_its_place(name):
    config, blocks = VARIANTS[KEYS[name]["variant"]], KEYS[name].get("text_blocks")  # of a text tower alone
    with torch.device("meta"):
        file = {key: torch.empty(shape) for key, shape in KEYS[name]["keys"].items()}
        tower = TextTower(replace(config, text=replace(config.text, depth=blocks or config.text.depth)))
        net = tower if blocks else CLIP(config)
    tower.project = None
    assert shapes(text_alone(file)) == shapes(tower.state_dict())
    if not blocks:
        assert shapes(convert(file)) == shapes(net.state_dict())
    elif any(key.startswith("text_model.") for key in file):  # as transformers 5 saves it
        short = {key.removeprefix("text_model."): t for key, t in file.items()}
        assert shapes(text_alone(short)) == shapes(tower.state_dict())


@torch.no_grad()
@pytest.mark.parametrize("small", [False, True])
def test_it_is_that_of_openai(small, tmp_path, monkeypatch):
    monkeypatch.setitem(VARIANTS, "vit_l_14", NARROW)
    net, given, out = golden("clip_openai_vit", lambda file: load_clip(file, "vit_l_14"), tmp_path, small)
    pictures, texts = net.picture(given["image"]), net.text(given["tokens"])
    if small:
        torch.testing.assert_close(pictures, out["small_image_features"], atol=1.1e-4, rtol=0)
        torch.testing.assert_close(texts, out["small_text_features"], atol=1e-4, rtol=0)
    else:
        torch.testing.assert_close(pictures, out["image_features"], atol=7.1e-5, rtol=0)
        torch.testing.assert_close(texts, out["text_features"], atol=8.6e-5, rtol=0)
        logits = net.similarity(given["image"], given["tokens"])
        torch.testing.assert_close(logits, out["logits_per_text"], atol=4.9e-5, rtol=0)


# --- TorchScript ------------------------------------------------------------------------------------------------------


class Tree(nn.Module):
    """Modules that hold the tensors of a state at their names."""

    def __init__(self, state):
        super().__init__()
        for name, tensor in state.items():
            first, dot, rest = name.partition(".")
            if dot and first not in self._modules:
                prefix = first + dot
                self.add_module(
                    first, Tree({k.removeprefix(prefix): t for k, t in state.items() if k.startswith(prefix)})
                )
            elif not dot and tensor.is_floating_point():
                self.register_parameter(first, nn.Parameter(tensor, requires_grad=False))
            elif not dot:
                self.register_buffer(first, tensor)

    def forward(self, x):
        return x


def weights_of_openai():
    tensors = load_file(GOLDEN / "clip_openai_vit.safetensors")
    return {key.removeprefix("weights/"): t for key, t in tensors.items() if key.startswith("weights/")}


@pytest.fixture
def program(tmp_path):
    """A file as OpenAI's: traced, with the numbers of a model in half precision and the mask of its text tower."""
    masks = {f"transformer.resblocks.{k}.attn_mask": torch.zeros(24, 24) for k in range(2)}
    file = tmp_path / "ViT.pt"
    with warnings.catch_warnings(action="ignore"):  # tracing is no longer how programs are made
        torch.jit.trace(Tree(weights_of_openai() | masks), torch.zeros(1)).save(file)
    return file


def rewritten(program, changes):
    """The archive with other files in it; None: without this one."""
    file = program.with_name("rewritten.pt")
    with zipfile.ZipFile(program) as old, zipfile.ZipFile(file, "w") as new:
        for name in old.namelist():
            content = changes.get(name.partition("/")[2], old.read(name))
            if content is not None:
                new.writestr(name, content)
    return file


def test_the_tensors_of_a_program_are_read_without_its_code(program, monkeypatch):
    with zipfile.ZipFile(program) as archive:
        code = [name.partition("/")[2] for name in archive.namelist() if "/code/" in name]
    assert code
    expected = weights_of_openai()
    for file in (program, rewritten(program, dict.fromkeys(code, b"not a program"))):
        assert is_program(file)
        found = read_program(file, "")
        assert found.keys() >= expected.keys()
        assert all(found[key].dtype == t.dtype and torch.equal(found[key], t) for key, t in expected.items())
        monkeypatch.setitem(VARIANTS, "vit_l_14", NARROW)
        net = load_clip(file, "vit_l_14")
        assert torch.equal(net.text.tokens.weight, expected["token_embedding.weight"].float())
        assert torch.equal(load_text_tower(file, "vit_l_14").positions, net.text.positions)


class Hostile:
    """Pickled, it is a call of any function."""

    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


def test_a_hostile_archive_is_refused_and_nothing_of_it_is_called(program, tmp_path):
    harm = tmp_path / "harm"
    calls = [Hostile(exec, f"open({str(harm)!r}, 'w')"), Hostile(open, str(harm), "w"), Hostile(torch.load, str(harm))]
    for call in [*calls, {"beside": calls[0]}, Hostile(getattr, (), "count")]:
        for protocol in (0, 2, pickle.HIGHEST_PROTOCOL):
            file = rewritten(program, {"data.pkl": pickle.dumps(call, protocol)})
            with pytest.raises(ValueError, match=r"cannot be read .* \(UnpicklingError\)\. It must hold the CLIP"):
                load_clip(file, "vit_l_14")
    assert not harm.exists()


def test_damaged_archives_are_refused(program):
    with zipfile.ZipFile(program) as archive:
        data = archive.read(next(name for name in archive.namelist() if name.endswith("/data.pkl")))
    beyond = data.replace(b"K\x18K\x80t", b"K\x19K\x80t", 1)  # 25 positions, of which the storage has 24
    assert beyond != data
    for changes in [{"data.pkl": d} for d in (data[:-40], b"", None, beyond)] + [{"data/0": d} for d in (None, b"\0")]:
        with pytest.raises(ValueError, match=r"rewritten\.pt cannot be read as a file of weights \(.*\)\. Ask\."):
            read_program(rewritten(program, changes), "Ask.")
    cut = program.with_name("cut.pt")
    cut.write_bytes(program.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"cut\.pt cannot be read as a file of weights"):
        load_clip(cut, "vit_l_14")
    with pytest.raises(ValueError, match=r"There is no file .*nothing\.pt"):
        load_clip(program.with_name("nothing.pt"), "vit_l_14")
    assert not is_program(GOLDEN / "clip_openai_vit.safetensors")
