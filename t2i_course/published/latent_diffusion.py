"""Latent and Stable Diffusion: whole systems, from one file of CompVis or from a folder of diffusers.

Those of latent diffusion that read no captions are told a class of ImageNet, by its name or its number, or nothing.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from t2i_course.codec.autoencoder import VARIANTS as AUTOENCODERS
from t2i_course.codec.autoencoder import Autoencoder
from t2i_course.diffusion.latent_diffusion import LatentDiffusion, Reader
from t2i_course.diffusion.pixels import class_number, told_nothing
from t2i_course.diffusion.process import Process, scaled_linear
from t2i_course.nn.unet import VARIANTS as UNETS
from t2i_course.nn.unet import UNet
from t2i_course.text.bert import BERT, tokenizer
from t2i_course.text.bert import VARIANTS as BERTS
from t2i_course.text.clip import VARIANTS as CLIPS
from t2i_course.text.clip import TextTower, tokenize
from t2i_course.weights import fill, read_weights

from . import autoencoder, clip, dtype_of, renamed, unet


@dataclass(frozen=True)
class Variant:
    """Which parts a published system has."""

    unet: str
    text: str  # a CLIP, "bert", "classes", or "" if it is told nothing
    predicts: str = "eps"
    size: int = 512
    autoencoder: str = "kl_f8"
    scale: float | None = 0.18215  # of latents; None if it stands in the file
    betas: tuple[float, float] = (0.00085, 0.012)
    classes: int = 0
    null_class: bool = False  # the last class stands for none, so there is something to be guided away from
    guidance_scale: float = 7.5  # unless another is asked for
    skip_last: int = 0  # blocks of the text tower that are left out
    pad: int = 49407  # what fills up the tokens of a caption


LDM = {"size": 256, "autoencoder": "vq_f4", "scale": 1.0, "betas": (0.0015, 0.0195), "guidance_scale": 1.0}
VARIANTS = {
    "ldm_vq_f4": Variant("ldm_vq_f4", "", **LDM),  # three files: CelebA-HQ, FFHQ, LSUN bedrooms
    "ldm_churches": Variant(
        "ldm_churches", "", **LDM | {"autoencoder": "kl_f8", "scale": None, "betas": (0.0015, 0.0155)}
    ),
    "ldm_imagenet_vq_f8": Variant("ldm_imagenet_vq_f8", "classes", classes=1000, **LDM | {"autoencoder": "vq_f8"}),
    "ldm_imagenet": Variant("ldm_imagenet", "classes", classes=1001, null_class=True, **LDM | {"guidance_scale": 1.5}),
    "ldm_text_cc": Variant("ldm_text_cc", "bert", **LDM),
    "ldm_text": Variant("ldm_text", "bert", size=256, guidance_scale=5.0),
    "sd_1": Variant("sd_1", "vit_l_14"),
    "sd_1_inpainting": Variant("sd_1_inpainting", "vit_l_14"),
    "sd_2_base": Variant("sd_2", "vit_h_14", skip_last=1, pad=0),
    "sd_2": Variant("sd_2", "vit_h_14", predicts="v", size=768, skip_last=1, pad=0),
    "sd_2_inpainting": Variant("sd_2_inpainting", "vit_h_14", skip_last=1, pad=0),
}
PREDICTS = {"epsilon": "eps", "v_prediction": "v", "sample": "x0"}  # as diffusers calls it
FOLDERS = {"unet": "unet", "autoencoder": "vae", "text": "text_encoder"}
NAMES = ("diffusion_pytorch_model.safetensors", "model.safetensors", "diffusion_pytorch_model.bin", "pytorch_model.bin")
REMEDY = (
    "It must be a single file as CompVis and Stability AI released it, or a folder with unet/, vae/ or vqvae/, and, "
    "if it reads captions, text_encoder/."
)

BERT_NAMES = {
    r"cond_stage_model\.transformer\.token_emb\.": "tokens.",
    r"cond_stage_model\.transformer\.pos_emb\.emb\.": "positions.",
    r"cond_stage_model\.transformer\.norm\.": "norm.",
    r"cond_stage_model\.transformer\.attn_layers\.layers\.(\d+)\.": lambda found: _bert_layer(int(found[1])),
}


def _bert_layer(k: int) -> str:
    """Attention and thinking take turns in their list of layers."""
    return f"blocks.{k // 2}.{'thinks' if k % 2 else 'looks'}."


BERT_PARTS = {
    r"(.*\.)looks\.0\.": r"\1norm1.",
    r"(.*\.)looks\.1\.": r"\1attention.",
    r"(.*\.)thinks\.0\.": r"\1norm2.",
    r"(.*\.)thinks\.1\.net\.0\.0\.": r"\1wide.",
    r"(.*\.)thinks\.1\.net\.2\.": r"\1narrow.",
}


def convert_bert(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The reader in a file of latent diffusion, without its unused prediction of words."""
    own = {name: t for name, t in state.items() if name.startswith("cond_stage_model.") and ".to_logits." not in name}
    return renamed(renamed(own, BERT_NAMES), BERT_PARTS)


