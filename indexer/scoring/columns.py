"""Write scores into a column of an index: a new one, one that was computed before, or the gaps of one that was indexed."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from vidsearch.corpus import Corpus, Rows
from vidsearch.errors import UsageError, VidsearchError
from vidsearch.storage.rewrite import check_name, made_by_column, with_column
from vidsearch.storage.seal import JSON
from vidsearch.storage.segment import Segment

MadeBy = Mapping[str, JSON]  # "by" says it to a person; all of it tells whether two columns' scores are of one kind


def rows_to_score(corpus: Corpus, column: str, *, where: str | None, missing_only: bool) -> Rows:
    """Return the rows that pass a filter, ascending; with `missing_only` those that have no value in a column, or NaN."""
    selections = corpus.select(where)
    chosen = [selection.ids.astype(np.int64) + corpus.offsets[number] for number, selection in enumerate(selections)]
    rows: Rows = np.concatenate([np.zeros(0, np.int64), *chosen])
    if not missing_only or not corpus.segments or column not in corpus.schema.names:
        return rows
    lacking: Rows = rows[_missing(corpus, column)[rows]]
    return lacking


def check_column(corpus: Corpus, column: str, *, missing_only: bool, made_by: MadeBy | None = None, partly: bool = False) -> None:
    """Refuse what would overwrite what was indexed or mix scores of two kinds, before anything is computed.

    Args:
        missing_only: fill what it lacks.
        made_by: how the scores will be made, where that is known by now.
        partly: not all clips are to be scored.

    Raises:
        UsageError: says what may be done.
    """
    schema = corpus.schema if corpus.segments else pa.schema([])
    there = column in schema.names
    if there and missing_only and not pa.types.is_floating(schema.field(column).type):
        raise UsageError(f"column {column!r} holds {schema.field(column).type}, which are no scores; choose another with --column")
    try:
        check_name(column, corpus.manifest, corpus.segments, fill=missing_only)
    except UsageError as error:
        if not there:
            raise
        raise UsageError(
            f"column {column!r} came with the rows and stays as it is; --missing-only fills what it lacks, --column NAME writes another"
        ) from error
    known = made_by_column(corpus.manifest).get(column)
    if known is not None and made_by is not None and (missing_only or partly) and known != dict(made_by):
        raise UsageError(
            f"column {column!r} holds scores by {known.get('by')}; others would not compare with them: score all clips anew, without "
            "--where and --missing-only, or write another with --column"
        )


def write_scores(
    corpus: Corpus, column: str, scores: npt.NDArray[np.float32], rows: Rows, *, made_by: MadeBy, missing_only: bool = False
) -> int:
    """Write the scores of some rows, as float32 where the column is new, and return the new version; other rows keep what they have.

    Args:
        scores: (rows of the index,) NaN where a row has none: null.
        rows: those that were scored.
        missing_only: no value that is there is replaced.
    """
    numbers = {segment.uuid: number for number, segment in enumerate(corpus.segments)}
    asked = np.zeros(corpus.slots, dtype=np.bool_)
    asked[rows] = True

    def values(segment: Segment) -> pa.Array:
        if segment.uuid not in numbers:
            raise VidsearchError("another process changed the index meanwhile, or a segment is damaged; run the command again")
        first = int(corpus.offsets[numbers[segment.uuid]])
        own, chosen = scores[first : first + segment.rows], asked[first : first + segment.rows]
        given = pa.array(own, pa.float32(), mask=np.isnan(own))
        if missing_only or column not in segment.schema.names or chosen.all():
            return given
        return pc.if_else(pa.array(chosen), given, segment.read_columns([column])[column].cast(pa.float32()).combine_chunks())

    return with_column(corpus.root, column, values, fill=missing_only, made_by=made_by).version


def _missing(corpus: Corpus, column: str) -> npt.NDArray[np.bool_]:
    """Return (rows of the index,) which have no value."""
    parts = []
    for table in corpus.read_columns([column]):
        values = table[column]
        missing = pc.is_null(values, nan_is_null=pa.types.is_floating(values.type))
        parts.append(missing.to_numpy())
    return np.concatenate(parts)
