"""A simulated survey as files of alert packets, in the layouts that the readers read.

Notable:
- `avro`: OUT/alerts_0000000/CANDID.avro, one alert a file; `tar` and `tar.gz`: OUT/alerts_0000000.tar, an
  archive of such files as the public one has them; `applecider`: OUT/OBJECT/alerts.npy and
  OUT/labels/SPLIT/OBJECT.npz
- one folder, or archive, for each chunk of sources (`survey.units()`)
- labels.csv and splits.csv beside the alerts say what Avro cannot; simulation.json holds settings and counts
- everything lies in OUT.new until it is complete. A chunk is finished when its record is there: the same
  command continues where it was stopped, and gives the same bytes; so does any number of workers
"""

import csv
import gzip
import io
import json
import os
import shutil
import tarfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from rtf.files import whole, write_json
from rtf.simulation.packets import containers, packets
from rtf.simulation.survey import simulate_source
from rtf.workers import in_processes

FORMATS = ("avro", "tar", "tar.gz", "applecider")

_SETTINGS = "simulation.json"
_WORK = ".chunks"
#: Of archives: cutouts are compressed already, and the rest is the schema again and again.
_GZIP_LEVEL = 1

Put = Callable[[str, list[dict]], None]


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

    Parameters
    ----------
    survey : `rtf.simulation.survey.SimulatedSurvey`; it is pickled to the workers
    out : folder to make
    form : one of `FORMATS`
    settings : plain values that determine what is written; a stopped run is continued by the same ones alone
    split : split name of each of N objects, from their names and labels
    workers : processes; 0 writes in this process; None is one for each core
    overwrite : replace the simulated alerts at `out` once the new ones are complete
    done : called with the number of sources whenever a chunk is there

    Returns
    -------
    counts of `sources`, `alerts` of which `negative`, and history entries: `past` of alerts, `non_detections`

    Raises
    ------
    FileExistsError : `out` exists and `overwrite` was not asked for, or it holds no simulated alerts
    ValueError : `form` is unknown, the survey has no sources, or OUT.new was begun with other settings
    """
    if form not in FORMATS:
        raise ValueError(f"format {form!r} is none of {', '.join(FORMATS)}")
    out = Path(os.path.abspath(out))
    _check_place(out, overwrite)
    units = survey.units()
    if not units:
        raise ValueError("a survey of no sources has no alerts")
    new = _claim(out, settings)
    _write_chunks(survey, units, new, form, workers, done)

    records = [json.loads(_record_path(new, k).read_text()) for k in range(len(units))]
    names, labels, types = (
        [value for r in records for value in r[key]] for key in ("object_id", "label", "type")
    )
    splits = split(names, labels)
    _write_table(new / "labels.csv", ("object_id", "type"), zip(names, types))
    _write_table(
        new / "splits.csv", ("obj_id" if form == "applecider" else "object_id", "split"), zip(names, splits)
    )
    if form == "applecider":
        _write_labels(new / "labels", names, labels, splits)
    counts = sum((Counter(r["counts"]) for r in records), Counter({"sources": len(names)}))
    write_json(new / _SETTINGS, {"settings": settings, "counts": counts})
    _finish(new, out)
    return dict(counts)


def _check_place(out: Path, overwrite: bool) -> None:
    if (out / _WORK).exists():  # a run was stopped in its last step
        shutil.rmtree(out / _WORK)
    if not out.exists():
        return
    if not overwrite:
        raise FileExistsError(f"{out} exists: overwrite it, or choose another name")
    if not (out / _SETTINGS).is_file():
        raise FileExistsError(f"{out} exists and holds no simulated alerts: it will not be overwritten")


def _claim(out: Path, settings: dict) -> Path:
    """OUT.new, made or left by a stopped run with the same settings."""
    new = _beside(out, ".new")
    plan = new / _WORK / _SETTINGS
    if plan.exists():
        if json.loads(plan.read_text()) != settings:
            raise ValueError(
                f"{new} was begun with other settings: run that command again to finish it, or delete it"
            )
    elif new.exists() and any(path.name != _WORK for path in new.iterdir()):
        raise FileExistsError(f"{new} is in the way: delete it, or choose another name")
    else:
        write_json(plan, settings)
    return new


def _beside(out: Path, suffix: str) -> Path:
    return out.with_name(out.name + suffix)


def _write_chunks(survey, units: list, folder: Path, form: str, workers: int | None, done) -> None:
    """Write every chunk whose record is not there yet."""
    todo = [k for k in range(len(units)) if not _record_path(folder, k).exists()]
    done(sum(_length(unit) for unit in units) - sum(_length(units[k]) for k in todo))
    jobs = [(survey, units[k], folder, k, form) for k in todo]
    for job, _ in in_processes(write_chunk, jobs, workers):
        done(_length(units[todo[job]]))


def _length(unit: tuple[int, int]) -> int:
    return unit[1] - unit[0]


def write_chunk(survey, unit: tuple[int, int], folder: Path, index: int, form: str) -> None:
    """Write the alerts of sources `unit[0]` to `unit[1] - 1`, and last the record that they are there."""
    counts, objects = Counter(), []
    with _OPEN[form](folder, index) as put:
        for number in range(*unit):
            source = simulate_source(survey, number)
            alerts = list(packets(source))
            put(source.alerts.object_id, alerts)
            objects.append((source.alerts.object_id, int(source.alerts.label), source.event.name))
            entries = [entry["candid"] for alert in alerts for entry in alert["prv_candidates"] or ()]
            counts["alerts"] += len(alerts)
            counts["negative"] += int((~source.positive).sum())
            counts["past"] += len(entries) - entries.count(None)
            counts["non_detections"] += entries.count(None)
    columns = dict(zip(("object_id", "label", "type"), zip(*objects)))
    write_json(_record_path(folder, index), {**columns, "counts": counts})


def _record_path(folder: Path, index: int) -> Path:
    return folder / _WORK / f"{index:07d}.json"


@contextmanager
def _avro_files(folder: Path, index: int) -> Iterator[Put]:
    final = folder / f"alerts_{index:07d}"
    staging = folder / f".{final.name}.tmp"
    for left in (final, staging):  # by a run that was stopped before this chunk had its record
        if left.exists():
            shutil.rmtree(left)
    staging.mkdir()

    def put(object_id: str, alerts: list[dict]) -> None:
        for alert, content in zip(alerts, containers(alerts)):
            (staging / f"{alert['candid']}.avro").write_bytes(content)

    yield put
    os.rename(staging, final)


@contextmanager
def _tar_archive(folder: Path, index: int, compressed: bool = False) -> Iterator[Put]:
    suffix = ".tar.gz" if compressed else ".tar"
    with whole(folder / f"alerts_{index:07d}{suffix}") as temporary, temporary.open("wb") as file:
        # no name and no time in it: the same survey is the same bytes
        stream = gzip.GzipFile("", "wb", _GZIP_LEVEL, file, mtime=0) if compressed else file
        with tarfile.open(mode="w", fileobj=stream) as archive:

            def put(object_id: str, alerts: list[dict]) -> None:
                for alert, content in zip(alerts, containers(alerts)):
                    member = tarfile.TarInfo(f"{alert['candid']}.avro")
                    member.size = len(content)
                    archive.addfile(member, io.BytesIO(content))
                archive.members.clear()  # a chunk has 10^4 entries, and none is needed again

            yield put
        if compressed:
            stream.close()


@contextmanager
def _compressed_archive(folder: Path, index: int) -> Iterator[Put]:
    with _tar_archive(folder, index, compressed=True) as put:
        yield put


@contextmanager
def _object_folders(folder: Path, index: int) -> Iterator[Put]:
    def put(object_id: str, alerts: list[dict]) -> None:
        content = np.empty(len(alerts), object)
        content[:] = alerts
        with whole(folder / object_id / "alerts.npy") as temporary:
            np.save(temporary, content, allow_pickle=True)

    yield put


_OPEN = dict(zip(FORMATS, (_avro_files, _tar_archive, _compressed_archive, _object_folders)))


def _write_table(path: Path, header: tuple[str, ...], rows) -> None:
    with whole(path) as temporary, temporary.open("w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(header)
        table.writerows(rows)


def _write_labels(folder: Path, names: list[str], labels: list[int], splits: list[str]) -> None:
    """AppleCiDEr's labels; a source of none of the fine classes has none."""
    for name, label, split in zip(names, labels, splits):
        if label >= 0:
            with whole(folder / split / f"{name}.npz") as temporary:
                np.savez(temporary, label=np.int64(label))


def _finish(new: Path, out: Path) -> None:
    """Give OUT.new its name, without what stopped workers left."""
    for left in new.rglob(".*.tmp*"):
        left.unlink()
    old = _beside(out, ".old")
    if out.exists():
        if old.exists():
            shutil.rmtree(old)
        os.rename(out, old)
    os.rename(new, out)
    for left in (out / _WORK, old):
        if left.exists():
            shutil.rmtree(left)
