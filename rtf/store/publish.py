"""From parts to a store under its name, so that a run killed at any moment is finished by the same command.

Notable:
- OUT.plan.json is the only state. It is there from before the first part until all else is done, and says
  whether OUT.new is complete (`merged`)
- OUT.new takes the name OUT by renames; a store that is replaced is OUT.old for that moment
"""

import glob
import json
import os
import shutil
from hashlib import sha256
from pathlib import Path

from rtf.files import write_json
from rtf.store.store import Store, StoreError, open_store
from rtf.store.write import FORMAT


def beside(out: Path, suffix: str) -> Path:
    return out.with_name(out.name + suffix)


def digest(value) -> str:
    """A name for plain JSON values: equal values, equal names."""
    return sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def existing(out: Path, append: bool, overwrite: bool) -> Store | None:
    """The store to append to, if any.

    Raises
    ------
    FileExistsError : `out` is there and must not be touched
    StoreError : `out` is to be appended to and damaged, or a stopped run left it under another name
    """
    if not out.exists():
        if beside(out, ".old").exists():
            raise StoreError(
                f"a stopped run left {out} as {beside(out, '.old')}: rename it back, or remove it"
            )
        return None
    if append:
        return open_store(out)
    if not overwrite:
        raise FileExistsError(f"{out} exists: append to it, overwrite it, or choose another name")
    description = out / "zarr.json"
    if not description.exists() or f'"{FORMAT}"' not in description.read_text():
        raise FileExistsError(f"{out} exists and is not a store: it will not be overwritten")
    return None


def plan_path(out: Path) -> Path:
    return beside(out, ".plan.json")


def claim(out: Path, reading: str) -> Path:
    """Make the folder of parts, or make sure that the one there is of the same units and reader."""
    plan, work = plan_path(out), beside(out, ".parts")
    if plan.exists():
        if json.loads(plan.read_text())["reading"] != reading:
            raise StoreError(
                f"{work} holds parts of another input or of other reader settings: run that command again to "
                f"finish it, or delete {plan} to start over"
            )
    else:
        if work.exists():
            shutil.rmtree(work)
        write_json(plan, {"reading": reading, "merged": None})
    work.mkdir(exist_ok=True)
    return work


def merged_settings(out: Path) -> str | None:
    """Digest of the settings the parts were merged with, once OUT.new is complete; else None."""
    plan = plan_path(out)
    return json.loads(plan.read_text())["merged"] if plan.exists() else None


def mark_merged(out: Path, settings: str) -> None:
    plan = plan_path(out)
    write_json(plan, {**json.loads(plan.read_text()), "merged": settings})


def finish(out: Path) -> None:
    """Give OUT.new its name and remove the parts; a former run may have been stopped after any step."""
    new, old, work = (beside(out, suffix) for suffix in (".new", ".old", ".parts"))
    if new.exists():
        if out.exists():
            if old.exists():
                shutil.rmtree(old)
            os.rename(out, old)
        os.rename(new, out)
    clear(out, old, work)


def clear(out: Path, *folders: Path) -> None:
    """Remove folders, then the plan: while that is there, the same command comes back to finish."""
    for folder in folders:
        if folder.exists():
            shutil.rmtree(folder)
    plan = plan_path(out)
    for unfinished in plan.parent.glob(f".{glob.escape(plan.name)}.*.tmp*"):
        unfinished.unlink()
    plan.unlink()
