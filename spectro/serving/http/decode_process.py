"""A process that decodes uploads one after another: killed when it takes too long, replaced when it dies."""

from __future__ import annotations

import json
import threading
from contextlib import suppress

from spectro.data.engines import Done, Failed
from spectro.data.engines.local import start_worker
from spectro.data.worker import CRASHED, LEAST_MEMORY, NO_MEMORY, Process, send
from spectro.serving.http.upload_decoding import DecodedUpload, DecodeLimits, DecodeTask, decode_upload

STOPPED = Failed("stopped", "the job was stopped")


class DecodeProcess:
    """One worker process of its own, which holds no models and whose death costs one job.

    Parameters
    ----------
    limits
        What every sound must keep to.
    seconds
        Time that one file may take.
    """

    def __init__(self, limits: DecodeLimits, seconds: float) -> None:
        self._hello = {
            "module": decode_upload.__module__,
            "function": decode_upload.__name__,
            "shared": limits.to_dict(),
            "memory": LEAST_MEMORY,
        }
        self._seconds = seconds
        self._lock = threading.Lock()
        self._process: Process | None = None
        self._closed = False

    @property
    def pid(self) -> int:
        """Number of the process; 0 where it is gone."""
        return self._process.pid if self._process else 0

    def decode(self, task: DecodeTask, stopped: threading.Event) -> Done[DecodedUpload] | Failed:
        """Decode one file.

        Parameters
        ----------
        task
            The file, and what to compute of it.
        stopped
            Set when nobody wants the answer any more; `stop` is called then too.

        Returns
        -------
        Done or Failed
            `crashed` where the process died of it, `timeout` where it took too long, `stopped`, or one of AudioError's
            reasons.
        """
        process = self._start()
        if process is None or stopped.is_set():
            return STOPPED
        late = threading.Event()

        def end() -> None:
            late.set()
            process.kill()

        timer = threading.Timer(self._seconds, end)
        timer.start()
        line = self._ask(process, task)
        timer.cancel()
        if not line.endswith(b"\n"):
            process.kill()
            self._forget()
            if stopped.is_set() or self._closed:
                return STOPPED
            limit = f"decoding it took longer than {self._seconds:g} s; cut it, or export it again as FLAC"
            return Failed("timeout", f"{task.name}: {limit}") if late.is_set() else _named(CRASHED, task)
        answer = json.loads(line)
        if "reason" in answer:
            failed = Failed(answer["reason"], answer["message"])
            return _named(failed, task) if failed == NO_MEMORY else failed
        if "raised" in answer:
            raise RuntimeError(answer["message"])
        return Done(DecodedUpload.from_dict(answer["value"]))

    def start(self) -> None:
        """Start the process, so that the first task does not wait for it."""
        self._start()

    def stop(self) -> None:
        """End the process in the middle of its work; the next task starts another."""
        process = self._process
        if process is not None:
            process.kill()

    def close(self) -> None:
        """End the process for good."""
        self._closed = True
        self.stop()
        self._forget()

    def _start(self) -> Process | None:
        """Return the process, a new one where there is none; None when closed."""
        with self._lock:
            if self._process is not None and self._process.poll() is not None:
                self._reap()
            if self._process is None and not self._closed:
                self._process = start_worker()
                send(self._process, self._hello)
            return self._process

    def _forget(self) -> None:
        with self._lock:
            self._reap()

    def _reap(self) -> None:
        if self._process is not None:
            process, self._process = self._process, None
            with suppress(OSError):
                process.communicate()

    @staticmethod
    def _ask(process: Process, task: DecodeTask) -> bytes:
        assert process.stdout
        send(process, task.to_dict())
        try:
            return process.stdout.readline()
        except (OSError, ValueError):
            return b""


def _named(failed: Failed, task: DecodeTask) -> Failed:
    return Failed(failed.reason, f"{task.name}: {failed.message}")
