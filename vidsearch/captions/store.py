"""Keyword indexes on the disk: made, checked, made again, and removed with their segment."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import tempfile
import uuid
import weakref
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from vidsearch.captions.keywords import TOKENIZER_VERSION, Keywords, write

FOLDER = "keywords"
SEAL = "KEYWORDS.json"
SEAL_BYTES = 1 << 20
BATCH_ROWS = 1 << 16

log = logging.getLogger(__name__)


class Captioned(Protocol):
    """What is needed of a segment."""

    uuid: str
    rows: int

    @property
    def schema(self) -> Any: ...

    def read_columns(self, names: Sequence[str]) -> Any: ...


def build(root: Path, segments: Sequence[Captioned], *, column: str = "caption") -> None:
    """Make the keyword indexes that are missing, and remove those of segments that are gone.

        captions.store.build(root, open_index(root).segments)

    Raises:
        OSError: the disk is full, or the folder cannot be written.
    """
    for segment in segments:
        if not _matches(root / FOLDER / segment.uuid, segment, column):
            _build(root, segment, column)
    known = {segment.uuid for segment in segments}
    for path in (root / FOLDER).iterdir() if (root / FOLDER).is_dir() else ():
        if path.name not in known and not path.name.endswith(".tmp"):
            _remove(path)


def open_keywords(root: Path, segment: Captioned, *, column: str = "caption") -> Keywords:
    """Return a segment's keyword index, made where it is missing or damaged; in a temporary folder where none can be kept."""
    folder = root / FOLDER / segment.uuid
    names = _matches(folder, segment, column)
    if names:
        try:
            return Keywords(folder, names)
        except ValueError as error:  # the bytes are what was written, and another tantivy wrote them
            log.warning("the keyword index %s cannot be read (%s); it is made anew", folder, error)
    log.warning("making the keyword index of %s captions, once", f"{segment.rows:,}")
    try:
        _build(root, segment, column)
    except OSError as error:
        log.warning("no keyword index can be kept in %s (%s): a temporary one is used", root / FOLDER, error.strerror or error)
        folder = Path(tempfile.mkdtemp(prefix="vidsearch-keywords-"))
        write(folder, _captions(segment, column))
        opened = Keywords(folder, _names(folder))
        weakref.finalize(opened, shutil.rmtree, folder, ignore_errors=True)
        return opened
    return Keywords(folder, _names(folder))


def _build(root: Path, segment: Captioned, column: str) -> None:
    """Write beside the final place and rename: what is there is always whole, and of two who make it one wins."""
    parent = root / FOLDER
    if parent.is_symlink():
        raise OSError(f"{parent} is a symbolic link, which an index never holds")
    parent.mkdir(exist_ok=True)
    staged = parent / f"{uuid.uuid4()}.tmp"
    staged.mkdir()
    try:
        write(staged, _captions(segment, column))
        digests = {name: _sha256(staged / name) for name in _names(staged)}
        seal = {**_description(segment, column), "files": digests}
        (staged / SEAL).write_text(json.dumps(seal, sort_keys=True), encoding="utf-8")
        _remove(parent / segment.uuid)  # damaged, or of another column
        os.rename(staged, parent / segment.uuid)  # noqa: PTH104
    except ValueError as error:  # tantivy's word for a failed write
        raise OSError(str(error)) from error
    finally:
        shutil.rmtree(staged, ignore_errors=True)


def _remove(path: Path) -> None:
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
    else:
        shutil.rmtree(path)


def _matches(folder: Path, segment: Captioned, column: str) -> list[str]:
    """Return the names of tantivy's files if a folder holds what was made of those captions; none if not."""
    try:
        with (folder / SEAL).open("rb") as file:
            seal = json.loads(file.read(SEAL_BYTES))
        digests = seal.pop("files")
        names = _names(folder)
        whole = seal == _description(segment, column) and names == sorted(digests)
        return names if whole and all(_sha256(folder / name) == digests[name] for name in names) else []
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return []


def _description(segment: Captioned, column: str) -> dict[str, Any]:
    return {"format": 1, "segment": segment.uuid, "rows": segment.rows, "column": column, "tokenizer": TOKENIZER_VERSION}


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != SEAL and path.suffix != ".lock")


def _sha256(path: Path) -> str:
    if path.is_symlink() or not path.is_file():
        raise OSError(f"{path} is not a regular file")
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _captions(segment: Captioned, column: str) -> Iterator[tuple[int, str]]:
    if column not in segment.schema.names:
        return
    row = 0
    for batch in segment.read_columns([column]).to_batches(max_chunksize=BATCH_ROWS):
        captions: Iterable[str | None] = batch.column(0).to_pylist()
        for caption in captions:
            if caption:
                yield row, caption
            row += 1
