"""What an autoencoder of pictures is trained by: a reconstruction that looks right, and a simple latent.

"Taming Transformers for High-Resolution Image Synthesis", Esser, Rombach and Ommer, CVPR 2021, equations 5 to 7, and
"High-Resolution Image Synthesis with Latent Diffusion Models", Rombach et al. 2022, appendix G:

    L = L_rec + (L_VQ or beta KL) + lambda L_GAN,    L_rec = |x - x^| + perceptual(x, x^)
    lambda = |grad L_rec| / (|grad L_GAN| + 1e-4)      (1e-4 as released; 1e-6 in the paper)

Pixels alone would be blurred, as nobody knows where an edge is to a pixel; so a network compares what it sees in both,
and a discriminator asks of every patch whether it is true. lambda is chosen anew at each step, so that neither of the
two pulls the last layer harder than the other.

What is best copied is not what a diffusion model learns best. Two later additions help it; a KL autoencoder takes them:

    noise    the decoder gets latents with more or less noise, as a diffusion model will: what a picture shows must be
             strong in them. After "Latent Denoising Makes Good Visual Tokenizers", Yang, Li, Fan, Tian and Wang 2025,
             who mix latents and noise, and hide parts of the picture besides
    aligned  from these latents, a small head must predict the features of a network that has learned to see. After
             "Reconstruction vs. Generation: Taming Optimization Dilemma in Latent Diffusion Models", Yao, Yang and
             Wang, CVPR 2025, who take latents without that noise, and also compare places with each other

B pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from t2i_course.nn.losses import kl_to_standard_normal, likeness

from .autoencoder import Autoencoder


class PatchDiscriminator(nn.Sequential):
    """Pictures (B, 3, H, W) -> a logit for every patch (B, 1, H / 8 - 2, W / 8 - 2). From pix2pix, Isola 2017."""

    def __init__(self, dim: int = 64):
        def block(dim_in, dim, stride):
            return nn.Conv2d(dim_in, dim, 4, stride, 1, bias=False), nn.BatchNorm2d(dim), nn.LeakyReLU(0.2)

        super().__init__(
            *(nn.Conv2d(3, dim, 4, 2, 1), nn.LeakyReLU(0.2)),
            *block(dim, 2 * dim, 2),
            *block(2 * dim, 4 * dim, 2),
            *block(4 * dim, 8 * dim, 1),
            nn.Conv2d(8 * dim, 1, 4, 1, 1),
        )
        for module in self:
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, 0, 0.02)
            elif isinstance(module, nn.BatchNorm2d):
                nn.init.normal_(module.weight, 1, 0.02)


def hinge_loss(true: Tensor, drawn: Tensor) -> Tensor:
    """L_D: true patches should be above 1, drawn ones below -1; what is beyond costs nothing."""
    return 0.5 * (F.relu(1 - true).mean() + F.relu(1 + drawn).mean())


def adaptive_weight(reconstruction: Tensor, adversarial: Tensor, last: Tensor) -> Tensor:
    """lambda: how much larger the gradient of the one is than that of the other, at the weights of the last layer."""
    of_reconstruction, of_adversarial = (
        torch.autograd.grad(loss, last, retain_graph=True)[0].norm() for loss in (reconstruction, adversarial)
    )
    return (of_reconstruction / (of_adversarial + 1e-4)).clamp(0, 1e4).detach()


def compared_by(trunk: nn.Module) -> Callable[[Tensor, Tensor], Tensor]:
    """A perceptual loss: how differently a frozen network sees two pictures. (B,) from (B, 3, H, W) twice.

    As LPIPS (Zhang et al. 2018), with every channel counting alike: what is seen at a place is a direction, and the
    squared distance of two directions is averaged over the places of each of its maps. Both pictures are moved by the
    same few pixels, other ones each time: a network that halves pictures sees some patterns better than others, and
    those would be painted for it.
    """

    def perceptual(x: Tensor, y: Tensor) -> Tensor:
        by = torch.randint(0, 8, (2,)).tolist()
        x, y = (pictures.roll(by, (2, 3)) for pictures in (x, y))
        maps = zip(trunk.to(x.device)(x), trunk(y), strict=True)
        return sum((F.normalize(a, dim=1) - F.normalize(b, dim=1)).square().sum(1).mean((1, 2)) for a, b in maps)

    return perceptual


def feature_head(z: int, channels: int) -> nn.Sequential:
    """Latents (B, z, h, w) -> predicted features (B, channels, h / 2, w / 2) of the picture."""
    return nn.Sequential(
        nn.PixelUnshuffle(2),
        *(nn.Conv2d(4 * z, 256, 3, padding=1), nn.SiLU()),
        *(nn.Conv2d(256, 256, 1), nn.SiLU()),
        nn.Conv2d(256, channels, 1),
    )


def losses(
    net: nn.ModuleDict,
    x: Tensor,
    perceptual: Callable[[Tensor, Tensor], Tensor],
    kl_weight: float = 1e-6,
    gan_weight: float = 0.5,
    perceptual_weight: float = 1.0,
    noise: float = 0.0,
    seen: Tensor | None = None,
    aligned: float = 0.0,
) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """One step of the autoencoder, then one of D. x (B, 3, H, W): pictures in [-1, 1].

    net: "autoencoder" and, if it is to be adversarial, "discriminator". perceptual: (B,) from two batches of pictures.
    kl_weight: beta, of the divergence in nats per number of the picture. gan_weight: lambda is multiplied with it.
    perceptual_weight: of what the network sees against pixels. noise: of a KL autoencoder's latents, at most, in their
    standard deviations. aligned: weight of the `likeness` of the CNN's features, `seen` (B, C, h, w), and those that
    net["head"], a `feature_head`, predicts from the latents.
    """
    model: Autoencoder = net["autoencoder"]
    if model.quantizer:
        h = model.encode(x)
        z, indices, simple = model.quantizer(h)
        extra = {"vq": simple, "perplexity": model.quantizer.perplexity(indices)}
        drawn = model.decoder(model.post_quant_conv(z))
    else:
        mean, log_variance = model.moments(x)
        kl = kl_to_standard_normal(mean.float(), log_variance.float()) * mean[0].numel() / x[0].numel()
        simple, extra = kl_weight * kl, {"kl": kl}
        variance = log_variance.exp()
        if noise:
            more = noise * mean.detach().std() * torch.rand(len(x), 1, 1, 1, device=x.device)
            variance = variance + more.square()
        z = mean + variance.sqrt() * torch.randn_like(mean)
        drawn = model.decode(z)
        if aligned:
            extra["likeness"] = likeness(net["head"](z), seen)
            simple = simple - aligned * extra["likeness"]
    pixels, looks = (x - drawn).abs().mean(), perceptual_weight * perceptual(x, drawn).mean()
    terms = {"loss": pixels + looks + simple, "pixels": pixels, "perceptual": looks, **extra}
    if "discriminator" not in net:
        yield "autoencoder", terms
        return
    d = net["discriminator"].requires_grad_(False)  # it is asked, not taught
    adversarial = -d(torch.cat([x, drawn])).chunk(2)[1].mean()  # with true ones beside them, as D learns: batch norm
    weight = gan_weight * adaptive_weight(pixels + looks, adversarial, model.decoder.last[-1].weight)
    terms["loss"] = terms["loss"] + weight * adversarial
    yield "autoencoder", terms | {"adversarial": adversarial, "lambda": weight}

    d.requires_grad_(True)
    true, false = d(torch.cat([x, drawn.detach()])).chunk(2)
    yield "discriminator", {"loss": hinge_loss(true, false)}
