"""Every pool of workers: answers, deaths, faults, the end of what hangs, and errors that the driver must see."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from spectro.core.config import RenderConfig
from spectro.core.errors import ConfigError, RunError
from spectro.core.storage import open_storage
from spectro.data.engines import Done, Failed
from spectro.data.engines.choice import Engine
from spectro.data.engines.pool import Outcome, Pool
from spectro.data.lots.render_lots import render_lots
from spectro.data.lots.seal import seal
from tests.data.engines.made_up import Job, Result, Task, multiply
from tests.raylets import Raylets

RAY = pytest.param("ray", marks=pytest.mark.slow)


@pytest.fixture(params=["local", RAY])
def pool(request: pytest.FixtureRequest) -> Iterator[Pool]:
    """Two workers that multiply by ten."""
    text = f"ray:{request.getfixturevalue('ray_cluster').address}" if request.param == "ray" else request.param
    own = Engine.parse(text).open_pool(multiply, Job(factor=10), 2)
    yield own
    own.close()


def collect(pool: Pool, count: int) -> dict[Task, Outcome]:
    """Return the outcomes of so many tasks."""
    outcomes: dict[Task, Outcome] = {}
    until = time.monotonic() + 120
    while len(outcomes) < count and time.monotonic() < until:
        for task, outcome in pool.wait(0.5):
            assert isinstance(task, Task)
            outcomes[task] = outcome
    return outcomes


def test_tasks_end_as_done_or_failed_whatever_happens_beside_them(pool: Pool) -> None:
    assert pool.slots() == 2
    assert pool.room() >= 2
    tasks = [Task(number=number) for number in range(6)]
    fates = [Task(number=9, fate=fate) for fate in ("die", "storage")]
    hanging = Task(number=8, fate="hang")
    for task in (hanging, *fates, *tasks):
        pool.submit(task)
    outcomes = collect(pool, 8)
    assert hanging not in outcomes
    for task in tasks:
        outcome = outcomes[task]
        assert isinstance(outcome, Done)
        assert isinstance(outcome.value, Result)
        assert outcome.value.value == 10 * task.number
    reasons = [outcome.reason for fate in fates if isinstance(outcome := outcomes[fate], Failed)]
    assert reasons == ["crashed", "storage"]
    pool.cancel(hanging)
    assert [outcome.reason for outcome in collect(pool, 1).values() if isinstance(outcome, Failed)] == ["crashed"]
    assert pool.wait(0.0) == []


def test_what_the_driver_must_see_is_raised(pool: Pool) -> None:
    pool.submit(Task(number=1, fate="user"))
    with pytest.raises(RunError, match="no run"):
        collect(pool, 1)
    pool.submit(Task(number=1, fate="bug"))
    with pytest.raises(RuntimeError, match="a bug"):
        collect(pool, 1)


@pytest.mark.slow
def test_a_machine_that_is_lost_costs_only_its_tasks(ray_cluster: Raylets, tmp_path: Path) -> None:
    machine = ray_cluster.add()
    pool = Engine.parse(f"ray:{ray_cluster.address}").open_pool(multiply, Job(factor=10))
    assert pool.slots() == 3
    for number in range(3):  # one on each machine
        pool.submit(Task(number=number, fate="hang", mark=str(tmp_path / str(number))))
    until = time.monotonic() + 120
    while len(list(tmp_path.iterdir())) < 3 and time.monotonic() < until:
        assert pool.wait(0.1) == []
    ray_cluster.kill(machine)
    [outcome] = collect(pool, 1).values()
    assert isinstance(outcome, Failed)
    assert outcome.reason == "crashed"
    pool.close()


@pytest.mark.slow
def test_ray_makes_the_bytes_that_local_processes_make(
    ray_cluster: Raylets, corpus: Path, small: RenderConfig, tmp_path: Path
) -> None:
    contents = []
    for engine in (f"ray:{ray_cluster.address}", "local"):
        out = tmp_path / engine.partition(":")[0]
        done = render_lots(corpus, out=out, config=small, engine=engine, workers=2, shard_mb=0.02)
        assert done.complete
        assert len(done.plan.lots) > 3
        seal(out)
        storage = open_storage(out)
        content = {entry.name: storage.get(entry.name) for entry in storage.list()}
        contents.append({name: data for name, data in content.items() if not name.startswith(("commits", "shards"))})
    assert contents[0] == contents[1]


def test_ray_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spectro.core.distribution.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'spectro-audio\[ray\]'"):
        Engine.parse("ray").open_pool(multiply, Job(factor=1))


def test_a_cluster_that_is_not_there_is_one_line() -> None:
    with pytest.raises(ConfigError, match=r"there is no Ray cluster at 127.0.0.1:9 .*ray start --head"):
        Engine.parse("ray:127.0.0.1:9").open_pool(multiply, Job(factor=1))
