"""CLIP's tokenizer: byte-level byte pair encoding, without torch.

After Radford et al. 2021, "Learning Transferable Visual Models From Natural Language Supervision" (arXiv 2103.00020) and Sennrich et
al. 2016, "Neural Machine Translation of Rare Words with Subword Units". Token ids are, in this order: 256 bytes, 256 bytes that end a
word, one per merge, start of text, end of text.
"""

from __future__ import annotations

import gzip
import hashlib
import html
import logging
import re
from collections.abc import Sequence
from functools import lru_cache
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vidsearch.errors import CheckpointError, InputNotFoundError, UsageError
from vidsearch.settings import read_settings

Merge = tuple[str, str]

CLIP_VOCABULARY = "bpe_simple_vocab_16e6.txt.gz"
CLIP_VOCABULARY_SHA256 = "924691ac288e54409236115652ad4aa250f48203de50a9e4722a6ecd48d6804a"
CLIP_MERGES = 49_408 - 512 - 2  # the file holds more than CLIP uses

END_OF_WORD = "</w>"
ASCII_WORDS = re.compile(r"'s|'t|'re|'ve|'m|'ll|'d|[a-z]+|[0-9]|[^\sa-z0-9]+", re.IGNORECASE)

log = logging.getLogger(__name__)


class Tokenizer:
    """Turns sentences into token ids.

        Tokenizer(clip_merges(), context_length=32).encode(["a dog surfing"])  # (1, 32) int64

    CLIP reserves literals such as "<|endoftext|>" in the text itself; here they are plain text, so that no sentence can move its own end.

    Args:
        merges: pairs of symbols, the most frequent first; a subset of CLIP's gives a smaller vocabulary.
        context_length: ids of one text, at least 2.
    """

    def __init__(self, merges: Sequence[Merge], *, context_length: int) -> None:
        if context_length < 2:
            raise UsageError(f"context length {context_length} must be at least 2: a start and an end")
        self.merges = tuple(merges)
        self.context_length = context_length
        symbols = list(_byte_symbols().values())
        vocabulary = [*symbols, *(symbol + END_OF_WORD for symbol in symbols), *map("".join, self.merges)]
        self.vocab_size = len(vocabulary) + 2
        self.start, self.end = self.vocab_size - 2, self.vocab_size - 1
        self._ids = dict(zip(vocabulary, range(len(vocabulary)), strict=True))
        self._ranks = dict(zip(self.merges, range(len(self.merges)), strict=True))
        self._known_words: dict[str, tuple[int, ...]] = {}
        self._warned = False

    def encode(self, texts: Sequence[str]) -> npt.NDArray[np.int64]:
        """Return ids (n, context_length) int64: start, text, end, zeros. A text too long is cut, its last id the end; logged once."""
        if isinstance(texts, str) or not all(isinstance(text, str) for text in texts):
            raise UsageError(f"texts must be a sequence of strings, not {texts!r:.80}")
        rows = np.zeros((len(texts), self.context_length), dtype=np.int64)
        for row, text in zip(rows, texts, strict=True):
            ids = [self.start, *self._ids_of(text), self.end]
            if len(ids) > self.context_length:
                self._warn_of_cut(text, len(ids))
                ids = [*ids[: self.context_length - 1], self.end]
            row[: len(ids)] = ids
        return rows

    def count_cut(self, texts: Sequence[str]) -> int:
        """Return how many texts `encode` would cut."""
        return sum(len(self._ids_of(text)) + 2 > self.context_length for text in texts)

    def _ids_of(self, text: str) -> list[int]:
        ids: list[int] = []
        for word in split_words(clean(text)):
            if word not in self._known_words:
                if len(self._known_words) >= 100_000:  # keeps memory flat over millions of captions
                    self._known_words.clear()
                self._known_words[word] = tuple(self._ids[symbol] for symbol in self._merged(word))
            ids.extend(self._known_words[word])
        return ids

    def _merged(self, word: str) -> list[str]:
        """Return the symbols of one word after all merges that apply, the most frequent first."""
        table = _byte_symbols()
        symbols = [table[byte] for byte in word.encode()]
        symbols[-1] += END_OF_WORD
        unranked = len(self._ranks)
        while len(symbols) > 1:
            best = min(pairwise(symbols), key=lambda pair: self._ranks.get(pair, unranked))
            if best not in self._ranks:
                break
            symbols = _join_pair(symbols, best)
        return symbols

    def _warn_of_cut(self, text: str, length: int) -> None:
        if not self._warned:
            log.warning("a text of %d tokens is cut to the model's %d: %.60s…", length, self.context_length, text)
            self._warned = True


