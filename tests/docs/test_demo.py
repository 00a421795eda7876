"""The demo: every command line in it parses."""

from __future__ import annotations

import re
import shlex

import pytest

from spectro import cli
from tests.docs.pages import ROOT

DEMO = (ROOT / "scripts" / "demo").read_text(encoding="utf-8")


@pytest.mark.parametrize("line", re.findall(r"(?<![-`\w])spectro ((?!-m).*?)(?:\s#|\s\\|$)", DEMO, re.MULTILINE))
def test_a_command_line_of_the_demo_parses(line: str) -> None:
    words = [re.sub(r"\$\w+", "name", word) for word in shlex.split(line.strip())]
    cli.program.parse_args(words, exit_on_error=False, print_error=False)
