"""U-Nets: files of OpenAI (improved DDPM, ADM), CompVis (LDM, Stable Diffusion), pytorch_diffusion (DDPM), diffusers.

A name in such a file says where a block stands and which part of it this is. So each format is two tables: one of
places and one of parts. OpenAI and CompVis count rows, as we do; the others count levels and the blocks in each.
"""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from t2i_course.nn.unet import CLASSIFIERS, VARIANTS, Config, Encoder, NoisyClassifier, UNet, heads_of
from t2i_course.weights import loaded

from . import renamed

PLACES = {  # of OpenAI and CompVis; rows are counted from the first convolution on
    r"time_embed\.": "time.",
    r"label_emb\.": "label.",
    r"input_blocks\.0\.0\.": "first.",
    r"input_blocks\.(\d+)\.": lambda found: f"encoder.{int(found[1]) - 1}.",
    r"middle_block\.": "middle.",
    r"output_blocks\.": "decoder.",
    r"out\.": "last.",
}
PARTS = {  # of the blocks in all formats; (.*\.) is the place
    r"(.*\.)in_layers\.0\.": r"\1norm1.",
    r"(.*\.)in_layers\.2\.": r"\1conv1.",
    r"(.*\.)(emb_layers\.1|temb_proj|time_emb_proj)\.": r"\1time.",
    r"(.*\.)out_layers\.0\.": r"\1norm2.",
    r"(.*\.)out_layers\.3\.": r"\1conv2.",
    r"(.*\.)(skip_connection|nin_shortcut|conv_shortcut)\.": r"\1skip.",
    r"((en|de)coder\.\d+\.\d\.)(op|conv)\.": r"\1",
    r"(.*\.)proj_in\.": r"\1project_in.",
    r"(.*\.)transformer_blocks\.(.*\.)attn(\d)\.to_out\.0\.": r"\1blocks.\2attention\3.to_out.",
    r"(.*\.)transformer_blocks\.(.*\.)attn(\d)\.": r"\1blocks.\2attention\3.",
    r"(.*\.)transformer_blocks\.(.*\.)ff\.net\.0\.proj\.": r"\1blocks.\2feed.project.",
    r"(.*\.)transformer_blocks\.(.*\.)ff\.net\.2\.": r"\1blocks.\2feed.out.",
    r"(.*\.)transformer_blocks\.": r"\1blocks.",
    r"(.*\.)group_norm\.": r"\1norm.",
    r"((en|de)coder\.\d+\.1|middle\.1)\.(to_out\.0|proj_attn)\.": r"\1.attention.to_out.",
    r"((en|de)coder\.\d+\.1|middle\.1)\.(to_[qkv]\.)": r"\1.attention.\3",
    r"((en|de)coder\.\d+\.1|middle\.1)\.([qkv]\.)": r"\1.attention.to_\3",
    r"((en|de)coder\.\d+\.1|middle\.1)\.(query|key|value)\.": lambda found: f"{found[1]}.attention.to_{found[3][0]}.",
    r"last\.2\.positional_embedding": "last.2.positions",
    r"last\.2\.c_proj\.": "last.2.attention.to_out.",
}


def places_by_level(config: Config, diffusers: bool) -> dict[str, str]:
    """The places of formats that count levels. Ours count rows: each level has its blocks, and one that halves."""
    levels, per = len(config.mults), config.blocks + 1
    names = {
        "first": "conv_in",
        "last.0": "conv_norm_out" if diffusers else "norm_out",
        "last.2": "conv_out",
        "time.0": "time_embedding.linear_1" if diffusers else "temb.dense.0",
        "time.2": "time_embedding.linear_2" if diffusers else "temb.dense.1",
        "label": "class_embedding",
        "middle.0": "mid_block.resnets.0" if diffusers else "mid.block_1",
        "middle.1": "mid_block.attentions.0" if diffusers else "mid.attn_1",
        "middle.2": "mid_block.resnets.1" if diffusers else "mid.block_2",
    }
    block, attention = ("resnets", "attentions") if diffusers else ("block", "attn")
    for level in range(levels):
        down = f"down_blocks.{level}" if diffusers else f"down.{level}"
        turned = levels - 1 - level  # the way up begins with the last level
        up = f"up_blocks.{turned}" if diffusers else f"up.{level}"
        for b in range(per):
            if b < config.blocks:
                names[f"encoder.{level * per + b}.0"] = f"{down}.{block}.{b}"
                names[f"encoder.{level * per + b}.1"] = f"{down}.{attention}.{b}"
            names[f"decoder.{turned * per + b}.0"] = f"{up}.{block}.{b}"
            if level in config.attend:
                names[f"decoder.{turned * per + b}.1"] = f"{up}.{attention}.{b}"
        names[f"encoder.{level * per + config.blocks}.0"] = f"{down}.{'downsamplers.0' if diffusers else 'downsample'}"
        last = f"decoder.{turned * per + config.blocks}.{2 if level in config.attend else 1}"
        names[last] = f"{up}.{'upsamplers.0' if diffusers else 'upsample'}"
    return {theirs.replace(".", r"\.") + r"\.": f"{ours}." for ours, theirs in names.items()}


