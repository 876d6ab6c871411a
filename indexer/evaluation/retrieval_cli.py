"""`vidsearch eval retrieval`."""

from __future__ import annotations

import sys
from contextlib import closing
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
    from indexer.evaluation.retrieval import Embedded
    from vidsearch.encoders.base import Encoder
    from vidsearch.evaluation.annotations.base import Annotation

DatasetOption = Annotated[
    str, typer.Option("--dataset", help="msrvtt, msvd, lsmdc, didemo, activitynet, or a FILE of video and caption (CSV, TSV, JSON).")
]


def retrieval(
    dataset: DatasetOption,
    annotation: Annotated[Path | None, typer.Option("--annotation", help="The data set's annotation file.")] = None,
    videos: VideosOption = None,
    model: ModelOption = None,
    preset: PresetOption = None,
    frames: FramesOption = None,
    blend: BlendOption = None,
    coefficient: CoefficientOption = None,
    paragraph: Annotated[bool, typer.Option("--paragraph", help="Join a video's sentences into one query.")] = False,
    dsl: Annotated[bool, typer.Option("--dsl", help="Score by dual softmax over all queries.")] = False,
    temperature: Annotated[float, typer.Option("--temperature", help="Of --dsl.")] = 1.0,
    through_index: Annotated[bool, typer.Option("--through-index/--no-index", help="Also ask an index built of the clips.")] = True,
    index_factory: Annotated[str | None, typer.Option("--index-factory", help="Of that index, as `vidsearch index` takes it.")] = None,
    allow_missing: MissingOption = False,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
    workers: WorkersOption = WORKERS,
    seed: SeedOption = 0,
    report: Annotated[Path | None, typer.Option("--report", help="Also write the report: a name ending in .md or .json.")] = None,
) -> None:
    """Measure text→video and video→text retrieval: R@1/5/10, median and mean rank, through exact scores and an index."""
    from indexer.cli import share_cores
    from indexer.evaluation.models import choose, load
    from indexer.evaluation.retrieval import rank_exactly, rank_through_index, refuse_failed, refuse_missing
    from indexer.evaluation.retrieval_report import Asked, retrieval_report
    from indexer.evaluation.video_files import find_videos
    from vidsearch.evaluation.report import check_report_path, print_report, write_report

    check_report_path(report)
    if not temperature > 0:
        raise UsageError(f"--temperature {temperature:g} must be above 0")
    name, file, captions = _read(dataset, annotation, paragraph=paragraph)
    folder = videos or file.parent
    named = list(dict.fromkeys(clip.video for clip in captions.clips))
    files = find_videos(folder, named)
    missing = [video for video in named if video not in files]
    refuse_missing(missing, len(named), folder, allowed=allow_missing)
    share_cores()
    encoder = load(
        choose(model),
        preset=preset,
        frames=frames,
        blend=blend,
        coefficient=coefficient,
        device=device,
        precision=precision,
    )
    found = _embedded(captions, files, encoder, workers)
    refuse_failed(found.failures, len(found.failures) + len(found.clips), allowed=allow_missing)
    exact = rank_exactly(found, dsl_temperature=temperature if dsl else None)
    asks = through_index and not dsl  # an index knows no other queries
    through = rank_through_index(found, encoder.space, index_factory=index_factory) if asks else None
    asked = Asked(name, file.name, len(named), len(missing), paragraph, temperature if dsl else None, blend_told(blend, coefficient))
    made = retrieval_report(asked, found, encoder, exact, through, seed=seed)
    if report is not None:
        write_report(made, report)
    print_report(made)


def _read(dataset: str, annotation: Path | None, *, paragraph: bool) -> tuple[str, Path, Annotation]:
    """Return the name to report, the annotation file and what is in it: of a named layout, or of a plain table."""
    from vidsearch.evaluation.annotations import TABLE, layouts, read_annotation

    if dataset in layouts() and dataset != TABLE:
        if annotation is None:
            raise UsageError(f"--dataset {dataset} needs its annotation file; name it with --annotation FILE")
        return dataset, annotation, read_annotation(annotation, dataset, paragraph=paragraph)
    file = Path(dataset)
    if annotation is not None or not (file.suffix or file.exists()):
        known = ", ".join(name for name in layouts() if name != TABLE)
        raise UsageError(f"unknown data set {dataset!r}; choose from {known}, or give a FILE of video and caption, without --annotation")
    return file.name, file, read_annotation(file, paragraph=paragraph)


def _embedded(captions: Annotation, files: dict[str, Path], encoder: Encoder, workers: int) -> Embedded:
    """Measure clips and captions with their stores open; Ctrl-C ends it with a line, and what was measured stays."""
    from indexer.evaluation.progress import shown
    from indexer.evaluation.retrieval import embed
    from indexer.features import store_of
    from vidsearch.settings import read_settings

    folder = read_settings().cache / "evaluation"
    with closing(store_of(folder, encoder)) as store, closing(store_of(folder, encoder, what="texts")) as texts_store:
        try:
            with shown("clips measured") as progress, shown("captions encoded") as texts_progress:
                return embed(
                    captions,
                    files,
                    encoder,
                    store=store,
                    texts_store=texts_store,
                    workers=workers,
                    progress=progress,
                    texts_progress=texts_progress,
                )
        except KeyboardInterrupt:
            typer.echo("interrupted; what was measured is kept, and the same command goes on from there", err=True)
            sys.exit(EXIT_INTERRUPTED)
