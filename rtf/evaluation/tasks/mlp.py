"""MLP: how much of the light curve does a plain network read out of frozen fingerprints?

Notable:
- a fingerprint and a query, time and band, give the magnitude there: two hidden layers, trained on the train
  split; the best epoch by the median error over the validation split is kept. The model is not touched
- the same network for every model: it makes fingerprints comparable across bottlenecks, decoders and sizes
- it is told when and in which band, which a sequence decoder has to rebuild too
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rtf.alerts.history import Detections
from rtf.evaluation.record import record_table
from rtf.evaluation.run import Evaluated, Inputs
from rtf.evaluation.tasks.physical import ROWS, SCORES, days, reconstruction_records, training_constants
from rtf.models.decoders.query import QueryEmbedding

#: Residual below which the loss is quadratic, in deviations of the training magnitudes.
_SMOOTH = 0.05
_PERIODS = 16
_BLOCK = 65_536


def mlp(given: Inputs, **settings) -> Evaluated:
    """Score magnitudes of the test split by an MLP on fingerprints, by the model's decoder, by constants.

    Settings are those of `fit_mlp`.
    """
    train, val, test = (Frozen(given.split(s).found.latent, given.view(s)) for s in ("train", "val", "test"))
    fitted = fit_mlp(train, val, **settings, seed=given.seed, device=given.model.device)
    constants = training_constants(train.seen)
    answers = {"MLP": {"mag": fitted.magnitudes(test)}, "own decoder": {"mag": given.rebuilt.mag}}
    label = given.split("test").label["fine"]
    records = reconstruction_records(test.seen, label, answers, constants, given.resamples)
    records = [r for r in records if r.score in ("mag", "detections")]
    error = fitted.val_error
    notes = [
        f"MLP on {len(train.seen):,} training fingerprints, epoch {np.argmin(error) + 1} of {len(error)} by "
        f"{len(val.seen):,} validation sources. It is told time and band of each detection.",
        f"{given.how} Training constants: {constants}.",
    ]
    table = record_table("Magnitudes by an MLP on frozen fingerprints", records, ROWS, SCORES, notes)
    return Evaluated(records, [table], arrays={"validation error": error})


class Frozen(NamedTuple):
    """Fingerprints (N, F) of sources, and what the model saw of them."""

    latent: np.ndarray
    seen: Detections


class MLPDecoder(nn.Module):
    """Fingerprints (D, F), days (D,) and bands (D,) to magnitudes (D,), standardised by the training split.

    `val_error` is the median |Δmag| over the validation detections after each epoch [mag].
    """

    def __init__(self, train: Frozen, hidden: int):
        super().__init__()
        latent, mag = train.latent.astype(float), train.seen.mag.astype(float)
        self.mean, self.std = latent.mean(0), np.where(latent.std(0) > 0, latent.std(0), 1.0)
        self.mag_mean, self.mag_std = mag.mean(), mag.std() or 1.0
        self.val_error: list[float] = []
        self.latent = nn.Linear(latent.shape[1], hidden)
        self.query = QueryEmbedding(hidden, _PERIODS, len(train.seen.survey.bands))
        self.hidden = nn.Linear(hidden, hidden)
        self.out = nn.Linear(hidden, 1)

    def forward(self, latent: Tensor, days: Tensor, band: Tensor) -> Tensor:
        """Standardised magnitudes of standardised fingerprints."""
        # A linear map of fingerprint and query side by side is the sum of a map of each.
        x = F.gelu(self.latent(latent) + self.query(days, band))
        return self.out(F.gelu(self.hidden(x)))[:, 0]

    def tensors(self, data: Frozen) -> tuple[Tensor, ...]:
        """Standardised fingerprints (N, F), and source, days and band of each detection (D,)."""
        latent, seen = np.float32((data.latent - self.mean) / self.std), data.seen
        source = np.repeat(np.arange(len(seen)), seen.length)
        arrays = (latent, source, np.float32(days(seen)), seen.band.astype(np.int64))
        return tuple(torch.from_numpy(a).to(self.out.weight.device) for a in arrays)

    @torch.inference_mode()
    def magnitudes(self, data: Frozen) -> np.ndarray:
        """(D,) magnitudes at the detections of the sources."""
        latent, source, days, band = self.tensors(data)
        blocks = torch.arange(len(days), device=days.device).split(_BLOCK)
        found = [self(latent[source[b]], days[b], band[b]).float().cpu() for b in blocks]
        return torch.cat(found).numpy().astype(float) * self.mag_std + self.mag_mean


def fit_mlp(
    train: Frozen, val: Frozen, *, hidden: int, epochs: int, patience: int, batch_size: int,
    learning_rate: float, seed: int, device: str | torch.device = "cpu",
) -> MLPDecoder:  # fmt: skip
    """Train the network on `train` and keep the epoch that is best on `val`; batches are of detections.

    The same seed gives the same network, and the caller's random numbers are left as they were.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = MLPDecoder(train, hidden).to(device)
    latent, source, days, band = network.tensors(train)
    target = np.float32((train.seen.mag - network.mag_mean) / network.mag_std)
    target = torch.from_numpy(target).to(device)
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(network.parameters(), lr=learning_rate, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs, eta_min=0.01 * learning_rate)
    best, error = None, network.val_error
    for _ in range(epochs):
        for rows in torch.randperm(len(days), generator=generator).to(device).split(batch_size):
            found = network(latent[source[rows]], days[rows], band[rows])
            loss = F.smooth_l1_loss(found, target[rows], beta=_SMOOTH)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
        schedule.step()
        error.append(float(np.median(np.abs(network.magnitudes(val) - val.seen.mag))))
        if error[-1] <= min(error):
            best = {k: v.clone() for k, v in network.state_dict().items()}
        elif len(error) - 1 - int(np.argmin(error)) >= patience:
            break
    if best is None:
        raise ValueError(f"the network found no finite magnitudes in {epochs} epochs")
    network.load_state_dict(best)
    return network
