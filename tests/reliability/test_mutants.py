"""The campaigns notice each sync, link, seal, hash and check that is missing."""

from __future__ import annotations

import pytest
from reliability.mutants import MUTANTS

QUICK = ("files are not synced", "hashes are not compared", "a commit does not look at what others committed", "a write is not continued")


@pytest.mark.parametrize("name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.reliability) for name in MUTANTS])
def test_a_mutant_of_the_protocol_is_noticed(name: str) -> None:
    assert MUTANTS[name].hunt()
