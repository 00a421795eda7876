"""Arrays in an `.npz` file, read with suspicion: what a header claims is compared with the file before memory is."""

from __future__ import annotations

import math
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from spectro.core.errors import DataError, first_line

MOST_BYTES = 8 << 30
"""Most bytes of all arrays of a file together."""
DENSEST = 1100
"""Deflate makes no data smaller than by this factor, so a file that claims more is lying."""
DAMAGE = (
    OSError, ValueError, KeyError, TypeError, EOFError, OverflowError, MemoryError, RuntimeError, SyntaxError,
    NotImplementedError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip
"""What reading a damaged archive raises."""


def read_npz(path: Path, wanted: Mapping[str, tuple[str, int]], *, what: str, remedy: str) -> dict[str, NDArray[Any]]:
    """Return the wanted arrays of an `.npz` file; nothing is unpickled.

    Parameters
    ----------
    path
        The file.
    wanted
        Name of each array, with the kinds of its type (as `dtype.kind`: `f`, `iu`, `U`) and its number of dimensions.
    what
        What the file should be, for messages.
    remedy
        What to do where it is not.

    Raises
    ------
    DataError
        the file is missing, damaged or foreign, or claims arrays that it cannot hold.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            infos = {name: archive.getinfo(f"{name}.npy") for name in wanted}
            claimed = sum(info.file_size for info in infos.values())
            if claimed > min(MOST_BYTES, DENSEST * path.stat().st_size):
                raise ValueError(f"it claims to hold {claimed:,} bytes")
            return {name: _read(archive, info, *wanted[name]) for name, info in infos.items()}
    except FileNotFoundError:
        raise DataError(f"{path} does not exist; {remedy}") from None
    except IsADirectoryError:
        raise DataError(f"{path} is a folder, not a file; {remedy}") from None
    except DAMAGE as error:
        reason = first_line(error).strip("'\"")
        raise DataError(f"{path} is not {what}: {reason}; {remedy}") from None


def _read(archive: zipfile.ZipFile, info: zipfile.ZipInfo, kinds: str, dimensions: int) -> NDArray[Any]:
    with archive.open(info) as file:
        version = npy.read_magic(file)
        header = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}.get(version)
        if header is None:
            raise ValueError(f"{info.filename} has the unknown version {version}")
        shape, _, dtype = header(file)
        if dtype.kind not in kinds or len(shape) != dimensions or min(shape, default=0) < 0:
            raise ValueError(f"{info.filename} is {dtype} {list(shape)}, which is another type or shape")
        if math.prod(shape) * dtype.itemsize != info.file_size - file.tell():
            raise ValueError(f"{info.filename} claims {list(shape)} values, but holds others")
    with archive.open(info) as file:
        return np.asarray(npy.read_array(file, allow_pickle=False))
