"""alignDRAW: the first neural network that draws captions.

"Generating Images from Captions with Attention", Mansimov, Parisotto, Ba and Salakhutdinov, ICLR 2016 (2015 online). It
joins two ideas. DRAW (Gregor et al. 2015) writes a picture on a canvas in T steps, each through a small window that it
may move and zoom. Alignment (Bahdanau et al. 2014) lets each step look at the words that it needs:

    h_lang = BiLSTM(words)                                                  what each word means here
    s_t    = sum_k alpha_tk h_lang_k,  alpha_t = softmax_k( v . tanh(U h_lang_k + W h_dec_(t-1) + b) )
    z_t    ~ Q(z_t | h_enc_t)  in training,   ~ P(z_t | h_dec_(t-1))  in drawing
    h_dec_t = LSTM_dec(h_dec_(t-1), [z_t, s_t])
    c_t    = c_(t-1) + write(h_dec_t),              picture = sigmoid(c_T)

It is trained to say how likely a picture is, by the variational bound: the nats to correct the picture, plus the nats
to tell the decoder each z_t beyond what it expected. Its expectation P is learned, too. One draw stands for the mean:

    - log p(x | words) <= L = E_Q [ - log p(x | c_T) + sum_t KL( Q(z_t | x, z_<t, words) || P(z_t | z_<t, words) ) ]

One mistake of the released code is not repeated: its backward LSTM reads the captions of the batch, not the words, in
reverse order. Another is kept, as it harms nothing: its filters stand beside the centre of the window, by half a step
if N is odd, by a whole one if it is even.
B captions, T steps, L words, A pixels of a side, N of the window's, Z of a latent, H of the decoder's state, D of the
LSTM's over words, each way.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from t2i_course import worlds
from t2i_course.nn.noise import noise
from t2i_course.paths import DATA
from t2i_course.text.words import encode, vocabulary
from t2i_course.weights import load_weights
from t2i_course.worlds.language import words as split_words

if TYPE_CHECKING:
    from t2i_course.training import Recipe

WORLDS = ("flowers", "birds")  # that the small model knows


@dataclass(frozen=True)
class Config:
    """Sizes of an alignDRAW."""

    words: int  # in the vocabulary, with the padding
    size: int = 32
    channels: int = 3
    steps: int = 32
    window: int = 9
    latent: int = 275
    hidden: int = 550  # of the encoder and of the decoder
    language: int = 128  # of the LSTM over words, each way
    align: int = 512


VARIANTS = {
    "full": Config(25_323),  # MS-COCO
    "mnist": Config(23, size=60, channels=1, window=8, latent=150, hidden=300),  # MNIST with captions
}


def small_config() -> Config:
    """The small one: for the words of flowers and birds."""
    return Config(1 + len(vocabulary(*WORLDS)), steps=12, latent=64, hidden=256, language=96, align=128)


# --- reading words ----------------------------------------------------------------------------------------------------


class LSTMCell(nn.Module):
    """One step of an LSTM, as released: one bias, no peepholes."""

    def __init__(self, dim_in: int, dim: int):
        super().__init__()
        self.gates = nn.Linear(dim_in + dim, 4 * dim)

    def forward(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        """x (B, dim_in), state and cell (B, dim) -> the next state and cell."""
        return lstm_update(self.gates(torch.cat([x, h], 1)), c)


def lstm_update(gates: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """Gates (B, 4D) in the order input, forget, new, output, and the cell (B, D) -> the next h and c."""
    i, f, g, o = gates.chunk(4, 1)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


class ReadsWords(nn.Module):
    """Numbers of words (B, L), and how many count (B,) -> what each word means in its sentence (B, L, 2D).

    A word is a one-hot vector, so the product of an LSTM's matrix with it is a look-up: nn.Embedding.
    """

    def __init__(self, config: Config):
        super().__init__()
        d = config.language
        self.start = nn.Parameter(torch.zeros(d))
        self.from_word = nn.ModuleList(nn.Embedding(config.words, 4 * d) for _ in range(2))
        self.from_state = nn.ModuleList(nn.Linear(d, 4 * d) for _ in range(2))

    def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        places = torch.arange(tokens.shape[1], device=tokens.device)
        backwards = (lengths[:, None] - 1 - places).clamp(min=0)  # (B, L): the last word first, then padding
        forward_states = self.run(0, tokens)
        backward_states = self.run(1, tokens.gather(1, backwards))
        backward_states = backward_states.gather(1, backwards[..., None].expand_as(backward_states))
        return torch.cat([forward_states, backward_states], 2)

    def run(self, direction: int, tokens: Tensor) -> Tensor:
        """States (B, L, D) of one LSTM that reads the words as they come."""
        h = self.start.expand(len(tokens), -1)
        c, states = torch.zeros_like(h), []
        for from_word in self.from_word[direction](tokens).unbind(1):
            h, c = lstm_update(from_word + self.from_state[direction](h), c)
            states.append(h)
        return torch.stack(states, 1)


class Align(nn.Module):
    """The decoder's state (B, H) looks at the words (B, L, 2D): what it finds (B, 2D), and where it looked (B, L)."""

    def __init__(self, config: Config):
        super().__init__()
        self.of_words = nn.Linear(2 * config.language, config.align, bias=False)  # U
        self.of_state = nn.Linear(config.hidden, config.align)  # W, b
        self.score = nn.Linear(config.align, 1, bias=False)  # v

    def forward(self, h_dec: Tensor, words: Tensor, keys: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """keys (B, L, align) = of_words(words), which do not change from step to step; mask (B, L) True for words."""
        e = self.score(torch.tanh(keys + self.of_state(h_dec)[:, None])).squeeze(2)  # (B, L)
        alpha = e.masked_fill(~mask, float("-inf")).softmax(1)
        return (alpha[:, None] @ words).squeeze(1), alpha


# --- reading and writing through a window -----------------------------------------------------------------------------


def filter_means(head: Tensor, size: int, window: int) -> Tensor:
    """Where the filters of a window stand on A x A pixels, the first of which is 0: their x and y (2, B, N).

    head (B, 5) as for `filter_bank`; some may stand outside of the picture. Raises ValueError for a window of one
    filter, which has no stride.
    """
    if window < 2:
        raise ValueError(f"window={window}: a window has at least two filters each way.")
    x, y, log_stride, *_ = head.T[..., None]  # (B, 1) each
    centre = (size + 1) / 2 * (torch.stack([x, y]) + 1)  # (2, B, 1), in pixels
    stride = (size - 1) / (window - 1) * log_stride.exp()
    return centre + stride * (torch.arange(window, device=head.device) - window // 2 - 0.5)  # as released


def filter_bank(head: Tensor, size: int, window: int) -> tuple[Tensor, Tensor, Tensor]:
    """N x N Gaussian filters for a window on A x A pixels: F_x and F_y (B, N, A), and the intensity gamma (B, 1, 1).

    head (B, 5): centre x and y, from -1 to 1 in the picture, log stride, log variance, log intensity. All zero: N
    filters spread over the picture.
    """
    means, (log_variance, log_gamma) = filter_means(head, size, window), head.T[3:, :, None]
    distance = torch.arange(size, device=head.device) - means[..., None]  # (2, B, N, A)
    exponent = distance.square() / (2 * log_variance.exp()[..., None])
    filters = torch.exp(-exponent.clamp(max=30))  # e^-100 is a denormal number: it shows nothing, and is very slow
    f_x, f_y = filters / (filters.sum(-1, keepdim=True) + 1e-4)
    return f_x, f_y, log_gamma.exp()[..., None]


class AlignDRAW(nn.Module):
    """Pictures (B, C, A, A) in [0, 1] and captions -> the variational bound; captions -> pictures."""

    def __init__(self, config: Config):
        super().__init__()
        c, d = config, config.hidden
        self.config = config
        self.words = ReadsWords(c)
        self.align = Align(c)
        glimpse = c.channels * c.window**2
        self.read_head = nn.Linear(d, 5)
        self.encoder = LSTMCell(2 * glimpse + d, d)
        self.posterior = nn.Linear(d, 2 * c.latent)
        self.decoder = LSTMCell(c.latent + 2 * c.language, d)
        self.prior = nn.Linear(d, 2 * c.latent)
        self.write_head = nn.Linear(d, 5)
        self.write_window = nn.Linear(d, glimpse)
        self.h_enc, self.h_dec = nn.Parameter(torch.zeros(d)), nn.Parameter(torch.zeros(d))
        # MNIST starts on black paper.
        start = -10.0 if c.channels == 1 else 0.0
        self.canvas = nn.Parameter(torch.full((c.channels, c.size, c.size), start))
        for p in self.parameters():
            if p.ndim > 1 and p is not self.canvas:
                nn.init.normal_(p, 0, 0.01)
        for module in self.modules():
            if isinstance(module, nn.Linear) and module.bias is not None:
                nn.init.zeros_(module.bias)

    def read(self, x: Tensor, error: Tensor, h_dec: Tensor) -> Tensor:
        """What the window shows of the picture and of its difference from the canvas, both by rows: (B, 2 C N^2)."""
        f_x, f_y, gamma = filter_bank(self.read_head(h_dec), self.config.size, self.config.window)
        both = torch.cat([x, error], 2)  # (B, A, 2C, A): all planes in two large products
        rows = (f_y @ both.flatten(2)).unflatten(2, both.shape[2:])  # (B, N, 2C, A)
        return (gamma * (rows.flatten(1, 2) @ f_x.transpose(1, 2))).flatten(1)  # (B, N * 2C * N)

    def write(self, h_dec: Tensor) -> Tensor:
        """What the window adds to the canvas, by rows: (B, A, C, A)."""
        c = self.config
        f_x, f_y, gamma = filter_bank(self.write_head(h_dec), c.size, c.window)
        patch = self.write_window(h_dec).unflatten(1, (c.window * c.channels, c.window))  # (B, N * C, N)
        rows = (patch @ f_x).unflatten(1, (c.window, c.channels))  # (B, N, C, A)
        drawn = f_y.transpose(1, 2) @ rows.flatten(2) / gamma  # (B, A, C * A)
        return drawn.unflatten(2, (c.channels, c.size))

    def steps(
        self, tokens: Tensor, lengths: Tensor, eps: Tensor, x: Tensor | None = None
    ) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """The loop of the equations above: yields the canvas, alpha (B, L) and the KL term (B,), T times.

        eps (B, T, Z): noise. With pictures x in [0, 1] the latents come from the posterior, else from the prior, and
        the KL term is zero. Pictures and canvas are kept by rows here, (B, A, C, A), so that filters need no copies.
        """
        words = self.words(tokens, lengths)  # (B, L, 2D)
        keys = self.align.of_words(words)
        mask = torch.arange(tokens.shape[1], device=tokens.device) < lengths[:, None]
        starts = (self.h_enc, self.h_dec, self.canvas.transpose(0, 1))
        h_enc, h_dec, canvas = (start.expand(len(tokens), *start.shape) for start in starts)
        c_enc, c_dec = torch.zeros_like(h_enc), torch.zeros_like(h_dec)
        mu_p = log_sigma_p = eps.new_zeros(len(tokens), self.config.latent)  # the first prior is N(0, 1)
        kl = eps.new_zeros(len(tokens))
        for eps_t in eps.unbind(1):
            s, alpha = self.align(h_dec, words, keys, mask)
            mu, log_sigma = mu_p, log_sigma_p
            if x is not None:
                r = self.read(x, x - torch.sigmoid(canvas), h_dec)
                h_enc, c_enc = self.encoder(torch.cat([r, h_dec], 1), h_enc, c_enc)
                mu, log_sigma = self.posterior(h_enc).chunk(2, 1)
                log_sigma = 0.5 * log_sigma
                kl = gaussian_kl(mu, log_sigma, mu_p, log_sigma_p)
            z = mu + log_sigma.exp() * eps_t
            h_dec, c_dec = self.decoder(torch.cat([z, s], 1), h_dec, c_dec)
            canvas = canvas + self.write(h_dec)
            yield canvas, alpha, kl
            mu_p, log_sigma_p = torch.tanh(self.prior(h_dec)).chunk(2, 1)

    def losses(self, x: Tensor, tokens: Tensor, lengths: Tensor) -> dict[str, Tensor]:
        """The bound in nats per picture, x (B, C, A, A) in [0, 1]: "reconstruction", "kl", and "loss", their sum."""
        eps = torch.randn(len(x), self.config.steps, self.config.latent, device=x.device)
        x = x.transpose(1, 2).contiguous()
        canvases, _, kl = zip(*self.steps(tokens, lengths, eps, x), strict=True)
        reconstruction = F.binary_cross_entropy_with_logits(canvases[-1], x, reduction="none").flatten(1).sum(1)
        terms = {"reconstruction": reconstruction.mean(), "kl": sum(kl).mean()}
        return {"loss": sum(terms.values()), **terms}


def gaussian_kl(mu: Tensor, log_sigma: Tensor, mu_p: Tensor, log_sigma_p: Tensor) -> Tensor:
    """KL( N(mu, sigma^2) || N(mu_p, sigma_p^2) ) of (B, Z), summed over the latent: (B,)."""
    ratio = ((mu - mu_p).square() + (2 * log_sigma).exp()) / (2 * log_sigma_p).exp()
    return 0.5 * (ratio - 1 - 2 * log_sigma + 2 * log_sigma_p).sum(1)


# --- drawing ----------------------------------------------------------------------------------------------------------


class Drawer:
    """A trained alignDRAW and the words that it knows."""

    def __init__(self, model: AlignDRAW, words: Sequence[str]):
        self.model, self.words = model.eval(), words

    @classmethod
    def load(cls, variant: str = "small", weights: str | Path | None = None, words: Sequence[str] = ()) -> Drawer:
        """The model that ships with the course ("small"), or one of the published size.

        The released weights are files of Theano, which are not read here. For "full" and "mnist", `weights` is a
        network of this size that you trained, and `words` its vocabulary.
        """
        if variant not in ("small", *VARIANTS):
            raise ValueError(f"aligndraw has no variant {variant!r}. Its variants are: small, {', '.join(VARIANTS)}.")
        if variant != "small" and (weights is None or not words):
            raise ValueError(
                f"aligndraw {variant!r} needs words=[...] and weights=FILE (.safetensors) of a network of this size "
                "that you trained with the loss of vae/aligndraw.py; `t2i train` trains the small one. The weights "
                "that were released with the paper are files of Theano, which are not read here."
            )
        if variant != "small" and len(words) + 1 != VARIANTS[variant].words:
            raise ValueError(f"aligndraw {variant!r} knows {VARIANTS[variant].words - 1:,} words, not {len(words):,}.")
        file = Path(weights or DATA / "weights" / "aligndraw.safetensors")
        model = AlignDRAW(small_config() if variant == "small" else VARIANTS[variant])
        load_weights(model, file, f"Train it: t2i train aligndraw --export {file}")
        return cls(model.requires_grad_(False), vocabulary(*WORLDS) if variant == "small" else words)

    def explain(self, captions: Sequence[str], seed: int = 0) -> dict:
        """Every step: "canvas" (T, B, 3, A, A) in [-1, 1], "attention" (B, T, L) over the "words" (B lists).

        Raises UnknownWord for a word that the model never read.
        """
        tokens, lengths = encode(captions, self.words)
        config = self.model.config
        with torch.no_grad():
            steps = self.model.steps(tokens, lengths, noise(seed, len(tokens), config.steps, config.latent))
            canvas, alpha, _ = zip(*steps, strict=True)
        pictures = 2 * torch.sigmoid(torch.stack(canvas)) - 1  # (T, B, A, C, A)
        pictures = pictures.transpose(2, 3).expand(-1, -1, 3, -1, -1)
        return {
            "canvas": pictures,
            "attention": torch.stack(alpha, 1),
            "words": [split_words(caption) for caption in captions],
        }

    def frames(self, captions: Sequence[str], seed: int = 0) -> Iterator[Tensor]:
        """The canvas after each step: pictures (B, 3, A, A) in [-1, 1]."""
        yield from self.explain(captions, seed)["canvas"]

    def draw(self, captions: Sequence[str], seed: int = 0) -> Tensor:
        """The last frame: pictures (B, 3, A, A) in [-1, 1]."""
        return self.explain(captions, seed)["canvas"][-1]


# --- the recipe of the small one --------------------------------------------------------------------------------------


def recipe(name: str = "aligndraw", *, steps: int = 8000, batch_size: int = 64) -> Recipe:
    """How the small alignDRAW is trained: on flowers and birds at 32x32.

    Adam, where the authors took RMSProp; the gradient is clipped as a whole, where they clipped each tensor's; and the
    weights that draw are a moving average.
    """
    from t2i_course.judge.progress import caption_accuracies, sample_sheet
    from t2i_course.training import Recipe

    known = vocabulary(*WORLDS)

    def losses(model, batch):
        device = batch.pictures.device
        tokens, lengths = encode(batch.captions, known)
        with torch.autocast(device.type, enabled=False):  # bfloat16 is too coarse for a sum over many steps
            yield "model", model.losses(batch.pictures / 2 + 0.5, tokens.to(device), lengths.to(device))

    def draw(model):
        return Drawer(copy.deepcopy(model).cpu().float(), known).draw

    return Recipe(
        name=name,
        build=lambda: AlignDRAW(small_config()),
        batches=lambda seed, start: worlds.mixed_batches(
            WORLDS, "train", 32, batch_size, seed, start=start, epochs=None
        ),
        losses=losses,
        optimisers=lambda model: {"model": torch.optim.Adam(model.parameters(), 1e-3)},
        steps=steps,
        warmup=200,
        ema=0.999,
        grad_clip=10.0,
        evaluate=lambda model: caption_accuracies(draw(model), WORLDS),
        sample=lambda model, step: sample_sheet(draw(model), WORLDS),
        every=1000,
    )
