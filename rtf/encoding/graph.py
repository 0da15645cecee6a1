"""The model and its preprocessing as one torch module over plain padded arrays, for export to ONNX.

Notable:
- what `rtf/features` computes on concatenated detections is computed here on padded ones: view, differences
  in time (in float64, before the cast), normalisation, masks, stamps. Tests hold the two equal on real alerts
- nothing depends on the data but the values: no branch, no shape
- only operators that ONNX Runtime has for CUDA too (`rtf/encoding/export.py` checks); so no asinh, no log1p
"""

import numpy as np
import torch
from torch import Tensor, nn

from rtf.alerts.history import LIMIT_DAYS
from rtf.encoding.fingerprinter import Fingerprinter
from rtf.encoding.fingerprints import RunError
from rtf.features.photometry import CHANNELS, extra_fields, wavelength_column
from rtf.features.stamps import BELOW_ONE_SIGMA, RESOLUTION
from rtf.features.view import NIGHT_GAP, view_settings
from rtf.models.layers import asinh

#: Modalities that can be computed inside the graph; photometry always is.
MODALITIES = ("photometry", "limits", "metadata", "stamps")
#: Pixels beyond are no measurements (`rtf/alerts/cutouts.py`).
_NO_PIXEL = 1e30
#: Together they reach over 16,384 detections.
_STEPS = tuple(2**k for k in range(14))


def inputs_of(modalities) -> list[str]:
    """Names of the arrays that a model of these modalities takes, in order."""
    names = ["mjd", "band", "mag", "magerr", "mask"]
    for name in MODALITIES[1:]:
        if name in modalities:
            names += ["limit_mjd", "limit_band", "limit_mag"] if name == "limits" else [name]
    return names


def refuse(model: Fingerprinter) -> None:
    """Make sure that a model can be exported.

    Raises
    ------
    RunError : a modality that no graph computes (GP features), pretrained image weights (Zoobot), or a
        decoder that cannot be asked for a time
    """
    if strangers := [name for name in model.modalities if name not in MODALITIES]:
        raise RunError(
            f"the model reads {', '.join(strangers)}, which cannot be computed inside a graph; models of "
            f"{', '.join(MODALITIES)} can be exported"
        )
    backbone = model.config.image_backbone._target_ if "stamps" in model.modalities else ""
    if "zoobot" in backbone:
        raise RunError("image_backbone=zoobot is not exported; train with image_backbone=simple")
    if not hasattr(model.model.decoder, "at"):
        raise RunError("this model's decoder cannot be asked for a time: train with decoder=query")


