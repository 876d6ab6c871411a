"""Rows searchable by their caption before their video is there, and by the video once it is; the books kept at each step."""

import json
import shutil

import psutil
import pytest

import vidsearch
from indexer import build
from indexer.toyvideos import write_demo_videos
from vidsearch.errors import QuarantineLimitError
from vidsearch.storage import manifest as manifests
from vidsearch.storage.ledger import Ledger, recount

CLIPS = 6


@pytest.fixture(scope="module")
def encoder():
    return vidsearch.load_encoder("demo-viclip")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Give a folder of videos, and their rows as InternVid has them."""
    folder = tmp_path_factory.mktemp("made")
    rows = list(write_demo_videos(folder, count=CLIPS, seed=7))
    for row in rows:
        del row["video_path"]
    return folder, rows


@pytest.fixture
def folder(made, tmp_path):
    """Give a folder with the rows and no video."""
    write_rows(tmp_path, made[1])
    return tmp_path


def write_rows(folder, rows):
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def bring(made, folder, *numbers):
    for number in numbers:
        shutil.copy(made[0] / f"{made[1][number]['YoutubeID']}.mp4", folder)


def index_of(folder):
    return vidsearch.open_index(folder / "index")


def made_of(folder):
    """Return what each row's vector is made of, by YouTube id."""
    index = index_of(folder)
    found = {}
    for hit in index.search("a circle", k=100):
        found[hit.metadata["youtube_id"]] = hit.metadata["embedded_from"]
    return found


def check_books(root, *, pending=0):
    """Check that planned = done + pending, as numbers and as sums, against what the segments hold."""
    ledger = Ledger.from_settings(manifests.read(root).settings)
    counted = recount(vidsearch.open_index(root).segments)
    assert ledger.done == counted
    assert ledger.planned == counted + ledger.all_pending
    assert ledger.all_pending.clips == pending
    return counted.clips


def test_captions_are_indexed_without_a_decode_process(folder, made, encoder):
    before = set(psutil.Process().children())  # of other tests of this process
    children = set()
    summary = build(
        folder, folder / "index", encoder=encoder, from_captions=True, progress=lambda _: children.update(psutil.Process().children())
    )
    assert children - before == set()
    assert (summary.indexed, summary.by_caption, summary.failed, summary.rows) == (CLIPS, CLIPS, 0, CLIPS)
    row = made[1][2]
    hit = index_of(folder).search(row["Caption"], k=1)[0]
    assert (hit.metadata["youtube_id"], hit.metadata["embedded_from"]) == (row["YoutubeID"], "caption")
    assert hit.score == pytest.approx(1, abs=2e-3)
    assert (hit.start_s, hit.end_s) == (0, 3)
    assert check_books(folder / "index") == CLIPS
    again = build(folder, folder / "index", encoder=encoder, from_captions=True)
    assert (again.indexed, again.already) == (0, CLIPS)


def test_when_the_video_arrives_it_takes_the_place_of_the_caption(folder, made, encoder):
    build(folder, folder / "index", encoder=encoder, from_captions=True)
    before = {hit.metadata["youtube_id"]: hit.clip_id for hit in index_of(folder).search("a circle", k=100)}
    bring(made, folder, 1, 4)
    arrived = {made[1][number]["YoutubeID"] for number in (1, 4)}
    summary = build(folder, folder / "index", encoder=encoder)
    assert (summary.indexed, summary.already, summary.rows) == (2, CLIPS - 2, CLIPS)
    assert made_of(folder) == {name: "video" if name in arrived else "caption" for name in before}
    index = index_of(folder)
    assert {hit.metadata["youtube_id"]: hit.clip_id for hit in index.search("a circle", k=100)} == before
    assert len(index.search("a circle", k=100, where="embedded_from = 'video'")) == 2
    assert {hit.video for hit in index.search("a circle", k=100, where="embedded_from = 'video'")} == {f"{name}.mp4" for name in arrived}
    assert check_books(folder / "index") == CLIPS
    again = build(folder, folder / "index", encoder=encoder, from_captions=True)
    assert (again.indexed, again.rows) == (0, CLIPS)


