"""What the entry points share: Hydra with paths as people write them, and errors a person can read."""

import functools
import logging
import os
import pwd
import sys
import tempfile
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException, InstantiationException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue

from rtf.cluster import watch_queue  # and, with the module, the resolvers of the SLURM launchers

#: Last words of the settings that are paths; their values are taken as they are typed.
PATHS = {
    "input", "out", "run", "runs", "store", "labels", "splits", "real", "simulated", "table", "path",
    "outliers", "weights",
}  # fmt: skip


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
                sys.exit("interrupted: the same command, given again, goes on or starts anew")

        return entry

    return decorate


def make_home() -> None:
    """Give libraries that want a home folder, a user name or a cache a temporary one where there is none."""
    try:
        pwd.getpwuid(os.getuid())
    except KeyError:  # a container that was started for a user it does not know
        os.environ.setdefault("USER", str(os.getuid()))
        os.environ.setdefault("LOGNAME", str(os.getuid()))
        os.environ.setdefault("HOME", "/")
    home = Path(os.environ.get("HOME") or pwd.getpwuid(os.getuid()).pw_dir)
    if not os.access(home, os.W_OK):
        folder = Path(tempfile.gettempdir()) / f"rtf-home-{os.getuid()}"
        folder.mkdir(mode=0o700, exist_ok=True)
        os.environ["HOME"] = str(folder)
        os.environ.setdefault("NUMBA_CACHE_DIR", str(folder / "numba"))


def path_arguments(arguments: list[str]) -> list[str]:
    """Command-line arguments in which Hydra reads paths as they were typed: `input=night (1)/year=2024`.

    `~` is the home folder. Lists, quoted values and `null` are left to Hydra, and in a multirun commas divide
    values, unless a file has that name.
    """
    multirun = bool({"-m", "--multirun"} & set(arguments))
    return [_path_argument(argument, multirun) for argument in arguments]


def _path_argument(argument: str, multirun: bool) -> str:
    key, equals, value = argument.partition("=")
    if not equals or key.lstrip("+").split(".")[-1].split("@")[0] not in PATHS or key.startswith("hydra"):
        return argument
    try:
        parsed = OverridesParser.create().parse_override(argument)
    except HydraException:
        parsed = None
    if parsed is not None:
        read = parsed.value()
        if isinstance(read, str) and value[:1] in ("'", '"'):  # quoted already
            return f"{key}={_quoted(read)}" if read.startswith("~") else argument
        as_typed = isinstance(read, str) and read == value and not value.startswith("~")
        plural = (parsed.is_sweep_override() and multirun) or isinstance(read, list | dict)
        if read is None or as_typed or (plural and not os.path.exists(value)):
            return argument
    return f"{key}={_quoted(value)}"


def _quoted(path: str) -> str:
    text = os.path.expanduser(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'


def resolved(config: DictConfig) -> DictConfig:
    """A copy of a composed configuration with every interpolation replaced by its value.

    Raises
    ------
    MissingMandatoryValue : naming the settings that have to be given
    """
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
        from rtf.alerts.report import NothingReadable
        from rtf.encoding.fingerprinter import RunError
        from rtf.store.store import StoreError

        expected = (NothingReadable, RunError, StoreError, MissingMandatoryValue, OSError, ValueError)
        try:
            return main(config)
        except (*expected, InstantiationException) as error:
            # Hydra wraps what a part raises when it is made
            cause = error.__cause__ if isinstance(error, InstantiationException) else error
            multirun = HydraConfig.get().mode == RunMode.MULTIRUN
            if config.get("debug") or not isinstance(cause or error, expected):
                raise
            if multirun:
                raise  # a sweep goes on with its other jobs, and names this one at the end
            print(f"error: {cause}\n(debug=true shows where)", file=sys.stderr)
            sys.exit(1)

    return wrapper


def read_input(config: DictConfig, cutouts: bool = False):
    """An iterator of the histories of `config.input`, alerts in any format or a store, and their report.

    Alerts are read by `config.reader`, with a bar where `config.progress` says so, and with their stamps if
    `cutouts` asks for them. A store is read as it is asked for, so that its stamps are never all in memory.
    The report counts the sources as `objects`.
    """
    from hydra.utils import instantiate

    from rtf.alerts.read import read_histories
    from rtf.alerts.report import ReadReport
    from rtf.store.store import open_store

    report = ReadReport()
    if (Path(config.input) / "zarr.json").exists():
        store = open_store(config.input)
        histories = store.histories(cutouts=cutouts)
        report.count("objects", store.n)
    else:
        reader = instantiate(config.reader, _convert_="all", cutouts=cutouts)
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
