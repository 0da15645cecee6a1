"""The settings of a run, from its configuration: what it is, not how it was carried out."""

import json
from collections.abc import Sequence
from pathlib import PurePath

from rtf.training.runs import FREE

#: Settings that sweeps are made of, in the order they are shown.
MAIN = ("bottleneck", "latent_dim", "modalities", "image_backbone", "also_train")

_MODALITIES = ("photometry", "metadata", "gp", "stamps")
#: The store and the epochs make the data set (`compare.DataSet`), and seeds are averaged over.
_IGNORED = {*FREE, "seed", "epochs"}


def settings_of(config: dict, added: Sequence[str] | None = None) -> dict:
    """The settings that make a configuration, by dotted name, as plain values.

    A group goes by the module of its `_target_` (`bottleneck`: vae); the settings of an image backbone count
    only where there are stamps. Added stores of one name are told apart by their digests, or their paths.
    """
    modalities = config.get("modalities") or {}
    known = [m for m in _MODALITIES if m in modalities]
    left_out = _IGNORED if "stamps" in modalities else {*_IGNORED, "image_backbone"}
    flat = dict(_flatten({k: v for k, v in config.items() if k not in left_out}))
    out = {"data.store", "data.also_train", *(f"modalities.{m}" for m in modalities)}
    flat = {k: v for k, v in flat.items() if k not in out}
    flat["modalities"] = "+".join([*known, *sorted(set(modalities) - set(known))])
    more = (config.get("data") or {}).get("also_train") or []
    flat["also_train"] = "+".join(map(_added, more)) or "none"
    if more:
        paths = [e if isinstance(e, str) else str(e.get("store")) for e in more]
        flat["also_train.stores"] = tuple(digest[:8] for digest in added) if added else tuple(paths)
    return flat


def show(value) -> str:
    """A setting as text; a dash where a configuration does not have it."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ", ".join(map(show, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def order(settings: dict) -> tuple:
    """For sorting: by the main settings (numbers as numbers, fewer modalities first), then by the others."""
    keys = [*MAIN, *sorted(set(settings) - set(MAIN))]
    return tuple(_sortable(settings.get(k), k) for k in keys)


def _flatten(node: dict, path: str = ""):
    for key, value in node.items():
        name = f"{path}.{key}".lstrip(".")
        if isinstance(value, dict):
            yield from _flatten(value, name)
        elif key == "_target_":
            parts = str(value).split(".")
            yield path or name, parts[-2] if parts[0] == "rtf" and len(parts) > 1 else parts[-1]
        elif key not in ("_partial_", "_convert_"):
            yield name, _hashable(value)


def _hashable(value):
    if isinstance(value, list | tuple):
        return tuple(_hashable(v) for v in value)
    return json.dumps(value, sort_keys=True) if isinstance(value, dict) else value


def _added(entry) -> str:
    """A store that training adds, with how it is added where that is said."""
    if isinstance(entry, str):
        return PurePath(entry).name
    rest = ", ".join(f"{k}={show(_hashable(v))}" for k, v in sorted(entry.items()) if k != "store")
    return PurePath(str(entry.get("store"))).name + (f" ({rest})" if rest else "")


def _sortable(value, name: str = "") -> tuple:
    if value is None or (name, value) == ("also_train", "none"):
        return (0, 0, "")
    if name == "modalities":
        places = [_MODALITIES.index(m) if m in _MODALITIES else 9 for m in value.split("+")]
        return (1, len(places), f"{places}{value}")
    return (1, value, "") if isinstance(value, int | float) else (2, 0, show(value))
