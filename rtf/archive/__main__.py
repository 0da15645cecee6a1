"""An archive of fingerprints: `python -m rtf.archive archive=DIR add=fingerprints.parquet`."""

from pathlib import Path

from omegaconf import DictConfig

from rtf.cli.command import command, progress_bar, resolved


@command("archive")
def main(config: DictConfig) -> None:
    from rtf.archive import open_archive

    config = resolved(config)
    archive = open_archive(config.archive, create=config.add is not None)
    if config.add is not None:
        with progress_bar("adding", rows_of_files(Path(config.add)), config.progress) as advance:
            added = archive.add(config.add, survey=config.survey, keep=config.keep, progress=advance)
        print(f"{added.rows:,} rows added, {added.repeats:,} were there already")
        if added.without:
            print(f"{added.without:,} without a finite fingerprint were left out")
    if config.compact:
        archive.compact(config.space)
    if config.index:
        archive.index(config.space)
    for space in archive.spaces():
        print(f"space {space}: {archive.count(space):,} rows in {config.archive}")


def rows_of_files(path: Path) -> int | None:
    """Rows of a parquet file, or of those in a folder; None where that cannot be told."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return sum(
            pq.read_metadata(p).num_rows for p in (path.rglob("*.parquet") if path.is_dir() else [path])
        )
    except (OSError, pa.ArrowInvalid):
        return None


if __name__ == "__main__":
    main()
