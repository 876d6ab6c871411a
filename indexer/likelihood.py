"""Learn what an index's scores mean, from its own captions: each is asked as a sentence whose right clips are known.

A caption's right clips are its own and those with the same text. A short phrase that several captions share has the clips whose captions
say it: fewer than show it, so that what is learnt from phrases errs towards doubt. For every sentence the nearest clips are counted one by
one, and a random sample of the rest is weighted up to the whole index, since how many wrong clips score that high grows with the index.
Isotonic regression then gives the probability by rise (B. Zadrozny, C. Elkan, Transforming classifier scores into accurate multiclass
probability estimates, KDD 2002). Rows embedded from their caption are left out: text resembles text.

Without captions only jumbles are asked, words thrown together, and the probability is the share of them whose best clip rises less.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from indexer.curves import Pairs, equal_error, kind_of, share_below
from indexer.phrases import normalized, phrases_of
from indexer.rows import EMBEDDED_FROM
from vidsearch.config import EXTERNAL
from vidsearch.corpus import Corpus, Ranked, Rows, Vectors
from vidsearch.curate.scan import draw_rows
from vidsearch.curate.terms import jumbles
from vidsearch.likelihood import LEVELS, Kind, Likelihood
from vidsearch.selection import Selection

CAPTIONS, PHRASES, JUMBLES = 256, 128, 64  # sentences encoded at most
FEW_CLIPS = 20  # in fewer than these no score is rare
FEW = 32  # captions; with fewer nothing is fitted on them
FEW_PHRASES = 16
SAMPLE_ROWS = 16_384
NEAREST = 64  # clips of each sentence that are counted one by one
BINS = 2048
JUMBLE_QUANTILE = 0.75  # without captions: so many jumbles fall short of a match

EncodeTexts = Callable[[Sequence[str]], npt.NDArray[np.float32]]
Floats = npt.NDArray[np.float64]


def fit(index: Corpus, encode_texts: EncodeTexts | None, *, seed: int) -> Likelihood | None:
    """Return what the scores of an index mean; None without a text side, and where hardly a clip was embedded from its video.

    Encodes 448 texts at most and asks each of the whole index once.
    """
    selections = _selections(index)
    if encode_texts is None or index.space.encoder == EXTERNAL or sum(selection.count for selection in selections) < FEW_CLIPS:
        return None
    sample = draw_rows(index, selections, SAMPLE_ROWS, seed=seed)
    captions = _captions(index, sample)
    asked = _distinct(captions, seed) if len(set(captions.values())) >= FEW else {}
    phrases = phrases_of(list(captions.values()), PHRASES, seed=seed) if asked else []
    if len(phrases) < FEW_PHRASES:
        phrases = []
    texts = [*asked, *phrases, *jumbles((), seed=seed, count=JUMBLES)]
    measured = _Measured(index, selections, sample, np.array(list(asked.values()), np.int64), encode_texts(texts), len(asked))
    noise = measured.best[len(asked) + len(phrases) :]
    kinds = _kinds(measured, list(asked), phrases) if asked else (_background_kind(noise, texts),)
    return Likelihood(
        basis="captions" if asked else "background",
        mean=measured.mean,
        background=np.quantile(measured.rises[: len(asked) + len(phrases)] if asked else measured.rises, LEVELS),
        floor=equal_error(measured.best[: len(asked)], noise) if asked else float(np.quantile(noise, JUMBLE_QUANTILE)),
        kinds=kinds,
        rows=len(index),
    )


@dataclass(frozen=True)
class _Measured:
    """Some sentences asked of an index.

    Attributes:
        index, selections: the rows that are looked at.
        sample: (s,) rows drawn from them.
        own: (c,) the row of each of the first c sentences, which are captions.
        vectors: (q, dim) float32, the sentences.
        captions: how many of the sentences are captions, from the first on.
    """

    index: Corpus
    selections: list[Selection]
    sample: Rows
    own: Rows
    vectors: Vectors
    captions: int

    @cached_property
    def clips(self) -> Vectors:
        return self.index.vectors_of(self.sample)

    @cached_property
    def mean(self) -> npt.NDArray[np.float32]:
        """(dim,) float32 with the precision that it is stored with."""
        mean: npt.NDArray[np.float32] = self.clips.mean(axis=0).astype(np.float16).astype(np.float32)
        return mean

    @cached_property
    def level(self) -> npt.NDArray[np.float32]:
        """(q,) mean cosine of each sentence."""
        level: npt.NDArray[np.float32] = self.vectors @ self.mean
        return level

    @cached_property
    def rises(self) -> npt.NDArray[np.float32]:
        """(q, s) of the sample."""
        rises: npt.NDArray[np.float32] = self.vectors @ self.clips.T - self.level[:, None]
        return rises

    @cached_property
    def nearest(self) -> list[Ranked]:
        return self.index.nearest(self.vectors, NEAREST, selections=self.selections)

    @cached_property
    def best(self) -> Floats:
        """(q,) rise of the nearest clip of each sentence."""
        return np.array([ranked.scores[0] for ranked in self.nearest], dtype=np.float64) - self.level

    @cached_property
    def edges(self) -> Floats:
        return np.linspace(float(self.rises.min()) - 1e-3, max(float(self.rises.max()), self.best.max()) + 1e-3, BINS + 1)

    @cached_property
    def known(self) -> Rows:
        """Every row there is a rise of, ascending."""
        return np.unique(np.concatenate([self.sample, self.own, *(ranked.rows for ranked in self.nearest)]))

    @cached_property
    def texts(self) -> list[str]:
        """The normalized caption of each known row, "" where there is none."""
        captions = _captions(self.index, self.known)
        return [normalized(captions[row]) if row in captions else "" for row in self.known.tolist()]

    def pairs(self, first: int, right: Sequence[npt.NDArray[np.bool_]], judged: npt.NDArray[np.bool_]) -> Pairs:
        """Count the pairs of some sentences with all clips.

        Args:
            first: of the sentences; there are as many as `right` has entries.
            right: for each, which of the known rows are.
            judged: which of the known rows can be; the others are left out.
        """
        places = [self._pairs(first + number, known, judged) for number, known in enumerate(right)]
        middles = (self.edges[:-1] + self.edges[1:]) / 2
        weights, hits, best, best_right = (np.array(part, dtype=np.float64) for part in zip(*places, strict=True))
        return Pairs(middles, weights, hits, best, best_right)

    def _pairs(self, sentence: int, right: npt.NDArray[np.bool_], judged: npt.NDArray[np.bool_]) -> tuple[Floats, Floats, float, bool]:
        ranked, level = self.nearest[sentence], self.level[sentence]
        rows, rises = ranked.rows, ranked.scores - level
        if sentence < self.captions and self.own[sentence] not in rows:
            mine = self.own[sentence : sentence + 1]
            rows, rises = np.append(rows, mine), np.append(rises, self.index.vectors_of(mine) @ self.vectors[sentence] - level)
        rest = ~np.isin(self.sample, rows)
        matching = sum(selection.count for selection in self.selections)
        each = (matching - len(rows)) / max(1, int(rest.sum()))
        places = np.searchsorted(self.known, np.concatenate([rows, self.sample[rest]]))
        weights = np.concatenate([np.ones(len(rows)), np.full(len(places) - len(rows), each)]) * judged[places]
        bins = np.searchsorted(self.edges, np.concatenate([rises, self.rises[sentence, rest]]), side="right") - 1
        best_right = bool(right[places[0]])
        weights[0] = 0  # the nearest is counted apart
        counts, hits = (np.bincount(bins, counted, BINS).astype(np.float64) for counted in (weights, weights * right[places]))
        return counts, hits, float(self.best[sentence]), best_right


def _kinds(measured: _Measured, captions: Sequence[str], phrases: Sequence[str]) -> tuple[Kind, ...]:
    """Return what was found for phrases and captions, the shorter ones first; phrases need not be there."""
    texts = np.array(measured.texts)
    same = [texts == normalized(text) for text in captions]
    kinds = [kind_of(measured.pairs(0, same, np.ones(len(texts), np.bool_)), _size(captions))]
    if phrases:
        said = [np.array([f" {phrase} " in text for text in measured.texts]) for phrase in phrases]
        kinds.append(kind_of(measured.pairs(len(captions), said, texts != ""), _size(phrases)))
    kinds.sort(key=lambda kind: kind.size_bytes)
    return tuple(kinds) if len(kinds) == 1 or kinds[0].size_bytes < kinds[1].size_bytes else (kinds[0],)


def _background_kind(noise: Floats, texts: Sequence[str]) -> Kind:
    return Kind(_size(texts), share_below(noise), share_below(noise), (1.0, 1.0), len(noise))


def _size(texts: Sequence[str]) -> float:
    return float(np.median([len(text.encode()) for text in texts]))


def _selections(index: Corpus) -> list[Selection]:
    """Return the rows that were embedded from their videos."""
    if EMBEDDED_FROM not in index.schema.names:
        return index.select(None)
    return index.select(f"{EMBEDDED_FROM} is null or {EMBEDDED_FROM} != 'caption'")


def _captions(index: Corpus, rows: Rows) -> dict[int, str]:
    """Return the captions of those of some rows that have one."""
    if "caption" not in index.schema.names:
        return {}
    found = zip(rows.tolist(), index.take(rows, ["caption"]), strict=True)
    return {row: values["caption"] for row, values in found if values["caption"] and values["caption"].strip()}


def _distinct(captions: dict[int, str], seed: int) -> dict[str, int]:
    """Return captions drawn at random, no two of them the same, each with a row that has it."""
    rows = np.random.default_rng(seed).permutation(list(captions)).tolist()
    chosen: dict[str, tuple[str, int]] = {}
    for row in rows:
        chosen.setdefault(normalized(captions[row]), (captions[row], row))
        if len(chosen) == CAPTIONS:
            break
    return dict(chosen.values())
