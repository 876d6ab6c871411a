"""What `vidsearch delete` tells a person when the disk fails under it."""

from __future__ import annotations

import errno
import os
import sys

import pytest
from reliability.faults import Fault, _injected, prepared
from reliability.scenarios import ALL, SCENARIOS
from reliability.tiny import ROOT, Checker

from vidsearch.cli import EXIT_DISK_FULL, main

COMMAND = ["vidsearch", "delete", "--index", str(ROOT), "--where", "clip_id = 'c1'", "--yes"]
LAST_CALL = 400  # more than the command makes


@pytest.mark.parametrize(("error", "code"), [(errno.ENOSPC, EXIT_DISK_FULL), (errno.EDQUOT, EXIT_DISK_FULL), (errno.EIO, 2)])
def test_a_disk_that_fails_is_named_in_one_line_and_an_exit_code(
    error: int, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", COMMAND)
    failed = 0
    for number in range(1, LAST_CALL, 20):
        disk = prepared(SCENARIOS["delete"])
        before = disk.calls
        disk.fault = _injected(Fault(error), before + number, True)
        with disk.mounted(), pytest.raises(SystemExit) as ended:
            main()
        told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
        if disk.calls < before + number:
            assert ended.value.code == 0
            break
        if ended.value.code:
            failed += 1
            assert ended.value.code == code
            assert len(told) == 1
            assert told[0].startswith(f"error: {os.strerror(error)}: /")
        assert Checker().clips_in(disk) in (ALL, ALL - {1})
    assert disk.calls < before + number  # the last fault came after the end
    assert failed > 4
