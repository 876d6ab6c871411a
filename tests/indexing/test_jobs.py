import os

import pyarrow as pa

from indexer.jobs import KnownBad, bad_row_id, file_state, plan_work
from indexer.readers.base import PLACE_SCHEMA, BadRow, Block, clip_id, clip_key


def row(source, video, start_s=0.0, end_s=None, there=True):
    return {"key": clip_key(source, start_s, end_s), "video": video, "there": there, "start_s": start_s, "end_s": end_s}


A1, A2, B1 = row("a", "a.mp4", 0, 1), row("a", "a.mp4", 1, 2), row("b", "b.mp4")


def plan(rows, tmp_path, *, indexed=(), quarantined=None):
    clips = [row for row in rows if not isinstance(row, BadRow)]
    block = Block(pa.Table.from_pylist(clips, PLACE_SCHEMA), [row for row in rows if isinstance(row, BadRow)])
    return plan_work([block], videos=tmp_path, indexed=set(indexed), quarantined=quarantined or {})


def test_clips_of_one_video_become_one_job(tmp_path):
    work = plan([A1, B1, A2], tmp_path)
    assert [(job.video, job.spans) for job in work.jobs] == [("a.mp4", ((0, 1), (1, 2))), ("b.mp4", ((0, None),))]
    assert work.clips == 3


def test_indexed_and_repeated_rows_are_counted_and_left_out(tmp_path):
    work = plan([A1, A1, A2], tmp_path, indexed=[clip_id(A2["key"])])
    assert (work.clips, work.already, work.duplicates) == (1, 1, 1)


def test_a_quarantined_clip_waits_until_its_file_changes(tmp_path):
    (tmp_path / "b.mp4").write_bytes(b"bad")
    known = {clip_id(B1["key"]): KnownBad("DECODE_ERROR", *file_state(tmp_path / "b.mp4"))}
    assert plan([B1], tmp_path, quarantined=known).known_bad == {"DECODE_ERROR": 1}
    os.utime(tmp_path / "b.mp4", ns=(1, 1))
    assert plan([B1], tmp_path, quarantined=known).clips == 1


def test_a_known_bad_row_is_not_reported_as_new(tmp_path):
    row = BadRow("x", "x.mp4", "NOT_FOUND", "no video")
    assert plan([row], tmp_path).bad == [row]
    assert plan([row], tmp_path, quarantined={bad_row_id(row): KnownBad("NOT_FOUND", 0, 0)}).bad == []


def test_clip_ids_depend_on_source_and_times_alone():
    assert clip_id(clip_key("a", 0, 1)) == clip_id(clip_key("a", 0.0, 1.0))
    assert len({clip_id(clip["key"]) for clip in (A1, A2, B1)}) == 3
    assert len(clip_id(A1["key"])) == 20


def test_a_clip_without_its_video_is_told_apart_from_rows_that_are_wrong(tmp_path):
    work = plan([row("c", "c", there=False)], tmp_path)
    assert [clip.video for clip in work.missing] == ["c"]
    assert not work.bad
    assert (
        plan([row("c", "c", there=False)], tmp_path, quarantined={clip_id(clip_key("c", 0, None)): KnownBad("NOT_FOUND", 0, 0)}).missing
        == []
    )
