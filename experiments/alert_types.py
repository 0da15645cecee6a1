"""Types of the real alerts: python experiments/alert_types.py OUT.csv [RTF_REAL_DATA]

Spectroscopic types (labels/ztf_types.csv, and the column `type` of the typed alerts) come first; objects
without one take an active nucleus or a cataclysmic variable from SIMBAD (`cdsxmatch` of Fink, `simbad` of the
typed alerts). Candidates of SIMBAD are no types.
"""

import csv
import os
import sys
from pathlib import Path

import pyarrow.parquet as pq

SIMBAD = {
    "AGN": (
        "AGN",
        "QSO",
        "Seyfert",
        "Seyfert1",
        "Seyfert2",
        "Seyfert_1",
        "Seyfert_2",
        "BLLac",
        "Blazar",
        "LINER",
    ),
    "Cataclysmic": ("CataclyV*", "CV*", "Nova", "DwarfNova", "DQHer", "AMHer"),
}


def main(out: str, folder: str) -> None:
    of_simbad = {name: kind for kind, names in SIMBAD.items() for name in names}
    types: dict[str, str] = {}
    for path in sorted(Path(folder, "ztf_alerts").rglob("*.parquet")):
        file = pq.ParquetFile(path)
        columns = [
            name for name in ("objectId", "cdsxmatch", "simbad", "type") if name in file.schema_arrow.names
        ]
        for row in file.read(columns).to_pylist():
            simbad = of_simbad.get(row.get("cdsxmatch") or row.get("simbad"))
            if kind := row.get("type") or simbad:
                types[row["objectId"]] = kind
    with open(Path(folder, "labels", "ztf_types.csv"), newline="") as file:
        types |= {row["object_id"]: row["type"] for row in csv.DictReader(file)}
    with open(out, "w", newline="") as file:
        csv.writer(file).writerows([("object_id", "type"), *sorted(types.items())])
    print(f"{len(types)} objects: {out}")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else os.environ["RTF_REAL_DATA"])
