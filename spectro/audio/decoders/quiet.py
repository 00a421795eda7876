"""Silence for C code that prints on its own, such as libmpg123 inside libsndfile."""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class _Standard:
    """The C library's `stdout` and `stderr`, pointers that lead to a file nobody reads while someone wants quiet.

    Python writes past them, so its own output appears; what other C code prints meanwhile does not.
    """

    def __init__(self) -> None:
        self._lock, self._depth = threading.Lock(), 0
        self._pointers: list[ctypes.c_void_p] = []
        self._loud: list[int | None] = []
        self._null: int | None = None
        if os.name != "posix":
            return  # workers close both for good; in the calling process they stay as they are
        names = ("__stdoutp", "__stderrp") if sys.platform == "darwin" else ("stdout", "stderr")
        try:
            library = ctypes.CDLL(None)
            library.fopen.restype = ctypes.c_void_p
            library.fopen.argtypes = [ctypes.c_char_p, ctypes.c_char_p]
            self._null = library.fopen(os.devnull.encode(), b"w")
            if self._null:
                self._pointers = [ctypes.c_void_p.in_dll(library, name) for name in names]
        except (OSError, AttributeError, ValueError):
            self._pointers = []

    def silence(self) -> None:
        with self._lock:
            if self._depth == 0:
                self._loud = [pointer.value for pointer in self._pointers]
                for pointer in self._pointers:
                    pointer.value = self._null
            self._depth += 1

    def restore(self) -> None:
        with self._lock:
            self._depth -= 1
            if self._depth == 0:
                for pointer, loud in zip(self._pointers, self._loud, strict=True):
                    pointer.value = loud


_STANDARD = _Standard()


@contextmanager
def quiet() -> Iterator[None]:
    """Keep C code from printing for as long as this lasts."""
    _STANDARD.silence()
    try:
        yield
    finally:
        _STANDARD.restore()
