"""Names of the objects that a plan, its lots and sealing leave below `--out`."""

from __future__ import annotations

PLAN = "plan.json"
MANIFEST = "manifest.csv"
SHARDS = "shards.csv"
INDEX = "index.parquet"
COMMITS, SHARD_FOLDER, RUNNING = "commits/", "shards/", "running/"


def commit_name(lot: str) -> str:
    """Return the name of a lot's commit."""
    return f"{COMMITS}{lot}.json"


def shard_name(lot: str, attempt: str, suffix: str) -> str:
    """Return the name of what one attempt at a lot makes."""
    return f"{SHARD_FOLDER}{lot}.{attempt}{suffix}"


def running_name(lot: str, attempt: str) -> str:
    """Return the name of the note that is there while an attempt runs."""
    return f"{RUNNING}{lot}.{attempt}"


def lot_of(name: str) -> str:
    """Return the lot that such a name belongs to."""
    return name.rpartition("/")[2].partition(".")[0]
