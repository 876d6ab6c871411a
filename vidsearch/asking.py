"""How an index is asked, wherever it lies: the same on this machine and behind a service."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from vidsearch._query_parts import Media, Rocchio, examples, sentences
from vidsearch.query import Mode, Query, Vector
from vidsearch.results import Hits


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
        like: str | Path | Media | Sequence[str | Path | Media] = (),
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
        query = Query(
            texts=sentences([*([] if text is None else [text]), *texts]),
            like=examples(like),
            vector=vector,
            exclude=tuple(exclude),
            up=tuple(up),
            down=tuple(down),
            rocchio=Rocchio(*rocchio),
            then=tuple(then),
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
        return self.ask([query])[0]
