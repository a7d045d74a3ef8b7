"""DAMSM: does this picture show these words? The deep attentional multimodal similarity model of AttnGAN.

"AttnGAN: Fine-Grained Text to Image Generation with Attentional Generative Adversarial Networks", Xu, Zhang, Huang,
Zhang, Gan, Huang and He, CVPR 2018, section 3.2. Words e_i and regions of a picture v_j live in one space. Each word
looks for its regions (equations 7 to 9):

    s = e^T v,   softmax over the words,   alpha_ij = softmax_j(gamma_1 s_ij),   c_i = sum_j alpha_ij v_j

and a caption fits a picture as well as its words find what they mean (equation 10, without its exponent 1 / gamma_2, as
in the released code), and as its sentence does:

    R(picture, caption) = log sum_i exp(gamma_2 cos(c_i, e_i))         cos(picture, sentence)

Trained so that in a batch each caption finds its picture and each picture its caption: cross-entropy over gamma_3 R
(equations 11 to 13). AttnGAN is then trained to draw what this model finds. B captions, P pictures, T words, N regions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from t2i_course import worlds
from t2i_course.nn.losses import matching_loss
from t2i_course.nn.world_cnn import REGION, WIDTHS, Trunk, load_trunk, regions
from t2i_course.paths import DATA
from t2i_course.text import word_rnn
from t2i_course.text.word_rnn import WordRNN
from t2i_course.text.words import encode, vocabulary
from t2i_course.weights import load_weights
from t2i_course.worlds.language import words as split_words

if TYPE_CHECKING:
    from t2i_course.training import Recipe

WORLDS = ("flowers", "birds")  # that the small model knows
FAR = float("-inf")


@dataclass(frozen=True)
class Config:
    """Sizes of a DAMSM, and how sharply it looks."""

    words: int  # in the vocabulary, with the padding
    dim: int = 256
    eyes: str = "inception"  # the picture's features: of Inception-v3, or of the "world_cnn"
    gamma_1: float = 4.0  # sharpness of a word's look at the regions; the published code's value
    gamma_2: float = 5.0  # how much the best words count
    gamma_3: float = 10.0  # sharpness of the comparison within a batch


VARIANTS = {"bird": Config(5_450), "coco": Config(27_297)}


def small_config() -> Config:
    """The small one: for the words of flowers and birds."""
    return Config(1 + len(vocabulary(*WORLDS)), dim=128, eyes="world_cnn")


# --- pictures -> regions ----------------------------------------------------------------------------------------------


class InceptionEyes(nn.Module):
    """Pictures (B, 3, H, W) in [-1, 1] -> regions (B, 768, 17, 17) and the whole (B, 2048), by Inception-v3."""

    region_dim, whole_dim = 768, 2048

    def __init__(self):
        super().__init__()
        from torchvision.models import inception_v3

        net = inception_v3(weights=None, aux_logits=False, transform_input=False, init_weights=False)
        layers = dict(net.named_children())
        names = [name for name in layers if name not in ("avgpool", "dropout", "fc")]
        split = names.index("Mixed_6e") + 1
        self.to_regions = nn.ModuleDict({name: layers[name] for name in names[:split]})
        self.to_whole = nn.ModuleDict({name: layers[name] for name in names[split:]})

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        x = F.interpolate(pictures, (299, 299), mode="bilinear", align_corners=True)  # as torch 0.3 did it
        for layer in self.to_regions.values():
            x = layer(x)
        regions = x  # (B, 768, 17, 17)
        for layer in self.to_whole.values():
            x = layer(x)
        return regions, x.mean((2, 3))  # (B, 2048)


class WorldEyes(nn.Module):
    """Pictures (B, 3, H, W) in [-1, 1] -> regions (B, 256, 8, 8) and the whole (B, 384), by the world's CNN."""

    region_dim, whole_dim = REGION, 2 * WIDTHS[2]

    def __init__(self):
        super().__init__()
        self.trunk = Trunk()

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        if pictures.shape[-1] != 64:
            pictures = F.interpolate(pictures.float(), (64, 64), mode="bilinear", antialias=True)
        fine, coarse = self.trunk(pictures)
        return regions(fine, coarse), torch.cat([coarse.mean((2, 3)), coarse.amax((2, 3))], 1)  # (B, 384)


