"""Tables and figures of many runs: `python -m rtf.report runs=runs/bottleneck_sweep`."""

import glob
import os
from functools import partial

import hydra
from omegaconf import DictConfig, ListConfig

from rtf.entry import describe_errors, progress_bar, resolved


@hydra.main(version_base="1.3", config_path="../../conf", config_name="report")
@describe_errors
def main(config: DictConfig) -> None:
    from rich.console import Console

    from rtf.evaluation.tables import to_rich
    from rtf.report.build import refuse_other, write_report
    from rtf.report.scores import HOW

    config = resolved(config)
    sources = list(config.runs) if isinstance(config.runs, ListConfig) else [config.runs]
    progress = partial(progress_bar, show=config.progress)
    refuse_other(config.out)
    report = write_report(read(sources, progress), config.out, ", ".join(map(str, sources)), progress)
    console = Console()
    if not console.is_terminal:
        console.width = 200  # a pipe or a log file has no width of its own
    for table in report.main:
        console.print(to_rich(table))
    console.print(HOW, soft_wrap=True)
    console.print(report.summary, soft_wrap=True)
    console.print(f"report: {report.out / 'index.html'}", soft_wrap=True)


def read(sources, progress) -> list:
    """Runs of all sources (folders, globs, wandb:ENTITY/PROJECT), each once.

    Raises
    ------
    RunError : a source without a run, or a run that cannot be read
    """
    from rtf.encoding.fingerprinter import RunError
    from rtf.report.read import find_run_folders, read_runs

    folders, runs = {}, []
    for source in map(str, sources):
        if source.startswith("wandb:"):
            runs += read_runs(source)
            continue
        found = find_run_folders(source)
        if not found:
            raise RunError(f"no run in {source}")
        folders |= {os.path.realpath(folder): folder for folder in found}
    with progress("runs", len(folders)) as advance:
        for folder in folders.values():
            runs += read_runs(glob.escape(str(folder)))
            advance(1)
    return runs


if __name__ == "__main__":
    main()