def convert(state: dict[str, Tensor], config: Config, new_order: bool = False) -> dict[str, Tensor]:
    """A state of any of the formats, for a U-Net or a classifier of `config`.

    Takes the moving average of the weights where a file of CompVis has one. new_order: fused queries, keys and values
    stand one after the other (of the published files, in ADM 64 alone), not head by head.
    """
    if any(name.startswith("model.diffusion_model.") for name in state):
        state = of_compvis(state)
    if "input_blocks.0.0.weight" in state:
        state = renamed(split_qkv(state, config, new_order), PLACES)
    else:
        state = renamed(state, places_by_level(config, diffusers="conv_norm_out.weight" in state))
    end = ".project_out." if config.context_dim else ".attention.to_out."  # of a transformer, or of an attention
    state = renamed({name.replace(".proj_out.", end): t for name, t in state.items()}, PARTS)
    ours = {}
    for name, tensor in state.items():
        if tensor.ndim > 2 and any(part in name for part in (".to_", ".project_")):
            tensor = tensor.flatten(1)  # a convolution over single places is a linear layer
        ours[name] = tensor.T.contiguous() if name == "last.2.positions" else tensor
    return ours


def of_compvis(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The U-Net in a file of a whole system; its moving average if it is there, whose names have lost their dots."""
    prefix = "model.diffusion_model."
    own = {name.removeprefix(prefix): t for name, t in state.items() if name.startswith(prefix)}
    return {name: state.get("model_ema." + f"diffusion_model.{name}".replace(".", ""), t) for name, t in own.items()}


def split_qkv(state: dict[str, Tensor], config: Config, new_order: bool) -> dict[str, Tensor]:
    """Fused queries, keys and values -> three layers each."""
    result = {}
    for name, tensor in state.items():
        place, fused, rest = name.partition(".qkv_proj." if ".qkv_proj." in name else ".qkv.")
        if not fused:
            result[name] = tensor
            continue
        dim = len(tensor) // 3
        if fused == ".qkv." and not new_order:  # (heads, 3, ...) -> (3, heads, ...)
            tensor = tensor.unflatten(0, (heads_of(dim, config), 3, -1)).transpose(0, 1).flatten(0, 2)
        for letter, part in zip("qkv", tensor.chunk(3), strict=True):
            result[f"{place}.attention.to_{letter}.{rest}"] = part
    return result


def load_unet(weights: str | Path, variant: str) -> UNet:
    """A published U-Net, frozen. Raises ValueError for a file of another one."""
    if variant not in VARIANTS:
        raise ValueError(f"There is no U-Net {variant!r}. There are: {', '.join(VARIANTS)}.")
    return _load(UNet, (VARIANTS[variant],), weights, f"It must hold the U-Net {variant!r}.", variant == "adm_64")


def load_classifier(weights: str | Path, size: int) -> NoisyClassifier:
    """A published classifier of ADM for pictures of size 64, 128, 256 or 512, frozen."""
    if size not in CLASSIFIERS:
        raise ValueError(f"There is no classifier for size {size}. There are: {', '.join(map(str, CLASSIFIERS))}.")
    return _load(NoisyClassifier, (CLASSIFIERS[size], size), weights, f"It must hold ADM's classifier for {size}.")


def _load(kind: type[Encoder], sizes: tuple, weights, remedy: str, new_order: bool = False):
    return loaded(lambda: kind(*sizes), weights, remedy, lambda state: convert(state, sizes[0], new_order))
