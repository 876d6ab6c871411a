from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidsearch.config import Preset, viclip_preset
from vidsearch.sampling import choose_frames

EVAL = viclip_preset("eval")
DEMO = viclip_preset("demo")


@pytest.mark.parametrize(
    ("available", "preset", "expected"),
    [
        (40, EVAL, (2, 7, 12, 17, 22, 27, 32, 37)),  # InternVid's own example clip
        (40, DEMO, (0, 5, 10, 15, 20, 25, 30, 35)),
        (15, DEMO, (0, 1, 2, 3, 4, 5, 6, 7)),  # the notebook never sees the tail of such a clip
        (8, EVAL, (0, 1, 2, 3, 4, 5, 6, 7)),
        (3, EVAL, (0, 1, 2, 2, 2, 2, 2, 2)),
        (3, DEMO, (0, 1, 2, 2, 2, 2, 2, 2)),
        (1, EVAL, (0,) * 8),
        (0, EVAL, ()),
    ],
)
def test_choose_frames_gives_the_published_positions(available, preset, expected):
    assert choose_frames(available, preset) == expected


@given(available=st.integers(1, 100_000), wanted=st.integers(1, 32))
def test_middle_equals_the_reference_formula(available, wanted):
    parts = min(wanted, available)
    edges = np.linspace(0, available, parts + 1).astype(int)
    expected = [(start + end - 1) // 2 for start, end in pairwise(edges)]
    expected += [expected[-1]] * (wanted - parts)
    # NumPy's edges lie a hair below whole numbers now and then, which the integer formula does not: at most one frame apart
    chosen = choose_frames(available, Preset("any", frames=wanted))
    assert np.abs(np.array(chosen) - expected).max() <= 1
    assert len(chosen) == wanted
    assert sorted(chosen) == list(chosen)
