"""A call that fails, once or for ever, leaves all or nothing, and the message says what it was; run again, the command does the rest."""

from __future__ import annotations

from pathlib import Path

import pytest
from reliability import faults

from vidsearch.storage import files


@pytest.mark.parametrize("name", ["build", "delete", "compact", "collect"])
def test_some_failing_calls_leave_all_or_nothing(name: str) -> None:
    tally = faults.campaign(name, cases=40, seed=1)
    assert not tally.violations
    assert len(tally.cases) > 4


@pytest.mark.reliability
@pytest.mark.parametrize(("name", "cases"), [("build", 1200), ("delete", 400), ("compact", 400), ("collect", 400)])
def test_failing_calls_leave_all_or_nothing(name: str, cases: int) -> None:
    tally = faults.campaign(name, cases=cases, seed=1)
    assert not tally.violations
    assert set(tally.cases) == faults.possible(name)


def test_a_disk_of_some_sizes_gets_full_without_harm() -> None:
    assert not faults.sweep("build", budgets=20).violations


def test_bytes_that_come_when_a_failed_file_was_closed_go_nowhere(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cut short"), files.create(tmp_path / "rows.parquet") as writer:
        raise ValueError("cut short")
    with files.create(tmp_path / "next") as following:  # it has the number of the descriptor that was closed
        with pytest.raises(OSError, match="written to after its end"):
            writer.write(b"footer")
        following.write(b"whole")
    assert (tmp_path / "next").read_bytes() == b"whole"


@pytest.mark.reliability
def test_a_disk_of_200_sizes_gets_full_without_harm() -> None:
    tally = faults.sweep("build", budgets=200)
    assert not tally.violations
    assert sum(tally.cases.values()) == 200
