"""What is left to do, against a real index: indexed, replaced, quarantined, retried, repeated, spilled."""

import os
from collections import Counter
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from indexer import plan as plans
from indexer.jobs import Way, bad_row_id, file_state
from indexer.known import KnownBad, KnownRows
from indexer.plan import WorkList, first_places
from indexer.readers.base import PLACE_SCHEMA, BadRow, Block, clip_id, clip_key
from indexer.rows import clips_table
from vidsearch.config import external_space
from vidsearch.storage import manifest as manifests
from vidsearch.storage import segment as segments
from vidsearch.storage.ledger import Tally
from vidsearch.storage.quarantine import quarantine_table
from vidsearch.storage.tombstones import bury

NOW = datetime(2026, 1, 2, tzinfo=UTC)


def row(source, start_s=0.0, end_s=None, there=True, **more):
    place = {"key": clip_key(source, start_s, end_s), "video": f"{source}.mp4", "there": there, "start_s": start_s, "end_s": end_s}
    return {**place, **more}


def block(rows, uncut=False):
    extra = [pa.field("caption", pa.string())] if any("caption" in row for row in rows) else []
    return Block(pa.Table.from_pylist(rows, pa.schema([*PLACE_SCHEMA, *extra])), uncut=uncut)


def name_of(clip):
    return clip_id(clip["key"])


def add(root, rows=(), quarantine=()):
    """Commit a segment: rows are (clip, more columns)."""
    manifests.create(root, external_space(2))
    place = {"start_s": 0.0, "end_s": 1.0, "duration_s": 1.0}
    records = [{"clip_id": name_of(clip), "video": clip["video"], **place, "embedded_from": "video", **more} for clip, more in rows]
    reference = segments.write(
        root,
        vectors=np.ones((len(records), 2), np.float16),
        rows=clips_table(records),
        index_files={},
        quarantine=quarantine_table({"video": "", "seen_at": NOW, **entry} for entry in quarantine),
        info={"index": "flat"},
    )
    manifests.commit(root, lambda manifest: manifest.with_segments([*manifest.segments, reference]))
    return reference


def plan(tmp_path, blocks, *, retry=(), **options):
    known = KnownRows(tmp_path / "index")
    manifests.create(tmp_path / "index", external_space(2))
    found = known.see(manifests.read(tmp_path / "index"))
    bad = KnownBad((segment.quarantine() for segment in found), retry)
    work = WorkList(rows=known, bad=bad, videos=tmp_path, scratch=tmp_path / "scratch", **options)
    for _ in work.read(blocks):
        pass
    return work


def to_decode(work):
    return [clip.id for job in work.jobs() for clip in job.clips]


A1, A2, B = row("a", 0, 1), row("a", 1, 2), row("b")


def test_indexed_and_repeated_rows_are_counted_and_left_out(tmp_path):
    add(tmp_path / "index", [(A2, {})])
    work = plan(tmp_path, [block([A1, A1, A2])])
    assert (work.clips, work.already, work.duplicates) == (1, 1, 1)
    assert to_decode(work) == [name_of(A1)]
    assert work.fresh == Tally.of(pa.array([name_of(A1)]))


def test_a_row_made_of_its_caption_is_decoded_when_the_video_is_there(tmp_path):
    away = row("c", there=False, caption="a cat")
    add(tmp_path / "index", [(B, {"embedded_from": "caption"}), (away, {"embedded_from": "caption"})])
    work = plan(tmp_path, [block([B, away])], from_captions=True)
    assert to_decode(work) == [name_of(B)]
    assert (work.already, work.fresh.clips) == (1, 0)


def test_rows_without_video_go_by_their_caption_when_that_is_asked_for(tmp_path):
    rows = [row("c", there=False, caption="a cat"), row("d", there=False, caption=None), row("e", there=False, caption="")]
    work = plan(tmp_path, [block(rows)], from_captions=True)
    assert [name for table in work.rows(Way.EMBED_CAPTION) for name in table["clip_id"].to_pylist()] == [name_of(rows[0])]
    assert [name for table in work.rows(Way.QUARANTINE) for name in table["clip_id"].to_pylist()] == [name_of(r) for r in rows[1:]]
    assert not work.videos
    assert plan(tmp_path, [block(rows)]).clips == 0


