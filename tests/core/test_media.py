"""Clips like a picture or a part of a video, with the model that ships."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps
from support.videos import write_video

import vidsearch
from indexer import build
from indexer.toyvideos import write_demo_videos
from vidsearch._query_parts import Media
from vidsearch.decoders._stills import is_still, read_still
from vidsearch.errors import InputNotFoundError, QueryError, SpaceMismatchError
from vidsearch.storage import manifest as manifests

CLIPS = 3


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("media")
    for _ in write_demo_videos(folder, count=CLIPS, seed=8):
        pass
    return folder


@pytest.fixture(scope="module")
def index(clips) -> vidsearch.Index:
    build(clips, clips / "index", encoder=vidsearch.load_encoder("demo-viclip"))
    return vidsearch.open_index(clips)


def pictures(seed: int = 0) -> np.ndarray:
    return np.kron(np.random.default_rng(seed).integers(0, 255, (4, 6, 3)), np.ones((16, 16, 1))).astype(np.uint8)


def with_pillow(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(ImageOps.exif_transpose(picture).convert("RGB")).astype(int)


def test_a_video_finds_itself(index, clips):
    for path in sorted(clips.glob("*.mp4")):
        hits = index.search(like=path, k=2)
        assert hits[0].video == path.name
        assert hits[0].score == pytest.approx(1, abs=2e-3)
        assert hits[1].score < 0.99


def test_a_part_of_a_video_is_what_lies_in_its_times(index, tmp_path):
    path = write_video(tmp_path / "v.mp4", frames=100, fps=25)
    whole, part, again = (index.encode_media(Media.parse(f"{path}{times}")) for times in ("", "#t=2,4", "#t=2"))
    assert np.linalg.norm(part) == pytest.approx(1, abs=1e-5)
    assert part == pytest.approx(again, abs=1e-5)
    assert whole @ part < 0.9999


def test_a_picture_is_a_clip_in_which_nothing_moves(index, tmp_path):
    Image.fromarray(pictures()).save(tmp_path / "p.png")
    encoder = index.full_encoder
    still = encoder.encode_clips(np.stack([np.repeat(pictures()[None], encoder.preset.frames, axis=0)]))[0]
    assert index.encode_media(Media(tmp_path / "p.png")) == pytest.approx(still, abs=1e-5)
    scores = [hit.score for hit in index.search(like=tmp_path / "p.png", k=CLIPS)]
    assert scores == pytest.approx(
        sorted((float(index.vector_of(hit.clip_id) @ still) for hit in index.search("x", k=CLIPS)), reverse=True), abs=2e-3
    )


@pytest.mark.parametrize(
    ("suffix", "options"), [("png", {}), ("bmp", {}), ("gif", {}), ("webp", {"lossless": True}), ("jpg", {"quality": 95})]
)
def test_pictures_are_known_by_their_first_bytes(tmp_path, suffix, options):
    path = tmp_path / f"p.{suffix}"
    Image.fromarray(pictures()).save(path, **options)
    odd = path.rename(tmp_path / "p.mp4")
    assert is_still(odd)
    # chroma is smoothed in another way than Pillow smooths it
    assert np.abs(read_still(odd).astype(int) - with_pillow(odd)).mean() < (5 if suffix == "jpg" else 1e-9)


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_a_camera_s_turn_is_undone(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pictures()).save(tmp_path / "p.jpg", quality=95, subsampling=0, exif=exif)
    assert np.abs(read_still(tmp_path / "p.jpg").astype(int) - with_pillow(tmp_path / "p.jpg")).mean() < 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "EMPTY"),
        (b"no video", "FORMAT_NOT_ALLOWED"),
        (b"\xff\xd8\xff\xe0 no picture", "OPEN_FAILED"),
        (b"ffconcat version 1.0\nfile /etc/passwd", "OPEN_FAILED|FORMAT"),
    ],
)
def test_what_cannot_be_read_says_why(index, tmp_path, content, message):
    path = tmp_path / "x.jpg"
    path.write_bytes(content)
    with pytest.raises(QueryError, match=message):
        index.search(like=path)


def test_times_must_fit(index, clips, tmp_path):
    path = sorted(clips.glob("*.mp4"))[0]
    with pytest.raises(QueryError, match="SPAN_PAST_END"):
        index.search(like=Media(path, 900, 901))
    Image.fromarray(pictures()).save(tmp_path / "p.png")
    with pytest.raises(QueryError, match="a picture has no times"):
        index.search(like=Media(tmp_path / "p.png", 1, 2))
    with pytest.raises(InputNotFoundError, match="no file"):
        index.search(like=tmp_path / "gone.jpg")
    with pytest.raises(QueryError, match="no clip"):
        index.search(like=str(path))  # a text is the id of a clip, never a file


def test_another_model_is_refused(index, tmp_path):
    space = index.space.__class__.from_json({**asdict(index.space), "weights_sha256": "0" * 64})
    manifests.create(tmp_path / "index", space)
    with pytest.raises(SpaceMismatchError, match="what is here is demo-viclip"):
        vidsearch.open_index(tmp_path / "index").encode_media(Media(Path("x.jpg")))
