"""How an index is asked, wherever it lies: the same on this machine and behind a service."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import numpy.typing as npt

from vidsearch._query_parts import Media, Rocchio, examples, sentences
from vidsearch.query import Mode, Query, Vector
from vidsearch.results import Hits

Examples = str | Path | Media | Sequence[str | Path | Media]


class SearchOptions(TypedDict, total=False):
    """What `Searchable.search` takes beside a sentence."""

    texts: Sequence[str | tuple[str, float]]
    like: Examples
    vector: Vector | None
    exclude: Sequence[str]
    up: Sequence[str]
    down: Sequence[str]
    rocchio: tuple[float, float, float]
    then: Sequence[str]
    mode: Mode
    hybrid_weight: float | None
    keyword_column: str
    k: int
    where: str | None
    within: npt.NDArray[np.int64] | None
    cursor: str | None
    min_score: float | None
    per_video: int | None
    dedupe: float | None
    diverse: float | None
    sort: str | None
    group: str | None
    recall: float
    exact: bool


def question(text: str | None, options: SearchOptions) -> Query:
    """Return the question that `Searchable.search` asks when it is given these arguments."""
    values: dict[str, Any] = dict(options)
    values["texts"] = sentences([*([] if text is None else [text]), *values.get("texts", ())])
    values["like"] = examples(values.get("like", ()))
    values["rocchio"] = Rocchio(*values.get("rocchio", Rocchio()))
    for name in ("exclude", "up", "down", "then"):
        values[name] = tuple(values.get(name, ()))
    return Query(**values)


class Searchable(ABC):
    """Anything that answers questions."""

    @abstractmethod
    def ask(self, queries: Sequence[Query]) -> list[Hits]:
        """Return the hits of many questions, in their order."""

    def search(
        self,
        text: str | None = None,
        *,
        texts: Sequence[str | tuple[str, float]] = (),
        like: Examples = (),
        vector: Vector | None = None,
        exclude: Sequence[str] = (),
        up: Sequence[str] = (),
        down: Sequence[str] = (),
        rocchio: tuple[float, float, float] = Rocchio(),
        then: Sequence[str] = (),
        mode: Mode = "vectors",
        hybrid_weight: float | None = None,
        keyword_column: str = "caption",
        k: int = 10,
        where: str | None = None,
        within: npt.NDArray[np.int64] | None = None,
        cursor: str | None = None,
        min_score: float | None = None,
        per_video: int | None = None,
        dedupe: float | None = None,
        diverse: float | None = None,
        sort: str | None = None,
        group: str | None = None,
        recall: float = 0.95,
        exact: bool = False,
    ) -> Hits:
        """Return the k clips nearest to what is described, among those that pass the filter.

            index.search("a dog surfing", k=5, where="language = 'en' and aesthetic > 5")
            index.search(texts=[("a dog", 1.0), ("a beach", 0.5)], exclude=["text on screen"], per_video=1)
            index.search(like=Path("photo.jpg"), dedupe=0.95)
            index.search("a man opens a door", then=["a dog runs out"])

        Args:
            text: a sentence.
            texts: further ones, each with its weight.
            like: ids of clips (str), and pictures and videos (Path, or Media for a part of one), to resemble.
            vector, exclude, up, down, rocchio, then, mode, hybrid_weight, keyword_column, k, where, within, cursor, min_score, per_video,
            dedupe, diverse, sort, group, recall, exact: see `vidsearch.query.Query`, which is this question as a value.

        Raises:
            QueryError, FilterError: the question cannot be asked.
            SpaceMismatchError: the model at hand is not the one that made the index.
        """
        options = SearchOptions(
            texts=texts,
            like=like,
            vector=vector,
            exclude=exclude,
            up=up,
            down=down,
            rocchio=rocchio,
            then=then,
            mode=mode,
            hybrid_weight=hybrid_weight,
            keyword_column=keyword_column,
            k=k,
            where=where,
            within=within,
            cursor=cursor,
            min_score=min_score,
            per_video=per_video,
            dedupe=dedupe,
            diverse=diverse,
            sort=sort,
            group=group,
            recall=recall,
            exact=exact,
        )
        return self.ask([question(text, options)])[0]

    def pages(self, query: Query) -> Iterator[Hits]:
        """Yield the pages of an answer, from the question's cursor on; each is asked for when it is wanted.

        for hits in index.pages(Query.from_json({"text": "a dog", "k": 100})):
        """
        cursor = query.cursor
        while True:
            (hits,) = self.ask([replace(query, cursor=cursor)])
            yield hits
            cursor = hits.cursor
            if cursor is None:
                return
