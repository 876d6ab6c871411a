"""Shards answer what one process answers. Here they are in this process: only what they say is tried; tests/cluster has them on Ray."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.asked import make
from support.sharded import make_sharded, next_page, questions, told

from vidsearch import open_index
from vidsearch.encoders._blas import hold_one_thread
from vidsearch.errors import BusyError, PartialIndexError, QueryError, UsageError
from vidsearch.query import Query
from vidsearch.service.cluster.grouping import assign, place
from vidsearch.service.cluster.index import ClusterIndex, LostError
from vidsearch.service.cluster.messages import Unopened
from vidsearch.service.cluster.shard import Shard
from vidsearch.service.sentences import Sentences
from vidsearch.service.versions import ServedIndex
from vidsearch.storage import manifest as manifests
from vidsearch.storage.manifest import SegmentRef

SAID = Sentences()  # of all: sentences that are encoded together round otherwise than alone


class Near:
    """Shards without a network between."""

    def __init__(self, root: Path, groups: int) -> None:
        self.groups, self._shards = groups, [Shard(root) for _ in range(groups)]
        self._group_of: dict[str, int] = {}
        self.away: set[int] = set()

    def open(self, segments: Sequence[SegmentRef]) -> dict[str, int]:
        self._group_of = assign(segments, self.groups, self._group_of)
        for group, shard in enumerate(self._shards):
            shard.open([segment for segment in segments if self._group_of[segment.uuid] == group])
        return self._group_of

    def lost(self) -> frozenset[int]:
        return frozenset()

    def nearest(self, questions: dict[int, Any]) -> dict[int, Any]:
        return self._asked("nearest", questions)

    def vectors(self, wanted: dict[int, Any]) -> dict[int, Any]:
        return self._asked("vectors", wanted)

    def _asked(self, method: str, wanted: dict[int, Any]) -> dict[int, Any]:
        if self.away & wanted.keys():
            raise LostError(self.away & wanted.keys())
        return {group: getattr(self._shards[group], method)(argument) for group, argument in wanted.items()}


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    """As `vidsearch serve` has it: products of several threads round differently from call to call."""
    hold_one_thread()


@pytest.fixture(scope="module", params=["flat", "ivfpq"])
def sharded(request, tmp_path_factory) -> Path:
    return make_sharded(tmp_path_factory.mktemp("sharded") / "index", request.param)


def on_shards(root: Path, groups: int = 3, *, strict: bool = False) -> tuple[ClusterIndex, Near]:
    shards = Near(root, groups)
    return ClusterIndex(root, SAID, shards, strict=strict), shards


@pytest.mark.parametrize("groups", [3])
def test_shards_answer_what_one_process_answers_page_by_page(sharded, groups):
    alone, (index, _) = ServedIndex(sharded, SAID), on_shards(sharded, groups)
    plans = set()
    for query in questions():
        asked: Query | None = query
        for _ in range(2):
            if asked is not None:
                (expected,), (found,) = alone.ask([asked]), index.ask([asked])
                assert told(found) == told(expected), asked
                plans.add(expected.certificate.plan if expected.certificate else "")
                asked = next_page(asked, expected)
    assert ("ivf" in plans) == any(segment.info["index"] == "ivfpq" for segment in index.segments)
    together = questions()[::7]
    assert [told(hits) for hits in index.ask(together)] == [told(hits) for hits in alone.ask(together)]


def test_what_a_lost_shard_holds_is_left_out_of_that_answer_alone(sharded):
    index, shards = on_shards(sharded)
    query = Query((("a red circle", 1.0),), k=50)
    (whole,) = index.ask([query])
    shards.away = {1}
    copy = index.own()
    (partial,) = copy.ask([query])
    assert len(partial.skipped) == 1
    assert partial.skipped[0].startswith("shards 2/3: ")
    assert not copy.lasting
    left = {segment.uuid for segment in copy.segments}
    (own,) = index.own().ask([query])
    assert told(own) == told(partial)
    rows = index.row_of
    kept = [hit.clip_id for hit in whole if owner(index, rows(hit.clip_id)) in left]
    assert [hit.clip_id for hit in partial][: len(kept)] == kept
    assert partial.rows == len(copy) < len(index)
    shards.away = set()
    assert told(index.own().ask([query])[0]) == told(whole)
    with pytest.raises(QueryError, match="the index has changed"):
        index.own().ask([Query(query.texts, k=50, cursor=partial.cursor)])


def owner(index: ClusterIndex, row: int) -> str:
    return next(segment.uuid for segment, end in zip(index.segments, index.offsets[1:], strict=True) if row < end)


def test_where_no_shard_answers_or_only_whole_answers_are_wanted_it_is_an_error(tmp_path):
    make(tmp_path / "index")
    query = Query(vector=open_index(tmp_path / "index").vector_of("c0"))
    index, shards = on_shards(tmp_path / "index")
    shards.away = {0, 1, 2}
    with pytest.raises(BusyError, match="none of 3 shards answers"):
        index.ask([query])
    strict, shards = on_shards(tmp_path / "index", strict=True)
    shards.away = {2}
    with pytest.raises(PartialIndexError, match="shards 2/3"):
        strict.ask([query])


def test_damage_that_a_shard_finds_is_left_out_as_in_one_process(tmp_path):
    root = make_sharded(tmp_path / "index", "ivfpq", rows=6000)
    chosen = manifests.read(root).segments[3].uuid
    for name in ("codes.pq4", "vectors.f16"):
        damaged = root / "segments" / chosen / name
        data = bytearray(damaged.read_bytes())
        data[::64] = bytes(byte ^ 0x55 for byte in data[::64])
        damaged.chmod(0o644)
        damaged.write_bytes(data)
        index, _ = on_shards(root)
        query = Query((("a red circle", 1.0),), exact=name == "vectors.f16")
        (found,), (expected,) = index.ask([query]), open_index(root).ask([query])
        assert [hit.clip_id for hit in found] == [hit.clip_id for hit in expected]
        assert len(found.skipped) == len(expected.skipped) == 1
        assert index.lasting


def test_a_shard_that_was_started_anew_says_what_it_has_not_opened(tmp_path):
    root = tmp_path / "index"
    make(root)
    segment = manifests.read(root).segments[0]
    shard = Shard(root)
    assert shard.vectors([(segment.uuid, open_index(root).offsets[:1])]) == Unopened(segment.uuid)
    shard.open([segment])
    (vectors,) = shard.vectors([(segment.uuid, open_index(root).offsets[:1])])
    assert (vectors == open_index(root).segments[0].vectors[:1]).all()


REFERENCES = st.lists(st.integers(1, 1000), min_size=1, max_size=30).map(
    lambda sizes: [SegmentRef(f"00000000-0000-0000-0000-{n:012x}", "0" * 64, rows) for n, rows in enumerate(sizes)]
)


@given(REFERENCES, st.integers(1, 8), st.integers(0, 30))
def test_segments_stay_where_they_were_and_groups_are_of_about_equal_rows(references, groups, before):
    known = assign(references[:before], groups, {})
    found = assign(references, groups, known)
    assert found.keys() == {reference.uuid for reference in references}
    assert all(found[uuid] == group for uuid, group in known.items())
    fresh = assign(references, groups, {})
    rows = [sum(reference.rows for reference in references if fresh[reference.uuid] == group) for group in range(groups)]
    assert max(rows) - min(rows) <= max(reference.rows for reference in references)


def test_replicas_of_a_shard_lie_on_different_machines_where_there_are_any():
    load = {"a": 0, "b": 0, "c": 0}
    where: dict[int, list[str]] = {0: [], 1: [], 2: []}
    for group in [0, 1, 2, 0, 1, 2]:
        node = place(group, where[group], load)
        where[group].append(node)
        load[node] += 1
    assert set(load.values()) == {2}
    assert all(len(set(nodes)) == 2 for nodes in where.values())
    with pytest.raises(UsageError, match="no machine"):
        place(0, [], {})
