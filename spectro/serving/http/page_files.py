"""The files of the page, read once: fixed names, so that no request can name any other file."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import PurePosixPath

TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".json": "application/json",
}


@dataclass(frozen=True, kw_only=True)
class PageFile:
    """One file of the page."""

    content: bytes
    media_type: str
    tag: str
    """Changes when the content does."""


PAGE = files("spectro.serving.http").joinpath("page")
"""Where the files of the server's page lie."""


def page_files(entries: Iterable[Traversable]) -> dict[str, PageFile]:
    """Return files of a page by name; those that no page asks for are left out."""
    found = {}
    for entry in entries:
        media_type = TYPES.get(PurePosixPath(entry.name).suffix)
        if media_type:
            content = entry.read_bytes()
            tag = f'"{sha256(content).hexdigest()[:16]}"'
            found[entry.name] = PageFile(content=content, media_type=media_type, tag=tag)
    return found
