"""Tables and figures of many runs: `python -m rtf.report runs=runs/bottleneck_sweep`."""

from functools import partial

from omegaconf import DictConfig, ListConfig

from rtf.cli.command import command, progress_bar, resolved


@command("report")
def main(config: DictConfig) -> None:
    from rtf.console import say
    from rtf.documents import to_rich
    from rtf.report.page import refuse_other, write_report
    from rtf.report.read import read_runs
    from rtf.report.scores import HOW

    config = resolved(config)
    sources = list(config.runs) if isinstance(config.runs, ListConfig) else [config.runs]
    progress = partial(progress_bar, show=config.progress)
    refuse_other(config.out)
    runs = read_runs(*map(str, sources), progress=progress)
    report = write_report(runs, config.out, ", ".join(map(str, sources)), progress)
    say(*map(to_rich, report.main), HOW, report.summary, f"report: {report.out / 'index.html'}")


if __name__ == "__main__":
    main()
