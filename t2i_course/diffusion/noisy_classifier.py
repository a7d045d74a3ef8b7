"""A classifier that knows noisy pictures, for classifier guidance of the small DDPM (chapter 12).

"Diffusion Models Beat GANs on Image Synthesis", Dhariwal and Nichol, NeurIPS 2021: half a U-Net (nn/unet.py) is trained
to name what a picture shows, through all the noise of the process, log p(y | x_t). Its gradient tells a diffusion model
that was never told about classes which way to go (guidance.by_gradient). Here the classes are the colors of flowers and
of the breasts of birds.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from t2i_course import worlds
from t2i_course.nn.unet import Config, NoisyClassifier
from t2i_course.paths import DATA
from t2i_course.weights import load_weights

from .small import SMALL, codec_of

if TYPE_CHECKING:
    from t2i_course.training import Recipe

ATTRIBUTE = {"flowers": "color", "birds": "breast"}
CLASSES = tuple(f"{w} {v}" for w, a in ATTRIBUTE.items() for v in worlds.load(w).attributes[a])  # "flowers red" ...
PLACES = SMALL["ddpm"].size // codec_of(SMALL["ddpm"]).factor  # a side of the folded pictures
CONFIG = Config(48, (1, 2), 1, (1,), channels=codec_of(SMALL["ddpm"]).z, out=len(CLASSES), heads=4, groups=8)


def class_of(world: str, value: str) -> int:
    """The number of a class: class_of("flowers", "red"). Raises ValueError if there is none."""
    if f"{world} {value}" not in CLASSES:
        raise ValueError(f"There is no class '{world} {value}'. There are: {', '.join(CLASSES)}.")
    return CLASSES.index(f"{world} {value}")


def load(weights: str | Path | None = None) -> NoisyClassifier:
    """The one that ships with the course, frozen."""
    file, model = Path(weights or DATA / "weights" / "noisy_classifier.safetensors"), NoisyClassifier(CONFIG, PLACES)
    load_weights(model, file, f"Train it: t2i train noisy_classifier --export {file}")
    return model.requires_grad_(False).eval()


def recipe(name: str = "noisy_classifier", *, steps: int = 3200, batch_size: int = 48) -> Recipe:
    """How it is trained: on the pictures of the small DDPM, with as much noise as any of its timesteps has."""
    from t2i_course.training import Recipe

    config = SMALL["ddpm"]
    process, codec, names = config.process, codec_of(config), tuple(ATTRIBUTE)

    def labelled(batch) -> tuple[Tensor, Tensor]:
        """Folded pictures, and the numbers of their classes."""
        share = len(batch.truth) // len(names)
        classes = [
            class_of(names[i // share], truth[ATTRIBUTE[names[i // share]]]) for i, truth in enumerate(batch.truth)
        ]
        return codec.encode(batch.pictures), torch.tensor(classes, device=batch.pictures.device)

    def losses(model, batch):
        x0, classes = labelled(batch)
        t = torch.randint(0, len(process.alpha_bar), (len(x0),), device=x0.device)
        logits = model(process.add_noise(x0, t, torch.randn_like(x0)), t).float()
        yield "all", {"loss": F.cross_entropy(logits, classes), "right": (logits.argmax(1) == classes).float().mean()}

    def evaluate(model):
        """The share of right answers about pictures of the split val, at four timesteps."""
        batch = next(worlds.mixed_batches(names, "val", config.size, 200, n=100, shuffle=False))
        x0, classes = labelled(batch)
        device, eps = next(model.parameters()).device, torch.randn(x0.shape, generator=torch.Generator().manual_seed(0))
        measured = {}
        for when in (0, 250, 500, 750):
            t = torch.full((len(x0),), when)
            answers = model(process.add_noise(x0, t, eps).to(device), t.to(device)).argmax(1).cpu()
            measured[f"right at t={when}"] = (answers == classes).float().mean().item()
        return measured

    return Recipe(
        name=name,
        build=lambda: NoisyClassifier(CONFIG, PLACES),
        batches=lambda seed, start: worlds.mixed_batches(
            names, "train", config.size, batch_size, seed, start=start, epochs=None, n=10_000
        ),
        losses=losses,
        optimisers=lambda model: {"all": torch.optim.AdamW(model.parameters(), 6e-4, weight_decay=0.05)},
        steps=steps,
        ema=0.999,
        evaluate=evaluate,
        every=500,
    )
