"""What makes a function a command: its configuration, its errors in one line, bars and logs."""

import functools
import logging
import sys
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import InstantiationException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue

from rtf.cli.cluster import watch_queue  # and, with the module, the resolvers of the SLURM launchers
from rtf.cli.paths import make_home, path_arguments


def command(config_name: str) -> Callable:
    """Make `main(config)` an entry point: conf/CONFIG_NAME.yaml, changed by the command line."""

    def decorate(main: Callable) -> Callable:
        composed = hydra.main(version_base="1.3", config_path="pkg://rtf.conf", config_name=config_name)
        run = composed(describe_errors(main))

        @functools.wraps(main)
        def entry() -> None:
            for stream in (sys.stdout, sys.stderr):
                if hasattr(stream, "reconfigure"):
                    stream.reconfigure(errors="replace")  # a terminal without Greek ends no command
            make_home()
            sys.argv[1:] = path_arguments(sys.argv[1:])
            if any("launcher=slurm" in argument for argument in sys.argv):
                watch_queue()
            try:
                run()
            except KeyboardInterrupt:
                print("interrupted: the same command, given again, goes on or starts anew", file=sys.stderr)
                sys.exit(130)

        return entry

    return decorate


def resolved(config: DictConfig) -> DictConfig:
    """A copy with every interpolation replaced by its value; an error names what is not given."""
    missing = list(_missing(OmegaConf.to_container(config)))
    if missing:
        raise MissingMandatoryValue("please give " + ", ".join(f"{key}=..." for key in missing))
    return OmegaConf.create(OmegaConf.to_container(config, resolve=True))


def _missing(node, path: str = ""):
    if isinstance(node, dict):
        for key, value in node.items():
            yield from _missing(value, f"{path}.{key}".lstrip("."))
    elif node == "???":
        yield path


def describe_errors(main: Callable) -> Callable:
    """End an entry point with one clear line instead of a traceback, where the user can mend the cause."""

    @functools.wraps(main)
    def wrapper(config: DictConfig):
        try:
            return main(config)
        except Exception as error:
            from rtf.alerts.report import NothingReadable
            from rtf.encoding.fingerprinter import RunError  # and torch, which not every command needs
            from rtf.store.read import StoreError

            expected = (NothingReadable, RunError, StoreError, MissingMandatoryValue, OSError, ValueError)
            if not isinstance(error, (*expected, InstantiationException)):
                raise
            # Hydra wraps what a part raises when it is made
            cause = error.__cause__ if isinstance(error, InstantiationException) else error
            # a sweep goes on with its other jobs, and names this one at the end
            multirun = HydraConfig.get().mode == RunMode.MULTIRUN
            if config.get("debug") or multirun or not isinstance(cause or error, expected):
                raise
            print(f"error: {cause}\n(debug=true shows where)", file=sys.stderr)
            sys.exit(1)

    return wrapper


def read_input(config: DictConfig):
    """An iterator of the histories of `config.input`, alerts or a store, without stamps, and their report."""
    from hydra.utils import instantiate

    from rtf.alerts.read import read_histories
    from rtf.alerts.report import ReadReport
    from rtf.store.read import open_store

    report = ReadReport()
    if (Path(config.input) / "zarr.json").exists():
        store = open_store(config.input)
        histories = store.histories(cutouts=False)
        report.count("objects", store.n)
    else:
        reader = instantiate(config.reader, _convert_="all", cutouts=False)
        histories = read_histories(config.input, reader, report=report, progress=config.progress)
    return iter(histories), report


@contextmanager
def log_to(path: Path):
    """Write what is logged into a file as well, after what is there; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(path)
    handler.setFormatter(logging.Formatter("[%(asctime)s][%(levelname)s] %(message)s"))
    logging.getLogger().addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)
        handler.close()


@contextmanager
def progress_bar(what: str, total: int, show: bool = True):
    """A bar on stderr; yields the function that advances it."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not show) as bars:
        bar = bars.add_task(what, total=total)
        yield lambda done: bars.advance(bar, done)
