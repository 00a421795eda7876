"""Seal finished lots: check every committed shard against its digest, then write the tables of a data folder."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

import xxhash

from spectro.audio.decode import AudioWarning
from spectro.core.config import RenderConfig
from spectro.core.data_folder import DataFolder, Source
from spectro.core.errors import ConfigError, DataError
from spectro.core.files import digest, document_text, write_csv
from spectro.core.sealed_tables import KIND, SEALED, VERSION
from spectro.core.storage import BLOCK, Entry, MissingError, Storage, join, open_storage
from spectro.core.tables import (
    Clip,
    ClipWarning,
    Failure,
    Segment,
    write_clips,
    write_failures,
    write_segments,
    write_warnings,
)
from spectro.data.lots.commit import committed, read_commit
from spectro.data.lots.names import INDEX, MANIFEST, RUNNING, SHARD_FOLDER, SHARDS
from spectro.data.lots.plan import open_plan, read_items
from spectro.data.lots.records import ClipRow, Commit, Item, Plan
from spectro.data.lots.sealed import MANIFEST_COLUMNS, SHARD_COLUMNS, Sealed, ShardFacts, read_sealed
from spectro.data.provenance import COLUMNS, Provenance
from spectro.data.tables import note_clips, note_segments, row_digest

CHECKS = 8
"""Shards that are read at once."""
INDEX_ROWS = 1 << 16


class Spool:
    """What became of each clip, on the disk, for a table is written in one pass and memory must not grow."""

    def __init__(self, path: Path, plan: Plan) -> None:
        self._path, self._plan = path, plan

    def write(self, storage: Storage, commits: Iterator[Commit]) -> None:
        """Note the clips of all lots, given in the order of the plan; parts of a long one are put together."""
        with self._path.open("w", encoding="utf-8") as file:
            for item, shards, row in _merged(_rows(storage, self._plan, commits)):
                names = (item.label, item.group, item.fold)
                warnings = [one.to_dict() for one in row.warnings]
                facts = (row.clip, row.seconds, row.reason, row.message, row.stamp, row.decoder)
                file.write(json.dumps([names, facts, warnings, row.starts, row.places, shards]) + "\n")

    def __iter__(self) -> Iterator[tuple[Clip, list[int], ClipRow]]:
        with self._path.open(encoding="utf-8") as file:
            for line in file:
                (label, group, fold), facts, warnings, starts, places, shards = json.loads(line)
                name, seconds, reason, message, stamp, decoder = facts
                clip = Clip(id=name, label=label, group=group, fold=fold, seconds=seconds)
                row = ClipRow(
                    clip=name,
                    seconds=seconds,
                    reason=reason,
                    message=message,
                    stamp=stamp,
                    decoder=decoder,
                    warnings=tuple(AudioWarning.from_dict(one) for one in warnings),
                    starts=starts,
                    places=places,
                )
                yield clip, shards, row


@dataclass(frozen=True, kw_only=True)
class Sealing:
    """What tables are written of."""

    storage: Storage
    plan: Plan
    spool: Spool
    shards: Sequence[ShardFacts]
    """All of them, found whole."""
    folder: Path
    """Where tables are written before they are uploaded."""


def seal(out: Path | str, write: Callable[[Sealing], None] | None = None) -> Sealed:
    """Check what all lots made, write the tables, and last SEALED.json; a second time it only returns that.

    Parameters
    ----------
    out
        As `--out` named it.
    write
        Writes the tables; those of a data folder when None, as a rendering has them.

    Raises
    ------
    DataError
        nothing was planned, a lot is not committed, or a shard is missing or damaged.
    """
    storage = open_storage(out)
    if (sealed := read_sealed(storage)) is not None:
        return sealed
    plan = open_plan(storage)
    if write is None and not isinstance(plan.work, RenderConfig):
        raise ConfigError(f"{storage.url} holds predictions, not spectrograms")
    _require_all(storage, plan)
    with tempfile.TemporaryDirectory(prefix="spectro-seal-") as scratch:
        tables, spool = Path(scratch, "tables"), Spool(Path(scratch, "clips.jsonl"), plan)
        shards: list[ShardFacts] = []
        spool.write(storage, _checked(storage, plan, shards))
        rows = ((one.lot, one.clips, one.segments, one.failed, one.bytes, one.digest) for one in shards)
        write_csv(tables / MANIFEST, MANIFEST_COLUMNS, rows)
        write_csv(tables / SHARDS, SHARD_COLUMNS, ((one.lot, one.name) for one in shards))
        (write or _write_tables)(Sealing(storage=storage, plan=plan, spool=spool, shards=shards, folder=tables))
        digests = {}
        for path in sorted(path for path in tables.rglob("*") if path.is_file()):
            name = path.relative_to(tables).as_posix()
            if name != SHARDS:  # which attempt won is chance; all else is the same, whoever did it and how often
                digests[name] = digest(path)
            _put(storage, name, path)
    sealed = Sealed(
        source=plan.source,
        layout=plan.layout,
        work=plan.work,
        code=plan.code,
        lots=len(shards),
        clips=sum(one.clips for one in shards),
        failed=sum(one.failed for one in shards),
        segments=sum(one.segments for one in shards),
        bytes=sum(one.bytes for one in shards),
        tables=digests,
    )
    storage.put_if_absent(SEALED, document_text(KIND, VERSION, sealed.to_dict()).encode())
    _remove_leftovers(storage, {one.name for one in shards})
    return sealed


def _require_all(storage: Storage, plan: Plan) -> None:
    done = {lot for lot, _ in committed(storage)}
    missing = [lot for lot in plan.lots if lot.id not in done]
    if missing:
        raise DataError(
            f"{len(missing)} of {len(plan.lots)} lots below {storage.url} are not done ({missing[0].id} is the first); "
            "run the same command again, it does the others"
        )


def _checked(storage: Storage, plan: Plan, shards: list[ShardFacts]) -> Iterator[Commit]:
    """Yield the commits in the order of the plan, each once its shard was read and found whole."""
    with ThreadPoolExecutor(CHECKS) as pool:
        lots = plan.lots
        running = [pool.submit(_check, storage, lot.id) for lot in lots[: 2 * CHECKS]]
        for number in range(len(lots)):
            own = running.pop(0).result()
            if number + 2 * CHECKS < len(lots):
                running.append(pool.submit(_check, storage, lots[number + 2 * CHECKS].id))
            failed = sum(bool(row.reason) for row in own.rows)
            segments = sum(len(row.starts) for row in own.rows)
            shards.append(
                ShardFacts(
                    lot=own.lot,
                    name=own.shard,
                    bytes=own.bytes,
                    digest=own.digest,
                    clips=len(own.rows),
                    failed=failed,
                    segments=segments,
                )
            )
            yield own


def _check(storage: Storage, lot: str) -> Commit:
    own = read_commit(storage, lot)
    where, hasher = join(storage.url, own.shard), xxhash.xxh3_128()
    remedy = f"delete commits/{lot}.json and run the same command again, it does that lot anew"
    try:
        for begin in range(0, own.bytes, BLOCK):
            hasher.update(storage.read(own.shard, begin, min(begin + BLOCK, own.bytes)))
        entry = storage.head(own.shard)
    except MissingError:
        entry = None
    if entry is None:
        raise DataError(f"{where} is gone; {remedy}")
    if entry.size != own.bytes or hasher.hexdigest() != own.digest:
        raise DataError(f"{where} is damaged (its digest differs from its commit's); {remedy}")
    return own


def _rows(storage: Storage, plan: Plan, commits: Iterator[Commit]) -> Iterator[tuple[Item, int, ClipRow]]:
    """Yield each item with the number of its shard and its row."""
    for number, own in enumerate(commits):
        items = read_items(storage, plan, number)
        if [item.clip for item in items] != [row.clip for row in own.rows]:
            raise DataError(f"the commit of lot {own.lot} lists other clips than {plan.table}; delete it and run again")
        yield from ((item, number, row) for item, row in zip(items, own.rows, strict=True))


def _merged(rows: Iterator[tuple[Item, int, ClipRow]]) -> Iterator[tuple[Item, list[int], ClipRow]]:
    """Yield each clip once, with the number of the shard of each of its segments; a part that failed fails it."""
    for _, group in groupby(rows, key=lambda one: one[0].clip):
        parts = list(group)
        item, number, row = parts[0]
        if len(parts) == 1:
            yield item, [number] * len(row.starts), row
            continue
        failed = next((one for _, _, one in parts if one.reason), None)
        if failed is not None:
            yield item, [], failed
        elif not any(one.sounding for _, _, one in parts):
            message = f"{item.clip} is digital silence from start to end; fetch or export it again"
            yield item, [], ClipRow(clip=item.clip, seconds=row.seconds, reason="silent", message=message)
        else:
            numbers = [number for _, number, one in parts for _ in one.starts]
            starts = tuple(start for _, _, one in parts for start in one.starts)
            places = tuple(place for _, _, one in parts for place in one.places)
            warnings = parts[-1][2].warnings  # only who reads to the end knows them
            yield item, numbers, replace(row, starts=starts, places=places, warnings=warnings)


def write_oddities(data: DataFolder, spool: Spool) -> None:
    """Write `failed.csv` and `warnings.csv`."""
    failures = (
        Failure(path=row.clip, reason=row.reason, seconds=row.seconds, message=row.message)
        for _, _, row in spool
        if row.reason
    )
    write_failures(data.failed_path, failures)
    warnings = (
        ClipWarning(path=row.clip, reason=one.reason, message=one.message)
        for _, _, row in spool
        for one in row.warnings
    )
    write_warnings(data.warnings_path, warnings)


def _write_tables(sealing: Sealing) -> None:
    """Write the tables of a data folder, as `render` does, and where each segment's PNG is."""
    plan, spool, data = sealing.plan, sealing.spool, DataFolder(sealing.folder)
    assert isinstance(plan.work, RenderConfig)
    config = plan.work
    data.write_config(config)
    data.write_source(Source(layout=plan.layout, root=plan.source))
    write_clips(data.clips_path, (clip for clip, _, _ in spool))
    write_oddities(data, spool)
    note_clips(data, {clip.id: row_digest(clip) for clip, _, _ in spool})
    rendered = data.rendered_path(config)
    seconds = config.segment.seconds
    segments = (Segment(clip=clip, start=start, seconds=seconds) for clip, _, row in spool for start in row.starts)
    write_segments(rendered / "segments.csv", segments)
    sources = (
        (row.clip, *Provenance(stamp=row.stamp, decoder=row.decoder, warnings=row.warnings).line())
        for _, _, row in spool
        if not row.reason
    )
    write_csv(rendered / "sources.csv", COLUMNS, sources)
    note_segments(rendered)
    write_index(sealing.folder / INDEX, _places(spool))


