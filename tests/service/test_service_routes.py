"""The routes: what each answers, compared with the index itself."""

from __future__ import annotations

import asyncio
import csv
import io
import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from support.asked import LANGUAGES, SCORES, asked

from vidsearch import open_index
from vidsearch.query import Query
from vidsearch.service.service import Service
from vidsearch.wire import hits_from_json

VECTOR = np.eye(8, dtype=np.float32)[0].tolist()


def answered(root, path, body=None, method="POST", **options):
    """Ask a fresh service one thing."""

    async def ask():
        async with asked(Service(root)) as site:
            return await site.client.request(method, path, json=body, **options)

    return asyncio.run(ask())


def test_search_answers_as_the_index_does(root):
    question = {"vector": VECTOR, "k": 7, "where": "language = 'en'"}
    (expected,) = open_index(root).ask([Query.from_json(question)])
    answer = answered(root, "/v1/search", question)
    found = hits_from_json(answer.json())
    assert found.hits == expected.hits
    assert (found.matching, found.total, found.cursor) == (expected.matching, expected.total, expected.cursor)
    assert answer.json()["index_version"] == open_index(root).manifest.version


def test_a_clip_is_found_by_what_it_resembles(root):
    found = answered(root, "/v1/similar", {"clip_id": "c3", "k": 4}).json()
    assert [hit["clip_id"] for hit in found["hits"]] == [hit.clip_id for hit in open_index(root).search(like="c3", k=4)]


def test_a_batch_is_answered_in_its_order(root):
    questions = [{"like": [f"c{row}"], "k": 2} for row in range(40)]
    answers = answered(root, "/v1/batch", {"questions": questions}).json()["answers"]
    expected = open_index(root).ask([Query.from_json(question) for question in questions])
    assert [[hit["clip_id"] for hit in answer["hits"]] for answer in answers] == [[hit.clip_id for hit in hits] for hits in expected]


def test_facets_of_a_filter_are_counted(root):
    counted = answered(root, "/v1/facets", {"where": "aesthetic >= 3", "columns": ["language", "aesthetic"]}).json()
    passing = [row for row, score in enumerate(SCORES) if np.float32(score) >= 3]
    language, aesthetic = counted["facets"]
    assert counted["clips"] == len(passing)
    assert {value["value"]: value["count"] for value in language["values"]} == {
        name: sum(LANGUAGES[row] == name for row in passing) for name in ("en", "de", "fr")
    }
    assert sum(aesthetic["histogram"]["counts"]) == len(passing)
    assert aesthetic["histogram"]["greatest"] == pytest.approx(5.9)


def test_facets_of_a_question_count_its_best(root):
    question = {"vector": VECTOR, "min_score": 0.3}
    rows = open_index(root).answer(Query.from_json(question)).rows
    counted = answered(root, "/v1/facets", {"question": question, "columns": ["language"]}).json()
    found = {value["value"]: value["count"] for value in counted["facets"][0]["values"]}
    assert 0 < len(rows) < 60
    assert found == {name: count for name in ("en", "de", "fr") if (count := sum(LANGUAGES[row] == name for row in rows.tolist()))}


@pytest.mark.parametrize(
    "body",
    [
        {"columns": ["nothing"]},
        {"columns": ["language"] * 33},
        {"where": "aesthetic > 1", "question": {"vector": VECTOR}},
        {"where": "nothing = 1"},
        {"where": "x" * 9000},
    ],
)
def test_what_cannot_be_counted_is_said(root, body):
    answer = answered(root, "/v1/facets", body)
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] in ("invalid_query", "invalid_filter")


def test_clips_are_counted(root):
    assert answered(root, "/v1/count", {"where": "language = 'de'"}).json()["rows"] == 20
    question = {"vector": VECTOR, "min_score": 0.3}
    expected = open_index(root).count_of(Query.from_json(question))
    assert answered(root, "/v1/count", {"question": question}).json()["rows"] == expected.rows


