"""RTF, Real-Time Fingerprints: the history of an astronomical source as a vector of a few dozen floats.

import rtf

histories = rtf.read_histories("tonight")       # alerts in any format
model = rtf.load("runs/first")                  # the folder of a finished run
fingerprints = model.encode(histories)
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # torch takes seconds to import, and readers do without
    from rtf.alerts.history import SourceHistory
    from rtf.encoding.fingerprinter import Fingerprinter

__version__ = "0.2.0"


def load(run: str | os.PathLike[str], device: str = "cpu") -> Fingerprinter:
    """The trained model in a run folder.

    Parameters
    ----------
    run : path of the folder
    device : "cpu", or "cuda"

    Raises
    ------
    rtf.encoding.fingerprinter.RunError : the folder is not a finished run, or there is no such device
    """
    from rtf.encoding.load import load

    return load(run, device)


def read_histories(path: str | os.PathLike[str], **settings: Any) -> list[SourceHistory]:
    """Source histories of alerts in any format, one for each object; see `rtf.alerts.read.read_histories`."""
    from rtf.alerts.read import read_histories

    return read_histories(path, **settings)
