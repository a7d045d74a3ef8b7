"""The published diffusion models in pixels: DDPM, improved DDPM and ADM, which draw what they like, or a class.

"Denoising Diffusion Probabilistic Models" (Ho et al. 2020), "Improved Denoising Diffusion Probabilistic Models" (Nichol
and Dhariwal 2021), "Diffusion Models Beat GANs on Image Synthesis" (Dhariwal and Nichol 2021). They know no captions:
the "caption" of a model of ImageNet is the name of a class, or its number; that of the others is empty.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from torch import Tensor
from tqdm.auto import tqdm

from t2i_course.nn.noise import noise, noise_stream
from t2i_course.nn.unet import NoisyClassifier, UNet
from t2i_course.text.words import check_captions

from . import process as samplers
from .guidance import by_gradient, classified, uphill
from .process import Process, cosine, evenly, from_end_to_end, linear


@dataclass(frozen=True)
class Variant:
    """How a published U-Net is to be asked."""

    size: int
    cosine: bool = False  # its schedule; else linear
    timesteps: int = 1000
    learned: bool = True  # the variance of each step
    large: bool = False  # if it is not: the larger of the two
    rescaled: bool = False  # the network is told t as if there were 1,000 of them (`rescale_timesteps`)

    @property
    def process(self) -> Process:
        """What the network was trained on."""
        return Process((cosine if self.cosine else linear)(self.timesteps), learned=self.learned)


VARIANTS = {  # their U-Nets have the same names in nn/unet.py
    "ddpm_cifar10": Variant(32, learned=False, large=True),
    "ddpm_256": Variant(256, learned=False),
    "iddpm_cifar10": Variant(32, cosine=True, timesteps=4000, rescaled=True),
    "iddpm_64": Variant(64, cosine=True, timesteps=4000, rescaled=True),
    "iddpm_64_classes": Variant(64, cosine=True, timesteps=4000),
    "iddpm_lsun": Variant(256),
    "adm_64": Variant(64, cosine=True),
    "adm_128": Variant(128),
    "adm_256": Variant(256),
    "adm_256_uncond": Variant(256),
    "adm_512": Variant(512),
}


class PixelDiffusion:
    """A published U-Net, ready to draw; with a classifier, if classes are to be guided by one."""

    def __init__(self, unet: UNet, variant: Variant, classifier: NoisyClassifier | None = None):
        self.unet, self.variant, self.classifier = unet.eval(), variant, classifier

    @classmethod
    def load(
        cls,
        variant: str,
        weights: str | Path | None = None,
        classifier: str | Path | None = None,
        device: str | None = None,
        precision: str = "fp32",
    ) -> PixelDiffusion:
        """From a published file, and for guidance another one of ADM's classifier; on a GPU if there is one.

        precision: of the U-Net, "fp32", "bf16" or "fp16". A classifier keeps fp32, as its gradients are small numbers.
        """
        from t2i_course.published import dtype_of
        from t2i_course.published.unet import load_classifier, load_unet

        if variant not in VARIANTS:
            raise ValueError(f"There is no diffusion in pixels {variant!r}. There are: {', '.join(VARIANTS)}.")
        if weights is None:
            raise ValueError(f"{variant} needs weights=FILE, as published: its weights do not ship with the course.")
        dtype = dtype_of(precision)
        v, device = VARIANTS[variant], device or ("cuda" if torch.cuda.is_available() else "cpu")
        if classifier is not None and v.timesteps != 1000:
            raise ValueError(f"ADM's classifiers know 1,000 timesteps; {variant} has {v.timesteps:,}.")
        guide = None if classifier is None else load_classifier(classifier, v.size).to(device)
        return cls(load_unet(weights, variant).to(device, dtype), v, guide)

    def frames(
        self,
        captions: Sequence[str],
        seed: int = 0,
        *,
        every: int = 10,
        steps: int = 250,
        sampler: str = "ddpm",
        guidance_scale: float = 1.0,
    ) -> Iterator[Tensor]:
        """Guesses of the pictures (B, 3, H, W) in [-1, 1] after every `every` steps, and last the pictures.

        captions: classes of ImageNet by name or number; empty ones for a model without classes. sampler: "ddpm", with
        fresh noise, or "ddim". guidance_scale: of the classifier, if there is one.
        """
        if sampler not in ("ddpm", "ddim"):
            raise ValueError(f"There is no sampler {sampler!r} here. There are: ddpm, ddim.")
        check_captions(captions)
        if every < 1:
            raise ValueError(f"every={every}: it is at least 1.")
        if self.classifier is None and guidance_scale != 1:
            raise ValueError(f"guidance_scale={guidance_scale} needs a classifier: load it with classifier=FILE.")
        v, process, weight = self.variant, self.variant.process, next(self.unet.parameters())
        device = weight.device
        classes, per = self._classes(captions, device), 1000 / v.timesteps if v.rescaled else 1

        def denoise(x: Tensor, t: int) -> Tensor:
            times = torch.full((len(x),), t * per, device=device)
            return self.unet(x.to(weight.dtype), times, classes=classes).float()  # the sampler's steps are in fp32

        likelihood = classified(self.classifier, self._numbers(captions, device)) if self.classifier else None
        x = noise(seed, len(captions), 3, v.size, v.size).to(device)
        if sampler == "ddpm":
            ts, fresh = from_end_to_end(process, steps), noise_stream(seed + 1, len(captions))
            push = (lambda x, t: guidance_scale * uphill(likelihood, x, t)) if likelihood else None
            way = samplers.ddpm(process, denoise, x, ts, fresh, v.large, push=push)
        else:
            ts, clip = evenly(process, steps), 1.0
            if likelihood:
                denoise, clip = by_gradient(denoise, process, likelihood, guidance_scale, clip), None
            way = samplers.ddim(process, denoise, x, ts, clip=clip)
        with tqdm(total=len(ts), desc="drawing", leave=False, disable=None) as bar:
            for k in range(1, len(ts) + 1):
                with torch.no_grad():  # not over the yield: it is the caller's then
                    x, guess = next(way)
                bar.update()
                if k % every == 0 and k < len(ts):
                    yield guess.clamp(-1, 1).cpu()
        yield x.clamp(-1, 1).cpu()

    def draw(self, captions: Sequence[str], seed: int = 0, **options) -> Tensor:
        """The last frame."""
        *_, last = self.frames(captions, seed, **options)
        return last

    def _classes(self, captions: Sequence[str], device: torch.device) -> Tensor | None:
        """What the U-Net is told: numbers of classes (B,), or nothing."""
        if self.unet.config.classes:
            return self._numbers(captions, device)
        return told_nothing(captions) if self.classifier is None else None

    def _numbers(self, captions: Sequence[str], device: torch.device) -> Tensor:
        return torch.tensor([class_number(caption) for caption in captions], device=device)


def told_nothing(captions: Sequence[str]) -> None:
    """What a model hears that draws what it likes. Raises ValueError for captions that are not empty."""
    if any(caption.strip() for caption in captions):
        raise ValueError("This model draws what it likes and knows no captions: give empty ones.")


def class_number(name: str) -> int:
    """The number of a class of ImageNet, from its name or its number as text. Raises ValueError if there is none."""
    names, wanted = _imagenet(), name.strip()
    if wanted.isdecimal() and int(wanted) < len(names):
        return int(wanted)
    lowered = [known.lower() for known in names]
    if wanted.lower() not in lowered:
        raise ValueError(
            f"ImageNet has no class {name!r}. Give a number below {len(names)}, or a name such as 'goldfish'."
        )
    return names.index(wanted) if wanted in names else lowered.index(wanted.lower())  # Cardigan is a dog


@cache
def _imagenet() -> list[str]:
    from torchvision.models import ResNet50_Weights

    return ResNet50_Weights.DEFAULT.meta["categories"]
