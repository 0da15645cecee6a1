"""Fingerprints of alerts: `python -m rtf.encode run=RUN input=ALERTS out=fingerprints.parquet`.

The input may be in any format that rtf.preprocess reads, or a store.
"""

from pathlib import Path

import hydra
from hydra.utils import instantiate
from omegaconf import DictConfig

from rtf.entry import describe_errors, progress_bar, resolved


@hydra.main(version_base="1.3", config_path="../conf", config_name="encode")
@describe_errors
def main(config: DictConfig) -> None:
    from rtf.alerts.read import read_histories
    from rtf.alerts.report import ReadReport
    from rtf.analysis.fingerprints import fingerprint_table, load_probe, write_table
    from rtf.models.run import load
    from rtf.store.store import open_store

    config = resolved(config)
    model = load(config.run, config.device)
    report = ReadReport()
    if (Path(config.input) / "zarr.json").exists():
        histories = list(open_store(config.input).histories(cutouts=False))
        report.count("objects", len(histories))
    else:
        reader = instantiate(config.reader, _convert_="all")
        histories = read_histories(config.input, reader, report=report, progress=config.progress)
    with progress_bar("encoding", len(histories), config.progress) as advance:
        table = fingerprint_table(model, histories, load_probe(config.run), progress=advance)
    write_table(table, Path(config.out))
    report.write(Path(f"{config.out}.report.json"))
    print(report.summary())
    print(f"{len(table):,} fingerprints: {config.out}; what was skipped and why: {config.out}.report.json")
    if table.schema.metadata[b"class_probabilities_from"] == b"none":
        print(f"no class probabilities: evaluate a probe first (python -m rtf.evaluate run={config.run})")


if __name__ == "__main__":
    main()
