"""Models that come with the package, by name: `rtf.load("ztf")`. Imports no torch."""

import json
import os
from pathlib import Path

from rtf.alerts.surveys import Survey
from rtf.encoding.fingerprints import RunError

FOLDER = Path(__file__).parents[1] / "shipped"


def shipped_models() -> list[str]:
    """Names of the models in the box."""
    return sorted(path.parent.name for path in FOLDER.glob("*/config.yaml"))


def run_folder(run: str | os.PathLike) -> Path:
    """The folder of a run, given its path or the name of a shipped model.

    Raises
    ------
    RunError : neither is there
    """
    path = Path(run)
    shipped = str(run) in shipped_models()
    # A folder of alerts may be called ztf.
    if path.is_dir() and (not shipped or (path / "config.yaml").exists()):
        return path
    if shipped:
        return FOLDER / str(run)
    names = ", ".join(shipped_models())
    raise RunError(f"{run} is neither a run folder nor a shipped model; shipped are: {names}")


def fitting_model(*, survey: str | None = None, space: str | None = None) -> Path:
    """The folder of the shipped model of a survey, or of the one that makes the fingerprints of a space.

    Raises
    ------
    RunError : none does
    """
    for name in shipped_models():
        card = json.loads((FOLDER / name / "model_card.json").read_text(encoding="utf-8"))
        if name == survey or card["space"] == space:
            return FOLDER / name
    asked = f"is of {survey}" if space is None else f"makes fingerprints of space {space}"
    raise RunError(f"no model in the box {asked}: name the run, run=FOLDER")


def other_survey(own: Survey, asked: Survey) -> str:
    """What is said where a model of one survey is given sources of another."""
    said = f"the sources are of {asked.title}, the model was trained on {own.title}"
    return f"{said}; the model in the box is run={asked.name}" if asked.name in shipped_models() else said
