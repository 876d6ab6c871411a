"""The one place that touches the disk: each file of an index is created, read, linked, renamed and removed here.

Every system call goes through this module's names `os` and `mmap`; a test that replaces them sees each call and can make it fail.
A file is written once and never changed, so whoever reads needs no lock.
"""

# pathlib would call `os` behind this module's back:
# ruff: noqa: PTH102, PTH104, PTH106, PTH108, PTH112, PTH208

from __future__ import annotations

import errno
import hashlib
import mmap
import os
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from vidsearch.errors import IndexCorruptError

STAGING = "staging"  # scratch: what lies there may be deleted at any time
NO_HARD_LINKS = {errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EMLINK, errno.EXDEV}
CHUNK_BYTES = 1 << 20

Bytes: TypeAlias = bytes | bytearray | memoryview


@dataclass(frozen=True)
class Digest:
    """What a file must hold: its length in bytes and the hex SHA-256 of them."""

    size: int
    sha256: str


class Writer:
    """A new file that hashes what it is given; also what PyArrow needs of a sink."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self._descriptor = descriptor
        self._hash = hashlib.sha256()
        self._size = 0
        self._ended = False
        self.closed = False

    def write(self, data: Bytes) -> int:
        """Write all of the bytes, in as many calls as that takes."""
        view = memoryview(data).cast("B")
        with _named(self._path):
            if self._ended:
                raise OSError(errno.EBADF, "written to after its end")
            done = 0
            while done < len(view):
                written = os.write(self._descriptor, view[done:])
                if not written:  # or this would go on for ever
                    raise OSError(errno.EIO, "nothing more can be written")
                done += written
        self._hash.update(view)
        self._size += len(view)
        return len(view)

    def tell(self) -> int:
        return self._size

    def flush(self) -> None:
        """Do nothing: there is no buffer."""

    def close(self) -> None:
        self.closed = True

    def end(self) -> None:
        """Refuse all later bytes: the descriptor's number may be another file's by then.

        PyArrow's ParquetWriter, when a write failed, tries again to write its footer whenever it is garbage collected.
        """
        self._ended = True

    def sync(self) -> None:
        """Bring the bytes to the disk; a file shorter than what was written raises OSError."""
        with _named(self._path):
            os.fsync(self._descriptor)
            if os.fstat(self._descriptor).st_size != self._size:
                raise OSError(errno.EIO, "fewer bytes on the disk than were written")

    @property
    def digest(self) -> Digest:
        return Digest(self._size, self._hash.hexdigest())


@contextmanager
def create(path: Path) -> Iterator[Writer]:
    """Yield a Writer on a file that must not exist yet; leaving the block makes its contents durable (not its name: `sync_folder`)."""
    with _named(path):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
    writer = Writer(path, descriptor)
    try:
        yield writer
        writer.sync()
    finally:
        writer.end()
        os.close(descriptor)


def write(path: Path, data: Bytes) -> Digest:
    """Write a whole new file durably."""
    with create(path) as writer:
        writer.write(data)
    return writer.digest


def create_if_absent(path: Path, data: Bytes, *, staging: Path) -> bool:
    """Write a whole file under a name that nobody has taken, durably, and return whether the name is ours.

    The bytes should hold something unique: a name found taken by the same bytes is ours, its link's answer was lost on the way.
    """
    make_folder(staging)
    temporary = staging / f"{uuid.uuid4()}.tmp"
    try:
        write(temporary, data)
        ours = _link(temporary, path, data)
    finally:
        with suppress(OSError):  # scratch: left there, it costs room and nothing else
            os.unlink(temporary)
    sync_folder(path.parent)
    return ours


def append(path: Path, data: Bytes) -> None:
    """Add a line to the end of a file durably, in one call, so that lines of several writers do not mix; the one file that grows."""
    with _named(path):
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
        try:
            if os.write(descriptor, data) != len(data):
                raise OSError(errno.ENOSPC, "a line was cut short")
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    sync_folder(path.parent)


def put(path: Path, data: Bytes, *, staging: Path) -> None:
    """Write a whole file under its name durably, in place of what is there; for bytes that are the same whoever writes them.

    Never torn, even without hard links.
    """
    make_folder(staging)
    temporary = staging / f"{uuid.uuid4()}.tmp"
    try:
        write(temporary, data)
        with _named(path):
            os.rename(temporary, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise
    sync_folder(path.parent)


def _link(temporary: Path, path: Path, data: Bytes) -> bool:
    try:
        with _named(path):
            os.link(temporary, path)
    except FileExistsError:
        return _holds(path, data)
    except OSError as error:
        if error.errno not in NO_HARD_LINKS:
            if _holds(path, data):
                return True
            raise
        return _create_in_place(path, data)
    return True


def _create_in_place(path: Path, data: Bytes) -> bool:
    """Do without hard links; a crash may leave a torn file, which its seal shows."""
    try:
        write(path, data)
    except FileExistsError:
        return _holds(path, data)
    return True


def _holds(path: Path, data: Bytes) -> bool:
    try:
        return read(path) == memoryview(data)
    except IndexCorruptError:
        return False


def make_folder(path: Path) -> None:
    """Create a folder and the missing ones above it, durably; one that is there is fine."""
    if os.path.isdir(path):
        with suppress(PermissionError):  # of a folder above the index, which may be somebody else's
            sync_folder(path.parent)  # what made it may have died before it did that
        return
    if path.parent != path:
        make_folder(path.parent)
    with suppress(FileExistsError), _named(path):
        os.mkdir(path)
    sync_folder(path.parent)


def rename_folder(source: Path, target: Path) -> None:
    """Give a folder its final name in one step, durably; the target must not exist."""
    with _named(target):
        os.rename(source, target)
    sync_folder(target.parent)
    sync_folder(source.parent)


def sync_folder(path: Path) -> None:
    """Make the names in a folder durable."""
    _sync(path, os.O_DIRECTORY)


def sync_file(path: Path) -> None:
    """Make a file that is there durable, its bytes and its name; whoever wrote it may have died before it did."""
    _sync(path, os.O_NOFOLLOW)
    sync_folder(path.parent)


def _sync(path: Path, flag: int) -> None:
    with _named(path):
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | flag)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def remove(path: Path) -> None:
    """Remove a file or a folder with what it holds; links are removed, not followed; nothing there is fine."""
    with suppress(FileNotFoundError), _named(path):
        if is_folder(path):
            for name in os.listdir(path):
                remove(path / name)
            os.rmdir(path)
        else:
            os.unlink(path)


def list_names(folder: Path) -> list[str]:
    """Return the names in a folder, sorted; none where there is no folder."""
    try:
        return sorted(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise IndexCorruptError(f"{folder}: {_why(error)}") from error


def is_there(path: Path) -> bool:
    """Whether anything has that name, a broken link included."""
    return _mode(path) != 0


def is_folder(path: Path) -> bool:
    """Whether a folder is there; a link to one is not."""
    return stat.S_ISDIR(_mode(path))


def modified_s(path: Path) -> float:
    """Return when a file or folder was last changed, in seconds since 1970; one that is gone meanwhile was changed just now."""
    try:
        return os.lstat(path).st_mtime
    except OSError:
        return float("inf")


def total_bytes(path: Path) -> int:
    """Return the bytes of a file, or of all files below a folder; links are not followed."""
    if is_folder(path):
        return sum(total_bytes(path / name) for name in list_names(path))
    try:
        return os.lstat(path).st_size
    except OSError:
        return 0


def _mode(path: Path) -> int:
    try:
        return os.lstat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return 0
    except OSError as error:
        raise IndexCorruptError(f"{path}: {_why(error)}") from error


def size(path: Path) -> int:
    """Return a file's length in bytes; no regular file there raises IndexCorruptError."""
    with _opened(path) as (_, size_bytes):
        return size_bytes


