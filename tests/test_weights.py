"""Files of weights: what is read of checkpoints that hold more, what is refused, and what records say of ours."""

import json
import sys
from types import ModuleType

import pytest
import torch
from safetensors import safe_open

from t2i_course.paths import DATA
from t2i_course.weights import read_weights

BUFFERS = {"running_mean", "running_var", "num_batches_tracked", "scale"}  # the last is that of latents


@pytest.fixture
def foreign(monkeypatch):
    """A function that makes a class of a module that is not there when the file is read."""

    def make(name):
        module, kind = ModuleType(name), type("Callback", (), {"__module__": name})
        module.Callback = kind
        monkeypatch.setitem(sys.modules, name, module)
        return kind

    return make


def test_what_a_training_tells_of_itself_is_left_out(foreign, tmp_path):
    """As the checkpoints of Stable Diffusion 1.4 and 1.5, which name classes of Lightning."""
    kind, file = foreign("pytorch_lightning"), tmp_path / "sd.ckpt"
    callback = kind()
    callback.best = 0.5
    torch.save({"state_dict": {"x": torch.arange(3.0)}, "callbacks": {kind: {"best": 1}}, "hooks": [callback]}, file)
    del sys.modules["pytorch_lightning"]
    assert torch.equal(read_weights(file, "")["x"], torch.arange(3.0))


def test_other_classes_are_refused(foreign, tmp_path):
    torch.save({"state_dict": {}, "callbacks": foreign("elsewhere")()}, tmp_path / "sd.ckpt")
    with pytest.raises(ValueError, match=r"sd\.ckpt cannot be read as a file of weights \(UnpicklingError\)\. Ask\."):
        read_weights(tmp_path / "sd.ckpt", "Ask.")


@pytest.mark.parametrize("file", sorted((DATA / "weights").glob("*.safetensors")), ids=lambda file: file.stem)
def test_records_say_how_many_parameters_ship(file):
    with safe_open(file, "pt") as weights:
        shapes = {name: weights.get_slice(name).get_shape() for name in weights.keys()}  # noqa: SIM118
    learned = [torch.Size(shape).numel() for name, shape in shapes.items() if name.split(".")[-1] not in BUFFERS]
    assert json.loads(file.with_suffix(".json").read_text())["parameters"] == sum(learned)
