"""The small diffusion models of the course: captions become pictures on a laptop, by the code of the large ones.

    ddpm      in pixels, 64x64, flowers and birds;  Ho, Jain and Abbeel 2020, with captions
              its reader is that of the AttnGAN
    ldm       in latents of 128x128, all worlds;    Rombach et al. 2022: latent diffusion
              its reader of captions trained along
    ldm_clip  the same, but its reader is CLIP,     Rombach and Esser 2022: Stable Diffusion
              trained before, and frozen

What is new since DDPM is in the recipe, and makes an hour of a laptop enough. The network predicts the picture itself,
as it is simpler than its noise; fine detail passes by (Karras et al. 2022). 8x8 pixels are one place for it, or 2x2
places of a latent, whose autoencoder was trained with diffusion in mind (codec/losses.py). The schedule is a cosine
(Nichol and Dhariwal 2021), shifted to more noise (after Hoogeboom et al. 2023). No timestep pulls much harder than
another (`v_weight`; Salimans and Ho 2022), but those at which shapes emerge from the noise come most often
(`timesteps`; Esser et al. 2024). Every block hears what the caption says as a whole, as in GLIDE (Nichol et al. 2021).
A network that has learned to see helps (alignment.py; Yu et al. 2024), and Muon (nn/muon.py) is the optimiser. Up to
four captions of a picture are read at once in training (as released, GAN-INT-CLS and StackGAN average several): any
one, and then those that add most to what is known; drawing reads one. The captions of one picture in ten are left out,
so that guidance knows what a picture without a caption is (Ho and Salimans 2022).
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm.auto import tqdm

from t2i_course import worlds
from t2i_course.codec.autoencoder import Autoencoder, scale_of
from t2i_course.codec.folded import Folded
from t2i_course.nn.losses import likeness
from t2i_course.nn.muon import Muon
from t2i_course.nn.unet import Config as UNetConfig
from t2i_course.nn.unet import UNet
from t2i_course.nn.world_cnn import CNN_OF, Eyes
from t2i_course.paths import DATA, cache_folder, write_atomically
from t2i_course.text.bert import BERT
from t2i_course.text.bert import Config as BERTConfig
from t2i_course.text.word_rnn import WordRNN
from t2i_course.text.words import encode, vocabulary
from t2i_course.weights import load_weights
from t2i_course.worlds.base import to_float
from t2i_course.worlds.cache import cached_pictures

from .alignment import frozen, head, latent_eyes, with_middle
from .latent_diffusion import LatentDiffusion, Reader
from .losses import simple_loss, v_weight
from .process import Process, cosine

if TYPE_CHECKING:
    from t2i_course.training import Recipe

PICTURES = 10_000  # of each world, to learn from
NOT_HIDDEN = "tokens", "positions", "unet.first", "unet.last", ".time."  # weights for AdamW, not Muon
LENGTH = 40  # words of a caption; the longest of the worlds have 37
DIM = 192  # numbers of a word in its context


@dataclass(frozen=True)
class Config:
    """What one of them is made of."""

    unet: UNetConfig
    size: int  # of the pictures
    codec: str | None = None  # the autoencoder; none: pixels
    fold: int = 1  # so many places high and wide are one for the U-Net
    reader: str = "bert"  # trained along, or frozen: "clip", or "damsm", the AttnGAN's
    skip_last: int = 0  # blocks of CLIP that are left out, as in Stable Diffusion 2
    captions: int = 1  # of a picture, which are read at once in training, at most
    worlds: tuple[str, ...] = worlds.NAMES
    predicts: str = "x0"
    shift: float = 1.0  # of the noise schedule
    detail: float = 0.0  # see Process
    until: int = 0  # see LatentDiffusion
    guidance_scale: float = 5.0  # of drawing, unless another is asked for
    aligned: float = 0.0  # weights of what is seen inside and outside, see alignment.py; 0: it plays no part
    perceived: float = 0.0

    def __post_init__(self):
        if self.perceived and not self.codec and len({CNN_OF[world] for world in self.worlds}) > 1:
            raise ValueError(f"What one CNN perceives are worlds that it knows; none knows {', '.join(self.worlds)}.")

    @property
    def process(self) -> Process:
        """What drowns the pictures."""
        return Process(cosine(shift=self.shift), self.predicts, detail=self.detail)


def unet(channels: int, ask: tuple[int, ...], context_dim: int = DIM) -> UNetConfig:
    """A U-Net of two levels: the places of the folded picture, and a quarter of them. Levels in `ask` ask the words."""
    options = {"heads": 4, "context_dim": context_dim, "pooled": True, "resample": "conv", "groups": 8}
    return UNetConfig(96, (1, 1), 2, ask, channels, channels, **options)


# Chosen by the facts that were kept after a few minutes of training, and by eye.
PIXELS = {"fold": 8, "detail": 0.13, "perceived": 0.5, "guidance_scale": 3.0}
LATENT = {"codec": "small_kl_f8_aligned", "fold": 2, "detail": 0.3, "perceived": 0.5}
ALL = {"captions": 4, "shift": 2.0, "until": 130, "aligned": 1.5}
SMALL = {
    "ddpm": Config(unet(192, (1,), 128), 64, **PIXELS, **ALL, reader="damsm", worlds=("flowers", "birds")),
    "ldm": Config(unet(16, (1,)), 128, **LATENT, **ALL),
    "ldm_clip": Config(unet(16, (0, 1)), 128, **LATENT, **ALL, reader="clip", skip_last=1),
}


def build(config: Config) -> nn.ModuleDict:
    """What is trained: the U-Net, and the reader unless it is frozen."""
    net = nn.ModuleDict({"unet": UNet(config.unet)})
    if config.reader == "bert":
        net["text"] = BERT(BERTConfig(DIM, 2, 4, None, LENGTH, len(vocabulary(*config.worlds)) + 1))
    net.register_buffer("scale", torch.tensor(1.0))  # what latents are multiplied with
    return net


def word_numbers(captions: Sequence[str], names: Sequence[str]) -> Tensor:
    """Numbers of words (B, LENGTH); the empty caption is padding alone. UnknownWord for words that no world knows.

    Raises ValueError for a caption of more words.
    """
    if isinstance(captions, str):
        raise ValueError("Give a list of captions, not one string.")
    tokens = torch.zeros(len(captions), LENGTH, dtype=torch.long)
    told = [i for i, caption in enumerate(captions) if caption.strip()]
    if told:
        found, lengths = encode([captions[i] for i in told], vocabulary(*names))
        if lengths.max() > LENGTH:
            raise ValueError(f"A caption has {lengths.max()} words; this model reads up to {LENGTH}.")
        tokens[told, : found.shape[1]] = found
    return tokens


def reader_of(net: nn.ModuleDict, config: Config) -> Reader:
    """What reads the captions: its `plain` has gradients if it is trained along."""
    if "text" in net:
        return Reader(net["text"], lambda captions: word_numbers(captions, config.worlds))
    if config.reader == "damsm":
        from t2i_course.gan.damsm import DAMSM, WORLDS

        words = DAMSM.load().text.to(net.scale.device)  # has numbers for the words of its own worlds
        return Reader(partial(words_and_sentence, words), lambda captions: word_numbers(captions, WORLDS), words)
    from t2i_course.text.clip import CLIP

    clip = CLIP.load("small")
    text = clip.text.to(net.scale.device)
    return Reader(lambda tokens: text.context(tokens, config.skip_last), clip.tokens, text)


def words_and_sentence(text: WordRNN, tokens: Tensor) -> Tensor:
    """Numbers of words (B, LENGTH) -> context (B, LENGTH, 128): the words, and then what the caption says as a whole.

    All zeros for the empty caption. What leaves an LSTM is small; times 5 its deviation is about 1, as that of noise.
    """
    lengths = (tokens > 0).sum(1)
    context, told = tokens.new_zeros(*tokens.shape, text.dim, dtype=torch.float32), lengths > 0
    if told.any():
        words, sentence = text(tokens[told], lengths[told])
        context[told] = 5 * torch.where(tokens[told, :, None] > 0, words, sentence[:, None])
    return context


def codec_of(config: Config) -> Folded:
    """What is between pictures and latents."""
    return Folded(config.fold, Autoencoder.load(config.codec) if config.codec else None)


def system(
    net: nn.ModuleDict, config: Config, codec: Folded | None = None, kind: type[LatentDiffusion] = LatentDiffusion
) -> LatentDiffusion:
    """A network, ready to draw."""
    codec = codec_of(config) if codec is None else codec
    return kind(
        reader_of(net, config),
        net["unet"],
        codec,
        config.process,
        float(net.scale),
        config.size,
        steps=30,
        guidance_scale=config.guidance_scale,
        sampler="ddpm",
        until=config.until,
    )


def load(
    name: str = "ldm",
    weights: str | Path | None = None,
    kind: type[LatentDiffusion] = LatentDiffusion,
    device: str | None = None,
) -> LatentDiffusion:
    """A model that ships with the course, ready to draw."""
    if name not in SMALL:
        raise ValueError(f"There is no small diffusion model {name!r}. There are: {', '.join(SMALL)}.")
    file, net = Path(weights or DATA / "weights" / f"{name}.safetensors"), build(SMALL[name])
    load_weights(net, file, f"Train it: t2i train {name} --export {file}")
    net, codec = net.requires_grad_(False).eval().to(device), codec_of(SMALL[name]).to(device)
    return system(net, SMALL[name], codec, kind)


# --- the recipe -------------------------------------------------------------------------------------------------------


def recipe(name: str, *, steps: int = 10_000, batch_size: int = 24) -> Recipe:
    """How one of them is trained. Latents are made once, and kept in the cache."""
    from t2i_course.judge.progress import caption_accuracies, sample_sheet
    from t2i_course.training import Recipe

    config = SMALL[name]
    codec, process = codec_of(config), config.process
    eyes = Eyes(CNN_OF[config.worlds[0]]) if config.perceived and not config.codec else None
    reader = cache(partial(reader_of, config=config))  # a frozen one is loaded once
    if batch_size < 1 or batch_size % len(config.worlds):
        raise ValueError(f"batch_size={batch_size}: a multiple of {len(config.worlds)}, as many of each world.")

    def build_scaled():
        net = build(config)
        if config.codec:
            some = (cached_pictures(worlds.load(world), "train", config.size, PICTURES)[:64] for world in config.worlds)
            net.scale.fill_(scale_of(codec, to_float(np.concatenate(list(some)))))
        if config.aligned:
            net["head"] = head(net["unet"].widths[-1])
        if config.perceived and config.codec:
            net["eyes"] = latent_eyes(codec.inside.z)
        return net

    def losses(net, batch):
        x0, columns, seen = batch
        x0 = x0 * net.scale
        left_out = np.random.rand(len(x0)) < 0.1
        columns = columns[: np.random.randint(1, len(columns) + 1)]
        told = [["" if out else c for c, out in zip(column, left_out, strict=True)] for column in columns]
        context = torch.cat([reader(net).plain(captions) for captions in told], 1)
        t = timesteps(process, len(x0)).to(x0.device)
        eps = torch.randn_like(x0)
        x_t = process.add_noise(x0, t, eps)
        prediction, middle = with_middle(net["unet"], x_t, t, context)
        error = simple_loss(process, prediction.float(), x0, t, eps)
        terms = {"loss": (v_weight(process, t) * error).mean(), "error": error.mean()}
        if config.aligned:
            terms["likeness"] = likeness(net["head"](middle), seen)
            terms["loss"] = terms["loss"] - config.aligned * terms["likeness"]
        if config.perceived:
            guess = F.pixel_shuffle(process.split(prediction.float(), x_t, t)[0], codec.fold)
            if config.codec:
                terms["eyes"] = likeness(net["eyes"](F.pixel_shuffle(x0, codec.fold)), seen)
                terms["perceived"] = likeness(frozen(net["eyes"], guess), seen)
                terms["loss"] = terms["loss"] - terms["eyes"]
            else:
                terms["perceived"] = likeness(eyes.to(guess.device).encode(guess), seen)
            terms["loss"] = terms["loss"] - config.perceived * terms["perceived"]
        yield "all", terms

    def draw(net):
        return lambda captions, seed: system(net, config, codec.to(net.scale.device)).draw(captions, seed, steps=15)

    return Recipe(
        name=name,
        build=build_scaled,
        batches=lambda seed, start: batches(config, codec, batch_size, seed, start),
        losses=losses,
        optimisers=lambda net: {"all": Muon(net.named_parameters(), 0.02, 8e-4, others=NOT_HIDDEN)},
        steps=steps,
        warmup=200,
        ema=0.999,
        evaluate=lambda net: caption_accuracies(draw(net), config.worlds, n=50, diverse=False),
        sample=lambda net, step: sample_sheet(draw(net), config.worlds, each=16),
        every=3000,
        leave_out=("head.", "eyes."),
        record={"codec": config.codec},
    )


def timesteps(process: Process, n: int) -> Tensor:
    """Timesteps (n,) to learn from: two of three are between 0.23 and 0.60 of the way, where shapes emerge.

    "Scaling Rectified Flow Transformers", Esser et al. 2024, section 3.1: sigmoids of normal random numbers.
    """
    way = torch.sigmoid(0.8 * torch.randn(n) - 0.4)
    return (len(process.alpha_bar) * way).long().clamp(max=len(process.alpha_bar) - 1)


def batches(
    config: Config, codec: Folded, batch_size: int, seed: int, start: int
) -> Iterator[tuple[Tensor, list[list[str]], Tensor | None]]:
    """Endless (latents (B, Z, h, w), captions, what is seen (B, 192, 8, 8)); step k's follow from (seed, k).

    As many of each world. Captions are lists of B: the k-th holds each picture's k-th caption, chosen to tell what
    the earlier ones do not. Nothing is seen unless it plays a part.
    """
    share, known = batch_size // len(config.worlds), {name: worlds.load(name) for name in config.worlds}
    stored = {name: _stored(world, config, codec.inside) for name, world in known.items()}
    watched = config.aligned or config.perceived
    looks = {name: _stored(world, config, Eyes(CNN_OF[name])) for name, world in known.items() if watched}
    written = cache(lambda name, i: captions_of(known[name], i))
    for step in count(start):
        rng, told, rows, seen = np.random.default_rng([seed, step]), [], [], []
        for name in known:
            chosen = rng.integers(PICTURES, size=share)
            told += [telling(written(name, int(i)), config.captions, rng) for i in chosen]
            rows.append(stored[name][chosen])
            seen += [looks[name][chosen]] if watched else []
        rows = np.concatenate(rows)
        x = torch.from_numpy(rows).float() if config.codec else to_float(rows)
        columns = [list(column) for column in zip(*told, strict=True)]
        yield F.pixel_unshuffle(x, codec.fold), columns, torch.from_numpy(np.concatenate(seen)) if watched else None


def captions_of(world, index: int, n: int = 12) -> list[tuple[str, tuple[str, ...]]]:
    """`n` captions of a picture of the split train, and the attributes of which each tells."""
    spec, rng = world.spec("train", index), np.random.default_rng(index)
    return [(caption, tuple(facts)) for caption, facts in (world.describe(spec, rng) for _ in range(n))]


def telling(written: Sequence[tuple[str, Sequence[str]]], n: int, rng: np.random.Generator) -> list[str]:
    """`n` of a picture's captions that tell much of it together: any one, then always the one that adds most."""
    left, chosen, known = [written[k] for k in rng.permutation(len(written))], [], set()
    while len(chosen) < n:
        best = max(left, key=lambda caption: len(known.union(caption[1]))) if chosen else left[0]
        left.remove(best)
        chosen.append(best[0])
        known.update(best[1])
    return chosen


def _stored(world, config: Config, codec: Autoencoder | Eyes | None) -> np.ndarray:
    """The first pictures of the split train, uint8 (N, H, W, 3), or what they are to a codec, float16 (N, Z, h, w)."""
    pictures = cached_pictures(world, "train", config.size, PICTURES)
    if codec is None:
        return pictures
    made_by = zlib.crc32(b"".join(t.cpu().numpy().tobytes() for t in codec.state_dict().values()))
    name = f"{world.name}-{config.size}px-{len(pictures)}-{made_by:08x}-{world.fingerprint()}.npy"
    file = cache_folder() / "latents" / name
    if not file.exists():
        device = next(codec.parameters()).device
        parts = [
            codec.encode(to_float(np.array(pictures[i : i + 50])).to(device)).half().cpu().numpy()
            for i in tqdm(range(0, len(pictures), 50), f"latents of {world.name}")
        ]
        file.parent.mkdir(parents=True, exist_ok=True)
        content = io.BytesIO()
        np.save(content, np.concatenate(parts), allow_pickle=False)
        write_atomically(file, content.getvalue())
    try:
        return np.load(file, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(f"{file} is damaged: delete it, and it is made anew. {error}") from error
