"""The pages of the documentation and what they contain, for the tests about them."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
README = ROOT / "README.md"
FILES = (README, *sorted((DOCS / "pages").rglob("*.md")), *sorted((ROOT / ".github").glob("*.md")))
NAMES = tuple(file.relative_to(ROOT).as_posix() for file in FILES)
TREE = re.compile(r"<!-- tree:.*?<!-- end of tree -->", re.DOTALL)  # made from docstrings, which another test reads
FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


def load(name: str) -> ModuleType:
    """Import a file of docs/, which is no package."""
    spec = importlib.util.spec_from_file_location(f"documentation_{name}", DOCS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


notebook = load("notebook")


def text(name: str) -> str:
    """Return a page without the tree."""
    return TREE.sub("", (ROOT / name).read_text(encoding="utf-8"))


def blocks(language: str) -> list[tuple[str, int, str]]:
    """Return the code of a language on all pages, with the page and its number there."""
    return [
        (name, number, block.text)
        for name in NAMES
        for number, block in enumerate(notebook.blocks(text(name)))
        if block.language == language
    ]


def command_lines() -> list[tuple[str, str]]:
    """Return each line of a `bash` block with its page, without comments and joined where it is continued."""
    return [(name, line) for name, _, code in blocks("bash") for line in notebook.commands(code)]
