"""A filter as a tree of small frozen values; `str` of one is a filter again.

Logic has three values as in SQL: a comparison with null is unknown, `not` of unknown is unknown, and only true matches. NaN is null here.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal, TypeAlias

Value: TypeAlias = bool | int | float | str  # dates and times are text in ISO 8601
Operator = Literal["=", "!=", "<", "<=", ">", ">="]

RESERVED = frozenset(("and", "between", "false", "ilike", "in", "is", "like", "not", "null", "or", "true"))
_PLAIN_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")


class Filter(ABC):
    """A condition that each row meets, fails, or leaves unknown."""

    @property
    @abstractmethod
    def columns(self) -> frozenset[str]:
        """The columns it reads, as the schema spells them."""

    @abstractmethod
    def __str__(self) -> str: ...


@dataclass(frozen=True)
class Constant(Filter):
    """The same for every row."""

    value: bool

    @property
    def columns(self) -> frozenset[str]:
        return frozenset()

    def __str__(self) -> str:
        return _literal(self.value)


@dataclass(frozen=True)
class _OfColumn(Filter):
    column: str

    @property
    def columns(self) -> frozenset[str]:
        return frozenset((self.column,))

    @property
    def _name(self) -> str:
        if _PLAIN_NAME.fullmatch(self.column) and self.column.lower() not in RESERVED:
            return self.column
        return '"' + self.column.replace('"', '""') + '"'


@dataclass(frozen=True)
class Compare(_OfColumn):
    """A column against a value."""

    operator: Operator
    value: Value

    def __str__(self) -> str:
        return f"{self._name} {self.operator} {_literal(self.value)}"


@dataclass(frozen=True)
class OneOf(_OfColumn):
    """A column equal to one of several values."""

    values: tuple[Value, ...]

    def __str__(self) -> str:
        return f"{self._name} in ({', '.join(map(_literal, self.values))})"


@dataclass(frozen=True)
class Like(_OfColumn):
    """A text column that has the whole pattern: % stands for any text, _ for one character, a backslash takes the next one as it is."""

    pattern: str
    ignore_case: bool = False

    def __str__(self) -> str:
        return f"{self._name} {'ilike' if self.ignore_case else 'like'} {_literal(self.pattern)}"


@dataclass(frozen=True)
class IsNull(_OfColumn):
    """A column without a value; never unknown itself."""

    def __str__(self) -> str:
        return f"{self._name} is null"


@dataclass(frozen=True)
class Not(Filter):
    term: Filter

    @property
    def columns(self) -> frozenset[str]:
        return self.term.columns

    def __str__(self) -> str:
        return f"not {_grouped(self.term, (And, Or))}"


@dataclass(frozen=True)
class _Joined(Filter):
    terms: tuple[Filter, ...]

    @property
    def columns(self) -> frozenset[str]:
        return frozenset[str]().union(*(term.columns for term in self.terms))


@dataclass(frozen=True)
class And(_Joined):
    def __str__(self) -> str:
        return " and ".join(_grouped(term, (And, Or)) for term in self.terms)


@dataclass(frozen=True)
class Or(_Joined):
    def __str__(self) -> str:
        return " or ".join(_grouped(term, (Or,)) for term in self.terms)


def _grouped(term: Filter, kinds: tuple[type[Filter], ...]) -> str:
    return f"({term})" if isinstance(term, kinds) else str(term)


def _literal(value: Value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "'" + value.replace("'", "''") + "'" if isinstance(value, str) else repr(value)
