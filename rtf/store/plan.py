"""From parts to a store under its name, so that a run killed at any moment is finished by the same command.

OUT.plan.json is the only state. It is there from before the first part until all else is done, and says
whether OUT.new is complete (`merged`). Shards share the plan and the parts, and call these functions one at a
time (OUT.lock).
"""

import glob
import json
from pathlib import Path

from rtf.files import write_json
from rtf.jobs import beside, digest, put_in_place, refuse_old, remove
from rtf.store.read import FORMAT, Store, StoreError, open_store


def store_to_extend(out: Path, append: bool, overwrite: bool) -> Store | None:
    """The store to append to, if any.

    Raises
    ------
    FileExistsError : `out` is there and must not be touched, or a foreign OUT.old is in the way
    StoreError : `out` is to be appended to and damaged, or a stopped run left it under another name
    """
    if not out.exists():
        if beside(out, ".old").exists():
            old = beside(out, ".old")
            raise StoreError(f"a stopped run left {out} as {old}: rename it back, or remove it")
        return None
    refuse_old(out)
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


def claim(out: Path, settings: str, shared: bool) -> Path:
    """Make the folder of parts; former parts stay where they were made from the same.

    `settings` is the digest of all settings, which shards at work together have in common; `shared` says
    whether this is one of several shards. StoreError where shards with other settings are at work.
    """
    work = beside(out, ".parts")
    plan = read_plan(out)
    if plan is None:
        remove(work)
        plan = {"merged": None}
    elif plan.get("shards", settings) != settings:
        raise StoreError(
            f"{work} is shared by shards with other settings (input, reader, labels, splits, fractions, "
            f"seed, append or overwrite): give all the same, or delete {plan_path(out)} to start over"
        )
    write_json(plan_path(out), {**plan, "shards": settings} if shared else plan)
    work.mkdir(exist_ok=True)
    return work


def forget_shards(out: Path) -> None:
    """Allow a retry with other settings after a failed merge."""
    plan = read_plan(out)
    if plan is not None and plan.pop("shards", None):
        write_json(plan_path(out), plan)


def read_plan(out: Path) -> dict | None:
    plan = plan_path(out)
    return json.loads(plan.read_text()) if plan.exists() else None


def made_by(out: Path, run: dict) -> bool:
    """Whether the store at `out` is complete, and its latest build was `run`, of the same content."""
    description = out / "zarr.json"
    if not description.exists():
        return False
    attributes = json.loads(description.read_text()).get("attributes", {})
    return bool(attributes.get("complete")) and digest(attributes["runs"][-1]) == digest(run)


def merged_settings(out: Path) -> str | None:
    """Digest of the settings the parts were merged with, once OUT.new is complete; else None."""
    plan = read_plan(out)
    return None if plan is None else plan["merged"]


def mark_merged(out: Path, settings: str) -> None:
    write_json(plan_path(out), {**read_plan(out), "merged": settings})


def finish(out: Path) -> None:
    """Give OUT.new its name and remove the parts; a former run may have been stopped after any step."""
    put_in_place(beside(out, ".new"), out)
    clear(out)


def clear(out: Path) -> None:
    """Remove the parts, then the plan: while that is there, the same command comes back to finish."""
    remove(beside(out, ".parts"))
    plan = plan_path(out)
    for unfinished in plan.parent.glob(f".{glob.escape(plan.name)}.*.tmp*"):
        unfinished.unlink()
    plan.unlink()
