"""An exported model run by ONNX Runtime: histories in, fingerprints out. Imports no torch.

A folder of `rtf.export` holds encode.onnx, decode.onnx, from_code.onnx where the model has codes, and
model.json, which says what the arrays are.
"""

import json
from pathlib import Path

import numpy as np

from rtf.alerts.cutouts import BadCutout, decode_cutout
from rtf.alerts.history import Detections, SourceHistory, concatenate
from rtf.alerts.surveys import survey_named
from rtf.encoding.fingerprints import Fingerprints, RunError, name_of, unsound
from rtf.encoding.shipped import other_survey
from rtf.features.stamps import KINDS, latest_stamps, on_grid
from rtf.features.view import view

ENCODE, DECODE, FROM_CODE, DESCRIPTION = "encode.onnx", "decode.onnx", "from_code.onnx", "model.json"
BATCH = 64


class Exported:
    """A folder of `rtf.export`, ready to encode.

    Parameters
    ----------
    folder : of the exported model
    threads : of ONNX Runtime in one call

    Raises
    ------
    RunError : the folder lacks a file, or its description names arrays this version does not know

    Examples
    --------
    >>> model = rtf.load("exported/")                              # doctest: +SKIP
    >>> model.encode(rtf.read_histories("tonight")).latent         # doctest: +SKIP
    """

    def __init__(self, folder: str | Path, threads: int = 1):
        folder = Path(folder)
        for name in (ENCODE, DECODE, DESCRIPTION):
            if not (folder / name).exists():
                raise RunError(f"{folder} has no {name}: it is not a folder of rtf.export")
        self.about = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
        self.folder, self.threads = folder, threads
        self._sessions: dict = {}

    @property
    def needs_cutouts(self) -> bool:
        return "stamps" in self.about["inputs"]

    @property
    def space(self) -> str:
        """The space of the fingerprints; those of other spaces cannot be compared with them."""
        return self.about["space"]

    def run(self, graph: str, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Outputs of a graph, by name, for arrays by name."""
        if graph not in self._sessions:
            self._sessions[graph] = session(self.folder / graph, self.threads)
        return answers(self._sessions[graph], arrays)

    def encode(self, histories: list[SourceHistory], batch_size: int = BATCH, progress=None) -> Fingerprints:
        """As `Fingerprinter.encode`, of all that histories hold.

        Raises
        ------
        ValueError : histories that `unsound` finds fault with; the message names the first
        """
        if not histories:
            raise ValueError("there is no source to encode")
        detections = concatenate(histories, limits=False)  # the graph makes that column
        if detections.survey != (own := survey_named(self.about.get("survey", "ztf"))):
            raise ValueError(other_survey(own, detections.survey))
        if wrong := unsound(detections):
            first = min(wrong)
            raise ValueError(f"{name_of(histories, first)} cannot be encoded: {wrong[first]}")
        order = np.argsort(detections.length, kind="stable")  # little padding
        parts = []
        for start in range(0, len(order), batch_size):
            some = order[start : start + batch_size]
            arrays = padded([histories[k] for k in some], self.about["inputs"])
            if self.needs_cutouts:
                arrays["stamps"] = raw_stamps(view(detections.take(some), **self.about["view"]))
            parts.append(self.run(ENCODE, arrays))
            if progress is not None:
                progress(len(some))
        back = np.argsort(order)
        found = {name: np.concatenate([part[name] for part in parts])[back] for name in parts[0]}
        last = detections.length - 1 if self.about["view"]["kind"] == "latest" else found["n_detections"] - 1
        return Fingerprints(
            found["fingerprint"], found.get("probability"), found["error"], found["n_detections"], last,
            code=found.get("code"), strangeness=found.get("strangeness"),
        )  # fmt: skip

    def from_code(self, code: np.ndarray) -> np.ndarray:
        """Codes (N, bytes) uint8 to the fingerprints (N, F) float32 they stand for."""
        if not (self.folder / FROM_CODE).exists():
            raise RunError(f"{self.folder} has no {FROM_CODE}: this model has no codes of whole bytes")
        return self.run(FROM_CODE, {"code": np.ascontiguousarray(code, np.uint8)})["fingerprint"]

    def query(self, latent: np.ndarray, days: np.ndarray, band: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """As `Fingerprinter.query`: magnitudes and uncertainties (N, Q) at (N, Q) days and bands."""
        arrays = {"fingerprint": np.float32(latent), "days": np.float32(days), "band": np.int64(band)}
        found = self.run(DECODE, arrays)
        return found["mag"], found["sigma"]


def session(path: Path, threads: int = 1):
    """ONNX Runtime's session of a graph, on the CPU."""
    try:
        import onnxruntime
    except ImportError as error:
        raise RunError("exported models need ONNX Runtime: pip install rtf-fingerprints[onnx]") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    try:
        return onnxruntime.InferenceSession(str(path), options, ["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has a type for each way a file can be wrong
        raise RunError(f"{path} cannot be run: {error}") from error


def answers(session, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Outputs of a graph, by name, for arrays by name."""
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, arrays)))


def padded(histories: list[SourceHistory], inputs: list[str]) -> dict[str, np.ndarray]:
    """Histories as the arrays of encode.onnx (`rtf/encoding/graph.py` says what they are), without stamps.

    Parameters
    ----------
    inputs : names of the arrays wanted
    """
    size, length = len(histories), max(map(len, histories))
    arrays = {
        "mjd": np.zeros((size, length)),
        "band": np.zeros((size, length), np.int64),
        "mag": np.zeros((size, length), np.float32),
        "magerr": np.zeros((size, length), np.float32),
        "mask": np.zeros((size, length), bool),
    }
    if "metadata" in inputs:
        arrays["metadata"] = np.full((size, length, histories[0].metadata.shape[1]), np.nan, np.float32)
    if "limit_mjd" in inputs:
        most = max(1, *(len(h.limits) for h in histories)) if size else 1
        arrays["limit_mjd"] = np.full((size, most), np.nan)
        arrays["limit_band"] = np.zeros((size, most), np.int64)
        arrays["limit_mag"] = np.full((size, most), np.nan, np.float32)
    for k, history in enumerate(histories):
        for name in ("mjd", "band", "mag", "magerr", "metadata"):
            if name in arrays:
                arrays[name][k, : len(history)] = getattr(history, name)
        arrays["mask"][k, : len(history)] = True
        if "limit_mjd" in inputs:
            for column, name in enumerate(("limit_mjd", "limit_band", "limit_mag")):
                arrays[name][k, : len(history.limits)] = history.limits[:, column]
    return arrays


def raw_stamps(seen: Detections) -> np.ndarray:
    """(N, 3, 63, 63) float32 pixels of the latest stamps in view, NaN where nothing was measured."""
    pixels = np.full((len(seen), len(KINDS), *[seen.survey.stamp_size] * 2), np.nan, np.float32)
    latest = latest_stamps(seen)
    having = np.flatnonzero(latest >= 0)
    if len(having):
        for k, triplet in zip(having, seen.read_stamps(latest[having]), strict=True):
            try:
                pixels[k] = [on_grid(decode_cutout(stamp), seen.survey) for stamp in triplet]
            except BadCutout:  # readers leave such stamps out
                pixels[k] = np.nan
    return pixels
