"""The model in the box, stage by stage: ZTF packets with three cutouts to fingerprints, each with its floor.

Floors are this machine's own rates: gunzip of the cutouts, fastavro alone, and a matrix product for the
encoder's floating-point operations. The target is 400 alerts/s on 2 cores from packets, 3,500 light curves/s,
250 sources/s one by one.
"""

import gzip
import io
import subprocess
import sys
import time

import fastavro
import numpy as np
import pyarrow.parquet as pq
import torch
from torch.utils.flop_counter import FlopCounterMode

import rtf
from rtf.alerts.cutouts import decode_cutout, pad_cutout
from rtf.alerts.history import concatenate
from rtf.encoding.export import export
from rtf.encoding.exported import Exported
from rtf.features.stamps import prepare_stamp
from rtf.simulation.survey import SimulatedSurvey
from rtf.simulation.write import write_survey
from tests.benchmarks.bench_encoding import rate
from tests.benchmarks.bench_training import bts_like
from tests.benchmarks.memory import peak_of_tree


def test_packets_to_fingerprints(tmp_path):
    survey = SimulatedSurvey(60, seed=2, stamps=True)
    write_survey(
        survey, tmp_path / "alerts", "avro", settings={}, split=lambda n, _: ["test"] * len(n), workers=None
    )
    paths = sorted((tmp_path / "alerts").rglob("*.avro"))
    content = [p.read_bytes() for p in paths]
    packets = [record for raw in content for record in fastavro.reader(io.BytesIO(raw))]
    n, torch_threads = len(packets), torch.get_num_threads()
    kinds = ("cutoutScience", "cutoutTemplate", "cutoutDifference")
    stamps = [p[kind]["stampData"] for p in packets for kind in kinds]
    model = rtf.load("ztf")
    histories = rtf.read_histories(tmp_path / "alerts")
    light_curves = bts_like(2560)
    images = [pad_cutout(decode_cutout(s)) for s in stamps]
    a = torch.randn(1024, 128)
    product = rate(lambda: [a @ torch.ones(128, 512) for _ in range(20)], 20 * 2 * 1024 * 128 * 512)
    rows = {
        f"matrix product, {torch_threads} threads [GFLOP/s]": product / 1e9,
        "floor: fastavro alone [alerts/s, 1 core]": rate(
            lambda: [list(fastavro.reader(io.BytesIO(raw))) for raw in content], n
        ),
        "floor: gunzip of three cutouts [alerts/s, 1 core]": rate(
            lambda: [gzip.decompress(s) for s in stamps], n
        ),
        "reading into histories [alerts/s]": rate(lambda: rtf.read_histories(tmp_path / "alerts"), n, 1),
        "cutouts to pixels [alerts/s, 1 core]": rate(lambda: [decode_cutout(s) for s in stamps], n),
        "pixels to stamps [alerts/s, 1 core]": rate(lambda: [prepare_stamp(i) for i in images], n),
    }
    # many times over, for batches hold sources of like length
    for name, seen in (("all modalities", concatenate(histories * 10)), ("photometry alone", light_curves)):
        total = len(seen)
        flops = FlopCounterMode(display=False)
        with flops:
            model.encode(seen)
        rows[f"model, {name} [sources/s, {torch_threads} threads]"] = rate(
            lambda seen=seen: model.encode(seen), total
        )
        rows[f"    {name}: its floor by operations"] = product / (flops.get_total_flops() / total)
        torch.set_num_threads(1)  # as each process of rtf.encode has
        rows[f"    {name} [sources/s, 1 core]"] = rate(lambda seen=seen: model.encode(seen), total)
        torch.set_num_threads(torch_threads)
    command = [
        sys.executable,
        "-m",
        "rtf.encode",
        f"input={tmp_path / 'alerts'}",
        f"out={tmp_path / 'f.parquet'}",
    ]
    began = time.perf_counter()
    subprocess.run([*command, "progress=false", "per=alert"], check=True, capture_output=True)
    seconds = time.perf_counter() - began
    done = pq.read_metadata(tmp_path / "f.parquet").num_rows
    rows[f"rtf.encode per=alert, packets to table, {seconds:.0f} s [alerts/s]"] = done / seconds
    print(f"\nthe shipped model: {n} packets of {len(histories)} sources")
    for name, value in rows.items():
        print(f"  {name:<64} {value:9,.0f}")


def test_torch_and_onnx_runtime_side_by_side(tmp_path):
    model = rtf.load("ztf")
    folder = export(model, tmp_path / "onnx")
    survey = SimulatedSurvey(60, seed=3, stamps=True)
    from rtf.alerts.report import ReadReport

    histories = [h for unit in survey.units() for h in survey.read(unit, ReadReport())]
    print("\nsources with stamps and metadata, of", round(np.mean([len(h) for h in histories])), "detections")
    threads = torch.get_num_threads()
    for count in (1, 2):
        torch.set_num_threads(count)
        for name, encoder in (("torch", model), ("ONNX Runtime", Exported(folder, threads=count))):
            whole = rate(lambda encoder=encoder: encoder.encode(histories * 10), 10 * len(histories), 1)
            seconds = []
            for history in histories * 2:
                began = time.perf_counter()
                encoder.encode([history])
                seconds.append(time.perf_counter() - began)
            p50, p99 = 1e3 * np.percentile(seconds[10:], [50, 99])
            print(
                f"  {name:<13} {count} threads: {whole:7.0f} sources/s; one by one "
                f"{1 / np.mean(seconds[10:]):6.0f} sources/s, p50 {p50:.1f} ms, p99 {p99:.1f} ms"
            )
    torch.set_num_threads(threads)
    for what, script in {
        "torch": "import rtf; m = rtf.load('ztf')",
        "ONNX Runtime": f"import rtf; m = rtf.load({str(folder)!r})",
    }.items():
        script += "; from rtf.alerts.history import from_columns"
        script += "\nm.encode([from_columns('a', [0.], [0], [18.], [.1])])"
        memory, _, seconds = peak_of_tree([sys.executable, "-c", script], step=0.05)
        print(f"  {what:<13} import, load, one source: {seconds:.1f} s, {memory:.0f} MiB")
