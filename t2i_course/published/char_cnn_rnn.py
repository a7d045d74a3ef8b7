"""char-CNN-RNN: the released encoders, in the PyTorch format of martinduartemore/char_cnn_rnn_pytorch.

(The originals of reedscot/cvpr2016 and reedscot/icml2016 are Lua Torch files; that port's script converts them.)
"""

from pathlib import Path

import torch
from torch import Tensor

from t2i_course.text.char_cnn_rnn import VARIANTS, CharCNNRNN
from t2i_course.weights import loaded

SOURCE = "Of the port's converted files, {variant!r} takes the one for {fits}, as .pth or .safetensors."
FITS = {"icml_birds": "icml, birds", "icml_flowers": "icml, flowers", "cvpr": "cvpr, birds or flowers"}


def convert(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Their names -> ours. Their gates are layers of their own; ours are stacked: update, reset, candidate."""
    state = dict(state)
    renamed = {}
    for kind in ("weight", "bias"):

        def take(*names, kind=kind):
            return torch.cat([state.pop(f"{name}.{kind}") for name in names])

        gated = f"rnn.i2h_update.{kind}" in state
        renamed[f"project.{kind}"] = take("emb_proj")
        if gated:
            renamed[f"rnn.from_input.{kind}"] = take("rnn.i2h_update", "rnn.i2h_reset", "rnn.i2h")
            renamed[f"rnn.from_state.{kind}"] = take("rnn.h2h_update", "rnn.h2h_reset")
            renamed[f"rnn.from_reset_state.{kind}"] = take("rnn.h2h")
        else:
            renamed[f"rnn.from_input.{kind}"] = take("rnn.i2h")
            renamed[f"rnn.from_state.{kind}"] = take("rnn.h2h")
    return state | renamed  # the convolutions have the same names


def load(variant: str, weights: str | Path | None) -> CharCNNRNN:
    """A published encoder, ready to read captions. Raises ValueError if the file is not one of this variant."""
    remedy = SOURCE.format(variant=variant, fits=FITS[variant])
    if weights is None:
        raise ValueError(
            f"The published weights of char-CNN-RNN do not ship with the course: give weights=FILE. {remedy}"
        )
    return loaded(lambda: CharCNNRNN(VARIANTS[variant]), weights, remedy, convert)
