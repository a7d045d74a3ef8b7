"""Muon: an optimiser that pushes in every direction nearly alike. The small diffusion models and CLIP learn by it.

"Muon: An optimizer for hidden layers in neural networks", Jordan et al. 2024. The gradient of a matrix of weights is
mostly made of a few directions, in which what the others would teach is drowned. Muon replaces the (smoothed) gradient
G = U S V^T by about U V^T, in which all directions are equally loud. No singular value decomposition is needed: an odd
polynomial, applied a few times, makes small singular values large, and leaves large ones near 1.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

COEFFICIENTS = 3.4445, -4.7750, 2.0315  # of x, x^3 and x^5: small singular values grow 3.4-fold a step, large ones stay


def orthogonalised(g: Tensor, steps: int = 5) -> Tensor:
    """Any matrix (M, N) -> one with the same singular vectors, and singular values that are all near 1.

    Those above a five-hundredth of the whole (its Frobenius norm) become about 0.7 to 1.2; smaller ones, up to 485
    times as large.

    Each step is X <- (a + b X X^T + c (X X^T)^2) X. All these factors are polynomials of the first X X^T, so they are
    multiplied with each other first, small as they are, and only their product with X.
    """
    x = g.float() if g.shape[0] <= g.shape[1] else g.float().T
    x = x / (x.norm() + 1e-7)
    gram, eye = x @ x.T, torch.eye(len(x), device=x.device)
    product, (a, b, c) = None, COEFFICIENTS
    for step in range(steps):
        factor = a * eye + b * gram + c * gram @ gram
        product = factor if product is None else factor @ product
        gram = factor @ gram @ factor if step < steps - 1 else None
    x = product @ x
    return x if g.shape[0] <= g.shape[1] else x.T


class Muon(torch.optim.AdamW):
    """Muon for weights of hidden layers, AdamW for all else.

    named_parameters: of the model; those with two dimensions or more are matrices (a convolution's with one row for
    each channel that comes out), unless a part of their name is in `others`: embeddings, first and last layers. lr: of
    the matrices; other_lr: of AdamW.
    """

    def __init__(
        self,
        named_parameters: Iterable[tuple[str, nn.Parameter]],
        lr: float = 0.02,
        other_lr: float = 1e-3,
        others: Iterable[str] = (),
        momentum: float = 0.95,
        weight_decay: float = 0.01,
    ):
        matrices, rest = [], []
        for name, p in named_parameters:
            is_matrix = p.ndim >= 2 and not any(part in name for part in others)
            (matrices if is_matrix else rest).append(p)
        groups = [{"params": matrices, "lr": lr, "momentum": momentum}, {"params": rest, "lr": other_lr}]
        super().__init__([group for group in groups if group["params"]], weight_decay=weight_decay)

    @torch.no_grad()
    def step(self, closure=None) -> None:
        """One step of both. Raises ValueError for a closure: the matrices would have moved before it is asked."""
        if closure is not None:
            raise ValueError("Muon takes no closure.")
        for group in self.param_groups:
            for p in group["params"] if "momentum" in group else ():
                if p.grad is None:
                    continue
                state = self.state[p]
                if not state:
                    state["smoothed"] = torch.zeros_like(p)
                    state["step"] = torch.tensor(0.0)  # AdamW looks for it when a checkpoint is loaded
                state["smoothed"].lerp_(p.grad, 1 - group["momentum"])
                g = p.grad.lerp(state["smoothed"], group["momentum"]).flatten(1)  # looks one step ahead (Nesterov)
                rate = group["lr"] * max(1, g.shape[0] / g.shape[1]) ** 0.5
                p.mul_(1 - group["lr"] * group["weight_decay"])
                p.add_(orthogonalised(g).view_as(p).to(p), alpha=-rate)
        matrices = [group for group in self.param_groups if "momentum" in group]
        self.param_groups = [group for group in self.param_groups if "momentum" not in group]
        try:
            super().step()
        finally:
            self.param_groups = [*matrices, *self.param_groups]
