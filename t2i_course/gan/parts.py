"""What the GANs of 2016 to 2018 share: how a discriminator is asked about pairs, and their losses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from t2i_course import worlds
from t2i_course.nn.losses import matching_loss
from t2i_course.worlds.base import PICTURES, Batch

LOGIT_SCALE = 12.0  # of the comparison within a batch: what cosines are multiplied by
MATCHING_WEIGHT = 2.0  # of `matching` in the loss of a generator


class Discriminator(nn.Module):
    """Judges pictures of one size, with their captions and (`alone`) without. StackGAN and AttnGAN have it alike.

    `look` sees features (B, 8C, 4, 4) in pictures (B, 3, size, size); captions are vectors (B, text_dim). With
    `matched` numbers in an embedding of a caption it also learns by `matching`; if it is `packed` it also judges packs.
    """

    def __init__(
        self, size: int, width: int, text_dim: int, alone: bool = True, matched: int = 0, packed: bool = False
    ):
        super().__init__()
        c, leaky = width, nn.LeakyReLU(0.2)

        def block(dim_in, dim, kernel, stride):
            return nn.Conv2d(dim_in, dim, kernel, stride, 1, bias=False), nn.BatchNorm2d(dim), leaky

        widths = [c * 2**k for k in range(size.bit_length() - 3)]  # each layer halves the picture, down to 4x4
        layers = [nn.Conv2d(3, c, 4, 2, 1, bias=False), leaky]
        for dim_in, dim in pairwise(widths):
            layers += block(dim_in, dim, 4, 2)
        for dim in reversed(widths[4:]):  # and then back to 8C channels
            layers += block(dim, dim // 2, 3, 1)
        if len(widths) < 4:  # or, of smaller pictures than the published ones, up to them
            layers += block(widths[-1], 8 * c, 3, 1)
        self.look = nn.Sequential(*layers)
        self.compare = nn.Sequential(*block(8 * c + text_dim, 8 * c, 3, 1), nn.Conv2d(8 * c, 1, 4))
        self.alone = nn.Conv2d(8 * c, 1, 4) if alone else None
        self.match = nn.Linear(8 * c * 4 * 4, matched) if matched else None
        self.compare_pack = pack_judge(8 * c + text_dim) if packed else None

    def judge(self, seen: Tensor, text: Tensor) -> Tensor:
        """Logits (B,): is this a true picture of this caption?"""
        asked = text[:, :, None, None].expand(-1, -1, 4, 4)  # (B, E, 4, 4)
        return self.compare(torch.cat([seen, asked], 1)).flatten()

    def judge_alone(self, seen: Tensor) -> Tensor:
        """Logits (B,): is this a true picture?"""
        return self.alone(seen).flatten()

    def judge_pack(self, seen: Tensor, again: Tensor, text: Tensor) -> Tensor:
        """Logits (P,): are these two true pictures, seen (P, 8C, 4, 4), of this caption (P, text_dim)?"""
        return self.compare_pack(torch.cat([apart(seen, again), text], 1)).flatten()


def should_be(answer: float, logits: Tensor) -> Tensor:
    """Cross-entropy of a discriminator's logits against one answer: 1 for "true", 0 for "not true"."""
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, answer))


def matching(match: nn.Module, seen: Tensor, text: Tensor, same: Tensor | None = None) -> Tensor:
    """The `matching_loss` between what D sees in pictures (B, C, H, W) and the embeddings (B, E) of their captions.

    text may go on with captions of other pictures, (B + K, E), and same (B + K, B) say which also fit.

    `match` is D's layer from the one to the other. It tells D of each picture not just that a caption is wrong, but
    which one is right, as a text encoder is taught; XMC-GAN (2021) taught its D so, while AttnGAN's DAMSM tells G the
    same, but is frozen, and no part of D. Our small ones need it: from the single number "true or not" alone, D takes
    many times as long to learn what petals look like.
    """
    pictures = F.normalize(match(seen.flatten(1)).float(), dim=1)
    with torch.autocast(seen.device.type, enabled=False):  # bf16 has no fine cosines
        scores = LOGIT_SCALE * F.normalize(text.float(), dim=1) @ pictures.T
    return matching_loss(scores, same)


def with_matching(
    d: nn.Module,
    loss: Tensor,
    seen: Tensor,
    text: Tensor,
    weight: float = 1.0,
    same: Tensor | None = None,
    **terms: Tensor,
) -> dict[str, Tensor]:
    """The terms of a loss of D or of G: as they are or, if D can match, with `matching` added."""
    if d.match is None:
        return {"loss": loss, **terms}
    m = matching(d.match, seen, text, same)
    return {"loss": loss + weight * m, **terms, "matching": m}


# --- packs, against collapse ------------------------------------------------------------------------------------------
#
# A D that judges one picture at a time tells two that are nearly alike nearly the same; nothing rewards G for keeping
# them apart: it collapses. "Improved Techniques for Training GANs", Salimans, Goodfellow, Zaremba, Cheung, Radford and
# Chen, NIPS 2016, section 3.2, let D compare a picture with its batch; "PacGAN: The Power of Two Samples in Generative
# Adversarial Networks", Lin, Khetan, Fanti and Oh, NeurIPS 2018, let it judge packs, pictures stacked on each other,
# and nothing else. Here it judges packs of two pictures of one caption, by how far apart they are in what it sees, and
# single ones besides. Two drawn ones should differ as true ones do, in what the caption leaves open.


def pack_judge(features: int) -> nn.Sequential:
    """How two pictures differ, and their caption (B, features) -> logits (B, 1), high for two true pictures."""
    return nn.Sequential(nn.Linear(features, 128), nn.LeakyReLU(0.2), nn.Linear(128, 1))


