"""How long captions are: their words, and the characters of scripts that put no spaces between words."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from vidsearch.corpus import Corpus
from vidsearch.selection import Selection

BLOCK_ROWS = 1 << 16  # the bytes of so many captions are looked at together
THREE_BYTES = 0xE0  # how UTF-8 begins every character of a script without spaces, and none of Latin, Greek, Cyrillic, Hebrew or Arabic

_SPACELESS = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
_GAPS = r"\s\p{Z}\x{3001}-\x{3003}\x{3008}-\x{301F}\x{FF01}-\x{FF0F}\x{FF1A}-\x{FF20}"  # spaces, and punctuation as wide as a character
_PATTERN = f"[{_SPACELESS}]|[^{_SPACELESS}{_GAPS}]+"

Lengths = npt.NDArray[np.int32]


class CaptionLengths:
    """The length of every caption of one column, counted once a segment and kept: 4 bytes a row."""

    def __init__(self, corpus: Corpus, column: str = "caption") -> None:
        self._corpus, self._column = corpus, column
        self._known: dict[str, Lengths] = {}

    def of(self, number: int, selection: Selection) -> Lengths:
        """Return the lengths of the selected rows of a segment that have a caption, in order of their rows."""
        segment = self._corpus.segments[number]
        if self._column not in segment.columns:
            return np.zeros(0, np.int32)
        if segment.uuid not in self._known:
            self._known[segment.uuid] = _lengths(segment.columns[self._column].arrow())
        lengths = self._known[segment.uuid]
        chosen = lengths if selection.everything else lengths[selection.ids]
        return chosen[chosen >= 0]


def _lengths(column: Any) -> Lengths:
    """Return the length of each text, -1 where there is none."""
    texts = column.cast(pa.large_string())
    lengths = count_words(texts)
    return np.where(texts.is_valid().to_numpy(zero_copy_only=False), lengths, np.int32(-1)) if texts.null_count else lengths


def count_words(texts: pa.Array) -> Lengths:
    """Return how many words each text has, (n,) int32; 0 for null.

    A word is what stands between spaces. A character of a script without spaces (Chinese, Japanese, Thai, Lao, Khmer, Burmese) counts as
    one, as word processors have it.

    Args:
        texts: (n,) large_string.
    """
    parts = [np.zeros(0, np.int32)]
    parts += [_count_block(texts[start : start + BLOCK_ROWS]) for start in range(0, len(texts), BLOCK_ROWS)]
    return np.concatenate(parts)


def _count_block(texts: pa.Array) -> Lengths:
    ends = np.frombuffer(texts.buffers()[1], "<i8", count=len(texts) + 1, offset=8 * texts.offset)
    data = np.frombuffer(texts.buffers()[2] or b"", np.uint8)[ends[0] : ends[-1]]
    ends = ends - ends[0]
    filled = data > 0x20
    starts = filled.copy()
    starts[1:] &= ~filled[:-1]
    firsts = ends[:-1][ends[:-1] < ends[1:]]
    starts[firsts] = filled[firsts]  # a text begins a word, whatever the one before it ends with
    counts: Lengths = np.diff(np.searchsorted(np.flatnonzero(starts), ends)).astype(np.int32)
    wide = np.flatnonzero(np.diff(np.searchsorted(np.flatnonzero(data >= THREE_BYTES), ends)))
    if len(wide):
        found = pc.count_substring_regex(texts.take(pa.array(wide)), _PATTERN)
        counts[wide] = pc.fill_null(found, 0).to_numpy(zero_copy_only=False)
    return counts
