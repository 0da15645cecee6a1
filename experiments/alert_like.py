"""Make forced photometry look like alerts: alert_like.py IN.parquet OUT.parquet [--without ...]

Forced photometry is deeper, denser and has smaller errors than the alerts of the same source, so that a model
can learn the file instead of the physics. What an alert stream would have sent is kept:

- errors grow by `ERROR_RATIO`, read off the median errors by magnitude (17.5 to 20) of all tidal disruptions
  in the two kinds of file; then detections below 5 sigma of them go
- bands g and r alone, which public alerts have
- one detection a night and band, the first
- of a source what comes before the first two nights within 30 days of each other goes: a single point years
  before is noise of the forced photometry, which an alert stream would not have followed

Sources whose name begins with PTF or iPTF are left out: they faded before ZTF began. `--without` names tables
whose objects are left out, for an object must not be in training under one file and in a test under another.
"""

import argparse

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

#: Errors that alerts quote against those of forced photometry; between 1.2 and 1.6, by magnitude.
ERROR_RATIO = 1.4
FIVE_SIGMA = 2.5 / np.log(10) / 5


def alert_like(table: pa.Table, without: set[str] = frozenset()) -> pa.Table:
    """The rows that are left, with alert-like errors, sorted by object and time."""
    table = table.sort_by([("object_id", "ascending"), ("mjd", "ascending")])
    name, mjd, band = (np.array(table[x].to_pylist()) for x in ("object_id", "mjd", "band"))
    magerr = ERROR_RATIO * table["magerr"].to_numpy()
    table = table.set_column(table.schema.get_field_index("magerr"), "magerr", pa.array(magerr))
    keep = (magerr <= FIVE_SIGMA) & np.isin(band, ("g", "r"))
    keep &= ~np.isin(name, list(without)) & ~np.char.startswith(np.char.lstrip(name, "i"), "PTF")
    rows = np.flatnonzero(keep)
    night = np.floor(mjd - 0.5).astype(int)
    visit = np.array([f"{name[k]} {night[k]} {band[k]}" for k in rows])
    rows = np.sort(rows[np.unique(visit, return_index=True)[1]]) if len(rows) else rows
    kept = [own[_begins(night[own]) :] for own in _runs(rows, name)]
    return table.take(np.concatenate(kept)) if kept else table.slice(0, 0)


def _runs(rows: np.ndarray, name: np.ndarray) -> list[np.ndarray]:
    return np.split(rows, np.flatnonzero(name[rows][1:] != name[rows][:-1]) + 1) if len(rows) else []


def _begins(night: np.ndarray) -> int:
    """Index of the first of two nights that lie within 30 days."""
    close = np.flatnonzero((np.diff(night) > 0) & (np.diff(night) <= 30))
    return int(close[0]) if len(close) else len(night)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("input")
    parser.add_argument("out")
    parser.add_argument("--without", nargs="*", default=[])
    args = parser.parse_args()
    without = {name for path in args.without for name in pq.read_table(path)["object_id"].to_pylist()}
    made = alert_like(pq.read_table(args.input), without)
    pq.write_table(made, args.out)
    print(f"{args.out}: {len(set(made['object_id'].to_pylist()))} objects, {len(made):,} detections")


if __name__ == "__main__":
    main()
