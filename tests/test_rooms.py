"""The house: data flow one way, each folder knows only those before it."""

import ast
import re
from pathlib import Path

import pytest

import rtf

PACKAGE = Path(rtf.__file__).parent
CONF = PACKAGE.parent / "conf"
ROOMS = ("alerts", "features", "store", "models", "encoding", "training", "evaluation", "report")
#: What any room may use.
SHARED = {"classes", "documents", "figures", "files", "jobs", "workers"}
#: The room that a group of configurations assembles.
GROUPS = {
    "bottleneck": "models", "decoder": "models", "encoder": "models", "head": "models",
    "image_backbone": "models", "modalities": "features", "reader": "alerts", "simulation": "simulation",
    "stream": "stream", "task": "evaluation", "tracking": "training",
}  # fmt: skip


def imported(path: Path) -> set[str]:
    """Rooms and shared modules of rtf that a file imports, however the import is written."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module == "rtf":
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("rtf."):
            names.add(node.module.split(".")[1])
        elif isinstance(node, ast.Import):
            names |= {a.name.split(".")[1] for a in node.names if a.name.startswith("rtf.")}
    return names


#: What stands beside the flow of data and is imported by no room of it.
BESIDE = {
    "simulation": {"alerts"},
    "check": {"alerts", "store", "simulation"},
    "archive": {"alerts", "features", "store", "models", "encoding"},
    "stream": {"alerts", "features", "store", "models", "encoding", "archive"},
    "explorer": {"alerts", "features", "store", "models", "encoding", "archive"},
}


@pytest.mark.parametrize("room", [*ROOMS, *BESIDE])
def test_a_room_knows_only_the_rooms_before_it(room):
    before = BESIDE[room] if room in BESIDE else set(ROOMS[: ROOMS.index(room)])
    for path in sorted((PACKAGE / room).rglob("*.py")):
        if path.name == "__main__.py":  # an entry point, as those beside the rooms
            continue
        strangers = imported(path) - before - SHARED - {room, "__version__"}
        assert not strangers, f"{path.relative_to(PACKAGE)} imports {', '.join(sorted(strangers))}"


@pytest.mark.parametrize("module", sorted(SHARED - {"classes", "files"}))
def test_what_is_shared_knows_no_room(module):
    """But what a survey sends: bands and detections."""
    assert not imported(PACKAGE / f"{module}.py") - SHARED - {"alerts"}


@pytest.mark.parametrize(
    "text", ["import rtf.report.read", "from rtf import report", "from rtf.report import x"]
)
def test_every_way_to_import_is_seen(tmp_path, text):
    (tmp_path / "a.py").write_text(text)
    assert imported(tmp_path / "a.py") == {"report"}


def test_a_group_of_configurations_names_only_its_own_room():
    for path in sorted(CONF.rglob("*.yaml")):
        targets = re.findall(r"^\s*_target_: rtf\.(\w+)", path.read_text(), re.MULTILINE)
        group = path.relative_to(CONF).parts[0]
        wrong = {room for room in targets if room != GROUPS.get(group)}
        assert not wrong, f"{path.relative_to(CONF)} names {', '.join(sorted(wrong))}"
