"""A simulated, labelled survey as a store: `python -m rtf.simulate out=survey.zarr n_sources=2000 seed=0`."""

import hydra
from hydra.utils import instantiate
from omegaconf import DictConfig

from rtf.entry import describe_errors, resolved


@hydra.main(version_base="1.3", config_path="../conf", config_name="simulate")
@describe_errors
def main(config: DictConfig) -> None:
    from rtf.store.build import preprocess
    from rtf.store.store import open_store

    config = resolved(config)
    # The simulator speaks as a reader does, so a survey is stored the way alerts are.
    preprocess(
        instantiate(config.simulation, _convert_="all"), "simulated survey", config.out,
        workers=config.workers, seed=config.seed, fractions=tuple(config.fractions),
        overwrite=config.overwrite, progress=config.progress,
    )  # fmt: skip
    print(open_store(config.out).summary())


if __name__ == "__main__":
    main()
