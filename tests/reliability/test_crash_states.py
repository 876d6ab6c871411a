"""Whatever instant a command is killed at, or the power goes, an index holds what was acknowledged, and running it again does the rest."""

from __future__ import annotations

import multiprocessing

import pytest
from reliability import crashes, rivals
from reliability.scenarios import SCENARIOS

SEED = 4
STATES = 6000  # about 38 ms of a processor each; tools/reliability.py --long takes a night's
RIVALS_EVERY = 5


def test_a_crash_at_some_instants_of_each_command_costs_nothing() -> None:
    tally = crashes.campaign(SCENARIOS, states=150, seed=SEED)
    assert not tally.violations
    assert set(tally.states) == set(SCENARIOS)
    assert tally.second > 40


@pytest.mark.reliability
@pytest.mark.timeout(1500)
def test_thousands_of_crashes_cost_nothing() -> None:
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        tallies = pool.starmap(share, [(STATES, 0), (STATES, 1)])
    assert not [violation for tally in tallies for violation in tally.violations]
    assert sum(sum(tally.states.values()) for tally in tallies) == STATES


def share(states: int, which: int) -> crashes.Tally:
    return crashes.campaign(SCENARIOS, states=states, seed=SEED, share=(which, 2))


def test_a_command_within_another_loses_nothing_at_some_instants() -> None:
    races = rivals.campaign(rivals.PAIRS, every=97)
    assert not races.violations
    assert sum(races.races.values()) > 30


@pytest.mark.reliability
@pytest.mark.timeout(900)
def test_a_command_within_another_loses_nothing_at_many_instants() -> None:
    assert not rivals.campaign(rivals.PAIRS, every=RIVALS_EVERY).violations