def load(
    weights: str | Path | None,
    variant: str = "sd_1",
    vocabulary: str | Path | None = None,
    precision: str = "fp32",
    device: str | None = None,
) -> LatentDiffusion:
    """A published system, ready to draw. Raises ValueError for a file or folder of another one.

    weights: a .safetensors or .ckpt file, or a folder of diffusers. vocabulary: for those with BERT, the vocab.txt of
    bert-base-uncased. precision: of all networks; "bf16" or "fp16" for a GPU. device: a GPU if there is one, unless
    given.
    """
    dtype = dtype_of(precision)
    if variant not in VARIANTS:
        raise ValueError(f"There is no latent diffusion {variant!r}. There are: {', '.join(VARIANTS)}.")
    if weights is None:
        raise ValueError(f"{variant} needs weights=PATH, as they do not ship with the course. {REMEDY}")
    v, path = VARIANTS[variant], Path(weights)
    if vocabulary is not None and v.text != "bert":
        raise ValueError(f"{variant} takes no vocabulary; leave it out.")
    if path.is_dir() and (v.text in ("bert", "classes") or v.scale is None):
        raise ValueError(f"{variant} is read from the single file of its authors; {path} is a folder.")
    if v.text == "bert" and vocabulary is None:
        raise ValueError(f"{variant} reads captions by the word pieces of BERT: give vocabulary=FILE, its vocab.txt.")
    if v.text == "bert":
        tokens_of = tokenizer(vocabulary, BERTS[v.unet].words)
    else:
        tokens_of = partial(tokenize, pad=v.pad)
    check_prediction(path / "scheduler" / "scheduler_config.json", variant)
    skip_last, tower = v.skip_last, CLIPS.get(v.text)
    if path.is_dir() and skip_last:  # diffusers cut the blocks off that are left out
        tower = replace(tower, text=replace(tower.text, depth=tower.text.depth - skip_last))
        skip_last = 0
    with torch.device("meta"):
        parts = {"unet": UNet(UNETS[v.unet]), "autoencoder": Autoencoder(AUTOENCODERS[v.autoencoder])}
        if v.text == "bert":
            parts["text"] = BERT(BERTS[v.unet])
        elif v.text == "classes":
            parts["text"] = nn.Embedding(v.classes, UNETS[v.unet].context_dim)
        elif v.text:
            parts["text"] = TextTower(tower)
            parts["text"].project = None
    converts = {
        "unet": lambda state: unet.convert(state, UNETS[v.unet]),
        "autoencoder": lambda state: autoencoder.convert(state, AUTOENCODERS[v.autoencoder]),
        "text": {"bert": convert_bert, "classes": convert_classes}.get(v.text, clip.text_alone),
    }
    remedy = f"It must hold {variant!r}. {REMEDY}"
    shared = None if path.is_dir() else read_weights(path, remedy)
    for name, net in parts.items():
        file = path if shared is not None else _file(path, name, remedy)
        state = read_weights(file, remedy) if shared is None else shared
        fill(net, state, file, f"Of its {FOLDERS[name]}: {remedy}", converts[name], assign=True)
        net.requires_grad_(False).eval()
        net.to(device or ("cuda" if torch.cuda.is_available() else "cpu"), dtype)
    text = parts.get("text")
    if v.text == "bert":
        read = Reader(text, tokens_of)
    elif v.text == "classes":
        read = partial(class_context, text, null_class=v.null_class)
    else:
        read = Reader(partial(text.context, skip_last=skip_last), tokens_of, text) if v.text else told_nothing
    process = Process(scaled_linear(1000, *v.betas), v.predicts)
    options = {"released": True, "guidance_scale": v.guidance_scale}
    return LatentDiffusion(
        read, parts["unet"], parts["autoencoder"], process, _scale(v, shared, path), v.size, **options
    )