def entry_of(clip, reason, tmp_path, **more):
    size, mtime = file_state(tmp_path / clip["video"])
    return {"clip_id": name_of(clip), "reason": reason, "size_bytes": size, "mtime_ns": mtime, **more}


def test_a_quarantined_clip_waits_until_its_file_changes(tmp_path):
    (tmp_path / "b.mp4").write_bytes(b"bad")
    add(tmp_path / "index", quarantine=[entry_of(B, "DECODE_ERROR", tmp_path)])
    assert plan(tmp_path, [block([B])]).known_bad == {"DECODE_ERROR": 1}
    os.utime(tmp_path / "b.mp4", ns=(1, 1))
    work = plan(tmp_path, [block([B])])
    assert (to_decode(work), work.fresh.clips) == ([name_of(B)], 0)


@pytest.mark.parametrize(("attempts", "tries"), [(1, [1]), (2, [2]), (3, [])])
def test_what_may_pass_is_tried_three_times_in_all(tmp_path, attempts, tries):
    (tmp_path / "b.mp4").write_bytes(b"large")
    add(tmp_path / "index", quarantine=[entry_of(B, "DECODER_OOM", tmp_path, attempts=attempts)])
    assert [clip.tries for job in plan(tmp_path, [block([B])]).jobs() for clip in job.clips] == tries


def test_a_missing_video_is_known_until_it_is_there(tmp_path):
    add(tmp_path / "index", quarantine=[entry_of(B, "NOT_FOUND", tmp_path)])
    away = plan(tmp_path, [block([row("b", there=False)])])
    assert away.known_bad == {"NOT_FOUND": 1}
    assert not list(away.rows(Way.QUARANTINE))
    assert to_decode(plan(tmp_path, [block([B])])) == [name_of(B)]


@pytest.mark.parametrize(
    ("rule", "again"),
    [({"reason": None}, True), ({"reason": "DECODE_ERROR"}, True), ({"reason": "EMPTY"}, False), ({"reason": None, "before": -1}, False)],
)
def test_what_the_user_wants_tried_again_is_tried_again(tmp_path, rule, again):
    (tmp_path / "b.mp4").write_bytes(b"bad")
    add(tmp_path / "index", quarantine=[entry_of(B, "DECODE_ERROR", tmp_path, attempts=2)])
    before = NOW + timedelta(seconds=rule.pop("before", 1))
    work = plan(tmp_path, [block([B])], retry=[{**rule, "before": before.isoformat()}])
    assert to_decode(work) == [name_of(B)] * again


def test_a_deleted_clip_stays_away_unless_it_is_named(tmp_path):
    root = tmp_path / "index"
    reference = add(root, [(B, {})])
    manifests.commit(root, lambda manifest: bury(root, manifest, {reference.uuid: [0]}))
    add(root, quarantine=[{"clip_id": name_of(B), "reason": "DELETED"}])
    assert plan(tmp_path, [block([B])]).known_bad == {"DELETED": 1}
    later = (NOW + timedelta(days=1)).isoformat()
    assert not to_decode(plan(tmp_path, [block([B])], retry=[{"reason": None, "before": later}]))
    revived = plan(tmp_path, [block([B])], retry=[{"reason": "DELETED", "before": later}])
    assert (to_decode(revived), revived.fresh.clips) == ([name_of(B)], 0)


def test_the_newest_entry_of_a_clip_counts_wherever_it_lies(tmp_path):
    root = tmp_path / "index"
    (tmp_path / "b.mp4").write_bytes(b"bad")
    add(root, quarantine=[entry_of(B, "DECODE_ERROR", tmp_path, seen_at=NOW)])
    add(root, quarantine=[entry_of(B, "NOT_FOUND", tmp_path, seen_at=NOW - timedelta(days=1))])
    assert plan(tmp_path, [block([B])]).known_bad == {"DECODE_ERROR": 1}


