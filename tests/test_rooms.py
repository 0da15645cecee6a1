"""The house: data flow one way, each folder knows only those before it."""

import ast
from pathlib import Path

import pytest

import rtf

PACKAGE = Path(rtf.__file__).parent
ROOMS = ("alerts", "features", "store", "models", "encoding", "training", "evaluation", "report")
#: What any room may use.
SHARED = {"classes", "documents", "figures", "files", "shards", "workers"}


def imported(path: Path) -> set[str]:
    """Rooms and shared modules of rtf that a file imports."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("rtf."):
            names.add(node.module.split(".")[1])
        elif isinstance(node, ast.Import):
            names |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("rtf.")}
    return names


@pytest.mark.parametrize("room", [*ROOMS, "simulation"])
def test_a_room_knows_only_the_rooms_before_it(room):
    before = {"alerts"} if room == "simulation" else set(ROOMS[: ROOMS.index(room)])
    for path in sorted((PACKAGE / room).rglob("*.py")):
        if path.name == "__main__.py":  # an entry point, as those beside the rooms
            continue
        strangers = imported(path) - before - SHARED - {room}
        assert not strangers, f"{path.relative_to(PACKAGE)} imports {', '.join(sorted(strangers))}"
