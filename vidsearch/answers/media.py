"""A picture or a part of a video → a vector of the index's space. Loads the model with its picture side; nothing else of a query does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from vidsearch._query_parts import Media
from vidsearch.archives.members import is_member
from vidsearch.config import Space
from vidsearch.decoders.base import Span
from vidsearch.encoders import load_encoder
from vidsearch.encoders.base import Encoder
from vidsearch.errors import DecodeError, InputNotFoundError, QueryError, SpaceMismatchError
from vidsearch.extras import require
from vidsearch.query import Vector
from vidsearch.registry import plugin
from vidsearch.resize import resize_frames
from vidsearch.sampling import choose_frames

Frames = npt.NDArray[np.uint8]  # (n, height, width, 3) RGB


def encoder_of(space: Space, source: str | Path | None) -> Encoder:
    """Load both sides of the model that made an index.

    Raises:
        InputNotFoundError: its weights are not here.
        SpaceMismatchError: they are others.
    """
    encoder = load_encoder(str(source) if source is not None else _source(space), preset=space.preset.name, frames=space.preset.frames)
    if encoder.space.id != space.id:
        raise SpaceMismatchError(
            f"the index was made with {space.model} ({space.id[:12]}); what is here is {encoder.space.model} ({encoder.space.id[:12]})"
        )
    return encoder


def _source(space: Space) -> str:
    return space.source if space.source and (not Path(space.source).suffix or Path(space.source).is_file()) else space.model


def encode(media: Media, encoder: Encoder) -> Vector:
    """Return the unit vector (dim,) of a file; a picture counts as a clip in which nothing moves."""
    require("av")
    from vidsearch.decoders._stills import is_still, read_still

    try:
        if not media.path.is_file() and not is_member(media.path):
            raise InputNotFoundError(f"no file {media.path}")
        frames = _still(media, read_still(media.path), encoder) if is_still(media.path) else _moving(media, encoder)
    except DecodeError as error:
        raise QueryError(f"{media}: {error}") from error
    vector: Vector = encoder.encode_pixels(frames[None])[0]
    return vector


def _still(media: Media, picture: Frames, encoder: Encoder) -> Frames:
    if media.start_s or media.end_s is not None:
        raise QueryError(f"{media}: a picture has no times")
    return np.repeat(resize_frames(picture[None], encoder.preset), encoder.preset.frames, axis=0)


def _moving(media: Media, encoder: Encoder) -> Frames:
    preset = encoder.preset
    (clip,) = (
        plugin("vidsearch.decoders", "pyav")
        .open_decoder()
        .read_clips(
            media.path,
            [Span(media.start_s, media.end_s)],
            choose=lambda available: choose_frames(available, preset),
            transform=lambda frame: resize_frames(frame, preset),
        )
    )
    if clip.frames is None:
        raise DecodeError(clip.reason, clip.detail)
    frames: Frames = clip.frames
    return frames
