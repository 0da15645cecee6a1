"""RTF, Real-Time Fingerprints: the history of an astronomical source as a vector of a few dozen floats."""

from importlib.metadata import version

__version__ = version("rtf")


def load(run, device: str = "cpu"):
    """The trained model in a run folder: `rtf.load(run).encode(histories)` gives fingerprints.

    Raises
    ------
    rtf.encoding.fingerprinter.RunError : the folder is not a finished run
    """
    # torch takes seconds to import, and readers do without.
    from rtf.encoding.load import load

    return load(run, device)


def read_histories(path, **settings):
    """Source histories of alerts in any format; see `rtf.alerts.read.read_histories`."""
    from rtf.alerts.read import read_histories

    return read_histories(path, **settings)
