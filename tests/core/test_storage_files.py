"""The one place that touches the disk: what it does when the disk does not do its part."""

from __future__ import annotations

import ast
import errno
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import vidsearch
from vidsearch.config import Space, viclip_preset
from vidsearch.errors import IndexCorruptError
from vidsearch.storage import files
from vidsearch.storage import manifest as manifests
from vidsearch.storage.manifest import Manifest
from vidsearch.storage.segment import open_segment, write

SPACE = Space("viclip", "ViCLIP-B-16", "ab" * 32, 1, viclip_preset("eval"), 8)
FAULTS = {"ENOSPC": errno.ENOSPC, "EIO": errno.EIO}
CHANGING = ("open", "write", "fsync", "fstat", "link", "rename", "mkdir", "unlink")


class FailingOs:
    """The `os` module, whose n-th call that matters for writing fails, once."""

    def __init__(self, failing_call: int, error: int) -> None:
        self.calls = 0
        self._failing_call = failing_call
        self._error = error

    def __getattr__(self, name: str) -> object:
        real = getattr(os, name)
        return self._counted(name, real) if name in CHANGING else real

    def _counted(self, name: str, real: object) -> object:
        def call(*args: object, **options: object) -> object:
            self.calls += 1
            if self.calls == self._failing_call:
                raise OSError(self._error, os.strerror(self._error))
            return real(*args, **options)  # type: ignore[operator]

        return call


def add_segment(root: Path) -> Manifest:
    rows, index_files = pa.table({"clip_id": ["a", "b", "c"]}), {"index.faiss": b"x" * 99}
    ref = write(root, vectors=np.ones((3, 8), np.float16), rows=rows, index_files=index_files, quarantine=pa.table({}), info={})
    return manifests.commit(root, lambda manifest: manifest.with_segments([*manifest.segments, ref]))


def complaint_of(work: Callable[[], object]) -> str | None:
    try:
        work()
    except (OSError, IndexCorruptError) as error:
        return str(error)
    return None


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_at_any_call_of_a_commit_leaves_the_old_version_or_the_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    manifests.create(tmp_path, SPACE)
    add_segment(tmp_path)
    for failing_call in range(1, 1000):
        before = manifests.read(tmp_path)
        faulty = FailingOs(failing_call, FAULTS[fault])
        with monkeypatch.context() as patch:
            patch.setattr(files, "os", faulty)
            complaint = complaint_of(lambda: add_segment(tmp_path))
        assert complaint is None or (os.strerror(FAULTS[fault]) in complaint and str(tmp_path) in complaint)
        after = manifests.read(tmp_path)
        added = len(after.segments) - len(before.segments)
        assert added == 1 or (added == 0 and complaint)
        for reference in after.segments[-2:]:
            assert open_segment(tmp_path, reference, verify="full").read_columns(["clip_id"])["clip_id"].to_pylist() == ["a", "b", "c"]
        if faulty.calls < failing_call:  # the fault came after the last call
            assert complaint is None
            break
    assert failing_call > 50


class RecordingOs(FailingOs):
    """The `os` module, keeping what was done to which name, a file descriptor counting as the name it was opened by."""

    def __init__(self) -> None:
        super().__init__(0, 0)
        self.done: list[tuple[str, str]] = []
        self._names: dict[int, str] = {}

    def _counted(self, name: str, real: object) -> object:
        def call(*args: object, **options: object) -> object:
            result = real(*args, **options)  # type: ignore[operator]
            target = args[1] if name in ("link", "rename") else args[0]
            place = self._names[target] if isinstance(target, int) else Path(str(target)).name
            if name == "open":
                self._names[int(str(result))] = place
            self.done.append((name, place))
            return result

        return call


def test_everything_is_durable_before_it_is_named_and_named_durably_before_commit_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifests.create(tmp_path, SPACE)
    recording = RecordingOs()
    monkeypatch.setattr(files, "os", recording)
    uuid = add_segment(tmp_path).segments[0].uuid
    named = recording.done.index(("rename", uuid))
    for file in ("vectors.f16", "rows.parquet", "index.faiss", "quarantine.parquet", "SEGMENT.json"):
        written = [number for number, (call, name) in enumerate(recording.done) if (call, name) == ("write", file)]
        assert max(written) < recording.done.index(("fsync", file)) < recording.done.index(("fsync", uuid)) < named
    segments_named = recording.done.index(("fsync", "segments"), named)
    linked = recording.done.index(("link", "000000000002.json"))
    manifest_durable = max(number for number, (call, name) in enumerate(recording.done) if call == "fsync" and name.endswith(".tmp"))
    assert segments_named < manifest_durable < linked < recording.done.index(("fsync", "manifests"), linked)


