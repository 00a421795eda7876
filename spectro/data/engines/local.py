"""Work spread over processes: plain interpreters that are handed tasks as lines of JSON and die with their parent."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from queue import SimpleQueue
from typing import Any

from spectro.audio import NO_TORCH
from spectro.core import errors

Task = Mapping[str, Any]
Result = dict[str, Any]
Work = Callable[[Mapping[str, Any], Task], Result]

WORKER = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from spectro.data.engines.local import work; work()"
ENVIRONMENT = {
    **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"),  # one process, one core
    **dict.fromkeys(("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_"), "67108864"),  # else glibc hands the arrays
    # of each segment back to the system, and fetching fresh pages takes a tenth of the time
    NO_TORCH: "1",  # it takes a second to come, and workers have no use for it
}


def cores() -> int:
    """Return the number of processor cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def run(
    function: Work, shared: Mapping[str, Any], tasks: Sequence[Task], *, workers: int = 0
) -> Iterator[tuple[Task, Result | None]]:
    """Yield each task with `function(shared, task)`, as they are finished.

    Workers are fresh interpreters, not forks, and do not import the caller's script: this is safe beside threads and
    from notebooks, works the same on Windows, and needs no `if __name__ == "__main__"`.

    Parameters
    ----------
    function
        A function of a module, by which the workers find it; `shared`, tasks and results are JSON values.
    workers
        Number of processes; 0 for one per core, 1 to work in this one.

    Yields
    ------
    task, result
        The result is None where the task killed its worker (a crash in a decoder, no memory left).

    Raises
    ------
    SpectroError
        `function` raised one.
    RuntimeError
        `function` raised anything else; its traceback is in the message.
    """
    count = min(workers or cores(), len(tasks))
    if count <= 1:
        for task in tasks:
            yield task, function(shared, task)
        return
    hello = json.dumps({"module": function.__module__, "function": function.__name__, "shared": shared})
    waiting = iter(tasks)
    lock = threading.Lock()
    done: SimpleQueue[tuple[Task, Any] | None] = SimpleQueue()
    processes: set[subprocess.Popen[str]] = set()
    stopping = threading.Event()

    def feed() -> None:
        """Hand tasks to one worker, and start another when it dies."""
        process = _start(hello, processes, lock)
        while not stopping.is_set():
            with lock:
                task = next(waiting, None)
            if task is None:
                break
            answer = _ask(process, task)
            if answer is None and not stopping.is_set():
                process.kill()
                process = _start(hello, processes, lock)
            done.put((task, answer))
        done.put(None)

    feeders = [threading.Thread(target=feed, daemon=True) for _ in range(count)]
    try:
        for feeder in feeders:
            feeder.start()
        while count:
            finished = done.get()
            if finished is None:
                count -= 1
                continue
            task, answer = finished
            if answer is not None and "raised" in answer:
                _raise(answer)
            yield task, None if answer is None else answer["result"]
    finally:
        stopping.set()
        with lock:
            for process in processes:
                process.kill()
        for feeder in feeders:
            feeder.join()
        for process in processes:
            process.communicate()


def show_progress(
    items: Iterator[tuple[Task, Result | None]], total: int, title: str, progress: bool
) -> Iterator[tuple[Task, Result | None]]:
    """Pass on what `run` yields, drawing a progress bar on standard error if asked to and if there is work."""
    if not (progress and total):
        return items
    from rich.console import Console
    from rich.progress import track

    return iter(track(items, description=title, total=total, console=Console(stderr=True)))


def _start(hello: str, processes: set[subprocess.Popen[str]], lock: threading.Lock) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        (sys.executable, "-c", WORKER, json.dumps(sys.path)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        encoding="utf-8",
        env={**os.environ, **ENVIRONMENT},
    )
    with lock:
        processes.add(process)
    _send(process, hello)
    return process


def _send(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdin
    try:
        process.stdin.write(line + "\n")
        process.stdin.flush()
    except OSError:  # it died: reading the answer will tell
        pass


def _ask(process: subprocess.Popen[str], task: Task) -> dict[str, Any] | None:
    assert process.stdout
    _send(process, json.dumps(task))
    line = process.stdout.readline()
    return json.loads(line) if line.endswith("\n") else None


def _raise(answer: Mapping[str, Any]) -> None:
    kind = getattr(errors, answer["raised"], RuntimeError)
    if kind is errors.AudioError:
        raise errors.AudioError(answer["reason"], answer["message"])
    raise kind(answer["message"])


def work() -> None:
    """Be a worker: answer each line of standard input on standard output until the parent closes it, or is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    sys.stdin.reconfigure(encoding="utf-8")  # type: ignore[union-attr]
    hello = json.loads(sys.stdin.readline() or "null")
    if hello is None:
        return
    function: Work = getattr(import_module(hello["module"]), hello["function"])
    silence = os.open(os.devnull, os.O_WRONLY)  # decoders chatter on both outputs; errors travel among the answers
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    for line in sys.stdin:
        try:
            answers.write(json.dumps(_answer(function, hello["shared"], json.loads(line))) + "\n")
            answers.flush()
        except BrokenPipeError:  # the parent was killed
            os._exit(1)


def _answer(function: Work, shared: Mapping[str, Any], task: Task) -> dict[str, Any]:
    try:
        return {"result": function(shared, task)}
    except errors.SpectroError as error:
        return {"raised": type(error).__name__, "message": str(error), "reason": getattr(error, "reason", "")}
    except Exception:
        return {"raised": "RuntimeError", "message": traceback.format_exc()}
