"""Answers on the disk: a line each, with a checksum, added as they come, found again by the name of the file."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from spectro.core.arrays import Floats
from spectro.core.files import digest_text
from spectro.core.records import Record
from spectro.core.tables import Failure
from spectro.data.storage import cannot_write
from spectro.inference.answers import Answer
from spectro.inference.reading import Ending

NUMBER = "<f8"
"""How probabilities are kept: as they are in memory, so that an answer comes back the same to the last bit."""


@dataclass(frozen=True, kw_only=True)
class Entry(Record):
    """A line: what became of one file."""

    file: str
    """Its path as it was given."""
    ending: Ending
    """What reading it gave, with its stamp."""
    starts: tuple[float, ...] = ()
    """Start of each segment, in seconds."""
    seconds: float = 0.0
    """Length of a segment, in seconds."""
    probs: str = ""
    """`[classes]`, as base64 of their bytes; empty where it could not be used."""
    segment_probs: str = ""
    """`[segments, classes]`, likewise."""
    novelty: float | None = None
    """How unusual the recording is, 0..1."""

    @classmethod
    def of(cls, name: str, outcome: Answer | Failure, ending: Ending) -> Entry:
        """Return the line of a file."""
        if isinstance(outcome, Failure):
            return cls(file=name, ending=ending)
        return cls(
            file=name,
            ending=ending,
            starts=outcome.starts,
            seconds=outcome.seconds,
            probs=_packed(outcome.probs),
            segment_probs=_packed(outcome.segment_probs),
            novelty=outcome.novelty,
        )

    @property
    def failed(self) -> bool:
        """Whether the file could not be used."""
        return bool(self.ending.reason)

    def outcome(self, labels: tuple[str, ...]) -> Answer | Failure:
        """Return the answer, or why there is none."""
        end = self.ending
        if self.failed:
            return Failure(path=self.file, reason=end.reason, seconds=end.seconds, message=end.message)
        return Answer(
            source=self.file,
            labels=labels,
            probs=_unpacked(self.probs),
            starts=self.starts,
            segment_probs=_unpacked(self.segment_probs).reshape(-1, len(labels)),
            seconds=self.seconds,
            duration=end.seconds,
            warnings=end.warnings,
            novelty=self.novelty,
        )


class AnswerJournal:
    """The lines of one file, of which only the places are in memory; of two lines about one file the last one counts.

    Parameters
    ----------
    path
        The file; a line at its end that was torn when the process died is cut off.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._places: dict[str, int] = {}
        end = 0
        if path.exists():
            with path.open("rb") as file:
                for line in file:
                    if (values := _checked(line)) is not None:
                        self._places[values["file"]] = end
                    elif not line.endswith(b"\n"):
                        break
                    end += len(line)
            if end < path.stat().st_size:
                os.truncate(path, end)

    def __getitem__(self, name: str) -> Entry:
        """Return the line about a file; raises KeyError where there is none."""
        [entry] = self.entries([name])
        return entry

    def __contains__(self, name: str) -> bool:
        return name in self._places

    def entries(self, names: Sequence[str]) -> Iterator[Entry]:
        """Yield the lines about some files, in that order, one in memory at a time."""
        with self.path.open("rb") as file:
            for name in names:
                file.seek(self._places[name])
                yield Entry.from_dict(_checked(file.readline()) or {})

    @contextmanager
    def adding(self) -> Iterator[_Adder]:
        """Open the journal to add lines; raises StorageError when the disk is full or failing."""
        try:
            file = self.path.open("ab")
        except OSError as error:
            raise cannot_write(self.path, error) from None
        with file:
            yield _Adder(self.path, file, self._places)


class _Adder:
    def __init__(self, path: Path, file: IO[bytes], places: dict[str, int]) -> None:
        self._path, self._file, self._places = path, file, places

    def add(self, entry: Entry) -> None:
        """Add a line, which is on the disk when this returns, whatever becomes of the process."""
        place = self._file.tell()
        text = json.dumps(entry.to_dict())
        try:
            self._file.write(f"{digest_text(text)} {text}\n".encode())
            self._file.flush()
        except OSError as error:
            raise cannot_write(self._path, error) from None
        self._places[entry.file] = place


def _checked(line: bytes) -> dict[str, Any] | None:
    """Return the values of a line; None where it is torn or damaged."""
    checksum, _, text = line.decode("ascii", "replace").removesuffix("\n").partition(" ")
    if not line.endswith(b"\n") or digest_text(text) != checksum:
        return None
    values: dict[str, Any] = json.loads(text)
    return values


def _packed(values: NDArray[Any]) -> str:
    return base64.b64encode(np.ascontiguousarray(values, NUMBER).tobytes()).decode()


def _unpacked(text: str) -> Floats:
    return np.frombuffer(base64.b64decode(text), NUMBER).astype(np.float64)