def test_a_video_that_cannot_be_read_leaves_the_caption_in_its_place(folder, made, encoder):
    build(folder, folder / "index", encoder=encoder, from_captions=True)
    (folder / f"{made[1][0]['YoutubeID']}.mp4").write_bytes(b"no video")
    summary = build(folder, folder / "index", encoder=encoder, from_captions=True)
    assert (summary.indexed, summary.failed, summary.rows) == (0, 1, CLIPS)
    assert set(made_of(folder).values()) == {"caption"}
    assert check_books(folder / "index") == CLIPS
    assert build(folder, folder / "index", encoder=encoder).planned == 0


def test_rows_said_to_be_missing_are_indexed_by_caption_later(folder, encoder):
    summary = build(folder, folder / "index", encoder=encoder)
    assert (summary.indexed, summary.skipped) == (0, {"NOT_FOUND": CLIPS})
    assert check_books(folder / "index") == CLIPS
    assert build(folder, folder / "index", encoder=encoder, from_captions=True).indexed == CLIPS
    assert check_books(folder / "index") == CLIPS


def test_other_rows_into_the_same_index_are_planned_once_each(folder, made, encoder, tmp_path):
    write_rows(folder, made[1][:4])
    build(folder, folder / "index", encoder=encoder, from_captions=True)
    (tmp_path / "other").mkdir()
    write_rows(tmp_path / "other", made[1][2:])
    build(tmp_path / "other", folder / "index", encoder=encoder, from_captions=True)
    assert check_books(folder / "index") == CLIPS
    assert len(index_of(folder)) == CLIPS


def test_two_builds_of_the_same_rows_at_once_index_each_clip_once(folder, encoder):
    inner = []

    def rival(summary):
        if summary.indexed and not inner:
            inner.append(build(folder, folder / "index", encoder=encoder, from_captions=True))

    outer = build(folder, folder / "index", encoder=encoder, from_captions=True, progress=rival)
    assert (outer.indexed, inner[0].indexed) == (CLIPS, CLIPS)
    assert len(index_of(folder)) == CLIPS
    ids = [name for table in index_of(folder).read_columns(["clip_id"]) for name in table["clip_id"].to_pylist()]
    assert set(ids) == {hit.clip_id for hit in index_of(folder).search("a circle", k=100)}
    assert check_books(folder / "index") == CLIPS


def test_shots_are_planned_when_they_are_found_and_not_cut_again(made, tmp_path, encoder):
    bring(made, tmp_path, 0, 1)
    summary = build(tmp_path, tmp_path / "index", encoder=encoder, split="window:1s")
    assert (summary.planned, summary.indexed, summary.uncut) == (6, 6, 0)
    hits = index_of(tmp_path).search("a circle", k=100, where=f"video = '{made[1][0]['YoutubeID']}.mp4'")
    assert sorted((hit.start_s, hit.end_s, hit.metadata["shot"], hit.metadata["shots"]) for hit in hits) == [
        (0, 1, 0, 3),
        (1, 2, 1, 3),
        (2, 3, 2, 3),
    ]
    assert check_books(tmp_path / "index") == 6
    bring(made, tmp_path, 2)
    again = build(tmp_path, tmp_path / "index", encoder=encoder, split="window:1s")
    assert (again.indexed, again.already, again.rows) == (3, 6, 9)
    assert check_books(tmp_path / "index") == 9


def test_a_build_of_bad_input_stops_and_keeps_what_is_good(made, tmp_path, encoder):
    bring(made, tmp_path, 0)
    for number in range(130):
        (tmp_path / f"{number:03d}.mp4").write_bytes(b"no video")
    with pytest.raises(QuarantineLimitError, match=r"cannot be decoded, more than 0\.5 of them; most often OPEN_FAILED"):
        build(tmp_path, tmp_path / "index", encoder=encoder, split="none", max_quarantine=0.5)
    ledger = Ledger.from_settings(manifests.read(tmp_path / "index").settings)
    assert ledger.planned.clips == 131
    assert 0 < check_books(tmp_path / "index", pending=ledger.all_pending.clips) < 131
