"""Write docs/quickstart.ipynb from the tutorial: its text, commands and Python as cells, without outputs."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent
TUTORIAL = HERE / "pages" / "tutorial.md"
NOTEBOOK = HERE / "quickstart.ipynb"
FENCE = re.compile(r"^```(\w+)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SETUP = """import os

if not os.path.isdir("assets"):  # the notebook is in docs/, and the music in the folder above
    os.chdir("..")"""


class Block(NamedTuple):
    """A part of a page: text between code, or the code of one fence."""

    language: str
    """Language of the fence; empty for text."""
    text: str


def blocks(page: str) -> Iterator[Block]:
    """Yield the parts of a page in order."""
    end = 0
    for match in FENCE.finditer(page):
        yield Block("", page[end : match.start()].strip())
        yield Block(match[1], match[2].rstrip("\n"))
        end = match.end()
    yield Block("", page[end:].strip())


def cells(page: str) -> list[dict[str, object]]:
    """Return the cells of a notebook: commands behind `!`, what they print as text."""
    made = [_cell("code", SETUP)]
    for language, text in blocks(page):
        if language == "bash":
            made.append(_cell("code", "\n".join(f"!{line}" for line in commands(text))))
        elif language == "python":
            made.append(_cell("code", text))
        elif text:
            made.append(_cell("markdown", f"```{language}\n{text}\n```" if language else _absolute(text)))
    return [{**cell, "id": _cell_id(number, cell)} for number, cell in enumerate(made)]


def commands(text: str) -> list[str]:
    """Return the commands of a `bash` block, each on one line and without its comment."""
    lines = text.replace("\\\n", " ").splitlines()
    return [" ".join(line.split("  #")[0].split()) for line in lines if line.strip() and not line.startswith("#")]


def _cell(kind: str, text: str) -> dict[str, object]:
    cell: dict[str, object] = {"cell_type": kind, "metadata": {}, "source": text.splitlines(keepends=True)}
    return cell if kind == "markdown" else cell | {"execution_count": None, "outputs": []}


def _cell_id(number: int, cell: dict[str, object]) -> str:
    return hashlib.sha256(f"{number}{cell['source']}".encode()).hexdigest()[:8]


def _absolute(text: str) -> str:
    """Return text with links to other pages that hold in docs/, where the notebook is."""
    return re.sub(r"\]\((?!https?:|#)([^)]+)\)", r"](pages/\1)", text)


def notebook(page: str) -> str:
    """Return the notebook of a page, as the text of its file."""
    content = {
        "cells": cells(page),
        "metadata": {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    NOTEBOOK.write_text(notebook(TUTORIAL.read_text(encoding="utf-8")), encoding="utf-8")
