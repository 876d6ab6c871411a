"""A disk in memory that loses what was not synced: it stands for the names `os` and `mmap` of vidsearch.storage.files.

    disk = SimulatedDisk()
    with disk.mounted(), disk.watched(points.append):     # real code writes to it; a Point is kept before each change
        manifests.create(Path("/index"), space)
    disk = points[17].crashed("power", random.Random(0))   # what the next start finds

A file's bytes survive a power loss once the file was fsynced, its name once the folder was. Until then all of the bytes may be there, or
none, or a part, or zeros; and each name by itself may be as it was, or as any of the changes since made it. That is more than most file
systems lose: ext4 keeps the order of names within a folder. A process that is killed loses nothing but what it had not yet written.
"""

from __future__ import annotations

import errno
import mmap
import os
import random
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal, NoReturn, TypeAlias

from vidsearch.storage import files

SHORT = -1  # of a fault: no error, and fewer bytes written than were given, one at least
NOTHING = -2  # of a fault: no error, and no byte written

Mode = Literal["kill", "power"]
PathLike = str | os.PathLike[str]


class PowerCut(BaseException):
    """The process ends here: what it calls from now on, to clean up, does nothing."""


@dataclass(eq=False, slots=True)
class File:
    """Bytes as programs see them, and as they are on the disk."""

    data: bytes = b""
    durable: bytes = b""
    mtime: float = 0.0


@dataclass(eq=False, slots=True)
class Folder:
    """Names as programs see them, as they are on the disk, and the changes between the two in their order; None is a removal."""

    names: dict[str, Inode] = field(default_factory=dict)
    durable: dict[str, Inode] = field(default_factory=dict)
    pending: list[tuple[str, Inode | None]] = field(default_factory=list)
    mtime: float = 0.0

    def set(self, name: str, inode: Inode | None) -> None:
        if inode is None:
            del self.names[name]
        else:
            self.names[name] = inode
        self.pending.append((name, inode))


Inode: TypeAlias = File | Folder
Remake: TypeAlias = Callable[[Inode, Callable[[Inode], Inode]], Inode]


@dataclass(frozen=True)
class Status:
    """What programs ask of os.stat_result."""

    st_mode: int
    st_size: int
    st_mtime: float
    st_nlink: int = 1

    @property
    def st_mtime_ns(self) -> int:
        return int(self.st_mtime * 1e9)


@dataclass(eq=False)
class _Opened:
    inode: Inode
    path: str
    position: int = 0


@dataclass(frozen=True)
class Point:
    """An instant before a change; `kept` remembers it.

    Attributes:
        call, path: the change that comes next.
        disk: at that instant.
        data: what a write has yet to write; some of it may be done.
    """

    call: str
    path: str
    disk: SimulatedDisk
    data: bytes | None = None

    def kept(self) -> Point:
        return replace(self, disk=self.disk.copy())

    def crashed(self, mode: Mode, rng: random.Random) -> SimulatedDisk:
        """Return a disk as the process's death, or the machine's, leaves it here."""
        disk = self.disk.copy()
        if self.data is not None:
            file = disk.find(self.path)
            assert isinstance(file, File)
            file.data += self.data[: rng.choice((0, rng.randint(0, len(self.data))))]
        return disk.after_power_loss(rng) if mode == "power" else disk


