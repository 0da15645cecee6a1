"""RTF, Real-Time Fingerprints: the history of an astronomical source as a vector of a few dozen floats.

import rtf

histories = rtf.read_histories("tonight")       # alerts in any format
model = rtf.load("ztf")                         # a model in the box, or the folder of a run or an export
fingerprints = model.encode(histories)
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # torch takes seconds to import, and readers do without
    from rtf.alerts.history import SourceHistory
    from rtf.encoding.exported import Exported
    from rtf.encoding.fingerprinter import Fingerprinter

__version__ = "0.2.0"


def load(run: str | os.PathLike[str], device: str = "cpu") -> Fingerprinter | Exported:
    """A trained model: one in the box, of a run folder, or of a folder of `rtf.export`.

    Parameters
    ----------
    run : name of a shipped model ("ztf", "lsst"), or path of the folder; an exported one runs with ONNX
        Runtime, without torch
    device : "cpu", or "cuda"

    Raises
    ------
    rtf.encoding.fingerprints.RunError : no such model, an unfinished run, or no such device
    """
    if os.path.exists(os.path.join(run, "encode.onnx")):
        from rtf.encoding.exported import Exported

        return Exported(run)
    from rtf.encoding.load import load

    return load(run, device)


def read_histories(path: str | os.PathLike[str], **settings: Any) -> list[SourceHistory]:
    """Source histories of alerts in any format, one for each object; see `rtf.alerts.read.read_histories`."""
    from rtf.alerts.read import read_histories

    return read_histories(path, **settings)
