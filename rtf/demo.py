"""The whole path on a simulated survey: `make demo`, or `python -m rtf.demo [--n-sources N] [KEY=VALUE ...]`.

It simulates a labelled survey with stamps, trains an autoencoder of all four modalities (KEY=VALUE are
settings of the training), fingerprints the survey, and ends with what the fingerprints are worth. Each step
is a command that a user would type. A survey and a run that are already there are not made again.
"""

import argparse
import shlex
import subprocess
import sys
import time
from pathlib import Path

from rtf import __version__

STORE, RUN = Path("data/demo.zarr"), Path("runs/demo")


def steps(n_sources: int, training: list[str]) -> list[tuple[str, str, bool]]:
    """(what it does, arguments of `python -m`, whether its output is kept for the end) of each step."""
    simulate = f"rtf.simulate out={STORE} n_sources={n_sources} seed=0 stamps=true overwrite=true"
    train = f"rtf.train experiment=demo data.store={STORE} run={RUN} {shlex.join(training)}"
    evaluate = f"rtf.evaluate run={RUN} task="
    return [
        ("simulating a labelled survey", simulate, False),
        ("training", train, False),
        ("linear probe on the fingerprints", f"{evaluate}probe", True),
        ("classes from the first detections", f"{evaluate}early task.counts=[3,10,all]", True),
        ("light curves in physical units", f"{evaluate}physical", True),
        ("a map of the fingerprints", f"{evaluate}map", False),
        ("encoding", f"rtf.encode run={RUN} input={STORE} out={RUN}/fingerprints.parquet", False),
    ]


def is_made(n_sources: int) -> bool:
    """Whether the survey of this many sources, by this version, is there."""
    from rtf.store.read import StoreError, open_store

    try:
        made = open_store(STORE).attributes["runs"][-1]
    except StoreError:
        return False
    return made["reader"].get("n_sources") == n_sources and made["versions"]["rtf"] == __version__


def run(*command: str, keep: bool) -> subprocess.CompletedProcess:
    """`python -m COMMAND`, its output shown, or kept for later."""
    out = subprocess.PIPE if keep else None
    return subprocess.run([sys.executable, "-m", *command], stdout=out, text=True)


def main() -> None:
    plain = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=plain)
    parser.add_argument("--n-sources", type=int, default=1800, help="size of the simulated survey")
    parser.add_argument("training", nargs="*", metavar="KEY=VALUE", help="settings of the training")
    arguments = parser.parse_args()

    began, kept = time.perf_counter(), []
    for what, command, keep in steps(arguments.n_sources, arguments.training):
        print(f"\n=== {what}: python -m {command}", flush=True)
        if command.startswith("rtf.simulate") and is_made(arguments.n_sources):
            print(f"{STORE} is there already")
            continue
        done = run(*shlex.split(command), keep=keep)
        if done.returncode:
            print(done.stdout or "")
            sys.exit(done.returncode)
        kept.append(done.stdout or "")
    print("\n=== what the fingerprints are worth, on the simulated survey's test split\n")
    print("\n".join(kept))
    print(f"Fingerprints, tables and figures are in {RUN}. {(time.perf_counter() - began) / 60:.1f} minutes.")


if __name__ == "__main__":
    main()
