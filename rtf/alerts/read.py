"""From a path to source histories: which reader understands it, and one history for each object in it.

A reader is a module of `rtf.alerts.readers`, and a new format is one new module there. It has a function
`recognises(path)` and one dataclass with the methods `units(path)`, what can be read independently, and
`read(unit, report)`, the histories in one unit; it may have `explain(path)`: why no reader recognises an
input.
"""

import importlib
import pkgutil
from dataclasses import is_dataclass
from pathlib import Path

import rtf.alerts.readers
from rtf.alerts.history import SourceHistory
from rtf.alerts.merge import merge_objects
from rtf.alerts.report import NothingReadable, ReadReport


def auto_reader(path, **settings):
    """The reader that recognises what lies at `path`, with settings such as `negative` and `cutouts`.

    A setting that is None is left as the reader has it.

    Raises
    ------
    FileNotFoundError : nothing is there
    rtf.alerts.report.NothingReadable : the folder is empty, or no reader recognises what is there
    ValueError : several readers do, so that one has to be named
    """
    path = existing(path)
    modules = readers()
    found = [name for name, module in modules.items() if module.recognises(path)]
    if not found:
        reasons = [m.explain(path) for m in modules.values() if hasattr(m, "explain")]
        understood = f"{path}: nothing here that can be read; understood are {', '.join(modules)}"
        raise NothingReadable("\n  ".join([understood, *filter(None, reasons)]))
    if len(found) > 1:
        names = " and ".join(found)
        raise ValueError(f"{path}: {names} could both read this; name one, as reader={found[0]}")
    given = {name: value for name, value in settings.items() if value is not None}
    return reader_class(modules[found[0]])(**given)


def existing(path) -> Path:
    """`path`, if it holds something; else FileNotFoundError or `rtf.alerts.report.NothingReadable`."""
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: not there")
    try:
        if path.is_dir() and next(path.iterdir(), None) is None:
            raise NothingReadable(f"{path}: the folder is empty")
    except OSError as error:
        raise NothingReadable(f"{path}: the folder cannot be listed ({error.strerror})") from error
    return path


def readers() -> dict:
    """Every module of `rtf.alerts.readers` by name."""
    found = sorted(module.name for module in pkgutil.iter_modules(rtf.alerts.readers.__path__))
    return {name: importlib.import_module(f"rtf.alerts.readers.{name}") for name in found}


def reader_class(module) -> type:
    """The one dataclass of a reader's module that has `units` and `read`."""
    own = [x for x in vars(module).values() if is_dataclass(x) and x.__module__ == module.__name__]
    (found,) = [x for x in own if hasattr(x, "units") and hasattr(x, "read")]
    return found


def read_histories(
    path, reader=None, report: ReadReport | None = None, progress: bool = False, **settings
) -> list[SourceHistory]:
    """All sources at `path`, one history for each object, sorted by its id.

    Parameters
    ----------
    path : file or folder
    reader : a reader of `rtf.alerts.readers`; by default the one that recognises `path`
    report : gains exact counts. Each alert is a packet, read or skipped. Its usable rows, its own candidate
        and history entries, are `detections`; `detections` - `repeats` of them remain in the histories of
        `objects` sources. Rows that are no detections are `non_detections` and `negative`; sources without
        any detection are `empty` and not among the objects
    progress : show a progress bar
    settings : for the reader that recognises `path`, such as `negative` and `cutouts`

    Raises
    ------
    rtf.alerts.report.NothingReadable : no source could be read; the message says why
    FileNotFoundError : nothing is there
    """
    path = existing(path)
    if reader is None:
        reader = auto_reader(path, **settings)
    elif settings:
        raise TypeError(f"{', '.join(settings)}: settings of a reader that was given belong to that reader")
    report = ReadReport() if report is None else report
    units = reader.units(path)
    if progress:
        from rich.markup import escape
        from rich.progress import track

        units = track(units, description=escape(f"reading {path.name}"))
    histories = merge_objects((history for unit in units for history in reader.read(unit, report)), report)
    if not histories:
        raise NothingReadable(nothing_message(path, report))
    return histories


def nothing_message(path, report: ReadReport) -> str:
    """Why nothing could be read, with the first bad items by name."""
    lines = [f"{path}: no readable source; read {report.summary()}"]
    lines += report.first_items()
    if report.counts["negative"] and not report.skipped:
        lines.append("  every detection is a negative subtraction; negative=true keeps those")
    if report.counts["solar_system"] and not report.skipped:
        lines.append("  every alert is of the Solar System; solar_system=true keeps those")
    return "\n".join(lines)
