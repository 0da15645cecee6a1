"""A night through `rtf.encode`: memory of all its processes and alerts a second, against all in memory.

Counted first: torch is 600 MiB in each process that encodes, and a lot of 16 MiB of histories takes some
200 MiB to merge and encode. Two cores: 2 x 800 MiB and a small parent, whatever the number of alerts. In
memory, 5 kB an alert without stamps and 60 kB with them come to 12 GB for 200,000.

RTF_NIGHT=200000 sets the larger number of alerts (10,000), RTF_NIGHT_RUN a run folder, such as one that looks
at stamps. Packets are those of 100 simulated sources, many times over under other names, in tar archives.
"""

import io
import os
import sys
import tarfile
from pathlib import Path

from rtf.simulation.survey import SimulatedSurvey
from rtf.simulation.write import write_survey
from tests.benchmarks.memory import peak_of_tree
from tests.commands import ROOT

MODEL = os.environ.get("RTF_NIGHT_RUN", str(ROOT / "experiments/models/real_supernovae"))
ALERTS = int(os.environ.get("RTF_NIGHT", 10_000))

BASELINE = """
import sys, rtf
model = rtf.load(sys.argv[1])
model.encode(rtf.read_histories(sys.argv[2], cutouts=model.needs_cutouts))
"""


def night(folder: Path, packets: list[Path], n: int) -> Path:
    """Archives of `n` alerts or a few more."""
    folder.mkdir()
    contents = [path.read_bytes() for path in packets]
    for k in range(-(-n // len(contents))):
        with tarfile.open(folder / f"{k:05d}.tar", "w") as archive:
            for path, content in zip(packets, contents):
                content = content.replace(b"SIM0_0", b"S%05d" % k)  # of the same length
                member = tarfile.TarInfo(f"{k}/{path.name}")
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    return folder


def test_memory_and_rate(tmp_path):
    survey = SimulatedSurvey(100, seed=0, stamps=True)
    write_survey(survey, tmp_path / "avro", "avro", settings={}, split=lambda n, _: ["test"] * len(n))
    packets = sorted((tmp_path / "avro").rglob("*.avro"))
    print(f"\na night of alerts, {os.path.basename(MODEL)}: MiB resident (shared pages once), alerts/s")
    for n in (ALERTS // 4, ALERTS):
        path = night(tmp_path / str(n), packets, n)
        n = len(list(path.iterdir())) * len(packets)
        ours = [sys.executable, "-m", "rtf.encode", f"run={MODEL}", f"input={path}", "progress=false"]
        lines = {
            "in one process": [sys.executable, "-c", BASELINE, MODEL, str(path)],
            "rtf.encode": [*ours, f"out={tmp_path}/object.parquet"],
            "rtf.encode per=alert": [*ours, "per=alert", f"out={tmp_path}/alert.parquet"],
        }
        for name, line in lines.items():
            resident, proportional, seconds = peak_of_tree(line)
            memory = f"{resident:6,.0f} ({proportional:5,.0f}) MiB"
            print(f"  {n:>8,} {name:<22} {memory}  {n / seconds:7,.0f} alerts/s")
