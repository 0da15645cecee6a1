"""What differs between runs, and which of them may be compared.

Notable:
- runs of one configuration differ by their seed alone and are averaged. No others ever are
- a data set is a store, known by its content and not by its path, and a number of epochs: runs with other
  test sources are never in one table, except in the table of everything
- a comparison asks what one setting does, so everything else must be equal. Settings fully determined by the
  compared one (a learning rate that comes with a bottleneck) count as part of it, and are shown
"""

import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import NamedTuple

from rtf.report.read import Run
from rtf.report.settings import MAIN, order, settings_of, show
from rtf.training.runs import FAILURE


@dataclass(frozen=True)
class Configuration:
    """Runs that differ by their seed alone."""

    settings: dict  # by dotted name
    runs: tuple[Run, ...]  # one a seed, ordered by seed
    again: tuple[Run, ...] = ()  # runs whose seed another run has too; they count nowhere

    @property
    def trained(self) -> tuple[Run, ...]:
        """The runs whose training is finished."""
        return tuple(run for run in self.runs if is_trained(run))


class DataSet(NamedTuple):
    """Configurations with the same test sources and number of epochs, in the order of their settings."""

    title: str  # store and epochs
    configurations: tuple[Configuration, ...]


def is_trained(run: Run) -> bool:
    """Whether training is finished (its evaluation may be missing, under way, or have failed)."""
    return "best_epoch" in run.metrics


def failure(run: Run) -> str:
    """The error that a run's last attempt ended with, as its folder has it; empty where there is none."""
    path = Path(run.where) / FAILURE
    if run.state != "failed" or not path.is_file():
        return ""
    return " ".join(str(json.loads(path.read_text())["error"]).split())


def data_sets(runs: Iterable[Run]) -> list[DataSet]:
    """Runs that have a configuration, by the data they were measured on, then by configuration.

    A run stands in the data set of its own store, and in one of each other store that it was evaluated on.
    """
    runs = [run for run in runs if run.config]
    digests: dict[str, set] = {}
    for run in runs:
        digests.setdefault(_path(run), set()).update({run.store} - {""})
    groups: dict[tuple, list[Run]] = {}
    names: dict[str, str] = {}
    for run in runs:
        known = digests[_path(run)]
        # a run that says nothing of its data goes with those of the same path, if they agree
        own = run.store or (next(iter(known)) if len(known) == 1 else _path(run))
        names.setdefault(own, PurePath(_path(run)).name)
        names |= {e.store["digest"]: e.store["name"] for e in run.evaluations}
        for store in dict.fromkeys([own, *(e.store["digest"] for e in run.evaluations if e.records)]):
            results = {e.task: e for e in run.evaluations if e.store["digest"] == store}
            key = store, run.config.get("epochs")
            groups.setdefault(key, []).append(replace(run, results=results))
    made = []
    for (store, epochs), members in sorted(groups.items(), key=lambda g: (names[g[0][0]], str(g[0]))):
        known, name = len(store) == 64, names[store]
        if list(names.values()).count(name) > 1:
            name += f" ({store[:8] if known else store})"
        # what a run was trained on is left out of its test sources: those of others are another data set
        tested = [next((e.test["digest"] for e in r.results.values() if e.test), None) for r in members]
        usual = next(filter(None, tested), None)
        parts: dict[str, list[Run]] = {}
        for run, sources in zip(members, tested):
            parts.setdefault(sources or usual, []).append(run)
        for k, part in enumerate(parts.values(), 1):
            title = f"{name}, {epochs} epochs" + (f", test sources {k}" if len(parts) > 1 else "")
            title += "" if known else ", known by its path alone"
            made.append(DataSet(title, _configurations(part)))
    return made


def _path(run: Run) -> str:
    return os.path.normpath(str((run.config.get("data") or {}).get("store")))


