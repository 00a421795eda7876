"""The public names: each one of the stub loads on first use, from the module that defines it."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import spectro

STUB = ast.parse(Path(spectro.__file__).with_suffix(".pyi").read_text(encoding="utf-8"))
NAMES = [
    *(name.name for line in STUB.body if isinstance(line, ast.ImportFrom) for name in line.names),
    *(line.name for line in STUB.body if isinstance(line, ast.FunctionDef)),
]


def test_the_stub_is_the_list_of_public_names() -> None:
    assert sorted(NAMES) == sorted(spectro.__all__) == dir(spectro)
    assert {"render", "split", "finetune", "evaluate", "ensemble", "report", "predict", "load"} <= set(NAMES)
    assert {"train_classical", "Run", "Predictions", "Predictor", "Card", "DataFolder", "Metrics", "Comparison"} <= set(
        NAMES
    )


@pytest.mark.parametrize("name", NAMES)
def test_a_public_name_is_there_and_documented(name: str) -> None:
    assert getattr(spectro, name).__doc__


def test_a_function_is_not_hidden_by_the_folder_of_its_name() -> None:
    code = "import spectro.explain; print('explain' in vars(spectro))"  # the function comes by __getattr__
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_load_returns_the_model_of_a_run(tmp_path: Path) -> None:
    with pytest.raises(spectro.RunError, match="no run folder"):
        spectro.load(tmp_path / "none")


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="rendr"):
        spectro.rendr  # noqa: B018


def test_importing_the_package_imports_no_part_of_it() -> None:
    code = "import sys, spectro; print(*(name for name in sys.modules if name.startswith('spectro.')))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == ""
