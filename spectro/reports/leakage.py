"""What is known of leaks in the data behind a run: what the audit found, and what leaking would pretend."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def known_leaks(data: Path | None, split: Mapping[str, Any]) -> dict[str, Any]:
    """Return what `audit` and `leakage_gap` left in a data folder.

    Parameters
    ----------
    data : the folder, if it is at hand
    split : the split as the card of a run names it

    Returns
    -------
    `audit`: the summary of the audit, with `same_split`, whether it was held against this very split; None where there
    was no audit. `gap`: per way of splitting, what `LeakageGap.to_dict` returns; None where it was not measured.
    """
    found = {"audit": _read(data, "audit.json"), "gap": _read(data, "leakage_gap.json")}
    if found["audit"]:
        found["audit"]["same_split"] = bool(found["audit"]["split"]) and found["audit"]["split"] == split.get("title")
    return found


def in_words(found: Mapping[str, Any]) -> str:
    """Return what a leak would pretend, in one sentence; empty where it was not measured."""
    gap = found["gap"]
    if not gap:
        return ""
    torn, whole = (gap[by]["segment_accuracy"]["value"] for by in ("segment", "group"))
    return (
        "What a leak would pretend: a random forest on the same pictures gets "
        f"{100 * torn:.0f}\N{NARROW NO-BREAK SPACE}% of the segments right where pieces of a group may stand on both "
        f"sides, and {100 * whole:.0f}\N{NARROW NO-BREAK SPACE}% where they may not."
    )


def _read(data: Path | None, name: str) -> Any:
    try:
        return None if data is None else json.loads((data / name).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
