import os

from indexer.jobs import KnownBad, bad_row_id, clip_id, file_state, plan_work
from indexer.readers.base import BadRow, ClipRow

A1, A2, B1 = ClipRow("a", "a.mp4", 0, 1), ClipRow("a", "a.mp4", 1, 2), ClipRow("b", "b.mp4")


def plan(rows, tmp_path, *, indexed=(), quarantined=None):
    return plan_work(rows, videos=tmp_path, indexed=set(indexed), quarantined=quarantined or {})


def test_clips_of_one_video_become_one_job(tmp_path):
    work = plan([A1, B1, A2], tmp_path)
    assert [(job.video, job.clips) for job in work.jobs] == [("a.mp4", (A1, A2)), ("b.mp4", (B1,))]
    assert work.clips == 3


def test_indexed_and_repeated_rows_are_counted_and_left_out(tmp_path):
    work = plan([A1, A1, A2], tmp_path, indexed=[clip_id(A2)])
    assert (work.clips, work.already, work.duplicates) == (1, 1, 1)


def test_a_quarantined_clip_waits_until_its_file_changes(tmp_path):
    (tmp_path / "b.mp4").write_bytes(b"bad")
    known = {clip_id(B1): KnownBad("DECODE_ERROR", *file_state(tmp_path / "b.mp4"))}
    assert plan([B1], tmp_path, quarantined=known).known_bad == {"DECODE_ERROR": 1}
    os.utime(tmp_path / "b.mp4", ns=(1, 1))
    assert plan([B1], tmp_path, quarantined=known).clips == 1


def test_a_known_bad_row_is_not_reported_as_new(tmp_path):
    row = BadRow("x", "x.mp4", "NOT_FOUND", "no video")
    assert plan([row], tmp_path).bad == [row]
    assert plan([row], tmp_path, quarantined={bad_row_id(row): KnownBad("NOT_FOUND", 0, 0)}).bad == []


def test_clip_ids_depend_on_source_and_times_alone():
    assert clip_id(A1) == clip_id(ClipRow("a", "moved/a.mp4", 0.0, 1.0, {"caption": "new"}))
    assert len({clip_id(row) for row in (A1, A2, B1)}) == 3
    assert len(clip_id(A1)) == 20