def test_a_known_bad_row_is_not_reported_as_new(tmp_path):
    bad = BadRow("x", "x.mp4", "METADATA_INVALID", "no time")
    given = [Block(PLACE_SCHEMA.empty_table(), [bad, bad])]
    work = plan(tmp_path, given)
    assert [table["clip_id"].to_pylist() for table in work.rows(Way.QUARANTINE)] == [[bad_row_id(bad)]]
    assert (work.duplicates, work.fresh.clips) == (1, 1)
    add(tmp_path / "index", quarantine=[{"clip_id": bad_row_id(bad), "reason": bad.reason}])
    assert not list(plan(tmp_path, given).rows(Way.QUARANTINE))


def test_a_cut_video_is_done_when_all_its_shots_are(tmp_path):
    root = tmp_path / "index"
    (tmp_path / "v.mp4").write_bytes(b"a video")
    whole, shots = block([row("v")], uncut=True), [row("v", 0, 1), row("v", 1, 2), row("v", 2, 3)]
    add(root, [(shot, {"shot": n, "shots": 3}) for n, shot in enumerate(shots[:2])])
    half = plan(tmp_path, [whole], cut=True)
    assert [(job.video, job.uncut.id) for job in half.jobs()] == [("v.mp4", name_of(row("v")))]
    assert half.are_fresh("v.mp4", [name_of(shot) for shot in shots]) == [None, None, True]
    assert (half.uncut, half.clips, half.fresh.clips) == (1, 0, 0)
    last = {**entry_of(shots[2], "DECODE_ERROR", tmp_path), "video": "v.mp4", "start_s": 2.0, "end_s": 3.0}
    add(root, quarantine=[last])
    assert not list(plan(tmp_path, [whole], cut=True).jobs())
    os.utime(tmp_path / "v.mp4", ns=(1, 1))
    changed = plan(tmp_path, [whole], cut=True)
    assert changed.are_fresh("v.mp4", [name_of(shot) for shot in shots]) == [None, None, False]


def test_a_video_that_was_indexed_whole_is_left_whole(tmp_path):
    add(tmp_path / "index", [(row("v"), {})])
    assert not list(plan(tmp_path, [block([row("v")], uncut=True)], cut=True).jobs())


def test_many_rows_give_the_same_work_as_few_whatever_the_batches(tmp_path, monkeypatch):
    rng = np.random.default_rng(4)
    rows = [row(f"v{rng.integers(40)}", int(rng.integers(9)), 9.5, caption=f"text {n}") for n in range(900)]
    add(tmp_path / "index", [(rows[n], {}) for n in dict.fromkeys(rng.integers(900, size=3).tolist())])
    whole = plan(tmp_path, [block(rows)])
    monkeypatch.setattr(plans, "BATCH_ROWS", 100)
    spilled = plan(tmp_path, [block(rows[start : start + 60]) for start in range(0, 900, 60)])
    assert len(list((tmp_path / "scratch").iterdir())) > 1
    first = {name_of(clip): clip["caption"] for clip in reversed(rows)}
    for work in (whole, spilled):
        jobs = list(work.jobs())
        clips = [clip for job in jobs for clip in job.clips]
        assert Counter(job.video for job in jobs).most_common(1)[0][1] == 1  # a job has all clips of its video
        assert {clip.id: clip.metadata["caption"] for clip in clips} == {name: first[name] for name in {clip.id for clip in clips}}
        assert work.clips == len(clips) == len({clip.id for clip in clips})
    assert spilled.fresh == whole.fresh
    assert whole.duplicates + whole.already == spilled.duplicates + spilled.already == 900 - whole.clips
    with spilled:
        pass
    assert not (tmp_path / "scratch").exists()


def test_first_places_mark_each_value_once():
    assert first_places(pa.chunked_array([["b", "a", "b"], ["a", "c"]])).tolist() == [True, True, False, False, True]
    assert first_places(pa.chunked_array([], pa.string())).tolist() == []
