"""Vector quantisation: every vector is replaced by the nearest entry of a learned codebook, a *code*.

"Neural Discrete Representation Learning", van den Oord, Vinyals and Kavukcuoglu, NeurIPS 2017 (VQ-VAE). The choice has
no gradient, so backwards it is passed over ("straight through"), and two terms bring vectors h and entries e together:

    L_VQ = | sg(h) - e |^2 + beta | h - sg(e) |^2        sg: no gradient flows back (equation 3)

An entry that is nobody's nearest is never pulled anywhere, and soon a few entries serve all. So those that were idle
for long may be put where vectors are ("Jukebox", Dhariwal et al. 2020, section 3).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Quantizer(nn.Module):
    """A codebook of K entries of D numbers.

    restart: in training, an entry that was idle for so many steps becomes a vector of the batch, and so do all at
    first; 0: never.
    """

    def __init__(self, codes: int, dim: int, beta: float = 0.25, restart: int = 0):
        super().__init__()
        self.codebook = nn.Embedding(codes, dim)
        nn.init.uniform_(self.codebook.weight, -1 / codes, 1 / codes)
        self.beta, self.restart = beta, restart
        # How many steps each was not chosen. A training that goes on has to know it, a network that draws has not.
        self.register_buffer("idle", torch.full((codes,), restart), persistent=restart > 0)

    def _load_from_state_dict(self, state: dict, prefix: str, *rest) -> None:
        if self.restart:  # where it is not known, all count as just used
            state.setdefault(prefix + "idle", torch.zeros_like(self.idle))
        super()._load_from_state_dict(state, prefix, *rest)
        if self.idle.is_meta:  # no file gives it memory
            self.idle = torch.zeros(self.idle.shape, dtype=self.idle.dtype)

    def indices(self, h: Tensor) -> Tensor:
        """Vectors (B, D, H, W) -> the numbers of their nearest codes (B, H, W)."""
        with torch.autocast(h.device.type, enabled=False):  # half precision would choose wrong neighbours
            flat, entries = h.movedim(1, -1).float(), self.codebook.weight.float()
            distance = entries.square().sum(1) - 2 * flat @ entries.T  # + |h|^2, which is the same for all
        return distance.argmin(-1)

    def look_up(self, indices: Tensor) -> Tensor:
        """Numbers of codes (B, H, W) -> their vectors (B, D, H, W)."""
        return self.codebook(indices).movedim(-1, 1)

    def forward(self, h: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Vectors (B, D, H, W) -> those of their codes, straight through; the codes' numbers (B, H, W); L_VQ."""
        if self.training and self.restart:
            self._restart(h)
        indices = self.indices(h)
        if self.training:  # a network that only draws is never changed
            self.idle += 1
            self.idle[indices] = 0
        e = self.look_up(indices)
        loss = (h.detach() - e).square().mean() + self.beta * (h - e.detach()).square().mean()
        return h + (e - h).detach(), indices, loss

    @torch.no_grad()
    def _restart(self, h: Tensor) -> None:
        vectors, lost = h.movedim(1, -1).flatten(0, -2), self.idle >= self.restart
        chosen = torch.randint(len(vectors), (int(lost.sum()),), device=h.device)
        self.codebook.weight[lost] = vectors[chosen].to(self.codebook.weight)
        self.idle[lost] = 0

    def perplexity(self, indices: Tensor) -> Tensor:
        """How many codes are in use, as if all were used alike: e to the entropy of their shares."""
        share = torch.bincount(indices.flatten(), minlength=len(self.codebook.weight)).float() / indices.numel()
        return torch.special.entr(share).sum().exp()
