"""Which class does a clip show? Labelled clips and a folder of videos in, scores of all classes out: by prompts, or by a trained head.

scored = score_by_prompts(encoder, find_clips(read_labels(annotation), classes, videos), classes)
accuracy = measure_accuracy(scored.scores, scored.clips.labels, len(classes))
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from indexer.evaluation.retrieval import encode_captions, refuse_failed
from indexer.evaluation.video_files import find_videos
from indexer.features import ClipSource, FeatureStore, Measure, Model, Progress, measure, store_of
from vidsearch.config import Space
from vidsearch.encoders.base import Encoder
from vidsearch.errors import UsageError
from vidsearch.evaluation.annotations.base import Clip
from vidsearch.evaluation.classes import ClassList
from vidsearch.evaluation.labels.base import Labelled
from vidsearch.evaluation.prompts import ACTION_PROMPTS, mean_of_prompts, sentences
from vidsearch.evaluation.ranks import BLOCK_SCORES, Blocks, Floats, cosines

if TYPE_CHECKING:
    from vidsearch.encoders._viclip_classifier import ViCLIPClassifier

Labels = npt.NDArray[np.int64]


@dataclass(frozen=True, repr=False)
class FoundClips:
    """The clips of an annotation that are there.

    Attributes:
        sources: where they lie, in the annotation's order.
        labels: (clips,) int64, the place of each one's class.
        missing: those that are not there, as the annotation calls them.
    """

    sources: tuple[ClipSource, ...]
    labels: Labels
    missing: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"FoundClips({len(self.sources):,} clips, {len(self.missing):,} missing)"

    def keep(self, clips: npt.NDArray[np.bool_]) -> FoundClips:
        """Return what is left with these clips, (clips,) bool, alone."""
        return FoundClips(
            tuple(source for source, kept in zip(self.sources, clips.tolist(), strict=True) if kept), self.labels[clips], self.missing
        )


def find_clips(labelled: Sequence[Labelled], classes: ClassList, folder: Path) -> FoundClips:
    """Find each clip below a folder: the file that holds just this part, else its times in the whole video.

    Raises:
        UsageError: a label is no class, or two clips of different classes turn out to be the same file.
    """
    labels = classes.find([one.label for one in labelled])
    files = find_videos(folder, dict.fromkeys(name for one in labelled for name in (one.cut, one.clip.video) if name))
    sources: list[ClipSource] = []
    kept, missing = [], []
    for place, one in enumerate(labelled):
        if one.cut in files:
            sources.append(ClipSource(files[one.cut]))
        elif one.clip.video in files:
            sources.append(ClipSource(files[one.clip.video], one.clip.start_s, one.clip.end_s))
        else:
            missing.append(one.cut or one.clip.video)
            continue
        kept.append(place)
    _refuse_contradictions(sources, labels[kept], classes)
    return FoundClips(tuple(sources), labels[kept], tuple(missing))


@dataclass(frozen=True)
class Scored:
    """Clips and the scores of all classes.

    Attributes:
        scores: blocks of (clips, classes).
        clips: those that could be decoded.
        failed: how many could not.
        space: of the model that was asked.
        device: where it ran, and at which precision.
        by: what made the scores, in words.
        cut: texts longer than the model reads, and its limit in tokens; (0, 0) where it does not tell.
    """

    scores: Blocks
    clips: FoundClips
    failed: int
    space: Space
    device: str
    by: str
    cut: tuple[int, int] = (0, 0)


@dataclass(frozen=True)
class Running:
    """How clips are measured.

    Attributes:
        cache: folder that keeps what is measured; None keeps nothing.
        workers: decode processes.
        allow_failures: leave out clips that cannot be decoded, in place of raising UsageError.
        progress: called as clips are measured, and as texts are encoded.
    """

    cache: Path | None = None
    workers: int = 1
    allow_failures: bool = False
    progress: Callable[[Progress], None] = lambda progress: None


RUNNING = Running()


def score_by_prompts(
    encoder: Encoder, clips: FoundClips, classes: ClassList, prompts: Sequence[str] = ACTION_PROMPTS, *, running: Running = RUNNING
) -> Scored:
    """Score each class by the mean of the cosines of a clip with its prompts."""
    kept, rows = _measured(encoder, encoder.encode_pixels, encoder.clips_at_once, clips, running, "clips")
    texts = sentences(classes.spoken(), prompts)
    with _opened(running, encoder, "texts") as store:
        means = mean_of_prompts(encode_captions(texts, encoder, store=store, progress=running.progress), len(prompts))
    by = f"mean cosine of {len(prompts)} prompt{'s' if len(prompts) > 1 else ''}"
    failed = len(clips.sources) - len(kept.sources)
    return Scored(cosines(rows, means), kept, failed, encoder.space, _where(encoder), by, encoder.count_cut(texts) or (0, 0))


def score_by_head(
    classifier: ViCLIPClassifier, clips: FoundClips, classes: ClassList, *, unit: bool = False, running: Running = RUNNING
) -> Scored:
    """Score the classes, in their order, by the logits of a trained head.

    Args:
        unit: the head was trained on features made unit rows; else it reads them as the tower gives them.
    """
    if classifier.head.classes != len(classes):
        raise UsageError(
            f"the head of {classifier.space.model} tells {classifier.head.classes:,} classes apart, {classes.source} holds "
            f"{len(classes):,}; name the list it was trained with, in its order, with --classes FILE"
        )
    kept, rows = _measured(classifier, classifier.features, classifier.clips_at_once, clips, running, "features")

    def blocks() -> Iterator[Floats]:
        step = max(1, BLOCK_SCORES // len(classes))
        for start in range(0, len(rows), step):
            yield classifier.logits(rows[start : start + step], unit=unit)

    read = f"{'projected' if classifier.projected else 'unprojected'} features{', unit rows' if unit else ''}"
    failed = len(clips.sources) - len(kept.sources)
    return Scored(blocks, kept, failed, classifier.space, _where(classifier), f"logits of the checkpoint's head, on {read}")


def _measured(model: Model, of_pixels: Measure, at_once: int, clips: FoundClips, running: Running, what: str) -> tuple[FoundClips, Floats]:
    """Return the clips that could be decoded, and a row of each."""
    with _opened(running, model, what) as store:
        measured = measure(
            clips.sources,
            model.space.preset,
            of_pixels,
            store=store,
            batch=at_once,
            workers=running.workers,
            progress=running.progress,
        )
    failures = {Clip(str(clips.sources[place].path)): why for place, why in measured.failures.items()}
    refuse_failed(failures, len(clips.sources), allowed=running.allow_failures)
    good = np.ones(len(clips.sources), dtype=np.bool_)
    good[list(measured.failures)] = False
    return clips.keep(good), measured.rows[good]


@contextmanager
def _opened(running: Running, model: Model, what: str) -> Iterator[FeatureStore | None]:
    if running.cache is None:
        yield None
        return
    with closing(store_of(running.cache, model, what=what)) as store:
        yield store


def _where(model: Model) -> str:
    return f"{model.device} {getattr(model, 'precision', '')}".strip()


def _refuse_contradictions(sources: Sequence[ClipSource], labels: Labels, classes: ClassList) -> None:
    """Raise where one clip has two classes: names that differ by their folders alone, when a file is missing, look like that."""
    seen: dict[ClipSource, int] = {}
    for source, label in zip(sources, labels.tolist(), strict=True):
        if seen.setdefault(source, label) != label:
            raise UsageError(
                f"{source.path} is labelled both {classes.names[seen[source]]!r} and {classes.names[label]!r}; "
                "is a file missing, or another --videos folder meant?"
            )
