"""A trained model with its normalisation: histories in, fingerprints out."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from omegaconf import DictConfig

from rtf.alerts.history import Detections, SourceHistory, concatenate
from rtf.alerts.surveys import Survey, survey_named
from rtf.encoding.fingerprints import Fingerprints, RunError, name_of, unsound
from rtf.encoding.shipped import other_survey
from rtf.encoding.space import space_of
from rtf.encoding.strangeness import Strangeness
from rtf.features.normalisation import Statistics, feature_columns
from rtf.features.snapshots import needs_cutouts, source_features
from rtf.features.view import view, view_settings
from rtf.models.autoencoder import Autoencoder
from rtf.models.bottlenecks.packing import bytes_of, pack, unpack
from rtf.store.batches import Sources, batches_by_length

#: Sources encoded at once. More are padded to the longest of them and leave the cache (bench_encoding.py).
BATCH = 64

log = logging.getLogger(__name__)


@dataclass
class Rebuilt:
    """Light curves as rebuilt from fingerprints, beside what the model saw of the true ones."""

    seen: Detections  # the model's view of the true detections
    dt: np.ndarray  # (D,) rebuilt days since the first detection
    mag: np.ndarray  # (D,)
    magerr: np.ndarray  # (D,)
    band: np.ndarray  # (D,) int64


class Fingerprinter:
    """A trained model with its normalisation: histories in, fingerprints out.

    Examples
    --------
    >>> model = rtf.load("runs/demo")                                     # doctest: +SKIP
    >>> fingerprints = model.encode(rtf.read_histories("alerts/"))        # doctest: +SKIP
    """

    def __init__(
        self,
        model: Autoencoder,
        modalities: Mapping[str, Callable],
        statistics: Statistics,
        config: DictConfig,
        device: str | torch.device = "cpu",
        strangeness: Strangeness | None = None,
    ):
        self.model = model.eval().to(device)
        self.modalities, self.statistics, self.config = modalities, statistics, config
        self.device, self.strangeness = torch.device(device), strangeness

    @property
    def temperature(self) -> float:
        """What divides the head's logits; 1 before calibration."""
        return float(self.model.temperature)

    @property
    def survey(self) -> Survey:
        """The survey whose sources it reads; former runs knew ZTF alone."""
        return survey_named(self.config.get("survey", "ztf"))

    @property
    def needs_cutouts(self) -> bool:
        """Whether the model looks at stamps."""
        return needs_cutouts(self.modalities)

    @cached_property
    def space(self) -> str:
        """What its fingerprints can be compared with (`rtf/encoding/space.py`)."""
        return space_of(self)

    def view(self, detections: Detections, first: int | np.ndarray | None = None) -> Detections:
        """What the model sees of the sources at their first detections; None: all of them."""
        return view(detections, first, **view_settings(self.config.data))

    def prepare(self, alerts: list[SourceHistory]) -> None:
        """Do what `encode` need not wait for, with alerts that it will soon be given, in another thread."""
        for modality in self.modalities.values():
            if getattr(modality, "images", False):
                modality.prepare(alerts)

    def encode(
        self,
        histories: list[SourceHistory] | Detections,
        first: int | np.ndarray | None = None,
        batch_size: int = BATCH,
        progress=None,
    ) -> Fingerprints:
        """Fingerprints of sources, computed from nothing but their own detections.

        Parameters
        ----------
        histories : sources, each with at least one detection; what the model reads and they lack is masked
        first : how many detections of each to use, one number or (N,); None: all
        batch_size : sources computed at once; the result does not depend on it, to float tolerance
        progress : called with the number of sources done after each batch

        Raises
        ------
        ValueError : histories that `unsound` finds fault with; the message names the first
        """
        seen, last, outputs = self._outputs(histories, first, batch_size, progress)
        n, bottleneck = len(seen), self.model.bottleneck
        latent = np.empty((n, self.config.latent_dim), np.float32)
        error, surprise = np.empty((2, n), np.float32)
        surprised = getattr(self.model.decoder, "surprise", self.model.decoder.error)
        probability, code, pooled = None, None, []
        if hasattr(bottleneck, "codes"):
            code = np.empty((n, bytes_of(bottleneck.sizes)), np.uint8)
        # what goes into the bottleneck, caught on its way, so that the encoder need not run a second time
        catch = bottleneck.register_forward_pre_hook(lambda _, inputs: pooled.append(inputs[0]))
        with catch:
            for batch, output in outputs:
                rows = batch.source.cpu()
                latent[rows] = output.latent.float().cpu()
                vector = pooled.pop()
                if code is not None:
                    code[rows] = pack(bottleneck.codes(vector), bottleneck.sizes).cpu()
                error[rows] = self.model.decoder.error(output.decoded, batch).float().cpu()
                surprise[rows] = surprised(output.decoded, batch).float().cpu()
                if output.logits is not None:
                    if probability is None:
                        probability = np.empty((n, output.logits.shape[1]), np.float32)
                    probability[rows] = self._calibrated(output.logits)
        found = Fingerprints(latent, probability, error, seen.length, last, code, surprise)
        if self.strangeness is not None:
            found.strangeness = self.strangeness(found)
        if not found.finite.all():
            log.warning(
                "%d of %d fingerprints are not finite, the first is %s",
                (~found.finite).sum(), n, name_of(histories, int(np.argmin(found.finite))),
            )  # fmt: skip
        return found

    def _calibrated(self, logits: torch.Tensor) -> torch.Tensor:
        return (logits.float() / self.model.temperature).softmax(1).cpu()

    @torch.inference_mode()
    def head_probability(self, latent: np.ndarray) -> np.ndarray | None:
        """(N, C) of the fine classes by the head, calibrated, from fingerprints (N, latent_dim).

        None without a head.
        """
        if self.model.head is None:
            return None
        logits = self.model.head(torch.from_numpy(np.float32(latent)).to(self.device))
        return self._calibrated(logits + self.model.class_bias).numpy()

    @torch.inference_mode()
    def from_code(self, code: np.ndarray) -> np.ndarray:
        """Packed codes (N, bytes) uint8 to the fingerprints (N, latent_dim) float32 they stand for.

        RunError where the model's bottleneck has no codes.
        """
        bottleneck = self.model.bottleneck
        if not hasattr(bottleneck, "codes"):
            raise RunError("this model's bottleneck has no codes; vqvae, rvq and fsq have")
        codes = unpack(torch.from_numpy(np.array(code, np.uint8)).to(self.device), bottleneck.sizes)
        return bottleneck.from_codes(codes).float().cpu().numpy()

    def reconstruct(
        self,
        histories: list[SourceHistory] | Detections,
        first: int | np.ndarray | None = None,
        batch_size: int = BATCH,
    ) -> Rebuilt:
        """The light curves rebuilt from the fingerprints, at the positions the model saw."""
        seen, _, outputs = self._outputs(histories, first, batch_size)
        columns = {name: np.empty(len(seen.mjd)) for name in ("dt", "mag", "magerr")}
        columns["band"] = np.empty(len(seen.mjd), np.int64)
        start = torch.from_numpy(seen.offset[:-1])
        for batch, output in outputs:
            mask = batch.mask.cpu()
            row = (start[batch.source.cpu()][:, None] + torch.arange(mask.shape[1]))[mask].numpy()
            rebuilt = self.model.decoder.rebuilt(output.decoded, batch, self.statistics)
            for name, column in columns.items():
                column[row] = rebuilt[name].cpu()[mask]
        return Rebuilt(seen, **columns)

    @torch.inference_mode()
    def query(
        self, latent: np.ndarray, days: np.ndarray, band: np.ndarray, batch_size: int = 1024
    ) -> tuple[np.ndarray, np.ndarray]:
        """Magnitudes and their uncertainties (N, Q) that fingerprints hold for any times and bands.

        The uncertainty is the standard deviation of the light curve without measurement noise.

        Parameters
        ----------
        latent : (N, latent_dim) fingerprints
        days, band : (N, Q) days since the first detection, band index

        Raises
        ------
        RunError : the decoder rebuilds the detections of a source in their order and cannot be asked
        """
        if not hasattr(self.model.decoder, "at"):
            raise RunError("this model's decoder cannot be asked for a time: train with decoder=query")
        found = []
        for k in range(0, len(latent), batch_size):
            rows = slice(k, k + batch_size)
            inputs = (np.float32(latent[rows]), np.float32(days[rows]), np.int64(band[rows]))
            tensors = (torch.from_numpy(x).to(self.device) for x in inputs)
            found.append([x.float().cpu().numpy() for x in self.model.decoder.at(*tensors, self.statistics)])
        return tuple(np.concatenate(x) for x in zip(*found))

    def _outputs(self, histories, first, batch_size: int, progress=None):
        detections = histories if isinstance(histories, Detections) else concatenate(histories)
        if detections.survey != self.survey:
            raise ValueError(other_survey(self.survey, detections.survey))
        if wrong := unsound(detections):
            first = min(wrong)
            raise ValueError(
                f"{len(wrong)} of {len(detections)} sources cannot be encoded, the first is "
                f"{name_of(histories, first)}: {wrong[first]}"
            )
        seen = self.view(detections, first)
        if self.config.data.get("view", "first") == "first":
            last = seen.length - 1
        else:
            last = (detections.length if first is None else np.minimum(first, detections.length)) - 1
        sources = Sources(seen, feature_columns(self.modalities, seen, self.statistics))

        @torch.inference_mode()
        def outputs():
            for chosen in batches_by_length(sources.length, batch_size):
                batch = sources.batch(chosen)
                side = source_features(self.modalities, seen.take(chosen), self.statistics)
                for name, (values, present) in side.items():
                    batch.side[name] = torch.from_numpy(np.asarray(values, np.float32))
                    batch.present[name] = torch.from_numpy(present)
                batch = batch.to(self.device)
                yield batch, self.model(batch)
                if progress is not None:
                    progress(len(chosen))

        return seen, last, outputs()