EYES = {"inception": InceptionEyes, "world_cnn": WorldEyes}


class PictureEncoder(nn.Module):
    """Pictures -> regions (B, N, D) and the whole (B, D). The eyes are trained elsewhere and stay as they are."""

    def __init__(self, config: Config):
        super().__init__()
        self.eyes = EYES[config.eyes]().requires_grad_(False)
        self.regions = nn.Conv2d(self.eyes.region_dim, config.dim, 1, bias=False)
        self.whole = nn.Linear(self.eyes.whole_dim, config.dim)
        nn.init.uniform_(self.regions.weight, -0.1, 0.1)
        nn.init.uniform_(self.whole.weight, -0.1, 0.1)

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        regions, whole = self.eyes(pictures)
        return self.regions(regions).flatten(2).transpose(1, 2), self.whole(whole)  # (B, N, D), (B, D)

    def train(self, mode: bool = True) -> PictureEncoder:
        """As ever, but the eyes' batch norm never sees a batch's own statistics."""
        super().train(mode)
        self.eyes.eval()
        return self


class DAMSM(nn.Module):
    """A text encoder and a picture encoder into one space."""

    def __init__(self, config: Config):
        super().__init__()
        self.config = config
        self.text = WordRNN(word_rnn.Config(config.words, dim=config.dim))
        self.pictures = PictureEncoder(config)

    @classmethod
    def load(cls, weights: str | Path | None = None) -> DAMSM:
        """The small model that ships with the course, frozen."""
        file = Path(weights or DATA / "weights" / "damsm.safetensors")
        model = cls(small_config())
        load_weights(model, file, f"Train it: t2i train damsm --export {file}")
        return model.requires_grad_(False).eval()

    def losses(
        self, pictures: Tensor, words: Tensor, sentence: Tensor, mask: Tensor, same: Tensor
    ) -> dict[str, Tensor]:
        """Word and sentence losses between pictures (B, 3, H, W) and captions, as `matching_loss` says: their own come
        first, and there may be others."""
        regions, whole = (x.float() for x in self.pictures(pictures))
        c = self.config
        with torch.autocast(pictures.device.type, enabled=False):  # what is multiplied by gamma must be exact
            by_words = c.gamma_3 * word_scores(words.float(), regions, mask, c.gamma_1, c.gamma_2)
            by_sentence = c.gamma_3 * F.cosine_similarity(sentence.float()[:, None], whole[None], dim=-1)
        return {"words": matching_loss(by_words, same), "sentences": matching_loss(by_sentence, same)}


# --- scores and losses ------------------------------------------------------------------------------------------------


def word_attention(words: Tensor, regions: Tensor, mask: Tensor, gamma_1: float) -> Tensor:
    """Where each word looks, alpha (..., T, N): words (..., T, D), regions (..., N, D), mask (..., T) of words."""
    return _looks(words @ regions.transpose(-1, -2), mask, gamma_1)


def _looks(s: Tensor, mask: Tensor, gamma_1: float) -> Tensor:
    s = s.masked_fill(~mask[..., None], FAR).softmax(-2)  # each region asks: which word do I answer?
    return (gamma_1 * s).softmax(-1)  # each word asks: where?


