"""Hand out lots until all are committed: try again what died, halve what keeps dying, double what takes too long."""

from __future__ import annotations

import random
import statistics
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from spectro.core.errors import ConfigError
from spectro.data.engines import Failed
from spectro.data.engines.pool import LOST, Outcome, Pool
from spectro.data.lots.records import LotResult, LotTask, Plan

DEATHS = 3
"""Deaths after which a lot is halved."""
DEATHS_ALONE = 5
"""Deaths in a row of a clip alone after which it is quarantined; machines that go at random hardly do that to it."""
SEARCHES = 3
"""How often a lot is halved before it is given up: each time nothing kills a worker when it is alone."""
FAULTS = 5
"""Attempts that the storage may let down, or that end in another error of the machine."""
SLOW = 2.0
"""Multiple of its estimate after which a lot is given to a second worker."""
SAMPLE = 3
"""Lots that must be done before estimates are believed."""
HUNG = 20.0
"""Multiple of its estimate after which an attempt is ended and counts as dead: a decoder may never return."""
LONGEST = 900.0
"""Seconds that an attempt may take in any case."""
SLOWEST = 1e6
"""Bytes per second that files may be fetched at by one worker."""
LEAST = 30.0
"""Seconds that any lot may take before a second worker is given it."""
REPORT = 10.0
"""Seconds between lines of progress."""
TICK = 1.0

Log = Callable[[str], object]


@dataclass(frozen=True, kw_only=True)
class GivenUp:
    """A lot that could not be done."""

    lot: str
    message: str


@dataclass(frozen=True, kw_only=True)
class Driven:
    """What a driver did."""

    lots: int
    """Lots that were committed while it ran, by whomever."""
    clips: int
    """Clips of the lots that its own workers committed."""
    failed: int
    """Clips among them that could not be used."""
    segments: int
    seconds: float
    """Duration of their sound."""
    deaths: int
    """Attempts whose worker died."""
    given_up: tuple[GivenUp, ...]


@dataclass
class _Lot:
    """What a driver knows of a lot that is not done."""

    number: int
    weight: float
    clips: int
    deaths: int = 0
    faults: int = 0
    searches: int = 0
    quarantined: list[str] = field(default_factory=list)
    spans: list[tuple[int, int]] = field(default_factory=list)
    """Items, from first up to second, of which one may be killing workers; the last is tried next."""


def drive(
    pool: Pool,
    plan: Plan,
    waiting: Iterable[int],
    clip_of: Callable[[int, int], str],
    *,
    log: Log = lambda line: None,
) -> Driven:
    """Have lots done, the longest first; it may be killed at any time, and run beside others.

    Parameters
    ----------
    pool
        The workers.
    plan
        All lots.
    waiting
        Numbers of those that are not committed.
    clip_of
        Returns the clip of a lot's number and an item's number.
    log
        Called with each line of progress.

    Returns
    -------
    Driven

    Raises
    ------
    ConfigError
        every worker has another state of the code.
    """
    driver = _Driver(pool, plan, waiting, clip_of, log)
    driver.run()
    return driver.driven()


