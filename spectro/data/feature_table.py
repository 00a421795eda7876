"""Vector features as a table for other programs: one row per segment, one named column per value, CSV or Parquet."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from spectro.core.arrays import Floats32
from spectro.core.distribution import require_packages
from spectro.core.errors import DataError
from spectro.core.files import replacing, write_csv
from spectro.core.formatting import defuse
from spectro.core.tables import Segment

KEYS = ("segment", "clip", "label", "group", "start")
"""The first columns, which name the segment of a row."""


def write_feature_table(path: Path, segments: Sequence[Segment], columns: Sequence[str], values: Floats32) -> None:
    """Write values as a table: Parquet, typed and with every digit, if the name ends in `.parquet`; CSV otherwise.

    In CSV, names that a spreadsheet would run as formulas get an apostrophe in front.

    Parameters
    ----------
    path
        The table.
    segments
        Whose values they are.
    columns
        Name of each value.
    values
        `[segments, columns]`.

    Raises
    ------
    ConfigError
        Parquet is wanted and pyarrow is not installed.
    DataError
        the file is there, and is no table of features.
    """
    _require_own(path)
    if path.suffix == ".parquet":
        _write_parquet(path, segments, columns, values)
        return
    rows = (
        (*map(defuse, (one.id, one.clip.id, one.clip.label, one.clip.group)), f"{one.start:.4f}", *map(_digits, row))
        for one, row in zip(segments, values, strict=True)
    )
    write_csv(path, (*KEYS, *columns), rows)


def _digits(value: float) -> str:
    return f"{value:.7g}"


def _require_own(path: Path) -> None:
    if not os.path.lexists(path):
        return
    begin = b"PAR1" if path.suffix == ".parquet" else ",".join(KEYS).encode()
    head = b""
    if path.is_file():
        with path.open("rb") as file:
            head = file.read(len(begin))
    if head != begin:
        raise DataError(f"{path} is there, and is not a table of features; remove it, or write another file")


def _write_parquet(path: Path, segments: Sequence[Segment], columns: Sequence[str], values: Floats32) -> None:
    """Write `KEYS` as text and float64, the values as float32."""
    require_packages("Parquet", "pyarrow", otherwise="export to .csv")
    import pyarrow
    from pyarrow import parquet

    keys = [(one.id, one.clip.id, one.clip.label, one.clip.group, one.start) for one in segments]
    arrays = [pyarrow.array(column) for column in [*zip(*keys, strict=True), *np.ascontiguousarray(values.T)]]
    with replacing(path) as temporary:
        parquet.write_table(pyarrow.table(arrays, names=[*KEYS, *columns]), temporary)
