"""Evaluate a run: `python -m rtf.evaluate run=RUN task=probe`."""

from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from omegaconf import DictConfig

from rtf.entry import describe_errors, resolved


@hydra.main(version_base="1.3", config_path="../conf", config_name="evaluate")
@describe_errors
def main(config: DictConfig) -> None:
    from rich.console import Console

    from rtf.encoding.load import load, read_config
    from rtf.evaluation.tables import to_rich
    from rtf.store.store import open_store
    from rtf.training.tracking import log_results

    config = resolved(config)
    run = Path(config.run)
    model = load(run)
    store = open_store(config.store or read_config(run).data.store)
    out = Path(config.out or run)
    made, figures = instantiate(config.task)(model, store, out)
    if out == run:
        log_results(run, HydraConfig.get().runtime.choices["task"], made, figures)
    console = Console()
    if not console.is_terminal:
        console.width = 120  # a pipe or a log file has no width of its own
    for table in made:
        console.print(to_rich(table))
    for figure in figures:
        console.print(f"figure: {figure}", soft_wrap=True)


if __name__ == "__main__":
    main()
