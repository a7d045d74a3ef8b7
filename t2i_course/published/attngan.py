"""AttnGAN: the released files for birds (CUB) and MS-COCO: generator, discriminators, text and image encoders.

The released code makes a mistake where a batch holds more than one caption (see `TiledStage`), and the released
weights were trained with it. A caption that is drawn alone is drawn as in the released code; so is each of a batch, as
the mistake is left out. Who wants it, as to compare batches with those of the released code, takes
`load_generator(file, config, tiled=True)`.
"""

from __future__ import annotations

import re
from pathlib import Path

import torch
from torch import Tensor, nn

from t2i_course.gan import damsm
from t2i_course.gan.attngan import VARIANTS, AttnGAN, Generator, NextStage
from t2i_course.gan.damsm import PictureEncoder
from t2i_course.gan.parts import Discriminator
from t2i_course.nn.attention import attention
from t2i_course.text import word_rnn
from t2i_course.text.word_rnn import WordRNN
from t2i_course.weights import loaded

from . import renamed, with_counts

FILES = {  # in the folder that `load` takes
    "generator": "generator.pth",
    "text_encoder": "text_encoder.pth",
    "words": "words.txt",
}
REMEDY = (
    "For a published AttnGAN give a folder with generator.pth (released as bird_AttnGAN2.pth, coco_AttnGAN2.pth), "
    "text_encoder.pth (text_encoder599.pth or text_encoder100.pth), and words.txt: the words of captions.pickle, one "
    "in a line in the order of their numbers (line 1 is number 0, <end>). A pickle can run code: it is not read here."
)

GENERATOR = {  # beginnings of their names -> ours
    r"ca_net\.": "condition.",
    r"h_net1\.fc\.": "first.project.",
    **{rf"h_net1\.upsample{k}\.": f"first.grow.{k - 1}." for k in (1, 2, 3, 4)},
    **{rf"img_net{k}\.img\.0\.": f"to_picture.{k - 1}." for k in (1, 2, 3)},
    **{rf"h_net{k}\.att\.conv_context\.": f"next.{k - 2}.to_features." for k in (2, 3)},
    **{rf"h_net{k}\.residual\.(\d+)\.block\.": rf"next.{k - 2}.refine.\1.body." for k in (2, 3)},
}
DISCRIMINATOR = {
    r"img_code_s16\.": "look.",
    **{rf"img_code_s32\.{n}\.": f"look.{11 + n}." for n in (0, 1)},
    **{rf"img_code_s32_1\.{n}\.": f"look.{14 + n}." for n in (0, 1)},
    **{rf"img_code_s64\.{n}\.": f"look.{14 + n}." for n in (0, 1)},
    **{rf"img_code_s64_1\.{n}\.": f"look.{17 + n}." for n in (0, 1)},
    **{rf"img_code_s64_2\.{n}\.": f"look.{20 + n}." for n in (0, 1)},
    r"COND_DNET\.jointConv\.": "compare.",
    r"COND_DNET\.outlogits\.0\.": "compare.3.",
    r"UNCOND_DNET\.outlogits\.0\.": "alone.",
}
TEXT_ENCODER = {r"encoder\.": "embed.", r"rnn\.": "lstm."}
IMAGE_ENCODER = {
    r"emb_features\.": "regions.",
    r"emb_cnn_code\.": "whole.",
    r"(Mixed_7\w)\.": r"eyes.to_whole.\1.",
    r"(Conv2d_\w+|Mixed_[56]\w)\.": r"eyes.to_regions.\1.",
}


def convert_generator(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The 1x1 convolution over words is a linear layer here; the last block of a stage follows its residual blocks."""
    residuals = len({name.split(".")[2] for name in state if name.startswith("h_net2.residual.")})
    last = {rf"h_net{k}\.upsample\.": f"next.{k - 2}.refine.{residuals}." for k in (2, 3)}
    ours = renamed(state, GENERATOR | last)
    return with_counts({name: t.flatten(1) if name.endswith("to_features.weight") else t for name, t in ours.items()})


def convert_discriminator(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """netD0, netD1 or netD2."""
    return with_counts(renamed(state, DISCRIMINATOR))


def convert_text_encoder(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """text_encoder*.pth."""
    return renamed(state, TEXT_ENCODER)


def convert_image_encoder(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """image_encoder*.pth."""
    return with_counts(renamed(state, IMAGE_ENCODER))


class TiledStage(NextStage):
    """A stage that masks words as the released code does: of B captions, place n of caption b gets the mask of caption
    (b * N + n) mod B, not of b. So a place may look at another caption's padding, and not at some of its own words."""

    def forward(self, h: Tensor, words: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        e = self.to_features(words)  # (B, T, C)
        places = h.flatten(2).transpose(1, 2)  # (B, N, C)
        tiled = mask.repeat(places.shape[1], 1).view(*places.shape[:2], -1)  # (B, N, T)
        context, weights = attention(places, e, e, tiled, scale=1.0)  # (B, N, C), (B, N, T)
        context, weights = (x.transpose(1, 2).unflatten(2, h.shape[2:]) for x in (context, weights))
        return self.refine(torch.cat([h, context], 1)), weights


def load_generator(file: str | Path, config=VARIANTS["bird"], tiled: bool = False) -> Generator:
    """The published generator, frozen. tiled: with the mistake of the released code."""

    def build():
        net = Generator(config)
        if tiled:
            net.next = nn.ModuleList(TiledStage(config) for _ in net.next)
        return net

    return loaded(build, file, REMEDY, convert_generator)


def load_discriminator(file: str | Path, stage: int, config=VARIANTS["bird"]) -> Discriminator:
    """The published discriminator of stage 0, 1 or 2, frozen."""
    size, width = config.sizes[stage], config.discriminator_width
    return loaded(lambda: Discriminator(size, width, config.text_dim), file, REMEDY, convert_discriminator)


def load_text_encoder(file: str | Path, config: word_rnn.Config) -> WordRNN:
    """The published text encoder, frozen."""
    return loaded(lambda: WordRNN(config), file, REMEDY, convert_text_encoder)


def load_image_encoder(file: str | Path, config: damsm.Config) -> PictureEncoder:
    """The published image encoder of the DAMSM, frozen."""
    return loaded(lambda: PictureEncoder(config), file, REMEDY, convert_image_encoder)


def load(variant: str, folder: str | Path | None) -> AttnGAN:
    """A published AttnGAN, ready to draw: "bird" or "coco". Raises ValueError for a folder that does not hold it."""
    if folder is None:
        raise ValueError(f"The published weights do not ship with the course. {REMEDY}")
    folder, config, words = Path(folder), VARIANTS[variant], damsm.VARIANTS[variant].words
    try:
        known = (folder / FILES["words"]).read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{folder / FILES['words']} cannot be read. {REMEDY}") from error
    known = known[:-1] if known[-1] == "" else known
    if len(known) != words:
        raise ValueError(f"{folder / FILES['words']} has {len(known):,} lines, not {words:,}. {REMEDY}")
    text = load_text_encoder(folder / FILES["text_encoder"], word_rnn.Config(words))
    return AttnGAN(text, known[1:], load_generator(folder / FILES["generator"], config), config, released_words)


def released_words(caption: str) -> list[str]:
    """Words as the released code finds them: letters and digits as they are, and no commas."""
    return re.findall(r"\w+", caption.lower())
