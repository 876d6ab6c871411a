"""What the reader of archives makes of the samples in them."""

from __future__ import annotations

import json
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import vidsearch
from indexer import build
from indexer.readers import archives, internvid
from indexer.readers._members import archive_members
from indexer.readers.base import PLACE_SCHEMA, BadRow, Block
from indexer.toyvideos import write_demo_videos
from tests.support.archives import Files, add_entry, write_tar, write_zip
from vidsearch._query_parts import Media, example
from vidsearch.errors import UsageError

CUT = "0TDAwrav8Dc_00:01:51.578_00:01:53.647"


def rows_of(path: Path, videos: Path | None = None) -> tuple[list[dict[str, Any]], list[BadRow]]:
    """Return clips as rows, without the columns that are null there, and what cannot be indexed."""
    blocks: list[Block] = list(archives.read(path, videos or path.parent))
    assert all(block.clips.schema.names[:5] == PLACE_SCHEMA.names for block in blocks)
    clips = [row for block in blocks for row in block.clips.to_pylist()]
    return [{name: value for name, value in row.items() if value is not None} for row in clips], [
        row for block in blocks for row in block.bad
    ]


def metadata(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in PLACE_SCHEMA.names}


def test_webdataset_samples_have_their_captions_and_columns(tmp_path: Path) -> None:
    sample = {
        "url": "https://www.youtube.com/watch?v=dQw4w9WgXcQ&t=3",
        "key": "0001",
        "status": "success",
        "caption": "from the JSON",
        "Aesthetic_Score": "4.5",
        "views": 12,
        "video_metadata": {"fps": 25},
        "yt_meta_dict": {"subtitles": ["x" * 100] * 100},
        "half": "\ud800",
    }
    files = [("0001.mp4", b"v"), ("0001.json", json.dumps(sample).encode()), ("0001.txt", b"from the text\n"), ("0002.webm", b"v")]
    (first, second), bad = rows_of(write_tar(tmp_path / "00000.tar", files))
    assert not bad
    assert (first["video"], first["there"], first["start_s"]) == ("00000.tar/0001.mp4", True, 0.0)
    assert "end_s" not in first
    assert metadata(first) == {
        "url": sample["url"],
        "youtube_id": "dQw4w9WgXcQ",
        "caption": "from the text",
        "aesthetic": 4.5,
        "views": 12,
        "video_metadata": '{"fps": 25}',
        "half": "?",
    }
    assert metadata(second) == {}
    assert [block.uncut for block in archives.read(tmp_path / "00000.tar", tmp_path)] == [False, True]


@pytest.mark.parametrize(
    ("key", "clips", "wanted"),
    [
        ("0001_00002", [["00:00:05.000", "00:00:09.500"]], [(0.0, None, 5.0, 9.5)]),
        ("0001_002", [[5, 9.5]], [(0.0, None, 5.0, 9.5)]),
        ("0001", [[5.0, 9.5]], [(5.0, 9.5, 5.0, 9.5)]),
        ("0001", [[0.0, 5.0], [5.0, 9.5]], [(0.0, 5.0, 0.0, 5.0), (5.0, 9.5, 5.0, 9.5)]),
        ("0001", [5.0, 9.5], [(5.0, 9.5, 5.0, 9.5)]),
    ],
)
def test_clips_of_video2dataset_know_their_times(tmp_path: Path, key: str, clips: list[Any], wanted: list[tuple[Any, ...]]) -> None:
    sample = {"url": "https://youtu.be/dQw4w9WgXcQ", "clips": clips}
    rows, _ = rows_of(write_tar(tmp_path / "0.tar", [(f"{key}.mp4", b"v"), (f"{key}.json", json.dumps(sample).encode())]))
    found = [(row["start_s"], row.get("end_s"), row["source_start_s"], row["source_end_s"]) for row in rows]
    assert found == wanted


@pytest.mark.parametrize(
    "data", [b"{broken", b"[1]", b'{"clips": [[1]]}', b'{"clips": [["soon", 2]]}', b'{"aesthetic_score": "x"}', b"[" * 9999]
)
def test_a_broken_sample_costs_itself(tmp_path: Path, data: bytes) -> None:
    rows, bad = rows_of(write_tar(tmp_path / "0.tar", [("a.mp4", b"v"), ("a.json", data), ("b.mp4", b"v")]))
    assert [(row.video, row.reason) for row in bad] == [("0.tar/a.mp4", "METADATA_INVALID")]
    assert [row["video"] for row in rows] == ["0.tar/b.mp4"]


@pytest.mark.parametrize("write", [write_tar, write_zip])
def test_a_clip_has_one_id_wherever_it_lies(tmp_path: Path, write: Callable[[Path, Files], Path]) -> None:
    suffix = ".tar" if write is write_tar else ".zip"
    ((clip,), _) = rows_of(write(tmp_path / f"InternVId-FLT_1{suffix}", [(f"InternVId-FLT_1/{CUT}.mp4", b"v")]))
    row = {"YoutubeID": CUT[:11], "Start_timestamp": "00:01:51.578", "End_timestamp": "00:01:53.647"}
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain" / "rows.jsonl").write_text(json.dumps(row) + "\n")
    (of_row,) = [row for block in internvid.read(tmp_path / "plain" / "rows.jsonl", tmp_path / "plain") for row in block.clips.to_pylist()]
    assert clip["key"] == of_row["key"]
    assert metadata(clip) == {"youtube_id": CUT[:11], "source_start_s": 111.578, "source_end_s": 113.647}


