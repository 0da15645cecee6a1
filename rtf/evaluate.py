"""Evaluate a run: `python -m rtf.evaluate run=RUN task=probe`."""

from functools import partial

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from rtf.cli.command import command, progress_bar, resolved


@command("evaluate")
def main(config: DictConfig) -> None:
    from rtf.console import say
    from rtf.documents import to_rich
    from rtf.evaluation.run import evaluate
    from rtf.training.tracking import log_results

    config = resolved(config)
    tasks = {HydraConfig.get().runtime.choices["task"]: config.task}
    settings = {"seed": config.seed, "n_bootstrap": config.n_bootstrap, "coded": config.coded}
    settings["progress"] = partial(progress_bar, show=config.progress)
    for name, tables, figures in evaluate(config.run, tasks, store=config.store, out=config.out, **settings):
        if not config.coded and config.out in (None, config.run):
            log_results(config.run, name, tables, figures)
        say(*map(to_rich, tables), *(f"figure: {figure}" for figure in figures))


if __name__ == "__main__":
    main()
