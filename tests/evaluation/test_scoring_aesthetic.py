"""Aesthetic scores of real small videos against a few lines; and what becomes of a column."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from support.clips import DIM, write_index
from support.openclip import tiny_openclip
from support.videos import write_video

from indexer.scoring.aesthetic import choose_aggregate, frame_scorer
from indexer.scoring.aesthetic_head import read_head
from indexer.scoring.cli import app
from vidsearch import Index, load_encoder, open_index
from vidsearch.config import Preset
from vidsearch.encoders.base import Encoder
from vidsearch.errors import CheckpointError, InputNotFoundError, UsageError
from vidsearch.resize import resize_frames
from vidsearch.storage.rewrite import made_by_column

WIDTH = 32  # of the small model's features
NAN = float("nan")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return tiny_openclip(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def encoder(model: str) -> Encoder:
    return load_encoder(model, device="cpu", precision="float32")


@pytest.fixture
def head(tmp_path: Path) -> Path:
    path = tmp_path / "head.pth"
    weight = torch.randn(1, WIDTH, generator=torch.Generator().manual_seed(1)) * 20
    torch.save({"weight": weight, "bias": torch.tensor([5.0])}, path)
    return path


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VIDSEARCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def index(tmp_path: Path) -> Index:
    """Six clips of two videos in two segments, one clip of no video, one of a video that is not there; the fourth has a score."""
    folder = tmp_path / "clips"
    folder.mkdir()
    write_video(folder / "long.mp4", frames=60)
    write_video(folder / "short.mp4", frames=3)
    places = [
        ("long.mp4", 0.0, 0.8),
        ("long.mp4", 0.8, 1.6),
        ("short.mp4", 0.0, 0.12),
        ("long.mp4", 1.6, 2.4),
        ("", 0.0, 1.0),
        ("gone.mp4", 0.0, 1.0),
    ]
    rows = [
        {
            "clip_id": f"c{n}",
            "video": video,
            "start_s": start,
            "end_s": end,
            "duration_s": end - start,
            "caption": "x",
            "aesthetic": 4.5 if n == 3 else None,
        }
        for n, (video, start, end) in enumerate(places)
    ]
    return write_index(folder / "index", np.eye(6, DIM, dtype=np.float16), rows, parts=2)


def score(index: Index, *options: object) -> None:
    app(["aesthetic", str(index.root), *map(str, options)], standalone_mode=False)


def column(index: Index, name: str = "aesthetic") -> list[float | None]:
    return [row[name] for table in open_index(index.root).read_columns([name]) for row in table.to_pylist()]


def scores_of_frames(video: Path, start_s: float, end_s: float, encoder: Encoder, head: Path) -> np.ndarray:
    """Return the score of every frame of a clip."""
    state = torch.load(head, weights_only=True)
    with av.open(str(video)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0) if start_s - 1e-6 <= frame.time < end_s - 1e-6]
    features = np.concatenate([encoder.encode_clips(frame[None, None]) for frame in frames])
    return features @ state["weight"].numpy()[0] + 5.0


def test_the_three_aggregations_of_known_frames() -> None:
    frames = np.array([[1, 2, 8, 5], [3, 1, NAN, NAN]], dtype=np.float32)
    assert choose_aggregate("internvid").of(frames).tolist() == [8, 3]
    assert choose_aggregate("vbench").of(frames).tolist() == pytest.approx([0.4, 0.2])
    assert choose_aggregate("single").of(frames[:, :1]).tolist() == [1, 3]


def test_the_frames_that_each_takes() -> None:
    own = Preset("open_clip", size=224, frames=8, antialias=True, fit="crop", resize_side=224)
    presets = {name: choose_aggregate(name).preset(own) for name in ("internvid", "vbench", "single")}
    assert {name: (preset.frames, preset.antialias) for name, preset in presets.items()} == {
        "internvid": (4, True),
        "vbench": (32, False),
        "single": (1, True),
    }
    assert choose_aggregate("vbench", 200).preset(own).frames == 200
    with pytest.raises(UsageError, match="--frames goes with vbench; single takes 1"):
        choose_aggregate("single", 2)
    with pytest.raises(UsageError, match="choose from internvid, vbench, single"):
        choose_aggregate("mean")


def test_the_repeats_of_a_short_clip_count_once(encoder: Encoder, head: Path) -> None:
    pictures = np.random.default_rng(2).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    clips = np.stack([pictures[[0, 1, 2, 1]], pictures[[0, 1, 1, 1]], pictures[[0, 0, 1, 2]], pictures[[2, 2, 2, 2]]])
    found = frame_scorer(encoder, read_head(head))(clips)
    assert np.isnan(found).tolist() == [[False] * 4, [False, False, True, True], [False] * 4, [False, True, True, True]]
    one = frame_scorer(encoder, read_head(head))(pictures[:, None])[:, 0]
    np.testing.assert_allclose(found[0], one[[0, 1, 2, 1]], atol=1e-4)
    assert np.ptp(one) > 0.1


def test_scores_are_those_of_a_few_lines_and_measured_once(
    index: Index, encoder: Encoder, head: Path, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    videos = index.root.parent
    places = [
        (videos / "long.mp4", 0.0, 0.8),
        (videos / "long.mp4", 0.8, 1.6),
        (videos / "short.mp4", 0.0, 0.12),
        (videos / "long.mp4", 1.6, 2.4),
    ]
    frames = [scores_of_frames(*place, encoder, head) for place in places]
    assert [len(one) for one in frames] == [20, 20, 3, 20]
    score(index, "--head", head, "--model", model, "--column", "first")
    greatest = [one[[2, 7, 12, 17]].max() if len(one) == 20 else one.max() for one in frames]  # the middles of four equal parts
    assert column(index, "first") == [*(pytest.approx(one, abs=1e-3) for one in greatest), None, None]
    told = capsys.readouterr().err
    assert "4 of 6 clips scored, 0 of them before" in told
    assert "not scored 1: NO_VIDEO" in told
    assert "not scored 1: NOT_FOUND" in told
    score(index, "--head", head, "--model", model, "--column", "again")
    assert "4 of 6 clips scored, 4 of them before" in capsys.readouterr().err
    assert column(index, "again") == column(index, "first")
    score(index, "--head", head, "--model", model, "--column", "middle", "--aggregate", "single", "--where", "clip_id != 'c0'")
    assert column(index, "middle") == [None, *(pytest.approx(one[(len(one) - 1) // 2], abs=1e-3) for one in frames[1:]), None, None]
    how = made_by_column(open_index(index.root).manifest)
    assert how["first"]["by"] == f"head on {encoder.space.model}, greatest of 4 frames"
    assert how["middle"]["aggregate"] == "single"


def test_the_mean_is_of_every_frame_where_there_are_no_more_than_asked_for(index: Index, encoder: Encoder, head: Path, model: str) -> None:
    plain = replace(encoder.preset, antialias=False, filter="bicubic", fit="crop", resize_side=encoder.preset.size)
    state = torch.load(head, weights_only=True)
    with av.open(str(index.root.parent / "short.mp4")) as container:
        pictures = [resize_frames(frame.to_ndarray(format="rgb24")[None], plain) for frame in container.decode(video=0)]
    frames = encoder.encode_pixels(np.stack(pictures)) @ state["weight"].numpy()[0] + 5.0
    score(index, "--head", head, "--model", model, "--column", "mean", "--aggregate", "vbench", "--where", "video = 'short.mp4'")
    (found,) = [value for value in column(index, "mean") if value is not None]
    assert found == pytest.approx(frames.mean() / 10, abs=1e-4)
    assert abs(found - np.append(frames, [frames[-1]] * 29).mean() / 10) > 1e-3  # the last one, repeated, would count more


def test_what_was_indexed_is_filled_and_never_overwritten(index: Index, head: Path, model: str) -> None:
    version = open_index(index.root).manifest.version
    with pytest.raises(UsageError, match="came with the rows and stays as it is; --missing-only fills what it lacks"):
        score(index, "--head", head, "--model", model)
    assert open_index(index.root).manifest.version == version
    score(index, "--head", head, "--model", model, "--column", "all")
    score(index, "--head", head, "--model", model, "--missing-only", "--where", "clip_id = 'c0'")
    with pytest.raises(UsageError, match=r"holds scores by .*greatest of 4 frames; others would not compare"):
        score(index, "--head", head, "--model", model, "--missing-only", "--aggregate", "single")
    score(index, "--head", head, "--model", model, "--missing-only")
    filled = column(index)
    assert filled[3] == 4.5
    assert filled[:3] == column(index, "all")[:3]
    assert filled[4:] == [None, None]
    with pytest.raises(UsageError, match="came with the rows"):  # what was filled is no computed column
        score(index, "--head", head, "--model", model)
    with pytest.raises(UsageError, match="'caption' holds string, which are no scores"):
        score(index, "--head", head, "--model", model, "--missing-only", "--column", "caption")


def test_other_rows_keep_their_scores_when_some_are_computed_anew(index: Index, head: Path, model: str) -> None:
    score(index, "--head", head, "--model", model, "--column", "own", "--where", "clip_id = 'c0' or clip_id = 'c1'")
    some = column(index, "own")
    score(index, "--head", head, "--model", model, "--column", "own", "--where", "clip_id = 'c2'")
    assert column(index, "own")[:2] == some[:2]
    assert column(index, "own")[2] is not None
    with pytest.raises(UsageError, match="others would not compare"):
        score(index, "--head", head, "--model", model, "--column", "own", "--where", "clip_id = 'c2'", "--aggregate", "single")
    score(index, "--head", head, "--model", model, "--column", "own", "--aggregate", "single")  # all of them: nothing is mixed


def test_a_stopped_run_goes_on_where_it_was(
    index: Index, head: Path, model: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from indexer.scoring import aesthetic

    monkeypatch.setattr(aesthetic, "CLIPS_AT_ONCE", 2)
    write = aesthetic._take_over
    calls = 0

    def stop(*given: object) -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise KeyboardInterrupt
        write(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(aesthetic, "_take_over", stop)
    with pytest.raises(SystemExit) as stopped:
        score(index, "--head", head, "--model", model, "--column", "own")
    assert stopped.value.code == 130
    assert "what was measured is kept" in capsys.readouterr().err
    assert "own" not in open_index(index.root).schema.names
    score(index, "--head", head, "--model", model, "--column", "own")
    assert "4 of 6 clips scored, 4 of them before" in capsys.readouterr().err


def test_bad_input_is_one_line(index: Index, tmp_path: Path, head: Path, model: str) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(InputNotFoundError, match=r"none of the videos is in .*empty, such as long\.mp4; name their folder"):
        score(index, "--head", head, "--model", model, "--column", "own", "--videos", empty)
    with pytest.raises(InputNotFoundError, match=r"no folder .*nowhere"):
        score(index, "--head", head, "--model", model, "--column", "own", "--videos", tmp_path / "nowhere")
    with pytest.raises(UsageError, match="name no video"):
        score(index, "--head", head, "--model", model, "--column", "own", "--where", "clip_id = 'c4'")
    with pytest.raises(UsageError, match="no features of single pictures"):
        score(index, "--head", head, "--model", "demo-viclip", "--column", "own")
    torch.save({"weight": torch.zeros(1, 768), "bias": torch.zeros(1)}, tmp_path / "wide.pth")
    with pytest.raises(UsageError, match=r"takes features of 768 numbers, .* gives 32"):
        score(index, "--head", tmp_path / "wide.pth", "--model", model, "--column", "own")
    (tmp_path / "torn.pth").write_bytes(b"PK\x03\x04")
    with pytest.raises(CheckpointError, match=r"torn\.pth"):
        score(index, "--head", tmp_path / "torn.pth", "--model", model, "--column", "own")
