"""What an installation without extras can do, and that whatever it cannot names the extra that it needs."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

import spectro
from spectro.core.distribution import EXTRAS, of_missing_package, require_packages
from spectro.core.errors import ConfigError
from tests.builders import make_run

PACKAGE = Path(spectro.__file__).parent
PROJECT = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text())["project"]
OTHERWISE = {"wandb", "openvino", "faiss", "hnswlib", "ray", "obstore", "tensorflow"}
"""Packages that an option names with its own install line."""
WITHOUT_EXTRAS = """
import importlib.machinery, sys


class Finder(importlib.machinery.PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name in {modules!r} else super().find_spec(name, path, target)


sys.meta_path = [Finder if finder is importlib.machinery.PathFinder else finder for finder in sys.meta_path]
sys.argv[0] = "spectro"
from spectro.__main__ import main
main()
"""


def names(requirements: list[str]) -> set[str]:
    """Return the distributions that requirements name, as packages_distributions spells them."""
    return {re.split(r"[^A-Za-z0-9._-]", line)[0].lower().replace("_", "-") for line in requirements}


def distributions(module: str) -> set[str]:
    """Return the distributions that hold a module."""
    return {name.lower().replace("_", "-") for name in packages_distributions().get(module, [])}


def without_extras(*words: str, place: Path) -> subprocess.CompletedProcess[str]:
    """Run a command in a process that finds no package of any extra."""
    program = WITHOUT_EXTRAS.format(modules=sorted(module for modules in EXTRAS.values() for module in modules))
    return subprocess.run([sys.executable, "-c", program, *words], cwd=place, capture_output=True, text=True)


@pytest.mark.parametrize("extra", EXTRAS)
def test_the_extra_that_a_message_names_installs_the_module(extra: str) -> None:
    declared = names(PROJECT["optional-dependencies"][extra])
    for module in EXTRAS[extra]:
        assert not distributions(module) or distributions(module) & declared or module in declared, module


def test_every_package_that_is_imported_is_declared() -> None:
    base = names(PROJECT["dependencies"])
    tops = set()
    for file in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                tops |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                tops.add(node.module.split(".")[0])
    modules = {module for modules in EXTRAS.values() for module in modules}
    unknown = tops - sys.stdlib_module_names - modules - OTHERWISE - {"spectro"}
    brought = {"anyio", "h11", "markupsafe"}  # by packages of the same extra
    assert {top for top in unknown - brought if not (distributions(top) | {top}) & base} == set()


def test_a_missing_package_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "xgboost", None)
    with pytest.raises(ConfigError, match=r"needs xgboost.*pip install 'spectro-audio\[classical\]'; or take a forest"):
        require_packages("this model", "xgboost", otherwise="take a forest")
    error = of_missing_package(ModuleNotFoundError("no", name="torch.nn"))
    assert error is not None
    assert "[train]" in str(error)
    assert of_missing_package(ModuleNotFoundError("no", name="spectro.nothing")) is None  # a bug keeps its traceback


@pytest.mark.slow
def test_without_extras_it_renders_splits_and_evaluates(corpus_csv: Path, tmp_path: Path) -> None:
    make_run(tmp_path / "run")
    for words in (
        ["render", str(corpus_csv), "--out", "data"],
        ["split", "data", "--by", "group"],
        ["data", "check", str(corpus_csv)],
        ["evaluate", "run"],
    ):
        done = without_extras(*words, place=tmp_path)
        assert done.returncode == 0, done.stderr
    for words, extra in ((["finetune", "data"], "train"), (["report", "run"], "report"), (["serve", "run"], "serve")):
        done = without_extras(*words, place=tmp_path)
        assert done.returncode == 2, done.stderr
        assert f"[{extra}]'" in done.stderr
        assert "Traceback" not in done.stderr
