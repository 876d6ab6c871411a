"""Bring an index into its best shape: small segments into large ones, exact ones into IVF-PQ once there are clips enough to train on.

Then its captions are indexed for keyword search, and what its search settings give and what its scores mean is measured.

Works on the stored vectors: nothing is decoded or embedded again. Small trained segments wait until there are several of a size, so
each row is written anew once for each power of eight its index grows by, and adding a thousand clips to a million rewrites the thousand.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from indexer import likelihood
from indexer.calibrate import calibrate
from indexer.merge import Merged, commit_merged, merge, quantization_error
from indexer.probes import Probes, probes_for
from vidsearch.captions import store
from vidsearch.corpus import Corpus
from vidsearch.errors import ConflictError, IndexCorruptError
from vidsearch.indexes.base import kind_for, sample_rows
from vidsearch.registry import names, plugin
from vidsearch.storage import garbage
from vidsearch.storage import manifest as manifests
from vidsearch.storage.template import write_template

FOLDED_ROWS = 1 << 20  # a folded segment has at most so many
TIER = 8  # segments of a size that are written as one, and the step from one size to the next
MAX_SAMPLE_ROWS = 262_144  # 0.8 GB at 768 dimensions
RECALIBRATE = 2.0  # times the rows there were at the last calibration
RELEARN = 1.25  # times more or fewer rows than when the meaning of scores was learnt
DELETED_SHARE = 0.2  # of a segment's rows, from which on it is written anew without them
TRIES = 5  # when other processes fold the same index

log = logging.getLogger(__name__)

EncodeTexts = Callable[[Sequence[str]], npt.NDArray[np.float32]]


def index_kind(index: Corpus) -> str:
    """Return what most of an index's rows are searched with, "flat" or the name of another plug-in."""
    trained = [segment for segment in index.segments if segment.info["index"] != "flat"]
    return str(trained[0].info["index"]) if sum(segment.rows for segment in trained) * 2 > index.slots else "flat"


def fold(
    root: Path,
    *,
    index_factory: str | None = None,
    seed: int = 0,
    encode_texts: EncodeTexts | None = None,
    queries: npt.NDArray[np.float32] | None = None,
    compact: bool = False,
    retrain: bool = False,
    grace_s: float = garbage.GRACE_S,
) -> None:
    """Bring an index into its best shape for its number of clips.

    Args:
        root: the index.
        index_factory: a FAISS factory string, or the name of an index plug-in, in place of what is chosen here.
        seed: of all that is drawn.
        encode_texts: the model's text side, for captions to train and calibrate with.
        queries: (q, dim) float32, text queries as vectors, in place of captions.
        compact: write all small segments as few as possible, and none with a deleted row, whatever that costs.
        retrain: train the template anew and cut every segment from it; needs as much free space as the index takes.
        grace_s: for so many seconds segments that are replaced are kept for those who are about to open them.
    """

    def probes(index: Corpus) -> Probes:
        return probes_for(index, encode_texts=encode_texts, queries=queries, seed=seed)

    for attempt in range(TRIES):
        try:
            retrained = _fold_segments(root, index_factory, seed, probes, compact=compact, retrain=retrain)
            break
        except ConflictError:
            if attempt + 1 == TRIES:
                raise
    folded = Corpus(root)
    store.build(root, folded.segments)
    if len(folded) and index_kind(folded) == "ivfpq" and (retrained or len(folded) >= RECALIBRATE * folded.calibration.rows):
        found = calibrate(folded, probes(folded), seed=seed).to_json()
        manifests.commit(root, lambda manifest: manifest.with_settings({**manifest.settings, "search": found}))
    _learn_scores(root, folded, encode_texts, seed, anew=compact)
    garbage.collect(root, grace_s=grace_s, versions=garbage.VERSIONS if grace_s else 1)


def _learn_scores(root: Path, index: Corpus, encode_texts: EncodeTexts | None, seed: int, *, anew: bool) -> None:
    """Keep in the manifest what scores mean, where that is not known yet or the index has grown or shrunk much since."""
    known = index.likelihood
    if known is not None and not anew and known.rows / RELEARN <= len(index) < known.rows * RELEARN:
        return
    learnt = likelihood.fit(index, encode_texts, seed=seed)
    if learnt is not None:
        manifests.commit(root, lambda manifest: manifest.with_settings({**manifest.settings, "likelihood": learnt.to_json()}))


