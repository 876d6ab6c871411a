"""Files inside tar and zip archives: read in place as they were written, and nothing hostile about an archive does harm."""

from __future__ import annotations

import io
import tarfile
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.archives import Files, add_entry, write_tar, write_zip
from vidsearch.archives import _tar, _zip, archive
from vidsearch.archives.entries import Refused
from vidsearch.archives.members import exists, open_member, read_table, stat_media
from vidsearch.errors import DecodeError


def contents(path: Path) -> dict[str, bytes]:
    """Read all members as the product does."""
    found = {}
    for name in read_table(path).members:
        with open_member(path / name) as file:
            found[name] = file.read()
    return found


def refusals(path: Path) -> dict[str, str]:
    return {refused.name: refused.reason for refused in read_table(path).refused}


NAMES = st.text(st.sampled_from("ab_-:.é中 "), min_size=1, max_size=150).filter(lambda name: name.strip(". ") != "")
FILES = st.dictionaries(NAMES.map(lambda name: f"d/{name}x"), st.binary(max_size=1500), max_size=5).map(lambda files: list(files.items()))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(files=FILES, form=st.sampled_from([tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]))
def test_a_tar_file_reads_as_it_was_written(tmp_path_factory: pytest.TempPathFactory, files: Files, form: int) -> None:
    path = tmp_path_factory.mktemp("tar") / "a.tar"
    if form == tarfile.USTAR_FORMAT:  # cannot hold longer names
        files = [(name, data) for name, data in files if len(name.encode()) <= 100]
    assert contents(write_tar(path, files, format=form)) == dict(files)
    assert not read_table(path).refused


@settings(max_examples=60, deadline=None, derandomize=True)
@given(files=FILES, method=st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]), wide=st.booleans(), streamed=st.booleans())
def test_a_zip_file_reads_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory, files: Files, method: int, wide: bool, streamed: bool
) -> None:
    """`wide` entries have ZIP64 fields; `streamed` ones have their sizes after their data."""
    path = tmp_path_factory.mktemp("zip") / "a.zip"
    with path.open("wb") as raw, zipfile.ZipFile(Unseekable(raw) if streamed else raw, "w", method) as archive:
        for name, data in files:
            with archive.open(name, "w", force_zip64=wide) as file:
                file.write(data)
    assert contents(path) == dict(files)
    assert not read_table(path).refused


class Unseekable(io.RawIOBase):
    def __init__(self, file: io.BufferedWriter) -> None:
        self.write = file.write  # type: ignore[method-assign,assignment]
        self.flush = file.flush  # type: ignore[method-assign]


def test_sizes_beyond_32_bits_stand_in_the_wide_fields(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 50)
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 2)
    files = [(f"{number}.mp4", bytes([number]) * 100) for number in range(5)]
    path = write_zip(tmp_path / "a.zip", files)
    assert path.read_bytes().count(b"PK\6\6") == 1
    assert contents(path) == dict(files)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(steps=st.lists(st.tuples(st.sampled_from("rsce"), st.integers(0, 300)), max_size=20))
def test_a_member_is_a_file_of_its_own(tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int]]) -> None:
    data = bytes(range(256))
    path = write_tar(tmp_path_factory.mktemp("tar") / "a.tar", [("before", b"x" * 700), ("a.mp4", data), ("after", b"y" * 700)])
    true = io.BytesIO(data)
    with open_member(path / "a.mp4") as file:
        for step, number in steps:
            if step == "r":
                assert file.read(number) == true.read(number)
            else:
                place = (-number % 256, 2) if step == "e" else (number, 0)
                place = (-place[0], 2) if step == "e" else place
                assert file.seek(*place) == true.seek(*place)


