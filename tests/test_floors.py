"""What the import contracts cannot say: the ground floor's imports, files of bearable length, and light workers."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import spectro

PACKAGE = Path(spectro.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))


def imported(file: Path) -> set[str]:
    """Top-level names of all modules that a file imports, at its head or inside functions."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


@pytest.mark.parametrize("file", sorted((PACKAGE / "core").glob("*.py")), ids=lambda file: file.stem)
def test_the_ground_floor_stands_on_numpy_and_the_standard_library(file: Path) -> None:
    tops = {name.split(".")[0] for name in imported(file) if not name.startswith("spectro.core")}
    assert tops <= sys.stdlib_module_names | {"numpy"}


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_no_file_is_too_long_to_read(file: Path) -> None:
    assert len(file.read_text(encoding="utf-8").splitlines()) <= 400


def test_a_rendering_worker_loads_no_learning_library() -> None:
    code = "import sys, spectro.data.render, spectro.data.splits; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.split(".")[0] for name in done.stdout.split()}
    assert not loaded & {"torch", "timm", "sklearn", "matplotlib", "librosa", "numba"}
