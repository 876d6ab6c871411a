"""What someone types → words, and phrases that must occur; nothing else in it has a meaning."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

_PHRASE = re.compile(r"[\"“”„]([^\"“”„]*)[\"“”]")
_QUOTES = re.compile(r"[\"“”„]")


@dataclass(frozen=True)
class Wanted:
    """Attributes:
    words: the whole text, quotes taken out.
    phrases: what stood between double quotes, each of which must occur.
    weight: of its words beside those of other texts.
    """

    words: str
    phrases: tuple[str, ...] = ()
    weight: float = 1.0


def read(text: str, weight: float = 1.0) -> Wanted:
    """Return the words and the quoted phrases of a text; a quote without its partner is no quote."""
    return Wanted(unquoted(text), tuple(phrase for phrase in _PHRASE.findall(text) if phrase.strip()), weight)


def unquoted(text: str) -> str:
    """Return a text without double quotes; one that holds nothing else stays as it is."""
    return " ".join(_QUOTES.sub(" ", text).split()) or text


def normal(text: str) -> str:
    """Return text whose full-width letters, ligatures and composed accents are those everybody types (Unicode NFKC)."""
    return text if text.isascii() else unicodedata.normalize("NFKC", text)
