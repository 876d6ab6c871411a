"""Texts that are looked for, many at once, and the hash by which a column finds them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt

Hashes = npt.NDArray[np.uint64]


class Wanted:
    """Texts to look for in many columns, hashed once for all that share a seed.

    Attributes:
        texts: in the order of the answers.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        self.texts = texts
        self._by_seed: dict[int, tuple[npt.NDArray[np.int64], Hashes]] = {}

    def __len__(self) -> int:
        return len(self.texts)

    @cached_property
    def encoded(self) -> list[bytes]:
        return [text.encode(errors="surrogatepass") for text in self.texts]

    def hashes(self, seed: int) -> tuple[npt.NDArray[np.int64], Hashes]:
        """Return the places of the texts by ascending hash, and the hashes: neighbours are then looked for in neighbouring pages."""
        if seed not in self._by_seed:
            hashes = hash_texts(self.encoded, seed)
            order = np.argsort(hashes)
            self._by_seed[seed] = order, hashes[order]
        return self._by_seed[seed]


def hash_texts(texts: Iterable[bytes], seed: int) -> Hashes:
    """Return BLAKE2b of 8 bytes of each text, salted with the seed: (n,) uint64."""
    salt, blake2b = seed.to_bytes(8, "little"), hashlib.blake2b
    return np.frombuffer(b"".join(blake2b(text, digest_size=8, salt=salt).digest() for text in texts), dtype="<u8")
