"""CLIP: weights of OpenAI and LAION in files of OpenAI, open_clip and transformers; text towers of Stable Diffusion."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor, nn

from t2i_course.text.clip import CLIP, VARIANTS, TextTower
from t2i_course.weights import loaded

from . import renamed
from .torchscript import is_program, read_program

WHERE = {  # names of OpenAI, which open_clip has kept, then of transformers
    r"visual\.class_embedding": "picture.whole",
    r"visual\.positional_embedding": "picture.positions",
    r"visual\.conv1\.": "picture.patches.",
    r"visual\.ln_pre\.": "picture.norm_in.",
    r"visual\.ln_post\.": "picture.norm_out.",
    r"visual\.proj$": "picture.project.weight",
    r"visual\.transformer\.resblocks\.": "picture.blocks.",
    r"positional_embedding": "text.positions",
    r"token_embedding\.": "text.tokens.",
    r"transformer\.resblocks\.": "text.blocks.",
    r"ln_final\.": "text.norm.",
    r"text_projection$": "text.project.weight",
    r"logit_scale": "log_scale",
    r"vision_model\.embeddings\.class_embedding": "picture.whole",
    r"vision_model\.embeddings\.position_embedding\.weight": "picture.positions",
    r"vision_model\.embeddings\.patch_embedding\.": "picture.patches.",
    r"vision_model\.pre_layrnorm\.": "picture.norm_in.",
    r"vision_model\.post_layernorm\.": "picture.norm_out.",
    r"vision_model\.encoder\.layers\.": "picture.blocks.",
    r"visual_projection\.": "picture.project.",
    r"text_model\.embeddings\.position_embedding\.weight": "text.positions",
    r"text_model\.embeddings\.token_embedding\.": "text.tokens.",
    r"text_model\.encoder\.layers\.": "text.blocks.",
    r"text_model\.final_layer_norm\.": "text.norm.",
    r"text_projection\.": "text.project.",
}
PARTS = {
    r"(.*\.)(?:ln_|layer_norm)([12])\.": r"\1norm\2.",
    r"(.*\.)(?:mlp\.c_fc|mlp\.fc1)\.": r"\1wide.",
    r"(.*\.)(?:mlp\.c_proj|mlp\.fc2)\.": r"\1narrow.",
    r"(.*\.)(?:attn|self_attn)\.out_proj\.": r"\1attention.to_out.",
    r"(.*\.)self_attn\.([qkv])_proj\.": r"\1attention.to_\2.",
}
NOT_WEIGHTS = ("input_resolution", "context_length", "vocab_size", "attn_mask", "position_ids")


def convert(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """A state of any of the formats."""
    for prefix in ("cond_stage_model.transformer.", "cond_stage_model.model."):  # of Stable Diffusion 1, and of 2
        if any(name.startswith(prefix) for name in state):
            state = {name.removeprefix(prefix): t for name, t in state.items() if name.startswith(prefix)}
    state = {name: t for name, t in state.items() if name.rpartition(".")[2] not in NOT_WEIGHTS}
    if any(name.startswith("embeddings.") for name in state):  # a text tower of transformers 5
        state = {f"text_model.{name}": t for name, t in state.items()}
    ours = {}
    for name, tensor in renamed(renamed(state, WHERE), PARTS).items():
        before, fused, kind = name.partition(".attn.in_proj_")
        if fused:
            for letter, part in zip("qkv", tensor.chunk(3), strict=True):
                ours[f"{before}.attention.to_{letter}.{kind}"] = part
        elif name.endswith("project.weight") and ("visual.proj" in state or "text_projection" in state):
            ours[name] = tensor.T.contiguous()  # OpenAI multiplies from the other side
        else:
            ours[name] = tensor
    return ours


def load_clip(weights: str | Path, variant: str) -> CLIP:
    """A published CLIP, frozen. Raises ValueError for a file of another one."""
    return _load(CLIP, weights, variant, convert)


def load_text_tower(weights: str | Path, variant: str) -> TextTower:
    """A text tower for `context`, frozen: of a CLIP, of a Stable Diffusion, or alone in a file of transformers.

    Without its projection, which no Stable Diffusion uses and not every file holds.
    """
    return _load(TextTower, weights, variant, text_alone)


def text_alone(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The text tower of a state of any of the formats, without its projection."""
    own = {name.removeprefix("text."): t for name, t in convert(state).items() if name.startswith("text.")}
    return {name: t for name, t in own.items() if not name.startswith("project.")}


def _load(kind: type[nn.Module], weights: str | Path, variant: str, convert_state):
    if variant not in VARIANTS:
        raise ValueError(f"There is no CLIP {variant!r}. There are: {', '.join(VARIANTS)}.")

    def build():
        net = kind(VARIANTS[variant])
        if kind is TextTower:
            net.project = None
        return net

    remedy = f"It must hold the CLIP {variant!r}, as a file of OpenAI, open_clip or transformers."
    return loaded(build, weights, remedy, convert_state, read_program if is_program(weights) else None)