def write_index(path: Path, blocks: Iterable[Sequence[tuple[int, int, int]]]) -> None:
    """Write shard, offset and size of the PNG of each segment, given in the order of `segments.csv`."""
    import pyarrow
    from pyarrow import parquet

    schema = pyarrow.schema([("shard", pyarrow.int32()), ("offset", pyarrow.int64()), ("size", pyarrow.int32())])
    with parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        for rows in blocks:
            columns = [list(column) for column in zip(*rows, strict=True)]
            arrays = [pyarrow.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
            writer.write_table(pyarrow.Table.from_arrays(arrays, schema=schema))


def _places(spool: Spool) -> Iterator[Sequence[tuple[int, int, int]]]:
    block: list[tuple[int, int, int]] = []
    for _, shards, row in spool:
        block += [(shard, offset, size) for shard, (offset, size) in zip(shards, row.places, strict=True)]
        if len(block) >= INDEX_ROWS:
            yield block
            block = []
    if block:
        yield block


def _put(storage: Storage, name: str, path: Path) -> None:
    """Upload a table; one that an earlier attempt left must be the same, for the commits decide it."""
    if storage.put_if_absent(name, path):
        return
    if storage.get(name) != path.read_bytes():
        raise DataError(f"{join(storage.url, name)} is there, and is not of these lots; choose another --out")


def _remove_leftovers(storage: Storage, kept: set[str]) -> None:
    """Remove what attempts left that died or lost, now that no other one can be committed."""
    leftovers: list[Entry] = [entry for entry in storage.list(SHARD_FOLDER) if entry.name not in kept]
    for entry in (*leftovers, *storage.list(RUNNING)):
        storage.delete(entry.name)
