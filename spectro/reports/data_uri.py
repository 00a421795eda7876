"""A file inside a page, as a data URI."""

from __future__ import annotations

import base64


def data_uri(kind: str, content: bytes) -> str:
    """Return a file's content as a data URI of the given media type."""
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"
