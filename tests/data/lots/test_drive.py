"""The driver's decisions, with workers that are made up: whom it tries again, halves, doubles, ends and gives up."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from spectro.core.config import RenderConfig
from spectro.core.errors import ConfigError
from spectro.core.records import Record
from spectro.data.engines import Done, Failed
from spectro.data.engines.pool import FAULT, LOST, Outcome
from spectro.data.lots import drive as driving
from spectro.data.lots.drive import Driven, drive
from spectro.data.lots.records import LotResult, LotSummary, LotTask, Plan

CLIPS = 8
DEAD = Failed(LOST, "died")
Answer = Callable[[LotTask], tuple[float, Outcome]]
"""How many seconds a task takes, and how it ends."""


class MadeUp:
    """A pool whose clock only runs while the driver waits."""

    def __init__(self, answer: Answer, slots: int = 2) -> None:
        self.answer, self.count, self.now = answer, slots, 0.0
        self.running: dict[LotTask, tuple[float, Outcome]] = {}
        self.tasks: list[LotTask] = []
        self.cancelled: list[LotTask] = []

    def slots(self) -> int:
        return self.count

    def room(self) -> int:
        return self.count

    def submit(self, task: Record) -> None:
        assert isinstance(task, LotTask)
        assert len(self.running) < self.count
        seconds, outcome = self.answer(task)
        self.running[task] = self.now + seconds, outcome
        self.tasks.append(task)

    def wait(self, seconds: float) -> list[tuple[Record, Outcome]]:
        soonest = min((end for end, _ in self.running.values()), default=self.now)
        self.now = max(self.now, min(soonest, self.now + seconds))
        ended = [task for task, (end, _) in self.running.items() if end <= self.now]
        return [(task, self.running.pop(task)[1]) for task in ended]

    def cancel(self, task: Record) -> None:
        assert isinstance(task, LotTask)
        self.cancelled.append(task)
        self.running[task] = self.now, DEAD

    def close(self) -> None:
        self.running.clear()


def done(task: LotTask) -> tuple[float, Outcome]:
    """End well after a second."""
    if task.probe is not None:
        return 1.0, Done(LotResult(state="probed"))
    return 1.0, Done(LotResult(state="committed", clips=CLIPS, seconds=9.0, elapsed=1.0))


def run(monkeypatch: pytest.MonkeyPatch, answer: Answer, lots: int = 4) -> tuple[Driven, MadeUp]:
    """Drive lots that are estimated at one second, the later ones a little longer."""
    pool = MadeUp(answer)
    monkeypatch.setattr(driving.time, "monotonic", lambda: pool.now)
    monkeypatch.setattr(driving.time, "sleep", lambda seconds: None)
    summaries = tuple(LotSummary(id=f"lot{n}", clips=CLIPS, bytes=0, weight=1.0 + n / 100) for n in range(lots))
    work = RenderConfig()
    plan = Plan(source="s", layout="folder", work=work, code="c", table="t", lots=summaries)
    return drive(pool, plan, range(lots), lambda lot, item: f"{lot}/{item}"), pool


def test_longest_first_and_each_once(monkeypatch: pytest.MonkeyPatch) -> None:
    driven, pool = run(monkeypatch, done)
    assert [task.number for task in pool.tasks] == [3, 2, 1, 0]
    assert len({task.attempt for task in pool.tasks}) == 4
    assert driven == Driven(lots=4, clips=32, failed=0, segments=0, seconds=36.0, deaths=0, given_up=())


@pytest.mark.parametrize("poison", [(0,), (7,), (3, 4), tuple(range(CLIPS))])
def test_only_clips_that_kill_alone_are_quarantined(poison: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(task: LotTask) -> tuple[float, Outcome]:
        items = range(*(task.probe or (0, CLIPS)))
        deadly = any(item in poison and f"{task.number}/{item}" not in task.quarantined for item in items)
        return (0.5, DEAD) if deadly and task.number == 1 else done(task)

    driven, pool = run(monkeypatch, answer)
    assert driven.lots == 4
    assert driven.given_up == ()
    assert [task.quarantined for task in pool.tasks if task.number == 1][-1] == tuple(f"1/{item}" for item in poison)
    assert all(task.quarantined == () for task in pool.tasks if task.number != 1)


def test_deaths_at_random_quarantine_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    order = iter(range(10_000))

    def answer(task: LotTask) -> tuple[float, Outcome]:
        return (0.5, DEAD) if next(order) % 3 else done(task)  # two of three die

    driven, pool = run(monkeypatch, answer, lots=20)
    assert driven.lots == 20
    assert not any(task.quarantined for task in pool.tasks)


def test_a_lot_that_only_dies_whole_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(task: LotTask) -> tuple[float, Outcome]:
        return (0.5, DEAD) if task.number == 2 and task.probe is None else done(task)

    driven, _ = run(monkeypatch, answer)
    assert [one.lot for one in driven.given_up] == ["lot2"]
    assert driven.lots == 3


def test_faults_of_the_storage_are_tried_again_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    faults = {0: 2, 1: 99}

    def answer(task: LotTask) -> tuple[float, Outcome]:
        faults[task.number] = faults.get(task.number, 0) - 1
        return (0.5, Failed(FAULT, "no answer")) if faults[task.number] >= 0 else done(task)

    driven, _ = run(monkeypatch, answer)
    assert [(one.lot, one.message) for one in driven.given_up] == [("lot1", "no answer")]
    assert driven.lots == 3


def test_a_straggler_is_doubled_and_the_slower_one_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def answer(task: LotTask) -> tuple[float, Outcome]:
        first = task.number not in seen
        seen.append(task.number)
        return (10_000.0, done(task)[1]) if task.number == 0 and first else done(task)

    driven, pool = run(monkeypatch, answer)
    twins = [task for task in pool.tasks if task.number == 0]
    assert len(twins) == 2
    assert pool.cancelled == twins[:1]
    assert (driven.lots, driven.deaths) == (4, 0)
    assert pool.now < 2 * driving.LEAST


def test_what_hangs_is_ended_and_counts_as_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(task: LotTask) -> tuple[float, Outcome]:
        hangs = task.probe in (None, (4, 8), (4, 6), (4, 5)) and "1/4" not in task.quarantined
        return (1e9, DEAD) if task.number == 1 and hangs else done(task)

    driven, pool = run(monkeypatch, answer, lots=2)
    assert driven.lots == 2
    assert pool.tasks[-1].quarantined == ("1/4",)


def test_what_waits_for_a_machine_is_not_taken_for_hung(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MadeUp, "slots", lambda self: 1)  # a cluster that has lost half of itself
    driven, pool = run(monkeypatch, lambda task: (5000.0, done(task)[1]), lots=6)
    assert (driven.lots, driven.deaths, pool.cancelled) == (6, 0, [])


def test_a_refused_worker_is_passed_by(monkeypatch: pytest.MonkeyPatch) -> None:
    refusals = iter([True, True, False, True])
    refused = Done(LotResult(state="refused", message="install the same version"))
    driven, _ = run(monkeypatch, lambda task: (0.5, refused) if next(refusals, False) else done(task))
    assert driven.lots == 4
    with pytest.raises(ConfigError, match="install the same version"):
        run(monkeypatch, lambda task: (0.5, refused))
