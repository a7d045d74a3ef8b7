"""Latent diffusion, and Stable Diffusion: noise becomes a latent, and the latent a picture.

"High-Resolution Image Synthesis with Latent Diffusion Models", Rombach, Blattmann, Lorenz, Esser and Ommer, CVPR 2022.
Three networks: an autoencoder that makes pictures small (codec/autoencoder.py), a reader of captions (text/bert.py; in
Stable Diffusion CLIP, text/clip.py), and between them the U-Net, which looks at the caption at every step (nn/unet.py):

    context = read(caption);   z_T = noise;   z_(t-1) = sampler(z_t, U-Net(z_t, t, context));   picture = decode(z_0)

The same network does more than draw: started from a picture that is only half drowned in noise it edits ("SDEdit", Meng
et al. 2021), and with a mask it repaints a part. B captions, (B, Z, H / f, W / f) latents.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from numbers import Integral
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm.auto import tqdm

from t2i_course.codec.autoencoder import Autoencoder
from t2i_course.nn.noise import noise, noise_stream, slerp
from t2i_course.nn.unet import UNet
from t2i_course.text.weighting import weighted
from t2i_course.worlds.base import to_float

from . import process as samplers
from .guidance import classifier_free
from .process import Denoise, Process, evenly, from_end_to_end

Steps = Iterator[tuple[Tensor, Tensor]]
File = str | Path | None


class LatentDiffusion:
    """The three networks, ready to draw.

    read: captions -> context (B, T, K), or None if the U-Net knows no captions. scale: what latents are multiplied with
    before diffusion. released: as CompVis' code, timesteps start at 1, and the last step ends at t = 0. until: where
    drawing ends: the guess that is made there is the picture, because a small network makes it no better with less
    noise. size (of the pictures), steps, guidance_scale and sampler: what is taken unless another is asked for.
    """

    small = "ldm"  # which of the small models ships (small.py)

    def __init__(
        self,
        read: Callable[[Sequence[str]], Tensor | None],
        unet: UNet,
        autoencoder: Autoencoder,
        process: Process,
        scale: float,
        size: int = 512,
        released: bool = False,
        steps: int = 50,
        guidance_scale: float = 7.5,
        sampler: str = "ddim",
        until: int = 0,
    ):
        self.read, self.unet, self.autoencoder = read, unet.eval(), autoencoder.eval()
        self.process, self.scale, self.size, self.released = process, scale, size, released
        self.steps, self.guidance_scale, self.sampler, self.until = steps, guidance_scale, sampler, until

    @classmethod
    def load(
        cls,
        variant: str = "small",
        weights: File = None,
        vocabulary: File = None,
        precision: str = "fp32",
        device: str | None = None,
    ) -> LatentDiffusion:
        """The small model that ships with the course ("small"), or a published system (published/latent_diffusion.py).

        A published one is on a GPU if there is one, the small one is not, unless `device` says where. precision: of a
        published one, "fp32", "bf16" or "fp16".
        """
        if variant == "small":
            for name, given in {"precision": precision != "fp32", "vocabulary": vocabulary}.items():
                if given:
                    raise ValueError(f"The small model takes no {name}; leave it out.")
            from .small import load

            return load(cls.small, weights, cls, device)
        from t2i_course.published.latent_diffusion import load

        return load(weights, variant, vocabulary, precision, device)

    # --- drawing ------------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def latents(
        self,
        captions: Sequence[str],
        seed: int = 0,
        *,
        steps: int | None = None,
        guidance_scale: float | None = None,
        sampler: str | None = None,
        negative: str = "",
        size: int | tuple[int, int] | None = None,
        start: Tensor | None = None,
        strength: float = 1.0,
        beside: Tensor | None = None,
        context: Tensor | None = None,
        z: Tensor | None = None,
    ) -> Steps:
        """The sampler's steps: (z_t, the guess of z_0) after each, both scaled.

        negative: the caption to be pushed away from. size: height and width, multiples of f times 2 to the number of
        the U-Net's halvings. start: latents to edit, of which the last `strength` of the way is drawn anew. beside:
        channels that the U-Net sees beside z_t, as for inpainting. context, z: instead of what follows from captions
        and seed.
        """
        steps, sampler = self.steps if steps is None else steps, sampler or self.sampler
        guidance_scale = self.guidance_scale if guidance_scale is None else guidance_scale
        if not isinstance(guidance_scale, int | float):
            raise ValueError(f"guidance_scale={guidance_scale!r}: it is a number.")
        listed = isinstance(captions, Sequence) and not isinstance(captions, str)
        if not listed or not captions or not all(isinstance(caption, str) for caption in captions):
            raise ValueError("captions is a list of at least one text; put your text into brackets: [text].")
        n = len(captions)
        if wrong := [len(given) for given in (start, beside, context, z) if given is not None and len(given) != n]:
            raise ValueError(f"{n} captions need as many pictures, contexts or latents, not {wrong[0]}.")
        context = self.read(list(captions)) if context is None else context
        weight = next(self.unet.parameters())
        if negative and guidance_scale == 1:
            raise ValueError(
                f"negative={negative!r} says nothing at guidance_scale=1, which asks with the caption alone."
            )
        if context is None and guidance_scale != 1:
            raise ValueError(
                f"guidance_scale={guidance_scale}: this model knows no captions to be guided by; leave it 1."
            )
        null = context if guidance_scale == 1 else self.read([negative] * n)
        z = (self._noise(n, seed, size) if z is None else z).to(weight.device)  # float32, whatever the networks are
        ts = self.timesteps(steps, sampler, 1.0 if start is None else strength)
        if start is not None:
            z = self.process.add_noise(start, ts[0], z)

        def model(x, t, c):
            if beside is not None:
                x = torch.cat([x, beside.repeat(len(x) // len(beside), 1, 1, 1)], 1)
            return self.unet(x.to(weight.dtype), t, c).float()

        denoise = classifier_free(model, context, null, guidance_scale)
        way = self._sample(sampler, denoise, z, ts, noise_stream(seed + 1, n))
        yield from tqdm(way, "drawing", len(ts), leave=False, disable=None)

    def frames(
        self,
        captions: Sequence[str],
        seed: int = 0,
        *,
        every: int = 1,
        steps: int | None = None,
        guidance_scale: float | None = None,
        sampler: str | None = None,
        negative: str = "",
        size: int | tuple[int, int] | None = None,
    ) -> Iterator[Tensor]:
        """Guesses of the picture (B, 3, H, W) in [-1, 1] after every `every` steps, and last the picture.

        The other options are those of `latents`.
        """
        if every < 1:
            raise ValueError(f"every={every}: it is at least 1.")
        options = {"steps": steps, "guidance_scale": guidance_scale, "sampler": sampler}
        way = self.latents(captions, seed, negative=negative, size=size, **options)
        for k, (z, guess) in enumerate(way, 1):
            if k % every == 0:
                yield self.decode(guess)
            last = z
        yield self.decode(last)

    def draw(self, captions: Sequence[str], seed: int = 0, **options) -> Tensor:
        """The last frame; only it is decoded. The options are those of `latents`."""
        options.pop("every", None)  # which matters to a film alone
        ((z, _),) = deque(self.latents(captions, seed, **options), maxlen=1)
        return self.decode(z)

    # --- editing ------------------------------------------------------------------------------------------------------

    def edit(
        self, pictures: Tensor, captions: Sequence[str], seed: int = 0, strength: float = 0.7, **options
    ) -> Tensor:
        """SDEdit: pictures (B, 3, H, W) in [-1, 1] are given so much noise, and drawn to their end with a caption."""
        for name in options.keys() & {"size", "start"}:
            raise ValueError(f"edit takes no {name}: the picture says it.")
        start = self.encode(pictures)
        size = tuple(n * self.autoencoder.factor for n in start.shape[2:])
        return self.draw(captions, seed, start=start, strength=strength, size=size, **options)

    def inpaint(self, pictures: Tensor, mask: Tensor, captions: Sequence[str], seed: int = 0, **options) -> Tensor:
        """Draws anew where mask (B, 1, H, W) is 1, and keeps the rest of pictures (B, 3, H, W) in [-1, 1].

        A U-Net that was trained for it sees the mask and what is kept, which comes back through the autoencoder, not to
        the last digit. Any other draws everything; after each step what is to be kept is put back, with as much noise
        as there still is (Lugmayr et al. 2022, without resampling), and at last exactly. The options are those of
        `latents`, but for size, start and strength.
        """
        for name in options.keys() & {"size", "start", "strength", "beside"}:
            raise ValueError(f"inpaint takes no {name}: the picture and the mask say it.")
        if len(pictures) != len(captions):
            raise ValueError(f"{len(captions)} captions need as many pictures, not {len(pictures)}.")
        pictures = to_float(pictures).to(next(self.unet.parameters()).device).float()
        if mask.shape != (len(pictures), 1, *pictures.shape[2:]):
            raise ValueError(f"The mask is {(len(pictures), 1, *pictures.shape[2:])}, not {tuple(mask.shape)}.")
        hole = (mask > 0.5).to(pictures)
        options |= {"size": tuple(pictures.shape[2:])}
        if self.unet.config.channels > self.autoencoder.z:
            small = F.interpolate(hole, scale_factor=1 / self.autoencoder.factor)  # as it was trained
            beside = torch.cat([small, self.encode(pictures * (1 - hole))], 1)
            return self.draw(captions, seed, beside=beside, **options)
        small = F.max_pool2d(hole, self.autoencoder.factor)  # no hole is too small to be drawn
        known = self.encode(pictures)
        eps = self._noise(len(captions), seed, options["size"]).to(known)
        ts = self.timesteps(options.get("steps") or self.steps, options.get("sampler") or self.sampler)
        for (z, _), t in zip(self.latents(captions, seed, **options), [*ts[1:], -1], strict=True):
            z.copy_(small * z + (1 - small) * self.process.add_noise(known, t, eps))  # the sampler goes on from it
        return torch.where(hole.bool(), self.decode(z), pictures)

    def between(self, first: str, last: str, n: int, seeds: tuple[int, int] = (0, 0), **options) -> Tensor:
        """n pictures (n, 3, H, W) on the way from one caption and seed to another. The options are those of `latents`.

        The contexts are mixed along a straight line, the noise along an arc: halfway on a line it would be too weak.
        Without another sampler it is DDIM where DDPM is the usual one, whose fresh noise would make the pictures jump.
        """
        options = {"sampler": "ddim" if self.sampler == "ddpm" else self.sampler} | options
        if n < 1:
            raise ValueError(f"n={n}: at least one picture.")
        ways = torch.linspace(0, 1, n)
        both = self.read([first, last])
        context = None if both is None else torch.stack([torch.lerp(*both, way.item()) for way in ways])
        a, b = (self._noise(1, seed, options.get("size"))[0] for seed in seeds)
        z = torch.stack([slerp(a, b, way.item()) for way in ways])
        return self.draw([first] * n, context=context, z=z, **options)

    # --- between pictures and latents ---------------------------------------------------------------------------------

    @torch.no_grad()
    def encode(self, pictures: Tensor) -> Tensor:
        """Pictures (B, 3, H, W) in [-1, 1], or uint8 (B, H, W, 3) -> latents, scaled. Raises ValueError for others."""
        return self.scale * self.autoencoder.encode(to_float(pictures).to(next(self.unet.parameters()))).float()

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """Scaled latents -> pictures in [-1, 1]."""
        return self.autoencoder.decode((latents / self.scale).to(next(self.unet.parameters()))).float().clamp(-1, 1)

    def _noise(self, batch: int, seed: int, size: int | tuple[int, int] | None) -> Tensor:
        sides = size if isinstance(size, tuple | list) else (self.size if size is None else size,) * 2
        step = self.autoencoder.factor * 2 ** (len(self.unet.config.mults) - 1)
        if len(sides) != 2 or not all(isinstance(n, Integral) and n > 0 and n % step == 0 for n in sides):
            raise ValueError(f"size={size!r}: height and width must be multiples of {step}.")
        return noise(seed, batch, self.autoencoder.z, *(n // self.autoencoder.factor for n in sides))

    def timesteps(self, steps: int, sampler: str, strength: float = 1.0) -> list[int]:
        """Those that a sampler visits, from much noise to little; of them the last `strength`, at least one.

        From the very last, where x is the noise that drawing starts with. Released models start below it with DDIM,
        PLMS and DDPM, where a network expects some of a picture ("Common Diffusion Noise Schedules and Sample Steps are
        Flawed", Lin et al. 2023). So do PLMS and Heun of the small ones: they mix the noise of two timesteps, which
        says nothing where no picture is left.
        """
        if sampler not in SAMPLERS:
            raise ValueError(f"There is no sampler {sampler!r}. There are: {', '.join(SAMPLERS)}.")
        below = ("ddim", "plms", "ddpm") if self.released else ("plms", "heun")
        offset = int(self.released)
        ts = evenly(self.process, steps, offset) if sampler in below else from_end_to_end(self.process, steps)
        left = 1 - self.until / (len(self.process.alpha_bar) - 1)  # the same way, in the part from `until` on
        ts = list(dict.fromkeys(round(self.until + left * t) for t in ts))  # none twice, where steps are many
        if not 0 < strength <= 1:
            raise ValueError(f"strength={strength}: it is above 0 and at most 1.")
        return ts[len(ts) - max(1, int(len(ts) * strength)) :]

    def _sample(self, sampler: str, denoise: Denoise, z: Tensor, ts: list[int], draw: Callable) -> Steps:
        end, clip = 0 if self.released else -1, getattr(self.autoencoder, "limit", None)
        of = {"ddpm": {"draw": draw, "clip": clip}, "ddim": {"end": end, "clip": clip}, "plms": {"end": end}}
        return SAMPLERS[sampler](self.process, denoise, z, ts, **of.get(sampler, {}))


class DDPM(LatentDiffusion):
    """Diffusion in pixels: what stands for the autoencoder only folds them (codec/folded.py)."""

    small = "ddpm"

    @classmethod
    def load(cls, variant: str = "small", weights: File = None, precision: str = "fp32", device: str | None = None):
        """The small model that ships with the course; or a published one, which knows no captions (pixels.py)."""
        if variant == "small":
            return super().load(variant, weights, precision=precision, device=device)
        from .pixels import PixelDiffusion

        return PixelDiffusion.load(variant, weights, precision=precision, device=device)


class StableDiffusion(LatentDiffusion):
    """Latent diffusion whose reader is CLIP, trained before and frozen."""

    small = "ldm_clip"


SAMPLERS: dict[str, Callable[..., Steps]] = {
    name: getattr(samplers, name) for name in ("ddim", "plms", "dpm_solver", "euler", "heun", "ddpm")
}


class Reader:
    """Captions -> context (B, T, K), on the device on which the network is. "(red:1.5)" counts more: text/weighting.py.

    net: tokens -> context. tokens_of: captions -> tokens (B, T). module: what has the weights, unless it is the net.
    """

    def __init__(
        self,
        net: Callable[[Tensor], Tensor],
        tokens_of: Callable[[Sequence[str]], Tensor],
        module: nn.Module | None = None,
    ):
        self.net, self.tokens_of, self.module = net, tokens_of, net if module is None else module

    def plain(self, captions: Sequence[str]) -> Tensor:
        """The context of captions as they are; with gradients, if there are any."""
        return self.net(self.tokens_of(captions).to(next(self.module.parameters()).device))

    @torch.no_grad()
    def __call__(self, captions: Sequence[str]) -> Tensor:
        if any("(" in caption for caption in captions):
            return weighted(self.plain, self.tokens_of, captions)
        return self.plain(captions)
