"""How long captions are: their words, and the characters of scripts that put no spaces between words."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import types

from vidsearch.corpus import Corpus
from vidsearch.selection import Selection
from vidsearch.storage.columns import AnyColumn

ABOUT_WORDS = "Of scripts that put no spaces between words, each character counts as one."

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
        column = segment.columns.get(self._column)
        if column is None or column.kind not in ("text", "category") or types.is_boolean(column.type):
            return np.zeros(0, np.int32)
        if segment.uuid not in self._known:
            self._known[segment.uuid] = _lengths(column)
        lengths = self._known[segment.uuid]
        chosen = lengths if selection.everything else lengths[selection.ids]
        return chosen[chosen >= 0]


def _lengths(column: AnyColumn) -> Lengths:
    """Return the length of each text of a column, -1 where there is none."""
    if column.kind == "category":  # few texts: each is counted once
        return np.append(count_words(pa.array(column.values, pa.large_string())), np.int32(-1))[column.codes]
    lengths = count_words(column.arrow())
    if column.nulls.count:
        lengths[column.nulls.ids] = -1
    return lengths


def count_words(texts: pa.Array) -> Lengths:
    """Return how many words each text has, (n,) int32; 0 for null.

    A word is what stands between spaces. A character of a script without spaces (Chinese, Japanese, Thai, Lao, Khmer, Burmese) counts as
    one, as word processors have it.

    Args:
        texts: (n,) large_string.
    """
    from vidsearch.evaluation._word_kernel import count_runs  # compiled code: loaded when there are captions to count

    counts, wide = np.zeros(len(texts), np.int32), np.zeros(len(texts), np.bool_)
    if not len(texts):
        return counts
    ends = np.frombuffer(texts.buffers()[1], "<i8", count=len(texts) + 1, offset=8 * texts.offset)
    count_runs(np.frombuffer(texts.buffers()[2] or b"", np.uint8), ends, counts, wide)
    places = np.flatnonzero(wide)
    if len(places):
        found = pc.count_substring_regex(texts.take(pa.array(places)), _PATTERN)
        counts[places] = np.frombuffer(pc.fill_null(found, 0).cast(pa.int32()).buffers()[1], np.int32, count=len(places))
    return counts
