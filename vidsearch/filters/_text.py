"""The text of a filter before its grammar: limits, tokens, columns, and where an error is."""

from __future__ import annotations

import re
from difflib import get_close_matches

import pyarrow as pa
from sqlglot import Token, TokenType
from sqlglot.dialects.dialect import Dialect
from sqlglot.errors import SqlglotError

from vidsearch.errors import FilterError

MAX_BYTES = 8192
MAX_NODES = 256
MAX_DEPTH = 32
MAX_ITEMS = 1000
LONGEST_OPERATOR = 2  # characters
AROUND = 24  # characters shown on either side of an error
SYNTAX = "a filter is made of columns, = != < <= > >=, and, or, not, in, between, like, ilike, is null, numbers and 'text'"

_LEXEME = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|\d+\.?\d*(?:[eE][+-]?\d+)?|\w+|[<>=!]+|\S""")
_WORD = re.compile(r"[^\W\d]\w*")
_CONNECTIVES = {TokenType.AND, TokenType.OR, TokenType.NOT, TokenType.IN, TokenType.IS, TokenType.LIKE, TokenType.ILIKE, TokenType.BETWEEN}
_OPERATORS = {TokenType.EQ, TokenType.NEQ, TokenType.LT, TokenType.LTE, TokenType.GT, TokenType.GTE}
_VALUES = {TokenType.NUMBER, TokenType.STRING, TokenType.TRUE, TokenType.FALSE, TokenType.NULL, TokenType.DASH}
_KEPT = _CONNECTIVES | _OPERATORS | _VALUES | {TokenType.L_PAREN, TokenType.R_PAREN, TokenType.COMMA}


def check_size(text: str) -> None:
    """Refuse what is too long, too large or too deep; one pass, no recursion."""
    if len(text) > MAX_BYTES or len(text.encode(errors="surrogatepass")) > MAX_BYTES:
        raise FilterError(f"filter of {len(text):,} characters is too long; the limit is {MAX_BYTES:,} bytes")
    if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise FilterError("filter holds a character that is not text")
    nodes = items = depth = 0
    levels, in_list = [0], False
    for match in _LEXEME.finditer(text):
        lexeme = match[0].lower()
        if lexeme in ("'", '"'):
            raise error_at(text, match.start(), f"the quote {lexeme} is never closed")
        if lexeme[0] in "<>=!" and len(lexeme) > LONGEST_OPERATOR:
            raise error_at(text, match.start(), f"'{shown(lexeme)}' is not part of a filter; {SYNTAX}")
        if lexeme in ("(", "not", "-"):  # a minus nests too: `- - 1`
            depth += 1
        else:
            depth = levels[-1]
        if lexeme == "(":
            levels.append(depth)
        elif lexeme == ")":
            if len(levels) == 1:
                raise error_at(text, match.start(), f"this does not belong here; {SYNTAX}")
            levels.pop()
            depth = levels[-1]
        if depth > MAX_DEPTH:
            raise error_at(text, match.start(), f"filter is nested more than {MAX_DEPTH} levels deep")
        items += in_list
        nodes += not in_list and lexeme not in ("(", ")", ",", "-")
        in_list = lexeme == "," or (in_list and lexeme == "-")
    if nodes > MAX_NODES or items > MAX_ITEMS:
        raise FilterError(
            f"filter has {nodes} operators, columns and values and {items} list items; the limits are {MAX_NODES} and {MAX_ITEMS}"
        )


def tokens_of(text: str, schema: pa.Schema) -> list[Token]:
    """Return sqlglot's tokens, columns quoted and in the schema's spelling, and everything that a filter does not know refused."""
    try:
        read = Dialect.get_or_raise(None).tokenize(text)
    except SqlglotError as error:
        raise FilterError(f"filter cannot be read: {str(error).splitlines()[0]}; {SYNTAX}") from error
    if not read:
        raise FilterError(f"filter is empty; {SYNTAX}")
    return [_known(text, token, following, schema) for token, following in zip(read, [*read[1:], None], strict=True)]


def _known(text: str, token: Token, following: Token | None, schema: pa.Schema) -> Token:
    after = following.token_type if following else None
    if token.comments:
        raise error_at(text, token.end + 1, "comments are not part of a filter")
    if token.token_type is TokenType.IDENTIFIER or (token.token_type not in _KEPT and _WORD.fullmatch(token.text)):
        if after is TokenType.L_PAREN:
            raise error_at(text, token.start, f"a filter has no functions such as {shown(token.text)}; {SYNTAX}")
        name = _column(text, token, schema)
        return Token(TokenType.IDENTIFIER, name, token.line, token.col, token.start, token.end)
    if token.token_type in _KEPT or (token.token_type is TokenType.DOT and after is TokenType.NUMBER):  # .5
        return token
    raise error_at(text, token.start, f"{token.text!r} is not part of a filter; {SYNTAX}")


def _column(text: str, token: Token, schema: pa.Schema) -> str:
    """Return a column's name as the schema spells it."""
    name = token.text
    same = [known for known in schema.names if known == name] or [known for known in schema.names if known.lower() == name.lower()]
    if len(same) == 1:
        return str(same[0])
    if same:
        raise error_at(text, token.start, f"column {name!r} may be {' or '.join(same)}; spell it like one of them")
    near = get_close_matches(name.lower(), [known.lower() for known in schema.names], n=3)
    meant = [known for known in schema.names if known.lower() in near]
    advice = f"did you mean {' or '.join(meant)}? " if meant else ""
    raise error_at(text, token.start, f"unknown column {name!r}; {advice}columns: {', '.join(schema.names)}")


def error_at(text: str, at: int | None, complaint: str) -> FilterError:
    """Return an error that shows where in the text it is, if that is known."""
    if at is None:
        return FilterError(complaint)
    before, after = text[max(0, at - AROUND) : at], text[at : at + AROUND]
    return FilterError(f"{complaint} (character {at + 1}, at the ^: {shown(before)}^{shown(after)})")


def shown(text: str) -> str:
    """Return a text cut to a line, what does not print replaced."""
    cut = text if len(text) <= 4 * AROUND else text[: 4 * AROUND] + "…"
    return "".join(character if character.isprintable() else "�" for character in cut)
