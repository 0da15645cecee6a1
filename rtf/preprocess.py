"""Alerts in any format to a store: `python -m rtf.preprocess input=ALERTS out=store.zarr`."""

import hydra
from hydra.utils import instantiate
from omegaconf import DictConfig

from rtf.entry import describe_errors, resolved


@hydra.main(version_base="1.3", config_path="../conf", config_name="preprocess")
@describe_errors
def main(config: DictConfig) -> None:
    from rtf.store.build import preprocess
    from rtf.store.store import open_store

    config = resolved(config)
    report = preprocess(
        instantiate(config.reader, _convert_="all"), config.input, config.out,
        workers=config.workers, seed=config.seed, fractions=tuple(config.fractions), labels=config.labels,
        splits=config.splits, append=config.append, overwrite=config.overwrite, progress=config.progress,
    )  # fmt: skip
    print(report.summary())
    print(f"what was skipped and why: {config.out}/report.json")
    print(open_store(config.out).summary())


if __name__ == "__main__":
    main()
