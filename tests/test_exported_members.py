"""The public face: every name of the stub comes on first use, and comes from where it lives."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import spectro

STUB = ast.parse(Path(spectro.__file__).with_suffix(".pyi").read_text(encoding="utf-8"))
NAMES = [name.name for line in STUB.body if isinstance(line, ast.ImportFrom) for name in line.names]


def test_the_stub_is_the_list_of_public_names() -> None:
    assert sorted(NAMES) == sorted(spectro.__all__) == dir(spectro)
    assert {"render", "split", "finetune", "evaluate", "ensemble", "report", "predict", "Run", "Predictions"} <= set(
        NAMES
    )


@pytest.mark.parametrize("name", NAMES)
def test_a_public_name_is_there_and_documented(name: str) -> None:
    assert getattr(spectro, name).__doc__


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="rendr"):
        spectro.rendr  # noqa: B018


def test_importing_the_package_imports_no_part_of_it() -> None:
    code = "import sys, spectro; print(*(name for name in sys.modules if name.startswith('spectro.')))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == ""
