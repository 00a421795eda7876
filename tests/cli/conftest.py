"""The program run in this process, with what it prints."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from spectro import cli

Spectro = Callable[..., tuple[int, str, str]]


@pytest.fixture
def spectro(capsys: pytest.CaptureFixture[str]) -> Spectro:
    """`spectro(*arguments)` -> (exit code, standard output, standard error)."""

    def run(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as stopped:
            cli.main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return int(stopped.value.code or 0), captured.out, captured.err

    return run
