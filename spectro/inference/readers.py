"""Worker processes that read recordings ahead of the model: they send segments as bytes and wait when it is behind."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from typing import IO, Any

import numpy as np

from spectro.data import worker
from spectro.inference.reading import Ending, Input, Piece, input_from_json, input_to_json, read_recording

AHEAD = 128
"""Segments, and recordings, that all workers together may be ahead of the model."""

Frame = Piece | Ending | BaseException


@dataclass(eq=False)
class Reading:
    """A recording that a worker reads, or will."""

    path: Path
    name: str
    frames: SimpleQueue[tuple[Frame, threading.Semaphore]] = field(default_factory=SimpleQueue)
    """What the worker has sent; each frame returns its slot when it is taken."""

    def __iter__(self) -> Iterator[Piece | Ending]:
        """Yield its segments and, last, what became of it."""
        while True:
            frame, slots = self.frames.get()
            slots.release()
            if isinstance(frame, BaseException):
                raise frame
            yield frame
            if isinstance(frame, Ending):
                return


class Readers:
    """Worker processes, each with a thread that hands it recordings, takes what it sends and replaces it when it dies.

    Each worker may be only so many segments ahead, counted for itself: so the recording whose turn it is can always go
    on, however many later ones are waiting.

    Parameters
    ----------
    inputs
        What the models are fed.
    count
        Number of processes.
    stamped
        Note size and checksum of each file.
    """

    def __init__(self, inputs: Sequence[Input], count: int, *, stamped: bool) -> None:
        hello = {
            "inputs": [input_to_json(settings) for settings in inputs],
            "stamped": stamped,
            "memory": worker.memory_for(count),
        }
        self._hello = hello
        self._slots = 1 + AHEAD // count
        self._waiting: SimpleQueue[Reading | None] = SimpleQueue()
        self._processes: set[worker.Process] = set()
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._all_slots = [threading.Semaphore(self._slots) for _ in range(count)]
        self._feeders = [threading.Thread(target=self._feed, args=(slots,), daemon=True) for slots in self._all_slots]
        for feeder in self._feeders:
            feeder.start()

    def read(self, path: Path, name: str) -> Reading:
        """Let a worker read a file as soon as one is free."""
        reading = Reading(path, name)
        self._waiting.put(reading)
        return reading

    def stop(self) -> None:
        """End all workers and wait until they are gone."""
        self._stopping.set()
        with self._lock:
            for process in self._processes:
                process.kill()
        for slots in self._all_slots:
            self._waiting.put(None)
            slots.release(self._slots)  # a thread that waits for the model goes on, and ends
        for feeder in self._feeders:
            feeder.join()
        for process in self._processes:
            process.communicate()

    def _feed(self, slots: threading.Semaphore) -> None:
        process: worker.Process | None = None
        while (reading := self._waiting.get()) is not None and not self._stopping.is_set():
            try:
                process = process or self._start()
                if not self._take(process, reading, slots):
                    process.kill()
                    process = None
            except BaseException as error:  # passed on to the one who waits, whatever it is
                reading.frames.put((error, slots))

    def _take(self, process: worker.Process, reading: Reading, slots: threading.Semaphore) -> bool:
        """Pass on what a worker sends about one recording; return False where that killed it."""
        assert process.stdout
        worker.send(process, {"path": str(reading.path), "name": reading.name})
        while True:
            frame = _receive(process.stdout)
            slots.acquire()
            if self._stopping.is_set():
                return True
            if frame is None:
                message = f"{reading.name}: {worker.CRASHED.message}"
                reading.frames.put((Ending(seconds=0.0, reason=worker.CRASHED.reason, message=message), slots))
                return False
            reading.frames.put((frame, slots))
            if not isinstance(frame, Piece):
                return True

    def _start(self) -> worker.Process:
        with self._lock:  # so that none starts that `stop` does not know
            process = worker.start(__name__)
            self._processes.add(process)
        worker.send(process, self._hello)
        return process


def work() -> None:
    """Be a worker: read the file that each line names and send its segments."""
    worker.answer_lines(_prepare)


def _prepare(hello: Mapping[str, Any]) -> worker.Answer:
    inputs = [input_from_json(values) for values in hello["inputs"]]
    return lambda task, out: _answer(task, inputs, hello["stamped"], out)


def _answer(task: Mapping[str, str], inputs: Sequence[Input], stamped: bool, out: IO[bytes]) -> None:
    try:
        for frame in read_recording(Path(task["path"]), task["name"], inputs, stamped=stamped):
            _send(frame, out)
    except BrokenPipeError:
        raise
    except MemoryError:
        message = f"{task['name']}: {worker.NO_MEMORY.message}"
        _send(Ending(seconds=0.0, reason=worker.NO_MEMORY.reason, message=message), out)
    except Exception as error:
        out.write(worker.to_line(worker.from_exception(error)))


def _send(frame: Piece | Ending, out: IO[bytes]) -> None:
    if isinstance(frame, Ending):
        out.write(worker.to_line({"ending": frame.to_dict()}))
        return
    array = np.ascontiguousarray(frame.array)
    head = {"number": frame.number, "start": frame.start, "seconds": frame.seconds}
    out.write(worker.to_line({**head, "type": array.dtype.str, "shape": array.shape}))
    out.write(array.data)


def _receive(source: IO[bytes]) -> Frame | None:
    """Return the next frame; None where the worker is gone."""
    line = source.readline()
    if not line.endswith(b"\n"):
        return None
    head = json.loads(line)
    if "ending" in head:
        return Ending.from_dict(head["ending"])
    if "raised" in head:
        return worker.to_exception(head)
    shape, kind_of_number = tuple(head["shape"]), np.dtype(head["type"])
    size = int(np.prod(shape)) * kind_of_number.itemsize
    content = source.read(size)
    if len(content) < size:
        return None
    array = np.frombuffer(content, kind_of_number).reshape(shape)
    return Piece(number=head["number"], start=head["start"], seconds=head["seconds"], array=array)
