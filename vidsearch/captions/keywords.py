"""The one file that knows tantivy: captions in, BM25 out.

Words are runs of letters and digits, in small letters, without accents and without stemming, so that every language is treated alike and
a quoted phrase is what it says. Scripts that put no spaces between words (and Korean, which glues particles to them) are indexed a
character at a time and asked for by pairs, as Lucene's CJK analyzer does.
"""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vidsearch.captions.text import Wanted, normal
from vidsearch.selection import Selection

TOKENIZER_VERSION = 1  # raise it when the same text would give other words
HEAP_BYTES = 64 << 20
FEW_ROWS = 5_000  # so few allowed rows are part of tantivy's query; of more, the best are found and those that do not pass left out
SPACELESS = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
WORD = rf"[{SPACELESS}]|[[\p{{L}}\p{{N}}\p{{M}}]--[{SPACELESS}]]+"

Rows = npt.NDArray[np.int64]
Scores = npt.NDArray[np.float32]


def write(folder: Path, captions: Iterable[tuple[int, str]]) -> None:
    """Fill an empty folder with tantivy's files; about 100,000 captions a second on one core.

    Args:
        folder: where.
        captions: (row, caption); rows without one are left out.
    """
    import tantivy

    index = tantivy.Index(_schema(), path=str(folder))
    index.register_tokenizer("words", _analyzer())
    writer = index.writer(HEAP_BYTES, 1)  # one thread: rows keep their order
    for row, caption in captions:
        writer.add_document(tantivy.Document(row=row, caption=normal(caption)))
    writer.commit()
    writer.wait_merging_threads()


class Keywords:
    """The captions of one segment, by their words.

    Opened through links in a folder of its own: tantivy makes lock files beside what it reads, and an index may be read-only.
    """

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        import tantivy

        self._links = tempfile.mkdtemp(prefix="vidsearch-keywords-")
        weakref.finalize(self, shutil.rmtree, self._links, ignore_errors=True)
        for name in names:
            Path(self._links, name).symlink_to(folder.absolute() / name)
        index = tantivy.Index.open(self._links)
        index.config_reader("manual")  # files never change: nothing to watch
        index.reload()
        self._searcher = index.searcher()
        self._schema = index.schema
        self._analyzer = _analyzer()

    def search(self, wanted: Sequence[Wanted], limit: int, allowed: Selection) -> tuple[Rows, Scores]:
        """Return the rows that hold a word at least and are allowed: at most `limit`, by falling BM25, then by row."""
        query = self._any_word(wanted)
        if query is None or not allowed.count:
            return np.zeros(0, np.int64), np.zeros(0, np.float32)
        if allowed.count <= min(FEW_ROWS, allowed.rows - 1):
            return self._best(self._both(query, allowed), limit)
        depth = limit if allowed.everything else 2 * limit
        while True:
            rows, scores = self._best(query, depth)
            passing = np.ones(len(rows), np.bool_) if allowed.everything else allowed.mask[rows]
            if passing.sum() >= limit or len(rows) < depth:
                return rows[passing][:limit], scores[passing][:limit]
            depth *= 4

    def holding(self, phrases: Sequence[str]) -> Rows:
        """Return, ascending, the rows that hold every phrase; each must have a word."""
        import tantivy

        terms = [self._analyzer.analyze(normal(phrase)) for phrase in phrases]
        query = tantivy.Query.boolean_query([(tantivy.Occur.Must, self._phrase(words)) for words in terms])
        count = self._searcher.search(query, limit=1).count
        return np.sort(self._best(query, count)[0])

    def _best(self, query: Any, limit: int) -> tuple[Rows, Scores]:
        limit = max(1, min(limit, self._searcher.num_docs))  # tantivy sets that much memory aside
        hits = self._searcher.search(query, limit=limit, count=False).hits
        rows = self._rows_of(hits)
        scores = np.array([score for score, _ in hits], dtype=np.float32)
        order = np.lexsort((rows, -scores))
        return rows[order], scores[order]

    def _rows_of(self, hits: Sequence[tuple[float, Any]]) -> Rows:
        return np.array(self._searcher.fast_field_values("row", [address for _, address in hits]), dtype=np.int64)

    def _any_word(self, wanted: Sequence[Wanted]) -> Any | None:
        import tantivy

        words = [
            (tantivy.Occur.Should, tantivy.Query.boost_query(self._phrase(part), item.weight))
            for item in wanted
            if item.weight > 0
            for part in self._parts(item.words)
        ]
        return tantivy.Query.boolean_query(words) if words else None

    def _parts(self, text: str) -> list[list[str]]:
        """Return what to look for: words, and pairs of neighbours where a script has no spaces."""
        parts: dict[tuple[str, ...], None] = {}
        for chunk in normal(text).split():
            tokens = self._analyzer.analyze(chunk)
            single = [len(token) == 1 and not token.isascii() for token in tokens]
            for place, token in enumerate(tokens):
                if single[place] and place + 1 < len(tokens) and single[place + 1]:
                    parts[token, tokens[place + 1]] = None
                elif not (single[place] and place and single[place - 1]):
                    parts[token,] = None
        return [list(part) for part in parts]

    def _phrase(self, words: Sequence[str]) -> Any:
        import tantivy

        if len(words) == 1:
            return tantivy.Query.term_query(self._schema, "caption", words[0])
        return tantivy.Query.phrase_query(self._schema, "caption", list(words))

    def _both(self, query: Any, allowed: Selection) -> Any:
        import tantivy

        rows = tantivy.Query.term_set_query(self._schema, "row", allowed.ids.tolist())
        must = tantivy.Occur.Must
        return tantivy.Query.boolean_query([(must, query), (must, tantivy.Query.const_score_query(rows, 0.0))])


def words_of(texts: Iterable[str]) -> list[str]:
    """Return the words that would be looked for in some texts."""
    analyzer = _analyzer()
    return [word for text in texts for word in analyzer.analyze(normal(text))]


def _analyzer() -> Any:
    import tantivy

    builder = tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.regex(WORD))
    return builder.filter(tantivy.Filter.lowercase()).filter(tantivy.Filter.ascii_fold()).build()


def _schema() -> Any:
    import tantivy

    builder = tantivy.SchemaBuilder()
    builder.add_integer_field("row", indexed=True, fast=True)
    builder.add_text_field("caption", tokenizer_name="words", index_option="position")
    return builder.build()
