"""What sealing left: the facts of a finished rendering or prediction, its shards and its tables, for readers."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from spectro.core.config import RenderConfig
from spectro.core.errors import DataError
from spectro.core.files import parse_document, read_csv
from spectro.core.records import Record
from spectro.core.sealed_tables import KIND, REMEDY, SEALED, VERSION, download_table
from spectro.core.storage import MissingError, Storage, join
from spectro.data.lots.names import MANIFEST, SHARDS
from spectro.data.lots.records import PredictionWork

MANIFEST_COLUMNS = ("lot", "clips", "segments", "failed", "bytes", "digest")
SHARD_COLUMNS = ("lot", "name")


@dataclass(frozen=True, kw_only=True)
class Sealed(Record):
    """A finished rendering or prediction; `SEALED.json`, the last that is written."""

    source: str
    layout: str
    work: PredictionWork | RenderConfig
    code: str
    lots: int
    clips: int
    """Items of all lots, so that each part of a long clip counts."""
    failed: int
    segments: int
    bytes: int
    """Of all shards."""
    tables: Mapping[str, str]
    """Digest (xxh3-128) of each table by its name below `--out`; not of `shards.csv`, which chance decides."""


@dataclass(frozen=True, kw_only=True)
class ShardFacts(Record):
    """One shard that counts."""

    lot: str
    name: str
    """Below `--out`."""
    bytes: int
    digest: str
    clips: int
    failed: int
    segments: int


def read_sealed(storage: Storage) -> Sealed | None:
    """Return what was sealed; None where nothing was. Raises DataError where SEALED.json is damaged."""
    where = join(storage.url, SEALED)
    try:
        data = storage.get(SEALED)
    except MissingError:
        return None
    return Sealed.from_dict(parse_document(data, where, KIND, VERSION, remedy=REMEDY), where)


def read_shards(storage: Storage, sealed: Sealed) -> tuple[ShardFacts, ...]:
    """Return the shards in the order of the clips; numbers in `index.parquet` count in it.

    Raises
    ------
    DataError
        a table is missing, damaged, or names other lots than were sealed.
    """
    where = join(storage.url, SHARDS)
    with tempfile.TemporaryDirectory(prefix="spectro-") as folder:
        rows = read_csv(download_table(storage, sealed.tables, MANIFEST, Path(folder)), MANIFEST_COLUMNS)
        path = Path(folder, SHARDS)
        try:
            path.write_bytes(storage.get(SHARDS))
        except MissingError:
            raise DataError(f"{where} is missing; {REMEDY}") from None
        names = {row["lot"]: row["name"] for row in read_csv(path, SHARD_COLUMNS)}
    if names.keys() != {row["lot"] for row in rows}:
        raise DataError(f"{where} names other lots than were sealed; delete it as well: {REMEDY}")
    return tuple(
        ShardFacts(
            lot=row["lot"],
            name=names[row["lot"]],
            bytes=int(row["bytes"]),
            digest=row["digest"],
            clips=int(row["clips"]),
            failed=int(row["failed"]),
            segments=int(row["segments"]),
        )
        for row in rows
    )
