"""Make forced photometry look like alerts: alert_like.py IN OUT [--without TABLE...] [--twins-of TABLE]

Forced photometry is deeper, denser and has smaller errors than the alerts of the same source, so that a model
can learn the file instead of the physics. What an alert stream would have sent is kept:

- bands g and r alone, which public alerts have
- errors become those of alerts, and magnitudes scatter; then detections below 5 sigma go
- a night is kept with probability `NIGHTS`, for not every night's images are public and not every detection
  becomes an alert; of a night and band the first detection stays, a later one with probability `REPEATS`
- of a source what comes before the first two nights within 30 days of each other goes: a single point years
  before is noise of the forced photometry, which an alert stream would not have followed

The constants describe the two pipelines, not the sources. Errors and scatter are read off 968 exposures in
which 24 tidal disruptions have both kinds of photometry (ztf_tde_forced and ztf_tde), nights and repeats off
how many of them became alerts, rounded.

Sources whose name begins with PTF or iPTF are left out: they faded before ZTF began. `--without` names tables
whose objects are left out, for an object must not be in training under one file and in a test under another.
`--twins-of` names a table of alerts, whose objects alone are kept, as NAME-twin: what `rtf.check` finds
between them and the alerts is the preparation's trace, for the sources are the same.
"""

import argparse

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

FIVE_SIGMA = 2.5 / np.log(10) / 5
#: Error of an alert at 19 mag where forced photometry of the exposure has `FORCED` [mag]; its growth with
#: magnitude and with that error, in natural logarithms; its spread then, between sources and within one.
ERROR, FORCED, OF_MAGNITUDE, OF_FORCED = 0.12, 0.09, 0.335, 0.3
SPREAD_OF_SOURCES, SPREAD = 0.09, 0.135
SCATTER = 0.05  # of an alert's magnitude about that of forced photometry [mag]
NIGHTS, REPEATS = 0.65, 0.3


def alert_like(table: pa.Table, without: set[str] = frozenset(), seed: int = 0) -> pa.Table:
    """The rows that are left, with alert-like errors, sorted by object and time."""
    rng = np.random.default_rng(seed)
    table = table.sort_by([("object_id", "ascending"), ("mjd", "ascending")])
    name, band = (np.array(table[x].to_pylist(), str) for x in ("object_id", "band"))
    mjd, mag, magerr = (table[x].to_numpy() for x in ("mjd", "mag", "magerr"))
    names, source = np.unique(name, return_inverse=True)
    spread = rng.normal(0, SPREAD_OF_SOURCES, len(names))[source] + rng.normal(0, SPREAD, len(mag))
    magerr = ERROR * np.exp(OF_MAGNITUDE * (mag - 19) + OF_FORCED * np.log(magerr / FORCED) + spread)
    mag = mag + rng.normal(0, SCATTER, len(mag))
    night = np.floor(mjd - 0.5).astype(int)
    nights, of_night = np.unique(np.stack([source, night]), axis=1, return_inverse=True)
    keep = (rng.random(nights.shape[1]) < NIGHTS)[of_night.ravel()] & (magerr <= FIVE_SIGMA)
    keep &= np.isin(band, ("g", "r")) & ~np.isin(name, list(without))
    keep &= ~np.char.startswith(np.char.lstrip(name, "i"), "PTF")
    rows = np.flatnonzero(keep)
    visits = np.stack([source, night, band == "r"])[:, rows]
    repeated = np.ones(len(rows), bool)
    repeated[np.unique(visits, axis=1, return_index=True)[1]] = False
    rows = rows[~repeated | (rng.random(len(rows)) < REPEATS)]
    kept = [own[_begins(night[own]) :] for own in _runs(rows, source)]
    for field, values in (("mag", mag), ("magerr", magerr)):
        table = table.set_column(table.schema.get_field_index(field), field, pa.array(values))
    return table.take(np.concatenate(kept)) if kept else table.slice(0, 0)


def _runs(rows: np.ndarray, source: np.ndarray) -> list[np.ndarray]:
    return np.split(rows, np.flatnonzero(np.diff(source[rows])) + 1) if len(rows) else []


def _begins(night: np.ndarray) -> int:
    """Index of the first of two nights that lie within 30 days."""
    close = np.flatnonzero((np.diff(night) > 0) & (np.diff(night) <= 30))
    return int(close[0]) if len(close) else len(night)


def names(path: str) -> set[str]:
    return set(pq.read_table(path, columns=["object_id"])["object_id"].to_pylist())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("input")
    parser.add_argument("out")
    parser.add_argument("--without", nargs="*", default=[])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--twins-of", metavar="TABLE")
    args = parser.parse_args()
    table, without = pq.read_table(args.input), {x for path in args.without for x in names(path)}
    if args.twins_of:
        without |= set(table["object_id"].to_pylist()) - names(args.twins_of)
    made = alert_like(table, without, args.seed)
    if args.twins_of:
        twins = [f"{name}-twin" for name in made["object_id"].to_pylist()]
        made = made.set_column(made.schema.get_field_index("object_id"), "object_id", pa.array(twins))
    pq.write_table(made, args.out)
    print(f"{args.out}: {len(set(made['object_id'].to_pylist()))} objects, {len(made):,} detections")


if __name__ == "__main__":
    main()
