"""Distances between drawn and true pictures: FID, KID, IS, CMMD, CLIP score, PSNR, SSIM, LPIPS.

torchmetrics computes them where it can. Nothing is ever downloaded. A distance between features means something only
together with the network that made them, so every value carries its name:

* `FID`           features of the published Inception network; you give its file (`inception_extractor`)
* `CMMD`          embeddings of a published CLIP model; you give the model (`clip_extractor`)
* `FID (flowers)` features of the recogniser that ships for that world (`world_extractor`); likewise KID, IS, CMMD

They have different scales and never share a column. N pictures, D features.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from t2i_course.weights import load_weights
from t2i_course.worlds.base import to_float

from .recogniser import load_recogniser

PUBLISHED = {"FID": "Inception", "KID": "Inception", "IS": "Inception", "CMMD": "CLIP"}  # the network of each
PUBLISHED_FILE = "Give the file of the published weights; nothing is downloaded."

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)


# --- distances between two sets of features ---------------------------------------------------------------------------


def fid(real: Tensor, drawn: Tensor) -> float:
    """Fréchet distance of two Gaussians fitted to features (N, D): |m1 - m2|² + tr(S1 + S2 - 2 (S1 S2)^½).

    Heusel et al. 2017, equation 6. Both sets need more than D pictures, or their covariances have no full rank.
    """
    from torchmetrics.image.fid import FrechetInceptionDistance

    _check(real, drawn, "FID", more_than=real.shape[1])
    metric = FrechetInceptionDistance(_Given(real.shape[1]))
    metric.update(real, real=True)
    metric.update(drawn, real=False)
    return float(metric.compute())


def kid(real: Tensor, drawn: Tensor, subsets: int = 100, subset_size: int = 1000, seed: int = 0) -> float:
    """Kernel distance: unbiased squared MMD with the kernel (x·y / D + 1)³, averaged over random subsets.

    Bińkowski et al. 2018. Subsets are as large as the smaller set if that holds fewer than `subset_size` pictures.
    """
    from torchmetrics.image.kid import KernelInceptionDistance

    _check(real, drawn, "KID", more_than=1)
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        torch.manual_seed(seed)  # the subsets are drawn at random
        warnings.simplefilter("ignore")  # about the memory that it needs
        metric = KernelInceptionDistance(
            _Given(real.shape[1]), subsets=subsets, subset_size=min(subset_size, len(real), len(drawn))
        )
        metric.update(real.double(), real=True)
        metric.update(drawn.double(), real=False)
        return float(metric.compute()[0])


def inception_score(logits: Tensor, splits: int = 1, seed: int = 0) -> float:
    """exp of the mean KL divergence of p(class | picture) from p(class), for class logits (N, classes).

    Salimans et al. 2016; 1 at worst, the number of classes at best.
    """
    from torchmetrics.image.inception import InceptionScore

    _check(logits, logits, "IS", more_than=splits)
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        torch.manual_seed(seed)  # pictures are dealt into splits at random
        warnings.simplefilter("ignore")
        metric = InceptionScore(_Given(logits.shape[1]), splits=splits)
        metric.update(logits)
        return float(metric.compute()[0])


def cmmd(real: Tensor, drawn: Tensor, sigma: float = 10.0, scale: float = 1000.0) -> float:
    """Squared MMD of normalised CLIP embeddings (N, D) with a Gaussian kernel, times 1000.

    Jayasumana et al. 2024, who also chose sigma, the scale, and the biased estimate (all pairs, also x with itself).
    """
    _check(real, drawn, "CMMD", more_than=1)
    real, drawn = F.normalize(real.double(), dim=1), F.normalize(drawn.double(), dim=1)

    def mean_kernel(a, b):
        return torch.exp(-torch.cdist(a, b).square() / (2 * sigma**2)).mean()

    return scale * float(mean_kernel(real, real) + mean_kernel(drawn, drawn) - 2 * mean_kernel(real, drawn))


def _check(real: Tensor, drawn: Tensor, name: str, more_than: int) -> None:
    for features in (real, drawn):
        if features.ndim != 2 or features.shape[1] != real.shape[1]:
            raise ValueError(f"{name} compares features (N, D), not {tuple(real.shape)} with {tuple(drawn.shape)}.")
        if not torch.isfinite(features).all():
            raise ValueError(f"{name}: some features are not finite; look at the pictures they come from.")
        if len(features) <= more_than:
            raise ValueError(f"{name} needs more than {more_than} pictures in each set; there are {len(features)}.")


class _Given(nn.Module):
    """Stands where torchmetrics expects a feature network; hands on features that were computed before."""

    def __init__(self, num_features: int):
        super().__init__()
        self.num_features = num_features

    def forward(self, features: Tensor) -> Tensor:
        return features


# --- whose features ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Extractor:
    """A network that pictures are compared by, and the name under which its distances are reported."""

    network: str  # "Inception", "CLIP", or the world whose recogniser it is
    features: Callable[[np.ndarray | Tensor], Tensor]  # pictures -> (N, D)
    logits: Callable[[np.ndarray | Tensor], list[Tensor]]  # pictures -> class logits (N, classes), one per question

    def fid(self, real_pictures, drawn_pictures) -> dict[str, float]:
        """{"FID": value} or {"FID (flowers)": value}."""
        return self._named("FID", fid(self.features(real_pictures), self.features(drawn_pictures)))

    def kid(self, real_pictures, drawn_pictures) -> dict[str, float]:
        """{"KID": value} or {"KID (flowers)": value}."""
        return self._named("KID", kid(self.features(real_pictures), self.features(drawn_pictures)))

    def cmmd(self, real_pictures, drawn_pictures) -> dict[str, float]:
        """{"CMMD": value} or {"CMMD (flowers)": value}."""
        return self._named("CMMD", cmmd(self.features(real_pictures), self.features(drawn_pictures)))

    def inception_score(self, pictures, splits: int = 1) -> dict[str, float]:
        """{"IS": value} or {"IS (flowers)": value}; the geometric mean where the network answers several questions.

        IS (scenes) asks for place and time only, the two attributes that belong to the picture as a whole.
        """
        scores = torch.tensor([inception_score(logits, splits) for logits in self.logits(pictures)])
        return self._named("IS", float(scores.log().mean().exp()))

    def _named(self, metric: str, value: float) -> dict[str, float]:
        return {metric if PUBLISHED[metric] == self.network else f"{metric} ({self.network})": value}


def world_extractor(world) -> Extractor:
    """The recogniser of a world: it sees what matters there, and ships with the course."""
    recogniser = load_recogniser(world)
    return Extractor(world.name, recogniser.features, recogniser.logits)


def inception_extractor(weights: str | Path, batch_size: int = 32) -> Extractor:
    """The Inception network that published FIDs use, 2048 features.

    `weights` is the file that pytorch-fid publishes, pt_inception-2015-12-05-6726825d.pth (or the same as safetensors).
    """
    net = load_inception(weights)

    @torch.inference_mode()
    def features(pictures) -> Tensor:
        return torch.cat([net(_for_inception(x)) for x in to_float(pictures).cpu().split(batch_size)])

    def logits(pictures) -> list[Tensor]:
        return [features(pictures) @ net.class_weights.T]  # without their bias, as the score is published

    return Extractor("Inception", features, logits)


def clip_extractor(model, size: int = 224) -> Extractor:
    """The CLIP model of published CMMDs, which you loaded, from open_clip or transformers; it sees `size` pixels."""

    def logits(pictures):
        raise ValueError("CLIP knows no classes; the Inception score needs a network that does.")

    return Extractor("CLIP", lambda pictures: clip_pictures(model, pictures, size), logits)


def load_inception(weights: str | Path) -> nn.Module:
    """The published network: pictures (N, 3, 299, 299) in [-1, 1] -> features (N, 2048)."""
    from torchvision.models.inception import Inception3, InceptionE

    class LastBlock(InceptionE):
        def _forward(self, x):  # takes the maximum where torchvision takes the mean
            *branches, _ = super()._forward(x)
            return [*branches, self.branch_pool(F.max_pool2d(x, 3, stride=1, padding=1))]

    def leave_out_padding(module, inputs):  # the mean over each 3x3 window leaves out what lies beyond the border
        (x,) = inputs
        return x / F.avg_pool2d(torch.ones_like(x[:1, :1]), 3, stride=1, padding=1)

    with torch.device("meta"):
        net = Inception3(num_classes=1008, aux_logits=False, transform_input=False, init_weights=False)
        net.Mixed_7c = LastBlock(2048)
    load_weights(net, weights, f"FID needs pt_inception-2015-12-05-6726825d.pth. {PUBLISHED_FILE}", assign=True)
    for name, block in net.named_children():
        if hasattr(block, "branch_pool") and name != "Mixed_7c":
            block.branch_pool.register_forward_pre_hook(leave_out_padding)
    net.class_weights = net.fc.weight
    net.fc = nn.Identity()
    return net.requires_grad_(False).eval()


def _for_inception(x: Tensor) -> Tensor:
    return F.interpolate(x, (299, 299), mode="bilinear", align_corners=False)


# --- pictures and captions, picture and picture -----------------------------------------------------------------------


def clip_embeddings(model, tokenizer, pictures, captions: list[str], size: int = 224) -> tuple[Tensor, Tensor]:
    """Embeddings (N, D) of pictures and of captions, by a CLIP model that you loaded, from open_clip or transformers.

    `size` is the width of the pictures that the model was trained on.
    """
    return clip_pictures(model, pictures, size), clip_captions(model, tokenizer, captions)


@torch.inference_mode()
def clip_pictures(model, pictures, size: int = 224, batch_size: int = 64) -> Tensor:
    """Embeddings (N, D) of pictures."""
    parameter = next(model.parameters())  # its device and precision are the model's
    embed = getattr(model, "encode_image", None) or model.get_image_features  # open_clip or transformers

    def embedded(x):
        x = F.interpolate(x, (size, size), mode="bicubic", antialias=True, align_corners=False).clamp(-1, 1) / 2 + 0.5
        return embed(((x - torch.tensor(CLIP_MEAN).view(3, 1, 1)) / torch.tensor(CLIP_STD).view(3, 1, 1)).to(parameter))

    return _joined(embedded(x) for x in to_float(pictures).cpu().split(batch_size))


@torch.inference_mode()
def clip_captions(model, tokenizer, captions: list[str], batch_size: int = 64) -> Tensor:
    """Embeddings (N, D) of captions."""
    device = next(model.parameters()).device

    def embedded(texts):
        if hasattr(model, "encode_text"):  # open_clip
            return model.encode_text(tokenizer(texts).to(device))
        tokens = tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
        return model.get_text_features(**{name: tensor.to(device) for name, tensor in tokens.items()})

    return _joined(embedded(captions[i : i + batch_size]) for i in range(0, len(captions), batch_size))


def _joined(outputs) -> Tensor:
    return torch.cat([getattr(out, "pooler_output", out).float().cpu() for out in outputs])


def clip_score(pictures: Tensor, captions: Tensor) -> float:
    """100 times the mean cosine between the embeddings (N, D) of pictures and of their captions, none below 0.

    Hessel et al. 2021 with the factor of torchmetrics (100; the paper's is 2.5). Embeddings: `clip_embeddings`.
    """
    if pictures.shape != captions.shape or pictures.ndim != 2:
        raise ValueError(
            f"CLIP score pairs embeddings: {tuple(pictures.shape)} and {tuple(captions.shape)} do not fit."
        )
    return float(100 * F.cosine_similarity(pictures, captions).clamp(min=0).mean())


def psnr(real, drawn) -> float:
    """Peak signal-to-noise ratio in dB of pictures against those that they should equal, averaged over pictures."""
    from torchmetrics.functional.image import peak_signal_noise_ratio

    real, drawn = _pairs(real, drawn)
    return float(peak_signal_noise_ratio(drawn, real, data_range=(-1.0, 1.0), dim=(1, 2, 3)))


def ssim(real, drawn) -> float:
    """Structural similarity, 1 for equal pictures (Wang et al. 2004)."""
    from torchmetrics.functional.image import structural_similarity_index_measure

    real, drawn = (x / 2 + 0.5 for x in _pairs(real, drawn))  # its term of luminance takes 0 for black
    with torch.autocast(real.device.type, enabled=False):  # differences of nearly equal numbers, which bfloat16 has not
        return float(structural_similarity_index_measure(drawn, real, data_range=1.0))


def lpips(real, drawn, weights: str | Path, net: str = "vgg") -> float:
    """Learned perceptual distance (Zhang et al. 2018); net "vgg" or "alex".

    `weights` is torchvision's file for that network (vgg16-397923af.pth, alexnet-owt-7be5be79.pth); the few weights on
    top of it come with torchmetrics.
    """
    from torchmetrics.functional.image.lpips import _LPIPS

    if net not in ("vgg", "alex"):
        raise ValueError(f"LPIPS knows the networks 'vgg' and 'alex', not {net!r}.")
    real, drawn = _pairs(real, drawn)
    model = _LPIPS(net=net, pnet_rand=True)
    # Its layers carry torchvision's numbers, dealt into slices: "features.5.weight" is "slice2.5.weight" there.
    ours = {"features." + name.split(".", 1)[1]: name for name in model.net.state_dict()}

    def renamed(state):
        return {ours.get(name, name): tensor for name, tensor in state.items() if name.startswith("features.")}

    remedy = f"LPIPS needs torchvision's weights of the {net} network. {PUBLISHED_FILE}"
    load_weights(model.net, weights, remedy, convert=renamed)
    with torch.inference_mode():
        return float(torch.cat([model(a, b) for a, b in zip(real.split(16), drawn.split(16), strict=True)]).mean())


def _pairs(real, drawn) -> tuple[Tensor, Tensor]:
    real, drawn = to_float(real).cpu(), to_float(drawn).cpu()
    if real.shape != drawn.shape:
        raise ValueError(f"Pictures are compared one by one: {tuple(real.shape)} and {tuple(drawn.shape)} differ.")
    return real, drawn
