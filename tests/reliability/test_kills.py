"""A build that is killed, or whose decode processes are, goes on when it is run again, and ends with every clip once."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest
from reliability import kills


@pytest.mark.reliability
@pytest.mark.timeout(400)
def test_killed_builds_end_with_every_clip_once(tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(1) as server:  # forks: it must have no threads of ours
        tally = server.apply(kills.campaign, (tmp_path,), {"kills": 300, "within_s": 150.0, "seed": 6})
    assert not tally.violations
    assert tally.killed["the builder"] > 10
    assert tally.killed["a decode process"] > 0
    assert len(tally.stages) > 1
