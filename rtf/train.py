"""Train a model: `python -m rtf.train data.store=store.zarr bottleneck=ae latent_dim=64`, or many with -m."""

import logging
import math
from contextlib import nullcontext
from functools import partial
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from hydra.utils import instantiate
from omegaconf import DictConfig

from rtf.cli.command import command, log_to, progress_bar, resolved


@command("train")
def main(config: DictConfig) -> float:
    from rtf.evaluation.run import evaluate
    from rtf.training.fit import fit
    from rtf.training.preemption import Preemption
    from rtf.training.runs import RunBusy, is_main, record_failure, run_folder
    from rtf.training.tracking import tracked

    config.run = str(run_folder(resolved(config)))
    config = resolved(config)
    run = Path(config.run)
    try:
        with (
            Preemption() as preemption,
            log_to(run / "train.log") if is_main() else nullcontext(),
            record_failure(run),
            tracked(run, config) as tracker,
        ):
            bar, callbacks = partial(progress_bar, show=config.progress), (*tracker.callbacks, preemption)
            optimizer = instantiate(config.optimizer)
            metrics = fit(run, config, optimizer, callbacks=callbacks, progress=bar)
            if is_main():
                settings = {"seed": config.seed, "n_bootstrap": config.n_bootstrap, "progress": bar}
                for done in evaluate(run, config.evaluate, again=False, **settings):
                    tracker.log_results(*done)
    except RunBusy as error:
        if HydraConfig.get().mode == RunMode.RUN:
            raise
        logging.getLogger(__name__).warning("%s: left to it", error)
        return math.nan
    return metrics["val/loss"]


if __name__ == "__main__":
    main()
