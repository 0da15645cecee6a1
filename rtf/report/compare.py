"""What differs between runs, and which of them may be compared.

Notable:
- a configuration is all settings of a run but its seed and those that only say how it was carried out; runs
  of one configuration differ by their seed alone and are averaged. No others ever are
- a data set is a store, and a number of epochs: runs with other test sources are never in one table, except
  in the table of everything
- a comparison asks what one setting does, so everything else must be equal. Settings of which each value of
  the compared one has its own (a learning rate that comes with a bottleneck) belong to it, and are shown
"""

import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from rtf.report.read import Run
from rtf.report.settings import MAIN, order, settings_of, show
from rtf.training.runs import FAILURE


@dataclass(frozen=True)
class Configuration:
    """Runs that differ by their seed alone.

    Attributes
    ----------
    settings : by dotted name
    runs : one a seed, ordered by seed
    again : runs whose seed another run has too; they count nowhere
    """

    settings: dict
    runs: tuple[Run, ...]
    again: tuple[Run, ...] = ()

    @property
    def trained(self) -> tuple[Run, ...]:
        """The runs whose training is finished."""
        return tuple(run for run in self.runs if is_trained(run))


#: From a configuration to what it is called.
Labels = Callable[[Configuration], str]


@dataclass(frozen=True)
class DataSet:
    """Configurations with the same test sources and number of epochs.

    Attributes
    ----------
    title : store and epochs
    configurations : in the order of their settings
    """

    title: str
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
    """Runs that have a configuration, by data set, then by configuration."""
    groups: dict[tuple, list] = {}
    # those that were evaluated first: they say which test sources a store of this name has
    for run in sorted((r for r in runs if r.config), key=lambda r: -len(r.results)):
        key = (os.path.normpath(str((run.config.get("data") or {}).get("store"))), run.config.get("epochs"))
        sources = test_counts(run)
        for known, members in groups.setdefault(key, []):
            if all(known.get(task, n) == n for task, n in sources.items()):
                known |= sources
                members.append(run)
                break
        else:
            groups[key].append((sources, [run]))
    stores = {store for store, _ in groups}
    made = []
    for (store, epochs), parts in sorted(groups.items(), key=lambda item: str(item[0])):
        name = PurePath(store).name
        name = store if sum(PurePath(s).name == name for s in stores) > 1 else name
        for k, (_, members) in enumerate(parts, 1):
            title = f"{name}, {epochs} epochs" + (f", test sources {k}" if len(parts) > 1 else "")
            made.append(DataSet(title, _configurations(members)))
    return made


def test_counts(run: Run) -> dict[str, tuple]:
    """By task, the test sources it was scored on (of each class, where it knows them)."""
    found = {}
    if (probe := run.results.get("probe")) is not None:
        found["probe"] = tuple(probe["fine"]["test_count"])
    if (physical := run.results.get("physical")) is not None:
        found["physical"] = (physical["n_sources"],)
    return found


def varying(configurations: Sequence[Configuration]) -> list[str]:
    """Names of the settings that differ, those of `MAIN` first; of several that always agree, the shortest.

    A setting of a group is compared between configurations with the same choice of the group.
    """
    columns: dict[tuple, str] = {}
    names = {name for c in configurations for name in c.settings}
    for name in sorted(names, key=lambda n: (_rank(n), n.count("."), n)):
        values = tuple(show(c.settings.get(name)) for c in configurations)
        if len(set(values)) > 1 and values not in columns and _differs(name, configurations, names):
            columns[values] = name
    return list(columns.values())


def blocks(
    configurations: Sequence[Configuration], compared: Sequence[str], needs: Sequence[str] | None = None
) -> list[list[Configuration]]:
    """Configurations that differ in the compared settings and what belongs to them, and in nothing else.

    Parameters
    ----------
    compared : names of settings or groups
    needs : of these at least one must differ in a block (default: of the compared ones)
    """

    def inside(name: str, group: Sequence[str]) -> bool:
        return any(name == g or name.startswith(g + ".") for g in group)

    def value(c: Configuration, chosen: Callable[[str], bool]) -> tuple:
        return tuple((k, c.settings[k]) for k in sorted(c.settings) if chosen(k))

    belongs = set()
    for name in {name for c in configurations for name in c.settings}:
        if name in MAIN or inside(name, compared):
            continue
        seen: dict[tuple, set] = {}
        for c in configurations:
            seen.setdefault(value(c, lambda k: inside(k, compared)), set()).add(c.settings.get(name))
        if all(len(values) == 1 for values in seen.values()):
            belongs.add(name)
    parts: dict[tuple, list] = {}
    for c in configurations:
        rest = value(c, lambda k: not inside(k, compared) and k not in belongs)
        parts.setdefault(rest, []).append(c)
    needed = needs or compared
    return [p for p in parts.values() if len({value(c, lambda k: inside(k, needed)) for c in p}) > 1]


def labels(configurations: Sequence[Configuration], names: Sequence[str] | None = None) -> Labels:
    """What to call each of these configurations in a few words.

    The main settings by their values, others by name and value where they are not those of most.

    Parameters
    ----------
    names : settings to go by (default: those that differ)
    """
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
    found: dict[tuple, tuple[dict, list]] = {}
    for run in runs:
        settings = settings_of(run.config)
        key = tuple(sorted(settings.items(), key=lambda item: item[0]))
        found.setdefault(key, (settings, []))[1].append(run)
    made = []
    for settings, members in found.values():
        by_seed: dict = {}
        again = []
        # of two runs of one seed the one that got further counts
        for run in sorted(members, key=lambda r: (not is_trained(r), -len(r.results), str(r.where))):
            if run.config.get("seed") in by_seed:
                again.append(run)
            by_seed.setdefault(run.config.get("seed"), run)
        seeds = sorted(by_seed, key=lambda s: (str(type(s)), s if s is not None else 0))
        made.append(Configuration(settings, tuple(by_seed[s] for s in seeds), tuple(again)))
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


def _rank(name: str) -> int:
    group = name.split(".")[0]
    return MAIN.index(group) if group in MAIN else len(MAIN)
