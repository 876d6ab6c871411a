"""Rows that wait, and the jobs they become."""

import pyarrow as pa

from indexer.jobs import bad_rows_in, bad_rows_of, clips_of, file_state, jobs_of, rows_of
from indexer.readers.base import PLACE_SCHEMA, BadRow, Block, clip_id, clip_key


def row(source, video, start_s=0.0, end_s=None, there=True):
    return {"key": clip_key(source, start_s, end_s), "video": video, "there": there, "start_s": start_s, "end_s": end_s}


A1, A2, B1 = row("a", "a.mp4", 0, 1), row("a", "a.mp4", 1, 2), row("b", "b.mp4")


def block(*rows, uncut=False):
    return Block(pa.Table.from_pylist(list(rows), PLACE_SCHEMA), uncut=uncut)


def test_clips_of_one_video_become_one_job_in_order_of_first_appearance():
    jobs = list(jobs_of(rows_of(block(B1, A1, A2, row("b", "b.mp4", 5, 6)))))
    assert [(job.video, job.spans) for job in jobs] == [("b.mp4", ((0, None), (5, 6))), ("a.mp4", ((0, 1), (1, 2)))]


def test_a_video_to_be_cut_is_a_job_of_its_own():
    (job,) = jobs_of(rows_of(block(B1, uncut=True)))
    assert job.clips == ()
    assert (job.video, job.uncut.id) == ("b.mp4", clip_id(B1["key"]))


def test_clips_carry_the_metadata_and_nothing_of_the_plan():
    table = block(A1, B1).clips.append_column("caption", pa.array(["a dog", None]))
    first, second = clips_of(rows_of(Block(table)))
    assert first.metadata == {"caption": "a dog"}
    assert second.metadata == {"caption": None}
    assert (first.id, first.video, first.start_s, first.end_s, first.fresh) == (clip_id(A1["key"]), "a.mp4", 0, 1, True)


def test_bad_rows_keep_their_reason_and_rows_without_a_video_get_one():
    bad = [BadRow("x", "x.mp4", "PATH_ESCAPE", "outside"), BadRow("y", "", "METADATA_INVALID", "line 3")]
    waiting = list(bad_rows_in(bad_rows_of(Block(PLACE_SCHEMA.empty_table(), bad))))
    assert [(row.clip.video, row.reason, row.detail) for row in waiting] == [(b.video, b.reason, b.detail) for b in bad]
    assert len({row.clip.id for row in waiting}) == 2
    (missing,) = bad_rows_in(rows_of(block(row("c", "c", there=False))))
    assert (missing.reason, missing.detail) == ("NOT_FOUND", "no video c")


def test_clip_ids_depend_on_source_and_times_alone():
    assert clip_id(clip_key("a", 0, 1)) == clip_id(clip_key("a", 0.0, 1.0))
    assert len({clip_id(clip["key"]) for clip in (A1, A2, B1)}) == 3
    assert len(clip_id(A1["key"])) == 20


def test_the_state_of_a_file_that_is_not_there_is_nothing(tmp_path):
    assert file_state(tmp_path / "none.mp4") == (0, 0)
    (tmp_path / "a.mp4").write_bytes(b"abc")
    assert file_state(tmp_path / "a.mp4")[0] == 3