def apart(seen: Tensor, again: Tensor) -> Tensor:
    """What D sees in two pictures (P, C, H, W) -> how far they are apart in each channel (P, C), all places alike.

    Two that are exactly alike cannot be parted (the derivative of |x| at 0 is 0), but drawn ones never quite are.
    """
    return (seen - again).abs().mean((2, 3))


def packs_of(fits: Tensor | None) -> tuple[Tensor, Tensor]:
    """fits (B, B), bool: caption i is true of picture j, another one -> numbers (P,) of all captions that are true of
    another picture, and of one such picture each.
    """
    if fits is None or not fits.any():
        return torch.arange(0), torch.arange(0)
    first = fits.any(1).nonzero().flatten()
    return first, torch.multinomial(fits[first].float(), 1).flatten()


def packs_should_be(answer: float, d: nn.Module, seen: Tensor, again: Tensor, text: Tensor) -> Tensor:
    """As `should_be`, of D's logits for packs: pictures seen (P, C, H, W) twice, of captions (P, E). 0 for no packs."""
    if d.compare_pack is None:
        return text.sum() * 0
    logits = d.judge_pack(seen, again, text)
    return should_be(answer, logits) if len(logits) else logits.sum()


def among_others(batch: Batch, names: Sequence[str], k: int) -> tuple[list[str], Tensor]:
    """The captions of a batch and k of random training pictures of the worlds `names`, and, for `matching`, which of
    them also fit pictures that are not their own: (B + k, B).

    Each world gives an equal share of the k, rounded down. To learn from a picture which caption is right, D must find
    it among others, and captions cost hardly anything.
    """
    captions, fits = list(batch.captions), batch.fits().fill_diagonal_(False).tolist()
    for name in names:
        world = worlds.load(name)
        for i in torch.randint(PICTURES["train"], (k // len(names),)).tolist():
            caption, facts = world.caption("train", i)
            captions.append(caption)
            fits.append([facts.items() <= truth.items() for truth in batch.truth])
    return captions, torch.tensor(fits, dtype=torch.bool).reshape(-1, len(batch.truth))


def judged_together(
    judge: Callable, seen: Tensor, text: Tensor, drawn: tuple[Tensor, Tensor] | None = None, wrongs: int = 1
) -> list[Tensor]:
    """Logits [of true pairs (B,), of wrong pairs (wrongs * B,), of drawn pairs (D,)], judged as one batch.

    seen (B, C, H, W): what D sees in true pictures; text (B, E): their captions; drawn: the same of drawn pictures. In
    a wrong pair a picture meets the caption of a neighbour in the batch (which fits, too, if it says the same).

    The released codes judge each kind in a batch of its own, and batch norm gives them away: what pictures and texts
    of true pairs have in common, their covariance, no batch of wrong pairs has. On our worlds D then tells *batches*
    apart without an error, and never learns to look at a single pair. Features are given: who looks at true and drawn
    pictures apart (GAN-INT-CLS and StackGAN do; AttnGAN does not) still gives those away.
    """
    if wrongs >= len(seen):
        raise ValueError(f"A batch of {len(seen)} has no {wrongs} wrong captions for each picture.")
    pairs = [(seen, text)]
    if wrongs:
        pairs.append((torch.cat([seen.roll(k, 0) for k in range(1, wrongs + 1)]), text.repeat(wrongs, 1)))
    if drawn:
        pairs.append(drawn)
    logits = judge(*(torch.cat(part) for part in zip(*pairs, strict=True)))
    return list(logits.split([len(t) for _, t in pairs]))


def discriminator_loss(
    d: Discriminator, seen: Tensor, seen_drawn: Tensor, text: Tensor, wrongs: int = 1, alone: bool = True
) -> Tensor:
    """L_D of StackGAN and of a stage of AttnGAN: true pairs against wrong and drawn ones.

    seen, seen_drawn (B, C, 4, 4): what D sees in true and drawn pictures; text (B, E): the captions of both. If D also
    judges pictures alone, the loss is the mean of two terms for what is true plus the mean of three for what is not.
    alone=False leaves that out.
    """
    real, wrong, drawn = judged_together(d.judge, seen, text, (seen_drawn, text), wrongs)
    if d.alone is None or not alone:
        return should_be(1.0, real) + (should_be(0.0, wrong) + should_be(0.0, drawn)) / 2
    true = (should_be(1.0, real) + should_be(1.0, d.judge_alone(seen))) / 2
    return true + (should_be(0.0, wrong) + should_be(0.0, drawn) + should_be(0.0, d.judge_alone(seen_drawn))) / 3


def told_apart(
    d: nn.Module, pictures: Tensor, captions: Tensor, text: Tensor, same: Tensor | None = None, wrongs: int = 6
) -> dict[str, Tensor]:
    """The loss of a D that is ahead of G: of true pictures (B, 3, H, W), it learns which captions are right.

    captions (B, E): as `judge` reads them; text and same: as for `matching`. So G hears from the start what is wrong.
    """
    seen = d.look(pictures)
    real, wrong = judged_together(d.judge, seen, captions, wrongs=wrongs)
    return with_matching(d, should_be(1.0, real) + should_be(0.0, wrong), seen, text, same=same)


def initialise(net: nn.Module) -> None:
    """As DCGAN starts: convolutions from N(0, 0.02), their biases at 0; scales of batch norms from N(1, 0.02).

    Linear layers start as PyTorch has them. As released, StackGAN draws them from N(0, 0.02), too, and AttnGAN starts
    from orthogonal matrices.
    """
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, 0, 0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1, 0.02)
