"""An index in object storage, `s3://BUCKET/PATH` or `gs://BUCKET/PATH`: uploaded whole, its manifest last; downloaded by hash, and kept.

Who reads and writes there is `pyarrow.fs`: credentials and region come from the environment, as for other programs, and an address may end
in `?endpoint_override=HOST:PORT&scheme=http` for a server of one's own.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vidsearch.errors import IndexCorruptError, InputNotFoundError, NotAnIndexError, UsageError, VidsearchError
from vidsearch.storage import files, garbage
from vidsearch.storage import manifest as manifests
from vidsearch.storage.address import address_of, folder_of
from vidsearch.storage.files import STAGING, Digest
from vidsearch.storage.manifest import MANIFESTS, SEGMENTS, TOMBSTONES, Manifest
from vidsearch.storage.segment import Segment, open_segment
from vidsearch.storage.template import TEMPLATES

CHUNK_BYTES = 8 << 20


@dataclass(frozen=True)
class Found:
    """A file in object storage, its path below the address it was looked for, and when it was last changed, in ns since 1970."""

    path: str
    size_bytes: int
    mtime_ns: int


class Bucket:
    """A folder in object storage."""

    def __init__(self, place: str | Path) -> None:
        from pyarrow import fs

        self.address = address_of(place)
        try:
            self._fs, base = fs.FileSystem.from_uri(self.address)
        except (OSError, ValueError) as error:  # pyarrow's ArrowInvalid is a ValueError
            raise UsageError(f"{self.address} is not an address in object storage ({_told(error)})") from error
        self._base: str = base.rstrip("/")
        self._selector: Any = fs.FileSelector
        self._is_file: Any = fs.FileType.File

    def list_files(self, below: str = "") -> Iterator[Found]:
        """Yield all files below a path; none where there is nothing."""
        root = f"{self._base}/{below}".rstrip("/")
        try:
            found = self._fs.get_file_info(self._selector(root, allow_not_found=True, recursive=True))
        except OSError as error:
            raise self._error(below, error) from error
        for info in found:
            if info.type == self._is_file:
                yield Found(info.path.removeprefix(f"{self._base}/"), info.size, info.mtime_ns or 0)

    def chunks(self, path: str) -> Iterator[bytes]:
        """Yield a file's bytes; one that is not there raises InputNotFoundError."""
        try:
            with self._fs.open_input_stream(f"{self._base}/{path}") as stream:
                while chunk := stream.read(CHUNK_BYTES):
                    yield chunk
        except FileNotFoundError as error:
            raise InputNotFoundError(f"{self.address}/{path} is not there") from error
        except OSError as error:
            raise self._error(path, error) from error

    def write(self, path: str, chunks: Iterator[files.Bytes]) -> None:
        """Write a whole file; until the last byte is there, nobody sees it."""
        try:
            with self._fs.open_output_stream(f"{self._base}/{path}") as stream:
                for chunk in chunks:
                    stream.write(chunk)
        except OSError as error:
            raise self._error(path, error) from error

    def _error(self, path: str, error: OSError) -> VidsearchError:
        return VidsearchError(f"{self.address}/{path}: {_told(error)}")


def upload(root: Path, place: str | Path) -> int:
    """Bring the newest version of an index to an address and return the bytes that were not there; readers see all of it or none.

    Raises:
        UsageError: another index is there.
        IndexCorruptError: this one is damaged; nothing that is is uploaded.
    """
    bucket, manifest = Bucket(place), manifests.read(root)
    there = {found.path: found.size_bytes for found in bucket.list_files()}
    if "FORMAT" in there and b"".join(bucket.chunks("FORMAT")) != files.read(root / "FORMAT"):
        raise UsageError(f"{bucket.address} holds another index than {root}; choose another address")
    sent = 0
    for path in [*_paths(root, manifest), f"{MANIFESTS}/{manifests.file_name(manifest.version)}"]:
        size = files.size(root / path)
        if there.get(path) != size or path.startswith(MANIFESTS):  # a name is never used for other bytes
            data = files.map_bytes(root / path)
            bucket.write(path, (data[start : start + CHUNK_BYTES] for start in range(0, len(data), CHUNK_BYTES)))
            sent += size
    return sent


