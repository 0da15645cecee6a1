"""RTF, Real-Time Fingerprints: the history of an astronomical source as a vector of a few dozen floats.

import rtf

histories = rtf.read_histories("tonight")       # alerts in any format
model = rtf.load("runs/first")                  # the folder of a finished run
fingerprints = model.encode(histories)
"""

__version__ = "0.2.0"


def load(run, device: str = "cpu"):
    """The trained model in a run folder.

    Parameters
    ----------
    run : path of the folder
    device : "cpu", or "cuda"

    Returns
    -------
    `rtf.encoding.fingerprinter.Fingerprinter`

    Raises
    ------
    rtf.encoding.fingerprinter.RunError : the folder is not a finished run, or there is no such device
    """
    # torch takes seconds to import, and readers do without.
    from rtf.encoding.load import load

    return load(run, device)


def read_histories(path, **settings):
    """Source histories of alerts in any format, one for each object; see `rtf.alerts.read.read_histories`."""
    from rtf.alerts.read import read_histories

    return read_histories(path, **settings)
