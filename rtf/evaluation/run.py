"""Evaluation tasks after training, each once: which were done, and how set, is kept in RUN/evaluated.json."""

import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from rtf.encoding.load import load, read_config
from rtf.files import write_json
from rtf.store.store import open_store

log = logging.getLogger(__name__)

DONE = "evaluated.json"


def evaluate_run(
    run: str | Path, tasks: Mapping[str, DictConfig], done: Callable[[str, list, list], None] | None = None
) -> list[str]:
    """Carry out the tasks that were not yet, with these settings, on the store the run was trained on.

    Parameters
    ----------
    run : folder of a finished run; results go there
    tasks : settings by name, as in conf/task/
    done : given the name, tables and figures of each task as it is finished

    Returns
    -------
    Names of the tasks carried out
    """
    run = Path(run)
    path = run / DONE
    former = json.loads(path.read_text()) if path.exists() else {}
    settings = {name: OmegaConf.to_container(task) for name, task in tasks.items()}
    todo = [name for name in settings if former.get(name) != settings[name]]
    if not todo:
        return []
    model, store = load(run), open_store(read_config(run).data.store)
    for name in todo:
        log.info("%s: task %s", run, name)
        made, figures = instantiate(tasks[name])(model, store, run)
        former[name] = settings[name]
        write_json(path, former)
        if done is not None:
            done(name, made, figures)
    return todo
