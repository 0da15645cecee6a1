"""The archive: a folder with a Lance table for each space.

Notable:
- one process adds at a time, under a lock; searches go on beside it, each on the version it found
- a batch is added whole or not at all, and what is there already is left out: `add`, killed at any moment and
  given again, ends with the same rows
- without an index a search compares every fingerprint; the index answers from about a hundredth of them and
  orders what it found by the exact distances
"""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa

from rtf.archive import neighbours
from rtf.archive.coded import Coded, no_rows
from rtf.archive.rows import (
    ANSWER,
    KEEP,
    ArchiveError,
    batches_of,
    new_rows,
    rows_of,
    space_of_table,
)
from rtf.archive.where import Where
from rtf.encoding.space import OtherSpace
from rtf.jobs import locked

#: From so many rows on an index is made by itself; below, comparing all is as fast.
INDEX_ROWS = 100_000
#: Tables are compacted when so many of their files are small.
SMALL_FILES = 64
#: Former versions are removed when they are older, so that a search that has begun can end.
_KEPT = timedelta(hours=1)
#: Bytes of an index, and of what tables say of themselves, that are kept in memory.
_INDEX_CACHE, _CACHE = 1 << 30, 1 << 28
_SPACE = re.compile(r"[0-9A-Za-z_-]{1,64}")


@dataclass
class Added:
    """What became of the rows that were to be added."""

    rows: int = 0  # new
    repeats: int = 0  # there already
    without: int = 0  # no finite fingerprint, time, name or number of detections


def lancedb():
    """The package, quiet; ArchiveError where it is not installed."""
    os.environ.setdefault("LANCE_LOG", "error")  # it warns of every table it makes
    try:
        import lancedb
    except ImportError as error:
        raise ArchiveError("the archive needs LanceDB: pip install rtf-fingerprints[archive]") from error
    return lancedb


def open_archive(folder: str | os.PathLike, create: bool = True) -> "Archive":
    """The archive in a folder.

    Parameters
    ----------
    folder : made by the first `add`
    create : whether it may be empty yet

    Raises
    ------
    ArchiveError : it holds no fingerprints and `create` is False, or LanceDB is not installed
    """
    archive = Archive(folder)
    if not create and not archive.spaces():
        raise ArchiveError(
            f"{folder} is no archive: make one (python -m rtf.archive archive={folder} "
            "add=fingerprints.parquet)"
        )
    return archive


