"""The one door for files that are written and read again: whole or not at all, with format, version and checksum."""

from __future__ import annotations

import csv
import errno
import io
import json
import os
import re
import socket
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any

import xxhash

from spectro.core.errors import DataError, SpectroError, StorageError, did_you_mean

BLOCK = 1 << 18
"""Bytes that are hashed at a time: they stay in a core's cache."""
SUFFIX = ".tmp"
"""Ending of files that are not complete yet; their names begin with a dot."""
HOST = xxhash.xxh32(socket.gethostname().encode()).hexdigest()
"""This machine, in the names of such files."""
TEMPORARY = re.compile(r"\.(?P<host>[0-9a-f]{8})-(?P<pid>[0-9]{1,9})-[0-9]+\.tmp")
DAY = 86_400
ESCAPED = "backslashreplace"
"""What becomes of characters that UTF-8 cannot hold; in JSON they are read again as they were."""
STORAGE = {
    errno.ENOSPC: "make room and repeat the command",
    errno.EDQUOT: "your quota is used up: make room and repeat the command",
    errno.EFBIG: "the file system, or a limit of this shell (ulimit -f), allows no file of that size",
    errno.EIO: "the disk is failing; look at the system's log and choose another --out",
    errno.EROFS: "that file system is read-only; choose another --out",
    errno.EACCES: "you may not write there; choose another --out",
    errno.EPERM: "you may not write there; choose another --out",
    errno.EISDIR: "a folder is in the place of that file: move it away and repeat the command",
    errno.ENOTDIR: "a file is in the place of a folder above it: move it away and repeat the command",
    errno.ENAMETOOLONG: "the name is too long for that file system; shorten it",
}
"""What to do about an error of the file system, by its number."""
_numbers = count()
_verified: set[tuple[str, int, int, int, str]] = set()


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary neighbour to write into, and rename it over `path` when the body ends; else remove it.

    What dead processes left half-written beside it is removed too.
    """
    temporary = path.with_name(temporary_name())
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        os.replace(temporary, path)
        _remove_leftovers(path.parent)
    except BaseException as error:  # an interruption too leaves nothing behind
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        own = isinstance(error, OSError) and error.filename in (None, str(temporary), str(path), str(path.parent))
        if isinstance(error, OSError) and own and error.errno in STORAGE:
            raise StorageError(f"cannot write {path}: {error.strerror}; {STORAGE[error.errno]}") from None
        raise


def temporary_name() -> str:
    """Return a name for a file that is not complete yet; it names host and process, and is short on purpose."""
    return f".{HOST}-{os.getpid()}-{next(_numbers)}{SUFFIX}"


def remove_temporaries(folder: Path) -> int:
    """Remove what dead processes left half-written below a folder; return how many files that were.

    What a process of this machine that still runs is writing is left alone, as is what is younger than a day and comes
    from another machine.
    """
    return sum(_remove_if_leftover(Path(here, name)) for here, _, names in os.walk(folder) for name in names)


def _remove_leftovers(folder: Path) -> None:
    """Remove what dead processes left half-written in a folder itself."""
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                _remove_if_leftover(Path(entry.path))


def _remove_if_leftover(path: Path) -> bool:
    if is_leftover(path):
        with suppress(OSError):
            path.unlink()
            return True
    return False


def is_leftover(path: Path) -> bool:
    """Tell whether a file is half-written and its writer is dead; on other machines it counts as dead after a day."""
    match = TEMPORARY.fullmatch(path.name)
    if match is None:
        return False
    if match["host"] == HOST:
        return not process_runs(int(match["pid"]))
    with suppress(OSError):
        return time.time() - path.stat().st_mtime > DAY
    return False


def process_runs(pid: int) -> bool:
    """Tell whether a process of this machine runs."""
    if sys.platform == "win32":
        import ctypes

        kernel = ctypes.windll.kernel32
        handle = kernel.OpenProcess(0x1000, False, pid)  # PROCESS_QUERY_LIMITED_INFORMATION
        if handle:
            kernel.CloseHandle(handle)
        return bool(handle)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file whole or not at all; what no text may hold (half of a surrogate pair) is escaped."""
    write_bytes(path, text.encode(errors=ESCAPED))


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a table with a header line; commas, quotes, newlines and unicode in values are safe."""
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", errors=ESCAPED, newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)


def read_csv(path: Path, required: Sequence[str]) -> list[dict[str, str]]:
    """Read a table with a header line.

    Raises
    ------
    DataError
        the file is missing, is not UTF-8 text, or lacks a required column.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, restval="")
            columns = reader.fieldnames or []
            missing = [name for name in required if name not in columns]
            if missing:
                hint = did_you_mean(missing[0], columns)
                have = ", ".join(columns) or "none"
                raise DataError(f"{path} has no column '{missing[0]}'{hint} (its columns: {have}); add or restore it")
            rows = list(reader)
    except FileNotFoundError:
        raise DataError(f"{path} does not exist") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}); move it away and repeat the command") from None
    except UnicodeDecodeError:
        raise DataError(f"{path} is not UTF-8 text; save it again as UTF-8 CSV") from None
    except csv.Error as error:
        raise DataError(f"{path} is not a CSV table ({error}); save it again as UTF-8 CSV") from None
    for number, row in enumerate(rows, start=2):
        if any("\0" in value for value in row.values() if isinstance(value, str)):
            raise DataError(f"{path} line {number} holds NUL bytes: it is damaged; restore it from a copy")
        if None in row:
            raise DataError(f"{path} line {number} has more values than the header; quote values that hold commas")
    return rows


