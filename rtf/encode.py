"""Fingerprints of alerts: `python -m rtf.encode run=RUN input=ALERTS out=fingerprints.parquet`.

The input may be in any format that rtf.preprocess reads, or a store.
"""

from itertools import islice
from pathlib import Path

import hydra
from omegaconf import DictConfig

from rtf.entry import describe_errors, progress_bar, read_input, resolved

#: Sources encoded at a time, without stamps and with them (some 2 MB a source).
_CHUNK = {False: 16384, True: 512}


@hydra.main(version_base="1.3", config_path="../conf", config_name="encode")
@describe_errors
def main(config: DictConfig) -> None:
    import pyarrow as pa

    from rtf.analysis.fingerprints import fingerprint_table, load_probe, write_table
    from rtf.models.run import load

    config = resolved(config)
    model = load(config.run, config.device)
    histories, report = read_input(config, cutouts=model.needs_cutouts)
    probe, tables = load_probe(config.run), []
    with progress_bar("encoding", report.counts["objects"], config.progress) as advance:
        while chunk := list(islice(histories, _CHUNK[model.needs_cutouts])):
            tables.append(fingerprint_table(model, chunk, probe, progress=advance))
    table = pa.concat_tables(tables)
    write_table(table, Path(config.out))
    report.write(Path(f"{config.out}.report.json"))
    print(report.summary())
    print(f"{len(table):,} fingerprints: {config.out}; what was skipped and why: {config.out}.report.json")
    if table.schema.metadata[b"class_probabilities_from"] == b"none":
        print(f"no class probabilities: evaluate a probe first (python -m rtf.evaluate run={config.run})")


if __name__ == "__main__":
    main()
