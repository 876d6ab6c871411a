"""`vidsearch eval retrieval` as it is typed, on clips of the toy world: its numbers are those of a few independent lines."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from indexer.toyvideos import write_demo_videos
from vidsearch.encoders import load_encoder
from vidsearch.encoders.viclip import demo_checkpoint

Command = Callable[..., tuple[int, str, str]]
CLIPS = 30
LONG = "a red circle moves up " * 20
REAL = Path(__file__).parents[2].parent / "shared" / "videos"


@pytest.fixture(scope="module")
def toy(tmp_path_factory) -> Path:
    """Clips, and rows.jsonl in InternVid's layout."""
    folder = tmp_path_factory.mktemp("toy")
    rows = [json.dumps(row) + "\n" for row in write_demo_videos(folder / "clips", count=CLIPS, seed=5, size=64)]
    (folder / "rows.jsonl").write_text("".join(rows), encoding="utf-8")
    return folder


@pytest.fixture
def evaluate(vidsearch, monkeypatch, tmp_path) -> Callable[..., tuple[int, str, str, dict]]:
    """Run the command with its cache in a folder of the test; return exit code, stdout, stderr and the report."""
    monkeypatch.setenv("VIDSEARCH_CACHE", str(tmp_path / "cache"))
    report = tmp_path / "report.json"

    def run(dataset: object, *arguments: object, model: object = "demo-viclip") -> tuple[int, str, str, dict]:
        fixed = ("--device", "cpu", "--precision", "float32", "--workers", 1, "--report", report)
        code, out, err = vidsearch("eval", "retrieval", "--dataset", dataset, "--model", model, *fixed, *arguments)
        return code, out, err, json.loads(report.read_text(encoding="utf-8")) if code == 0 else {}

    return run


def rows_of(report: dict, title: str) -> dict[str, dict]:
    (table,) = (table for table in report["tables"] if table["title"].startswith(title))
    return {row["measure"]: row for row in table["rows"]}


