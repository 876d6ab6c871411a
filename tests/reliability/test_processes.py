"""Processes that commit to one index at once lose nothing of what they commit."""

from __future__ import annotations

from pathlib import Path

import pytest
from reliability import processes


@pytest.mark.parametrize(("count", "commits"), [(2, 10), pytest.param(8, 50, marks=pytest.mark.reliability)])
def test_processes_that_commit_at_once_lose_nothing(tmp_path: Path, count: int, commits: int) -> None:
    tally = processes.campaign(tmp_path / "index", processes=count, commits=commits)
    assert not tally.violations
    assert tally.committed == count * commits
