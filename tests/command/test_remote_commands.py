"""Commands that are given an address in place of a folder."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from support.clips import make_rows, write_index
from support.served import served

from vidsearch import Index

VECTORS, TABLE = make_rows(30, seed=51)


@pytest.fixture(scope="module")
def index(tmp_path_factory) -> Index:
    return write_index(tmp_path_factory.mktemp("commands") / "index", VECTORS, TABLE)


@pytest.fixture(scope="module")
def url(index) -> Iterator[str]:
    with served(index.root) as service:
        yield service.url


@pytest.mark.parametrize("form", ["table", "jsonl", "csv", "ids"])
def test_query_prints_the_same_of_a_service(vidsearch, index, url, form):
    asked = ("query", "--keyword", "a dog on the beach", "-k", 4, "--where", "language = 'en'", "--format", form)
    code, out, _ = vidsearch(*asked, "--index", url)
    assert (code, out) == vidsearch(*asked, "--index", index.root)[:2]
    assert out.count("\n") >= 2


def test_similar_and_info_print_the_same_of_a_service(vidsearch, index, url):
    code, out, _ = vidsearch("similar", "c3", "--index", url, "--format", "ids")
    assert (code, out) == vidsearch("similar", "c3", "--index", index.root, "--format", "ids")[:2]
    assert out.startswith("c3\n")
    remote, local = (json.loads(vidsearch("info", place, "--json")[1]) for place in (url, index.root))
    assert remote == {**local, "index": url}
    assert vidsearch("info", url)[0] == 0


def test_count_counts_what_a_service_has(vidsearch, index, url):
    for asked in ((), ("--where", "language = 'en'"), ("--where", "language = 'en'", "--json")):
        assert vidsearch("count", "--index", url, *asked) == vidsearch("count", "--index", index.root, *asked)
    assert vidsearch("count", "--index", url)[1] == "30\n"
    code, out, err = vidsearch("count", "a dog", "--index", url)
    assert (code, out) == (2, "")
    assert "an estimate reads the index itself" in err


def test_a_damaged_segment_is_told_of(vidsearch, tmp_path):
    local = write_index(tmp_path / "index", VECTORS, TABLE, parts=2)
    file = next((local.root / "segments").glob("*/vectors*"))
    file.write_bytes(file.read_bytes()[:-100])
    with served(local.root) as service:
        code, out, err = vidsearch("query", "--keyword", "a dog", "--index", service.url, "--format", "jsonl")
    assert code == 3
    assert err.count("warning: segment") == 1
    assert all(json.loads(line)["partial"] for line in out.splitlines())


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--index", "http://127.0.0.1:1"), 69, "no service can be reached at http://127.0.0.1:1"),
        (("--index", "ftp://x"), 2, "'ftp://x' is no address of a service"),
        (("--index", "http://127.0.0.1:1", "--model", "conse"), 2, "--model and --strict belong to the service"),
        (("--index", "http://127.0.0.1:1", "--strict"), 2, "--model and --strict belong to the service"),
    ],
)
def test_what_cannot_be_asked_is_one_line(vidsearch, arguments, code, message):
    found, out, err = vidsearch("query", "a dog", *arguments)
    assert (found, out, err.count("\n")) == (code, "", 1)
    assert message in err
