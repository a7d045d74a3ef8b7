"""Autoencoders: files of VQGAN (taming-transformers), CompVis (latent and Stable Diffusion) and diffusers."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from t2i_course.codec.autoencoder import VARIANTS, Autoencoder, Config
from t2i_course.weights import loaded

from . import renamed

PARTS = {  # (.*\.) is the place
    r"quantize\.embedding\.": "quantizer.codebook.",
    r"(.*\.)(nin|conv)_shortcut\.": r"\1skip.",
    r"(.*coder\.rows\.\d+\.\d\.)conv\.": r"\1",
    r"(.*\.)group_norm\.": r"\1norm.",
    r"(.*\.)(to_out\.0|proj_out|proj_attn)\.": r"\1attention.to_out.",
    r"(.*\.)to_([qkv])\.": r"\1attention.to_\2.",
    r"(.*\.)([qkv])\.": r"\1attention.to_\2.",
    r"(.*\.)(query|key|value)\.": lambda found: f"{found[1]}attention.to_{found[2][0]}.",
}


def places(config: Config, diffusers: bool) -> dict[str, str]:
    """Where the others' levels and blocks stand in our rows."""
    levels, per, end = len(config.mults), config.blocks + 1, 2 if config.middle_attends else 1
    names = {}
    for half in ("encoder", "decoder"):
        names |= {
            f"{half}.first": f"{half}.conv_in",
            f"{half}.last.0": f"{half}.conv_norm_out" if diffusers else f"{half}.norm_out",
            f"{half}.last.2": f"{half}.conv_out",
            f"{half}.middle.0": f"{half}.mid_block.resnets.0" if diffusers else f"{half}.mid.block_1",
            f"{half}.middle.{end}": f"{half}.mid_block.resnets.1" if diffusers else f"{half}.mid.block_2",
        }
        if config.middle_attends:
            names[f"{half}.middle.1"] = f"{half}.mid_block.attentions.0" if diffusers else f"{half}.mid.attn_1"
    block, attention = ("resnets", "attentions") if diffusers else ("block", "attn")
    for level in range(levels):
        turned = levels - 1 - level  # the decoder begins with the last level
        down = f"encoder.down_blocks.{level}" if diffusers else f"encoder.down.{level}"
        up = f"decoder.up_blocks.{turned}" if diffusers else f"decoder.up.{level}"
        attends = level in config.attend
        for b in range(per):
            rows = [(f"decoder.rows.{turned * per + b}", up)]
            if b < config.blocks:
                rows.append((f"encoder.rows.{level * per + b}", down))
            for ours, theirs in rows:
                names[f"{ours}.0"] = f"{theirs}.{block}.{b}"
                if attends:
                    names[f"{ours}.1"] = f"{theirs}.{attention}.{b}"
        names[f"encoder.rows.{level * per + config.blocks}.0"] = (
            f"{down}.downsamplers.0" if diffusers else f"{down}.downsample"
        )
        names[f"decoder.rows.{turned * per + config.blocks}.{2 if attends else 1}"] = (
            f"{up}.upsamplers.0" if diffusers else f"{up}.upsample"
        )
    return {theirs.replace(".", r"\.") + r"\.": f"{ours}." for ours, theirs in names.items()}


def convert(state: dict[str, Tensor], config: Config) -> dict[str, Tensor]:
    """A state of any of the formats; of a whole system, its first stage. What only training needed is left out."""
    prefix = "first_stage_model."
    if any(name.startswith(prefix) for name in state):
        state = {name.removeprefix(prefix): t for name, t in state.items() if name.startswith(prefix)}
    state = {name: t for name, t in state.items() if not name.startswith("loss.")}
    table = places(config, diffusers="encoder.conv_norm_out.weight" in state)
    ours = renamed(renamed(state, table), PARTS)
    return {name: t.flatten(1) if ".to_" in name and t.ndim > 2 else t for name, t in ours.items()}


def load_autoencoder(weights: str | Path, variant: str) -> Autoencoder:
    """A published autoencoder, frozen. Raises ValueError for a file of another one."""
    if variant not in VARIANTS:
        raise ValueError(f"There is no autoencoder {variant!r}. There are: {', '.join(VARIANTS)}.")
    config = VARIANTS[variant]
    remedy = f"It must hold the autoencoder {variant!r}."
    return loaded(lambda: Autoencoder(config), weights, remedy, lambda state: convert(state, config))
