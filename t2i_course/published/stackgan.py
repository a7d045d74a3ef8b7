"""StackGAN: the files of the release for MS-COCO (StackGAN-Pytorch): generators and discriminators of both stages."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor, nn

from t2i_course.gan.parts import Discriminator
from t2i_course.gan.stackgan import VARIANTS, Config, StackGAN, StageI, StageII
from t2i_course.weights import loaded

from . import renamed, with_counts

REMEDY = (
    "stackgan 'full' takes the Stage II generator of StackGAN-Pytorch (netG_epoch_90.pth of its COCO model), "
    "which holds Stage I as well."
)

BOTH_STAGES = {  # beginnings of their names -> ours
    r"ca_net\.": "augment.",
    r"fc\.": "project.",
    **{rf"upsample{k}\.{layer}\.": f"grow.{k - 1}.1.{layer - 1}." for k in (1, 2, 3, 4) for layer in (1, 2)},
    r"img\.0\.": "to_picture.",
}
STAGE_II = {
    r"encoder\.0\.": "look.0.",
    **{rf"encoder\.{n}\.": f"look.{layer}." for n, layer in {2: "2.0", 3: "2.1", 5: "3.0", 6: "3.1"}.items()},
    r"hr_joint\.": "join.",
    **{
        rf"residual\.(\d+)\.block\.{n}\.": rf"refine.\1.body.{layer}."
        for n, layer in {0: "0.0", 1: "0.1", 3: "1", 4: "2"}.items()
    },
}
DISCRIMINATOR = {
    r"encode_img\.": "look.",
    r"get_cond_logits\.outlogits\.": "compare.",
    r"get_uncond_logits\.outlogits\.0\.": "alone.",
}


def convert_generator(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """A generator of either stage; that of Stage II holds Stage I under "STAGE1_G."."""
    stage1 = {k.removeprefix("STAGE1_G."): t for k, t in state.items() if k.startswith("STAGE1_G.")}
    rest = {k: t for k, t in state.items() if not k.startswith("STAGE1_G.")}
    ours = renamed(rest, BOTH_STAGES | STAGE_II) | {f"stage1.{k}": t for k, t in renamed(stage1, BOTH_STAGES).items()}
    return with_counts(ours)


def convert_discriminator(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """A discriminator of either stage."""
    return with_counts(renamed(state, DISCRIMINATOR))


def load_generator(weights: str | Path, stage: int, config: Config = VARIANTS["full"]) -> StageI | StageII:
    """The published generator of a stage, frozen. Raises ValueError for any other file."""
    return loaded(lambda: (StageI if stage == 1 else StageII)(config), weights, REMEDY, convert_generator)


def load_discriminator(weights: str | Path, stage: int, config: Config = VARIANTS["full"]) -> Discriminator:
    """The published discriminator of a stage, frozen. Raises ValueError for any other file."""
    size, remedy = 64 if stage == 1 else config.size, f"Of StackGAN-Pytorch, this is netD of stage {stage}."

    def build():
        return Discriminator(size, config.discriminator_width, config.condition_dim, alone=stage == 2)

    return loaded(build, weights, remedy, convert_discriminator)


def load(weights: str | Path | None, text: nn.Module | None) -> StackGAN:
    """The published StackGAN, ready to draw. `text`: what encodes captions, as (B, 1024)."""
    if weights is None or text is None:
        raise ValueError(
            f"stackgan 'full' needs weights=FILE and text=ENCODER, as they do not ship with the course. {REMEDY}"
        )
    config = VARIANTS["full"]
    return StackGAN(text, load_generator(weights, 2, config), config, known_words_only=False)
