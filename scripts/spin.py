"""Pure work of the processor: the control that tells a slow program from a busy machine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def spin(rounds: int = 150_000) -> int:
    """Add numbers up, some milliseconds long."""
    total = 0
    for number in range(rounds):
        total += number
    return total


def spin_one(shared: Mapping[str, Any], task: Mapping[str, Any]) -> dict[str, Any]:
    """Spin once; the work of one engine task."""
    return {"total": spin()}