def independently(videos: list[Path], texts: list[str], video_of: list[int], model: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the places, from 1, of each text's video and of each video's best text, decoding every frame and sorting the whole matrix."""
    encoder = load_encoder(model, device="cpu", precision="float32")
    clips = []
    for video in videos:
        with av.open(str(video)) as container:
            frames = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])
        edges = np.linspace(0, len(frames), 9).astype(int)
        clips.append(encoder.encode_clips(frames[None, (edges[:-1] + edges[1:] - 1) // 2])[0])
    scores = encoder.encode_texts(texts) @ np.stack(clips).T
    places = (scores > scores[np.arange(len(texts)), video_of][:, None]).sum(axis=1) + 1
    best = [(scores[:, video] > scores[np.array(video_of) == video, video].max()).sum() + 1 for video in range(len(videos))]
    return places, np.array(best)


def assert_measured(table: dict[str, dict], places: np.ndarray, *, by: str = "exact") -> None:
    for k in (1, 5, 10):
        assert table[f"R@{k}"][by] == pytest.approx(100 * (places <= k).mean(), abs=0.005)
    if by == "exact":
        assert table["median rank"]["exact"] == np.median(places)
        assert table["mean rank"]["exact"] == pytest.approx(places.mean(), abs=0.005)


def test_the_numbers_are_those_of_a_few_lines(evaluate, toy):
    code, out, _, report = evaluate(toy / "rows.jsonl", "--videos", toy / "clips")
    rows = [json.loads(line) for line in (toy / "rows.jsonl").read_text(encoding="utf-8").splitlines()]
    videos = [toy / "clips" / row["video_path"] for row in rows]
    places, best = independently(videos, [row["Caption"] for row in rows], list(range(CLIPS)), "demo-viclip")
    assert code == 0
    assert 1 < places.mean() < CLIPS / 4  # neither trivial nor chance
    assert_measured(rows_of(report, "text→video"), places)
    assert_measured(rows_of(report, "text→video"), places, by="index")
    assert_measured(rows_of(report, "video→text"), best)
    assert all(row["low"] <= row["exact"] <= row["high"] for row in rows_of(report, "text→video").values())
    assert report["settings"]["captions"] == "30, 1 a clip, sentences"
    assert max(map(len, out.splitlines())) <= 80


def test_a_second_run_measures_what_changed_alone(evaluate, toy, tmp_path):
    """Videos that cannot be decoded any more, but look unchanged, still count; a touched one is measured again."""
    shutil.copytree(toy / "clips", tmp_path / "clips")
    _, first, *_ = evaluate(toy / "rows.jsonl", "--videos", tmp_path / "clips")
    for video in (tmp_path / "clips").iterdir():
        before = video.stat()
        video.write_bytes(bytes(before.st_size))
        os.utime(video, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert evaluate(toy / "rows.jsonl", "--videos", tmp_path / "clips")[:2] == (0, first)
    video.touch()
    code, _, err, _ = evaluate(toy / "rows.jsonl", "--videos", tmp_path / "clips")
    assert code == 2
    assert err.splitlines()[-1].startswith(f"error: 1 of 30 clips cannot be decoded, such as {video.name} (OPEN_FAILED")
    code, out, _, report = evaluate(toy / "rows.jsonl", "--videos", tmp_path / "clips", "--allow-missing")
    assert (code, report["settings"]["clips"]) == (0, 29)
    assert "0 of 30 videos were not there, 1 clips could not be decoded" in " ".join(out.split())


def test_a_published_data_set_with_several_captions(evaluate, toy, tmp_path):
    """The layout, the level, the context, missing videos, and the numbers published for weights of that name."""
    rows = [json.loads(line) for line in (toy / "rows.jsonl").read_text(encoding="utf-8").splitlines()][:12]
    told = [
        {"video": Path(row["video_path"]).stem, "caption": [row["Caption"], LONG if not number else "a star"]}
        for number, row in enumerate(rows)
    ]
    annotation = tmp_path / "msrvtt_test1k.json"
    annotation.write_text(json.dumps([*told, {"video": "gone", "caption": ["nothing"]}]), encoding="utf-8")
    model = tmp_path / "ViCLIP-L_InternVid-FLT-10M.safetensors"
    shutil.copy(demo_checkpoint(), model)
    asked = ("msrvtt", "--annotation", annotation, "--videos", toy)
    code, _, err, _ = evaluate(*asked, model=model)
    assert code == 2
    assert err.splitlines()[-1] == (
        f"error: 1 of 13 videos are not below {toy} (gone); check --videos, or leave them out with --allow-missing"
    )
    code, _, _, report = evaluate(*asked, "--allow-missing", "--preset", "demo", model=model)
    notes = " ".join(report["notes"])
    assert (code, report["settings"]["captions"]) == (0, "24, 2 a clip, sentences")
    assert "1 captions are longer than the 32 tokens the model reads" in notes
    assert "1 of 13 videos were not there" in notes
    assert "Not as published: preset demo (published: eval); 12 clips (published: 1,000); several captions a clip" in notes
    beside = rows_of(report, "Beside published")
    assert (beside["text→video R@1"]["there"], beside["video→text R@1"]["there"]) == (42.4, 41.3)
    here = rows_of(report, "text→video")["R@1"]["exact"]
    assert beside["text→video R@1"]["difference"] == round(here - 42.4, 2)
    code, _, _, report = evaluate(*asked, "--allow-missing", "--paragraph", "--dsl", "--temperature", 0.01, model=model)
    assert (code, report["settings"]["captions"]) == (0, "12, 1 a clip, paragraphs")
    assert report["settings"]["scores"] == "dual softmax, temperature 0.01"
    assert "index" not in rows_of(report, "text→video")["R@1"]
    assert "paragraphs (published: sentences); dual softmax (published: cosines)" in " ".join(report["notes"])


BAD = {
    "needs its annotation file; name it with --annotation FILE": ("--dataset", "msrvtt"),
    "unknown data set 'kinetics400'; choose from activitynet, didemo, lsmdc, msrvtt, msvd, or give a FILE": ("--dataset", "kinetics400"),
    "no annotation file none.csv": ("--dataset", "none.csv"),
    "name it with --annotation": ("--dataset", "lsmdc", "--videos", "."),
    "--temperature 0 must be above 0": ("--dataset", "none.csv", "--dsl", "--temperature", "0"),
    "--report out.txt is not understood": ("--dataset", "none.csv", "--report", "out.txt"),
    "Missing option '--dataset'": (),
}


@pytest.mark.parametrize("message", BAD)
def test_bad_input_is_one_line(vidsearch, message):
    code, out, err = vidsearch("eval", "retrieval", *BAD[message])
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert message in err


def test_none_of_the_videos_being_there_is_not_allowed(evaluate, toy, tmp_path):
    code, _, err, _ = evaluate(toy / "rows.jsonl", "--videos", tmp_path, "--allow-missing")
    assert code == 2
    assert "30 of 30 videos are not below" in err
    assert "--allow-missing" not in err


@pytest.mark.slow
@pytest.mark.skipif(not REAL.is_dir(), reason="no real clips beside the repository")
def test_real_clips_with_the_offline_encoder(evaluate, tmp_path):
    """All of them far from chance; and the numbers of the short ones, decoded whole by PyAV, are those of a few lines."""
    rows = [json.loads(line) for line in (REAL / "videos.jsonl").read_text(encoding="utf-8").splitlines()]
    code, _, _, report = evaluate(REAL / "videos.jsonl", model="conse")
    assert (code, report["settings"]["clips"]) == (0, len(rows))
    table = rows_of(report, "text→video")
    assert table["R@1"]["exact"] >= 40  # 44.37 measured, chance is 0.7
    assert table["R@10"]["lost %"] < 1
    short = [row for row in rows if row["duration"] <= 3]
    (tmp_path / "short.jsonl").write_text("".join(json.dumps(row) + "\n" for row in short), encoding="utf-8")
    code, _, _, report = evaluate(tmp_path / "short.jsonl", "--videos", REAL, model="conse")
    places, best = independently([REAL / row["file"] for row in short], [row["caption"] for row in short], list(range(len(short))), "conse")
    assert len(short) >= 20
    for k in (1, 5, 10):  # frames of an uneven rate are chosen by their times, here by their numbers: one place may differ
        assert rows_of(report, "text→video")[f"R@{k}"]["exact"] == pytest.approx(100 * (places <= k).mean(), abs=101 / len(short))
        assert rows_of(report, "video→text")[f"R@{k}"]["exact"] == pytest.approx(100 * (best <= k).mean(), abs=101 / len(short))
