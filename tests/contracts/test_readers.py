"""What every reader must do, and what each makes of its own layout."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from indexer.jobs import Clip, clips_of
from indexer.readers import internvid
from indexer.readers.base import PLACE_SCHEMA, BadRow, clip_id, clip_key, list_videos
from indexer.sources import find_sources, read_rows
from vidsearch.errors import InputNotFoundError, UsageError
from vidsearch.registry import names, plugin

ROW = {
    "YoutubeID": "HdYoyzCSWyw",
    "Start_timestamp": "00:03:10.567",
    "End_timestamp": "00:03:11.200",
    "Caption": "woman using a computer mouse and keyboard",
    "Aesthetic_Score": 4.58984375,
    "UMT_Score": 0.39794921875,
}


def write_rows(path: Path, rows: list[dict]) -> Path:
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def rows_of(blocks):
    return [row for block in blocks for row in (*clips_of(block), *block.bad)]


def touch(folder: Path, *videos: str) -> Path:
    for video in videos:
        (folder / video).parent.mkdir(parents=True, exist_ok=True)
        (folder / video).write_bytes(b"\0")
    return folder


@pytest.mark.parametrize("name", names("indexer.readers"))
def test_every_reader_gives_clips_of_files_inside_the_folder(name, tmp_path):
    touch(tmp_path, "HdYoyzCSWyw.mp4", "sub/a.webm", ".hidden/b.mp4", "notes.txt")
    rows = write_rows(tmp_path / "rows.jsonl", [ROW])
    reader = plugin("indexer.readers", name)
    path = next(candidate for candidate in (rows, tmp_path) if reader.recognises(candidate))
    blocks = list(reader.read(path, tmp_path))
    assert all(block.clips.schema.names[:5] == PLACE_SCHEMA.names for block in blocks)
    clips = rows_of(blocks)
    assert clips
    for clip in clips:
        assert isinstance(clip, Clip)
        assert (tmp_path / clip.video).is_file()
        assert 0 <= clip.start_s < (clip.end_s or float("inf"))
    assert not reader.recognises(tmp_path / "nowhere")


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_internvid_rows_cut_a_whole_video_by_their_times(suffix, tmp_path):
    touch(tmp_path, "HdYoyzCSWyw.mkv")
    (clip,) = rows_of(internvid.read(write_rows(tmp_path / f"rows{suffix}", [ROW]), tmp_path))
    assert clip == Clip(
        id=clip_id(clip_key("HdYoyzCSWyw", 190.567, 191.2)),
        video="HdYoyzCSWyw.mkv",
        start_s=190.567,
        end_s=191.2,
        metadata={
            "youtube_id": "HdYoyzCSWyw",
            "caption": "woman using a computer mouse and keyboard",
            "aesthetic": 4.58984375,
            "umt_score": 0.39794921875,
            "source_start_s": 190.567,
            "source_end_s": 191.2,
        },
    )


@pytest.mark.parametrize(
    "file",
    [
        "HdYoyzCSWyw_00:03:10.567_00:03:11.200.mp4",
        "shard_7/HdYoyzCSWyw_00-03-10.567_00-03-11.200.mp4",
        "HdYoyzCSWyw_00_03_10.567_00_03_11.200.webm",
    ],
)
def test_internvid_rows_find_clips_already_cut(file, tmp_path):
    (clip,) = rows_of(internvid.read(write_rows(tmp_path / "rows.jsonl", [ROW]), touch(tmp_path, file, "HdYoyzCSWyw.mp4")))
    assert (clip.video, clip.start_s, clip.end_s) == (file, 0.0, None)
    assert clip.metadata["source_start_s"] == 190.567


def test_ids_that_begin_with_underscore_or_dash_are_whole(tmp_path):
    row = {**ROW, "YoutubeID": "_Vl-_s8BhSE"}
    (clip,) = rows_of(
        internvid.read(write_rows(tmp_path / "rows.jsonl", [row]), touch(tmp_path, "_Vl-_s8BhSE_00:03:10.567_00:03:11.200.mp4"))
    )
    assert clip.metadata["youtube_id"] == "_Vl-_s8BhSE"


def test_fields_are_known_in_any_case_and_scores_may_be_texts(tmp_path):
    row = {**ROW, "language": "en", "Category": "Gaming", "Aesthetic_Score": "4.5", "UMT_Score": "", "Upvotes": 7, "video_path": "v/x.mp4"}
    (clip,) = rows_of(internvid.read(write_rows(tmp_path / "rows.jsonl", [row]), touch(tmp_path, "v/x.mp4")))
    assert clip.metadata["aesthetic"] == 4.5
    assert clip.metadata["umt_score"] is None
    assert (clip.metadata["language"], clip.metadata["type"], clip.metadata["Upvotes"]) == ("en", "Gaming", 7)
    assert clip.video == "v/x.mp4"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"video_path": "../../etc/passwd"}, "PATH_ESCAPE"),
        ({"video_path": "/etc/passwd"}, "PATH_ESCAPE"),
        ({"video_path": "http://127.0.0.1/x.mp4"}, "PATH_ESCAPE"),
        ({"Start_timestamp": "soon"}, "METADATA_INVALID"),
        ({"Start_timestamp": -4}, "METADATA_INVALID"),
        ({"Aesthetic_Score": "pretty"}, "METADATA_INVALID"),
    ],
)
def test_a_row_that_cannot_be_indexed_says_where_and_why(change, reason, tmp_path):
    (row,) = rows_of(internvid.read(write_rows(tmp_path / "rows.jsonl", [{**ROW, **change}]), tmp_path))
    assert isinstance(row, BadRow)
    assert row.reason == reason
    assert "rows.jsonl:1" in row.detail


@pytest.mark.parametrize("change", [{}, {"video_path": "gone.mp4"}, {"video_path": "concat:a|b"}])
def test_a_clip_whose_video_is_not_there_has_none(change, tmp_path):
    (row,) = rows_of(internvid.read(write_rows(tmp_path / "rows.jsonl", [{**ROW, **change}]), tmp_path))
    assert isinstance(row, Clip)
    assert not row.there


def test_a_broken_line_costs_that_line(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text(
        "\ufeff" + json.dumps(ROW) + "\r\n{broken\n[1]\n" + "[" * 5000 + "\n" + json.dumps({**ROW, "Caption": "b"}) + "\n", encoding="utf-8"
    )
    rows = rows_of(internvid.read(path, touch(tmp_path, "HdYoyzCSWyw.mp4")))
    assert [type(row) for row in rows] == [Clip, Clip, BadRow, BadRow, BadRow]


def test_a_folder_is_read_by_its_rows_and_else_by_its_videos(tmp_path):
    touch(tmp_path, "a.mp4", "HdYoyzCSWyw.mp4")
    assert {row.video for row in rows_of(read_rows(find_sources(tmp_path, metadata=None, videos=None)))} == {"a.mp4", "HdYoyzCSWyw.mp4"}
    write_rows(tmp_path / "rows.jsonl", [ROW])
    write_rows(tmp_path / "others.jsonl", [{"file": "a.mp4"}])
    assert {row.video for row in rows_of(read_rows(find_sources(tmp_path, metadata=None, videos=None)))} == {"HdYoyzCSWyw.mp4"}


def test_an_index_folder_among_the_videos_is_not_searched_for_videos(tmp_path):
    touch(tmp_path, "a.mp4", "index/FORMAT", "index/b.mp4")
    assert list(list_videos(tmp_path)) == ["a.mp4"]


def test_what_is_not_there_is_one_clear_line(tmp_path):
    with pytest.raises(InputNotFoundError, match="no folder"):
        find_sources(tmp_path / "nowhere", metadata=None, videos=None)
    with pytest.raises(InputNotFoundError, match="no video in"):
        find_sources(tmp_path, metadata=None, videos=None)
    with pytest.raises(InputNotFoundError, match="no metadata file"):
        find_sources(tmp_path, metadata=tmp_path / "x.jsonl", videos=None)
    (tmp_path / "x.jsonl").write_text("{}\n")
    with pytest.raises(UsageError, match="not understood"):
        find_sources(tmp_path, metadata=tmp_path / "x.jsonl", videos=None)
