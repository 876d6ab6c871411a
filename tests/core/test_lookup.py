"""Many texts looked up at once give what looking up each gives."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vidsearch.config import external_space
from vidsearch.storage import _texts, _wanted, columns
from vidsearch.storage import manifest as manifests
from vidsearch.storage.lookup import find, holds
from vidsearch.storage.segment import open_segment, write

TEXTS = st.sampled_from(["a", "b", "ab", "", "é", "c1", "c2", "a much longer text"])


def add(root, **columns_by_name):
    rows = pa.table(columns_by_name)
    manifests.create(root, external_space(2))
    vectors = np.ones((rows.num_rows, 2), np.float16)
    return open_segment(root, write(root, vectors=vectors, rows=rows, index_files={}, quarantine=pa.table({}), info={"index": "flat"}))


def one_by_one(segment, wanted):
    found = [segment.rows_of("name", text) for text in wanted]
    return [int(rows.ids[0]) if rows.count else -1 for rows in found]


@pytest.mark.parametrize("most_values", [0, 4096], ids=["texts", "categories"])
@settings(deadline=None, max_examples=30)
@given(held=st.lists(TEXTS | st.none(), max_size=20), wanted=st.lists(TEXTS | st.just("\ud800"), max_size=12))
def test_looked_up_together_or_one_by_one(tmp_path_factory, most_values, held, wanted):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(columns, "MAX_VALUES", most_values)
        root = tmp_path_factory.mktemp("index")
        segments = [add(root, name=pa.array(held, pa.string())), add(root, name=pa.array(held[::-1], pa.string()))]
    found = [rows.tolist() for rows in find(segments, "name", wanted)]
    assert found == [one_by_one(segment, wanted) for segment in segments]


def test_a_text_with_the_hash_of_another_is_not_found(tmp_path, monkeypatch):
    hashes = _wanted.hash_texts
    for module in (_texts, _wanted):
        monkeypatch.setattr(module, "hash_texts", lambda texts, seed: hashes(texts, seed) % np.uint64(64))
    monkeypatch.setattr(columns, "MAX_VALUES", 0)
    segment = add(tmp_path, name=["a", "b", "c"])
    (rows,) = find([segment], "name", ["c", *(f"x{n}" for n in range(300)), "a"])
    assert rows.tolist() == [2, *[-1] * 300, 0]


def test_a_column_that_is_not_there_or_holds_no_texts_has_nothing(tmp_path):
    segment = add(tmp_path, name=["a", "b"], score=[1.0, 2.0])
    assert [rows.tolist() for column in ("none", "score") for rows in find([segment], column, ["a"])] == [[-1], [-1]]
    assert holds(segment, "score", "1.0", np.array([0])).tolist() == [False]
    assert holds(segment, "name", "c", np.array([0])).tolist() == [False]
    assert holds(segment, "name", "b", np.array([1, 0, 1])).tolist() == [True, False, True]