def varying(configurations: Sequence[Configuration]) -> list[str]:
    """Names of the settings that differ, those of `MAIN` first; of several that always agree, the shortest.

    A setting of a group is compared between configurations with the same choice of the group.
    """
    columns: dict[tuple, str] = {}
    names = {name for c in configurations for name in c.settings}
    rank = {name: k for k, name in enumerate(MAIN)}
    for name in sorted(names, key=lambda n: (rank.get(n.split(".")[0], len(MAIN)), n.count("."), n)):
        values = tuple(show(c.settings.get(name)) for c in configurations)
        if len(set(values)) > 1 and values not in columns and _differs(name, configurations, names):
            columns[values] = name
    return list(columns.values())


def blocks(
    configurations: Sequence[Configuration], compared: Sequence[str], needs: Sequence[str] = ()
) -> list[list[Configuration]]:
    """Configurations that differ in the compared settings and what belongs to them, and in nothing else.

    Of `needs` (default: of the compared settings or groups) at least one must differ in a block.
    """

    def inside(name: str, group: Sequence[str]) -> bool:
        return any(name == g or name.startswith(g + ".") for g in group)

    def value(c: Configuration, chosen: Callable[[str], bool]) -> tuple:
        return tuple((k, c.settings[k]) for k in sorted(c.settings) if chosen(k))

    belongs = set()
    for name in {name for c in configurations for name in c.settings} - {*MAIN}:
        pairs = {(value(c, lambda k: inside(k, compared)), c.settings.get(name)) for c in configurations}
        if len(pairs) == len({first for first, _ in pairs}):
            belongs.add(name)
    parts: dict[tuple, list] = {}
    for c in configurations:
        rest = value(c, lambda k: not inside(k, compared) and k not in belongs)
        parts.setdefault(rest, []).append(c)
    needed = needs or compared
    return [p for p in parts.values() if len({value(c, lambda k: inside(k, needed)) for c in p}) > 1]


def labels(
    configurations: Sequence[Configuration], names: Sequence[str] | None = None
) -> Callable[[Configuration], str]:
    """What each of these configurations is called, by the settings `names` (default: those that differ)."""
    names = varying(configurations) if names is None else names
    usual = {}
    for name in names:
        value, n = Counter(show(c.settings.get(name)) for c in configurations).most_common(1)[0]
        if name not in MAIN and 2 * n > len(configurations):
            usual[name] = value

    def label(configuration: Configuration) -> str:
        words = []
        for name in names:
            value = show(configuration.settings.get(name))
            if name in configuration.settings and usual.get(name) != value:
                words.append(value if name in MAIN[:4] else f"{name}={value}")
        return " ".join(words) or ("usual" if names else configuration.runs[0].name)

    return label


def _configurations(runs: Sequence[Run]) -> tuple[Configuration, ...]:
    found: dict[tuple, list] = {}
    for run in runs:
        found.setdefault(tuple(sorted(settings_of(run.config, run.also_train).items())), []).append(run)
    made = []
    for settings, members in found.items():
        # of two runs of one seed the one that got further counts
        members.sort(key=lambda r: (not is_trained(r), -len(r.results), r.where))
        by_seed = {run.config.get("seed"): run for run in reversed(members)}
        again = tuple(run for run in members if by_seed[run.config.get("seed")] is not run)
        seeds = sorted(by_seed, key=lambda s: -1 if s is None else s)
        made.append(Configuration(dict(settings), tuple(by_seed[s] for s in seeds), again))
    return tuple(sorted(made, key=lambda c: order(c.settings)))


def _differs(name: str, configurations: Sequence[Configuration], names: set[str]) -> bool:
    owner = name.rpartition(".")[0]
    groups: dict = {}
    for c in configurations:
        if owner.startswith("modalities."):
            if name in c.settings:
                groups.setdefault(None, set()).add(c.settings[name])
        elif owner not in names or owner in c.settings:
            groups.setdefault(c.settings.get(owner), set()).add(c.settings.get(name))
    return any(len(values) > 1 for values in groups.values())