def _fold_segments(root: Path, factory: str | None, seed: int, probes: Callable[[Corpus], Probes], *, compact: bool, retrain: bool) -> bool:
    """Write anew what is not in its best shape; return whether a template was trained."""
    index = Corpus(root)
    if not index.slots or not index.segments:
        return False
    kind, template = _kind(index, factory, retrain=retrain), index.manifest.template
    if kind == "flat":
        template, train = None, False
    else:
        train = template is None or retrain
    if train:
        template = _train(root, index, kind, factory if kind == "faiss_factory" else None, probes(index), seed)
    groups = _groups(index, kind, compact=compact, everything=train and index.manifest.template is not None)
    merged: list[Merged] = []
    for group in groups:
        try:
            one = merge(index, group, kind=kind, template=template)
        except IndexCorruptError as error:
            if retrain:
                raise
            log.warning("%s; what is stored beside it is left as it is: see `vidsearch repair`", error)
            continue
        if retrain:
            merged.append(one)  # scores of one template only are merged: all or nothing
        else:
            commit_merged(root, [one], template=template)
    if merged:
        commit_merged(root, merged, template=template)
    return train


def _kind(index: Corpus, factory: str | None, *, retrain: bool) -> str:
    if index.manifest.template is not None and not (retrain and factory is not None):
        return next((str(segment.info["index"]) for segment in index.segments if segment.info["index"] != "flat"), kind_for(len(index)))
    if factory is None:
        return kind_for(len(index))
    return factory if factory in names("vidsearch.indexes") else "faiss_factory"


def _groups(index: Corpus, kind: str, *, compact: bool, everything: bool) -> list[list[int]]:
    """Return which segments to write anew together: of the wrong kind, much deleted, or one of many of a size."""
    wrong, worn = [], []
    at_once = compact or kind == "flat"
    tiers: dict[int, list[int]] = {}
    for number, (segment, alive) in enumerate(zip(index.segments, index.alive, strict=True)):
        deleted = segment.rows - alive.count
        if everything or segment.info["index"] != kind:
            wrong.append(number)
        elif deleted > (0 if compact else DELETED_SHARE * segment.rows):
            worn.append(number)
        elif segment.rows <= FOLDED_ROWS // 2:
            tiers.setdefault(0 if at_once else int(math.log(max(1, segment.rows), TIER)), []).append(number)
    enough = 2 - len(wrong) - len(worn) if at_once else TIER
    many = [number for tier in tiers.values() if len(tier) >= enough for number in tier]
    groups: list[list[int]] = []
    rows = 0
    for number in [*wrong, *worn, *many]:
        count = index.alive[number].count
        if not groups or rows + count > FOLDED_ROWS:
            groups.append([])
            rows = 0
        groups[-1].append(number)
        rows += count
    return [group for group in groups if len(group) > 1 or group[0] in worn or (group[0] in wrong and index.segments[group[0]].rows)]


def _train(root: Path, index: Corpus, kind: str, factory: str | None, probes: Probes, seed: int) -> str:
    """Train the template that all segments share, on a sample of what is there, and return its name; a commit must name it."""
    sample, module = _sample(index, seed), plugin("vidsearch.indexes", kind)
    data = module.train(sample, queries=probes.training, rows=len(index), seed=seed, factory=factory)
    error = quantization_error(sample, module.load_template(data))
    about = {"rows": len(index), "sample": len(sample), "seed": seed, "factory": factory, "queries": probes.source}
    return write_template(root, data, {**about, "quantization_error": error})


def _sample(index: Corpus, seed: int) -> npt.NDArray[np.float32]:
    """Return vectors (n, dim) to train on, drawn evenly from all rows that are not deleted."""
    rng = np.random.default_rng(seed)
    share = min(MAX_SAMPLE_ROWS, sample_rows(len(index))) / max(1, len(index))
    parts = []
    for segment, alive in zip(index.segments, index.alive, strict=True):
        rows = np.sort(rng.choice(alive.count, size=round(alive.count * share), replace=False))
        parts.append(segment.vectors[rows if alive.everything else alive.ids[rows]].astype(np.float32))
    return np.concatenate(parts)
