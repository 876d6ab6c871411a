"""Vectors, rows and queries for `search.py`: seeded, made block by block, shaped like CLIP's space of video clips.

    clip = clips' cone + area + topic + source video + what differs from clip to clip    of one falling spectrum
    text = texts' cone + area + topic + a little of a video + words                      words have a spectrum of their own

64 areas hold 2,048 topics of zipfian size; a video has one topic and about 8 clips, in a third of the videos nearly the same ones. Test
queries ask about the topics of 16 areas, which hold a quarter of the rows, and of no others: `_search_columns.py` makes filters of that.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

VERSION = 1  # raised when the same seed gives other data: part of the cache's name
BLOCK_ROWS = 65_536
CHUNK_ROWS = 512  # of a block, made at a time: stays in the processor's cache
DIM = 768
AREAS, TOPICS, ASKED_AREAS = 64, 2_048, 16
CLIPS_A_VIDEO = 8
ASKED_SHARE = 0.25  # of the rows
TEST_QUERIES, TRAIN_QUERIES = 512, 4_096

CLIP_CONE, TEXT_CONE = 0.5, 0.6  # of a vector's squared length: what all share
AREA, TOPIC, VIDEO, CLIP = 0.08, 0.32, 0.25, 0.35  # of the rest of a clip's
DETAIL, DETAIL_RANK = 0.6, 96  # share of what differs between clips that lies in few directions
TEXT_SIGNAL, TEXT_VIDEO = 0.12, 0.1  # of the rest of a text's: what it shares with its video; of that, the video's own part
DECAY = 0.75  # the spectrum falls as (1 + i)^-DECAY: participation ratio 113 of 768

Floats = npt.NDArray[np.float32]
Halves = npt.NDArray[np.float16]
Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Videos:
    """The source videos of one block.

    Attributes:
        topic: (v,) of each.
        spread: (v,) float32, how far its clips lie apart; 1 on average.
        of_row: (BLOCK_ROWS,) video of each row, ascending.
    """

    topic: Numbers
    spread: Floats
    of_row: Numbers


class World:
    """What a seed makes; a block depends on the seed and its number alone."""

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed
        rng = np.random.default_rng([seed, 0])
        self._clip_axes = _axes(rng, DECAY)
        self._text_axes = _axes(rng, 1.0)
        cones = np.linalg.qr(rng.standard_normal((DIM, 2)))[0].T.astype(np.float32)
        self._clip_cone, self._text_cone = cones[0], 0.25 * cones[0] + np.sqrt(1 - 0.25**2) * cones[1]
        area_of_topic = rng.integers(AREAS, size=TOPICS)
        self.asked = np.isin(area_of_topic, rng.permutation(AREAS)[:ASKED_AREAS])  # (TOPICS,) bool
        sizes = 1 / (np.arange(TOPICS) + 20.0)
        asked_share = sizes[self.asked].sum() / sizes.sum()
        sizes *= np.where(self.asked, ASKED_SHARE / asked_share, (1 - ASKED_SHARE) / (1 - asked_share))
        self._sizes = sizes / sizes.sum()
        areas, topics = self._draw(rng, AREAS), self._draw(rng, TOPICS)
        self._topics: Floats = np.float32(AREA**0.5) * areas[area_of_topic] + np.float32(TOPIC**0.5) * topics

    def videos(self, block: int) -> Videos:
        rng = self._rng(block, 0)
        lengths = 1 + rng.geometric(1 / (CLIPS_A_VIDEO - 1), size=BLOCK_ROWS // 4)
        of_row = np.repeat(np.arange(len(lengths)), lengths)[:BLOCK_ROWS]
        count = int(of_row[-1]) + 1
        alike = np.where(rng.random(count) < 1 / 3, 0.3, 1.21)  # squared: 0.09 and 1.46, 1.0 on average
        return Videos(rng.choice(TOPICS, size=count, p=self._sizes), alike.astype(np.float32), of_row)

    def _own(self, block: int, videos: Videos) -> Floats:
        """Return (v, dim) float32, what distinguishes each video within its topic; squared length about 1."""
        return self._draw(self._rng(block, 4), len(videos.topic))

    def vectors(self, block: int, rows: int = BLOCK_ROWS) -> Halves:
        """Return the first rows of a block, (rows, dim) float16 of unit length."""
        videos, rng = self.videos(block), self._rng(block, 1)
        centre = self._clip_cone * np.float32(CLIP_CONE**0.5) + np.float32((1 - CLIP_CONE) ** 0.5) * (
            self._topics[videos.topic] + np.float32(VIDEO**0.5) * self._own(block, videos)
        )
        scale = videos.spread * np.float32(((1 - CLIP_CONE) * CLIP) ** 0.5)
        detail_axes = _scaled(self._clip_axes[:DETAIL_RANK], DETAIL)
        noise = np.empty((CHUNK_ROWS, DIM), np.float32)
        made = np.empty((rows, DIM), np.float16)
        for start in range(0, rows, CHUNK_ROWS):
            of_row = videos.of_row[start : start + CHUNK_ROWS]
            rng.random(dtype=np.float32, out=noise)  # uniform: three times faster than Gaussian, and the sum of many parts hides it
            noise -= 0.5
            noise *= np.float32((12 * (1 - DETAIL) / DIM) ** 0.5)
            noise += rng.standard_normal((CHUNK_ROWS, DETAIL_RANK), dtype=np.float32) @ detail_axes
            noise *= scale[of_row, None]
            noise += centre[of_row]
            made[start : start + CHUNK_ROWS] = _unit(noise)[: rows - start]
        return made

    @cached_property
    def test_queries(self) -> Floats:
        """(TEST_QUERIES, dim) float32 unit rows, about videos of the areas asked about."""
        return self._texts(1, TEST_QUERIES)

    @cached_property
    def train_queries(self) -> Floats:
        """(TRAIN_QUERIES, dim) float32 unit rows, about other videos, of all areas."""
        return self._texts(2, TRAIN_QUERIES)

    def _texts(self, purpose: int, count: int) -> Floats:
        videos, rng = self.videos(0), self._rng(0, 1 + purpose)
        order = np.random.default_rng([self.seed, 1]).permutation(len(videos.topic))
        tested = order[self.asked[videos.topic[order]]][:TEST_QUERIES]
        about = tested if purpose == 1 else rng.choice(np.setdiff1d(order, tested), size=count)
        signal = np.float32((1 - TEXT_VIDEO) ** 0.5) * _unit(self._topics[videos.topic[about]])
        signal += np.float32(TEXT_VIDEO**0.5) * self._own(0, videos)[about]
        words = np.float32(0.5**0.5) * (self._draw(rng, count) + _normals(rng, count) @ self._text_axes)
        return _unit(
            np.float32(TEXT_CONE**0.5) * self._text_cone
            + np.float32(((1 - TEXT_CONE) * TEXT_SIGNAL) ** 0.5) * signal
            + np.float32(((1 - TEXT_CONE) * (1 - TEXT_SIGNAL)) ** 0.5) * words
        )

    def _draw(self, rng: np.random.Generator, count: int) -> Floats:
        """Return (count, dim) float32 of the clips' spectrum, squared length 1 on average."""
        drawn: Floats = _normals(rng, count) @ self._clip_axes
        return drawn

    def _rng(self, block: int, purpose: int) -> np.random.Generator:
        return np.random.Generator(np.random.SFC64(np.random.SeedSequence([self.seed, 1 + block, purpose])))


def _axes(rng: np.random.Generator, decay: float) -> Floats:
    """Return (dim, dim) float32: standard normal rows times this have a falling spectrum along random axes, squared length 1."""
    turned = np.linalg.qr(rng.standard_normal((DIM, DIM)))[0].astype(np.float32)
    return _scaled(turned * (1 + np.arange(DIM, dtype=np.float32)[:, None]) ** np.float32(-decay / 2), 1.0)


def _scaled(axes: Floats, squared: float) -> Floats:
    scaled: Floats = axes * np.float32((squared / np.square(axes, dtype=np.float64).sum()) ** 0.5)
    return scaled


def _normals(rng: np.random.Generator, count: int) -> Floats:
    return rng.standard_normal((count, DIM), dtype=np.float32)


def _unit(rows: Floats) -> Floats:
    unit: Floats = rows / np.sqrt(np.einsum("ij,ij->i", rows, rows))[:, None]
    return unit