def _paths(root: Path, manifest: Manifest) -> Iterator[str]:
    yield "FORMAT"
    for reference in manifest.segments:
        segment = open_segment(root, reference, verify="full")
        yield from (f"{SEGMENTS}/{reference.uuid}/{name}" for name in ("SEGMENT.json", *segment.file_names))
        if reference.deleted is not None:
            yield f"{TOMBSTONES}/{reference.deleted.uuid}.bits"
    if manifest.template is not None:
        yield from (f"{TEMPLATES}/{manifest.template}.{suffix}" for suffix in ("template", "json"))


def fetch(place: str | Path, cache: Path) -> Path:
    """Return a folder with the newest version of the index at an address; only what is not there yet is fetched, and checked.

    Raises:
        NotAnIndexError: no index there.
        IndexCorruptError: a file there is not what its seal or its hash promises.
    """
    bucket, root = Bucket(place), folder_of(place, cache)
    versions = sorted(found.path for found in bucket.list_files(MANIFESTS))
    if not versions:
        raise NotAnIndexError(f"{bucket.address}: not a vidsearch index (no manifests)")
    if not files.is_there(root / versions[-1]):
        for folder in (MANIFESTS, SEGMENTS, TOMBSTONES, TEMPLATES, STAGING):
            files.make_folder(root / folder)
        incoming = root / STAGING / f"{uuid.uuid4()}.incoming"
        files.make_folder(incoming / MANIFESTS)
        try:
            newest = int(versions[-1].removeprefix(f"{MANIFESTS}/").removesuffix(".json"))
            data = b"".join(bucket.chunks(versions[-1]))
            files.write(incoming / versions[-1], data)
            _fetch_all(bucket, root, incoming, manifests.read_version(incoming, newest))
            files.put(root / versions[-1], data, staging=root / STAGING)
        finally:
            files.remove(incoming)
        garbage.collect(root)
    return root


def _fetch_all(bucket: Bucket, root: Path, incoming: Path, manifest: Manifest) -> None:
    """Fetch what a version names and this machine has not."""
    small = ["FORMAT"]
    small += [f"{TOMBSTONES}/{reference.deleted.uuid}.bits" for reference in manifest.segments if reference.deleted]
    small += [f"{TEMPLATES}/{manifest.template}.{suffix}" for suffix in ("template", "json")] if manifest.template else []
    for path in small:  # each is checked by its seal or its name's hash when it is read
        if not files.is_there(root / path):
            files.put(root / path, b"".join(bucket.chunks(path)), staging=root / STAGING)
    for reference in manifest.segments:
        folder = f"{SEGMENTS}/{reference.uuid}"
        if files.is_folder(root / folder):
            continue
        files.make_folder(incoming / folder)
        _fetch(bucket, f"{folder}/SEGMENT.json", incoming)
        for name, promised in Segment(incoming / folder, reference, lenient=True).digests.items():
            _fetch(bucket, f"{folder}/{name}", incoming, promised)
        files.sync_folder(incoming / folder)
        files.rename_folder(incoming / folder, root / folder)


def _fetch(bucket: Bucket, path: str, incoming: Path, promised: Digest | None = None) -> None:
    with files.create(incoming / path) as writer:
        for chunk in bucket.chunks(path):
            writer.write(chunk)
    if promised is not None:
        try:
            files.compare(incoming / path, writer.digest, promised)
        except IndexCorruptError as error:
            raise IndexCorruptError(f"{bucket.address}/{path} is not what the index was built with ({error})") from error


def _told(error: Exception) -> str:
    """Return the last part of what a storage library says, in one line."""
    text = " ".join(str(error).split())
    return text if len(text) <= 240 else f"{text[:120]} … {text[-110:]}"
