"""Damage to any file of an index is noticed before anything is made of it."""

from __future__ import annotations

import pytest
from reliability import damage


@pytest.mark.parametrize("kind", damage.KINDS)
def test_some_flipped_bits_of_each_kind_of_file_are_found(kind: str) -> None:
    tally = damage.campaign([kind], flips=20, seed=2)
    assert not tally.violations
    assert tally.found == 20


@pytest.mark.reliability
@pytest.mark.parametrize("kind", damage.KINDS)
def test_a_thousand_flipped_bits_of_each_kind_of_file_are_found(kind: str) -> None:
    tally = damage.campaign([kind], flips=1000, seed=2)
    assert not tally.violations
    assert tally.found == 1000


def test_files_that_are_cut_longer_gone_or_others_are_found() -> None:
    tally = damage.other_damage(damage.KINDS, seed=2)
    assert not tally.violations
    assert tally.found == len(damage.KINDS) * len(damage.CHANGES) - len(damage.HARMLESS)


@pytest.mark.parametrize("flips", [100, pytest.param(3000, marks=pytest.mark.reliability)])
def test_what_is_answered_in_spite_of_damage_is_right(flips: int) -> None:
    assert not damage.campaign([damage.ANSWERS], flips=flips, seed=2).violations
