"""Files of weights: what is read of checkpoints that hold more, and what is refused."""

import sys
from types import ModuleType

import pytest
import torch

from t2i_course.weights import read_weights


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
