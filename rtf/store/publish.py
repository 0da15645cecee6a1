"""From parts to a store under its name, so that a run killed at any moment is finished by the same command.

Notable:
- OUT.plan.json is the only state. It is there from before the first part until all else is done, and says
  whether OUT.new is complete (`merged`)
- OUT.new takes the name OUT by renames; a store that is replaced is OUT.old for that moment
- shards share the plan and the parts: each function here is called by one of them at a time (OUT.lock)
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


def claim(out: Path, reading: str, settings: str, shared: bool) -> Path:
    """Make the folder of parts, or make sure that the one there is for this command.

    Parameters
    ----------
    reading : digest of units and reader, which a stopped command and the one that finishes it have in common
    settings : digest of all settings, which shards that work at the same time have in common
    shared : whether this is one of several shards
    """
    work = beside(out, ".parts")
    plan = read_plan(out)
    if plan is None:
        if work.exists():
            shutil.rmtree(work)
        plan = {"reading": reading, "merged": None}
    elif plan["reading"] != reading:
        raise StoreError(
            f"{work} holds parts of another input or of other reader settings: run that command again to "
            f"finish it, or delete {plan_path(out)} to start over"
        )
    elif plan.get("shards", settings) != settings:
        raise StoreError(
            f"{work} is shared by shards with other settings (labels, splits, fractions, seed, append or "
            f"overwrite): give all the same, or delete {plan_path(out)} to start over"
        )
    write_json(plan_path(out), {**plan, "shards": settings} if shared else plan)
    work.mkdir(exist_ok=True)
    return work


def forget_shards(out: Path) -> None:
    """Let the parts be merged with other settings, after they could not be with these."""
    plan = read_plan(out)
    if plan is not None and plan.pop("shards", None):
        write_json(plan_path(out), plan)


def read_plan(out: Path) -> dict | None:
    plan = plan_path(out)
    return json.loads(plan.read_text()) if plan.exists() else None


def made_by(out: Path, run: dict, tables: list[str]) -> bool:
    """Whether the store at `out` is complete, its latest build was `run`, and no table was changed since."""
    description = out / "zarr.json"
    if not description.exists():
        return False
    attributes = json.loads(description.read_text()).get("attributes", {})
    made = description.stat().st_mtime
    return (
        bool(attributes.get("complete"))
        and digest(attributes["runs"][-1]) == digest(run)
        and all(Path(table).stat().st_mtime <= made for table in tables)
    )


def merged_settings(out: Path) -> str | None:
    """Digest of the settings the parts were merged with, once OUT.new is complete; else None."""
    plan = read_plan(out)
    return None if plan is None else plan["merged"]


def mark_merged(out: Path, settings: str) -> None:
    write_json(plan_path(out), {**read_plan(out), "merged": settings})


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
