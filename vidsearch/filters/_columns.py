"""What a filter needs of a segment's columns; storage has them, and neither knows the other."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from vidsearch.selection import Ids, Mask, Selection


class _Column(Protocol):
    @property
    def type(self) -> pa.DataType: ...
    @property
    def rows(self) -> int: ...
    @property
    def nulls(self) -> Selection:
        """The rows without a value, or with NaN."""
        ...

    def arrow(self, rows: npt.NDArray[np.integer] | None = None) -> Any:
        """Return the values of some rows, or of all, as an Arrow array."""
        ...


class NumberColumn(_Column, Protocol):
    """Numbers or times, with the rows in ascending order of them."""

    @property
    def kind(self) -> Literal["number"]: ...
    @property
    def values(self) -> npt.NDArray[Any]: ...
    @property
    def places(self) -> int: ...
    def place(self, value: Any, *, after: bool) -> int: ...
    def spans(self, spans: Sequence[tuple[int, int]]) -> Selection: ...
    def known(self, rows: Ids) -> Mask: ...


class CategoryColumn(_Column, Protocol):
    """Few distinct values, each with its rows; code len(values) is null."""

    @property
    def kind(self) -> Literal["category"]: ...
    @property
    def values(self) -> tuple[Any, ...]: ...
    @property
    def code_of(self) -> dict[Any, int]: ...
    @property
    def answers(self) -> dict[Any, frozenset[int]]: ...
    def total(self, codes: Collection[int]) -> int: ...
    def rows_with(self, codes: Collection[int]) -> Selection: ...
    def has(self, codes: Collection[int], rows: Ids) -> Mask: ...


class TextColumn(_Column, Protocol):
    """Many distinct texts, each of which can be looked up."""

    @property
    def kind(self) -> Literal["text"]: ...
    def rows_of(self, text: str) -> Selection: ...


class OtherColumn(_Column, Protocol):
    """Any other type: only whether there is a value."""

    @property
    def kind(self) -> Literal["other"]: ...


Column: TypeAlias = NumberColumn | CategoryColumn | TextColumn | OtherColumn
