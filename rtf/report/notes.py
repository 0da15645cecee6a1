"""What stands beside the scores: how far the runs are, what is missing and why, how many sources."""

from collections.abc import Sequence

from rtf.evaluation.tables import Table
from rtf.report.compare import Configuration, DataSet, failure, is_trained, test_counts
from rtf.report.read import Run
from rtf.report.scores import Score
from rtf.report.settings import show

#: Names that a note lists at most.
_LISTED = 8


def runs_table(runs: Sequence[Run], data: Sequence[DataSet]) -> Table:
    """The index: every run, how far it is, and why it is no further."""
    of = {str(run.where): d.title for d in data for c in d.configurations for run in (*c.runs, *c.again)}
    lines = [
        (
            run.name, run.sweep or "–", of.get(str(run.where), "–"), show(run.config.get("seed")), run.state,
            f"{len(run.history)} of {show(run.config.get('epochs'))}", ", ".join(sorted(run.results)) or "–",
            failure(run) or "–", str(run.where),
        )
        for run in runs
    ]  # fmt: skip
    columns = ("run", "sweep", "data set", "seed", "state", "epochs", "evaluated", "error", "where")
    return Table("Runs", columns, tuple(lines))


def missing(configurations: Sequence[Configuration], scores: Sequence[Score]) -> list[str]:
    """Notes on the runs that cells wait for, by what they lack; and on runs that count nowhere."""
    lacking: dict[str, list[str]] = {}
    for run in (run for c in configurations for run in c.runs):
        if not is_trained(run):
            lacking.setdefault(f"Training {run.state}", []).append(_where(run))
            continue
        tasks = dict.fromkeys(s.task for s in scores if s.task and s.task not in run.results)
        for task in tasks:
            lacking.setdefault(f"No {task} (python -m rtf.evaluate run=RUN task={task})", []).append(
                _where(run)
            )
    notes = [f"{what}: {few(names)}." for what, names in lacking.items()]
    again = [_where(run) for c in configurations for run in c.again]
    return notes + (
        [f"Same configuration and seed as another run, not counted: {few(again)}."] if again else []
    )


def class_counts(rows: Sequence[Configuration]) -> list[str]:
    """Training and test sources of each class that the probes were fitted to and scored on."""
    for run in (run for c in rows for run in c.trained if run.results.get("probe")):
        fine = run.results["probe"]["fine"]
        counts = zip(fine["class_names"], fine["train_count"], fine["test_count"])
        listed = ", ".join(f"{name} {train:,}/{test:,}" for name, train, test in counts if train or test)
        return [f"Training/test sources: {listed}."]
    return []


def seeds(c: Configuration) -> str:
    """How many seeds are trained, of how many there are; † where it is one."""
    done, all_of_them = len(c.trained), len(c.runs)
    return (f"{done}" if done == all_of_them else f"{done} of {all_of_them}") + dagger(c)


def test_sources(c: Configuration) -> str:
    """Test sources that the configuration's runs were scored on: of the probe, or of the reconstruction."""
    for run in c.trained:
        for counts in test_counts(run).values():
            return f"{sum(counts):,}"
    return "–"


def dagger(c: Configuration) -> str:
    return "†" if len(c.trained) == 1 else ""


def _where(run: Run) -> str:
    done = "" if is_trained(run) else f"epochs done: {len(run.history)}"
    why = failure(run) or done
    return run.name + (f" ({why})" if why else "")


def few(names: Sequence[str], comma: str = ", ") -> str:
    more = len(names) - _LISTED
    return comma.join(names[:_LISTED]) + (f" and {more} more" if more > 0 else "")