def word_scores(words: Tensor, regions: Tensor, mask: Tensor, gamma_1: float, gamma_2: float) -> Tensor:
    """R for all captions and pictures: words (B, T, D), regions (P, N, D), mask (B, T) -> (B, P).

    All words of all captions meet a picture in one product of matrices.
    """
    s = (words.flatten(0, 1) @ regions.transpose(1, 2)).unflatten(1, words.shape[:2])  # (P, B, T, N)
    alpha = _looks(s, mask, gamma_1)
    contexts = (alpha.flatten(1, 2) @ regions).unflatten(1, words.shape[:2])  # (P, B, T, D)
    cosine = torch.einsum("pbtd,btd->pbt", contexts, F.normalize(words, dim=-1)) / contexts.norm(dim=-1)
    return (gamma_2 * cosine).masked_fill(~mask, FAR).logsumexp(-1).T


def also_fits(batch) -> Tensor:
    """The pairs of a worlds.Batch besides the diagonal in which the caption is true of the picture: (B, B), bool."""
    return batch.fits().fill_diagonal_(False)


def read(
    text: WordRNN, captions: Sequence[str], words: Sequence[str], split: Callable[[str], list[str]] = split_words
) -> tuple[Tensor, Tensor, Tensor]:
    """Captions -> words (B, T, D), sentences (B, D), mask (B, T) True for words."""
    device = text.embed.weight.device
    tokens, lengths = encode(captions, words, split=split)
    mask = torch.arange(tokens.shape[1]) < lengths[:, None]
    return *text(tokens.to(device), lengths), mask.to(device)


def r_precision(sentences: Tensor, whole: Tensor, fits: Tensor, candidates: int = 100, seed: int = 0) -> float:
    """Share of pictures whose best caption, out of its own and `candidates` - 1 random others, is one that fits.

    fits (B captions, B pictures), bool: in the paper only the diagonal. It flatters a generator that was trained with
    the same encoders. Raises ValueError for fewer than `candidates` captions.
    """
    if len(scores := F.cosine_similarity(sentences[:, None], whole[None], dim=-1)) < candidates:
        raise ValueError(f"{len(scores)} captions are too few for R-precision out of {candidates}.")
    generator = torch.Generator().manual_seed(seed)
    n, right = len(scores), 0
    for picture in range(n):
        others = torch.randperm(n, generator=generator)
        chosen = torch.cat([torch.tensor([picture]), others[others != picture][: candidates - 1]])
        best = chosen[scores[chosen, picture].argmax()]
        right += bool(fits[best, picture])
    return right / n


# --- the recipe of the small one --------------------------------------------------------------------------------------


def recipe(name: str = "damsm", *, steps: int = 3000, batch_size: int = 48) -> Recipe:
    """How the small DAMSM is trained: captions of flowers and birds find their pictures."""
    from t2i_course.training import Recipe

    known, trunk = vocabulary(*WORLDS), load_trunk()

    def build():
        model = DAMSM(small_config())
        model.pictures.eyes.trunk.load_state_dict(trunk.state_dict())
        return model

    def losses(model, batch):
        words, sentence, mask = read(model.text, batch.captions, known)
        terms = model.losses(batch.pictures, words, sentence, mask, also_fits(batch).to(mask.device))
        yield "model", {"loss": terms["words"] + terms["sentences"], **terms}

    def evaluate(model):
        precision = {}
        for world in WORLDS:
            (batch,) = worlds.load(world).batches("val", 64, 200, n=200, shuffle=False)
            _, sentences, _ = read(model.text, batch.captions, known)
            whole = model.pictures(batch.pictures.to(sentences.device))[1]
            precision[f"R-precision.{world}"] = r_precision(sentences.float().cpu(), whole.float().cpu(), batch.fits())
        return precision

    def optimisers(model):
        trained = [p for p in model.parameters() if p.requires_grad]
        return {"model": torch.optim.Adam(trained, 2e-3, (0.5, 0.999))}

    return Recipe(
        name=name,
        build=build,
        batches=lambda seed, start: worlds.mixed_batches(
            WORLDS, "train", 64, batch_size, seed, start=start, epochs=None
        ),
        losses=losses,
        optimisers=optimisers,
        steps=steps,
        ema=0.999,
        evaluate=evaluate,
        every=500,
    )
