"""The distribution: its name on the package index, its version, and the command that installs one of its extras."""

from __future__ import annotations

import importlib.metadata

DISTRIBUTION = "spectro-audio"
"""Name on the package index, where `spectro` is another program; command and import are called spectro."""


def version() -> str:
    """Return the version of the installed distribution, which pyproject.toml declares."""
    return importlib.metadata.version(DISTRIBUTION)


def install_command(extra: str) -> str:
    """Return the command that installs what an extra adds, for messages about a missing package."""
    return f"pip install '{DISTRIBUTION}[{extra}]'"