class FromArrays(nn.Module):
    """Plain arrays of B sources to what `Fingerprinter.encode` gives.

    Inputs, in this order, those of absent modalities left out
    ---------------------------------------------------------
    mjd : (B, L) float64, days, ascending over the detections of a source, which come first
    band : (B, L) int64, index into the bands of the survey
    mag, magerr : (B, L) float32, AB magnitude and its error; of signed fluxes asinh magnitudes
    mask : (B, L) bool, True at detections
    limit_mjd, limit_band, limit_mag : (B, K) float64, int64, float32, non-detections in any order;
        padding has NaN times
    metadata : (B, L, F) float32, columns `Survey.metadata_fields`, NaN where missing
    stamps : (B, 3, 63, 63) float32, science, template, difference in the survey's unit; NaN where nothing was
        measured, everywhere for a source without

    Outputs
    -------
    fingerprint : (B, F) float32
    code : (B, bytes) uint8, where the model has codes of whole bytes
    probability : (B, C) float32 of the classes, where it has a head
    strangeness : (B,) float32, where it was fitted
    error : (B,) float32 of the reconstruction
    n_detections : (B,) int64 in the model's view
    """

    def __init__(self, model: Fingerprinter):
        super().__init__()
        refuse(model)
        self.model, self.modalities, self.survey = model.model, tuple(model.modalities), model.survey
        self.view = view_settings(model.config.data)
        self.softening = getattr(model.modalities.get("stamps"), "softening", None)
        for modality, values in model.statistics.items():
            for name, value in values.items():
                self.register_buffer(f"{modality}_{name}", torch.as_tensor(np.float32(value)))
        self.strange = model.strangeness is not None
        if self.strange:
            for name, value in vars(model.strangeness).items():
                self.register_buffer(f"strange_{name}", torch.as_tensor(np.float64(value)))
        self.sizes = getattr(self.model.bottleneck, "sizes", ())

    @property
    def inputs(self) -> list[str]:
        return inputs_of([*self.modalities, *(["metadata"] if extra_fields(self.survey) else [])])

    @property
    def outputs(self) -> list[str]:
        names = ["fingerprint"] + ["code"] * self.packs
        names += ["probability"] * (self.model.head is not None) + ["strangeness"] * self.strange
        return [*names, "error", "n_detections"]

    @property
    def packs(self) -> bool:
        """Whether each code is a byte; others are left to `Fingerprinter.encode`."""
        return hasattr(self.model.bottleneck, "codebooks") and set(self.sizes) == {256}

    def forward(self, *arrays: Tensor) -> tuple[Tensor, ...]:
        given = dict(zip(self.inputs, arrays, strict=True))
        row, mask, shown = self._window(given["mjd"], given["band"], given["mask"])
        mjd, mag = given["mjd"].gather(1, row), given["mag"].gather(1, row)
        band, magerr = given["band"].gather(1, row), given["magerr"].gather(1, row)
        days = torch.where(mask, mjd - mjd[:, :1], 0.0)
        extra = {
            name: given["metadata"][..., self.survey.metadata_fields.index(name)].gather(1, row)
            for name in extra_fields(self.survey)
        }
        columns = {"photometry": self._photometry(days, mag, magerr, band, extra)}
        if "limits" in self.modalities:
            columns["limits"] = self._limits(given, mjd, mag)
        if "metadata" in self.modalities:
            metadata = given["metadata"]
            whole = metadata.gather(1, row[..., None].expand(-1, -1, metadata.shape[2]))
            columns["metadata"] = self._robust(whole, "metadata")
        features = torch.cat([columns[name] for name in self.modalities if name in columns], 2)
        features = torch.where(mask[..., None], features, 0.0)
        side, present = {}, {}
        if "stamps" in self.modalities:
            pixels = given["stamps"]
            there = (pixels.abs() <= _NO_PIXEL).flatten(1).sum(1) > 0
            vector = self.model.encoder.branches["stamps"](self._stamps(pixels))
            side["stamps"], present["stamps"] = torch.where(there[:, None], vector, 0.0), there
        days32 = days.float()
        pooled = self.model.encoder.combine(features, days32, mask, side, present)
        latent = self.model.bottleneck(pooled)[0]
        found = [latent]
        if self.packs:
            found.append(self._codes(pooled))
        probability = None
        if self.model.head is not None:
            logits = self.model.head(latent) + self.model.class_bias
            probability = (logits / self.model.temperature).softmax(1)
            found.append(probability)
        error, surprise = self._rebuilt(latent, days32, band, features, mask)
        if self.strange:
            found.append(self._strangeness(latent, surprise, probability, shown))
        return (*found, error, shown)

    def _window(self, mjd: Tensor, band: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Rows (B, W) in view, which of them there are (B, W), how many (B,); see `rtf/features/view.py`."""
        most, days = self.view["max_detections"], self.view["max_days"]
        place = torch.arange(mjd.shape[1], device=mjd.device)
        order = None
        if "per_night" in self.view:
            kept = mask & (self._night_rank(mjd, band, mask) < self.view["per_night"])
            order = torch.where(kept, place, place + mjd.shape[1]).sort(1)[1]
            mjd, mask = mjd.gather(1, order), place < kept.sum(1)[:, None]
        n = mask.sum(1)
        if self.view["kind"] == "first":
            near = mask & (mjd - mjd[:, :1] <= days) & (place < most)
            start, shown = torch.zeros_like(n), near.sum(1)
        else:
            newest = mjd.gather(1, (n - 1).clamp(min=0)[:, None])
            early = (mask & (mjd < newest - days)).sum(1)
            start = torch.minimum(early, (n - self.view["min_detections"]).clamp(min=0))
            start = torch.maximum(start, n - most)
            shown = n - start
        place = place[:most]
        row = (start[:, None] + place).clamp(max=mjd.shape[1] - 1)
        return row if order is None else order.gather(1, row), place < shown[:, None], shown

    def _night_rank(self, mjd: Tensor, band: Tensor, mask: Tensor) -> Tensor:
        """(B, L) as `rtf.features.view.night_rank`."""
        place = torch.arange(mjd.shape[1], device=mjd.device)
        begins = (place == 0) | (mjd - torch.cat([mjd[:, :1], mjd[:, :-1]], 1) > NIGHT_GAP)
        start = torch.where(begins, place, 0)  # then, of each row, where its night begins
        for step in _STEPS:  # the running maximum, for which ONNX has no operator
            before = torch.cat([torch.zeros_like(start[:, :1]).expand(-1, step), start], 1)
            start = torch.maximum(start, before[:, : mjd.shape[1]])
        own = (band[..., None] == torch.arange(len(self.survey.bands), device=band.device)) & mask[..., None]
        before = own.long().cumsum(1) - own.long()
        at_start = before.gather(1, start[..., None].expand_as(before))
        return (before - at_start).gather(2, band[..., None])[..., 0]

    def _photometry(
        self, days: Tensor, mag: Tensor, magerr: Tensor, band: Tensor, extra: dict[str, Tensor]
    ) -> Tensor:
        previous = (days - torch.cat([days[:, :1], days[:, :-1]], 1)).clamp(min=0.0)
        continuous = [torch.log(1 + days).float(), torch.log(1 + previous).float(), -0.4 * mag, 0.4 * magerr]
        scaled = (torch.stack(continuous, 2) - self.photometry_mean) / self.photometry_std
        one_hot = band[..., None] == torch.arange(len(self.survey.bands), device=band.device)
        columns = [scaled, one_hot.float()]
        if "forced" in extra:
            columns += [(extra["forced"] == 1).float()[..., None]]
        if "wavelength" in extra:
            of_band = torch.tensor(self.survey.wavelength)[band]
            shift = wavelength_column(extra["wavelength"], of_band)
            columns += [torch.where(shift.isnan(), 0.0, shift)[..., None]]
        return torch.cat(columns, 2)

    def _limits(self, given: dict[str, Tensor], mjd: Tensor, mag: Tensor) -> Tensor:
        """Columns of `rtf/features/limits.py`: the latest non-detection before each detection, by band."""
        when, depth = given["limit_mjd"][:, None], given["limit_mag"][:, None]
        days, deeper = [], []
        for k in range(len(self.survey.bands)):
            before = (given["limit_band"][:, None] == k) & (when < mjd[..., None])
            latest = torch.where(before, when, -torch.inf).amax(2)
            # of several depths for one time the brightest counts
            same = before & (when == latest[..., None])
            limit = torch.where(same, depth, torch.inf).amin(2)
            ago = mjd - latest
            near = ago <= LIMIT_DAYS
            # a float32 in between, as a store has it
            days.append(torch.where(near, torch.log(1 + ago.float().double()), torch.nan).float())
            deeper.append(torch.where(near, limit - mag, torch.nan))
        return self._robust(torch.stack(days + deeper, 2), "limits")

    def _robust(self, values: Tensor, modality: str) -> Tensor:
        """Scaled values and masks, as `rtf.features.metadata.robust_columns` makes them."""
        scaled = (values - getattr(self, f"{modality}_median")) / getattr(self, f"{modality}_scale")
        known = scaled.abs() < torch.inf
        wide = torch.where(known, scaled, 0.0).double()
        scaled = wide.sign() * torch.log(wide.abs() + (wide * wide + 1).sqrt())
        return torch.cat([scaled.float(), (~known).float()], 2)

    def _stamps(self, pixels: Tensor) -> Tensor:
        """Prepared stamps, as `rtf.features.stamps.prepare_stamp` makes them, of (B, 3, 63, 63)."""
        flat = pixels.flatten(2)
        measured = flat.abs() <= _NO_PIXEL
        count = measured.sum(2, keepdim=True)
        # the median and what lies below it are all that is asked for
        smallest = torch.where(measured, flat, torch.inf).topk(flat.shape[2] // 2 + 1, largest=False)
        ordered = smallest.values
        some = count.clamp(min=1)
        background = ordered.gather(2, torch.div(some, 2, rounding_mode="floor"))
        noise = background - ordered.gather(2, (some.double() * BELOW_ONE_SIGMA).long())
        known = torch.where(measured, flat, 0.0).double()
        mean = known.sum(2, keepdim=True) / some
        spread = (
            (torch.where(measured, known - mean, 0.0).square().sum(2, keepdim=True) / some).sqrt().float()
        )
        low, high = ordered[..., :1], torch.where(measured, flat, -torch.inf).amax(2, keepdim=True)
        noise = torch.where(noise == 0, spread, noise)
        least = RESOLUTION * torch.maximum(low.abs(), high.abs())
        noise = torch.maximum(noise, least).clamp(min=torch.finfo(torch.float32).tiny)
        scaled = (torch.where(measured, flat, background) - background) * (1 / (noise * self.softening))
        flat_image = (count == 0) | (low == high)
        # in float64, so that hardly a pixel rounds to another half, in which stamps are kept
        prepared = torch.where(flat_image, 0.0, asinh(scaled.double()).float()).half().float()
        return prepared.unflatten(2, pixels.shape[2:])

    def _codes(self, pooled: Tensor) -> Tensor:
        """(B, codebooks) uint8, as `RVQBottleneck.codes`."""
        z, total, codes = self.model.bottleneck.project(pooled), 0.0, []
        for codebook in self.model.bottleneck.codebooks:
            unused = codebook.count == 0
            length = codebook.vectors.square().sum(1).masked_fill(unused & ~unused.all(), torch.inf)
            codes.append(_smallest(length - 2 * (z - total) @ codebook.vectors.T))
            total = total + codebook.vectors[codes[-1]]
        return torch.stack(codes, 1).to(torch.uint8)

    def _rebuilt(self, latent: Tensor, days: Tensor, band: Tensor, features: Tensor, mask: Tensor):
        """(B,) each, as `error` and `surprise` of `QueryDecoder`; padding is in the work, not in the sums."""
        decoder = self.model.decoder
        source = torch.arange(mask.shape[0], device=mask.device)[:, None].expand(mask.shape).flatten()
        mean, log_sigma = decoder.answer(latent, source, days.flatten(), band.flatten())
        mean, log_sigma = mean.view(mask.shape), log_sigma.view(mask.shape)
        flux, error = CHANNELS.index("logflux"), CHANNELS.index("logflux_err")
        error = (features[..., error] * decoder.std[error] + decoder.mean[error]).clamp(
            min=0.0
        ) / decoder.std[flux]
        variance = (2 * log_sigma).exp() + error * error
        residual = torch.where(mask, mean - features[..., flux], 0.0)
        pull = (residual / variance.sqrt()).clamp(-6, 6)
        density = torch.where(mask, 0.5 * (pull * pull + variance.log()), 0.0)
        return (residual * residual).sum(1) / mask.sum(1), density.sum(1) / mask.sum(1)

    def _strangeness(
        self, latent: Tensor, surprise: Tensor, probability: Tensor | None, shown: Tensor
    ) -> Tensor:
        """(B,) as `rtf.encoding.strangeness.Strangeness`."""
        z = (latent.double() - self.strange_centre) @ self.strange_axes
        distance = ((z - self.strange_mean[:, None]) @ self.strange_precision).square().sum(2)
        lonely = self.strange_log_weight - 0.5 * distance.T
        highest = lonely.amax(1, keepdim=True)
        density = (lonely - highest).exp().sum(1).log() + highest[:, 0]
        answers = [surprise.double(), -density]
        if probability is not None:
            p = probability.double()
            answers.append(-(p * p.clamp(min=1e-12).log()).sum(1))
        step = shown.clamp(min=1).double().log()[:, None] - self.strange_counts.log()
        near = _smallest(step.abs())
        shares = [_share(a, self.strange_answers[:, k][near]) for k, a in enumerate(answers)]
        return _share(torch.stack(shares).mean(0), self.strange_total[near]).float()


def _smallest(x: Tensor) -> Tensor:
    """(B,) column of the smallest of (B, K) (ArgMin has no CUDA kernel in older ONNX Runtimes)."""
    return x.topk(1, largest=False).indices[:, 0]


def _share(values: Tensor, quantiles: Tensor) -> Tensor:
    """Share of each distribution (B, Q), given by its quantiles, that lies below values (B,)."""
    steps = quantiles.shape[1] - 1
    k = ((quantiles <= values[:, None]).sum(1) - 1).clamp(0, steps - 1)[:, None]
    low, high = quantiles.gather(1, k)[:, 0], quantiles.gather(1, k + 1)[:, 0]
    part = (values - low) / torch.where(high > low, high - low, 1.0)
    return (k[:, 0] + part.clamp(0, 1)) / steps


class FromFingerprint(nn.Module):
    """Fingerprints (B, F), days since the first detection in view (B, Q) float32 and bands (B, Q) int64 to
    AB magnitudes (B, Q) and the standard deviation (B, Q) of the light curve itself."""

    inputs, outputs = ("fingerprint", "days", "band"), ("mag", "sigma")

    def __init__(self, model: Fingerprinter):
        super().__init__()
        self.decoder = model.model.decoder

    def forward(self, fingerprint: Tensor, days: Tensor, band: Tensor) -> tuple[Tensor, Tensor]:
        decoder, flux = self.decoder, CHANNELS.index("logflux")
        source = torch.arange(days.shape[0], device=days.device)[:, None].expand(days.shape).flatten()
        mean, log_sigma = decoder.answer(fingerprint, source, days.flatten(), band.flatten())
        mag = -2.5 * (mean * decoder.std[flux] + decoder.mean[flux])
        return mag.view(days.shape), (2.5 * decoder.std[flux] * log_sigma.exp()).view(days.shape)


class FromCode(nn.Module):
    """(B, bytes) uint8 codes to the fingerprints (B, F) they stand for."""

    inputs, outputs = ("code",), ("fingerprint",)

    def __init__(self, model: Fingerprinter):
        super().__init__()
        self.bottleneck = model.model.bottleneck

    def forward(self, code: Tensor) -> Tensor:
        return self.bottleneck.from_codes(code.long())
