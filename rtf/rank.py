"""Tonight's list by your marks: `python -m rtf.rank archive=DIR marks=marks.csv [nights=1] [k=100]`.

A linear probe on the fingerprints is fitted to what was marked interesting or boring; without a mark that is
interesting the strangest come first.
"""

import numpy as np
from omegaconf import DictConfig

from rtf.cli.command import command, resolved


@command("rank")
def main(config: DictConfig) -> None:
    config = resolved(config)
    rows, score, marked = rank(config)
    show(rows, score, marked, config)
    if config.out is not None:
        import pyarrow as pa

        from rtf.encoding.table import write_table

        columns = {"score": pa.array(score), "mark": pa.array(marked, pa.string())}
        for name, values in columns.items():
            rows = rows.append_column(name, values)
        write_table(rows, config.out)
        print(f"{len(rows):,} rows: {config.out}")


def rank(config: DictConfig):
    """The k first rows of the newest nights, a pyarrow.Table, their scores (k,), and their marks."""
    import pyarrow as pa

    from rtf.archive import ArchiveError, Where, open_archive
    from rtf.explorer.marks import INTERESTING, interest, read_marks

    archive = open_archive(config.archive, create=False)
    marks = read_marks(config.marks)
    newest = max(
        (float(np.max(rows["mjd"].to_numpy())) for rows in archive.rows(["mjd"], config.space) if len(rows)),
        default=np.nan,
    )
    rows = archive.newest(Where(since=newest - config.nights), config.space)
    if "fingerprint" not in rows.column_names:
        raise ArchiveError(f"{config.archive} keeps codes alone, of which no probe is fitted")
    names = list(zip(rows["survey"].to_pylist(), rows["object_id"].to_pylist(), strict=True))
    # what was marked on former nights counts as well
    former = [archive.alerts_of(name, survey, config.space) for survey, name in set(marks) - set(names)]
    former = [r.slice(len(r) - 1).select(rows.column_names) for r in former if len(r)]
    every = pa.concat_tables([rows, *former])
    names += list(zip(*(every[c].to_pylist()[len(rows) :] for c in ("survey", "object_id")), strict=True))
    column = every["fingerprint"].combine_chunks()
    latent = column.flatten().to_numpy().reshape(len(every), -1)
    marked = np.array([k for k, name in enumerate(names) if name in marks], np.int64)
    good = np.array([marks[names[k]][0] == INTERESTING for k in marked], bool)
    strange = every["strangeness"].fill_null(np.nan).to_numpy()
    score = interest(latent, marked, good, strange)[: len(rows)]
    order = np.argsort(-score, kind="stable")[: config.k]
    return rows.take(order), score[order], [marks.get(names[k], (None,))[0] for k in order.tolist()]


def show(rows, score: np.ndarray, marked: list, config: DictConfig) -> None:
    """A table of the list on the screen."""
    from rtf.console import say
    from rtf.documents import Table, to_rich

    shown = {"object_id": "", "mjd": ".3f", "n_detections": "", "most_probable": "", "strangeness": ".3f"}
    rows = rows.select([*shown])
    cells = [
        [str(place + 1), *("" if row[n] is None else format(row[n], style) for n, style in shown.items()),
         f"{value:.2f}", mark or ""]
        for place, (row, value, mark) in enumerate(zip(rows.to_pylist(), score, marked, strict=True))
    ]  # fmt: skip
    heading = {"n_detections": "detections", "most_probable": "class"}
    names = ["", *(heading.get(n, n) for n in shown), "score", "mark"]
    say(
        to_rich(
            Table(f"{config.archive}: the newest {config.nights:g} days, by {config.marks}", names, cells, ())
        )
    )


if __name__ == "__main__":
    main()
