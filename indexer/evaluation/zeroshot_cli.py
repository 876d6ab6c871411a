"""`vidsearch eval zeroshot`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from indexer.evaluation.options import (
    WORKERS,
    BlendOption,
    CoefficientOption,
    DeviceOption,
    FramesOption,
    MissingOption,
    ModelOption,
    PrecisionOption,
    PresetOption,
    SeedOption,
    VideosOption,
    WorkersOption,
    blend_told,
)
from vidsearch.cli import EXIT_INTERRUPTED
from vidsearch.errors import UsageError

if TYPE_CHECKING:
    from indexer.evaluation.zeroshot import FoundClips, Running
    from vidsearch.evaluation.classes import ClassList
    from vidsearch.evaluation.labels.base import Labelled


class HeadFeatures(StrEnum):
    """What a classification head is given."""

    raw = "raw"
    unit = "unit"


def zeroshot(
    dataset: Annotated[
        str, typer.Option("--dataset", help="kinetics400|600|700, ucf101, hmdb51, ssv2, a FILE of video and label, or a FOLDER by class.")
    ],
    annotation: Annotated[
        Path | None, typer.Option("--annotation", help="The data set's annotation. [default: the folders of --videos are the classes]")
    ] = None,
    split: Annotated[str | None, typer.Option("--split", help="Of an annotation that holds several.")] = None,
    videos: VideosOption = None,
    model: ModelOption = None,
    classes: Annotated[
        str | None, typer.Option("--classes", help="The classes in order: a file, or a data set's name. [default: the data set's]")
    ] = None,
    prompt: Annotated[
        list[str] | None, typer.Option("--prompt", help="Such as 'a video of {}', {} being the class; may be repeated. [default: the 16]")
    ] = None,
    preset: PresetOption = None,
    frames: FramesOption = None,
    blend: BlendOption = None,
    coefficient: CoefficientOption = None,
    head_features: Annotated[
        HeadFeatures | None, typer.Option("--head-features", help="What a fine-tuned checkpoint's head reads. [default: raw]")
    ] = None,
    allow_missing: MissingOption = False,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
    workers: WorkersOption = WORKERS,
    seed: SeedOption = 0,
    report: Annotated[Path | None, typer.Option("--report", help="Also write the report, with all classes: .md or .json.")] = None,
) -> None:
    """Measure which class clips show: top-1, top-5 and AVG, by prompts, or by the head of a fine-tuned checkpoint."""
    from indexer.cli import share_cores
    from indexer.evaluation.models import choose, load, load_classifier
    from indexer.evaluation.zeroshot import score_by_head, score_by_prompts
    from indexer.evaluation.zeroshot_report import Asked, with_classes, zeroshot_report
    from vidsearch.evaluation.accuracy import measure_accuracy
    from vidsearch.evaluation.prompts import ACTION_PROMPTS, check_prompts
    from vidsearch.evaluation.report import check_report_path, print_report, write_report

    check_report_path(report)
    prompts = check_prompts(prompt or ACTION_PROMPTS)
    name, file, labelled = _read(dataset, annotation, videos, split)
    known = _classes(name, classes, labelled)
    clips = _find(labelled, known, videos or (file if file.is_dir() else file.parent), allow_missing=allow_missing)
    share_cores()
    source = choose(model)
    classifier = load_classifier(source, preset=preset, frames=frames, device=device, precision=precision)
    if classifier is not None:
        _refuse(source, {"--prompt": prompt, "--blend": blend, "--coefficient": coefficient}, "has a classification head, which takes no")
        with _running(workers, allow_failures=allow_missing) as running:
            scored = score_by_head(classifier, clips, known, unit=head_features is HeadFeatures.unit, running=running)
    else:
        _refuse(source, {"--head-features": head_features}, "has no classification head for")
        encoder = load(source, preset=preset, frames=frames, blend=blend, coefficient=coefficient, device=device, precision=precision)
        with _running(workers, allow_failures=allow_missing) as running:
            scored = score_by_prompts(encoder, clips, known, prompts, running=running)
    accuracy = measure_accuracy(scored.scores, scored.clips.labels, len(known), seed=seed)
    asked = Asked(name, known, scored, () if classifier else prompts, blend_told(blend, coefficient), len(clips.missing))
    made = zeroshot_report(asked, accuracy)
    if report is not None:
        write_report(with_classes(made, asked, accuracy), report)
    print_report(made)


def _read(dataset: str, annotation: Path | None, videos: Path | None, split: str | None) -> tuple[str, Path, list[Labelled]]:
    """Return the name to report, and the annotation with what is in it; without one, the videos' folders are the classes."""
    from vidsearch.evaluation.classes import shipped
    from vidsearch.evaluation.labels import read_labels

    if dataset in shipped():
        file = annotation or videos
        if file is None:
            raise UsageError(f"--dataset {dataset} needs --annotation FILE, or --videos DIR with a folder a class")
        return dataset, file, read_labels(file, split=split)
    path = Path(dataset)
    if annotation is not None or not (path.suffix or path.exists()):
        raise UsageError(
            f"unknown data set {dataset!r}; choose from {', '.join(shipped())}, or give a FILE of video and label, without --annotation"
        )
    return path.name, path, read_labels(path, split=split)


def _classes(name: str, named: str | None, labelled: list[Labelled]) -> ClassList:
    """Return the classes named, those of the data set, or those that occur in the annotation."""
    from vidsearch.evaluation.classes import classes_of, read_classes, shipped

    if named is not None:
        return read_classes(named)
    return read_classes(name) if name in shipped() else classes_of((one.label for one in labelled), name)


def _find(labelled: list[Labelled], classes: ClassList, folder: Path, *, allow_missing: bool) -> FoundClips:
    from indexer.evaluation.retrieval import refuse_missing
    from indexer.evaluation.zeroshot import find_clips

    clips = find_clips(labelled, classes, folder)
    refuse_missing(clips.missing, len(labelled), folder, allowed=allow_missing)
    return clips


def _refuse(source: str, given: dict[str, object], because: str) -> None:
    """Refuse options that a model has no use for."""
    named = [option for option, value in given.items() if value]
    if named:
        raise UsageError(f"{source} {because} {' or '.join(named)}; leave it out")


@contextmanager
def _running(workers: int, *, allow_failures: bool) -> Iterator[Running]:
    """Give the cache and a line of progress; Ctrl-C ends it with a line, and what was measured stays."""
    from indexer.evaluation.progress import shown
    from indexer.evaluation.zeroshot import Running
    from vidsearch.settings import read_settings

    try:
        with shown("clips or prompts measured") as progress:
            yield Running(read_settings().cache / "evaluation", workers, allow_failures, progress)
    except KeyboardInterrupt:
        typer.echo("interrupted; what was measured is kept, and the same command goes on from there", err=True)
        sys.exit(EXIT_INTERRUPTED)
