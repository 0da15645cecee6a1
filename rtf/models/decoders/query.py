"""Query decoder: a fingerprint as a continuous light curve, to be asked at any time and in any band.

Notable:
- the answer to a time and a band is the mean log flux and its uncertainty, without measurement noise. Times
  and bands are given, so the fingerprint spends nothing on the cadence
- queries never see each other: one asked alone gets the same answer as among a thousand, without padding
- training also asks for detections that the encoder was not shown, weighted by `future_weight`
- the fingerprint scales and shifts each block's hidden units (FiLM; Perez et al. 2018), so it can be read out
  differently at each time from the first step on
- the residual has variance sigma^2 + measurement error^2. Its density is normal within `HUBER_REACH` standard
  deviations and exponential beyond (Huber 1964); with `loss=mse` it is normal throughout
- a free variance would explain what is hard by a large sigma. Variance^`beta` therefore weights each
  detection's gradient (beta-NLL; Seitzer et al. 2022); validation uses the likelihood itself
- forecasts are of magnitudes of detections: no target is fainter than the survey's limit
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rtf.alerts.surveys import survey_named
from rtf.features.photometry import CHANNELS
from rtf.models.layers import asinh
from rtf.models.losses import Mean

#: Where the density of a residual leaves the normal, in standard deviations.
HUBER_REACH = 2.5

_LOGFLUX, _ERROR = CHANNELS.index("logflux"), CHANNELS.index("logflux_err")
#: Shortest and longest period [day] of the waves in which time is told.
_PERIODS = (2.0, 400.0)


@dataclass
class Queried:
    """Answers at the D real targets of a batch, in the order of `target.mask`."""

    mean: Tensor  # (D,) normalised log flux
    log_sigma: Tensor  # (D,) log of its standard deviation, without measurement error, in the same unit
    truth: Tensor  # (D,) observed log flux
    error: Tensor  # (D,) its measurement error, in the same unit
    source: Tensor  # (D,) int64, which source of the batch a query belongs to
    shown: Tensor  # (D,) bool, whether the encoder saw the detection


class QueryEmbedding(nn.Module):
    """Times and bands as vectors: (D,) days and (D,) bands to (D, d_model).

    Sines and cosines of `n_periods` periods spaced evenly in the logarithm, the time itself, and its asinh,
    which is fine in the first days. Amplitudes start as the root of the period, so that curves are smooth
    between detections. A learned scale and shift of each band follow the linear map.
    """

    def __init__(self, d_model: int, n_periods: int, n_bands: int):
        super().__init__()
        period = torch.logspace(*(math.log10(p) for p in _PERIODS), n_periods)
        self.register_buffer("frequency", 2 * torch.pi / period)
        self.register_buffer("amplitude", (period / period.max()).sqrt())
        self.time = nn.Linear(2 * n_periods + 2, d_model)
        self.shift = nn.Embedding(n_bands, d_model)
        self.scale = nn.Embedding(n_bands, d_model)
        nn.init.normal_(self.scale.weight, std=0.1)

    def forward(self, days: Tensor, band: Tensor) -> Tensor:
        angle = days[:, None] * self.frequency
        waves = torch.cat([self.amplitude * angle.sin(), self.amplitude * angle.cos()], dim=1)
        trend = torch.stack([days.clamp(max=10 * 50) / 50 - 1, asinh(days) / 2 - 1], dim=1)
        return self.time(torch.cat([waves, trend], dim=1)) * (1 + self.scale(band)) + self.shift(band)


class QueryBlock(nn.Module):
    """A residual network on each query, its hidden units scaled and shifted by the query's source."""

    def __init__(self, d_model: int, d_ff: int, dropout: float):
        super().__init__()
        self.norm = nn.LayerNorm(d_model)
        self.rise = nn.Linear(d_model, d_ff)
        self.film = nn.Linear(d_model, 2 * d_ff)
        self.dropout = nn.Dropout(dropout)
        self.fall = nn.Linear(d_ff, d_model)

    def forward(self, x: Tensor, condition: Tensor, source: Tensor) -> Tensor:
        """Queries (D, d_model) of sources (D,), whose conditions are (B, d_model), to (D, d_model)."""
        scale, shift = self.film(condition).index_select(0, source).chunk(2, dim=1)
        hidden = torch.addcmul(shift, self.rise(self.norm(x)), 1 + scale)
        return x + self.fall(self.dropout(F.gelu(hidden)))


