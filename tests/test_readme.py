"""The README: every command line in it parses, and every command of the program stands in it."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from spectro import cli

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
LINES = [line.partition("#")[0].strip() for line in re.findall(r"^spectro .*$", README, re.MULTILINE)]


@pytest.mark.parametrize("line", LINES)
def test_a_command_line_of_the_readme_parses(line: str) -> None:
    cli.program.parse_args(shlex.split(line)[1:], exit_on_error=False, print_error=False)


def test_every_command_stands_in_the_readme() -> None:
    commands = {name for name in cli.program if not name.startswith("-")}
    assert commands == {line.split()[1] for line in LINES}
