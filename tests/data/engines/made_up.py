"""A function for workers, which does what its task says."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from spectro.core.errors import AudioError, RunError, StorageError
from spectro.core.records import Record


@dataclass(frozen=True, kw_only=True)
class Job(Record):
    """What all tasks share."""

    factor: int


@dataclass(frozen=True, kw_only=True)
class Task(Record):
    """A number, and what is to happen with it."""

    number: int
    fate: str = "double"
    mark: str = ""
    """File that is made before the worker hangs."""


@dataclass(frozen=True, kw_only=True)
class Result(Record):
    """The answer, and who gave it."""

    value: int
    process: int


def multiply(job: Job, task: Task) -> Result:
    """Multiply, or fail as the task says."""
    if task.fate == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if task.fate == "hang":
        if task.mark:
            Path(task.mark).touch()
        time.sleep(600)
    kinds = {
        "audio": AudioError("silent", "no sound"),
        "storage": StorageError("no answer"),
        "user": RunError("no run"),
        "bug": KeyError("a bug"),
    }
    if task.fate in kinds:
        raise kinds[task.fate]
    return Result(value=job.factor * task.number, process=os.getpid())
