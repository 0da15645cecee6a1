"""Alerts in any format to a store: `python -m rtf.preprocess input=ALERTS out=store.zarr`.

With `shards` the input is divided among jobs.
"""

from hydra.utils import instantiate
from omegaconf import DictConfig

from rtf.cli.command import command, resolved
from rtf.jobs import chosen_shard, named


@command("preprocess")
def main(config: DictConfig) -> None:
    from rtf.store.build import preprocess_shard
    from rtf.store.read import open_store

    config = resolved(config)
    shard = chosen_shard(config.shards, config.shard)
    report, missing = preprocess_shard(
        instantiate(config.reader, _convert_="all"), config.input, config.out, shard,
        workers=config.workers, seed=config.seed, fractions=tuple(config.fractions), labels=config.labels,
        splits=config.splits, append=config.append, overwrite=config.overwrite, progress=config.progress,
    )  # fmt: skip
    if missing:
        print(f"{shard} has read {report.summary()}; {config.out} still waits for {named(missing)}")
        return
    print(report.summary(), *report.first_items(), sep="\n")
    print(f"what was skipped and why: {config.out}/report.json")
    print(open_store(config.out).summary())


if __name__ == "__main__":
    main()
