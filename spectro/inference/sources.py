"""What can be classified: files, folders, open files and arrays, each turned into a file that the decoder reads."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import soundfile
from numpy.typing import NDArray

from spectro.audio.decode import SUFFIXES
from spectro.core.errors import DataError
from spectro.data.audio_files import Reason, Skipped, as_skipped, describe_skipped, list_audio

Source = Path | str | BinaryIO | tuple[NDArray[Any], int]
"""A path, a file open in binary mode, or `(samples, sample rate in Hz)` with samples `[n]` or `[n, channels]`."""


def read_lists(paths: Iterable[Path | str]) -> list[Path]:
    """Put the lists among `paths` in place of their names: `@list.txt` is a file of paths, `-` standard input.

    A list has one path a line, or paths that end in NUL bytes, as `find -print0` writes them; relative ones begin where
    the command runs. A file whose own name begins with @ is given as `./@name`.

    Raises
    ------
    DataError
        a list cannot be read.
    """
    files: list[Path] = []
    for path in paths:
        name = str(path)
        if name == "-":
            files += _listed(sys.stdin.buffer.read())
        elif name.startswith("@"):
            try:
                files += _listed(Path(name[1:]).read_bytes())
            except OSError as error:
                raise DataError(
                    f"the list of files {name[1:]} cannot be read ({error.strerror}); a file that is called {name} is "
                    f"given as ./{name}"
                ) from None
        else:
            files.append(Path(path))
    return files


def _listed(content: bytes) -> list[Path]:
    lines = content.split(b"\0") if b"\0" in content else content.removeprefix(b"\xef\xbb\xbf").splitlines()
    return [Path(os.fsdecode(line)) for line in lines if line.strip()]


def find_audio_files(paths: Iterable[Path | str] | Path | str) -> tuple[list[Path], tuple[Skipped, ...]]:
    """List the files among `paths`, whatever their suffix, and the audio files in the folders among them.

    Returns
    -------
    files, skipped
        Each file once, in the order given, and those of a folder by name; and what the folders hold beside them.

    Raises
    ------
    DataError
        no file was given, or a folder has no audio files.
    """
    files: dict[Path, None] = {}
    others: Counter[tuple[Reason, str]] = Counter()
    for path in map(Path, [paths] if isinstance(paths, str | Path) else paths):
        if not path.is_dir():
            files[path] = None
            continue
        inside = list_audio(path)
        if not inside.names:
            left_out = describe_skipped(inside.skipped()) or "it is empty"
            raise DataError(f"{path} has no audio files at any depth ({left_out})")
        files |= dict.fromkeys(path / name for name in inside.names)
        others += inside.others
    if not files:
        raise DataError("no audio file was given")
    return list(files), as_skipped(others)


def name_of(source: Source, number: int) -> str:
    """Return the path of a source, the name of an open file, or `sound 3` for the third source if it has none."""
    if isinstance(source, str | Path):
        return str(source)
    name = getattr(source, "name", None)
    return name if isinstance(name, str) and name else f"sound {number}"


@contextmanager
def as_file(source: Source, name: str) -> Iterator[Path]:
    """Give the path of a source; an open file or an array is written to a temporary file for as long as it is read.

    So all sources pass the same decoder and the same checks, whose MP3 and Ogg parts look into the file themselves.

    Parameters
    ----------
    source
        What to read. An open file is read from where it stands to its end, and left open.
    name
        What messages call it.

    Raises
    ------
    DataError
        the source is none of the kinds that can be read.
    """
    if isinstance(source, str | Path):
        yield Path(source)
        return
    with tempfile.TemporaryDirectory(prefix="spectro-") as folder:
        if isinstance(source, tuple):
            path = Path(folder, "samples.w64")  # 64-bit sizes: no limit of 4 GB
            samples, sample_rate = _checked(source, name)
            soundfile.write(path, samples, sample_rate, subtype="DOUBLE" if samples.dtype == np.float64 else "FLOAT")
        elif hasattr(source, "read"):
            path = _copied(source, Path(folder), name)
        else:
            kind = type(source).__name__
            raise DataError(f"{name} is a {kind}, but must be a path, an open file, or (samples, sample_rate)")
        yield path


def _checked(source: tuple[NDArray[Any], int], name: str) -> tuple[NDArray[Any], int]:
    if len(source) != 2:
        raise DataError(f"{name} is a tuple of {len(source)}, but must be (samples, sample_rate)")
    samples, sample_rate = np.asarray(source[0]), round(source[1])
    if samples.dtype.kind != "f":
        hint = "; divide 16-bit samples by 32768" if samples.dtype == np.int16 else ""
        raise DataError(f"{name} has samples of type {samples.dtype}, but must have floats in -1..1{hint}")
    if samples.ndim not in (1, 2) or (samples.ndim == 2 and samples.shape[1] > max(samples.shape[0], 1)):
        hint = "; transpose it" if samples.ndim == 2 else ""
        raise DataError(f"{name} has samples of shape {samples.shape}, but must have [n] or [n, channels]{hint}")
    if sample_rate < 1:
        raise DataError(f"{name} has a sample rate of {source[1]}, but must have a positive one, in Hz")
    return samples if samples.itemsize >= 4 else samples.astype(np.float32), sample_rate


def _copied(source: BinaryIO, folder: Path, name: str) -> Path:
    """Copy an open file into a folder; the suffix is kept, for it helps where an MP3 begins with other bytes."""
    head = source.read(1)
    if not isinstance(head, bytes):
        raise DataError(f"{name} is open in text mode; open it with open(path, 'rb')")
    suffix = Path(name).suffix.lower()
    path = folder / f"sound{suffix if suffix in SUFFIXES else ''}"
    with path.open("wb") as file:
        file.write(head)
        shutil.copyfileobj(source, file)
    return path
