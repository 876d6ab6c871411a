"""The caption audit: which captions to doubt, by what three witnesses say of them.

    match       the cosine of the caption's vector and the clip's
    umt         the score the caption came with (umt_score, or clip_score), where there is one
    agreement   the mean cosine of the caption's vector and those of the nearest clips' captions

Each becomes a percentile among the clips audited, the first and the last within the clip's language: captions of a language the model reads
badly are compared with each other. Suspicion is 1 minus their weighted geometric mean, in which a sure witness says more
than one without an opinion: near 1 where all like a caption least. How well that works is measured in docs/scores.md.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from indexer.scoring.match import EncodeTexts, captioned, encode_distinct
from vidsearch.corpus import Corpus, Rows, Vectors
from vidsearch.encoders.base import unit_rows
from vidsearch.errors import UsageError

NEIGHBOURS = 10
RECALL = 0.9  # of the neighbours; a missed one is replaced by the next
ROWS_AT_ONCE = 512
WEIGHTS = np.array([2.0, 0.5, 1.0])  # of match, umt, agreement: the second may be of another caption or model, the third is of other clips
CAPTION_SCORES = ("umt_score", "clip_score")

Numbers = npt.NDArray[np.float32]


@dataclass(frozen=True, repr=False)
class Audit:
    """What is known of captions, in the order of their rows.

    Attributes:
        rows: (n,) their clips.
        match, umt, agreement: (n,) the measures; NaN where one says nothing.
        percentiles: (n, 3) of these, 0 to 1; NaN likewise.
        nearest: (n,) the row of the nearest clip with a caption; -1 where there is none.
    """

    rows: Rows
    match: Numbers
    umt: Numbers
    agreement: Numbers
    percentiles: Numbers
    nearest: Rows

    @property
    def suspicion(self) -> Numbers:
        """(n,) 1 minus the weighted geometric mean of the percentiles there are."""
        weights = np.where(np.isnan(self.percentiles), 0, WEIGHTS)
        logs = np.log(np.where(weights > 0, self.percentiles, 1))
        found: Numbers = (1 - np.exp((weights * logs).sum(axis=1) / weights.sum(axis=1))).astype(np.float32)
        return found

    def worst(self, k: int) -> npt.NDArray[np.int64]:
        """Return the places of the k most suspicious, of equal ones the first row."""
        return np.argsort(-self.suspicion, kind="stable")[:k]


def audit_captions(
    corpus: Corpus,
    rows: Rows,
    encode_texts: EncodeTexts,
    *,
    neighbours: int = NEIGHBOURS,
    progress: Callable[[int], None] = lambda done: None,
) -> Audit:
    """Return what is to be said of the captions of some rows; those without one, or made of it alone, are left out.

    The captions' vectors wait in a temporary file, two bytes a number, so memory stays flat.

    Args:
        rows: ascending; neighbours are looked for among them alone.
        neighbours: nearest clips whose captions are asked.
        progress: called with the number of captions done; each is counted twice, for its vector and its neighbours.
    """
    if neighbours < 1:
        raise UsageError(f"neighbours is {neighbours}; it must be 1 or more")
    with tempfile.TemporaryFile() as scratch:
        kept, match = _write_captions(corpus, rows, encode_texts, scratch, progress)
        if not len(kept):
            raise UsageError(f"no clip of {corpus.root} that passes has a caption, so there is nothing to audit")
        texts = np.memmap(scratch, dtype=np.float16, mode="r", shape=(len(kept), corpus.space.dim))
        agreement, nearest = _agreement(corpus, kept, texts, neighbours, lambda done: progress(len(kept) + done))
    languages, umt = _languages(corpus, kept), _caption_scores(corpus, kept)
    percentiles = [percentile(match, languages), percentile(umt, np.zeros(len(kept), np.int32)), percentile(agreement, languages)]
    return Audit(kept, match, umt, agreement, np.stack(percentiles, axis=1).astype(np.float32), nearest)


def percentile(values: Numbers, groups: npt.NDArray[np.int32]) -> npt.NDArray[np.float64]:
    """Return (n,) the share of a value's own group that is less, equal ones and itself counting half; NaN stays NaN and counts for none."""
    found = np.full(len(values), np.nan)
    for group in np.unique(groups):
        own = np.flatnonzero((groups == group) & ~np.isnan(values))
        ordered = np.sort(values[own])
        less, most = np.searchsorted(ordered, values[own], "left"), np.searchsorted(ordered, values[own], "right")
        found[own] = (less + most) / 2 / max(1, len(own))
    return found


