"""The merge rule: the same detections whatever the order of packets and files, live and in a store."""

from dataclasses import dataclass, field

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from rtf.alerts.history import METADATA_FIELDS, from_columns
from rtf.alerts.merge import merge_objects
from rtf.alerts.report import ReadReport
from rtf.store.build import preprocess
from rtf.store.read import open_store
from tests.sources import merge

#: Few values of each, so that copies of a detection agree in some columns and differ in others.
ROW = st.tuples(
    st.sampled_from([100.0, 100.00001, 101.0]),
    st.integers(0, 1),
    st.sampled_from([18.9, 19.0]),
    st.sampled_from([0.1, 0.2]),
    st.sampled_from([-1, 1, 2]),
    st.sampled_from([np.nan, 1.0, 2.0]),
    st.sampled_from([None, (b"a", b"b", b"c"), (b"a", b"b", b"d"), (b"a", None, None)]),
)
PACKETS = st.lists(st.tuples(st.sampled_from("AB"), st.lists(ROW, max_size=4)), min_size=1, max_size=6)


def history(name: str, rows: list):
    mjd, band, mag, magerr, candid, known, cutouts = zip(*rows) if rows else [[]] * 7
    metadata = np.full((len(rows), len(METADATA_FIELDS)), np.nan, np.float32)
    metadata[:, 3] = known
    stamps = [c or (None, None, None) for c in cutouts]
    return from_columns(name, mjd, band, mag, magerr, metadata=metadata, candid=candid, cutouts=stamps)


@dataclass
class Files:
    """A reader of histories that lie in memory, one a file."""

    order: list = field(default_factory=list)

    def units(self, path) -> list:
        return list(range(len(self.order)))

    def read(self, unit, report):
        yield self.order[unit]


def bits(histories: list) -> list:
    columns = ("mjd", "band", "mag", "magerr", "candid", "metadata")
    return [(h.object_id, *(getattr(h, c).tobytes() for c in columns), h.cutouts) for h in histories]


@given(PACKETS, st.randoms(use_true_random=False))
def test_the_order_of_packets_changes_nothing(packets, random):
    histories = [history(*p) for p in packets]
    shuffled = random.sample(histories, len(histories))
    assert bits(merge_objects(histories, ReadReport())) == bits(merge_objects(shuffled, ReadReport()))


@settings(max_examples=25, deadline=None)
@given(PACKETS.filter(lambda p: any(rows for _, rows in p)), st.randoms(use_true_random=False))
def test_a_store_holds_what_live_alerts_give(tmp_path_factory, packets, random):
    histories = [history(*p) for p in packets]
    files = Files(random.sample(histories, len(histories)))
    out = tmp_path_factory.mktemp("store") / "s.zarr"
    preprocess(files, "in", out, workers=0, progress=False, fractions=None)
    live = merge_objects(histories, ReadReport())
    assert bits(list(open_store(out).histories())) == bits(live)


def test_of_two_copies_of_a_detection_the_same_one_stays_either_way():
    a, b = (
        from_columns("A", [t], [0], [m], [0.1], candid=[5]) for t, m in ((100.0, 19.0), (100.00001, 18.9))
    )
    assert bits([merge([a, b])[0]]) == bits([merge([b, a])[0]]) and merge([a, b])[1] == 1


def test_the_richest_copy_stays_whatever_its_values():
    poor = history("A", [(100.0, 0, 18.0, 0.1, 5, np.nan, None)])
    rich = history("A", [(101.0, 0, 19.0, 0.2, 5, 1.0, None)])
    richest = history("A", [(102.0, 0, 20.0, 0.2, 5, np.nan, (b"s", b"t", b"d"))])
    assert merge([poor, rich])[0].mag == [19.0]
    assert merge([richest, rich, poor])[0].mag == [20.0]
