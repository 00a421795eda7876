"""What import-linter cannot check: imports of `core`, what loads at run time, sizes of rooms, files and functions."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

import spectro

PACKAGE = Path(spectro.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
LEARNING = {"torch", "torchvision", "timm", "sklearn", "lightning_fabric", "matplotlib"}
MOST_OF_PACKAGE, MOST_OF_FILE, MOST_OF_FUNCTION = 0.20, 400, 60


def parsed(file: Path) -> ast.Module:
    """Return the syntax tree of a file."""
    return ast.parse(file.read_text(encoding="utf-8"))


def imported(file: Path) -> set[str]:
    """Return the names of all modules that a file imports, at its head or inside functions."""
    names = set()
    for node in ast.walk(parsed(file)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("import_module", "importlib.import_module"):
            names |= {str(part.value) for part in node.args if isinstance(part, ast.Constant)}
    return names


def loaded(code: str) -> set[str]:
    """Return the top-level modules that are loaded after running `code` in a new process."""
    program = f"import sys; {code}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return {name.split(".")[0] for name in done.stdout.split()}


def test_core_imports_numpy_small_packages_and_the_library() -> None:
    names = {name for file in (PACKAGE / "core").rglob("*.py") for name in imported(file)}
    tops = {name.split(".")[0] for name in names if not name.startswith("spectro.core")}
    remote = {"obstore", "huggingface_hub"}  # imported when a URL asks for them
    assert tops - sys.stdlib_module_names == {"numpy", "xxhash", "filelock"} | remote
    assert not loaded("import spectro.core.storage") & remote


def test_only_plots_imports_matplotlib() -> None:
    drawing = {file for file in FILES if "matplotlib" in {name.split(".")[0] for name in imported(file)}}
    assert {file.relative_to(PACKAGE).parts[0] for file in drawing} == {"plots"}


def test_a_rendering_worker_loads_no_learning_library() -> None:
    tops = loaded("import spectro.data.render, spectro.data.splits")
    assert not tops & (LEARNING | {"librosa", "numba"})


@pytest.mark.parametrize("module", ["spectro.inference.predict", "spectro.serving"])
def test_serving_loads_no_learning_library_on_import(module: str) -> None:
    assert not loaded(f"import {module}") & LEARNING


def test_no_room_is_a_hall() -> None:
    lines: Counter[str] = Counter()
    for file in FILES:
        lines[file.relative_to(PACKAGE).parts[0]] += len(file.read_text(encoding="utf-8").splitlines())
    room, largest = lines.most_common(1)[0]
    assert largest <= MOST_OF_PACKAGE * lines.total(), f"{room} has {largest} of {lines.total()} lines"


def test_no_file_is_too_long_to_read() -> None:
    lengths = {str(file.relative_to(PACKAGE)): len(file.read_text(encoding="utf-8").splitlines()) for file in FILES}
    assert {name: lines for name, lines in lengths.items() if lines > MOST_OF_FILE} == {}


def test_no_function_is_too_long_to_read() -> None:
    lengths = {f"{file.relative_to(PACKAGE)}:{name}": lines for file in FILES for name, lines in functions(file)}
    assert {name: lines for name, lines in lengths.items() if lines > MOST_OF_FUNCTION} == {}


def functions(file: Path) -> Iterator[tuple[str, int]]:
    """Yield each function of a file with its number of lines, docstring not counted."""
    for node in ast.walk(parsed(file)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first, lines = node.body[0], (node.end_lineno or node.lineno) - node.lineno + 1
            if ast.get_docstring(node) is not None:
                lines -= (first.end_lineno or first.lineno) - first.lineno + 1
            yield node.name, lines