def class_context(embedding: nn.Embedding, captions: Sequence[str], null_class: bool) -> Tensor:
    """Names or numbers of classes of ImageNet -> context (B, 1, K). An empty one is no class, if the model knows that.

    Raises ValueError for what is no class.
    """
    if not null_class and not all(caption.strip() for caption in captions):
        raise ValueError(
            "This model knows no empty caption: name a class of ImageNet, and leave guidance_scale at 1, as there is "
            "nothing to be guided away from."
        )
    none = len(embedding.weight) - 1
    numbers = [class_number(caption) if caption.strip() else none for caption in captions]
    return embedding(torch.tensor(numbers, device=embedding.weight.device))[:, None]


def convert_classes(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The embedding of classes in a file of latent diffusion."""
    prefix = "cond_stage_model.embedding."
    return {name.removeprefix(prefix): t for name, t in state.items() if name.startswith(prefix)}


def _scale(variant: Variant, state: dict[str, Tensor] | None, path: Path) -> float:
    """Of latents: where it was measured on the pictures (`scale_by_std`), the single file has it."""
    if variant.scale is not None:
        return variant.scale
    if "scale_factor" not in state:
        raise ValueError(f"{path} has no scale_factor, which this variant needs: give the file of its authors.")
    return float(state["scale_factor"])


def check_prediction(file: Path, variant: str) -> None:
    """Raise ValueError if a folder of diffusers says that its U-Net predicts something else than the variant's does.

    No name or shape of the weights would tell: those of sd_2 and sd_2_base differ in their values alone. A folder
    without this file, and a single file, have to be believed.
    """
    if not file.is_file():
        return
    try:
        said = json.loads(file.read_text()).get("prediction_type", "epsilon")
        predicts = PREDICTS[said]
    except (ValueError, AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"{file} cannot be read as the settings of a scheduler ({error!r}). {REMEDY}") from error
    v = VARIANTS[variant]
    if predicts != v.predicts:
        same = [name for name, w in VARIANTS.items() if (w.unet, w.text, w.predicts) == (v.unet, v.text, predicts)]
        right = f"This is {same[0]!r}: ask for that variant." if same else "There is no such variant."
        raise ValueError(
            f"{file} says prediction_type {said!r}, but the U-Net of {variant!r} predicts {v.predicts}. {right}"
        )


def _file(path: Path, part: str, remedy: str) -> Path:
    """The file of weights of a part in a folder of diffusers, where an autoencoder with a codebook is called vqvae."""
    folder = path / FOLDERS[part]
    if part == "autoencoder" and (path / "vqvae").is_dir():
        folder = path / "vqvae"
    for name in NAMES:
        if (folder / name).is_file():
            return folder / name
    raise ValueError(f"There is no file of weights in {folder}. {remedy}")