class SimulatedDisk:
    """The calls of `os` that an index makes, on inodes in memory. One thread only.

    Attributes:
        clock: seconds since 1970; files get it as their time.
        calls: changes made.
        dies_at: the number of the change before which the process ends; `died` is that point then.
        hard_links: whether there are any; without, os.link raises EPERM.
        capacity_bytes: of all files and names; None is no limit.
        fault: called with each change or close and its number; the error it returns is raised; SHORT and NOTHING make a write come short.
    """

    NAME_BYTES = 64

    def __init__(self, *, hard_links: bool = True) -> None:
        self.top = Folder()
        self.clock = 1_700_000_000.0
        self.hard_links = hard_links
        self.calls = 0
        self.dies_at: int | None = None
        self.died: Point | None = None
        self.capacity_bytes: int | None = None
        self.fault: Callable[[str, int], int] = lambda call, number: 0
        self.path = SimpleNamespace(isdir=self._isdir)
        self._watch: Callable[[Point], None] | None = None
        self._opened: dict[int, _Opened] = {}
        self._next = 1000

    def __getattr__(self, name: str) -> Any:
        if name.startswith("O_") or name in ("strerror", "fspath", "sep", "getpid"):
            return getattr(os, name)
        raise AttributeError(f"the simulated disk has no os.{name} yet")

    @contextmanager
    def mounted(self) -> Iterator[SimulatedDisk]:
        """Let vidsearch.storage.files work on this disk."""
        real = files.os, files.mmap
        files.os, files.mmap = self, SimpleNamespace(mmap=self._map, ACCESS_READ=mmap.ACCESS_READ)  # type: ignore[attr-defined]
        try:
            yield self
        finally:
            files.os, files.mmap = real

    @contextmanager
    def watched(self, watch: Callable[[Point], None] | None) -> Iterator[None]:
        """Call `watch` before each change, or nothing."""
        before, self._watch = self._watch, watch
        try:
            yield
        finally:
            self._watch = before

    def copy(self) -> SimulatedDisk:
        """Return the same disk as another process finds it: nothing is open, and what is not durable still is not."""
        return self._remade(_copied)

    def after_power_loss(self, rng: random.Random) -> SimulatedDisk:
        """Return what a power loss leaves, at random; all that is left is durable."""
        style = rng.choice(("nothing", "everything", "each", "each"))
        return self._remade(lambda inode, again: _survived(inode, again, style, rng))

    def _remade(self, remake: Remake) -> SimulatedDisk:
        made: dict[Inode, Inode] = {}

        def again(inode: Inode) -> Inode:
            if inode not in made:
                made[inode] = remake(inode, again)
            return made[inode]

        disk = SimulatedDisk(hard_links=self.hard_links)
        disk.clock, disk.capacity_bytes = self.clock, self.capacity_bytes
        top = again(self.top)
        assert isinstance(top, Folder)
        disk.top = top
        return disk

    def find(self, path: PathLike) -> Inode:
        """Return what has a name; nothing there raises FileNotFoundError."""
        return self._walk(_parts(path), path)

    def _walk(self, parts: tuple[str, ...], path: PathLike) -> Inode:
        inode: Inode = self.top
        for part in parts:
            if not isinstance(inode, Folder):
                _refuse(errno.ENOTDIR, path)
            if part not in inode.names:
                _refuse(errno.ENOENT, path)
            inode = inode.names[part]
        return inode

    def has(self, path: PathLike) -> bool:
        try:
            return bool(self.find(path))
        except OSError:
            return False

    def names(self, folder: PathLike) -> list[str]:
        """Return the names in a folder; none where there is no folder."""
        found = self.find(folder) if self.has(folder) else None
        return sorted(found.names) if isinstance(found, Folder) else []

    def walk(self, path: PathLike = "/") -> Iterator[tuple[str, File]]:
        """Yield the path and inode of each file below a folder."""
        inode = self.find(path)
        if isinstance(inode, File):
            yield str(path), inode
            return
        for name in sorted(inode.names):
            yield from self.walk(f"{str(path).rstrip('/')}/{name}")

    @property
    def used_bytes(self) -> int:
        sizes = {id(inode): len(inode.data) for _, inode in self.walk()}
        return sum(sizes.values()) + self.NAME_BYTES * _names(self.top)

    # The calls of os. A change is announced first, so that it can be the last thing that does not happen.

    def open(self, path: PathLike, flags: int, mode: int = 0o777) -> int:
        self._look()
        if flags & os.O_CREAT:
            folder, name = self._folder(path)
            if name not in folder.names:
                self._change("create", path)
                self._room(self.NAME_BYTES, path)
                folder.set(name, File(mtime=self.clock))
            elif flags & os.O_EXCL:
                _refuse(errno.EEXIST, path)
        inode = self.find(path)
        if flags & os.O_DIRECTORY and isinstance(inode, File):
            _refuse(errno.ENOTDIR, path)
        self._next += 1
        self._opened[self._next] = _Opened(inode, str(path))
        return self._next

    def close(self, descriptor: int) -> None:
        self._look()
        del self._opened[descriptor]
        self._fail("close")

    def write(self, descriptor: int, data: bytes | memoryview) -> int:
        opened = self._opened[descriptor]
        given = bytes(data)
        fault = self._change("write", opened.path, given)
        if fault in (SHORT, NOTHING):
            given = given[: max(1, len(given) // 2) if fault == SHORT else 0]
        assert isinstance(opened.inode, File)
        if self.capacity_bytes is not None:
            given = given[: max(0, self.capacity_bytes - self.used_bytes)]
            if not given and len(data):
                _refuse(errno.ENOSPC)
        opened.inode.data += given
        opened.inode.mtime = self.clock
        return len(given)

    def read(self, descriptor: int, count: int) -> bytes:
        self._look()
        opened = self._opened[descriptor]
        if isinstance(opened.inode, Folder):
            _refuse(errno.EISDIR)
        data = opened.inode.data[opened.position : opened.position + count]
        opened.position += len(data)
        return data

    def fsync(self, descriptor: int) -> None:
        opened = self._opened[descriptor]
        self._change("fsync", opened.path)
        if isinstance(opened.inode, File):
            opened.inode.durable = opened.inode.data
        else:
            opened.inode.durable, opened.inode.pending = dict(opened.inode.names), []

    def fstat(self, descriptor: int) -> Status:
        self._look()
        return _status(self._opened[descriptor].inode)

    def lstat(self, path: PathLike) -> Status:
        self._look()
        return _status(self.find(path))

    stat = lstat  # there are no symbolic links here

    def listdir(self, path: PathLike) -> list[str]:
        self._look()
        inode = self.find(path)
        if isinstance(inode, File):
            _refuse(errno.ENOTDIR, path)
        return list(inode.names)

    def link(self, source: PathLike, target: PathLike) -> None:
        self._change("link", target)
        if not self.hard_links:
            _refuse(errno.EPERM, target)
        inode = self.find(source)
        folder, name = self._folder(target)
        if name in folder.names:
            _refuse(errno.EEXIST, target)
        self._room(self.NAME_BYTES, target)
        folder.set(name, inode)

    def rename(self, source: PathLike, target: PathLike) -> None:
        self._change("rename", target)
        inode = self.find(source)
        (before, old), (after, new) = self._folder(source), self._folder(target)
        there = after.names.get(new)
        if isinstance(there, Folder) and (isinstance(inode, File) or there.names):
            _refuse(errno.ENOTEMPTY if isinstance(inode, Folder) else errno.EISDIR, target)
        if isinstance(there, File) and isinstance(inode, Folder):
            _refuse(errno.ENOTDIR, target)
        after.set(new, inode)
        before.set(old, None)

    replace = rename

    def mkdir(self, path: PathLike, mode: int = 0o777) -> None:
        self._change("mkdir", path)
        folder, name = self._folder(path)
        if name in folder.names:
            _refuse(errno.EEXIST, path)
        self._room(self.NAME_BYTES, path)
        folder.set(name, Folder(mtime=self.clock))

    def unlink(self, path: PathLike) -> None:
        self._change("unlink", path)
        if isinstance(self.find(path), Folder):
            _refuse(errno.EISDIR, path)
        folder, name = self._folder(path)
        folder.set(name, None)

    def rmdir(self, path: PathLike) -> None:
        self._change("rmdir", path)
        inode = self.find(path)
        if isinstance(inode, File) or inode.names:
            _refuse(errno.ENOTDIR if isinstance(inode, File) else errno.ENOTEMPTY, path)
        folder, name = self._folder(path)
        folder.set(name, None)

    def utime(self, path: PathLike) -> None:
        self._change("utime", path)
        self.find(path).mtime = self.clock

    def _map(self, descriptor: int, length: int, *, access: int) -> bytes:
        inode = self._opened[descriptor].inode
        assert isinstance(inode, File)
        assert (length, access) == (0, mmap.ACCESS_READ)
        return inode.data

    def _isdir(self, path: PathLike) -> bool:
        self._look()
        try:
            return isinstance(self.find(path), Folder)
        except OSError:
            return False

    def _folder(self, path: PathLike) -> tuple[Folder, str]:
        parts = _parts(path)
        parent = self._walk(parts[:-1], path)
        if not isinstance(parent, Folder):
            _refuse(errno.ENOTDIR, path)
        return parent, parts[-1]

    def _look(self) -> None:
        if self.died is not None:
            raise PowerCut

    def _fail(self, call: str) -> int:
        self.calls += 1
        error = self.fault(call, self.calls)
        if error > 0:
            _refuse(error)
        return error

    def _change(self, call: str, path: PathLike, data: bytes | None = None) -> int:
        self._look()
        error = self._fail(call)
        if self.dies_at is not None and self.calls >= self.dies_at:
            self.died = Point(call, str(path), self, data)
            raise PowerCut
        if self._watch is not None:
            self._watch(Point(call, str(path), self, data))
        return error

    def _room(self, wanted: int, path: PathLike) -> None:
        if self.capacity_bytes is not None and self.used_bytes + wanted > self.capacity_bytes:
            _refuse(errno.ENOSPC, path)


def _copied(inode: Inode, again: Callable[[Inode], Inode]) -> Inode:
    if isinstance(inode, File):
        return File(inode.data, inode.durable, inode.mtime)
    names, durable = ({name: again(kept) for name, kept in entries.items()} for entries in (inode.names, inode.durable))
    pending = [(name, kept if kept is None else again(kept)) for name, kept in inode.pending]
    return Folder(names, durable, pending, inode.mtime)


def _survived(inode: Inode, again: Callable[[Inode], Inode], style: str, rng: random.Random) -> Inode:
    if isinstance(inode, File):
        data = _surviving_bytes(inode, style, rng)
        return File(data, data, inode.mtime)
    names = {name: again(kept) for name, kept in _surviving_names(inode, style, rng).items()}
    return Folder(names, dict(names), [], inode.mtime)


def _surviving_bytes(file: File, style: str, rng: random.Random) -> bytes:
    """Files are only ever appended to, so what is durable is how the rest begins."""
    unsynced = file.data[len(file.durable) :]
    if not unsynced or style == "everything":
        return file.data
    cut = rng.randint(0, len(unsynced))
    zeros = bytes(len(unsynced) - cut)
    return file.durable + rng.choice((b"", unsynced[:cut], bytes(len(unsynced)), unsynced[:cut] + zeros, unsynced))


def _surviving_names(folder: Folder, style: str, rng: random.Random) -> dict[str, Inode]:
    """Return what the names mean afterwards: each as it was, or as one of its changes made it."""
    if style != "each" or not folder.pending:
        return folder.names if style == "everything" else folder.durable
    changes: dict[str, list[Inode | None]] = {}
    for name, inode in folder.pending:
        changes.setdefault(name, []).append(inode)
    left: dict[str, Inode | None] = dict(folder.durable)
    for name, states in changes.items():
        left[name] = rng.choice((folder.durable.get(name), *states))
    return {name: inode for name, inode in left.items() if inode is not None}


def _status(inode: Inode) -> Status:
    if isinstance(inode, File):
        return Status(stat.S_IFREG | 0o644, len(inode.data), inode.mtime)
    return Status(stat.S_IFDIR | 0o755, 0, inode.mtime)


def _names(folder: Folder) -> int:
    return sum(1 + (_names(inode) if isinstance(inode, Folder) else 0) for inode in folder.names.values())


def _parts(path: PathLike) -> tuple[str, ...]:
    return (path if isinstance(path, Path) else Path(path)).parts[1:]


def _refuse(error: int, path: PathLike | None = None) -> NoReturn:
    raise OSError(error, os.strerror(error), *(() if path is None else (str(path),)))
