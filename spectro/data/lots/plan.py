"""Plan lots: clips in the order of the source, cut where a lot would take too long or become too large."""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from spectro.audio.segment import segment_starts
from spectro.core.config import RenderConfig
from spectro.core.distribution import require_packages
from spectro.core.errors import AudioError, ConfigError, DataError
from spectro.core.files import digest, digest_text, document_text, parse_document
from spectro.core.storage import (
    Entry,
    MissingError,
    Storage,
    join,
    open_range,
    open_storage,
    require_put_if_absent,
)
from spectro.data.lots import weights
from spectro.data.lots.code import code_version
from spectro.data.lots.names import PLAN
from spectro.data.lots.records import Item, LotSummary, Plan, PredictionWork

KIND, VERSION = "plan", 1
SECONDS = 90.0
"""Core-seconds of a lot: long enough that starting and committing it do not count, short enough to be done again."""
LEAST_SECONDS, MOST_SHARE = 5.0, 1 / 16
"""The first lots are shorter, and none is longer than a share of all before it: a small source has work for many."""
SHARD_MB = 256
SOURCE_BYTES = 4e9
"""WAV is decoded faster than it is fetched."""
REMEDY = "choose another --out"
COLUMNS = ("clip", "label", "group", "fold", "size", "etag", "begin", "end")


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """How large a lot may be."""

    seconds: float = SECONDS
    """Of one core, estimated."""
    megabytes: float = SHARD_MB
    """Of its shard, estimated."""
    source_bytes: float = SOURCE_BYTES
    """Of its files, which are fetched one after another."""


def make_plan(
    storage: Storage,
    items: Callable[[], Iterable[Item]],
    *,
    source: str,
    layout: str,
    work: PredictionWork | RenderConfig,
    bounds: Bounds | None = None,
) -> Plan:
    """Return the plan that is there; list the clips and write one where there is none.

    Of several that plan at once, all return the plan of the first.

    Parameters
    ----------
    storage
        Where the plan and the results belong.
    items
        Lists the clips, in the order of their ids.
    source, layout, work
        As in `Plan`.
    bounds
        How large a lot may be; the defaults when None.

    Raises
    ------
    ConfigError
        what is there has other settings, another source, or was planned by other code; or pyarrow is missing.
    DataError
        the source has no clips.
    """
    require_packages("a plan of lots", "pyarrow")
    plan = find_plan(storage)
    if plan is None:
        require_put_if_absent(storage)
        with tempfile.TemporaryDirectory(prefix="spectro-plan-") as folder:
            path = Path(folder, "plan.parquet")
            lots = _write_items(path, items(), source, work, bounds or Bounds())
            if not lots:
                raise DataError(f"{source} lists no clips")
            name = f"plan-{digest(path)[:16]}.parquet"
            own = Plan(source=source, layout=layout, work=work, code=code_of(work), table=name, lots=lots)
            storage.put_if_absent(name, path)
        storage.put_if_absent(PLAN, document_text(KIND, VERSION, own.to_dict()).encode())
        plan = open_plan(storage)
        if plan.table != name:
            storage.delete(name)
    _require_same(storage, plan, source, work)
    return plan


def find_plan(storage: Storage) -> Plan | None:
    """Return the plan; None where there is none. Raises DataError where it is damaged."""
    try:
        data = storage.get(PLAN)
    except MissingError:
        return None
    values = parse_document(data, join(storage.url, PLAN), KIND, VERSION, remedy=REMEDY)
    return Plan.from_dict(values, join(storage.url, PLAN))


def open_plan(storage: Storage) -> Plan:
    """Return the plan; raises DataError where there is none."""
    plan = find_plan(storage)
    if plan is None:
        raise DataError(f"{storage.url} has no plan.json; make it with `spectro render ... --engine ... --plan`")
    return plan


def read_items(storage: Storage, plan: Plan, number: int) -> list[Item]:
    """Return the items of one lot."""
    table = _items_file(storage.url, plan.table).read_row_group(number)
    columns = [table.column(name).to_pylist() for name in COLUMNS]
    return [Item(**dict(zip(COLUMNS, row, strict=True))) for row in zip(*columns, strict=True)]


@lru_cache(maxsize=4)
def _items_file(url: str, table: str) -> Any:
    from pyarrow import parquet

    storage = open_storage(url)
    entry = storage.head(table)
    if entry is None:
        raise DataError(f"{join(url, table)} is gone, which {PLAN} names; {REMEDY}")
    return parquet.ParquetFile(open_range(storage, entry))