def test_an_archive_of_many_members_takes_little_memory(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", [(f"{number:09d}.mp4", b"x") for number in range(4_000)])
    tracemalloc.start()
    try:
        assert len(read_table(path).members) == 4_000
        assert tracemalloc.get_traced_memory()[1] < 4_000 * 400
    finally:
        tracemalloc.stop()


def test_the_table_is_read_again_when_the_archive_changes(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", [("a.mp4", b"old")])
    assert contents(path) == {"a.mp4": b"old"}
    write_tar(tmp_path / "new.tar", [("b.mp4", b"newer"), ("c.mp4", b"")]).replace(path)
    assert contents(path) == {"b.mp4": b"newer", "c.mp4": b""}


def test_paths_lead_through_archives_only(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", [("d/a.mp4", b"x")])
    (tmp_path / "folder.zip").mkdir()
    (tmp_path / "folder.zip" / "b.mp4").write_bytes(b"y")
    assert exists(path / "d/a.mp4")
    assert exists(tmp_path / "folder.zip/b.mp4")
    assert not any(map(exists, [path / "a.mp4", path / "d", path / "d/a.mp4/x", tmp_path / "folder.zip/c.mp4", tmp_path / "no.tar/a.mp4"]))
    assert stat_media(path / "d/a.mp4").st_size == path.stat().st_size
    with pytest.raises(NotADirectoryError):
        stat_media(tmp_path / "folder.zip" / "b.mp4" / "c.mp4")


# --- archives that are hostile or broken


def test_a_hostile_tar_gives_its_sound_members_and_says_what_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as archive:
        add_entry(archive, "good.mp4", b"good")
        for name in ("../../up.mp4", "/etc/root.mp4", "a/../../b.mp4"):
            add_entry(archive, name, b"bad")
        add_entry(archive, "link.mp4", type=tarfile.SYMTYPE, linkname="/etc/passwd")
        add_entry(archive, "hard.mp4", type=tarfile.LNKTYPE, linkname="good.mp4")
        add_entry(archive, "device.mp4", type=tarfile.CHRTYPE, devmajor=1, devminor=5)
        add_entry(archive, "pipe.mp4", type=tarfile.FIFOTYPE)
        add_entry(archive, "holes.mp4", b"x", pax_headers={"GNU.sparse.major": "1", "GNU.sparse.name": "holes.mp4"})
        add_entry(archive, b"n\xff.mp4".decode(errors="surrogateescape"), b"x")
        add_entry(archive, "good.mp4", b"second")
        add_entry(archive, "payload.pkl", b"x")
        add_entry(archive, "./last.mp4", b"last")
    assert contents(path) == {"good.mp4": b"good", "payload.pkl": b"x", "last.mp4": b"last"}
    assert refusals(path) == {
        **dict.fromkeys(["../../up.mp4", "/etc/root.mp4", "a/../../b.mp4"], "PATH_ESCAPE"),
        **dict.fromkeys(["link.mp4", "hard.mp4", "device.mp4", "pipe.mp4"], "NOT_REGULAR_FILE"),
        "holes.mp4": "FORMAT_NOT_ALLOWED",
        "n\\udcff.mp4": "METADATA_INVALID",
        "good.mp4": "DUPLICATE_MEMBER",
    }
    with pytest.raises(DecodeError, match="NOT_REGULAR_FILE"):
        open_member(path / "link.mp4")


@pytest.mark.parametrize("lost", range(1, 4 * 512 + 700, 97))
def test_a_tar_file_cut_off_anywhere_keeps_what_is_whole_and_says_so(tmp_path: Path, lost: int) -> None:
    files = [("a.mp4", b"a" * 600), ("b.mp4", b"b" * 600)]
    whole = write_tar(tmp_path / "whole.tar", files).read_bytes()
    length = 2 * (512 + 1024) - lost + 2 * 512  # up to the mark of the end; what follows is padding
    path = tmp_path / "a.tar"
    path.write_bytes(whole[:length])
    table = read_table(path)
    assert contents(path) == dict(files[: len(table.members)])
    assert list(table.members) == [name for name, end in (("a.mp4", 512 + 600), ("b.mp4", 1536 + 512 + 600)) if length >= end]
    assert [refused.reason for refused in table.refused[:1]] == ["OPEN_FAILED"] * (lost > 512)


def spoil(at: int, new: bytes) -> Callable[[bytes], bytes]:
    return lambda data: data[:at] + new + data[at + len(new) :]


HUGE_PAX = tarfile.TarInfo.create_pax_global_header({"comment": "x" * (2 << 20)})
BROKEN_TARS = {
    "nothing": lambda data: b"",
    "text": lambda data: b"this is no archive\n" * 100,
    "a damaged header": spoil(10, b"\xff"),
    "an impossible size": lambda data: _with_size(data, b"\xff" * 12),
    "an immense size": lambda data: _with_size(data, b"\x80" + b"\x7f" * 11),
    "an immense extension": lambda data: HUGE_PAX + data,
}


def _with_size(data: bytes, size: bytes) -> bytes:
    header = bytearray(data[:512])
    header[124:136] = size
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + data[512:]


@pytest.mark.parametrize("what", BROKEN_TARS)
def test_a_broken_tar_is_one_reason(tmp_path: Path, what: str) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(BROKEN_TARS[what](write_tar(path, [("a.mp4", b"x")]).read_bytes()))
    table = read_table(path)
    assert [refused.reason for refused in table.refused] == ["OPEN_FAILED"]
    assert not table.members


def with_flag(data: bytes) -> bytes:
    at = data.index(b"PK\1\2")
    return spoil(at + 8, b"\x01")(data)


BROKEN_ZIPS = {
    "cut off": (lambda data: data[: len(data) // 2], ""),
    "text": (lambda data: b"no archive\n" * 20, ""),
    "a damaged directory": (lambda data: spoil(data.index(b"PK\1\2"), b"XX")(data), ""),
    "a directory beyond its end": (lambda data: spoil(len(data) - 6, b"\xff\xff\xff\x00")(data), ""),
    "encrypted": (with_flag, "is encrypted"),
    "no file where one is named": (spoil(0, b"XX"), "holds no file at byte 0"),
    "other bytes than promised": (spoil(40, b"\x00\x00\x00"), "is damaged"),
    "more bytes than promised": (lambda data: spoil(data.index(b"PK\1\2") + 24, b"\x07\x00\x00\x00")(data), "is damaged"),
    "fewer bytes than promised": (lambda data: spoil(data.index(b"PK\1\2") + 24, b"\x00\x10\x00\x00")(data), "is damaged"),
}


@pytest.mark.parametrize("what", BROKEN_ZIPS)
def test_a_broken_zip_is_one_reason(tmp_path: Path, what: str) -> None:
    change, message = BROKEN_ZIPS[what]
    path = write_zip(tmp_path / "a.zip", [("a.mp4", b"some bytes, some more " * 20)], zipfile.ZIP_DEFLATED)
    path.write_bytes(change(path.read_bytes()))
    assert [refused.reason for refused in read_table(path).refused] == ["OPEN_FAILED"] * (not message or "encrypted" in message)
    with pytest.raises(DecodeError, match=message or "NOT_FOUND"):
        open_member(path / "a.mp4")


def test_what_a_zip_file_packs_otherwise_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.mp4", b"x" * 99, zipfile.ZIP_LZMA)
        link = zipfile.ZipInfo("link.mp4")
        link.create_system, link.external_attr = 3, 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
        archive.writestr("../b.mp4", b"x")
    assert refusals(path) == {"a.mp4": "FORMAT_NOT_ALLOWED", "link.mp4": "NOT_REGULAR_FILE", "../b.mp4": "PATH_ESCAPE"}


def test_a_packed_member_is_unpacked_up_to_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MAX_UNPACKED_BYTES", 1000)
    path = write_zip(tmp_path / "a.zip", [("a.mp4", bytes(1000)), ("b.mp4", bytes(1001))], zipfile.ZIP_DEFLATED)
    assert open_member(path / "a.mp4").read() == bytes(1000)
    with pytest.raises(DecodeError, match=r"MEMBER_TOO_LARGE.*at most 1,000 are unpacked in memory; store it as it is"):
        open_member(path / "b.mp4")
    assert open_member(write_zip(tmp_path / "s.zip", [("b.mp4", bytes(1001))]) / "b.mp4").read() == bytes(1001)


def test_entries_beyond_a_number_are_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module, path in (
        (_tar, write_tar(tmp_path / "a.tar", [(f"{n}.mp4", b"") for n in range(9)])),
        (_zip, write_zip(tmp_path / "a.zip", [(f"{n}.mp4", b"") for n in range(9)])),
    ):
        monkeypatch.setattr(module, "MAX_ENTRIES", 4)
        table = read_table(path)
        assert len(table.members) == 4
        assert table.refused == [Refused("", "OPEN_FAILED", "it has more than 4 entries; the rest is not read")]
