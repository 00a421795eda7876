"""The engine: every task answered once, errors carried home, and a worker's death costs one task."""

from __future__ import annotations

import os
import signal

import pytest

from spectro.core.errors import AudioError, DataError
from spectro.data.engines import local as engine


def double(shared, task):
    print("noise on standard output")
    return {"twice": task["n"] * shared["factor"]}


def fail(shared, task):
    if task["n"] == 3:
        raise {"data": DataError("disk full"), "audio": AudioError("silent", "hush"), "bug": KeyError("oops")}[
            shared["how"]
        ]
    return {}


def die(shared, task):
    if task["n"] in shared["killers"]:
        os.kill(os.getpid(), signal.SIGKILL)
    return {"n": task["n"]}


TASKS = [{"n": n} for n in range(12)]


@pytest.mark.parametrize("workers", [1, 2])
def test_every_task_is_answered_once(workers):
    answers = list(engine.run(double, {"factor": 2}, TASKS, workers=workers))
    assert sorted((task["n"], result["twice"]) for task, result in answers) == [(n, 2 * n) for n in range(12)]


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize(
    ("how", "kind"), [("data", DataError), ("audio", AudioError), ("bug", (RuntimeError, KeyError))]
)
def test_errors_come_home_as_they_are(workers, how, kind):
    with pytest.raises(kind, match=r"disk full|hush|oops") as caught:
        list(engine.run(fail, {"how": how}, TASKS, workers=workers))
    if how == "audio":
        assert caught.value.reason == "silent"


def test_a_death_costs_one_task():
    answers = list(engine.run(die, {"killers": [2, 7]}, TASKS, workers=2))
    assert sorted(task["n"] for task, result in answers if result is None) == [2, 7]
    assert len(answers) == 12


def test_stopping_early_leaves_no_process(monkeypatch):
    started = []
    start = engine._start
    monkeypatch.setattr(engine, "_start", lambda *args: started.append(start(*args)) or started[-1])
    answers = engine.run(double, {"factor": 2}, TASKS * 50, workers=2)
    next(answers)
    answers.close()
    assert len(started) == 2
    assert all(process.poll() is not None for process in started)


def test_no_tasks_is_no_work():
    assert list(engine.run(double, {}, [], workers=4)) == []
