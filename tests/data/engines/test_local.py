"""The local engine: every task is answered once, errors travel back, and the death of a worker costs one task."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass

import pytest

from spectro.core.errors import AudioError, DataError
from spectro.core.records import Record
from spectro.data import worker
from spectro.data.engines import Done, Failed
from spectro.data.engines import local as engine


@dataclass(frozen=True, kw_only=True)
class Number(Record):
    """A task, and a result."""

    n: int


@dataclass(frozen=True, kw_only=True)
class Settings(Record):
    """What the tasks have in common."""

    factor: int
    killers: tuple[int, ...] = ()


def double(settings: Settings, task: Number) -> Number:
    print("noise on standard output")
    assert isinstance(settings, Settings)
    assert isinstance(task, Number)
    return Number(n=task.n * settings.factor)


def plain(shared: Mapping[str, int], task: int) -> int:
    return shared["factor"] * task


def fail(how: str, task: int) -> str:
    if task == 3:
        raise {"data": DataError("disk full"), "audio": AudioError("silent", "hush"), "bug": KeyError("oops")}[how]
    return "fine"


def die(settings: Settings, task: Number) -> Number:
    if task.n in settings.killers:
        os.kill(os.getpid(), signal.SIGKILL)
    return task


def hoard(shared: int, task: int) -> int:
    return len(bytearray(shared)) if task == 3 else 0


NUMBERS = [Number(n=n) for n in range(12)]


@pytest.mark.parametrize("workers", [1, 2])
def test_every_task_is_answered_once_by_a_record(workers: int) -> None:
    outcomes = list(engine.run(double, Settings(factor=2), NUMBERS, workers=workers))
    expected = [(number, Done(Number(n=2 * number.n))) for number in NUMBERS]
    assert sorted(outcomes, key=lambda pair: pair[0].n) == expected


@pytest.mark.parametrize("workers", [1, 2])
def test_plain_values_travel_too(workers: int) -> None:
    outcomes = engine.run(plain, {"factor": 3}, range(5), workers=workers)
    assert sorted(outcomes, key=lambda pair: pair[0]) == [(n, Done(3 * n)) for n in range(5)]


@pytest.mark.parametrize("workers", [1, 2])
def test_an_audio_error_fails_its_task_only(workers: int) -> None:
    outcomes = dict(engine.run(fail, "audio", range(6), workers=workers))
    assert outcomes == {**dict.fromkeys(range(6), Done("fine")), 3: Failed("silent", "hush")}


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize(("how", "kind"), [("data", DataError), ("bug", (RuntimeError, KeyError))])
def test_other_errors_end_the_run(workers: int, how: str, kind: type[Exception]) -> None:
    with pytest.raises(kind, match=r"disk full|oops"):
        list(engine.run(fail, how, range(6), workers=workers))


def test_a_crash_fails_its_task_only() -> None:
    outcomes = list(engine.run(die, Settings(factor=1, killers=(2, 7)), NUMBERS, workers=2))
    failed = {task.n: outcome for task, outcome in outcomes if isinstance(outcome, Failed)}
    assert sorted(failed) == [2, 7]
    assert {outcome.reason for outcome in failed.values()} == {"crashed"}
    assert len(outcomes) == 12


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux keeps the limit")
def test_a_task_without_enough_memory_fails_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "LEAST_MEMORY", 1 << 30)
    monkeypatch.setattr(worker, "physical_memory", lambda: 0)
    outcomes = dict(engine.run(hoard, 1 << 31, range(6), workers=2))
    assert outcomes == {**dict.fromkeys(range(6), Done(0)), 3: worker.NO_MEMORY}
    outcomes = dict(engine.run(hoard, 1 << 28, range(6), workers=2))
    assert outcomes[3] == Done(1 << 28)


def test_running_out_of_memory_here_fails_the_task_too() -> None:
    assert dict(engine.run(hoard, 1 << 62, range(4), workers=1))[3] == worker.NO_MEMORY


def test_stopping_early_leaves_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[subprocess.Popen[bytes]] = []
    start = engine.start_worker

    def start_and_note() -> subprocess.Popen[bytes]:
        started.append(start())
        return started[-1]

    monkeypatch.setattr(engine, "start_worker", start_and_note)
    outcomes = engine.run(double, Settings(factor=2), NUMBERS * 50, workers=2)
    next(outcomes)
    outcomes.close()  # type: ignore[attr-defined]  # it is a generator
    assert len(started) == 2
    assert all(process.poll() is not None for process in started)


def test_no_tasks_is_no_work() -> None:
    assert list(engine.run(double, Settings(factor=2), [], workers=4)) == []
