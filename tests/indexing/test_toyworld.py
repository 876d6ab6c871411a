"""The toy world: the same seed gives the same clips, and clips show what their captions say."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from indexer._toywords import COLOURS, MOTIONS, SHAPES
from indexer.toyrender import render
from indexer.toyvideos import encode_video, write_demo_videos
from indexer.toyworld import (
    CATEGORIES,
    LONGEST_CAPTION,
    REVERSED,
    Clip,
    Scene,
    describe,
    held_out_scenes,
    reverse,
    sample_scene,
    vary_motion,
    vary_setting,
)

Curve = npt.NDArray[np.float64]  # one value a frame


def _scene(motion: str, *, shape: str = "circle") -> Scene:
    """Return a red thing with that motion on a plain background."""
    rng = np.random.default_rng(5)
    while True:
        scene = sample_scene(rng, count=1)
        (thing,) = scene.things
        if (thing.motion, thing.shape) == (motion, shape):
            return replace(scene, things=(replace(thing, colour="red"),), texture="plain", tone="light")


def _mass(clip: Clip) -> npt.NDArray[np.float64]:
    """Return (frames, size, size): how red each pixel is beyond the background."""
    values = clip.astype(float)
    red = values[..., 0] - values[..., 1:].mean(axis=-1)
    return np.asarray(np.maximum(red - 60, 0))


def _centre(clip: Clip) -> tuple[Curve, Curve, Curve]:
    """Return x, y (0..1) and the area (a part of the picture, in units of redness) of the red thing in each frame."""
    mass = _mass(clip)
    area = mass.sum(axis=(1, 2))
    side = (np.arange(clip.shape[1]) + 0.5) / clip.shape[1]
    return (mass.sum(axis=1) @ side) / area, (mass.sum(axis=2) @ side) / area, area


def test_sample_scene_repeats_with_its_seed() -> None:
    first = [sample_scene(np.random.default_rng(seed)) for seed in range(20)]
    again = [sample_scene(np.random.default_rng(seed)) for seed in range(20)]
    assert first == again
    assert len(set(first)) == 20


def test_render_repeats_for_the_same_scene() -> None:
    scene = sample_scene(np.random.default_rng(3), count=3)
    assert np.array_equal(render(scene, size=32, frames=4), render(scene, size=32, frames=4))


@pytest.mark.parametrize(("size", "frames"), [(24, 1), (48, 8), (128, 30)])
def test_render_gives_the_size_and_frames_asked_for(size: int, frames: int) -> None:
    clip = render(sample_scene(np.random.default_rng(4)), size=size, frames=frames)
    assert clip.shape == (frames, size, size, 3)
    assert clip.dtype == np.uint8


def test_render_shows_the_same_at_every_size() -> None:
    for seed in range(10):
        scene = sample_scene(np.random.default_rng(seed))
        small, big = render(scene, size=32, frames=4).astype(float), render(scene, size=128, frames=4).astype(float)
        shrunk = big.reshape(4, 32, 4, 32, 4, 3).mean(axis=(2, 4))
        assert abs(small - shrunk).mean() < 4


@pytest.mark.parametrize(("motion", "sign_x", "sign_y"), [("right", 1, 0), ("left", -1, 0), ("up", 0, -1), ("down", 0, 1)])
def test_render_moves_a_thing_where_its_motion_says(motion: str, sign_x: int, sign_y: int) -> None:
    x, y, _ = _centre(render(_scene(motion), size=64, frames=8))
    for values, sign in ((x, sign_x), (y, sign_y)):
        steps = np.diff(values)
        assert (sign * steps > 0.02).all() if sign else (abs(steps) < 0.005).all()


@pytest.mark.parametrize(("motion", "sign"), [("grow", 1), ("shrink", -1)])
def test_render_changes_a_thing_s_size_as_its_motion_says(motion: str, sign: int) -> None:
    _, _, area = _centre(render(_scene(motion), size=64, frames=8))
    assert (sign * np.diff(area) > 0).all()
    assert max(area) > 4 * min(area)


@pytest.mark.parametrize(("motion", "sign"), [("clockwise", 1), ("anticlockwise", -1)])
def test_render_turns_a_thing_as_a_viewer_sees_the_clock(motion: str, sign: int) -> None:
    x, y, _ = _centre(render(_scene(motion), size=64, frames=16))
    angle = np.unwrap(np.arctan2(y - y.mean(), x - x.mean()))  # y is down: growing angles run clockwise
    assert (sign * np.diff(angle) > 0.2).all()


def test_render_blinks_a_thing_on_and_off() -> None:
    mass = _mass(render(_scene("blink"), size=64, frames=30)).sum(axis=(1, 2))
    assert mass.min() == 0
    assert mass.max() > 100
    assert (np.diff((mass > mass.max() / 2).astype(int)) != 0).sum() >= 3


def test_render_bounces_a_thing_up_and_down() -> None:
    x, y, _ = _centre(render(_scene("bounce"), size=64, frames=30))
    assert np.ptp(x) < 0.01
    assert np.ptp(y) > 0.2
    assert (np.diff(np.sign(np.diff(y))) != 0).sum() >= 3


@pytest.mark.parametrize("shape", SHAPES)
def test_render_keeps_every_shape_inside_its_radius(shape: str) -> None:
    scene = _scene("right", shape=shape)
    (thing,) = scene.things
    clip = render(scene, size=96, frames=8)
    for index, mass in enumerate(_mass(clip)):
        rows, columns = np.nonzero(mass)
        x = thing.x + thing.reach * (2 * (index + 0.5) / 8 - 1)
        far = np.hypot((columns + 0.5) / 96 - x, (rows + 0.5) / 96 - thing.y)
        assert 0.6 * thing.radius < far.max() < 1.45 * thing.radius  # a square's and a cross's corners reach beyond


def test_reverse_plays_exactly_backwards() -> None:
    rng = np.random.default_rng(6)
    reversible = 0
    for _ in range(40):
        scene = sample_scene(rng)
        backwards = reverse(scene)
        if backwards is None:
            continue
        reversible += 1
        assert reverse(backwards) == scene
        difference = render(backwards, size=32, frames=8)[::-1].astype(int) - render(scene, size=32, frames=8)
        assert abs(difference).max() <= 1
    assert reversible > 20


def test_reverse_is_none_when_time_does_not_show() -> None:
    for motion in sorted(set(MOTIONS) - set(REVERSED)):
        scene = _scene(motion)
        assert reverse(scene) is None
        clip = render(scene, size=32, frames=8).astype(int)
        assert abs(clip - clip[::-1]).max() <= 1


def test_held_out_combinations_are_never_drawn_for_training() -> None:
    rng = np.random.default_rng(7)
    seen = {(t.colour, t.shape, t.motion) for _ in range(1500) for t in sample_scene(rng, held_out=False).things}
    kept_back = {(t.colour, t.shape, t.motion) for _ in range(1500) for t in sample_scene(rng, held_out=True).things}
    assert len(kept_back) > 50
    assert not seen & kept_back
    for position, names in enumerate((COLOURS, SHAPES, MOTIONS)):  # no word is new in the held-out part
        assert {combination[position] for combination in seen} == set(names)


def test_held_out_holds_back_a_motion_together_with_its_reversal() -> None:
    rng = np.random.default_rng(8)
    for _ in range(100):
        for thing in sample_scene(rng).things:
            assert thing.held_out == replace(thing, motion=REVERSED.get(thing.motion, thing.motion)).held_out


def test_vary_motion_changes_nothing_but_the_motion() -> None:
    rng = np.random.default_rng(9)
    scene = sample_scene(rng, count=2)
    others = [vary_motion(scene, rng) for _ in range(30)]
    assert {(o.tone, o.texture, o.seed) for o in others} == {(scene.tone, scene.texture, scene.seed)}
    assert {tuple((t.colour, t.shape, t.large) for t in o.things) for o in others} == {
        tuple((t.colour, t.shape, t.large) for t in scene.things)
    }
    assert len({tuple(t.motion for t in o.things) for o in others}) > 10


def test_vary_setting_changes_what_a_caption_tells_but_no_motion() -> None:
    rng = np.random.default_rng(9)
    backgrounds = sizes = 0
    for _ in range(60):
        scene = sample_scene(rng)
        other = vary_setting(scene, rng)
        assert [(t.colour, t.shape, t.motion) for t in other.things] == [(t.colour, t.shape, t.motion) for t in scene.things]
        assert other.key != scene.key
        backgrounds += (other.tone, other.texture) != (scene.tone, scene.texture)
        sizes += other.things != scene.things
    assert backgrounds + sizes == 60
    assert min(backgrounds, sizes) > 10


def test_held_out_scenes_are_distinct_and_repeat_with_their_seed() -> None:
    scenes = held_out_scenes(200, seed=3)
    assert scenes == held_out_scenes(200, seed=3)
    assert len({scene.key for scene in scenes}) == 200
    assert all(thing.held_out for scene in scenes for thing in scene.things)


@pytest.mark.parametrize("language", ["en", "de"])
def test_describe_has_many_wordings_and_keeps_them_short(language: str) -> None:
    rng = np.random.default_rng(10)
    scene = sample_scene(rng, count=2)
    assert len({describe(scene, rng, language=language) for _ in range(100)}) > 12
    captions = [describe(sample_scene(rng), rng, complete=True, language=language) for _ in range(500)]
    assert max(len(caption.split()) for caption in captions) <= LONGEST_CAPTION


def test_describe_complete_tells_scenes_apart_by_their_key() -> None:
    scene = _scene("right")
    for language, names in (("en", ("red", "right", "light", "plain")), ("de", ("roter", "rechts", "hellem", "Grund"))):
        words = describe(scene, np.random.default_rng(0), complete=True, language=language)
        assert all(name in words for name in names), words
    assert scene.key != replace(scene, tone="dark").key
    assert scene.key != replace(scene, things=(replace(scene.things[0], motion="left"),)).key


def test_write_demo_videos_writes_what_its_rows_say(tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    rows = list(write_demo_videos(tmp_path, count=6, seed=11))
    assert sorted(row["video_path"] for row in rows) == sorted(path.name for path in tmp_path.iterdir())
    for row in rows:
        assert len(row["YoutubeID"]) == 11
        assert (row["Start_timestamp"], row["End_timestamp"]) == ("00:00:00.000", "00:00:03.000")
        assert row["Language"] in ("en", "de")
        assert row["Category"] in CATEGORIES
        assert 3.5 <= row["Aesthetic_Score"] <= 6.5
        assert 0.2 <= row["UMT_Score"] <= 0.5
        with av.open(str(tmp_path / row["video_path"])) as container:
            stream = container.streams.video[0]
            assert (stream.codec_context.name, stream.width, stream.height, stream.frames) == ("h264", 128, 128, 30)
            assert float(stream.duration * stream.time_base) == 3.0


def test_write_demo_videos_repeats_with_its_seed(tmp_path: Path) -> None:
    pytest.importorskip("av")
    first, again, other = (list(write_demo_videos(tmp_path / str(n), count=3, seed=seed)) for n, seed in enumerate((1, 1, 2)))
    assert first == again
    assert first != other
    for row in first:
        assert (tmp_path / "0" / row["video_path"]).read_bytes() == (tmp_path / "1" / row["video_path"]).read_bytes()


def test_encode_video_keeps_the_picture() -> None:
    av = pytest.importorskip("av")
    clip = render(sample_scene(np.random.default_rng(12)), size=128, frames=20)
    file = io.BytesIO()
    encode_video(file, clip, rate=10)
    with av.open(io.BytesIO(file.getvalue())) as container:
        decoded = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])
    assert decoded.shape == clip.shape
    assert abs(decoded.astype(float) - clip).mean() < 6
