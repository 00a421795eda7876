"""Code on the pages: every command parses, every Python block compiles and names what exists, and examples run."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import spectro
from spectro import cli
from spectro.cli.app import GROUPS, ORDER
from tests.docs.pages import NAMES, ROOT, blocks, command_lines, text

LINES = command_lines()
PYTHON = blocks("python")
OTHERS = ("pip install ",)
"""What else `bash` blocks may hold; scripts are compared with the files in another test."""


@pytest.mark.parametrize(("page", "line"), LINES, ids=[f"{page}: {line[:60]}" for page, line in LINES])
def test_a_command_on_a_page_parses(page: str, line: str) -> None:
    if line.startswith("spectro "):
        cli.program.parse_args(shlex.split(line, comments=True)[1:], exit_on_error=False, print_error=False)
    else:
        assert line.startswith(OTHERS), page


def test_every_command_is_on_the_first_page() -> None:
    words = [line.split() for page, line in LINES if page == "docs/pages/index.md"]
    shown = {tuple(word[1:3]) if word[1] in GROUPS else (word[1],) for word in words}
    top = {(name,) for names in ORDER.values() for name in names if name not in GROUPS}
    assert shown == top | {(group, name) for group, names in GROUPS.items() for name in names}


@pytest.mark.parametrize(("page", "number", "code"), PYTHON, ids=[f"{page}-{number}" for page, number, _ in PYTHON])
def test_a_python_block_compiles_and_names_what_exists(page: str, number: int, code: str) -> None:
    compile(code, f"{page}, block {number}", "exec")
    missing = set(re.findall(r"\bspectro\.([A-Za-z]\w*)", re.sub(r"^\s*from .*$", "", code, flags=re.MULTILINE)))
    assert missing <= set(spectro.__all__)


def test_a_shown_file_exists() -> None:
    names = [shown for name in NAMES for shown in re.findall(r"^<!-- file: (\S+) -->$", text(name), re.MULTILINE)]
    assert names
    assert [name for name in names if not (ROOT / name).is_file()] == []


@pytest.mark.slow
def test_the_examples_of_extensions_run(tmp_path: Path) -> None:
    examples = [code for page, _, code in PYTHON if page == "docs/pages/guides/extending.md"]
    check = """
import numpy as np
import torch
from spectro.core.config import ModelConfig
from spectro.models import build

values = FEATURES["envelope"].function(np.zeros(22050, np.float32), FrameConfig())
assert values.shape == (1, 44) and np.isfinite(values).all()
for settings in (ModelConfig(name="tiny"), ModelConfig(name="tiny", head="bottleneck")):
    assert build(settings, 3, (64, 50)).eval()(torch.rand(2, 1, 64, 50)).shape == (2, 3)
Path("hum_a_1.wav").touch()
(clip,) = LAYOUTS["by-name"](Path()).clips
assert (clip.label, clip.group) == ("hum", "hum/a")
assert np.allclose(VOTES["maximum"](np.array([[0.5, 0.5], [0.1, 0.9]])), [0.5 / 1.4, 0.9 / 1.4])
"""
    code = "\n".join([*examples, check])  # in a process of its own, whose registries nobody else reads
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
