"""Values as text for people, and as cells that a spreadsheet shows instead of running them."""

from __future__ import annotations

from typing import overload

FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
"""A cell that begins with one of these is a formula to a spreadsheet."""


def format_value(value: object) -> str:
    """Return a value as a table shows it: 3, not 3.0."""
    return f"{value:g}" if isinstance(value, float) else str(value)


@overload
def defuse(value: str) -> str: ...
@overload
def defuse(value: object) -> object: ...
def defuse(value: object) -> object:
    """Return a cell of a table for people: text that a spreadsheet would run as a formula gets an apostrophe in front.

    Numbers stay as they are, written as text or not. Tables that are read again must not be changed so.

    Examples
    --------
    >>> defuse("=1+2"), defuse("-12.5"), defuse("- live"), defuse(-1)
    ("'=1+2", '-12.5', "'- live", -1)
    """
    if not isinstance(value, str) or not value.startswith(FORMULA) or _is_number(value):
        return value
    return f"'{value}"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return text.strip() == text
