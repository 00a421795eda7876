"""Hooks of MkDocs: reference pages are made from the code at every build, and pages show files of the repository."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

import reference  # beside this file
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parent.parent
PICTURES = ("report.png", "serve.png")
SHOWN = re.compile(r"^<!-- file: (\S+\.py) -->$", re.MULTILINE)

logging.getLogger("mkdocs.plugins.griffe").setLevel(logging.ERROR)  # annotations stand in signatures, not in docstrings


def on_files(files: Files, *, config: Any) -> Files:
    """Add the generated pages, and the pictures that the README shows too."""
    for name, text in reference.pages().items():
        files.append(File.generated(config, f"reference/{name}.md", content=text))
    for picture in PICTURES:
        files.append(File.generated(config, picture, abs_src_path=str(ROOT / "assets" / picture)))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Show the files that a page names in a comment."""
    return SHOWN.sub(lambda match: f"```python\n{(ROOT / match[1]).read_text(encoding='utf-8')}```", markdown)
