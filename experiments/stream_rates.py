"""Bytes a second of a stream, in and out: python -m experiments.stream_rates PACKETS [N]

PACKETS is a folder of Avro packets. The first N in the order of time, 2,000, are fingerprinted, each from
what was known when it came, and put into messages as rtf.stream sends them. Then the same is scaled: to a
night of LSST, 10 million alerts in 10 hours of 139 kB each, and to a visit of 40,000 alerts within 5 s.
Prints a table; draws experiments/figures/stream_rates.png.
"""

import sys
from itertools import islice
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pyarrow as pa

import rtf
from rtf.alerts.history import BANDS
from rtf.alerts.known import alert_histories
from rtf.alerts.readers.ztf_avro import records
from rtf.alerts.report import ReadReport
from rtf.documents import Table, to_markdown
from rtf.encoding.table import fingerprint_table
from rtf.figures import COLOURS, save
from rtf.stream.messages import MOST, messages_of
from rtf.stream.packets import histories_of, schemas_from
from rtf.stream.replay import packets_of

NIGHT, HOURS, VISIT, SECONDS, LSST_PACKET = 10_000_000, 10, 40_000, 5, 139_000


def main(folder: str, number: str = "2000") -> None:
    packets = sorted(packets_of(folder), key=lambda p: next(records(p))["candidate"]["jd"])
    packets = list(islice(packets, int(number)))
    found = [h for p in packets for h in histories_of(p, None, schemas_from(None))[0]]
    model, report = rtf.load("ztf"), ReadReport()
    known = list(alert_histories(found, report))
    lots = (known[k : k + 256] for k in range(0, len(known), 256))
    table = pa.concat_tables(fingerprint_table(model, lot, None, report, alerts=True) for lot in lots)
    by_alert = {(h.object_id, int(h.candid[-1])): BANDS[h.band[-1]] for h in known}
    pairs = zip(table["object_id"].to_pylist(), table["candid"].to_pylist())
    bands, days = [by_alert[pair] for pair in pairs], [0.0] * len(table)
    raw = np.mean([len(p) for p in packets])
    visit = table.take(np.arange(VISIT) % len(table)).set_column(
        table.column_names.index("mjd"), "mjd", pa.array(np.full(VISIT, 60000.0))
    )
    rows, rates = [], {}
    for name, send, bare in (("256 bytes", "all", 256), ("8 bytes", "code", 8)):
        sparse = sum(len(m) for m, _ in messages_of(table, bands, days, "ztf", send)) / len(table)
        # what a visit shares is sent once a message
        whole = sum(len(m) for m, _ in messages_of(visit, ["r"] * VISIT, [0.0] * VISIT, "lsst", send)) / VISIT
        rates[name] = bare, sparse, whole
    rates["raw alerts"] = LSST_PACKET, raw, LSST_PACKET
    for name, (bare, sparse, whole) in rates.items():
        cells = (f"{bare:,}", f"{sparse:,.0f}", f"{whole:,.0f}")
        rows.append([name, *cells, *(f"{rate:,.3f}" for rate in scaled(whole).values())])
    heading = ["what is sent", "bytes alone", "bytes an alert, of this replay", "of a visit of 40,000"]
    heading += [f"{name} [MB/s]" for name in scaled(0)]
    about = f"{len(packets):,} packets, {len(table):,} fingerprints; messages of at most {MOST:,} alerts"
    print(to_markdown(Table("Bytes of a stream", heading, rows, (about,))))
    figure, axes = plt.subplots(figsize=(6, 2.6), layout="constrained")
    names = list(rates)[::-1]
    place = np.arange(len(names))
    for height, name, colour in zip((0.2, -0.2), scaled(0), COLOURS):
        axes.barh(place + height, [scaled(rates[n][2])[name] for n in names], 0.4, label=name, color=colour)
    axes.axvline(1, color="k", lw=1, ls=":")
    axes.set(xscale="log", xlabel="MB a second, with framing (dotted: 1)", yticks=place, yticklabels=names)
    axes.legend(fontsize=8, frameon=False, loc="upper right")
    save(figure, Path(__file__).parent / "figures/stream_rates.png")


def scaled(size: float) -> dict[str, float]:
    """MB a second of alerts of so many bytes."""
    night, visit = size * NIGHT / (HOURS * 3600), size * VISIT / SECONDS
    return {"a night of LSST": night / 1e6, "a visit of 40,000 in 5 s": visit / 1e6}


if __name__ == "__main__":
    main(*sys.argv[1:])
