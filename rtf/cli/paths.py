"""Paths and names as they were typed, and a home folder where there is none."""

import os
import pwd
import tempfile
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

#: Last words of the settings that are paths or names; their values are taken as they are typed.
PATHS = {
    "input", "out", "run", "runs", "store", "labels", "splits", "real", "simulated", "table", "path",
    "outliers", "weights", "old", "new", "archive", "add", "like", "object", "position", "space", "history",
    "marks",
}  # fmt: skip


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

    `~` is the home folder. Quoted values, `null` and lists of `runs` and of `store` are left to Hydra,
    and in a multirun commas divide values, unless a file has that name.
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
        plural = (parsed.is_sweep_override() and multirun) or (
            isinstance(read, list) and key in ("runs", "store")
        )
        if read is None or as_typed or (plural and not os.path.exists(value)):
            return argument
    return f"{key}={_quoted(value)}"


def _quoted(path: str) -> str:
    text = os.path.expanduser(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'