def clean(text: str) -> str:
    """Repair the encoding, resolve HTML entities twice, collapse white space, lower-case: what CLIP does before it tokenizes."""
    if not (text.isascii() and text.isprintable() and "&" not in text):  # else ftfy has nothing to repair, and costs 0.1 s to import
        import ftfy

        text = html.unescape(html.unescape(ftfy.fix_text(text)))
    return " ".join(text.split()).lower()


def split_words(text: str) -> list[str]:
    """Cut cleaned text into runs of letters, single digits, runs of anything else, and English clitics, as CLIP does."""
    if text.isascii():
        return ASCII_WORDS.findall(text)
    words: list[str] = _unicode_words().findall(text)
    return words


@lru_cache(maxsize=1)
def _unicode_words() -> Any:
    import regex  # Unicode's letters and numbers, which `re` does not know; not imported for plain ASCII

    return regex.compile(r"'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+", regex.IGNORECASE)


def clean_caption(text: str) -> str:
    """Lower-case and strip punctuation as ViCLIP's training and published evaluation do (`pre_text` of InternVideo's dataset/utils.py)."""
    text = text.lower().translate(CAPTION_TABLE).replace("<person>", "person")
    return " ".join(text.split())


CAPTION_TABLE = str.maketrans("-/", "  ", ",.'!?\"()*#:;~")


def clip_merges() -> tuple[Merge, ...]:
    """Return CLIP's 48,894 merges from the models folder or an installed open_clip, which is not imported for it."""
    path = _find_vocabulary()
    packed = path.read_bytes()
    found = hashlib.sha256(packed).hexdigest()
    if found != CLIP_VOCABULARY_SHA256:
        raise CheckpointError(f"{path} is not CLIP's vocabulary: its SHA-256 is {found[:16]}…, not {CLIP_VOCABULARY_SHA256[:16]}…")
    lines = gzip.decompress(packed).decode().split("\n")[1 : 1 + CLIP_MERGES]  # the first line names the version
    return parse_merges("\n".join(lines))


def parse_merges(lines: str) -> tuple[Merge, ...]:
    """Read merges from text, one a line, its two symbols parted by a space."""
    symbols = lines.split()  # not line by line: CLIP's 48,894 merges would take 0.1 s of every query
    if any(line.count(" ") != 1 for line in lines.split("\n") if line) or len(symbols) % 2:
        raise CheckpointError("a tokenizer's merges must be two symbols a line; convert the checkpoint again")
    return tuple(zip(symbols[::2], symbols[1::2], strict=True))


def format_merges(merges: Sequence[Merge]) -> str:
    """Write merges as `parse_merges` reads them."""
    return "\n".join(f"{left} {right}" for left, right in merges)


def _find_vocabulary() -> Path:
    models = read_settings().models
    candidates = [models / CLIP_VOCABULARY]
    spec = find_spec("open_clip")  # finds the package without running it
    if spec is not None and spec.submodule_search_locations:
        candidates += [Path(folder) / CLIP_VOCABULARY for folder in spec.submodule_search_locations]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    raise InputNotFoundError(
        f"CLIP's vocabulary {CLIP_VOCABULARY} is not here; put it into {models} (it is part of github.com/openai/CLIP), "
        "or: pip install 'vidsearch[index]'"
    )


@lru_cache(maxsize=1)
def _byte_symbols() -> dict[int, str]:
    """Return a visible character for each byte, in the order of CLIP's vocabulary: printable ones stand for themselves and come first."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in printable]
    return {byte: chr(byte) for byte in printable} | {byte: chr(256 + number) for number, byte in enumerate(others)}


def _join_pair(symbols: list[str], pair: Merge) -> list[str]:
    joined: list[str] = []
    position = 0
    while position < len(symbols):
        if tuple(symbols[position : position + 2]) == pair:
            joined.append(pair[0] + pair[1])
            position += 2
        else:
            joined.append(symbols[position])
            position += 1
    return joined
