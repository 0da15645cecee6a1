"""Train a model: `python -m rtf.train data.store=store.zarr bottleneck=ae latent_dim=64`."""

from functools import partial

import hydra
from hydra.utils import instantiate
from omegaconf import DictConfig

from rtf.entry import describe_errors, progress_bar, resolved


@hydra.main(version_base="1.3", config_path="../conf", config_name="train")
@describe_errors
def main(config: DictConfig) -> float:
    from rtf.training.fit import fit

    config = resolved(config)
    metrics = fit(
        config.run,
        config,
        instantiate(config.optimizer),
        logger=instantiate(config.tracking.logger),
        callbacks=instantiate(config.tracking.callbacks) or (),
        progress=partial(progress_bar, show=config.progress),
    )
    return metrics["val/loss"]


if __name__ == "__main__":
    main()