class Archive:
    """Fingerprints of any number of sources, surveys and spaces; see `open_archive`."""

    def __init__(self, folder: str | os.PathLike) -> None:
        self.folder = Path(folder)
        self._lancedb = lancedb()
        self._codes: dict[str, tuple] = {}  # by space: a version of its table, and its codes

    @cached_property
    def _connection(self):
        """One for all searches, which share what it keeps in memory."""
        session = self._lancedb.Session(index_cache_size_bytes=_INDEX_CACHE, metadata_cache_size_bytes=_CACHE)
        return self._lancedb.connect(self.folder, session=session)

    def spaces(self) -> list[str]:
        """Spaces of which there are fingerprints."""
        # not LanceDB's listing: it has pages, and tables whose making was killed
        return sorted({p.parents[1].stem for p in self.folder.glob("*.lance/_versions/*.manifest")})

    def space(self, space: str | None = None) -> str:
        """The space of this name, or the only one.

        Raises
        ------
        OtherSpace : there is none of this name
        ArchiveError : none is named and there is not exactly one
        """
        there = self.spaces()
        if space is None:
            if len(there) != 1:
                has = (
                    f"has {len(there)} spaces, {', '.join(there)}: choose one with space="
                    if there
                    else "is empty"
                )
                raise ArchiveError(f"{self.folder} {has}")
            return there[0]
        if space not in there:
            has = f"of {', '.join(there)}" if there else "none at all"
            raise OtherSpace(
                f"{self.folder} has no fingerprints of space {space}, but {has}; only those of one space can "
                "be compared: encode with the run of the archive, or map one space to the other "
                "(python -m rtf.align)"
            )
        return space

    def count(self, space: str | None = None) -> int:
        """Number of rows of a space."""
        return self._table(space).count_rows()

    def keeps_codes_alone(self, space: str | None = None) -> bool:
        """Whether a search needs the model."""
        return "fingerprint" not in self._table(space).schema.names

    def add(self, source, survey: str = "ztf", keep: str = "all", progress: Callable | None = None) -> Added:
        """Add fingerprints; those that are there already change nothing.

        Memory does not grow with the rows. An index is kept up to date; one is made when it pays.

        Parameters
        ----------
        source : pa.Table of `rtf/encoding/table.py`, a parquet file, or a folder of them
        survey : whose names and candids they have
        keep : "all", or "code": codes alone, without the floats; a search then needs the model. The first
            rows of a space decide
        progress : called with the number of rows done

        Raises
        ------
        ArchiveError : no such table
        OtherSpace : a table mixes spaces
        """
        if keep not in KEEP:
            raise ArchiveError(f"keep is {keep!r}; it must be one of {', '.join(KEEP)}")
        added, spaces = Added(), set()
        with locked(self.folder / ".adding.lock", lambda: False):
            for name, table in batches_of(source, "the table"):
                if len(table):
                    spaces.add(self._add(table, str(survey), keep, name, added))
                if progress is not None:
                    progress(len(table))
            for space in sorted(spaces):
                self._tend(space)
        return added

    def _add(self, table: pa.Table, survey: str, keep: str, name: str, added: Added) -> str:
        space = space_of_table(table, name)
        if not _SPACE.fullmatch(space):
            raise ArchiveError(f"{name}: {space!r} is no name of a space")
        there = self._table(space) if space in self.spaces() else None
        if there is not None and "fingerprint" not in there.schema.names:
            keep = "code"
        rows, without = rows_of(table, survey, keep, name)
        added.without += without
        added.repeats += len(table) - without - len(rows)
        if there is not None:
            rows = fitting(rows, there, name)
        elif len(rows):
            there = self._connection.create_table(space, schema=rows.schema)
        if len(rows):
            new = new_rows(rows, there)
            if len(new):
                there.add(new)
            added.rows += len(new)
            added.repeats += len(rows) - len(new)
        if len(rows) and there.stats()["fragment_stats"]["num_small_fragments"] > SMALL_FILES:
            there.optimize(cleanup_older_than=_KEPT)
        return space

    def _tend(self, space: str) -> None:
        """Make the index where it pays, and add to it what it does not hold yet."""
        if space not in self.spaces():
            return
        table = self._table(space)
        if "fingerprint" not in table.schema.names:
            return
        rows = table.count_rows()
        behind = neighbours.behind_index(table)
        if behind is None and rows >= INDEX_ROWS:
            neighbours.make_index(table)
        elif behind is not None and behind > rows // 10:
            table.optimize(cleanup_older_than=_KEPT)

    def compact(self, space: str | None = None) -> None:
        """Join small files, bring the index up to date, and remove versions older than an hour."""
        with locked(self.folder / ".adding.lock", lambda: False):
            self._table(space).optimize(cleanup_older_than=_KEPT)

    def index(self, space: str | None = None) -> None:
        """Make the index anew, from all rows."""
        with locked(self.folder / ".adding.lock", lambda: False):
            table = self._table(space)
            if "fingerprint" not in table.schema.names:
                raise ArchiveError(f"{self.folder} keeps codes alone, of which there is no index")
            neighbours.make_index(table)

    def search(
        self,
        fingerprint: np.ndarray | None = None,
        k: int = 10,
        *,
        object_id: str | None = None,
        where: Where | None = None,
        newest: bool = False,
        space: str | None = None,
        exact: bool = False,
        model=None,
        columns: Sequence[str] | str = ANSWER,
    ) -> pa.Table:
        """The k rows nearest to a fingerprint, to an object, or to a place on the sky.

        Parameters
        ----------
        fingerprint : (F,), or (Q, F) for Q searches, whose rows the column `query` tells apart
        object_id : search with the newest fingerprint of this object; its own rows are not among the answers
        where : filters. With neither fingerprint nor object_id its cone is searched, by separation
        newest : of each object only the newest row, in the time that `where` allows, takes part
        space : needed where the archive has several
        exact : compare every fingerprint, past the index
        model : `rtf.load(run)`, for an archive that keeps codes alone
        columns : names of the archive's columns (`rtf/archive/rows.py`) that the answer has, or "all", which
            takes half as long again

        Returns
        -------
        `columns`, and before them `query` (of several), `distance` (cosine, 0 to 2) and `separation` [arcsec]
        (of a cone); nearest first

        Raises
        ------
        ArchiveError : no such object or column, or a question that makes no sense
        OtherSpace : the space, or that of `model`, is not there
        """
        where = Where() if where is None else where
        if isinstance(k, bool) or not isinstance(k, (int, np.integer)) or k < 1:
            raise ArchiveError(f"k is {k!r}; it must be a whole number above 0")
        if fingerprint is not None and object_id is not None:
            raise ArchiveError("a search is by fingerprint or by object_id, not by both")
        if space is None and model is not None:
            space = model.space
        table = self._table(space)
        if model is not None and self.space(space) != model.space:
            raise OtherSpace(f"the model is of space {model.space}, the search in space {space}")
        ask = neighbours.Ask(
            table, int(k), where, newest, exact, model, self._columns(table, columns),
            self._coded(table, self.space(space), model),
        )  # fmt: skip
        if object_id is not None:
            own = ask.object(str(object_id), self.folder)
            return ask.nearest(own.latent, without=own)
        if fingerprint is not None:
            queries = np.asarray(fingerprint, np.float32)
            if queries.ndim not in (1, 2):
                raise ArchiveError(f"fingerprints are (F,) or (Q, F), not {queries.shape}")
            if queries.ndim == 1:
                return ask.nearest(queries)
            if not len(queries):
                return _named(ask.nothing(), 0)
            return pa.concat_tables([_named(ask.nearest(q), n) for n, q in enumerate(queries)])
        if where.cone is not None:
            return ask.around()
        raise ArchiveError("search for what? Give a fingerprint, an object or a position")

    def _coded(self, table, space: str, model) -> Coded | None:
        """The codes of a table without floats, kept in memory from search to search."""
        if model is None or "fingerprint" in table.schema.names:
            return None
        version, known = self._codes.get(space) or (
            None, no_rows(model.from_code, table.schema.field("code").type.byte_width)
        )  # fmt: skip
        if known is not None and version != table.version:
            known = known.with_rows(neighbours.batches(table, ["code"], known.last, None))
            if len(known.number) != table.count_rows():  # compacted: rows have new numbers
                known = known.empty().with_rows(neighbours.batches(table, ["code"], -1, None))
        self._codes[space] = table.version, known
        return known

    def _columns(self, table, asked: Sequence[str] | str) -> list[str]:
        """The columns of a table that are asked for."""
        there = table.schema.names
        if asked is ANSWER or asked == "all":
            return [n for n in there if asked == "all" or n in ANSWER]
        asked = [asked] if isinstance(asked, str) else list(asked)
        if unknown := [n for n in asked if n not in there]:
            raise ArchiveError(f"{self.folder} has no column {unknown[0]!r}; it has {', '.join(there)}")
        return asked

    def newest(self, where: Where | None = None, space: str | None = None) -> pa.Table:
        """The newest row of each object, by survey and name; memory grows with the number of objects.

        Of rows in the time that `where` allows; its other filters then leave objects out.
        """
        table = self._table(space)
        names = table.schema.names
        return neighbours.Ask(table, 1, where or Where(), True, False, None, names).all_newest()

    def rows(
        self,
        columns: list[str],
        space: str | None = None,
        beyond: int = -1,
        numbers: np.ndarray | None = None,
    ) -> Iterator[pa.Table]:
        """Rows in batches, with the column `_rowid`: their numbers, which grow with every addition.

        After `compact` rows have new numbers, above all former ones.

        Parameters
        ----------
        columns : those to read; of them those that the archive does not have are left out
        beyond : only rows with higher numbers
        numbers : only these rows, in any order; those that are gone are left out
        """
        table = self._table(space)
        return neighbours.batches(table, [c for c in columns if c in table.schema.names], beyond, numbers)

    def alerts_of(self, object_id: str, survey: str, space: str | None = None) -> pa.Table:
        """All rows of an object with the columns of the archive and `_rowid`, oldest first; maybe none."""
        return neighbours.alerts_of(self._table(space), object_id, survey)

    def version(self, space: str | None = None) -> int:
        """A number that grows with every change of a space."""
        return self._table(space).version

    def _table(self, space: str | None):
        space = self.space(space)
        try:
            return self._connection.open_table(space)
        except (RuntimeError, ValueError) as error:  # of whatever is wrong in a Lance table
            raise ArchiveError(f"{self.folder}: the table of space {space} is damaged: {error}") from error


def _named(found: pa.Table, query: int) -> pa.Table:
    return found.add_column(0, "query", pa.repeat(pa.scalar(query, pa.int32()), len(found)))


def fitting(rows: pa.Table, there, name: str) -> pa.Table:
    """Rows with the columns of a table; the table gains those of a class that it does not know."""
    schema = there.schema
    ours = "fingerprint" in rows.column_names
    if "fingerprint" in schema.names and not ours:
        raise ArchiveError(
            f"this space keeps floats, and keep=code would keep none of {name}: leave keep out"
        )
    for field in rows.schema:
        if field.name in schema.names and schema.field(field.name).type != field.type:
            raise ArchiveError(
                f"{name}: {field.name} is {field.type}, in the archive {schema.field(field.name).type}"
            )
    unknown = [f for f in rows.schema if f.name not in schema.names and f.name.startswith("p_")]
    if unknown:
        there.add_columns(unknown)
        schema = there.schema
    columns = {
        f.name: rows[f.name] if f.name in rows.column_names else pa.nulls(len(rows), f.type) for f in schema
    }
    return pa.table(columns, schema=schema)
