"""The generators of StackGAN and AttnGAN once more, of nothing but torch's own modules, to compare ours with."""

from collections.abc import Callable

import torch
from torch import nn

from t2i_course.gan import attngan, stackgan


def plain_block(dim_in: int, dim: int, act: nn.Module | None, up: bool = False, kernel: int = 3, stride: int = 1):
    """Layers: perhaps twice as wide and high, a convolution, batch norm, perhaps an activation; GLU halves `dim`."""
    conv = nn.Conv2d(dim_in, dim, kernel, stride, 1, bias=False)
    return [*([nn.Upsample(scale_factor=2)] if up else []), conv, nn.BatchNorm2d(dim), *([act] if act else [])]


class PlainResidual(nn.Module):
    def __init__(self, dim: int, gated: bool):
        super().__init__()
        first = plain_block(dim, 2 * dim, nn.GLU(1)) if gated else plain_block(dim, dim, nn.ReLU())
        self.body, self.last = (
            nn.Sequential(*first, *plain_block(dim, dim, None)),
            nn.Identity() if gated else nn.ReLU(),
        )

    def forward(self, x):
        return self.last(x + self.body(x))


class PlainStackGAN(nn.Module):
    def __init__(self, config: stackgan.Config):
        super().__init__()
        c, z, told, relu = config.generator_width, config.z_dim, config.condition_dim, nn.ReLU()
        w, mu_and_logvar = 8 * c, [nn.Linear(config.text_dim, 2 * told), *([relu] if config.rectified else [])]
        ups = [layer for k in range(4) for layer in plain_block(w // 2**k, w // 2 ** (k + 1), relu, up=True)]
        self.augment1 = nn.Sequential(*mu_and_logvar)
        self.sketch = nn.Sequential(
            *(nn.Linear(z + told, 16 * w, bias=False), nn.BatchNorm1d(16 * w), relu, nn.Unflatten(1, (w, 4, 4))),
            *(*ups, nn.Conv2d(w // 16, 3, 3, 1, 1, bias=False), nn.Tanh()),
        )
        self.augment2 = nn.Sequential(nn.Linear(config.text_dim, 2 * told), *mu_and_logvar[1:])
        self.look = nn.Sequential(
            *(nn.Conv2d(3, c, 3, 1, 1, bias=False), relu, *plain_block(c, 2 * c, relu, kernel=4, stride=2)),
            *plain_block(2 * c, 4 * c, relu, kernel=4, stride=2),
        )
        n = (config.size // 16).bit_length() - 1
        self.paint = nn.Sequential(
            *plain_block(4 * c + told, 4 * c, relu),
            *(PlainResidual(4 * c, gated=False) for _ in range(config.residuals)),
            *(layer for k in range(n) for layer in plain_block(4 * c // 2**k, 4 * c // 2 ** (k + 1), relu, up=True)),
            *(nn.Conv2d(4 * c // 2**n, 3, 3, 1, 1, bias=False), nn.Tanh()),
        )

    def forward(self, z, eps1, eps2, text):
        conditions = []
        for augment, eps in ((self.augment1, eps1), (self.augment2, eps2)):
            mu, logvar = augment(text).chunk(2, 1)
            conditions.append(mu + (logvar / 2).exp() * eps)
        seen = self.look(self.sketch(torch.cat([z, conditions[0]], 1)))
        return self.paint(torch.cat([seen, conditions[1][:, :, None, None].expand(-1, -1, *seen.shape[2:])], 1))


class PlainAttnGAN(nn.Module):
    def __init__(self, config: attngan.Config):
        super().__init__()
        c, times = config.generator_width, config.first_size // 4
        wide, halved = times * c, [times // 2**k for k in range(1, times.bit_length())]
        self.condition = nn.Sequential(nn.Linear(config.text_dim, 4 * config.condition_dim), nn.GLU(1))
        fc = nn.Linear(config.condition_dim + config.z_dim, 32 * wide, bias=False)
        ups = [layer for w in halved for layer in plain_block(2 * w * c, 2 * w * c, nn.GLU(1), up=True)]
        self.first = nn.Sequential(fc, nn.BatchNorm1d(32 * wide), nn.GLU(1), nn.Unflatten(1, (wide, 4, 4)), *ups)
        self.next = nn.ModuleList(
            nn.ModuleList([nn.Linear(config.text_dim, c, bias=False), self.refine(config)])
            for _ in range(config.stages - 1)
        )
        self.to_picture = nn.ModuleList(nn.Conv2d(c, 3, 3, 1, 1, bias=False) for _ in range(config.stages))

    @staticmethod
    def refine(config):
        c = config.generator_width
        residuals = (PlainResidual(2 * c, gated=True) for _ in range(config.residuals))
        return nn.Sequential(*residuals, *plain_block(2 * c, 2 * c, nn.GLU(1), up=True))

    def forward(self, z, eps, words, sentence, mask):
        mu, logvar = self.condition(sentence).chunk(2, 1)
        h = self.first(torch.cat([mu + (logvar / 2).exp() * eps, z], 1))
        pictures = [self.to_picture[0](h).tanh()]
        for (to_features, refine), to_picture in zip(self.next, self.to_picture[1:], strict=True):
            e = to_features(words)
            scores = (h.flatten(2).transpose(1, 2) @ e.transpose(1, 2)).masked_fill(~mask[:, None], float("-inf"))
            context = (scores.softmax(-1) @ e).transpose(1, 2).unflatten(2, h.shape[2:])
            h = refine(torch.cat([h, context], 1))
            pictures.append(to_picture(h).tanh())
        return pictures[-1]


def attngan_inputs(config: attngan.Config, batch: int, device: str = "cpu") -> list[torch.Tensor]:
    """z, eps, words, sentence and mask; caption 0 has seven words, the others all twelve."""
    sizes = [(config.z_dim,), (config.condition_dim,), (12, config.text_dim), (config.text_dim,)]
    mask = torch.ones(batch, 12, dtype=torch.bool, device=device)
    mask[0, 7:] = False
    return [*(torch.randn(batch, *size, device=device) for size in sizes), mask]


def ours_and_plain(config: attngan.Config | stackgan.Config, batch: int) -> tuple[Callable, Callable]:
    """Two functions without arguments that draw the same pictures with the same random weights."""
    if isinstance(config, stackgan.Config):
        ours, plain = stackgan.StageII(config), PlainStackGAN(config)
        inputs = [torch.randn(batch, n) for n in (config.z_dim, *2 * [config.condition_dim], config.text_dim)]
    else:
        ours, plain, inputs = attngan.Generator(config), PlainAttnGAN(config), attngan_inputs(config, batch)
    for norm in ours.modules():
        if isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d):  # a new one changes nothing, wherever it stands
            for t in (norm.weight.data, norm.bias.data, norm.running_mean, norm.running_var):
                t.uniform_(0.5, 1.5)
    ours.eval(), plain.eval()
    plain.load_state_dict(dict(zip(plain.state_dict(), ours.state_dict().values(), strict=True)))

    def draw():
        out = ours(*inputs)
        return out["picture"] if "picture" in out else out["pictures"][-1]

    return draw, lambda: plain(*inputs)
