"""Run a function over many tasks in local processes: plain interpreters that exchange lines of JSON with this one."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from importlib import import_module
from queue import SimpleQueue
from typing import Any, TypeVar, get_type_hints

from spectro.core.errors import AudioError
from spectro.core.records import Record
from spectro.data import worker
from spectro.data.engines import Done, Failed

Shared = TypeVar("Shared")
Task = TypeVar("Task")
Value = TypeVar("Value")
Item = TypeVar("Item")


def cores() -> int:
    """Return the number of processor cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def run(
    function: Callable[[Shared, Task], Value], shared: Shared, tasks: Sequence[Task], *, workers: int = 0
) -> Generator[tuple[Task, Done[Value] | Failed]]:
    """Yield each task with the outcome of `function(shared, task)`, in the order in which they finish.

    Workers are fresh interpreters, not forks, and do not import the caller's script: this is safe beside threads and
    from notebooks, works the same on Windows, and needs no `if __name__ == "__main__"`.

    Parameters
    ----------
    function
        A function of a module, by which the workers find it. `shared`, tasks and results are Records, which its
        annotations name, or plain JSON values.
    shared
        What all tasks have in common.
    tasks
        One for each call.
    workers
        Number of processes; 0 for one per core, 1 to work in this one.

    Yields
    ------
    task, outcome
        `Failed` where `function` raised AudioError, ran out of memory or killed its worker; `Done` otherwise.

    Raises
    ------
    SpectroError
        `function` raised one that is not an AudioError.
    RuntimeError
        `function` raised anything else in a worker; its traceback is in the message.
    """
    count = min(workers or cores(), len(tasks))
    if count <= 1:
        for task in tasks:
            yield task, _attempt(function, shared, task)
        return
    hello = {
        "module": function.__module__,
        "function": function.__name__,
        "shared": _to_json(shared),
        "memory": worker.memory_for(count),
    }
    returned = get_type_hints(function).get("return")
    pool = _Pool(hello, tasks)
    try:
        for task, answer in pool.answers(count):
            yield task, _outcome(answer, returned)
    finally:
        pool.stop()


def show_progress(items: Iterator[Item], total: int, title: str, progress: bool) -> Iterator[Item]:
    """Pass on what `run` yields, with a progress bar on standard error if asked for and if there is work."""
    if not (progress and total):
        return items
    from rich.console import Console
    from rich.progress import track

    return iter(track(items, description=title, total=total, console=Console(stderr=True)))


def work() -> None:
    """Be a worker."""
    worker.answer_lines(_prepare)


def _prepare(hello: Mapping[str, Any]) -> worker.Answer:
    """Return the function that answers tasks, as the first line names it."""
    function = getattr(import_module(hello["module"]), hello["function"])
    hints = list(get_type_hints(function).values())
    shared_hint, task_hint = hints[:2] if len(hints) >= 2 else (None, None)
    shared = _from_json(shared_hint, hello["shared"])
    return lambda task, out: out.write(worker.to_line(_answer(function, shared, _from_json(task_hint, task))))


class _Pool:
    """Worker processes, each with a thread that hands it tasks, takes its answers and replaces it when it dies."""

    def __init__(self, hello: Mapping[str, object], tasks: Sequence[Any]) -> None:
        self._hello = hello
        self._waiting = iter(tasks)
        self._lock = threading.Lock()
        self._done: SimpleQueue[tuple[Any, dict[str, Any] | None] | None] = SimpleQueue()
        self._processes: set[worker.Process] = set()
        self._stopping = threading.Event()
        self._feeders: list[threading.Thread] = []

    def answers(self, count: int) -> Iterator[tuple[Any, dict[str, Any] | None]]:
        """Yield each task with the answer of one of `count` workers; None where the task killed it."""
        self._feeders = [threading.Thread(target=self._feed, daemon=True) for _ in range(count)]
        for feeder in self._feeders:
            feeder.start()
        while count:
            finished = self._done.get()
            if finished is None:
                count -= 1
            else:
                yield finished

    def stop(self) -> None:
        """End all workers and wait until they are gone."""
        self._stopping.set()
        with self._lock:
            for process in self._processes:
                process.kill()
        for feeder in self._feeders:
            feeder.join()
        for process in self._processes:
            process.communicate()

    def _feed(self) -> None:
        process = self._start()
        while not self._stopping.is_set():
            with self._lock:
                task = next(self._waiting, None)
            if task is None:
                break
            answer = ask(process, task)
            if answer is None and not self._stopping.is_set():
                process.kill()
                process = self._start()
            self._done.put((task, answer))
        self._done.put(None)

    def _start(self) -> worker.Process:
        process = start_worker()
        with self._lock:
            self._processes.add(process)
        worker.send(process, self._hello)
        return process


def start_worker() -> worker.Process:
    """Start a worker process, which waits for its first line."""
    return worker.start(__name__)


def ask(process: worker.Process, task: object) -> dict[str, Any] | None:
    """Send a worker a task; return its answer, None where it died."""
    assert process.stdout
    worker.send(process, _to_json(task))
    line = process.stdout.readline()
    return json.loads(line) if line.endswith(b"\n") else None


def _attempt(function: Callable[[Shared, Task], Value], shared: Shared, task: Task) -> Done[Value] | Failed:
    try:
        return Done(function(shared, task))
    except AudioError as error:
        return Failed(error.reason, str(error))
    except MemoryError:
        return worker.NO_MEMORY


def _answer(function: Callable[[Any, Any], object], shared: object, task: object) -> dict[str, Any]:
    try:
        outcome = _attempt(function, shared, task)
    except Exception as error:
        return worker.from_exception(error)
    if isinstance(outcome, Failed):
        return {"reason": outcome.reason, "message": outcome.message}
    return {"value": _to_json(outcome.value)}


def _outcome(answer: Mapping[str, Any] | None, returned: Any) -> Done[Any] | Failed:
    if answer is None:
        return worker.CRASHED
    if "raised" in answer:
        raise worker.to_exception(answer)
    if "reason" in answer:
        return Failed(answer["reason"], answer["message"])
    return Done(_from_json(returned, answer["value"]))


def _to_json(value: object) -> object:
    return value.to_dict() if isinstance(value, Record) else value


def _from_json(hint: Any, value: Any) -> Any:
    """Return a JSON value as the Record that an annotation names, or as it is."""
    return hint.from_dict(value) if isinstance(hint, type) and issubclass(hint, Record) else value
