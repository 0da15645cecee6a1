"""Fingerprints of alerts: `python -m rtf.encode run=RUN input=ALERTS out=fingerprints.parquet`.

The input may be in any format that rtf.preprocess reads, or a store. With `shards` it is divided among jobs.
"""

from itertools import islice
from pathlib import Path

from hydra.utils import instantiate
from omegaconf import DictConfig

from rtf.cli.command import command, progress_bar, read_input, resolved
from rtf.jobs import WHOLE, Shard, chosen_shard, named

#: Sources encoded at a time, without stamps and with them (some 2 MB a source).
_CHUNK = {False: 16384, True: 512}


@command("encode")
def main(config: DictConfig) -> None:
    config = resolved(config)
    shard = chosen_shard(config.shards, config.shard)
    if shard.of == 1:
        encode(config)
    else:
        encode_shard(config, shard)


def encode(config: DictConfig) -> None:
    """The whole input in one go."""
    from rtf.encoding.load import load
    from rtf.encoding.table import write_table

    model = load(config.run, config.device)
    histories, report = read_input(config, cutouts=model.needs_cutouts)
    table = _table(config, model, histories, report)
    write_table(table, Path(config.out))
    report.write(Path(f"{config.out}.report.json"))
    _say_done(config, report)


def encode_shard(config: DictConfig, shard: Shard) -> None:
    """One shard of the input, unless it is done already; and the merging, if it is the last."""
    from rtf.encoding import shards as parts
    from rtf.encoding.load import load
    from rtf.store.read import open_store

    out = Path(config.out)
    model = load(config.run, config.device)
    is_store = (Path(config.input) / "zarr.json").exists()
    if is_store:
        source = open_store(config.input)
    else:
        source = instantiate(config.reader, _convert_="all", cutouts=model.needs_cutouts)
    settings = parts.settings_digest(config.run, config.input, source)
    if parts.merged_report(out, settings) is None and parts.part_report(out, shard, settings) is None:
        if is_store:
            chunk = _CHUNK[model.needs_cutouts]
            histories, report = parts.shard_of_store(source, shard, chunk, model.needs_cutouts)
        else:
            histories, report = parts.shard_of_alerts(config.input, source, shard, config.progress)
        table = _table(config, model, iter(histories), report, shard)
        parts.write_part(out, shard, settings, table, report)
        print(f"{shard}: {report.counts['objects']:,} fingerprints")
    report, missing = parts.merge_parts(out, shard.of, settings, not is_store, config.input)
    if missing:
        print(f"{shard} is done; {config.out} still waits for {named(missing)} of {shard.of}")
    else:
        _say_done(config, report)


def _table(config: DictConfig, model, histories, report, shard: Shard = WHOLE):
    """The table of fingerprints, encoded chunk by chunk; None without a source."""
    import pyarrow as pa

    from rtf.alerts.read import nothing_message
    from rtf.alerts.report import NothingReadable
    from rtf.encoding.table import fingerprint_table, load_probe

    probe, tables = load_probe(config.run, model.space), []
    with progress_bar(shard.label("encoding"), report.counts["objects"], config.progress) as advance:
        while chunk := list(islice(histories, _CHUNK[model.needs_cutouts])):
            tables.append(fingerprint_table(model, chunk, probe, report, str(config.input), advance))
    tables = [table for table in tables if len(table)]
    if not tables and shard.of == 1:
        raise NothingReadable(nothing_message(config.input, report))
    return pa.concat_tables(tables) if tables else None


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
