"""How far a rendering or prediction in lots has come, from what is in its storage alone."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from spectro.core.records import Record
from spectro.core.sealed_tables import SEALED
from spectro.core.storage import open_storage
from spectro.data.lots.commit import committed, count_failed
from spectro.data.lots.names import RUNNING, lot_of
from spectro.data.lots.plan import open_plan

STALE = 3600.0
"""Seconds after which the note of a running attempt is taken for one of a worker that died."""

READERS = 16
"""Commits that are read at once."""


@dataclass(frozen=True, kw_only=True)
class Status(Record):
    """How far lots have come."""

    lots: int
    done: int
    running: int
    """Lots with an attempt that began within the last hour; its worker may have died since."""
    clips: int
    clips_done: int
    failed: int
    """Clips that could not be used, of the lots that are done."""
    clips_per_second: float
    """Since the first commit; 0 while there are fewer than two."""
    seconds_left: float | None
    """At this rate; None while it is not known."""
    sealed: bool


def status(out: Path | str, *, failures: bool = True) -> Status:
    """Return how far the lots below a folder or URL have come.

    Parameters
    ----------
    out
        As `--out` named it.
    failures
        Whether to read every commit for the number of failed clips; without, it counts as 0.

    Raises
    ------
    DataError
        nothing was planned there.
    """
    storage = open_storage(out)
    plan = open_plan(storage)
    lots = {lot.id: lot for lot in plan.lots}
    commits = {lot: entry for lot, entry in committed(storage) if lot in lots}
    recent = time.time() - STALE
    running = {lot_of(entry.name) for entry in storage.list(RUNNING) if entry.modified > recent} - commits.keys()
    failed = 0
    if failures:
        with ThreadPoolExecutor(READERS) as pool:
            failed = sum(pool.map(lambda lot: count_failed(storage, lot), commits))
    times = sorted(entry.modified for entry in commits.values())
    passed = times[-1] - times[0] if len(times) > 1 else 0.0
    first = min(commits, key=lambda lot: commits[lot].modified, default="")
    since = [lots[lot] for lot in commits if lot != first]  # the first one began before the clock does
    weight = sum(lot.weight for lot in since)
    left = plan.weight - sum(lots[lot].weight for lot in commits)
    return Status(
        lots=len(lots),
        done=len(commits),
        running=len(running),
        clips=plan.clips,
        clips_done=sum(lots[lot].clips for lot in commits),
        failed=failed,
        clips_per_second=sum(lot.clips for lot in since) / passed if passed else 0.0,
        seconds_left=left / weight * passed if passed and weight else None,
        sealed=storage.head(SEALED) is not None,
    )
