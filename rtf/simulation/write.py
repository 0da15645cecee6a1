"""A simulated survey as files of alert packets, in the layouts that the readers read.

Notable:
- `avro`: OUT/alerts_0000000/CANDID.avro, one alert a file; `tar` and `tar.gz`: OUT/alerts_0000000.tar, an
  archive of such files as the public one has them; `applecider`: OUT/OBJECT/alerts.npy and
  OUT/labels/SPLIT/OBJECT.npz
- labels.csv and splits.csv beside the alerts say what Avro cannot; simulation.json holds settings and counts
- everything lies in OUT.new until it is complete: the same command continues where it was stopped, and gives
  the same bytes; so does any number of workers
"""

import csv
import gzip
import io
import os
import tarfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from rtf.files import whole, write_json
from rtf.jobs import beside, finish_part, made_from, part_record, put_in_place, refuse_old, remove
from rtf.simulation.instrument import Instrument
from rtf.simulation.survey import simulate_source
from rtf.workers import in_processes

_SETTINGS, _PARTS = "simulation.json", ".parts"
#: Of archives: cutouts are compressed already, and the rest is the schema again and again.
_GZIP_LEVEL = 1

Sources = Iterator[tuple[str, list[dict]]]


def write_survey(
    survey,
    out: str | os.PathLike,
    form: str,
    *,
    settings: dict,
    split: Callable[[list[str], list[int]], list[str]],
    workers: int | None = None,
    overwrite: bool = False,
    done: Callable[[int], None] = lambda number: None,
) -> dict[str, int]:
    """Write the alerts of a survey.

    A stopped run is continued with the same `settings` alone, which are kept beside the alerts. `split` gives
    split names from names and labels; `done` is called with the number of sources whenever a part is there.
    Returns counts of `sources`, `alerts` of which `negative`, and history entries: `past` of alerts,
    `non_detections`.

    Raises
    ------
    FileExistsError : `out` exists and `overwrite` was not asked for, or it holds no simulated alerts
    ValueError : `form` is unknown, the survey has no sources, or OUT.new was begun with other settings
    """
    if form not in FORMATS:
        raise ValueError(f"format {form!r} is none of {', '.join(FORMATS)}")
    if form == "applecider" and survey.instrument.id_field != "candid":
        raise ValueError("format applecider is of ZTF alone: take avro, tar or tar.gz")
    out = Path(os.path.abspath(out))
    refuse_old(out)
    remove(out / _PARTS)  # of a run stopped in its last step
    if out.exists() and not overwrite:
        raise FileExistsError(f"{out} exists: overwrite it, or choose another name")
    if out.exists() and not (out / _SETTINGS).is_file():
        raise FileExistsError(f"{out} exists and holds no simulated alerts: it will not be overwritten")
    units = survey.units()
    if not units:
        raise ValueError("a survey of no sources has no alerts")
    made = made_from(survey, units, form, settings)
    new = beside(out, ".new")
    plan = new / _PARTS / "plan"
    if part_record(plan, made) is None:
        if new.exists():
            raise ValueError(f"{new} was begun with other settings or files: finish that run, or delete it")
        finish_part(plan, made, {})
    jobs = [(survey, unit, new, k, form, made) for k, unit in enumerate(units)]
    todo = [job for job in jobs if part_record(_part(new, job[3]), made) is None]
    done(survey.n_sources - sum(len(range(*job[1])) for job in todo))
    for k, _ in in_processes(write_part, todo, workers):
        done(len(range(*todo[k][1])))

    records = [part_record(_part(new, k), made) for k in range(len(units))]
    columns = ("object_id", "label", "type")
    names, labels, types = ([value for r in records for value in r[key]] for key in columns)
    splits = split(names, labels)
    name = "obj_id" if form == "applecider" else "object_id"
    _write_table(new / "labels.csv", ("object_id", "type"), zip(names, types))
    _write_table(new / "splits.csv", (name, "split"), zip(names, splits))
    if form == "applecider":  # which has no label for a source of none of the fine classes
        for name, label, part in zip(names, labels, splits):
            if label >= 0:
                with whole(new / "labels" / part / f"{name}.npz") as temporary:
                    np.savez(temporary, label=np.int64(label))
    counts = sum((Counter(r["counts"]) for r in records), Counter({"sources": len(names)}))
    write_json(new / _SETTINGS, {"settings": settings, "counts": counts})
    put_in_place(new, out)
    remove(out / _PARTS)
    return dict(counts)


def _part(folder: Path, index: int) -> Path:
    return folder / _PARTS / f"{index:07d}"


def write_part(survey, unit: tuple[int, int], folder: Path, index: int, form: str, made: str) -> None:
    """Write the alerts of sources `unit[0]` to `unit[1] - 1`, and last the record that they are there."""
    counts, objects, instrument = Counter(), [], survey.instrument

    def sources() -> Sources:
        for number in range(*unit):
            source = simulate_source(survey, number)
            alerts = list(instrument.packets(source))
            objects.append((source.alerts.object_id, int(source.alerts.label), source.event.name))
            counts["alerts"] += len(alerts)
            counts["negative"] += int((~source.positive).sum())
            counts.update(instrument.told(alerts))
            yield source.alerts.object_id, alerts

    FORMATS[form](folder, f"alerts_{index:07d}", sources(), instrument)
    columns = dict(zip(("object_id", "label", "type"), zip(*objects)))
    finish_part(_part(folder, index), made, {**columns, "counts": counts})


def _write_avro(folder: Path, name: str, sources: Sources, instrument: Instrument) -> None:
    remove(folder / name)  # of a run stopped before this part had its record
    (folder / name).mkdir()
    for _, alerts in sources:
        for alert, content in zip(alerts, instrument.containers(alerts)):
            (folder / name / f"{alert[instrument.id_field]}.avro").write_bytes(content)


def _write_tar(folder: Path, name: str, sources: Sources, instrument: Instrument) -> None:
    with (folder / f"{name}.tar").open("wb") as file:
        _archive(file, sources, instrument)


def _write_tar_gz(folder: Path, name: str, sources: Sources, instrument: Instrument) -> None:
    # No name and no time in it: the same survey is the same bytes.
    path = folder / f"{name}.tar.gz"
    with path.open("wb") as file, gzip.GzipFile("", "wb", _GZIP_LEVEL, file, mtime=0) as stream:
        _archive(stream, sources, instrument)


def _archive(stream, sources: Sources, instrument: Instrument) -> None:
    with tarfile.open(mode="w", fileobj=stream) as archive:
        for _, alerts in sources:
            for alert, content in zip(alerts, instrument.containers(alerts)):
                member = tarfile.TarInfo(f"{alert[instrument.id_field]}.avro")
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
            archive.members.clear()  # a part has 10^4 entries, and none is needed again


def _write_objects(folder: Path, name: str, sources: Sources, instrument: Instrument) -> None:
    for object_id, alerts in sources:
        content = np.empty(len(alerts), object)
        content[:] = alerts
        with whole(folder / object_id / "alerts.npy") as temporary:
            np.save(temporary, content, allow_pickle=True)


FORMATS = {"avro": _write_avro, "tar": _write_tar, "tar.gz": _write_tar_gz, "applecider": _write_objects}


def _write_table(path: Path, header: tuple[str, ...], rows) -> None:
    with whole(path) as temporary, temporary.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])