def csv_text(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table with a header line as text."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return text.getvalue()


def write_document(path: Path, kind: str, version: int, values: Mapping[str, Any]) -> None:
    """Write JSON values with the format that they have, its version and a checksum over them."""
    write_text(path, document_text(kind, version, values))


def document_text(kind: str, version: int, values: Mapping[str, Any], *, indent: int | None = 2) -> str:
    """Return what `write_document` writes; without `indent` in one line."""
    head = {"format": f"spectro-{kind}", "version": version, "checksum": _checksum(values)}
    return json.dumps({**head, **values}, indent=indent, ensure_ascii=False, allow_nan=False) + "\n"


def read_document(
    path: Path, kind: str, version: int, *, remedy: str, error: type[SpectroError] = DataError
) -> dict[str, Any]:
    """Read what `write_document` wrote; `error` is raised, with the `remedy`, where the file is not that.

    Raises
    ------
    SpectroError
        (of the type `error`) the file is missing, damaged, of another kind or version, or was changed by hand.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise error(f"{path} does not exist; {remedy}") from None
    except IsADirectoryError:
        raise error(f"{path} is a folder, not a file; {remedy}") from None
    except OSError as fault:
        raise error(f"{path} cannot be read ({fault.strerror}); {remedy}") from None
    return parse_document(data, path, kind, version, remedy=remedy, error=error)


def parse_document(
    data: bytes, path: Path | str, kind: str, version: int, *, remedy: str, error: type[SpectroError] = DataError
) -> dict[str, Any]:
    """Return the values of a document that was read already; `path` names it in messages. As `read_document`."""
    try:
        values = json.loads(data, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as fault:
        raise error(f"{path} is damaged ({fault}); {remedy}") from None
    if not isinstance(values, dict) or values.get("format") != f"spectro-{kind}":
        raise error(f"{path} is not a {kind} of spectro; {remedy}")
    if values.get("version") != version:
        raise error(f"{path} has version {values.get('version')}, but this spectro reads {version}; {remedy}")
    known = values.pop("checksum", None)
    values = {key: value for key, value in values.items() if key not in ("format", "version")}
    if known != _checksum(values):
        raise error(f"{path} was changed after it was written (its checksum differs); {remedy}")
    return values


def digest(path: Path) -> str:
    """Return the xxh3-128 checksum of a file's content, as 32 hexadecimal digits."""
    return size_and_digest(path)[1]


def size_and_digest(path: Path) -> tuple[int, str]:
    """Return the size of a file and the checksum of its content; one small buffer is faster than fresh blocks."""
    size, hasher = 0, xxhash.xxh3_128()
    buffer = memoryview(bytearray(BLOCK))
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(buffer):
            hasher.update(buffer[:count])
            size += count
    return size, hasher.hexdigest()


def verified(path: Path, expected: str) -> bool:
    """Tell whether a file has the expected checksum; an unchanged file is read for that only once a process.

    Raises
    ------
    OSError
        the file is missing or cannot be read.
    """
    stat = path.stat()
    key = (str(path.resolve()), stat.st_ino, stat.st_size, stat.st_mtime_ns, expected)
    if key not in _verified:
        if digest(path) != expected:
            return False
        _verified.add(key)
    return True


def write_payload(path: Path, kind: str, version: int, payload: bytes) -> None:
    """Write bytes behind a line with the format that they have, its version and a checksum over them."""
    checksum = xxhash.xxh3_128(payload).hexdigest()
    with replacing(path) as temporary, temporary.open("wb") as file:
        file.write(f"spectro-{kind} {version} {checksum}\n".encode())
        file.write(payload)


def read_payload(path: Path, kind: str, version: int, *, remedy: str, error: type[SpectroError] = DataError) -> bytes:
    """Read what `write_payload` wrote; `error` is raised, with the `remedy`, where the file is not that."""
    try:
        head, _, payload = path.read_bytes().partition(b"\n")
    except FileNotFoundError:
        raise error(f"{path} does not exist; {remedy}") from None
    except IsADirectoryError:
        raise error(f"{path} is a folder, not a file; {remedy}") from None
    name, _, rest = head.decode("ascii", "replace").partition(" ")
    if name != f"spectro-{kind}":
        raise error(f"{path} is not a {kind} of spectro; {remedy}")
    if rest.partition(" ")[0] != str(version):
        raise error(f"{path} has version {rest.partition(' ')[0]}, but this spectro reads {version}; {remedy}")
    if rest.partition(" ")[2] != xxhash.xxh3_128(payload).hexdigest():
        raise error(f"{path} is damaged (its checksum differs); {remedy}")
    return payload


def digest_text(*parts: str) -> str:
    """Return the xxh3-128 checksum of several texts, as 32 hexadecimal digits."""
    return xxhash.xxh3_128("\0".join(parts).encode(errors="surrogatepass")).hexdigest()


def _checksum(values: Mapping[str, Any]) -> str:
    return digest_text(json.dumps(values, sort_keys=True, allow_nan=False))


def _refuse_constant(name: str) -> None:
    raise ValueError(f"it holds {name}")
