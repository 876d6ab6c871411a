"""The command as it is typed."""

from collections.abc import Callable

import pytest

from vidsearch.cli import main

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def vidsearch(capsys, monkeypatch) -> Command:
    """Run the command with some arguments; return its exit code, stdout and stderr."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["vidsearch", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            main()
        captured = capsys.readouterr()
        return int(stopped.value.code or 0), captured.out, captured.err

    return run
