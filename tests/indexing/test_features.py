"""Clips are measured once, the same as without a store; what fails is said by position."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.videos import write_video

from indexer.features import ClipSource, FeatureStore, measure, store_of
from vidsearch import load_encoder
from vidsearch.encoders.base import Encoder, Pixels


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return load_encoder("demo-viclip", device="cpu", precision="float32")


def test_rows_are_those_of_the_encoder_and_measured_once(tmp_path: Path, encoder: Encoder) -> None:
    clips = _clips(tmp_path)
    calls: list[int] = []

    def counted(pixels: Pixels) -> np.ndarray:
        calls.append(len(pixels))
        return encoder.encode_pixels(pixels)

    plain = measure(clips, encoder.preset, encoder.encode_pixels)
    store = store_of(tmp_path / "cache", encoder)
    first = measure(clips, encoder.preset, counted, store=store, batch=2)
    again = measure(clips, encoder.preset, counted, store=store, batch=2)
    store.close()
    assert sum(calls) == 3  # one of the four came twice
    assert (first.cached, again.cached) == (0, 4)
    np.testing.assert_allclose(first.rows, plain.rows, atol=1e-6)
    np.testing.assert_array_equal(again.rows, first.rows)
    np.testing.assert_array_equal(first.rows[0], first.rows[3])
    assert np.linalg.norm(first.rows[0] - first.rows[1]) > 1e-3


def test_a_clip_that_cannot_be_had_is_named_and_the_others_are_there(tmp_path: Path, encoder: Encoder) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video")
    clips = [ClipSource(broken), *_clips(tmp_path), ClipSource(tmp_path / "gone.mp4")]
    found = measure(clips, encoder.preset, encoder.encode_pixels)
    assert sorted(found.failures) == [0, 5]
    assert found.failures[5].startswith("NOT_FOUND")
    assert not found.rows[0].any()
    assert np.allclose(np.linalg.norm(found.rows[1:5], axis=1), 1, atol=1e-5)


def test_a_stopped_run_keeps_what_it_measured(tmp_path: Path, encoder: Encoder) -> None:
    clips, store = _clips(tmp_path)[:3], FeatureStore(tmp_path / "rows.sqlite")

    def stop(progress: object) -> None:
        if getattr(progress, "done", 0) == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure(clips, encoder.preset, encoder.encode_pixels, store=store, batch=1, progress=stop)
    assert measure(clips, encoder.preset, encoder.encode_pixels, store=store).cached == 1
    store.close()


def test_a_file_that_changed_is_measured_anew(tmp_path: Path, encoder: Encoder) -> None:
    clips, store = _clips(tmp_path)[:1], FeatureStore(tmp_path / "rows.sqlite")
    measure(clips, encoder.preset, encoder.encode_pixels, store=store)
    write_video(clips[0].path, frames=30)
    assert measure(clips, encoder.preset, encoder.encode_pixels, store=store).cached == 0
    store.close()


def _clips(folder: Path) -> list[ClipSource]:
    one, two = folder / "one.mp4", folder / "two.mp4"
    write_video(one, frames=24)
    write_video(two, frames=48)
    return [ClipSource(one), ClipSource(two, 0.0, 1.0), ClipSource(two, 1.0, None), ClipSource(one)]
