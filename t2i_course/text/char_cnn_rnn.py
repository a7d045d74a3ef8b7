"""char-CNN-RNN: a caption, letter by letter, becomes one vector. The text encoder of GAN-INT-CLS and StackGAN.

"Learning Deep Representations of Fine-Grained Visual Descriptions", Reed, Akata, Schiele and Lee, CVPR 2016. New at the
time: no list of words is needed, and the encoder is trained for nothing but saying which captions fit which pictures.
With v the features of a picture and phi(t) the encoded caption, their compatibility is the inner product

    s(v, t) = v . phi(t)

and the joint-embedding loss, as released, asks that what belongs together is ahead of what does not by a margin of 1,
both ways (the paper takes the worst wrong class alone, and the mean over its captions):

    L = mean over pairs of  max(0, 1 + s(v, t') - s(v, t))  +  max(0, 1 + s(v', t) - s(v, t))

Released in three forms, all of them here: for ICML 2016 with a gated recurrent unit (birds) or a plain one (flowers),
and for CVPR 2016 with a plain one of half the width. B captions, A letters of the alphabet, T recurrent steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from t2i_course import worlds
from t2i_course.nn.world_cnn import load_trunk
from t2i_course.paths import DATA
from t2i_course.weights import load_weights

from .words import check_captions, vocabulary
from .words import encode as encode_words

if TYPE_CHECKING:
    from t2i_course.training import Recipe

WORLDS = ("flowers", "birds")  # that the small encoder can read about
# "-" stands twice in the published alphabet, and the second place counts.
ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789-,;.!?:'\"/\\|_@#$%^&*~`+-=<>()[]{} "
LENGTH = 201  # letters that are read; the rest of a longer caption is cut off


@dataclass(frozen=True)
class Config:
    """Sizes of a char-CNN-RNN."""

    widths: tuple[int, int, int] = (384, 512, 512)  # of the convolutions; the last one is also that of the RNN
    dim: int = 1024  # of the embedding
    gated: bool = True  # a gated recurrent unit; else a plain one
    extra_pool: bool = False  # pool once more, for a shorter recurrence
    picture_dim: int = 1024  # features of a picture: of GoogLeNet in the paper


VARIANTS = {
    "icml_birds": Config(),
    "icml_flowers": Config(gated=False, extra_pool=True),
    "cvpr": Config((384, 512, 256), gated=False, extra_pool=True),
    "small": Config((128, 192, 192), dim=256, picture_dim=384),
}


def one_hot(captions: Sequence[str]) -> Tensor:
    """Captions -> their letters (B, A, 201), lower-cased.

    A letter that the alphabet lacks is read as a space, as in the port to PyTorch whose files `published.char_cnn_rnn`
    reads; the original in Lua Torch leaves its place empty.
    """
    number_of = {letter: k for k, letter in enumerate(ALPHABET)}
    letters = torch.zeros(len(captions), len(ALPHABET), LENGTH)
    for row, caption in zip(letters, captions, strict=True):
        numbers = [number_of.get(letter, number_of[" "]) for letter in caption.lower()[:LENGTH]]
        row[numbers, range(len(numbers))] = 1
    return letters


class Recurrence(nn.Module):
    """The released recurrent units, gated or plain. Three things differ from torch's own:

    the first state has no recurrent part, not even its bias; the update gate u weighs the new candidate,
    h_t = u * candidate + (1 - u) * h_{t-1}; and the state is reset before it is multiplied, not after. The plain unit
    is h_t = ReLU(W x_t + U h_{t-1}).
    """

    def __init__(self, dim: int, gated: bool):
        super().__init__()
        self.gated = gated
        self.from_input = nn.Linear(dim, 3 * dim if gated else dim)  # of a gated unit: update, reset, candidate
        self.from_state = nn.Linear(dim, 2 * dim if gated else dim)
        if gated:
            self.from_reset_state = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Inputs (B, T, D) -> the mean of the states (B, D)."""
        steps = self.from_input(x).unbind(1)
        h = torch.tanh(steps[0].chunk(3, -1)[2]) if self.gated else F.relu(steps[0])  # (B, D)
        states = [h]
        for x_t in steps[1:]:
            if self.gated:
                update_x, reset_x, candidate_x = x_t.chunk(3, -1)
                update_h, reset_h = self.from_state(h).chunk(2, -1)
                update, reset = torch.sigmoid(update_x + update_h), torch.sigmoid(reset_x + reset_h)
                candidate = torch.tanh(candidate_x + self.from_reset_state(reset * h))
                h = update * candidate + (1 - update) * h
            else:
                h = F.relu(x_t + self.from_state(h))
            states.append(h)
        return torch.stack(states, 1).mean(1)


