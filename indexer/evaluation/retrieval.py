"""Text→video and video→text retrieval: an annotation and a folder of videos in, ranks out, by exact scores and through an index.

found = embed(annotation, files, encoder, store=store)
exact = rank_exactly(found)                      # exact.text_to_video, exact.video_to_text
asked = rank_through_index(found, encoder.space) # what a user of an index of these clips gets
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import numpy.typing as npt

from indexer.features import ClipSource, FeatureStore, Progress, measure
from indexer.fold import index_kind
from indexer.vectors import build_from_vectors
from vidsearch.config import Space
from vidsearch.corpus import Corpus
from vidsearch.encoders.base import Encoder
from vidsearch.errors import UsageError
from vidsearch.evaluation.annotations.base import Annotation, Clip
from vidsearch.evaluation.ranks import Blocks, Floats, Ranks, cosines, dual_softmax, rank

TEXTS_AT_ONCE = 256  # between two writes to the store
QUERIES_AT_ONCE = 1000
DEPTH = 10  # hits asked of the index for each caption

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Embedded:
    """An annotation's captions and clips as vectors.

    Attributes:
        annotation: those clips that could be had, with their captions.
        texts: (captions, dim) float32, unit rows.
        clips: (clips, dim) float32, unit rows.
        failures: why clips could not be had.
        cached: rows of clips that were known from before.
    """

    annotation: Annotation
    texts: Floats
    clips: Floats
    failures: Mapping[Clip, str]
    cached: int


@dataclass(frozen=True)
class ExactRanks:
    """Ranks in both directions; a clip is a query as often as it occurs, which is once."""

    text_to_video: Ranks
    video_to_text: Ranks


@dataclass(frozen=True)
class IndexRanks:
    """Ranks of captions among the hits of an index; what is not among the first `depth` stands below all clips.

    Attributes:
        kind: of the index, "flat" or another plug-in.
        plan: how it answered, in words.
    """

    text_to_video: Ranks
    kind: str
    plan: str
    depth: int


def embed(
    annotation: Annotation,
    files: Mapping[str, Path],
    encoder: Encoder,
    *,
    store: FeatureStore | None = None,
    texts_store: FeatureStore | None = None,
    workers: int = 1,
    decoder: str = "pyav",
    progress: Callable[[Progress], None] = lambda progress: None,
    texts_progress: Callable[[Progress], None] = lambda progress: None,
) -> Embedded:
    """Measure the clips whose video is among the files, and encode their captions; what the stores know is not done again.

    Args:
        files: where the videos lie, by the annotation's names; clips of others are left out.
        store, texts_store: of this encoder's clips and captions.
        workers, decoder: see `indexer.features.measure`.
    """
    there = annotation.keep(np.array([clip.video in files for clip in annotation.clips], dtype=np.bool_))
    sources = [ClipSource(files[clip.video], clip.start_s, clip.end_s) for clip in there.clips]
    measured = measure(
        sources,
        encoder.preset,
        encoder.encode_pixels,
        store=store,
        batch=encoder.clips_at_once,
        workers=workers,
        decoder=decoder,
        progress=progress,
    )
    good = np.ones(len(sources), dtype=np.bool_)
    good[list(measured.failures)] = False
    kept = there.keep(good)
    texts = encode_captions(kept.captions, encoder, store=texts_store, progress=texts_progress)
    failures = {there.clips[place]: why for place, why in measured.failures.items()}
    return Embedded(kept, texts, measured.rows[good], failures, measured.cached)


def encode_captions(
    captions: Sequence[str],
    encoder: Encoder,
    *,
    store: FeatureStore | None = None,
    progress: Callable[[Progress], None] = lambda progress: None,
) -> Floats:
    """Return captions as unit rows (n, dim) float32; each is encoded once, and kept in the store."""
    keys = {caption: hashlib.sha256(caption.encode(errors="surrogatepass")).hexdigest() for caption in captions}
    known = {} if store is None else store.read(list(keys.values()))
    left = [caption for caption, key in keys.items() if key not in known]
    cached = len(keys) - len(left)
    for start in range(0, len(left), TEXTS_AT_ONCE):
        some = left[start : start + TEXTS_AT_ONCE]
        rows = {keys[caption]: row for caption, row in zip(some, encoder.encode_texts(some), strict=True)}
        if store is not None:
            store.write(rows)
        known.update(rows)
        progress(Progress(len(known), len(keys), cached))
    return np.stack([known[keys[caption]] for caption in captions]) if captions else np.zeros((0, encoder.dim), np.float32)


def rank_exactly(found: Embedded, *, dsl_temperature: float | None = None) -> ExactRanks:
    """Rank by cosines in float32; with a temperature, by dual softmax scores (see `ranks.dual_softmax`)."""

    def scored(queries: Floats, candidates: Floats) -> Blocks:
        plain = cosines(queries, candidates)
        return plain if dsl_temperature is None else dual_softmax(plain, temperature=dsl_temperature)

    each, of_text = np.arange(len(found.clips)), found.annotation.clip_of
    return ExactRanks(
        rank(scored(found.texts, found.clips), of_text, each),
        rank(scored(found.clips, found.texts), each, of_text),
    )


def rank_through_index(found: Embedded, space: Space, *, index_factory: str | None = None, depth: int = DEPTH) -> IndexRanks:
    """Build an index of the clips as `vidsearch index` would, ask it each caption, and rank its hits.

    The captions that are asked take no part in training it.

    Args:
        index_factory: see `indexer.build_from_vectors`.
        depth: hits asked for.
    """
    with TemporaryDirectory(prefix="vidsearch-eval-") as scratch:
        folder = Path(scratch)
        np.save(folder / "clips.npy", found.clips)
        (folder / "rows.jsonl").write_text("".join(json.dumps({"clip_id": f"{number}"}) + "\n" for number in range(len(found.clips))))
        build_from_vectors(
            folder / "clips.npy", folder / "index", metadata=folder / "rows.jsonl", space=space, index_factory=index_factory, grace_s=0
        )
        corpus = Corpus(folder / "index")
        clip_of_row = np.array([int(name) for table in corpus.read_columns(["clip_id"]) for name in table["clip_id"].to_pylist()])
        above: list[int] = []
        plan = ""
        for start in range(0, len(found.texts), QUERIES_AT_ONCE):
            for hits in corpus.nearest(found.texts[start : start + QUERIES_AT_ONCE], min(depth, len(found.clips))):
                plan = hits.certificate.reason
                place = np.flatnonzero(clip_of_row[hits.rows] == found.annotation.clip_of[len(above)])
                above.append(int(place[0]) if len(place) else len(found.clips))
        kind = index_kind(corpus)
        del corpus, hits  # lets go of the files before they are removed
    placed = np.array(above, dtype=np.int64)
    return IndexRanks(Ranks(placed, np.zeros_like(placed), np.ones_like(placed)), kind, plan, depth)


def refuse_missing(missing: Sequence[str], of: int, where: Path, *, allowed: bool) -> None:
    """Raise UsageError where an annotation names videos that are not there: any, or where that is allowed all of them."""
    if len(missing) < of if allowed else not missing:
        return
    names = ", ".join(missing[:3]) + (" …" if len(missing) > 3 else "")
    advice = "check --videos" if len(missing) == of else "check --videos, or leave them out with --allow-missing"
    raise UsageError(f"{len(missing):,} of {of:,} videos are not below {where} ({names}); {advice}")


def refuse_failed(failures: Mapping[Clip, str], of: int, *, allowed: bool) -> None:
    """Raise UsageError where clips cannot be decoded: any, or where that is allowed all of them."""
    if len(failures) < of if allowed else not failures:
        return
    clip, why = next(iter(failures.items()))
    advice = "look at the files" if len(failures) == of else "leave them out with --allow-missing"
    raise UsageError(f"{len(failures):,} of {of:,} clips cannot be decoded, such as {clip.video} ({why}); {advice}")