def _write_captions(
    corpus: Corpus, rows: Rows, encode_texts: EncodeTexts, scratch: IO[bytes], progress: Callable[[int], None]
) -> tuple[Rows, Numbers]:
    """Write the captions' vectors; return the rows they are of and how well they match their clips."""
    kept, match = [np.zeros(0, np.int64)], [np.zeros(0, np.float32)]
    for start in range(0, len(rows), ROWS_AT_ONCE):
        block, captions = captioned(corpus, rows[start : start + ROWS_AT_ONCE])
        if len(block):
            texts = encode_distinct(captions, encode_texts)
            scratch.write(texts.astype(np.float16).tobytes())
            kept.append(block)
            match.append((texts * unit_rows(corpus.vectors_of(block))).sum(axis=1))
        progress(start + ROWS_AT_ONCE)
    scratch.flush()
    return np.concatenate(kept), np.concatenate(match)


def _agreement(
    corpus: Corpus, rows: Rows, texts: npt.NDArray[np.float16], neighbours: int, progress: Callable[[int], None]
) -> tuple[Numbers, Rows]:
    """Return the mean cosine of each caption and its neighbours', and the nearest of these; NaN and -1 where a clip is alone."""
    agreement = np.full(len(rows), np.nan, dtype=np.float32)
    nearest = np.full(len(rows), -1, dtype=np.int64)
    for start, found in _neighbours(corpus, rows, neighbours):
        for place, near in enumerate(found, start):
            if len(near):
                others = texts[np.searchsorted(rows, near)].astype(np.float32)
                agreement[place] = (others @ texts[place].astype(np.float32)).mean()
                nearest[place] = near[0]
        progress(start + len(found))
    return agreement, nearest


def _neighbours(corpus: Corpus, rows: Rows, wanted: int) -> Iterator[tuple[int, list[Rows]]]:
    """Yield a place in `rows`, and for this and those that follow their nearest others."""
    selections = corpus.narrow(corpus.select(None), rows)
    for start in range(0, len(rows), ROWS_AT_ONCE):
        block = rows[start : start + ROWS_AT_ONCE]
        vectors: Vectors = corpus.vectors_of(block)
        ranked = corpus.nearest(unit_rows(vectors), wanted + 1, selections=selections, recall=RECALL)
        yield start, [one.rows[one.rows != row][:wanted] for one, row in zip(ranked, block, strict=True)]


def _languages(corpus: Corpus, rows: Rows) -> npt.NDArray[np.int32]:
    """Return a number for each clip's language, the same for all without one."""
    numbers: dict[Any, int] = {}
    return np.fromiter((numbers.setdefault(value, len(numbers)) for value in _values(corpus, rows, "language")), np.int32, len(rows))


def _caption_scores(corpus: Corpus, rows: Rows) -> Numbers:
    """Return the scores that captions came with; NaN where there are none."""
    column = next((name for name in CAPTION_SCORES if name in corpus.schema.names), CAPTION_SCORES[0])
    if column in corpus.schema.names and not pa.types.is_floating(corpus.schema.field(column).type):
        return np.full(len(rows), np.nan, dtype=np.float32)
    return np.fromiter((np.nan if value is None else value for value in _values(corpus, rows, column)), np.float32, len(rows))


def _values(corpus: Corpus, rows: Rows, column: str) -> Iterator[Any]:
    """Yield what a column has for some rows, a few at a time; None where there is no such column."""
    there = [column] if column in corpus.schema.names else []
    for start in range(0, len(rows), ROWS_AT_ONCE):
        yield from (row.get(column) for row in corpus.take(rows[start : start + ROWS_AT_ONCE], there))


def audit_records(corpus: Corpus, audit: Audit, places: npt.NDArray[np.int64]) -> list[dict[str, Any]]:
    """Return what is to be told of some captions, with that of the nearest clip beside each."""
    names = ["clip_id", "video", "start_s", "end_s", "caption", *(["language"] if "language" in corpus.schema.names else [])]
    clips = corpus.take(audit.rows[places], names)
    nearest = audit.nearest[places]
    others = iter(corpus.take(nearest[nearest >= 0], ["caption"]))
    suspicion = audit.suspicion
    records = []
    for place, near, clip in zip(places.tolist(), nearest.tolist(), clips, strict=True):
        shares = [_number(share) for share in audit.percentiles[place]]
        records.append(
            {
                **clip,
                "suspicion": float(suspicion[place]),
                "match": float(audit.match[place]),
                "match_percentile": shares[0],
                "umt_score": _number(audit.umt[place]),
                "umt_percentile": shares[1],
                "agreement": _number(audit.agreement[place]),
                "agreement_percentile": shares[2],
                "nearest_caption": next(others)["caption"] if near >= 0 else None,
            }
        )
    return records


def _number(value: np.float32) -> float | None:
    return None if np.isnan(value) else float(value)