def _write_items(
    path: Path, items: Iterable[Item], source: str, work: PredictionWork | RenderConfig, bounds: Bounds
) -> tuple[LotSummary, ...]:
    """Write the items as one row group for each lot, while they are listed."""
    import pyarrow
    from pyarrow import parquet

    kinds = {"size": pyarrow.int64(), "begin": pyarrow.float64(), "end": pyarrow.float64()}
    schema = pyarrow.schema([(name, kinds.get(name, pyarrow.string())) for name in COLUMNS])
    settings = digest_text(code_of(work), json.dumps(work.to_dict(), sort_keys=True))
    lots = []
    with parquet.ParquetWriter(path, schema, compression="zstd", write_statistics=False) as writer:
        for lot, weight in _lots(items, source, work, bounds):
            columns = {name: [getattr(item, name) for item in lot] for name in COLUMNS}
            writer.write_table(pyarrow.table(columns, schema), row_group_size=len(lot))
            lines = (f"{item.clip}\t{item.etag}\t{item.begin}\t{item.end}" for item in lot)
            size = sum(item.size for item in lot)
            own = digest_text(settings, *lines)[:16]
            lots.append(LotSummary(id=own, clips=len(lot), bytes=size, weight=round(weight, 3)))
    return tuple(lots)


def _lots(
    items: Iterable[Item], source: str, work: PredictionWork | RenderConfig, bounds: Bounds
) -> Iterator[tuple[list[Item], float]]:
    """Yield the items of each lot, with its weight."""
    lot: list[Item] = []
    weight = size = read = before = 0.0
    config = work if isinstance(work, RenderConfig) else None
    for item in items:
        own = weights.weight_of(item.clip, item.size)
        own_size = weights.shard_bytes_of(item.clip, item.size, config) if config else 0.0
        more = (weight + own, size + own_size, read + item.size)
        seconds = min(bounds.seconds, LEAST_SECONDS + MOST_SHARE * before)
        limits = (seconds, bounds.megabytes * 1e6, bounds.source_bytes)
        if lot and any(value > most for value, most in zip(more, limits, strict=True)):
            yield lot, weight
            before += weight
            lot, weight, size, read = [], 0.0, 0.0, 0.0
        parts = _parts(item, source, own, own_size, config, bounds) if config else [item]
        if len(parts) > 1:
            yield from (([part], own / len(parts)) for part in parts)
        else:
            lot.append(item)
            weight, size, read = weight + own, size + own_size, read + item.size
    if lot:
        yield lot, weight


def _parts(item: Item, source: str, weight: float, size: float, config: RenderConfig, bounds: Bounds) -> list[Item]:
    """Cut a file that is larger than a lot between segments, where its format allows that."""
    count = math.ceil(max(weight / bounds.seconds, size / (bounds.megabytes * 1e6)))
    if count < 2 or not item.clip.lower().endswith(weights.SEEKABLE):
        return [item]
    starts = _starts(item, source, config)
    count = min(count, len(starts))
    if count < 2:
        return [item]
    cuts = [starts[number * len(starts) // count] for number in range(count)]
    return [replace(item, begin=begin, end=end) for begin, end in zip(cuts, [*cuts[1:], 0.0], strict=True)]


def _starts(item: Item, source: str, config: RenderConfig) -> list[float]:
    """Return the starts of the segments as the header has them; none where it cannot be read, as the lot will tell."""
    import soundfile

    storage = open_storage(source)
    try:
        with open_range(storage, Entry(name=item.clip, size=item.size, etag=item.etag)) as file:
            info = soundfile.info(file)
        return segment_starts(info.frames / info.samplerate, config.segment)
    except (soundfile.SoundFileError, MissingError, AudioError):
        return []


def code_of(work: PredictionWork | RenderConfig) -> str:
    """Return the state of the code that decides the results of a work."""
    return code_version(prediction=isinstance(work, PredictionWork))


def _require_same(storage: Storage, plan: Plan, source: str, work: PredictionWork | RenderConfig) -> None:
    what = ""
    if plan.source != source:
        what = f"of the source {plan.source}"
    elif plan.work != work:
        what = "for another work"
        if isinstance(plan.work, RenderConfig) and isinstance(work, RenderConfig):
            what = f"with other settings ({'; '.join(plan.work.differences(work))})"
    elif plan.code != code_of(work):
        what = f"by spectro {plan.code}, but this is {code_of(work)}: its results would differ"
    if what:
        raise ConfigError(f"{storage.url} was planned {what}; {REMEDY}")
