"""Workers that die where a test wants it: functions that the pools of tests call instead of `render_lot`."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spectro.data.lots import attempt, rendering
from spectro.data.lots.records import ClipRow, LotJob, LotResult, LotTask
from spectro.data.lots.rendering import render_lot

POISON = "poison"
STAGES = ("first clip", "before upload", "before commit", "after commit")
MARKS = "SPECTRO_TEST_MARKS"
"""Environment variable that names the folder of marks."""


def die() -> None:
    """End this process as the kernel does when memory runs out."""
    os.kill(os.getpid(), signal.SIGKILL)


def render_poisoned(job: LotJob, task: LotTask) -> LotResult:
    """Die at every clip whose name has `poison` in it, as in a decoder's fault."""
    return _rendering(job, task, lambda clip: die() if POISON in clip else None)


def render_slowly(job: LotJob, task: LotTask) -> LotResult:
    """Take a while for each clip."""
    return _rendering(job, task, lambda clip: time.sleep(0.2))


def render_dying(job: LotJob, task: LotTask) -> LotResult:
    """Die at each of the stages of a lot, at a later one with each attempt, until all of them are over."""
    folder = Path(os.environ[MARKS])
    left = STAGES if task.probe is None else ()
    stage = next((stage for stage in left if _first(folder / f"{task.number}-{stage}")), None)
    real_put, real_commit = attempt.commit, attempt.size_and_digest

    def commit(storage: Any, own: Any, shard: Path) -> bool:
        if stage == STAGES[2]:
            storage.put_if_absent(own.shard, shard)
            die()
        won = real_put(storage, own, shard)
        if stage == STAGES[3]:
            die()
        return won

    def size_and_digest(path: Path) -> tuple[int, str]:
        if stage == STAGES[1]:
            die()
        return real_commit(path)

    attempt.commit, attempt.size_and_digest = commit, size_and_digest  # type: ignore[assignment]
    try:
        return _rendering(job, task, lambda clip: die() if stage == STAGES[0] else None)
    finally:
        attempt.commit, attempt.size_and_digest = real_put, real_commit


def render_with_other_code(job: LotJob, task: LotTask) -> LotResult:
    """Be a worker on which another version is installed."""
    real = attempt.code_of
    attempt.code_of = lambda work: "0.0.9-other"  # type: ignore[assignment]
    try:
        return render_lot(job, task)
    finally:
        attempt.code_of = real  # type: ignore[assignment]


def _first(mark: Path) -> bool:
    try:
        mark.touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def _rendering(job: LotJob, task: LotTask, before: Callable[[str], object]) -> LotResult:
    real = rendering._render_one

    def render_one(sound: attempt.Sound, *rest: Any) -> ClipRow:
        before(sound.item.clip)
        return real(sound, *rest)

    rendering._render_one = render_one
    try:
        return render_lot(job, task)
    finally:
        rendering._render_one = real


@dataclass(frozen=True, kw_only=True)
class ClusterJob(LotJob):
    """A job for machines that were started before a test set its environment."""

    environment: Mapping[str, str]


def render_on_cluster(job: ClusterJob, task: LotTask) -> LotResult:
    """Do what `render_dying` does."""
    os.environ.update(job.environment)
    return render_dying(LotJob(out=job.out), task)
