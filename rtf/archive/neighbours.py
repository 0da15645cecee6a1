"""Nearest fingerprints in one table of an archive, under filters.

Notable:
- LanceDB applies what it can before it ranks. The edge of a cone and `newest` are looked at afterwards: more
  rows are fetched until enough pass
- codes alone are all compared, by look-up tables (`coded.py`), or, where a fingerprint is no sum over the
  bytes of its code, turned into fingerprints by the model in batches
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rtf.archive.coded import Coded, code_array
from rtf.archive.rows import ArchiveError
from rtf.archive.where import Where, all_of, separation

#: Rows compared or looked at at once, where LanceDB does not do it.
_BATCH = 1 << 16
#: The index: rows in a partition, partitions looked at, and how many times k are compared exactly.
_PARTITION, _PROBES, _REFINE = 2048, 24, 10
_NAMES = 4096
_ORDER = ["mjd", "n_detections", "candid"]


def make_index(table) -> None:
    """An index of fingerprints by product quantisation, and those of names and candids for filters."""
    from lancedb.index import BTree, IvfPq

    rows = table.count_rows()
    width = table.schema.field("fingerprint").type.list_size
    parts = next((n for n in range(max(1, width // 4), 0, -1) if width % n == 0), 1)
    if rows < 256:
        raise ArchiveError(f"an index needs 256 rows or more; there are {rows}")
    partitions = max(1, min(rows // _PARTITION, 2 * math.isqrt(rows)))
    vectors = IvfPq(
        distance_type="cosine", num_partitions=partitions, num_sub_vectors=parts, max_iterations=20
    )
    table.create_index("fingerprint", config=vectors, replace=True)
    for column in ("object_id", "candid"):
        table.create_index(column, config=BTree(), replace=True)


def behind_index(table) -> int | None:
    """How many rows the index of fingerprints does not hold; None: there is none."""
    for index in table.list_indices():
        if "fingerprint" in index.columns:
            return table.index_stats(index.name).num_unindexed_rows
    return None


@dataclass
class Own:
    """The newest row of an object that is searched for."""

    survey: str
    object_id: str
    latent: np.ndarray


@dataclass
class Ask:
    """A question to one table."""

    table: Any
    k: int
    where: Where
    newest: bool
    exact: bool
    model: Any
    columns: list[str]  # that the answer has
    coded: Coded | None = None  # the table's codes

    @property
    def _codes_alone(self) -> bool:
        return "fingerprint" not in self.table.schema.names

    def _scan(self, asked: list, columns: list[str] | None = None):
        query = self.table.search()
        if asked:
            query = query.where(all_of(asked))
        return (query.select(columns) if columns else query).with_row_id(True)

    def object(self, name: str, folder: Path) -> Own:
        """The newest row of an object; of the survey asked for, where several have the name."""
        from lancedb.expr import col, lit

        kept = "code" if self._codes_alone else "fingerprint"
        columns = ["survey", "object_id", *_ORDER, kept]
        rows = self._scan([col("object_id") == lit(name)], columns).to_arrow()
        if not len(rows):
            raise ArchiveError(f"{folder} has no object {name!r}")
        surveys = pc.unique(rows["survey"]).to_pylist()
        survey = surveys[0] if len(surveys) == 1 else self.where.survey
        if survey not in surveys:
            raise ArchiveError(f"several surveys have an object {name!r}: choose survey={surveys[0]}")
        row = latest(rows.filter(pc.equal(rows["survey"], survey)))
        return Own(survey, name, self._latent(row)[0])

    def nearest(self, latent: np.ndarray, without: Own | None = None) -> pa.Table:
        """The k rows nearest to a fingerprint (F,) that pass."""
        from lancedb.expr import col, lit

        latent = self._checked(latent)
        asked = [*self.where.expressions(), *self.where.times(), *self.where.box()]
        if without is not None:
            own = (col("object_id") == lit(without.object_id)) & (col("survey") == lit(without.survey))
            asked.append(~own)
        plain = not self.newest and self.where.cone is None
        fetch = self.k if plain else 4 * self.k
        while True:
            ranked = self._ranked(latent, fetch, asked)
            kept = self._kept(ranked)
            if len(kept) >= self.k or len(ranked) < fetch:
                return self._shown(kept.slice(0, self.k))
            fetch *= 4

    def around(self) -> pa.Table:
        """The k rows nearest to the centre of the cone."""
        asked = [*self.where.expressions(), *self.where.times(), *self.where.box()]
        best = None
        for batch in self._scan(asked, self._read()).to_batches(batch_size=_BATCH):
            kept = self._kept(pa.Table.from_batches([batch]))
            best = kept if best is None else pa.concat_tables([best, kept])
            keys = [("separation", "ascending"), *((name, "descending") for name in _ORDER)]
            best = best.take(pc.sort_indices(best, keys)[: self.k])
        return self._shown(best if best is not None else self._kept(self._nothing()))

    def all_newest(self) -> pa.Table:
        """The newest row of each object that passes."""
        newest = None
        keys = self._scan(self.where.times(), ["survey", "object_id", *_ORDER])
        for batch in keys.to_batches(batch_size=16 * _BATCH):
            own = pa.Table.from_batches([batch])
            newest = latest(own if newest is None else pa.concat_tables([newest, own]))
        ids = [] if newest is None else newest["_rowid"].to_pylist()
        made = self._taken(ids) if ids else self._nothing()
        if asked := self.where.expressions():
            passing = []
            for batch in self._scan(asked, ["candid"]).to_batches(batch_size=16 * _BATCH):
                own = batch["_rowid"]
                passing.append(own.filter(pc.is_in(own, made["_rowid"].combine_chunks())))
            made = made.filter(pc.is_in(made["_rowid"], pa.chunked_array(passing, pa.uint64())))
        made = self._within(made)
        return self._shown(made.sort_by([("survey", "ascending"), ("object_id", "ascending")]))

    def nothing(self) -> pa.Table:
        return self._shown(self._nothing().add_column(0, "distance", pa.array([], pa.float32())))

    def _read(self) -> list[str]:
        """Columns that are read of each row: those of the answer, and those that are looked at."""
        looked = [] if self.where.cone is None else ["ra", "dec", *_ORDER]
        if self.newest:
            looked += ["survey", "object_id", *_ORDER]
        return list(dict.fromkeys([*self.columns, *looked]))

    def _nothing(self) -> pa.Table:
        return self.table.schema.empty_table().append_column("_rowid", pa.array([], pa.uint64()))

    def _taken(self, ids: list[int]) -> pa.Table:
        """Rows by their number, in this order."""
        found = self.table.take_row_ids(ids).select(self._read()).with_row_id().to_arrow()
        return found.take(pc.index_in(pa.array(ids, pa.uint64()), found["_rowid"].combine_chunks()))

    def _checked(self, latent: np.ndarray) -> np.ndarray:
        latent = np.asarray(latent, np.float32)
        if not np.isfinite(latent).all() or not latent.any():
            raise ArchiveError("a fingerprint that is not finite, or all zeros, has no neighbours")
        width = None if self._codes_alone else self.table.schema.field("fingerprint").type.list_size
        if width is not None and len(latent) != width:
            raise ArchiveError(f"the fingerprint has {len(latent)} numbers, those of the archive {width}")
        return latent

    def _latent(self, rows: pa.Table) -> np.ndarray:
        """(N, F) float32 fingerprints of rows."""
        if not self._codes_alone:
            column = rows["fingerprint"].combine_chunks()
            return column.flatten().to_numpy().reshape(len(column), -1)
        if self.model is None:
            raise ArchiveError("this archive keeps codes alone: name the model that made them (run=)")
        return np.asarray(self.model.from_code(code_array(rows["code"])), np.float32)

    def _ranked(self, latent: np.ndarray, fetch: int, asked: list) -> pa.Table:
        """Up to `fetch` rows by distance, after the filters of LanceDB."""
        if self._codes_alone:
            return self._ranked_codes(latent, fetch, asked)
        query = self.table.search(latent, vector_column_name="fingerprint").distance_type("cosine")
        if asked:
            query = query.where(all_of(asked), prefilter=True)
        if self.exact:
            query = query.bypass_vector_index()
        else:
            query = query.minimum_nprobes(_PROBES).maximum_nprobes(0).refine_factor(_REFINE)
        query = query.select([*self._read(), "_distance"])
        rows = query.limit(fetch).with_row_id(True).to_arrow()
        return rows.rename_columns(["distance" if n == "_distance" else n for n in rows.column_names])

    def _ranked_codes(self, latent: np.ndarray, fetch: int, asked: list) -> pa.Table:
        best, unit = None, latent / np.linalg.norm(latent)
        if self.coded is not None:
            return self._ranked_by_tables(unit, fetch, asked)
        for batch in self._scan(asked, ["code"]).to_batches(batch_size=_BATCH):
            rows = pa.Table.from_batches([batch])
            if not len(rows):
                continue
            there = self._latent(rows)
            if there.shape[1] != len(latent):
                raise ArchiveError(f"the fingerprint has {len(latent)} numbers, the model's {there.shape[1]}")
            distance = 1 - there @ unit / np.maximum(np.linalg.norm(there, axis=1), 1e-30)
            own = pa.table({"_rowid": rows["_rowid"], "distance": pa.array(distance, pa.float32())})
            best = own if best is None else pa.concat_tables([best, own])
            best = best.take(
                pc.sort_indices(best, [("distance", "ascending"), ("_rowid", "ascending")])[:fetch]
            )
        if best is None:
            return self._nothing().append_column("distance", pa.array([], pa.float32()))
        return self._taken(best["_rowid"].to_pylist()).append_column("distance", best["distance"])

    def _ranked_by_tables(self, unit: np.ndarray, fetch: int, asked: list) -> pa.Table:
        if len(unit) != len(self.coded.base):
            n = len(self.coded.base)
            raise ArchiveError(f"the fingerprint has {len(unit)} numbers, the model's {n}")
        among = self._scan(asked, ["candid"]).to_arrow()["_rowid"].to_numpy() if asked else None
        number, distance = self.coded.nearest(unit, fetch, among)
        if not len(number):
            return self._nothing().append_column("distance", pa.array([], pa.float32()))
        return self._taken(number.tolist()).append_column("distance", pa.array(distance, pa.float32()))

    def _kept(self, rows: pa.Table) -> pa.Table:
        """Rows inside the cone, and the newest of their objects where that is asked."""
        rows = self._within(rows)
        if not self.newest or not len(rows):
            return rows
        from lancedb.expr import col

        names, own = pc.unique(rows["object_id"]).to_pylist(), []
        for start in range(0, len(names), _NAMES):
            asked = [col("object_id").isin(names[start : start + _NAMES]), *self.where.times()]
            found = self._scan(asked, ["survey", "object_id", *_ORDER]).to_arrow()
            own.append(latest(found)["_rowid"])
        return rows.filter(
            pc.is_in(rows["_rowid"], pa.chunked_array([c for o in own for c in o.chunks], pa.uint64()))
        )

    def _within(self, rows: pa.Table) -> pa.Table:
        """Rows inside the cone, and their separation from its centre; all where no cone is asked for."""
        if self.where.cone is None:
            return rows
        ra, dec, radius = self.where.cone
        place = (rows[name].to_numpy() for name in ("ra", "dec"))
        apart = separation(*place, ra, dec)
        rows = rows.append_column("separation", pa.array(apart))
        return rows.filter(pa.array(apart <= radius))

    def _shown(self, rows: pa.Table) -> pa.Table:
        """Columns in their order: what was measured, then those of the archive."""
        first = [n for n in ("distance", "separation") if n in rows.column_names]
        if "distance" in first:  # float32 tells a fingerprint from itself by -1e-8
            apart = pc.max_element_wise(rows["distance"], pa.scalar(0, pa.float32()))
            rows = rows.set_column(rows.column_names.index("distance"), "distance", apart)
        return rows.select([*first, *self.columns])


def batches(table, columns: list[str], beyond: int, numbers: np.ndarray | None) -> Iterator[pa.Table]:
    """Rows of a table in batches, with their numbers; see `Archive.rows`."""
    if numbers is not None:
        for start in range(0, len(numbers), _NAMES):
            asked = np.asarray(numbers[start : start + _NAMES]).tolist()
            yield table.take_row_ids(asked).select(columns).with_row_id().to_arrow()
        return
    query = table.search()
    if beyond >= 0:
        query = query.where(f"_rowid > {int(beyond)}")
    for batch in query.select(columns).with_row_id(True).to_batches(batch_size=_BATCH):
        yield pa.Table.from_batches([batch])


def alerts_of(table, object_id: str, survey: str) -> pa.Table:
    """All rows of an object, oldest first; see `Archive.alerts_of`."""
    from lancedb.expr import col, lit

    asked = (col("object_id") == lit(str(object_id))) & (col("survey") == lit(str(survey)))
    rows = table.search().where(asked).with_row_id(True).to_arrow()
    return rows.take(pc.sort_indices(rows, [(name, "ascending") for name in _ORDER]))


def latest(rows: pa.Table) -> pa.Table:
    """The newest row of each object: the latest detection, of the most detections."""
    if not len(rows):
        return rows
    keys = [("survey", "ascending"), ("object_id", "ascending"), *((name, "descending") for name in _ORDER)]
    rows = rows.take(pc.sort_indices(rows, keys))
    first = np.zeros(len(rows), bool)
    first[0] = True
    for name in ("survey", "object_id"):
        column = rows[name].combine_chunks()
        first[1:] |= pc.not_equal(column[1:], column[:-1]).to_numpy(zero_copy_only=False)
    return rows.filter(pa.array(first))
