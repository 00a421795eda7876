"""A pool of local processes, to which tasks are added while they work."""

from __future__ import annotations

import threading
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, get_type_hints

from spectro.core.records import Record
from spectro.data import worker
from spectro.data.engines import Done, Failed
from spectro.data.engines.local import ask, cores, start_worker
from spectro.data.engines.pool import FAULT, Function, Outcome

STORAGE_ERRORS = ("StorageError", "MissingError", "ChangedError")


class ProcessPool:
    """Worker processes, each with a thread that hands it tasks, takes its answers and replaces it when it dies."""

    def __init__(self, function: Function, job: Record, workers: int = 0) -> None:
        count = workers or cores()
        self._hello = {
            "module": function.__module__,
            "function": function.__name__,
            "shared": job.to_dict(),
            "memory": worker.memory_for(count),
        }
        self._returned = get_type_hints(function)["return"]
        self._lock = threading.Lock()
        self._waiting: SimpleQueue[Record | None] = SimpleQueue()
        self._done: SimpleQueue[tuple[Record, dict[str, Any] | None]] = SimpleQueue()
        self._running: dict[threading.Thread, tuple[worker.Process, Record | None]] = {}
        self._cancelled: list[Record] = []
        self._stopping = threading.Event()
        self._feeders = [threading.Thread(target=self._feed, daemon=True) for _ in range(count)]
        for feeder in self._feeders:
            feeder.start()

    def slots(self) -> int:
        """Return the number of processes."""
        return len(self._feeders)

    def room(self) -> int:
        """Return the same, for a process has its next task at once."""
        return self.slots()

    def processes(self) -> list[int]:
        """Return the ids of the processes that are working on a task."""
        with self._lock:
            return [process.pid for process, task in self._running.values() if task is not None]

    def submit(self, task: Record) -> None:
        """Have a task done."""
        self._waiting.put(task)

    def wait(self, seconds: float) -> list[tuple[Record, Outcome]]:
        """Return the tasks that have ended."""
        ended = []
        with suppress(Empty):
            ended.append(self._done.get(timeout=seconds))
            while True:
                ended.append(self._done.get_nowait())
        return [(task, outcome_of(answer, self._returned)) for task, answer in ended]

    def cancel(self, task: Record) -> None:
        """Kill the process that does a task, or leave the task out."""
        with self._lock:
            self._cancelled.append(task)
            for process, own in self._running.values():
                if own == task:
                    process.kill()

    def close(self) -> None:
        """End all processes and wait until they are gone."""
        self._stopping.set()
        with self._lock:
            for process, _ in self._running.values():
                process.kill()
        for _ in self._feeders:
            self._waiting.put(None)
        for feeder in self._feeders:
            feeder.join()

    def _feed(self) -> None:
        me, process = threading.current_thread(), None
        while (task := self._waiting.get()) is not None and not self._stopping.is_set():
            if process is None:
                process = start_worker()
                worker.send(process, self._hello)
            with self._lock:
                skip = task in self._cancelled
                self._running[me] = process, task
            answer = None if skip else ask(process, task)
            with self._lock:
                self._running[me] = process, None
            if answer is None and not skip:
                _end(process)
                process = None
                with self._lock:
                    del self._running[me]
            self._done.put((task, answer))
        if process is not None:
            _end(process)


def outcome_of(answer: dict[str, Any] | None, returned: Any) -> Outcome:
    """Return what a worker's answer means; None where it died.

    Parameters
    ----------
    answer
        As a worker sends it.
    returned
        Record that the function returns.
    """
    if answer is None:
        return worker.CRASHED
    if "raised" in answer:
        if answer["raised"] in STORAGE_ERRORS:
            return Failed(FAULT, answer["message"])
        raise worker.to_exception(answer)
    if "reason" in answer:
        return Failed(answer["reason"], answer["message"])
    return Done(returned.from_dict(answer["value"]))


def _end(process: worker.Process) -> None:
    process.kill()
    process.communicate()
