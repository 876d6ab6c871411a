"""How well captions fit their clips: the cosine of a caption's vector and the clip's, both of the index's own model.

It reads the stored vectors and decodes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from indexer.rows import EMBEDDED_FROM
from vidsearch.corpus import Corpus, Rows, Vectors
from vidsearch.encoders.base import unit_rows

ROWS_AT_ONCE = 2048

EncodeTexts = Callable[[Sequence[str]], Vectors]


def score_match(
    corpus: Corpus, rows: Rows, encode_texts: EncodeTexts, *, progress: Callable[[int], None] = lambda done: None
) -> npt.NDArray[np.float32]:
    """Return the cosines (rows of the index,), NaN for rows not asked for and those without a caption or made of the caption alone."""
    scores = np.full(corpus.slots, np.nan, dtype=np.float32)
    for start in range(0, len(rows), ROWS_AT_ONCE):
        block, captions = captioned(corpus, rows[start : start + ROWS_AT_ONCE])
        if len(block):
            scores[block] = (encode_distinct(captions, encode_texts) * unit_rows(corpus.vectors_of(block))).sum(axis=1)
        progress(start + ROWS_AT_ONCE)
    return scores


def captioned(corpus: Corpus, rows: Rows) -> tuple[Rows, list[str]]:
    """Return those rows that have a caption and were made of a video, and their captions."""
    names = ["caption", *([EMBEDDED_FROM] if EMBEDDED_FROM in corpus.schema.names else [])]
    known = zip(rows.tolist(), corpus.take(rows, names), strict=True)
    kept = [
        (number, str(row["caption"])) for number, row in known if (row["caption"] or "").strip() and row.get(EMBEDDED_FROM) != "caption"
    ]
    return np.array([number for number, _ in kept], dtype=np.int64), [caption for _, caption in kept]


def encode_distinct(captions: Sequence[str], encode_texts: EncodeTexts) -> Vectors:
    """Return the vectors (n, dim) of captions, each different one encoded once."""
    place = {caption: number for number, caption in enumerate(dict.fromkeys(captions))}
    return encode_texts(list(place))[[place[caption] for caption in captions]]
