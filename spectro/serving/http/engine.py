"""The work behind the API: processes that decode, one thread that asks the models, and nothing kept of what ended."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Mapping
from queue import Queue, SimpleQueue

from spectro.core.errors import SpectroError
from spectro.data.engines import Failed
from spectro.inference.reading import display_of, input_to_json
from spectro.serving.http.decode_process import DecodeProcess
from spectro.serving.http.jobs import Job, JobStore, State
from spectro.serving.http.problems import Problem
from spectro.serving.http.served_run import ServedRun, Stopped
from spectro.serving.http.settings import ServerConfig
from spectro.serving.http.upload_decoding import DecodeLimits, DecodeTask, input_path

BROKEN = "The server failed on this file; its log has the error. The other files go on."
log = logging.getLogger(__name__)


class Engine:
    """Threads that take jobs to their answers.

    Parameters
    ----------
    config
        Limits.
    runs
        What is served, by name.
    store
        Keeps the jobs.
    """

    def __init__(self, config: ServerConfig, runs: Mapping[str, ServedRun], store: JobStore) -> None:
        self._runs, self._store = runs, store
        limits = DecodeLimits(seconds=60 * config.max_minutes)
        self.decoders = [DecodeProcess(limits, config.decode_seconds) for _ in range(config.decoders)]
        self._undecoded: SimpleQueue[Job | None] = SimpleQueue()
        self._decoded: Queue[Job | None] = Queue(maxsize=1)  # decoded sounds are large: no more of them than needed
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self.ready = False
        """Whether all models are loaded and have answered once."""

    def start(self, *, on_ready: Callable[[], object], on_failure: Callable[[SpectroError], object]) -> None:
        """Start the threads; called in the event loop, as are the functions that it is given.

        Parameters
        ----------
        on_ready
            Called once all models have answered.
        on_failure
            Called where a run cannot be loaded.
        """
        self._loop = asyncio.get_running_loop()

        def predict_all() -> None:
            try:
                for run in self._runs.values():
                    run.load()
            except SpectroError as error:
                return self._call(on_failure, error)
            self.ready = True
            self._call(on_ready)
            return self._predict_all()

        for decoder in self.decoders:
            decoder.start()
        self._threads = [threading.Thread(target=self._decode_all, args=(one,), daemon=True) for one in self.decoders]
        self._threads.append(threading.Thread(target=predict_all, daemon=True))
        for thread in self._threads:
            thread.start()

    def submit(self, job: Job) -> None:
        """Let a received upload be worked on."""
        job.state = "waiting"
        self._undecoded.put(job)

    def stop(self, job: Job) -> None:
        """End the work on a job, and forget it."""
        self._store.forget(job)
        with self._lock:
            if job.process is not None:
                job.process.stop()

    def close(self) -> None:
        """End all threads and processes; jobs that are still under way are given up."""
        for job in list(self._store):
            job.stopped.set()
        for decoder in self.decoders:
            decoder.close()
            self._undecoded.put(None)
        self._decoded.put(None)
        for thread in self._threads:
            thread.join(timeout=5)

    def _decode_all(self, decoder: DecodeProcess) -> None:
        while (job := self._undecoded.get()) is not None:
            try:
                self._decode(job, decoder)
            except Exception:
                log.exception("decoding failed")
                self._end(job, "failed", Problem(500, "internal", BROKEN))

    def _decode(self, job: Job, decoder: DecodeProcess) -> None:
        if job.stopped.is_set():
            return self._end(job, "stopped")
        job.state = "decoding"
        inputs = list(job.run.inputs(job.overlap))
        display = display_of(inputs)
        if display not in inputs:
            inputs.append(display)
        job.display, job.shown_config = inputs.index(display), display
        task = DecodeTask(path=str(job.sound), name=job.name, inputs=tuple(map(input_to_json, inputs)))
        with self._lock:
            job.process = decoder
        outcome = decoder.decode(task, job.stopped)
        with self._lock:
            job.process = None
        if job.stopped.is_set():
            return self._end(job, "stopped")
        if isinstance(outcome, Failed):
            return self._end(job, "failed", Problem.of(outcome))
        job.decoded = outcome.value
        return self._decoded.put(job)

    def _predict_all(self) -> None:
        while (job := self._decoded.get()) is not None:
            try:
                self._predict(job)
            except Stopped:
                self._end(job, "stopped")
            except SpectroError as error:
                self._end(job, "failed", Problem(422, "model", str(error)))
            except Exception:
                log.exception("predicting failed")
                self._end(job, "failed", Problem(500, "internal", BROKEN))

    def _predict(self, job: Job) -> None:
        assert job.decoded is not None
        job.state = "predicting"

        def on_progress(share: float) -> None:
            job.progress = share

        job.answer = job.run.answer(
            job.name, job.folder, job.decoded, overlap=job.overlap, on_progress=on_progress, stopped=job.stopped
        )
        kept = {job.display, *(network.input for network in job.run.explainable(job.overlap).values())}
        for number in range(len(job.decoded.inputs)):
            if number not in kept:
                input_path(job.folder, number).unlink(missing_ok=True)
        self._end(job, "done")

    def _end(self, job: Job, state: State, problem: Problem | None = None) -> None:
        self._call(self._store.end, job, state, problem)

    def _call(self, function: Callable[..., object], *values: object) -> None:
        """Call a function in the event loop, which may be gone."""
        assert self._loop is not None
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(function, *values)
