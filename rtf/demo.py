"""The whole path on a simulated survey: `make demo`.

Simulates a labelled survey, stores it, trains a photometry and metadata autoencoder, fingerprints the
survey, and prints what the fingerprints are worth. Each step is a command that a user would type; those
already done are not done again.
"""

import shlex
import subprocess
import sys
import time
from pathlib import Path

STORE, RUN = Path("data/demo.zarr"), Path("runs/demo")

#: (what, arguments of `python -m`, the file that shows it is done)
STEPS = (
    ("simulate a labelled survey", f"rtf.simulate out={STORE} n_sources=4000 seed=0", STORE / "zarr.json"),
    ("train", f"rtf.train experiment=demo data.store={STORE} run={RUN}", RUN / "metrics.json"),
    ("linear probe", f"rtf.evaluate run={RUN} task=probe", None),
    ("physical units", f"rtf.evaluate run={RUN} task=physical", None),
    ("encode", f"rtf.encode run={RUN} input={STORE} out={RUN}/fingerprints.parquet", None),
)


def main() -> None:
    began = time.perf_counter()
    for what, command, done in STEPS:
        print(f"\n=== {what}: python -m {command}", flush=True)
        if done is not None and done.exists():
            print(f"{done} is there already: skipped (delete it to do it again)")
            continue
        status = subprocess.run([sys.executable, "-m", *shlex.split(command)]).returncode
        if status:
            sys.exit(status)
    print(f"\nEverything is in {RUN}. It took {(time.perf_counter() - began) / 60:.1f} minutes.")


if __name__ == "__main__":
    main()
