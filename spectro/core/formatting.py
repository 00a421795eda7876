"""Values as text for people."""

from __future__ import annotations


def format_value(value: object) -> str:
    """Return a value as a table shows it: 3, not 3.0."""
    return f"{value:g}" if isinstance(value, float) else str(value)