def test_each_format_is_exported(root):
    subset = {"query": {"vector": VECTOR}, "top": 5}
    expected = [hit.clip_id for hit in open_index(root).search(vector=np.array(VECTOR, np.float32), k=5)]
    sent = {form: answered(root, "/v1/export", {**subset, "format": form}) for form in ("ids", "jsonl", "csv", "parquet")}
    assert sent["ids"].text.split() == expected
    assert [json.loads(line)["clip_id"] for line in sent["jsonl"].text.splitlines()] == expected
    assert [(row["rank"], row["clip_id"]) for row in csv.DictReader(io.StringIO(sent["csv"].text))] == list(
        zip("12345", expected, strict=True)
    )
    assert pq.read_table(io.BytesIO(sent["parquet"].content))["clip_id"].to_pylist() == expected
    assert {answer.headers["x-vidsearch-rows"] for answer in sent.values()} == {"5"}


def test_all_that_pass_are_exported_and_a_sample_is_the_same_each_time(root):
    body = {"where": "language = 'en'", "format": "ids"}
    assert answered(root, "/v1/export", body).text.split() == [f"c{row}" for row in range(60) if LANGUAGES[row] == "en"]
    drawn = [answered(root, "/v1/export", {**body, "sample": 6, "seed": 4}).text for _ in range(2)]
    assert drawn[0] == drawn[1]
    assert len(drawn[0].split()) == 6


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"query": {"vector": VECTOR}}, "invalid_request"),  # neither top nor min_score
        ({"query": {"vector": VECTOR, "group": "video"}, "top": 3}, "invalid_request"),
        ({"query": {"vector": VECTOR}, "where": "aesthetic > 1", "top": 3}, "invalid_query"),
        ({"format": "webdataset"}, "invalid_request"),
        ({"path": "/tmp/x"}, "invalid_request"),
        ({"sample": 10**9}, "invalid_query"),
        ({"top": 3}, "invalid_request"),
    ],
)
def test_what_cannot_be_exported_is_said(root, body, code):
    answer = answered(root, "/v1/export", body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, code)


def test_an_export_of_more_than_is_allowed_is_refused_before_it_begins(service_of):
    async def ask():
        async with asked(service_of(export_rows=50)) as site:
            return await site.post("/v1/export", {"format": "ids"}), await site.post("/v1/export", {"format": "ids", "sample": 50})

    refused, sent = asyncio.run(ask())
    assert (refused.status_code, "at most 50" in refused.json()["error"]["message"]) == (400, True)
    assert len(sent.text.split()) == 50


def test_a_clip_is_described_and_not_sent_twice(root):
    first = answered(root, "/v1/clips/c3", method="GET")
    assert first.json()["columns"]["language"] == "en"
    again = answered(root, "/v1/clips/c3", method="GET", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert answered(root, "/v1/clips/c99", method="GET").status_code == 404


def test_the_index_is_described_without_its_place(root):
    answer = answered(root, "/v1/info", method="GET")
    assert (answer.json()["rows"], "etag" in answer.headers) == (60, True)
    for path in ("/v1/info", "/readyz", "/v1/clips/gone", "/metrics"):
        assert str(root.parent) not in answered(root, path, method="GET").text


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
@pytest.mark.parametrize("path", ["/v1", "/v1/", "/v1/nothing", "/v1/search/x"])
def test_what_is_no_route_is_told_as_the_api_tells_it(root, method, path):
    answer = answered(root, path, method=method)
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    ("method", "path", "allowed"), [("GET", "/v1/search", "POST"), ("PUT", "/v1/export", "POST"), ("POST", "/v1/info", "GET")]
)
def test_another_method_is_405(root, method, path, allowed):
    answer = answered(root, path, method=method)
    assert (answer.status_code, answer.json()["error"]["code"]) == (405, "method_not_allowed")
    assert answer.headers["allow"] == allowed


@pytest.mark.parametrize(
    "question",
    [
        {"like": [{"file": "/etc/passwd"}]},
        {"vector": VECTOR, "within": [1]},
        {"vector": VECTOR, "k": 1001},
        {"vector": VECTOR, "k": 2**70},
        {"vector": [1.0]},
        {"vector": VECTOR, "unknown": 1},
        {"vector": VECTOR, "where": "__import__('os')"},
        {"vector": VECTOR, "cursor": "x" * 5000},
        {"text": "  "},
        {"text": "x" * 5000},
        {},
    ],
)
def test_a_question_that_cannot_be_asked_is_400(root, question):
    answer = answered(root, "/v1/search", question)
    assert (answer.status_code, answer.json()["error"]["code"].startswith("invalid")) == (400, True)