def test_what_cannot_be_read_of_an_archive_is_told_of_videos_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as archive:
        add_entry(archive, "good.mp4", b"v")
        add_entry(archive, "../up.mp4", b"v")
        add_entry(archive, "../up.pkl", b"v")
        add_entry(archive, "payload.pkl", b"v")
        add_entry(archive, "good.mp4", b"second")
    path.write_bytes(path.read_bytes()[: 5 * 1024])
    rows, bad = rows_of(path)
    assert [row["video"] for row in rows] == ["a.tar/good.mp4"]
    assert [(row.video, row.reason) for row in bad] == [
        ("a.tar/../up.mp4", "PATH_ESCAPE"),
        ("a.tar/good.mp4", "DUPLICATE_MEMBER"),
        ("a.tar", "OPEN_FAILED"),
    ]


def test_an_archive_that_cannot_be_read_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(b"cut off")
    assert archives.recognises(path)
    rows, bad = rows_of(path)
    assert (rows, [(row.video, row.reason) for row in bad]) == ([], [("a.zip", "OPEN_FAILED")])


def test_the_videos_of_archives_can_be_listed_for_rows_that_name_them(tmp_path: Path) -> None:
    (tmp_path / "raw" / ".trash").mkdir(parents=True)
    write_zip(tmp_path / "raw" / "1.zip", [(f"x/{CUT}.mp4", b"v"), ("x/._note.mp4", b""), ("x/a.txt", b"")])
    write_zip(tmp_path / "raw" / ".trash" / "2.zip", [("b.mp4", b"")])
    (tmp_path / "raw" / "3.zip").write_bytes(b"broken")
    assert list(archive_members(tmp_path)) == [f"raw/1.zip/x/{CUT}.mp4"]


def test_only_archives_with_videos_are_recognised(tmp_path: Path) -> None:
    assert archives.recognises(write_tar(tmp_path / "a.tar", [("a.txt", b""), ("a.MP4", b"")]))
    assert not archives.recognises(write_zip(tmp_path / "b.zip", [("a.txt", b""), ("._a.mp4", b"")]))
    assert not archives.recognises(write_tar(tmp_path / "c.tar.gz", [("a.txt", b"")]))
    (tmp_path / "folder.tar").mkdir()
    assert not archives.recognises(tmp_path / "folder.tar")


def test_a_compressed_tar_is_one_clear_line(tmp_path: Path) -> None:
    path = tmp_path / "a.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        add_entry(archive, "a.mp4", b"v")
    assert archives.recognises(path)
    rows, (row,) = rows_of(path)
    assert not rows
    assert row.detail == "a.tar.gz is compressed as a whole, so nothing in it can be read in place; decompress it to a plain .tar"


def test_an_archive_outside_the_videos_folder_is_refused(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", [("a.mp4", b"v")])
    (tmp_path / "videos").mkdir()
    with pytest.raises(UsageError, match="lies outside the videos' folder"):
        rows_of(path, tmp_path / "videos")


def test_archives_are_indexed_where_they_lie(tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    captions = [row["Caption"] for row in write_demo_videos(tmp_path / "plain", count=2, seed=8)]
    first, *others = sorted((tmp_path / "plain").glob("*.mp4"))
    folder = tmp_path / "archives"
    folder.mkdir()
    write_tar(folder / "0.tar", [("a.mp4", first.read_bytes()), ("a.txt", captions[0].encode()), ("bad.mp4", b"no video" * 99)])
    write_zip(folder / "1.zip", [(f"d/{path.name}", path.read_bytes()) for path in others], zipfile.ZIP_DEFLATED)
    encoder = vidsearch.load_encoder("demo-viclip")
    for run in ("first", "second"):
        summary = build(folder, tmp_path / "index", encoder=encoder, split="none")
        assert (summary.indexed, summary.already, summary.rows) == ((2, 0, 2) if run == "first" else (0, 2, 2))
        assert summary.skipped == {"OPEN_FAILED": 1}
    assert {path.name for path in folder.iterdir()} == {"0.tar", "1.zip"}
    index = vidsearch.open_index(tmp_path / "index")
    for path, member in [(first, "0.tar/a.mp4"), *((path, f"1.zip/d/{path.name}") for path in others)]:
        like = path if member == "0.tar/a.mp4" else folder / member
        (hit,) = index.search(like=like, k=1)
        assert (hit.video, hit.score) == (member, pytest.approx(1, abs=2e-3))
    assert example(str(folder / "0.tar/a.mp4")) == Media(folder / "0.tar/a.mp4")
    assert example(str(folder / "0.tar/none.mp4")) == str(folder / "0.tar/none.mp4")


def test_rows_find_their_clips_in_zip_files(tmp_path: Path) -> None:
    """OpenDataLab's layout: one file of rows, and zip files of clips beside it."""
    (tmp_path / "raw").mkdir()
    write_zip(tmp_path / "raw" / "InternVId-FLT_1.zip", [(f"InternVId-FLT_1/{CUT}.mp4", b"v")])
    row = {"YoutubeID": CUT[:11], "Start_timestamp": "00:01:51.578", "End_timestamp": "00:01:53.647", "Caption": "a caption"}
    (tmp_path / "rows.jsonl").write_text(json.dumps(row) + "\n")
    (clip,) = [row for block in internvid.read(tmp_path / "rows.jsonl", tmp_path) for row in block.clips.to_pylist()]
    assert (clip["video"], clip["there"], clip["start_s"], clip["end_s"]) == (
        f"raw/InternVId-FLT_1.zip/InternVId-FLT_1/{CUT}.mp4",
        True,
        0.0,
        None,
    )
    assert clip["caption"] == "a caption"
