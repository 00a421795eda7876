"""Jobs: one upload each on its way to an answer, kept for a while within a quota, in a folder nobody else can read."""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from spectro.core.config import RenderConfig
from spectro.core.files import process_runs
from spectro.serving.http.decode_process import DecodeProcess
from spectro.serving.http.problems import RETRY_SECONDS, Problem
from spectro.serving.http.served_run import ServedAnswer, ServedRun
from spectro.serving.http.settings import MEGABYTE, ServerConfig
from spectro.serving.http.upload_decoding import DecodedUpload

State = Literal["receiving", "waiting", "decoding", "predicting", "done", "failed", "stopped"]
ENDED: frozenset[State] = frozenset({"done", "failed", "stopped"})
MOST_JOBS = 5000
"""Jobs that are remembered, however small they are."""
PREFIX = "spectro-serve-"
ID_BYTES = 18
"""Random bytes of an id: who has not been given it cannot guess it."""


@dataclass(eq=False)
class Job:
    """One upload."""

    id: str
    number: int
    """Place in the order of arrival."""
    folder: Path
    run: ServedRun
    name: str
    """What the client calls the sound."""
    suffix: str
    """Ending of its file: one of an audio format, or empty."""
    overlap: float | None
    min_confidence: float
    state: State = "receiving"
    progress: float = 0.0
    """Share of the segments that were classified, 0..1."""
    size: int = 0
    """Bytes that it may take on the disk."""
    began_at: float = field(default_factory=time.monotonic)
    """Monotonic time of its request."""
    ended_at: float = 0.0
    """Monotonic time at which it ended."""
    decoded: DecodedUpload | None = None
    display: int = 0
    """Which of the decoded inputs is shown."""
    shown_config: RenderConfig = field(default_factory=RenderConfig)
    """How that one was drawn."""
    answer: ServedAnswer | None = None
    problem: Problem | None = None
    process: DecodeProcess | None = None
    """What is decoding it."""
    forgotten: bool = False
    """Whether its folder is removed as soon as nobody works in it."""
    stopped: threading.Event = field(default_factory=threading.Event)
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def sound(self) -> Path:
        """Where the upload is."""
        return self.folder / f"sound{self.suffix}"


class JobStore:
    """All jobs, and the folder with their sounds; used by the event loop only.

    Parameters
    ----------
    config
        How much is kept, and for how long.
    """

    def __init__(self, config: ServerConfig) -> None:
        remove_abandoned()
        self.folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-"))  # mode 0700
        self._config = config
        self.on_end: Callable[[Job], object] = lambda job: None
        """Called with each job that has ended."""
        self._jobs: dict[str, Job] = {}
        self._count = 0

    def __iter__(self) -> Iterator[Job]:
        return iter(self._jobs.values())

    @property
    def active(self) -> int:
        """Number of jobs under way."""
        return sum(job.state not in ENDED for job in self)

    @property
    def size(self) -> int:
        """Bytes that all jobs take, or may take."""
        return sum(job.size for job in self)

    def get(self, id: str) -> Job:
        """Return a job; raises Problem 404 where there is none of that id."""
        job = self._jobs.get(id)
        if job is None or job.forgotten:
            kept = f"sounds and answers are kept for {self._config.keep_minutes:g} minutes"
            raise Problem(404, "no-such-job", f"There is no such job ({kept}); send the file again.")
        return job

    def admit(self, run: ServedRun, name: str, suffix: str, *, size: int, **settings: Any) -> Job:
        """Make a job for an upload that is about to come.

        Parameters
        ----------
        run
            What is to classify it.
        name
            What the client calls it.
        suffix
            Ending of its file.
        size
            Its bytes; 0 where the client did not tell.
        settings
            `overlap` and `min_confidence`.

        Raises
        ------
        Problem
            503 where the queue is full, 429 where the disk space of jobs is.
        """
        if self.active >= self._config.queue:
            detail = f"{self._config.queue} files are being worked on; send this one again in {RETRY_SECONDS} s."
            raise Problem(503, "busy", detail, retry=RETRY_SECONDS)
        self._make_room(size)
        self._count += 1
        id = secrets.token_urlsafe(ID_BYTES)
        job = Job(id, self._count, self.folder / id, run, name, suffix, **settings)
        job.size = size
        job.folder.mkdir(mode=0o700)
        self._jobs[id] = job
        return job

    def grow(self, job: Job, size: int) -> None:
        """Let a job take `size` bytes; raises Problem 429 where there is no room for them."""
        if size > job.size:
            self._make_room(size - job.size)
            job.size = size

    def ahead(self, job: Job) -> int:
        """Return how many jobs come before it."""
        return sum(other.state not in ENDED and other.number < job.number for other in self)

    def forget(self, job: Job) -> None:
        """Stop a job and remove everything of it, as soon as nobody works on it any more."""
        job.forgotten = True
        job.stopped.set()
        if job.state in ENDED or job.state in ("receiving", "waiting"):
            self._remove(job)

    def end(self, job: Job, state: State, problem: Problem | None = None) -> None:
        """Note that a job has ended, and remove it if it was to be forgotten."""
        job.state, job.problem, job.ended_at = state, problem, time.monotonic()
        if state != "done":
            shutil.rmtree(job.folder, ignore_errors=True)
            job.size = 0
        elif job.folder.is_dir():
            job.size = sum(entry.stat().st_size for entry in os.scandir(job.folder))
        job.ended.set()
        self.on_end(job)
        if job.forgotten:
            self._remove(job)

    def expire(self) -> None:
        """Forget the jobs that ended too long ago, and the oldest where there are too many."""
        latest = time.monotonic() - 60 * self._config.keep_minutes
        ended = [job for job in self if job.state in ENDED]
        for number, job in enumerate(ended):
            if job.ended_at < latest or number < len(ended) - MOST_JOBS:
                self.forget(job)

    def close(self) -> None:
        """Remove everything."""
        for job in self:
            job.stopped.set()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _make_room(self, size: int) -> None:
        """Forget finished jobs, the oldest first, until `size` more bytes fit."""
        most = int(self._config.keep_megabytes * MEGABYTE)
        finished = [job for job in self if job.state in ENDED and job.size]
        while self.size + size > most:
            if not finished:
                detail = f"The sounds that are being worked on take {self._config.keep_megabytes:g} MB; wait for them."
                raise Problem(429, "no-room", detail, retry=RETRY_SECONDS)
            self.forget(finished.pop(0))

    def _remove(self, job: Job) -> None:
        if self._jobs.pop(job.id, None) is not None:
            shutil.rmtree(job.folder, ignore_errors=True)
            if job.state not in ENDED:
                job.state = "stopped"
            job.ended.set()


def remove_abandoned() -> None:
    """Remove the folders of servers of this user that were killed."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        number = folder.name.removeprefix(PREFIX).partition("-")[0]
        own = not hasattr(os, "getuid") or folder.lstat().st_uid == os.getuid()
        if own and number.isdigit() and not folder.is_symlink() and not process_runs(int(number)):
            shutil.rmtree(folder, ignore_errors=True)