class CharCNNRNN(nn.Module):
    """Captions, letter by letter, to vectors (B, dim)."""

    def __init__(self, config: Config):
        super().__init__()
        self.config, self.dim = config, config.dim
        a, b, c = config.widths
        self.conv1 = nn.Conv1d(len(ALPHABET), a, 4)
        self.conv2 = nn.Conv1d(a, b, 4)
        self.conv3 = nn.Conv1d(b, c, 4)
        self.rnn = Recurrence(c, config.gated)
        self.project = nn.Linear(c, config.dim)

    def forward(self, letters: Tensor) -> Tensor:
        x = F.max_pool1d(F.relu(self.conv1(letters)), 3)  # (B, a, 66)
        x = F.max_pool1d(F.relu(self.conv2(x)), 3)  # (B, b, 21)
        x = F.relu(self.conv3(x))  # (B, c, 18)
        if self.config.extra_pool:
            x = F.max_pool1d(x, 3, 2)  # (B, c, 8)
        return self.project(self.rnn(x.transpose(1, 2)))  # (B, dim)

    def encode(self, captions: Sequence[str]) -> Tensor:
        """The vectors of captions, (B, dim), of which LENGTH letters are read. Raises ValueError for anything else."""
        check_captions(captions)
        return self(one_hot(captions).to(self.project.weight))

    @classmethod
    def load(cls, variant: str = "small", weights: str | Path | None = None) -> CharCNNRNN:
        """The encoder that ships with the course ("small"), or a published one from its file `weights`."""
        if variant not in VARIANTS:
            raise ValueError(f"char-CNN-RNN has no variant {variant!r}. Its variants are: {', '.join(VARIANTS)}.")
        if variant != "small":
            from t2i_course.published.char_cnn_rnn import load

            return load(variant, weights)
        file = Path(weights or DATA / "weights" / "char_cnn_rnn.safetensors")
        model = nn.ModuleDict({"text": cls(VARIANTS["small"])})
        load_weights(model, file, f"Train it: t2i train char_cnn_rnn --export {file}")
        return model["text"].requires_grad_(False).eval()


def several_captions(encoder: CharCNNRNN, batch, fits: Tensor | None = None) -> Tensor:
    """The mean embedding (B, dim) of one to four captions of each picture of a worlds.Batch made with more=3.

    GAN-INT-CLS and StackGAN are trained with such means: together, captions tell more of a picture than one of them.
    As a user gives a single caption, the number is drawn anew for each batch. fits (B, B), bool: the first
    captions that are true of other pictures, too; those are read alone, as of the others nobody knows.
    """
    columns = [batch.captions, *(list(column) for column in zip(*batch.more, strict=True))]
    columns = columns[: int(torch.randint(1, len(columns) + 1, ()))]
    with torch.no_grad():
        read = torch.stack([encoder.encode(captions).float() for captions in columns])
    return read.mean(0) if fits is None else torch.where(fits.any(1)[:, None], read[0], read.mean(0))


def check_words(captions: Sequence[str]) -> None:
    """Raise UnknownWord for a word that the small encoder never read, and ValueError for a caption that it would cut.

    Letters can spell anything, and it would answer with some vector, and a picture that nobody asked for.
    """
    encode_words(captions, known_words())
    for caption in captions:
        if len(caption) > LENGTH:
            raise ValueError(f"This encoder reads {LENGTH} letters, not {len(caption)}: {caption[:40]!r}...")


def embed(text: CharCNNRNN, captions: Sequence[str], dim: int, known_words_only: bool) -> Tensor:
    """The embeddings (B, dim) of captions by an encoder, for a model that reads so many numbers.

    known_words_only: `check_words` first. Raises ValueError for an encoder that gives another number of numbers.
    """
    if known_words_only:
        check_words(captions)
    with torch.no_grad():
        embedded = text.encode(captions)
    if embedded.shape[1] != dim:
        raise ValueError(f"This encoder gives {embedded.shape[1]} numbers for a caption; the model reads {dim}.")
    return embedded


@cache
def known_words() -> tuple[str, ...]:
    return vocabulary(*WORLDS)


def joint_embedding_loss(pictures: Tensor, texts: Tensor, fits: Tensor) -> Tensor:
    """The loss as released, over all pairs of a batch that do not belong together.

    pictures, texts: (B, dim). fits (B, B), bool: whether caption i is true of picture j; such pairs are left out.
    """
    s = texts @ pictures.T  # (B captions, B pictures)
    right = s.diagonal()
    other_picture = F.relu(1 + s - right[:, None])
    other_caption = F.relu(1 + s - right[None, :])
    return (other_picture + other_caption)[~fits].mean()


def recipe(name: str = "char_cnn_rnn", *, steps: int = 6000, batch_size: int = 96) -> Recipe:
    """How the small encoder is trained: its captions against pictures as the world's CNN sees them."""
    from t2i_course.training import Recipe

    config, eyes = VARIANTS["small"], load_trunk()

    def build():
        # The paper takes GoogLeNet's 1,024 features as they are; our few get a linear map.
        return nn.ModuleDict({"text": CharCNNRNN(config), "picture": nn.Linear(config.picture_dim, config.dim)})

    def embedded(model, batch):
        with torch.no_grad():
            coarse = eyes.to(batch.pictures.device)(batch.pictures)[1]  # (B, 192, 8, 8)
            seen = torch.cat([coarse.mean((2, 3)), coarse.amax((2, 3))], 1)  # (B, 384)
        return model["picture"](seen).float(), model["text"].encode(batch.captions).float()

    def losses(model, batch):
        yield "model", {"loss": joint_embedding_loss(*embedded(model, batch), batch.fits().to(batch.pictures.device))}

    def evaluate(model):
        """Share of captions whose best picture out of 100 keeps all that they promise."""
        right = {}
        for world in WORLDS:
            (batch,) = worlds.load(world).batches("val", 64, 100, n=100, shuffle=False)
            pictures, texts = embedded(model, batch)
            best = (texts @ pictures.T).argmax(1).cpu()
            right[f"retrieved.{world}"] = batch.fits()[range(100), best].float().mean().item()
        return right

    return Recipe(
        name=name,
        build=build,
        batches=lambda seed, start: worlds.mixed_batches(
            WORLDS, "train", 64, batch_size, seed, start=start, epochs=None
        ),
        losses=losses,
        optimisers=lambda model: {"model": torch.optim.AdamW(model.parameters(), 1e-3, weight_decay=0.01)},
        steps=steps,
        warmup=200,
        ema=0.999,
        evaluate=evaluate,
        every=1000,
        leave_out=("picture.",),
    )
