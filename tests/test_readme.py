"""The README and the demo: every command line in them parses, and every command of the program is in the README."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from spectro import cli
from spectro.cli.app import GROUPS, ORDER

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
DEMO = (Path(__file__).parent.parent / "scripts" / "demo").read_text(encoding="utf-8")
LINES = [line.partition("#")[0].strip() for line in re.findall(r"^spectro .*$", README, re.MULTILINE)]


@pytest.mark.parametrize("line", LINES)
def test_a_command_line_of_the_readme_parses(line: str) -> None:
    cli.program.parse_args(shlex.split(line)[1:], exit_on_error=False, print_error=False)


@pytest.mark.parametrize("line", re.findall(r"(?<![-`\w])spectro ((?!-m).*?)(?:\s#|\s\\|$)", DEMO, re.MULTILINE))
def test_a_command_line_of_the_demo_parses(line: str) -> None:
    words = [re.sub(r"\$\w+", "name", word) for word in shlex.split(line.strip())]
    cli.program.parse_args(words, exit_on_error=False, print_error=False)


def test_every_command_is_in_the_readme() -> None:
    shown = {tuple(line.split()[1:3]) if line.split()[1] in GROUPS else (line.split()[1],) for line in LINES}
    top = {(name,) for names in ORDER.values() for name in names if name not in GROUPS}
    assert shown == top | {(group, name) for group, names in GROUPS.items() for name in names}
