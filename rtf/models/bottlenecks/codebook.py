"""A codebook that follows its data: running means instead of gradients.

Notable:
- a code is the running mean of the vectors it stood for (van den Oord et al. 2017, appendix A.1)
- vectors of the batch replace codes that are hardly used, those far from their code being likelier (as in
  k-means||, Bahmani et al. 2012); at most an eighth of the codes at a time
- distances come from one matrix product, in float32 under autocast too
- all state is in buffers, and all chance comes from torch's generator
"""

import torch
from torch import Tensor, nn
from torch import distributed as dist


class Codebook(nn.Module):
    """Codes of one codebook.

    Parameters
    ----------
    n_codes, dim : K codes of `dim` numbers
    decay : of the running means, for each batch
    dead_below : a code is dead when its use is below this share of the mean use of a code
    scale : standard deviation of the codes before any training
    """

    def __init__(self, n_codes: int, dim: int, *, decay: float, dead_below: float, scale: float = 1.0):
        super().__init__()
        if n_codes < 2:
            raise ValueError(f"bottleneck.n_codes is {n_codes}; it must be 2 or more")
        if not 0 <= decay < 1:
            raise ValueError(f"bottleneck.decay is {decay}; it must be 0 or more and below 1")
        if not 0 <= dead_below < 1:
            raise ValueError(f"bottleneck.dead_below is {dead_below}; it must be 0 or more and below 1")
        self.n_codes, self.decay, self.dead_below = n_codes, decay, dead_below
        self.register_buffer("vectors", scale * torch.randn(n_codes, dim))
        # Running means of how many vectors of a batch a code stands for (0: never in use), and of their sum.
        self.register_buffer("count", torch.zeros(n_codes))
        self.register_buffer("total", torch.zeros(n_codes, dim))
        self.register_buffer("seen", torch.zeros(n_codes), persistent=False)

    @property
    def filled(self) -> bool:
        """Whether every code has come from data."""
        return bool((self.count > 0).all())

    @torch.no_grad()
    def nearest(self, z: Tensor) -> Tensor:
        """(B, dim) float32 to the nearest code (B,) int64."""
        with torch.autocast(z.device.type, enabled=False):
            # Squared distance, less the vector's own square: that is equal for all codes.
            distance = torch.addmm(self.vectors.square().sum(1), z, self.vectors.T, alpha=-2)
        unused = self.count == 0
        return distance.masked_fill(unused & ~unused.all(), torch.inf).argmin(1)

    def lookup(self, codes: Tensor) -> Tensor:
        """(B,) codes to (B, dim) float32."""
        return self.vectors[codes]

    @torch.no_grad()
    def learn(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Codes (B,) of a training batch (B, dim) and their vectors (B, dim), then move them towards it."""
        self._renew(z)
        codes = self.nearest(z)
        vectors = self.lookup(codes)
        with torch.autocast(z.device.type, enabled=False):
            one_hot = nn.functional.one_hot(codes, self.n_codes).to(z.dtype)
            # One tensor, one message between processes. A product, as index_add_ on a GPU adds in any order.
            sums = torch.cat([one_hot.sum(0)[:, None], one_hot.T @ z], dim=1)
        if _distributed():
            dist.all_reduce(sums)
        count, total = sums[:, 0], sums[:, 1:]
        self.count.lerp_(count, 1 - self.decay)
        self.total.lerp_(total, 1 - self.decay)
        used = (count > 0)[:, None]  # the others' means stay as they are
        self.vectors.copy_(torch.where(used, self.total / self.count[:, None], self.vectors))
        self.seen += count
        return codes, vectors

    def _renew(self, z: Tensor) -> None:
        dead = (self.count == 0) | (self.count < self.dead_below * self.count.mean())
        if not dead.any():
            return
        empty = not self.count.any()
        far = (z - self.lookup(self.nearest(z))).square().sum(1)
        # A run that diverged fails where its loss is checked, not here.
        weight = torch.ones_like(far) if empty else far.nan_to_num(0.0, posinf=0.0)
        n = min(int(dead.sum()), int((weight > 0).sum()), max(self.n_codes // 8, 1))
        if n:
            chosen = torch.multinomial(weight, n)
            replaced = dead.nonzero()[:n, 0]
            even = len(z) * (dist.get_world_size() if _distributed() else 1) / self.n_codes
            self.vectors[replaced] = z[chosen]
            self.count[replaced] = even
            self.total[replaced] = even * z[chosen]
        if _distributed():  # the first process's choice is everybody's
            for buffer in (self.vectors, self.count, self.total):
                dist.broadcast(buffer, src=0)

    def use(self) -> Tensor:
        """(K,) how often each code was used in training since the last call."""
        seen = self.seen.clone()
        self.seen.zero_()
        return seen


def usage(seen: list[Tensor]) -> dict[str, float]:
    """How well codebooks are used, means over them, from the use of each code; empty where none was used.

    `code_use` is the share of codes used at all. `perplexity`, the exponential of the entropy of the use, is
    the number of equally used codes that would tell as much. An unused codebook counts as 0 and 1.
    """
    if not any(count.any() for count in seen):
        return {}
    share = [count / count.sum().clamp(min=1) for count in seen]
    used = torch.stack([(p > 0).float().mean() for p in share])
    perplexity = torch.stack([torch.special.entr(p).sum().exp() for p in share])
    return {"code_use": float(used.mean()), "perplexity": float(perplexity.mean())}


def straight_through(z: Tensor, quantised: Tensor) -> Tensor:
    """`quantised`, to the bit, with the gradient passed on to `z` as if it were z."""
    return quantised.detach() + (z - z.detach())


def _distributed() -> bool:
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1
