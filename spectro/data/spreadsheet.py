"""Read tables that people make: CSV as spreadsheets save it, with any separator, and UTF-8 or UTF-16 text."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

from spectro.audio.decode import SUFFIXES
from spectro.core.errors import DataError, did_you_mean

SEPARATORS = ",;\t"
BOMS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
"""Encodings by the bytes that a file in them begins with: Excel's "Unicode text" is UTF-16."""
WORKBOOKS = (b"PK\3\4", b"\xd0\xcf\x11\xe0")
"""First bytes of .xlsx and .ods, and of .xls."""
Rows = list[tuple[int, dict[str, str]]]


def read_spreadsheet(path: Path, required: Sequence[str]) -> Rows:
    """Read a table with a header line.

    Separators are commas, semicolons or tabs. Names of columns count in any case, and blanks around names and values
    do not; empty lines are passed over, as are empty values behind the last column.

    Parameters
    ----------
    path
        The file.
    required
        Columns that must be there.

    Returns
    -------
    list of tuple
        Each row with the number of its line; the names of columns in lower case.

    Raises
    ------
    DataError
        the file is missing, is no such text, or lacks a required column or has it twice.
    """
    text = _text(path)
    separator = max(SEPARATORS, key=lambda one: _fit(_columns(text, one), required))
    columns = _columns(text, separator)
    _require(path, columns, required)
    try:
        lines = list(_lines(text, separator))
    except csv.Error as error:
        raise DataError(f"{path} is not a CSV table ({error}); save it again as 'CSV UTF-8'") from None
    rows: Rows = []
    for line, values in lines[1:]:
        if any(values[len(columns) :]):
            raise DataError(f"{path} line {line} has more values than the header; quote values that hold commas")
        rows.append((line, dict(zip(columns, values + [""] * len(columns), strict=False))))
    return rows


def _text(path: Path) -> str:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise DataError(f"{path} does not exist") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror})") from None
    if data.startswith(WORKBOOKS):
        raise DataError(f"{path} is a workbook, not CSV; in the spreadsheet, save it as 'CSV UTF-8'")
    try:
        text = data.decode(next((encoding for bom, encoding in BOMS.items() if data.startswith(bom)), "utf-8"))
    except UnicodeDecodeError:
        raise DataError(f"{path} is not UTF-8 text; if it is a table, save it again as 'CSV UTF-8'") from None
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise DataError(f"{path} line {line} holds NUL bytes: it is damaged; restore it from a copy, or save it again")
    return text


def _lines(text: str, separator: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the lines that are not empty with their numbers, blanks around values removed."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=separator != "\t")
    for values in reader:
        stripped = [value.strip() for value in values]
        if any(stripped):
            yield reader.line_num, stripped


def _columns(text: str, separator: str) -> list[str]:
    """Return the names of columns in lower case, as the first line has them with that separator."""
    try:
        return next(([name.lower() for name in names] for _, names in _lines(text, separator)), [])
    except csv.Error:
        return []


def _fit(columns: Sequence[str], required: Sequence[str]) -> tuple[int, int]:
    """Return how well a separator suits: the number of required columns, then that of all."""
    return len(set(columns).intersection(required)), len(columns)


def _require(path: Path, columns: Sequence[str], required: Sequence[str]) -> None:
    """Raise DataError where a required column is not there once."""
    twice = next((name for name in required if columns.count(name) > 1), None)
    if twice is not None:
        raise DataError(f"{path} has two columns '{twice}'; remove one of them")
    missing = [name for name in required if name not in columns]
    if not missing:
        return
    wanted = ",".join(required)
    if any(name.endswith(tuple(SUFFIXES)) for name in columns):
        raise DataError(f"{path} begins with a file, not with names of columns; put the line {wanted} above it")
    hint = did_you_mean(missing[0], [name for name in columns if name not in required])
    have = ", ".join(columns) or "none"
    raise DataError(
        f"{path} has no column '{missing[0]}'{hint} (its columns: {have}); its first line must name {wanted}"
    )
