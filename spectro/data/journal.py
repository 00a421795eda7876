"""A journal: a table that is added to while clips are worked on, whose lines have checksums that show a torn one."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from spectro.core.files import digest_text, write_csv
from spectro.data.storage import cannot_write

CHECKSUM = "line"
"""The last column, which every journal has."""


def read_journal(path: Path, columns: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return the lines of a journal by their first value; one that is torn or damaged is left out, to be made again.

    Parameters
    ----------
    path
        The journal.
    columns
        Its columns, without the checksum.

    Returns
    -------
    dict
        The other values of each line; empty where the file is missing or another one.
    """
    try:
        data = path.read_bytes()
        text = data[: data.rfind(b"\n") + 1].decode("utf-8")  # a killed run may have left half a line at its end
        header, *lines = list(csv.reader(io.StringIO(text, newline="")))
    except (OSError, ValueError, csv.Error):
        return {}
    if header != [*columns, CHECKSUM]:
        return {}
    whole = (line for line in lines if len(line) == len(header) and line[-1] == digest_text(*line[:-1]))
    return {line[0]: tuple(line[1:-1]) for line in whole}


def write_journal(path: Path, columns: Sequence[str], lines: Mapping[str, Sequence[str]]) -> None:
    """Write a journal whole, in an order that does not depend on the workers.

    Parameters
    ----------
    path
        The journal.
    columns
        Its columns, without the checksum.
    lines
        The other values of each line by its first one.
    """
    write_csv(path, (*columns, CHECKSUM), (_line(key, values) for key, values in sorted(lines.items())))


class Appender:
    """A journal, open while clips are worked on: a line is on the disk as soon as its clip is done."""

    def __init__(self, path: Path, file: IO[str]) -> None:
        self._path, self._file = path, file
        self._writer = csv.writer(file, lineterminator="\n")

    def add(self, key: str, values: Sequence[str]) -> None:
        """Add a line; raises StorageError when the disk is full or failing."""
        try:
            self._writer.writerow(_line(key, values))
            self._file.flush()
        except OSError as error:
            raise cannot_write(self._path, error) from None


@contextmanager
def appending(path: Path) -> Iterator[Appender]:
    """Open a journal to add lines.

    Parameters
    ----------
    path
        The journal, which `write_journal` has begun.
    """
    try:
        file = path.open("a", encoding="utf-8", newline="")
    except OSError as error:
        raise cannot_write(path, error) from None
    try:
        yield Appender(path, file)
    finally:
        try:
            file.close()
        except OSError as error:  # what could not be written is still in its buffer
            raise cannot_write(path, error) from None


def _line(key: str, values: Sequence[str]) -> tuple[str, ...]:
    return key, *values, digest_text(key, *values)
