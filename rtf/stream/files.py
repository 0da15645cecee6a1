"""Files replayed as a stream: what a reader gives, alert after alert, without Kafka.

Notable:
- alerts come in the order of files and of what is in them: an alert knows those before it, so files are to be
  in the order of time, as those of a night named by candid are
- what was replayed stands in the stream's folder, by its content, written whole: a replay that was stopped
  goes on there, one of a folder that grew takes what is new; an alert that comes again changes nothing
"""

import json
import os
from pathlib import Path

import numpy as np

from rtf.alerts.read import existing
from rtf.alerts.report import ReadReport
from rtf.files import write_json
from rtf.jobs import made_from
from rtf.stream.packets import SOLAR_SYSTEM, Bad, Lot

_UNIX_ZERO = 40587.0  # MJD
_DAY = 86400.0


class FileSource:
    """Alerts of a file, folder or archive.

    Parameters
    ----------
    input : what the reader takes
    reader : of `rtf.alerts.readers`
    survey : whose names and candids the alerts have
    folder : of the stream, where the position is kept
    until : end with the first alert of this time [Unix seconds]; None: the end of the input
    """

    def __init__(
        self,
        input: str | os.PathLike,
        reader,
        survey: str,
        folder: str | os.PathLike,
        *,
        cutouts: bool = True,
        until: float | None = None,
    ) -> None:
        if input is None:
            raise ValueError("what is to be replayed? Give input=FOLDER")
        self.survey, self._until = survey, np.inf if until is None else until / _DAY + _UNIX_ZERO
        self._path, self._place = existing(Path(input)), Path(folder) / "position.json"
        if hasattr(reader, "cutouts"):
            reader.cutouts = cutouts
        former = json.loads(self._place.read_text()) if self._place.exists() else {}
        # names of the units that were read whole; and of the one that was not, with how many alerts of it
        self._done = former.get("done", [])
        self._begun = former.get("unit"), former.get("packets", 0)
        self._report = ReadReport()
        self._histories = self._read(reader)

    def _read(self, reader):
        """(history, position after it); a history of None ends a unit."""
        known, done = {}, set(self._done)
        for unit in reader.units(self._path):
            if (name := made_from(unit, known=known)) in done:
                continue
            skip = self._begun[1] if name == self._begun[0] else 0
            for n, history in enumerate(reader.read(unit, self._report)):
                if n >= skip:
                    yield history, {"unit": name, "packets": n + 1}
            self._done = [*self._done, name]
            yield None, {}

    def read(self, most: int, wait: float) -> Lot:
        """The next alerts: `most`, or what is left."""
        lot = Lot()
        while lot.messages < most and not lot.last:
            history, place = next(self._histories, (None, None))
            if place is None or (history is not None and history.alert >= self._until):
                lot.last = True
                break
            lot.position = {"done": self._done, **place}
            if history is None:
                continue
            lot.messages += 1
            if np.isfinite(history.alert):
                lot.packets.append(history)
                lot.times.append(float("nan"))
            else:
                lot.bad.append(Bad("the input has no alert packets: rtf.encode takes it", b""))
        for item in self._report.items:
            where = " ".join(filter(None, (item["file"], item["item"], item["field"])))
            lot.bad.append(Bad(item["reason"], b"", None, where))
        self._report.items.clear()
        if left := self._report.counts.pop("solar_system", 0):
            lot.skipped[SOLAR_SYSTEM] += left
        return lot

    def commit(self, position: dict) -> None:
        """Let a replay of the same input begin after these alerts."""
        if position:
            write_json(self._place, position)

    def lag(self) -> int:
        """Files tell no lag."""
        return 0

    def close(self) -> None:
        pass
