"""What every reader must do, and which reader a folder or a file gets."""

import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from indexer.readers import internvid
from indexer.readers.base import PLACE_SCHEMA, BadRow, Block, clip_key, list_videos
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
KEY = clip_key("HdYoyzCSWyw", 190.567, 191.2)
CUT_NAME = "HdYoyzCSWyw_00:03:10.567_00:03:11.200.mp4"


def write_rows(path: Path, rows: list[dict]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def touch(folder: Path, *videos: str) -> Path:
    for video in videos:
        (folder / video).parent.mkdir(parents=True, exist_ok=True)
        (folder / video).write_bytes(b"\0")
    return folder


def write_tar(path: Path, *videos: str) -> Path:
    with tarfile.open(path, "w") as archive:
        for video in videos:
            entry = tarfile.TarInfo(video)
            entry.size = 1
            archive.addfile(entry, io.BytesIO(b"\0"))
    return path


def rows_of(blocks):
    return [row for block in blocks for row in (*block.clips.to_pylist(), *block.bad)]


def found(folder: Path, **named) -> set[str]:
    return {row["video"] for row in rows_of(read_rows(find_sources(folder, **{"metadata": None, "videos": None, **named})))}


@pytest.mark.parametrize("name", names("indexer.readers"))
def test_every_reader_streams_typed_blocks_of_clips_inside_the_folder(name, tmp_path):
    touch(tmp_path, "HdYoyzCSWyw.mp4", "sub/a.webm", ".hidden/b.mp4", "notes.txt")
    candidates = [write_rows(tmp_path / "rows.jsonl", [ROW]), write_tar(tmp_path / "shard.tar", CUT_NAME), tmp_path]
    reader = plugin("indexer.readers", name)
    blocks = reader.read(next(path for path in candidates if reader.recognises(path)), tmp_path)
    assert isinstance(blocks, Iterator)
    clips = 0
    for block in blocks:
        assert isinstance(block, Block)
        place = block.clips.select(PLACE_SCHEMA.names).schema
        assert place.equals(PLACE_SCHEMA)
        assert block.clips.schema.names[:5] == PLACE_SCHEMA.names
        assert len(set(block.clips.schema.names)) == block.clips.num_columns
        assert block.bad == []
        block.clips.validate(full=True)
        for clip in block.clips.to_pylist():
            clips += 1
            assert clip["there"]
            assert (tmp_path / clip["video"]).is_file() or (tmp_path / "shard.tar").name in clip["video"]
            assert 0 <= clip["start_s"] < (clip["end_s"] or float("inf"))
    assert clips
    assert not reader.recognises(tmp_path / "nowhere")


@pytest.mark.parametrize("name", names("indexer.readers"))
def test_every_reader_gives_the_same_clips_again(name, tmp_path):
    touch(tmp_path, "HdYoyzCSWyw.mp4", "sub/a.webm")
    candidates = [write_rows(tmp_path / "rows.jsonl", [ROW]), write_tar(tmp_path / "shard.tar", CUT_NAME), tmp_path]
    reader = plugin("indexer.readers", name)
    path = next(path for path in candidates if reader.recognises(path))
    assert rows_of(reader.read(path, tmp_path)) == rows_of(reader.read(path, tmp_path)) != []


@pytest.mark.parametrize("layout", [["HdYoyzCSWyw.mkv"], [CUT_NAME], ["s/" + CUT_NAME.replace(":", "-")], []])
def test_a_clip_has_one_key_however_it_lies_on_disk(layout, tmp_path):
    rows = write_rows(tmp_path / "rows.jsonl", [ROW])
    (clip,) = rows_of(internvid.read(rows, touch(tmp_path, *layout)))
    assert clip["key"] == KEY
    assert clip["there"] == bool(layout)


def test_a_clip_in_an_archive_has_the_same_key(tmp_path):
    write_tar(tmp_path / "shard.tar", CUT_NAME)
    (alone,) = rows_of(plugin("indexer.readers", "archives").read(tmp_path / "shard.tar", tmp_path))
    (by_row,) = rows_of(internvid.read(write_rows(tmp_path / "rows.jsonl", [ROW]), tmp_path))
    assert alone["key"] == by_row["key"] == KEY
    assert by_row["video"] == alone["video"] == f"shard.tar/{CUT_NAME}"
    assert (by_row["there"], by_row["start_s"], by_row["end_s"]) == (True, 0.0, None)


def test_a_folder_is_read_by_its_rows_and_else_by_its_videos(tmp_path):
    touch(tmp_path, "a.mp4", "b.mp4", "HdYoyzCSWyw.mp4")
    assert found(tmp_path) == {"a.mp4", "b.mp4", "HdYoyzCSWyw.mp4"}
    write_rows(tmp_path / "rows.jsonl", [ROW])
    assert found(tmp_path) == {"HdYoyzCSWyw.mp4"}
    write_rows(tmp_path / "others.jsonl", [{"file": "a.mp4", "caption": "a"}])
    write_rows(tmp_path / "unrelated.jsonl", [{"file": "b.mp4"}])
    assert found(tmp_path) == {"HdYoyzCSWyw.mp4", "a.mp4"}


def test_rows_are_found_beside_shard_folders_and_in_them(tmp_path):
    touch(tmp_path, "videos/x/0_a title.mp4", "videos/x/1_another.mkv")
    for place in (tmp_path / "metadata" / "x.jsonl", tmp_path / "videos" / "videos.parquet"):
        write_rows(place, [ROW, {**ROW, "YoutubeID": "_Vl-_s8BhSE"}])
        assert len(find_sources(tmp_path, metadata=None, videos=None).files) == 1
        if place.parent.name == "metadata":
            assert found(tmp_path) == {"videos/x/0_a title.mp4", "videos/x/1_another.mkv"}
        place.unlink()


def test_a_file_or_a_folder_of_files_can_be_named(tmp_path):
    touch(tmp_path, "v/HdYoyzCSWyw.mp4", "v/a.mp4")
    rows = write_rows(tmp_path / "m" / "rows.parquet", [ROW])
    write_rows(tmp_path / "m" / "more.jsonl", [{"file": "a.mp4", "caption": "a"}])
    assert found(tmp_path / "v", metadata=rows) == {"HdYoyzCSWyw.mp4"}
    assert found(tmp_path / "v", metadata=tmp_path / "m") == {"HdYoyzCSWyw.mp4", "a.mp4"}
    assert found(rows, videos=tmp_path / "v") == {"HdYoyzCSWyw.mp4"}
    assert found(write_tar(tmp_path / "shard.tar", "x.mp4")) == {"shard.tar/x.mp4"}


def test_rows_without_any_video_are_enough(tmp_path):
    write_rows(tmp_path / "rows.jsonl", [ROW])
    (clip,) = rows_of(read_rows(find_sources(tmp_path, metadata=None, videos=None)))
    assert (clip["there"], clip["video"], clip["start_s"], clip["end_s"]) == (False, "HdYoyzCSWyw", 190.567, 191.2)


def test_an_index_folder_among_the_videos_is_not_searched_for_videos(tmp_path):
    touch(tmp_path, "a.mp4", "index/FORMAT", "index/b.mp4")
    assert list(list_videos(tmp_path)) == ["a.mp4"]


def test_a_video_whose_name_is_no_text_is_reported(tmp_path):
    try:
        (tmp_path / "caf\udce9.mp4").write_bytes(b"\0")
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    rows = rows_of(plugin("indexer.readers", "folder").read(tmp_path, touch(tmp_path, "b.mp4")))
    assert [row["video"] for row in rows if isinstance(row, dict)] == ["b.mp4"]
    assert [row.reason for row in rows if isinstance(row, BadRow)] == ["METADATA_INVALID"]


def test_what_is_not_there_is_one_clear_line(tmp_path):
    with pytest.raises(InputNotFoundError, match="no folder"):
        find_sources(tmp_path / "nowhere", metadata=None, videos=None)
    with pytest.raises(InputNotFoundError, match="no video in"):
        find_sources(tmp_path, metadata=None, videos=None)
    with pytest.raises(InputNotFoundError, match="no metadata file"):
        find_sources(tmp_path, metadata=tmp_path / "x.jsonl", videos=None)
    (tmp_path / "x.jsonl").write_text("{}\n")
    with pytest.raises(UsageError, match=r"not understood.*\.csv.*YoutubeID"):
        find_sources(tmp_path, metadata=tmp_path / "x.jsonl", videos=None)
    (tmp_path / "x.parquet").write_bytes(b"PAR1 no more")
    with pytest.raises(UsageError, match="not a whole Parquet file"):
        find_sources(tmp_path, metadata=None, videos=None)