class QueryDecoder(nn.Module):
    """Mean and uncertainty of a source's log flux at any time and band, from its fingerprint.

    Parameters
    ----------
    latent_dim : size of the fingerprint
    d_model, n_layers, d_ff, dropout : size of the network
    n_periods : sines and cosines of time
    future_weight : weight in the loss of a detection that the encoder was not shown
    beta : exponent of the variance that weights gradients in training; 0 is the plain likelihood
    sigma_floor : smallest uncertainty [mag], which keeps the likelihood bounded
    """

    needs_targets = True

    def __init__(
        self,
        latent_dim: int,
        d_model: int = 128,
        n_layers: int = 2,
        d_ff: int = 256,
        dropout: float = 0.0,
        n_periods: int = 16,
        future_weight: float = 1.0,
        beta: float = 0.5,
        sigma_floor: float = 0.01,
        survey: str = "ztf",
    ):
        super().__init__()
        self.n_bands = len(survey_named(survey).bands)
        for name, value in (("future_weight", future_weight), ("beta", beta)):
            if not 0 <= value < math.inf:
                raise ValueError(f"decoder.{name} is {value}; it must be 0 or more")
        if not sigma_floor > 0:
            raise ValueError(f"decoder.sigma_floor is {sigma_floor} mag; it must be above 0")
        self.future_weight, self.beta, self.sigma_floor = future_weight, beta, sigma_floor
        self.embed = QueryEmbedding(d_model, n_periods, self.n_bands)
        self.expand = nn.Linear(latent_dim, d_model)
        self.modulate = nn.Linear(d_model, d_model)
        self.blocks = nn.ModuleList(QueryBlock(d_model, d_ff, dropout) for _ in range(n_layers))
        self.norm = nn.LayerNorm(d_model)
        self.out = nn.Linear(d_model, 2)
        # At the start every answer is about the training split's mean with its deviation.
        nn.init.normal_(self.out.weight, std=0.02)
        nn.init.zeros_(self.out.bias)
        self.register_buffer("mean", torch.zeros(len(CHANNELS)))
        self.register_buffer("std", torch.ones(len(CHANNELS)))

    def set_statistics(self, mean, std) -> None:
        """Keep the photometry's normalisation, (4,) each: measurement errors are brought to its unit."""
        for name, value in (("mean", mean), ("std", std)):
            value = torch.as_tensor(value, dtype=self.mean.dtype)
            if value.shape != self.mean.shape:
                raise ValueError(f"photometry {name}: shape {tuple(value.shape)}, not ({len(CHANNELS)},)")
            getattr(self, name).copy_(value)

    def answer(self, latent: Tensor, source: Tensor, days: Tensor, band: Tensor) -> tuple[Tensor, Tensor]:
        """Normalised mean log flux and log sigma, (D,) each.

        Parameters
        ----------
        latent : (B, latent_dim)
        source : (D,) int64, row of `latent` that a query is put to
        days, band : (D,) days since the source's first detection, and band
        """
        condition = self.expand(latent)
        query = self.embed(days, band)
        x = torch.addcmul(query, self.modulate(query), condition.index_select(0, source))
        for block in self.blocks:
            x = block(x, condition, source)
        mean, raw = self.out(self.norm(x)).unbind(1)
        # The floor is in magnitudes; 0.54 makes sigma 1 where the network says 0.
        floor = 0.4 * self.sigma_floor / self.std[_LOGFLUX]
        return mean, torch.log(floor + F.softplus(raw.float() + 0.5413))

    def forward(self, latent: Tensor, batch) -> Queried:
        """Answers at the detections of `batch.target`, or, without one, at those of the batch itself."""
        target = getattr(batch, "target", None)
        where = batch if target is None else target
        mask, shown = where.mask, batch.mask if target is None else target.shown
        values = batch.features if target is None else target.values
        source = mask.nonzero()[:, 0]
        mean, log_sigma = self.answer(latent, source, where.days[mask], where.band[mask])
        error = values[..., _ERROR][mask] * self.std[_ERROR] + self.mean[_ERROR]
        error = error.clamp_min(0.0) / self.std[_LOGFLUX]
        return Queried(mean, log_sigma, values[..., _LOGFLUX][mask], error, source, shown[mask])

    def losses(self, decoded: Queried, batch, distance: str = "huber") -> dict[str, Mean]:
        """Means over the batch's targets.

        Returns
        -------
        `reconstruction`, which is minimised; of the shown and the other detections `logflux` and
        `future_logflux`, the mean absolute residual in units of the training split's deviation, and `pull`
        and `future_pull`, the mean squared residual in units of its own deviation, clipped at 5: 1 where
        uncertainties are right

        Raises
        ------
        ValueError : `distance` is neither huber nor mse
        """
        variance = (2 * decoded.log_sigma).exp() + decoded.error**2
        residual = decoded.mean.float() - decoded.truth
        pull = residual / variance.sqrt()
        nll = negative_log_density(pull, distance) + 0.5 * variance.log()
        weight = torch.where(decoded.shown, 1.0, self.future_weight)
        if self.training and self.beta:
            nll = nll * variance.detach() ** self.beta
        losses = {"reconstruction": _mean(nll, weight)}
        with torch.no_grad():
            for prefix, chosen in (("", decoded.shown), ("future_", ~decoded.shown)):
                losses[f"{prefix}logflux"] = _mean(residual.abs(), chosen)
                losses[f"{prefix}pull"] = _mean(pull.clamp(-5, 5) ** 2, chosen)
        return losses

    def error(self, decoded: Queried, batch) -> Tensor:
        """(B,) mean squared residual of the normalised log flux over the detections the encoder saw."""
        squared = torch.where(decoded.shown, (decoded.mean.float() - decoded.truth) ** 2, 0.0)
        total = squared.new_zeros(len(batch.mask)).index_add_(0, decoded.source, squared)
        return total / batch.mask.sum(1)

    def surprise(self, decoded: Queried, batch) -> Tensor:
        """(B,) mean -log density [nat] of the detections the encoder saw; one weighs no more than 6 sigma."""
        variance = (2 * decoded.log_sigma).exp() + decoded.error**2
        pull = ((decoded.mean.float() - decoded.truth) / variance.sqrt()).clamp(-6, 6)
        density = torch.where(decoded.shown, 0.5 * (pull**2 + variance.log()), 0.0)
        total = density.new_zeros(len(batch.mask)).index_add_(0, decoded.source, density)
        return total / batch.mask.sum(1)

    def rebuilt(self, decoded: Queried, batch, statistics: dict) -> dict[str, Tensor]:
        """The shown light curves, (B, L) each, 0 at padding.

        `dt` and `band` are the true ones, as given to the decoder. `magerr` is the expected deviation of the
        observed magnitude: the decoder's own uncertainty and the measurement error in quadrature.
        """
        scale, zero = (float(statistics["photometry"][name][_LOGFLUX]) for name in ("std", "mean"))
        deviation = ((2 * decoded.log_sigma).exp() + decoded.error**2).sqrt()

        def placed(values: Tensor) -> Tensor:
            out = values.new_zeros(batch.mask.shape)
            out[batch.mask] = values[decoded.shown]  # both in order of source, then time
            return out

        return {
            "dt": batch.days * batch.mask,
            "mag": placed(-2.5 * (decoded.mean.float() * scale + zero)),
            "magerr": placed(2.5 * scale * deviation),
            "band": batch.band * batch.mask,
        }

    def at(self, latent: Tensor, days: Tensor, band: Tensor, statistics: dict) -> tuple[Tensor, Tensor]:
        """Magnitude and its uncertainty at any times and bands.

        Parameters
        ----------
        latent : (B, latent_dim)
        days : (B, Q), since the source's first detection; training saw 0 to the model's view (100 days)
        band : (B, Q) int, index into the bands of the survey
        statistics : of the training split, by modality

        Returns
        -------
        (B, Q) AB magnitude, (B, Q) standard deviation [mag] of the light curve itself, without measurement
        error

        Raises
        ------
        ValueError : shapes that differ, or a band that does not exist
        """
        if days.shape != band.shape or days.ndim != 2 or len(days) != len(latent):
            raise ValueError(
                f"days {tuple(days.shape)} and band {tuple(band.shape)} must both be (B, Q) for "
                f"{len(latent)} fingerprints"
            )
        if band.numel() and not 0 <= int(band.min()) <= int(band.max()) < self.n_bands:
            raise ValueError(f"band: indices must lie between 0 and {self.n_bands - 1}")
        source = torch.arange(len(latent), device=latent.device).repeat_interleave(days.shape[1])
        mean, log_sigma = self.answer(latent, source, days.flatten().to(latent.dtype), band.flatten().long())
        scale, zero = (float(statistics["photometry"][name][_LOGFLUX]) for name in ("std", "mean"))
        mag, sigma = -2.5 * (mean.float() * scale + zero), 2.5 * scale * log_sigma.exp()
        return mag.view(days.shape), sigma.view(days.shape)


def negative_log_density(pull: Tensor, distance: str) -> Tensor:
    """-log of the density of a residual `pull`, in units of its standard deviation.

    `distance` "mse" is the standard normal, "huber" the normal with exponential tails beyond `HUBER_REACH`.
    """
    if distance == "mse":
        return 0.5 * pull**2 + 0.5 * math.log(2 * math.pi)
    if distance == "huber":
        c = HUBER_REACH
        within = math.sqrt(2 * math.pi) * math.erf(c / math.sqrt(2))
        tails = 2 / c * math.exp(-0.5 * c**2)
        huber = F.huber_loss(pull, torch.zeros_like(pull), reduction="none", delta=c)
        return huber + math.log(within + tails)
    raise ValueError(f"loss is {distance!r}; the query decoder knows huber and mse")


def _mean(values: Tensor, weight: Tensor) -> Mean:
    weight = weight.to(values.dtype)
    return Mean((values * weight).sum() / weight.sum().clamp_min(1e-12), weight.sum())
