"""SQL WHERE syntax → a checked tree: sqlglot reads, and only what is listed here gets through.

    language = 'en' and (aesthetic > 5 or caption ilike '%dog%') and not type in ('ad', 'news')

Length, nodes and depth are limited before anything recurses, so a hostile text costs milliseconds.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pyarrow as pa
from sqlglot import Token, exp
from sqlglot.dialects.dialect import Dialect
from sqlglot.errors import ParseError

from vidsearch.errors import FilterError
from vidsearch.filters._kinds import check_value, kind_of
from vidsearch.filters._text import AROUND, SYNTAX, check_size, error_at, shown, tokens_of
from vidsearch.filters.tree import And, Compare, Constant, Filter, IsNull, Like, Not, OneOf, Operator, Or, Value

__all__ = ["Filter", "parse"]

MAX_PATTERN = 256
MAX_DIGITS = 400

_OPERATORS: dict[type[exp.Expression], Operator] = {exp.EQ: "=", exp.NEQ: "!=", exp.LT: "<", exp.LTE: "<=", exp.GT: ">", exp.GTE: ">="}
_MIRRORED: dict[Operator, Operator] = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}


def parse(text: str, schema: pa.Schema) -> Filter:
    """Return the filter that a text describes, each comparison checked against its column's type.

        parse("language = 'en' and aesthetic > 5", index.schema)

    Args:
        text: at most 8 KiB, 256 operators, columns and values, 32 levels of parentheses and `not`, 1,000 items in lists.
        schema: the columns; names are found in any case, in double quotes if need be.

    Raises:
        FilterError: what is wrong, where, and what is allowed.
    """
    check_size(text)
    tokens = tokens_of(text, schema)
    try:
        (condition,) = Dialect.get_or_raise(None).parser().parse_into([exp.Condition], tokens, text)
        return _Reader(text, schema).condition(condition)
    except ParseError as error:
        raise _syntax_error(text, tokens, error) from error
    except RecursionError as error:  # 32 levels take 700 frames: too many for a caller who is deep himself
        raise FilterError("filter is nested too deeply") from error


class _Reader:
    """Turns sqlglot's nodes into ours; a kind of node, or a part of one, that is not named here is refused."""

    def __init__(self, text: str, schema: pa.Schema) -> None:
        self._text = text
        self._schema = schema
        self._conditions: dict[type, Callable[[Any], Filter]] = {
            exp.Paren: lambda node: self.condition(node.this),
            exp.And: lambda node: And(self._terms(node)),
            exp.Or: lambda node: Or(self._terms(node)),
            exp.Not: lambda node: Not(self.condition(node.this)),
            exp.Boolean: lambda node: Constant(bool(node.this)),
            exp.Column: lambda node: self._compare(node, "=", True),
            exp.Between: self._between,
            exp.In: self._one_of,
            exp.Like: self._like,
            exp.ILike: self._like,
            exp.Is: self._is_null,
            **dict.fromkeys(_OPERATORS, self._comparison),
        }

    def condition(self, node: Any) -> Filter:
        read = self._conditions.get(type(node))
        if read is None:
            raise self._refused(node, "is not a condition")
        return read(node)

    def _terms(self, node: exp.Expression) -> tuple[Filter, ...]:
        """Return the terms of a chain of the same connective, which sqlglot nests to the left."""
        kind, chain = type(node), []
        while type(node) is kind:
            chain.append(node.args["expression"])
            node = node.this
        terms = [self.condition(term) for term in (node, *reversed(chain))]
        joined = And if kind is exp.And else Or
        return tuple(part for term in terms for part in (term.terms if isinstance(term, joined) else (term,)))

    def _comparison(self, node: exp.Expression) -> Filter:
        left, right, operator = _bare(node.this), _bare(node.args["expression"]), _OPERATORS[type(node)]
        if isinstance(right, exp.Column) and not isinstance(left, exp.Column):
            left, right, operator = right, left, _MIRRORED.get(operator, operator)
        return self._compare(left, operator, self._value(right))

    def _compare(self, column: exp.Expression, operator: Operator, value: Value) -> Compare:
        return Compare(self._checked(column, value, ordered=operator not in ("=", "!=")), operator, value)

    def _between(self, node: exp.Expression) -> Filter:
        self._only(node, "this", "low", "high")
        column, low, high = _bare(node.this), self._value(node.args["low"]), self._value(node.args["high"])
        return And((self._compare(column, ">=", low), self._compare(column, "<=", high)))

    def _one_of(self, node: exp.Expression) -> Filter:
        self._only(node, "this", "expressions")
        if not node.expressions:
            raise self._refused(node, "needs a list of values in parentheses")
        column = _bare(node.this)
        values = tuple(self._value(item) for item in node.expressions)
        for value in values:
            self._checked(column, value, ordered=False)
        return OneOf(self._name(column), values)

    def _like(self, node: exp.Expression) -> Filter:
        self._only(node, "this", "expression", "negate")
        pattern = self._value(node.args["expression"])
        column = self._checked(_bare(node.this), pattern, ordered=True)
        if not isinstance(pattern, str) or kind_of(self._schema.field(column).type) not in ("text", "empty"):
            raise self._refused(node, "needs a text column and a pattern in single quotes")
        if len(pattern) > MAX_PATTERN:
            raise self._refused(node, f"has a pattern of {len(pattern)} characters; the limit is {MAX_PATTERN}")
        if (len(pattern) - len(pattern.rstrip("\\"))) % 2:
            raise self._refused(node, "has a pattern that ends in a single backslash; write two for one of them")
        like = Like(column, pattern, isinstance(node, exp.ILike))
        return Not(like) if node.args.get("negate") else like  # sqlglot keeps `not like` so, and `not in` as a Not around it

    def _is_null(self, node: exp.Expression) -> Filter:
        self._only(node, "this", "expression")
        if not isinstance(node.args["expression"], exp.Null):
            raise self._refused(node, "can only ask for null: is null, is not null")
        return IsNull(self._name(_bare(node.this)))

    def _checked(self, column: exp.Expression, value: Value, *, ordered: bool) -> str:
        name = self._name(column)
        try:
            check_value(name, self._schema.field(name).type, value, ordered=ordered)
        except FilterError as error:
            raise error_at(self._text, _start(column), str(error)) from error
        return name

    def _name(self, node: exp.Expression) -> str:
        if not isinstance(node, exp.Column) or not node.this.args.get("quoted"):  # ours are; else a keyword in a column's place
            raise self._refused(node, "stands where a column is needed; compare a column with a value")
        self._only(node, "this")
        return str(node.this.this)

    def _value(self, node: exp.Expression) -> Value:
        node, sign = _bare(node), 1
        if isinstance(node, exp.Neg):
            node, sign = node.this, -1
        if isinstance(node, exp.Boolean) and sign == 1:
            return bool(node.this)
        if isinstance(node, exp.Literal) and (sign == 1 or not node.is_string):
            return str(node.this) if node.is_string else self._number(str(node.this), sign)
        if isinstance(node, exp.Null):
            raise self._refused(node, "is equal to nothing; write `is null` or `is not null`")
        raise self._refused(node, "stands where a value is needed: a number, 'text', true or false")

    def _number(self, digits: str, sign: int) -> int | float:
        try:
            value = sign * (int(digits) if digits.isdigit() and len(digits) <= MAX_DIGITS else float(digits))
        except ValueError as error:
            raise FilterError(f"{digits!r} is not a number") from error
        if math.isinf(value) if isinstance(value, float) else value.bit_length() > 1023:
            raise FilterError(f"number {digits[:AROUND]}… is too large; the limit is about 1.8e308")
        return value

    def _only(self, node: exp.Expression, *parts: str) -> None:
        if any(part not in parts and given for part, given in node.args.items()):
            raise self._refused(node, "has a part that filters do not know")

    def _refused(self, node: exp.Expression, complaint: str) -> FilterError:
        return error_at(self._text, _start(node), f"`{shown(node.sql())}` {complaint}")


def _bare(node: exp.Expression) -> exp.Expression:
    while isinstance(node, exp.Paren):
        node = node.this
    return node


def _start(node: exp.Expression) -> int | None:
    """Return where the first name in a node stands; sqlglot remembers no other places."""
    name = node.find(exp.Identifier)
    return name.meta.get("start") if name else None


def _syntax_error(text: str, tokens: list[Token], error: ParseError) -> FilterError:
    found = error.errors[0] if error.errors else {}
    token = next((token for token in tokens if (token.line, token.col) == (found.get("line"), found.get("col"))), tokens[-1])
    complete = "Required keyword" in str(found.get("description")) or "Expecting" in str(found.get("description"))
    complaint = "something is missing" if complete else "this does not belong here"
    return error_at(text, token.start, f"{complaint}; {SYNTAX}")
