"""What can be classified: files, folders, open files and arrays, each turned into a file that the decoder reads."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import soundfile
from numpy.typing import NDArray

from spectro.audio.decode import SUFFIXES
from spectro.core.errors import DataError

Source = Path | str | BinaryIO | tuple[NDArray[Any], int]
"""A path, a file open in binary mode, or `(samples, sample rate in Hz)` with samples `[n]` or `[n, channels]`."""

MPEG_SYNC = 0xE0
"""Bits that the second byte of an MPEG frame has set."""


def find_audio_files(paths: Iterable[Path | str] | Path | str) -> list[Path]:
    """Return the files among `paths` and the audio files in the folders among them, each once.

    Raises
    ------
    DataError
        no file was given, or a folder has no audio files.
    """
    files: dict[Path, None] = {}
    for path in map(Path, [paths] if isinstance(paths, str | Path) else paths):
        inside = [path]
        if path.is_dir():
            inside = sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file())
            if not inside:
                raise DataError(f"{path} has no audio files")
        files |= dict.fromkeys(inside)
    if not files:
        raise DataError("no audio file was given")
    return list(files)


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
    """Copy an open file into a folder; its suffix tells the decoder an MP3, whose length it must count."""
    head = source.read(3)
    if not isinstance(head, bytes):
        raise DataError(f"{name} is open in text mode; open it with open(path, 'rb')")
    mpeg = head == b"ID3" or (head[:1] == b"\xff" and head[1:2] >= bytes([MPEG_SYNC]))
    path = folder / ("sound.mp3" if mpeg or name.lower().endswith(".mp3") else "sound")
    with path.open("wb") as file:
        file.write(head)
        shutil.copyfileobj(source, file)
    return path
