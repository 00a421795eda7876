"""Docstrings are in numpydoc form, and the examples in them run."""

from __future__ import annotations

import ast
import doctest
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest
from numpydoc.docscrape import NumpyDocString

import spectro

PACKAGE = Path(spectro.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
SECTIONS = {"Parameters", "Returns", "Yields", "Raises", "Examples", "Notes", "References", "Attributes"}
MOST_WORDS_OF_A_TYPE, MOST_WORDS_OF_A_BARE_TYPE = 6, 2
Documented = ast.FunctionDef | ast.ClassDef


def public(tree: ast.AST, prefix: str = "") -> Iterator[tuple[str, Documented, str]]:
    """Yield (name, definition, docstring) of every public function, class and method that has a docstring."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, Documented) and not node.name.startswith("_"):
            if text := ast.get_docstring(node):
                yield prefix + node.name, node, text
            if isinstance(node, ast.ClassDef):
                yield from public(node, f"{prefix}{node.name}.")


def parameters(node: Documented) -> list[str]:
    """Return the names that the docstring of a function may describe; of a class, those of its constructor."""
    if isinstance(node, ast.ClassDef):
        made = [part for part in node.body if isinstance(part, ast.FunctionDef) and part.name == "__init__"]
        return parameters(made[0])[1:] if made else [part.target.id for part in node.body if is_field(part)]
    arguments = node.args
    extra = [one.arg for one in (arguments.vararg, arguments.kwarg) if one]
    return [one.arg for one in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)] + extra


def is_field(node: ast.stmt) -> bool:
    """Tell whether a statement of a class declares a field."""
    return isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)


def faults(node: Documented, text: str) -> Iterator[str]:
    """Yield what is wrong with the form of a docstring."""
    headings = [
        before
        for before, line in zip(text.splitlines(), text.splitlines()[1:], strict=False)
        if line and set(line) == {"-"}
    ]
    unknown = [heading for heading in headings if heading not in SECTIONS]
    if unknown:
        yield f"unknown section {unknown[0]}"
        return
    doc = NumpyDocString(text)
    described = [name.strip(" *") for entry in doc["Parameters"] for name in entry.name.split(",")]
    yield from (f"{name} is no parameter" for name in described if name not in parameters(node))
    for section in ("Parameters", "Returns", "Yields", "Raises"):
        for name, kind, description in doc[section]:
            if not any(description) and (section != "Returns" or len(kind.split()) > MOST_WORDS_OF_A_BARE_TYPE):
                yield f"{section}: '{name or kind}' has no description on a line of its own"
            elif len(kind.split()) > MOST_WORDS_OF_A_TYPE:
                yield f"{section}: '{name}' has its description on the line of its name"


def test_docstrings_are_in_numpydoc_form() -> None:
    found = [
        f"{file.relative_to(PACKAGE)}: {name}: {fault}"
        for file in FILES
        for name, node, text in public(ast.parse(file.read_text(encoding="utf-8")))
        for fault in faults(node, text)
    ]
    assert found == []


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("One.\n\nParameters\n----------\na\n    What it is.\n", ""),
        ("One.\n\nParameters\n----------\na : int\n    What it is.\n", ""),
        ("One.\n\nParameters\n----------\na : what it is\n", "no description"),
        ("One.\n\nParameters\n----------\na : what it is in many words, and\n    more of them\n", "line of its name"),
        ("One.\n\nParameters\n----------\nb\n    What it is.\n", "no parameter"),
        ("One.\n\nReturns\n-------\nA number of things.\n", "no description"),
        ("One.\n\nArguments\n---------\na\n    What it is.\n", "unknown section"),
    ],
)
def test_a_wrong_form_is_noticed(text: str, fault: str) -> None:
    node = ast.parse("def function(a): pass").body[0]
    assert isinstance(node, ast.FunctionDef)
    found = list(faults(node, text))
    assert any(fault in one for one in found) if fault else found == []


@pytest.mark.parametrize(
    "file", [file for file in FILES if ">>> " in file.read_text(encoding="utf-8")], ids=lambda file: file.stem
)
def test_examples_run(file: Path) -> None:
    name = ".".join(("spectro", *file.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__")
    result = doctest.testmod(import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE)
    assert result.failed == 0
