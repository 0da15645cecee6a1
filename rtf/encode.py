"""Fingerprints of alerts: `python -m rtf.encode input=ALERTS out=fingerprints.parquet [run=RUN]`.

The input may be in any format that rtf.preprocess reads, or a store, of any size; or a HATS catalogue of
light curves. With `shards` it is divided among jobs.
"""

from functools import partial
from pathlib import Path

from hydra.utils import instantiate
from omegaconf import DictConfig

from rtf.cli.command import command, resolved
from rtf.jobs import chosen_shard, named


@command("encode")
def main(config: DictConfig) -> None:
    encode(resolved(config))


def encode(config: DictConfig) -> None:
    """Encode the shard that the settings ask for, and say what became of it."""
    from rtf.encoding.catalogue import encode_catalogue, is_catalogue
    from rtf.encoding.night import encode_night
    from rtf.encoding.shipped import fitting_model, run_folder
    from rtf.workers import in_processes

    catalogue = is_catalogue(Path(config.input))
    is_store = (Path(config.input) / "zarr.json").exists()
    reader = None if is_store else partial(instantiate, config.reader, _convert_="all")
    if config.run == "auto" and catalogue:
        config.run = "ztf"
    elif config.run == "auto":
        # in a process of its own: a file that ends it ends no more
        asked = [(config.input, reader)], 0 if config.workers == 0 else 1
        (_, survey), *_ = in_processes(survey_of, *asked, died=lambda *_: "ztf")
        config.run = str(fitting_model(survey=survey))
    config.run = str(run_folder(config.run))
    if catalogue:
        counts = encode_catalogue(
            config.run, config.input, config.out, columns=config.catalogue, dask=config.dask,
            workers=config.workers, progress=config.progress,
        )  # fmt: skip
        print(f"{counts['objects']:,} objects, {counts['without']:,} without a fingerprint: {config.out}")
        return
    shard = chosen_shard(config.shards, config.shard)
    report, missing = encode_night(
        config.run, config.input, config.out, reader, shard,
        per=config.per, workers=config.workers, device=config.device, progress=config.progress,
    )  # fmt: skip
    if missing:
        print(f"{shard} is done; {config.out} still waits for {named(missing)} of {shard.of}")
    else:
        _say_done(config, report)


def survey_of(path: str, reader) -> str:
    """Name of the survey of a store (`reader` None), or of the first source that can be read; else ztf."""
    from rtf.alerts.report import ReadReport
    from rtf.store.read import open_store

    if reader is None:
        return open_store(path).survey.name
    reader = reader(cutouts=False)
    found = (h for unit in reader.units(Path(path)) for h in reader.read(unit, ReadReport()))
    return next((history.survey.name for history in found), "ztf")


def _say_done(config: DictConfig, report) -> None:
    import pyarrow.parquet as pq

    file = pq.ParquetFile(config.out)
    print(report.summary(), *report.first_items(), sep="\n")
    print(f"{file.metadata.num_rows:,} fingerprints: {config.out}")
    print(f"what was skipped and why: {config.out}.report.json")
    if file.schema_arrow.metadata[b"class_probabilities_from"] == b"none":
        print(f"no class probabilities: evaluate a probe first (python -m rtf.evaluate run={config.run})")


if __name__ == "__main__":
    main()
