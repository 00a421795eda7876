"""Worker processes: plain interpreters, under a memory limit, that answer each line of JSON they are sent."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import IO, Any

from spectro.core import errors
from spectro.data.engines import Failed

NO_MEMORY = Failed("memory", "it takes more memory than a worker may have; cut it into shorter files, or leave it out")
CRASHED = Failed("crashed", "the process that worked on it died (no memory left, or a fault in a decoder)")
PROGRAM = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from MODULE import work; work()"
LEAST_MEMORY = 4 << 30
"""Bytes that every worker may take; its share of the machine's memory, if that is more."""
ENVIRONMENT = {
    **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"),  # one process, one core
    **dict.fromkeys(("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_"), "67108864"),  # otherwise glibc returns the
    # arrays of each segment to the system, and fetching fresh pages takes a tenth of the time
}

Process = subprocess.Popen[bytes]
Answer = Callable[[Any, IO[bytes]], object]
"""Writes the answer to one task."""


def start(module: str) -> Process:
    """Start a worker that calls the function `work` of a module, which is to call `answer_lines`."""
    return subprocess.Popen(
        (sys.executable, "-c", PROGRAM.replace("MODULE", module), json.dumps(sys.path)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, **ENVIRONMENT},
    )


def send(process: Process, values: object) -> None:
    """Send a worker one line; that it died is shown by reading its answer."""
    assert process.stdin
    with suppress(OSError):
        process.stdin.write(to_line(values))
        process.stdin.flush()


def to_line(values: object) -> bytes:
    """Return a JSON value as one line."""
    return json.dumps(values).encode() + b"\n"


def answer_lines(prepare: Callable[[Any], Answer]) -> None:
    """Be a worker: answer each line of standard input until the parent closes it, or is gone.

    Parameters
    ----------
    prepare
        Makes the function that answers from the first line, which also holds the worker's `memory` in bytes.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    out = os.fdopen(os.dup(1), "wb")
    hello = json.loads(sys.stdin.buffer.readline() or "null")
    if hello is None:
        return
    answer = prepare(hello)
    _limit_memory(hello["memory"])
    silence = os.open(os.devnull, os.O_WRONLY)  # decoders print on both outputs; errors travel among the answers
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    for line in sys.stdin.buffer:
        try:
            answer(json.loads(line), out)
            out.flush()
        except BrokenPipeError:  # the parent was killed
            os._exit(1)


def from_exception(error: Exception) -> dict[str, str]:
    """Return an error that is being handled as JSON values: one of ours as it is, another with its traceback."""
    if isinstance(error, errors.SpectroError):
        return {"raised": type(error).__name__, "message": str(error)}
    return {"raised": "RuntimeError", "message": traceback.format_exc()}


def to_exception(values: Mapping[str, str]) -> Exception:
    """Return the error that `from_exception` described."""
    kind: type[Exception] = getattr(errors, values["raised"], RuntimeError)
    return kind(values["message"])


def memory_for(count: int) -> int:
    """Return the bytes that each of `count` workers may take."""
    return max(LEAST_MEMORY, physical_memory() // count)


def physical_memory() -> int:
    """Return the memory of this machine in bytes, 0 where that is not known."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return 0


def _limit_memory(size: int) -> None:
    """Let this process take `size` bytes beyond what it holds, so that one absurd file cannot take them all.

    Only Linux keeps such a limit, and tells what a process holds.
    """
    if sys.platform != "linux":
        return
    import resource

    with open("/proc/self/statm", encoding="ascii") as file:
        most = int(file.read().split()[0]) * resource.getpagesize() + size
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    if most < min(limit for limit in (soft, hard, sys.maxsize) if limit != resource.RLIM_INFINITY):
        resource.setrlimit(resource.RLIMIT_AS, (most, hard))
