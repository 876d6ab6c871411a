"""Annotations of the data sets that retrieval is measured on; every layout is one file of this folder."""

from __future__ import annotations

from pathlib import Path

from vidsearch.errors import UsageError
from vidsearch.evaluation.annotations.base import Annotation, gather
from vidsearch.registry import names, plugin

TABLE = "table"  # rows of anyone's own data


def read_annotation(path: Path, dataset: str = TABLE, *, paragraph: bool = False) -> Annotation:
    """Read captions and what they describe.

    Args:
        path: the annotation file.
        dataset: whose layout it has, a name of `layouts`.
        paragraph: join each clip's sentences into one query.
    """
    if dataset not in layouts():
        raise UsageError(f"unknown data set {dataset!r}; choose from {', '.join(layouts())}, or name a file of video and caption")
    return gather(plugin(__name__, dataset).read(path), path, paragraph=paragraph)


def layouts() -> tuple[str, ...]:
    """Return the layouts there are."""
    return names(__name__)
