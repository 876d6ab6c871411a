"""Paging, folding and counting through an index that does not compare everything."""

import numpy as np
import pytest
from support.clips import DIM, make_rows, pages, write_index

from indexer.fold import fold
from vidsearch import open_index

ROWS = 6000  # fewer are not worth comparing by codes


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    root = tmp_path_factory.mktemp("paging") / "index"
    vectors, rows = make_rows(ROWS, seed=41)
    write_index(root, vectors, rows)
    fold(root, index_factory="IVF8,PQ24x4fs")
    return open_index(root)


@pytest.mark.parametrize("arguments", [{}, {"where": "language = 'en'"}, {"diverse": 0.5}])
def test_paging_returns_every_row_once_though_deeper_searches_find_more(index, arguments):
    vector = np.random.default_rng(1).standard_normal(DIM).astype(np.float32)
    found = list(pages(index, vector=vector, k=300, **arguments))
    assert found[0].certificate.plan == "ivf" or arguments
    seen = [hit.clip_id for hits in found for hit in hits]
    assert len(seen) == len(set(seen)) == found[0].matching
    assert all(len(hits) == 300 for hits in found[:-1])


def test_a_count_that_may_miss_rows_says_so(index):
    vector = index.vector_of("c5")
    exact = sum(hit.score >= 0.05 for hits in pages(index, vector=vector, k=1000, exact=True) for hit in hits)
    hits = index.search(vector=vector, k=1000, min_score=0.05)
    assert hits.total.rows <= exact
    assert hits.total.exact == (hits.certificate.plan == "exact")
    assert index.search(vector=vector, k=10, min_score=0.05, exact=True).total.rows <= exact
