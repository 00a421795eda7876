"""Run commands of spectro in forked children: with a time limit, with limits on memory, and killed where one likes."""

from __future__ import annotations

import faulthandler
import os
import pickle
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

PATIENCE = 60.0
"""Seconds after which a command counts as hung."""
MEMORY = 8 << 30
"""Bytes of address space that a command may take; a damaged number must not ask for more."""
Task = TypeVar("Task")
Value = TypeVar("Value")
Prepare = Callable[[], None]
at_end: list[Callable[[], object]] = []
"""What a child calls when its command has ended."""


@dataclass(frozen=True)
class Outcome:
    """How a command ended."""

    code: int | None
    """Exit code; negative after a signal, None when it hung."""
    out: str
    err: str

    @property
    def complaints(self) -> list[str]:
        """The lines that the command line printed for its user."""
        lines = self.err.replace("\r", "\n").splitlines()
        return [line for line in lines if line.startswith("spectro: ")]

    @property
    def crashed(self) -> bool:
        """Whether it ended with a traceback, or by a signal that nobody sent."""
        return self.code is not None and (self.code < 0 or self.code == 1 or "Traceback (most recent" in self.err)

    @property
    def last_complaint(self) -> str:
        """The last of these lines."""
        return self.complaints[-1] if self.complaints else ""

    @property
    def last(self) -> str:
        """The last line of what it printed for its user."""
        lines = self.err.replace("\r", "\n").strip().splitlines()
        return lines[-1].strip() if lines else ""


class Child:
    """A command that runs in a process of its own, and in a group of processes of its own."""

    def __init__(self, folder: Path, arguments: Sequence[str], prepare: Sequence[Prepare] = ()) -> None:
        (self._out, out), (self._err, err) = os.pipe(), os.pipe()  # not files: their size may be limited
        self._texts = {self._out: b"", self._err: b""}
        self._began = time.monotonic()
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if self.pid == 0:
            _command(folder, arguments, prepare, out, err)
        os.close(out)
        os.close(err)
        for file in self._texts:
            os.set_blocking(file, False)

    def kill(self) -> None:
        """Send SIGKILL to it and to the processes that it started."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)

    def wait(self, patience: float = PATIENCE) -> Outcome:
        """Return how it ended; it is killed when it takes longer than `patience` seconds."""
        status = None
        while status is None:
            pid, state = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                status = state
            elif time.monotonic() - self._began > patience:
                self.kill()
                os.waitpid(self.pid, 0)
                break
            else:
                time.sleep(0.002)
            self._read()
        code = None if status is None else os.waitstatus_to_exitcode(status)
        if code is not None and code < 0:
            self.kill()  # the workers of a process that died
        self._read()
        for file in self._texts:
            os.close(file)
        return Outcome(code, *(text.decode(errors="replace") for text in self._texts.values()))

    def _read(self) -> None:
        for file in self._texts:
            with suppress(BlockingIOError):
                while block := os.read(file, 1 << 16):
                    self._texts[file] += block


def run(folder: Path, arguments: Sequence[str], prepare: Sequence[Prepare] = (), patience: float = PATIENCE) -> Outcome:
    """Run a command in a folder; each `prepare` is called in the child before it."""
    return Child(folder, arguments, prepare).wait(patience)


def _command(folder: Path, arguments: Sequence[str], prepare: Sequence[Prepare], out: int, err: int) -> None:
    code = 1
    try:
        os.setpgid(0, 0)
        os.chdir(folder)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(out, 1)
        os.dup2(err, 2)
        sys.stdin, sys.stdout, sys.stderr = sys.__stdin__, sys.__stdout__, sys.__stderr__
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        sys.argv = ["spectro", *arguments]
        faulthandler.dump_traceback_later(0.9 * PATIENCE, file=2)  # where a command hangs that is killed for it
        for one in prepare:
            one()
        from spectro.cli import main

        try:
            main(arguments)
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except BaseException:
        traceback.print_exc()
    finally:
        with suppress(BaseException):
            for last in at_end:
                last()
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def events(folder: Path, act: Callable[[str, str], None]) -> Prepare:
    """Return a `prepare` that calls `act(event, path)` before each change or opening of a file below `folder`.

    The events are `read`, `write`, `rename`, `make` and `remove`; the path of a renaming is the new one.
    """
    root = os.path.abspath(folder) + os.sep

    def below(path: object) -> str | None:
        if isinstance(path, int) or path is None:
            return None
        absolute = os.path.abspath(os.fsdecode(path))  # type: ignore[arg-type]
        return absolute[len(root) :] if absolute.startswith(root) else None

    names = {"os.mkdir": "make", "os.remove": "remove", "os.rmdir": "remove", "os.truncate": "write"}

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, kind = below(arguments[0]), "write" if arguments[2] & (os.O_WRONLY | os.O_RDWR) else "read"
        elif event == "os.rename":
            path, kind = below(arguments[1]), "rename"
        elif event in names:
            path, kind = below(arguments[0]), names[event]
        else:
            return
        if path is not None:
            act(kind, path)

    return lambda: sys.addaudithook(hook)


def kill_at(folder: Path, number: int) -> Prepare:
    """Return a `prepare` that kills the process before the change number `number`, from 1, of a file below `folder`."""
    left = [number]

    def act(event: str, path: str) -> None:
        if event != "read" and not path.endswith((".lock", ".owner.json")):
            left[0] -= 1
            if left[0] == 0:
                os.killpg(0, signal.SIGKILL)

    return events(folder, act)


def record(folder: Path, file: Path) -> Prepare:
    """Return a `prepare` that appends each event below `folder` as a line `event path` to a file."""
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def act(event: str, path: str) -> None:
        os.write(descriptor, f"{event} {path}\n".encode())

    return events(folder, act)


def spread(function: Callable[[int, Task], Value], tasks: Sequence[Task], workers: int) -> list[Value]:
    """Return `function(worker, task)` of each task, spread over forked processes without threads."""
    if workers == 1:
        return [function(0, task) for task in tasks]
    files = [tempfile.TemporaryFile() for _ in range(workers)]  # noqa: SIM115  # open until all have written
    pids = []
    for worker in range(workers):
        sys.stdout.flush()
        pid = os.fork()
        if pid == 0:
            try:
                values = [(number, function(worker, tasks[number])) for number in range(worker, len(tasks), workers)]
                pickle.dump(values, files[worker])
                files[worker].flush()
                os._exit(0)
            except BaseException:
                traceback.print_exc()
                os._exit(1)
        pids.append(pid)
    if any(os.waitpid(pid, 0)[1] for pid in pids):
        raise SystemExit("a process of the harness itself died; its traceback is above")
    found: list[tuple[int, Value]] = []
    for file in files:
        file.seek(0)
        found += pickle.load(file)
    return [value for _, value in sorted(found, key=lambda pair: pair[0])]


def cores() -> int:
    """Return the number of processor cores this process may use."""
    return len(os.sched_getaffinity(0))