def test_a_version_that_cannot_be_read_now_is_not_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A commit on the version before it would lose the newest one's clips."""

    class ForbiddingOs(FailingOs):
        def _counted(self, name: str, real: object) -> object:
            return self._open if name == "open" else real

        def _open(self, path: Path, *args: int) -> int:
            if path.name == "000000000002.json":
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
            return os.open(path, *args)

    manifests.create(tmp_path, SPACE)
    add_segment(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(files, "os", ForbiddingOs(0, 0))
        for attempt in (manifests.read, add_segment):
            with pytest.raises(IndexCorruptError, match=r"000000000002\.json: cannot be read \(Permission denied\)"):
                attempt(tmp_path)
    assert manifests.read(tmp_path).version == 2


def test_a_write_that_comes_short_is_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class ShortOs(FailingOs):
        def _counted(self, name: str, real: object) -> object:
            return (lambda fd, data: os.write(fd, data[:7])) if name == "write" else real

    monkeypatch.setattr(files, "os", ShortOs(0, 0))
    digest = files.write(tmp_path / "x", bytes(range(100)))
    assert (tmp_path / "x").read_bytes() == bytes(range(100))
    assert digest.size == 100


def test_bytes_that_vanish_are_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class LyingOs(FailingOs):
        def _counted(self, name: str, real: object) -> object:
            return (lambda fd, data: os.write(fd, data[:7]) and len(data)) if name == "write" else real

    monkeypatch.setattr(files, "os", LyingOs(0, 0))
    with pytest.raises(OSError, match="fewer bytes on the disk than were written"):
        files.write(tmp_path / "x", bytes(range(100)))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, a disk that is always full")
def test_a_full_disk_raises_with_the_path() -> None:
    descriptor = os.open("/dev/full", os.O_WRONLY)
    try:
        with pytest.raises(OSError, match=r"No space left on device: 'rows\.parquet'"):
            files.Writer(Path("rows.parquet"), descriptor).write(b"x" * 10_000)
    finally:
        os.close(descriptor)


def test_a_file_is_never_written_over(tmp_path: Path) -> None:
    files.write(tmp_path / "x", b"first")
    with pytest.raises(FileExistsError, match="x"):
        files.write(tmp_path / "x", b"second")
    assert not files.create_if_absent(tmp_path / "x", b"second", staging=tmp_path / "staging")
    assert files.read(tmp_path / "x") == b"first"
    assert files.list_names(tmp_path / "staging") == []


@pytest.mark.parametrize("error", [errno.EPERM, errno.EOPNOTSUPP])
def test_without_hard_links_a_name_still_goes_to_one_writer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: int) -> None:
    class LinklessOs(FailingOs):
        def _counted(self, name: str, real: object) -> object:
            return self._refuse if name == "link" else real

        def _refuse(self, *_: object) -> None:
            raise OSError(error, os.strerror(error))

    monkeypatch.setattr(files, "os", LinklessOs(0, 0))
    assert files.create_if_absent(tmp_path / "x", b"first", staging=tmp_path)
    assert not files.create_if_absent(tmp_path / "x", b"second", staging=tmp_path)
    assert files.list_names(tmp_path) == ["x"]
    assert files.read(tmp_path / "x") == b"first"


def test_a_link_whose_answer_was_lost_is_recognised_as_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class ForgetfulOs(FailingOs):
        def _counted(self, name: str, real: object) -> object:
            return self._link if name == "link" else real

        def _link(self, source: Path, target: Path) -> None:
            os.link(source, target)
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))

    monkeypatch.setattr(files, "os", ForgetfulOs(0, 0))
    assert files.create_if_absent(tmp_path / "x", b"ours", staging=tmp_path / "staging")


def test_remove_does_not_follow_links(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "file").write_text("x")
    (tmp_path / "doomed").mkdir()
    (tmp_path / "doomed" / "link").symlink_to(tmp_path / "kept")
    files.remove(tmp_path / "doomed")
    files.remove(tmp_path / "doomed")
    assert files.list_names(tmp_path) == ["kept"]
    assert files.list_names(tmp_path / "kept") == ["file"]


def test_mapped_and_read_bytes_are_the_files(tmp_path: Path) -> None:
    files.write(tmp_path / "x", b"0123456789")
    files.write(tmp_path / "empty", b"")
    assert bytes(files.map_bytes(tmp_path / "x")) == files.read(tmp_path / "x") == b"0123456789"
    assert bytes(files.map_bytes(tmp_path / "empty")) == b""
    assert files.digest(tmp_path / "x").sha256 == "84d89877f0d4041efb6bf91a16f0248f2fd573e6af05c19f96bedb9f882f7882"
    with pytest.raises(IndexCorruptError, match="x: 10 bytes are more than the 9"):
        files.read(tmp_path / "x", limit_bytes=9)


def test_only_files_py_touches_the_disk() -> None:
    """Arrow, FAISS and NumPy write to memory or to its Writer; that is what makes every fault reachable."""
    folder = Path(vidsearch.__file__).parent
    touching = {"open", "fdopen", "memmap", "tofile", "fromfile", "write_index", "read_index", "memory_map", "OSFile", "ParquetWriter"}
    sources = [path for room in ("storage", "indexes") for path in (folder / room).glob("*.py") if path.name != "files.py"]
    assert len(sources) >= 6
    for path in sources:
        tree = ast.parse(path.read_text())
        imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
        called = {_name(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
        assert not imported & {"os", "shutil", "tempfile", "mmap"}, path
        assert not called & touching, path


def _name(function: ast.expr) -> str:
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
