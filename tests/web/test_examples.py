"""Sentences offered at first: from the index, short, different, and the same each time."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.clips import make_rows, write_index

from ui.asking.examples import BREAKS, LONGEST, examples, shortened
from vidsearch import open_index
from vidsearch.upkeep.delete import delete

LONG = "a very long caption of a clip in which a dog, which is brown, runs over a beach"


def test_examples_are_short_captions_of_clips_that_differ(tmp_path):
    rng = np.random.default_rng(4)
    centres = np.eye(384)[:4]
    vectors = np.repeat(centres, 30, axis=0) + 0.02 * rng.standard_normal((120, 384))
    _, rows = make_rows(120, seed=3)
    for number, row in enumerate(rows):
        row["caption"] = (f"subject {number // 30} in clip {number}", LONG, None)[number % 3]
    index = write_index(tmp_path / "index", vectors.astype(np.float16), rows, parts=2)
    found = examples(index)
    assert sorted(int(text.split()[1]) for text in found) == [0, 1, 2, 3]
    assert set(found) <= {row["caption"] for row in rows}
    assert examples(open_index(index.root)) == found
    assert len(examples(index, 2)) == 2
    delete(index.root, where="caption LIKE 'subject%'")
    assert examples(open_index(index.root)) == (LONG[:54],)


@pytest.mark.parametrize("captions", ["none", "blank", "no column"])
def test_clips_without_captions_give_no_examples(tmp_path, captions):
    vectors, rows = make_rows(5, seed=1)
    for row in rows:
        row["caption"] = {"none": None, "blank": "  ", "no column": None}[captions]
        if captions == "no column":
            del row["caption"]
    assert examples(write_index(tmp_path / "index", vectors, rows)) == ()


@given(st.text(alphabet="ab ,.é字-", max_size=200))
def test_a_text_is_cut_after_a_word(text):
    text = " ".join(text.split())
    cut = shortened(text)
    assert len(cut) <= LONGEST
    assert text.startswith(cut)
    assert cut == cut.rstrip(BREAKS)
    rest = text[len(cut) :].lstrip(BREAKS)
    assert not rest or len(text) > LONGEST
    assert not cut or text == cut or text[len(cut)] in BREAKS