def read(path: Path, *, limit_bytes: int | None = None) -> bytes:
    """Return a whole file; one that is missing, longer than the limit or not a regular file raises IndexCorruptError."""
    with _opened(path) as (descriptor, size_bytes):
        if limit_bytes is not None and size_bytes > limit_bytes:
            raise IndexCorruptError(f"{path}: {size_bytes:,} bytes are more than the {limit_bytes:,} such a file may have")
        data = b"".join(_chunks(descriptor))
        if len(data) != size_bytes:
            raise IndexCorruptError(f"{path}: changed while it was read")
        return data


def digest(path: Path) -> Digest:
    """Return a file's length and SHA-256; about a second a gigabyte, memory flat."""
    hashed, length = hashlib.sha256(), 0
    with _opened(path) as (descriptor, _):
        for chunk in _chunks(descriptor):
            hashed.update(chunk)
            length += len(chunk)
    return Digest(length, hashed.hexdigest())


def compare(path: Path, found: Digest, promised: Digest) -> None:
    """Raise IndexCorruptError where a file is not what was promised."""
    if found.size != promised.size:
        raise IndexCorruptError(f"{path}: {found.size:,} bytes instead of {promised.size:,}")
    if found.sha256 != promised.sha256:
        raise IndexCorruptError(f"{path}: changed since it was written, its SHA-256 differs")


def map_bytes(path: Path) -> memoryview:
    """Return a file's bytes, read from the disk when they are touched; read-only."""
    with _opened(path) as (descriptor, size_bytes):
        return memoryview(mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ) if size_bytes else b"")


@contextmanager
def _opened(path: Path) -> Iterator[tuple[int, int]]:
    """Yield (descriptor, size in bytes) of a regular file; whatever goes wrong is an IndexCorruptError with the path."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)  # a pipe must not block
    except OSError as error:
        raise IndexCorruptError(f"{path}: {_why(error)}") from error
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise IndexCorruptError(f"{path}: not a regular file")
        yield descriptor, status.st_size
    except OSError as error:
        raise IndexCorruptError(f"{path}: {_why(error)}") from error
    finally:
        os.close(descriptor)


def _chunks(descriptor: int) -> Iterator[bytes]:
    while chunk := os.read(descriptor, CHUNK_BYTES):
        yield chunk


def _why(error: OSError) -> str:
    reasons = {errno.ENOENT: "missing", errno.ELOOP: "a symbolic link, which an index never holds"}
    return reasons.get(error.errno or 0, f"cannot be read ({error.strerror})")


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Put the path into an OSError that has none: a failed write or fsync names no file by itself."""
    try:
        yield
    except OSError as error:
        if error.filename is not None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error