class _Driver:
    def __init__(
        self, pool: Pool, plan: Plan, waiting: Iterable[int], clip_of: Callable[[int, int], str], log: Log
    ) -> None:
        self._pool, self._plan, self._clip_of, self._log = pool, plan, clip_of, log
        lots = [
            _Lot(number=number, weight=plan.lots[number].weight, clips=plan.lots[number].clips) for number in waiting
        ]
        self._pending = deque(sorted(lots, key=lambda lot: (-lot.weight, lot.number)))
        self._total = len(lots)
        self._active: dict[LotTask, tuple[_Lot, float]] = {}
        self._done: set[int] = set()
        self._given_up: list[GivenUp] = []
        self._results: list[LotResult] = []
        self._paces: list[float] = []
        self._refused = self._deaths = 0
        self._begin = self._reported = self._crowded = time.monotonic()

    def run(self) -> None:
        """Work until nothing is left."""
        while self._pending or self._active:
            while self._pending and len(self._active) < self._pool.room():
                self._submit(self._pending.popleft())
            for task, outcome in self._pool.wait(TICK):
                assert isinstance(task, LotTask)
                lot, _ = self._active.pop(task)
                if lot.number not in self._done:
                    self._take(lot, task, outcome)
            self._end_hung()
            self._double()
            if time.monotonic() - self._reported > REPORT:
                self._report()

    def driven(self) -> Driven:
        """Return what was done."""
        return Driven(
            lots=len(self._done) - len(self._given_up),
            clips=sum(one.clips for one in self._results),
            failed=sum(one.failed for one in self._results),
            segments=sum(one.segments for one in self._results),
            seconds=sum(one.seconds for one in self._results),
            deaths=self._deaths,
            given_up=tuple(self._given_up),
        )

    def _submit(self, lot: _Lot) -> None:
        task = LotTask(
            number=lot.number,
            attempt=uuid.uuid4().hex[:12],
            quarantined=tuple(sorted(lot.quarantined)),
            probe=lot.spans[-1] if lot.spans else None,
        )
        self._active[task] = lot, time.monotonic()
        self._pool.submit(task)

    def _take(self, lot: _Lot, task: LotTask, outcome: Outcome) -> None:
        """Note what became of an attempt, and what is to be tried next."""
        if isinstance(outcome, Failed):
            if outcome.reason == LOST:
                self._bury(lot, task)
            else:
                self._fault(lot, outcome.message)
            return
        result: LotResult = outcome.value
        if result.state == "refused":
            self._refuse(lot, result.message)
        elif result.state == "probed":
            lot.spans.pop()
            lot.deaths = 0
            self._pending.appendleft(lot)
        else:
            self._finish(lot, result)

    def _finish(self, lot: _Lot, result: LotResult) -> None:
        self._done.add(lot.number)
        if result.state == "committed":
            self._results.append(result)
            self._paces.append(result.elapsed / max(lot.weight, 1e-9))
        for task, (other, _) in self._active.items():
            if other is lot:
                self._pool.cancel(task)

    def _bury(self, lot: _Lot, task: LotTask) -> None:
        """Try a lot again whose worker died; if it keeps dying, look for the clip that kills it."""
        self._deaths += 1
        lot.deaths += 1
        if any(other is lot for other, _ in self._active.values()):
            return  # its double still runs
        if task.probe is None:
            if lot.deaths >= DEATHS and not self._search(lot):
                return
        elif task.probe[1] - task.probe[0] > 1:
            lot.spans.pop()
            lot.spans += _halves(*task.probe)
            lot.deaths = 0
        elif lot.deaths >= DEATHS_ALONE:
            lot.spans.pop()
            lot.deaths = 0
            lot.quarantined.append(self._clip_of(lot.number, task.probe[0]))
            self._log(f"quarantined: {lot.quarantined[-1]} killed {DEATHS_ALONE} workers that did nothing else")
        self._pending.appendleft(lot)

    def _search(self, lot: _Lot) -> bool:
        """Begin to look for the clip that kills workers; tell whether that was not done often enough already."""
        if lot.searches == SEARCHES:
            self._give_up(lot, "its workers die, but no clip of it kills one alone: is there enough memory?")
            return False
        lot.searches += 1
        lot.deaths = 0
        lot.spans = _halves(0, lot.clips)
        return True

    def _fault(self, lot: _Lot, message: str) -> None:
        lot.faults += 1
        if lot.faults >= FAULTS:
            self._give_up(lot, message)
        else:
            self._log(f"lot {self._plan.lots[lot.number].id} is tried again: {message}")
            self._pending.append(lot)

    def _refuse(self, lot: _Lot, message: str) -> None:
        self._refused += 1
        if not self._results and self._refused > 2 * self._pool.slots():
            raise ConfigError(message)
        self._log(message)
        time.sleep(random.uniform(0, TICK))  # it may come to the same worker again
        self._pending.append(lot)

    def _give_up(self, lot: _Lot, message: str) -> None:
        self._done.add(lot.number)
        self._given_up.append(GivenUp(lot=self._plan.lots[lot.number].id, message=message))

    def _end_hung(self) -> None:
        """End attempts that will never return; not while some may still be waiting for a worker."""
        now = time.monotonic()
        if len(self._active) > self._pool.slots():
            self._crowded = now
        for task, (lot, since) in self._active.items():
            transfer = self._plan.lots[lot.number].bytes / SLOWEST
            if now - max(since, self._crowded) > max(LONGEST, HUNG * lot.weight) + transfer:
                self._pool.cancel(task)

    def _double(self) -> None:
        """Give what takes too long to a second worker, once there is nothing else to do."""
        now = time.monotonic()
        if self._pending or len(self._active) > self._pool.slots():
            return
        if len(self._paces) < SAMPLE:
            return
        pace = statistics.median(self._paces)
        alone = [lot for lot, _ in self._active.values()]
        for task, (lot, since) in list(self._active.items()):
            limit = max(LEAST, SLOW * pace * lot.weight)
            single = task.probe is None and sum(other is lot for other in alone) == 1
            if single and lot.number not in self._done and now - max(since, self._crowded) > limit:
                if len(self._active) >= self._pool.slots():
                    return
                self._log(f"lot {self._plan.lots[lot.number].id} takes long; a second worker begins it")
                self._submit(lot)

    def _report(self) -> None:
        self._reported = now = time.monotonic()
        time_spent = max(now - self._begin, 1e-9)
        driven = self.driven()
        share = sum(self._plan.lots[number].weight for number in self._done)
        left = share and (
            sum(lot.weight for lot in self._pending) + sum(lot.weight for lot, _ in self._active.values())
        )
        eta = f", {left / share * time_spent / 60:.0f} min left" if share else ""
        self._log(
            f"{len(self._done)} of {self._total} lots, {driven.clips / time_spent:.1f} clips/s, "
            f"{driven.seconds / time_spent:.0f} s of sound a second, {driven.failed} failed clips, "
            f"{driven.deaths} deaths{eta}"
        )


def _halves(first: int, end: int) -> list[tuple[int, int]]:
    """Return the two halves of a span of items, the one to begin with last; the span itself where it is one item."""
    middle = (first + end) // 2
    return [(middle, end), (first, middle)] if middle > first else [(first, end)]
