"""One attempt at a lot, whatever its work: check the code, note that it runs, bring the files, commit the results."""

from __future__ import annotations

import shutil
import socket
import tempfile
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

from spectro.core.errors import AudioError, StorageError
from spectro.core.files import size_and_digest
from spectro.core.storage import ChangedError, Entry, MissingError, Storage, fetch, join, open_storage
from spectro.core.storage.local import LocalStorage
from spectro.data.lots.commit import commit, is_committed
from spectro.data.lots.names import running_name, shard_name
from spectro.data.lots.plan import code_of, open_plan, read_items
from spectro.data.lots.records import ClipRow, Commit, Item, LotJob, LotResult, LotTask, Plan
from spectro.data.worker import CRASHED

AHEAD = 8
"""Files that are fetched from a bucket while another one is worked on."""

Value = TypeVar("Value")


@dataclass(frozen=True, kw_only=True)
class Sound:
    """The file of an item, where it can be read from the disk; or why it cannot."""

    item: Item
    path: Path
    name: str
    """What messages call it: its path or URL in the source."""
    error: AudioError | None = None

    def failed(self, reason: str, message: str, seconds: float = 0.0) -> ClipRow:
        """Return the row of an item that cannot be used; the message names the file in its source."""
        message = message.replace(str(self.path), self.name)
        return ClipRow(clip=self.item.clip, seconds=seconds, reason=reason, message=message)


Work = Callable[[Plan, Iterator[Sound], Path], list[ClipRow]]
"""Turns sounds into the shard of a path; returns a row for each."""


def attempt(job: LotJob, task: LotTask, suffix: str, work: Work) -> LotResult:
    """Do one lot, and commit it if no other attempt has.

    Parameters
    ----------
    job, task
        Where, and which one.
    suffix
        Of the shard's name.
    work
        What is done with the sounds.

    Raises
    ------
    StorageError
        the storage fails, though it was tried again, or the disk for temporary files does.
    """
    try:
        return _attempt(job, task, suffix, work)
    except OSError as error:
        where = f"{tempfile.gettempdir()} on {socket.gethostname()}"
        raise StorageError(f"cannot work in {where}: {error.strerror or error}; make room there") from None


def _attempt(job: LotJob, task: LotTask, suffix: str, work: Work) -> LotResult:
    begin = time.monotonic()
    storage = open_storage(job.out)
    plan = _plan(job.out)
    if plan.code != (own_code := code_of(plan.work)):
        message = f"a worker on {socket.gethostname()} has spectro {own_code}, but the plan is of {plan.code}"
        return LotResult(state="refused", message=f"{message}; install the same version there")
    lot = plan.lots[task.number]
    if is_committed(storage, lot.id):
        return LotResult(state="lost")
    items = read_items(storage, plan, task.number)
    note = running_name(lot.id, task.attempt)
    if task.probe is None:
        storage.put_if_absent(note, socket.gethostname().encode())
    with tempfile.TemporaryDirectory(prefix="spectro-lot-") as scratch:
        shard = Path(scratch, f"shard{suffix}")
        items = items if task.probe is None else items[slice(*task.probe)]
        usable = [item for item in items if item.clip not in task.quarantined]
        with closing(_sounds(plan, usable, Path(scratch))) as sounds:
            done = iter(work(plan, sounds, shard))
        if task.probe is not None:
            return LotResult(state="probed", elapsed=time.monotonic() - begin)
        rows = tuple(_crashed(plan, item) if item.clip in task.quarantined else next(done) for item in items)
        size, checksum = size_and_digest(shard)
        own = Commit(
            lot=lot.id,
            attempt=task.attempt,
            shard=shard_name(lot.id, task.attempt, suffix),
            bytes=size,
            digest=checksum,
            elapsed=round(time.monotonic() - begin, 3),
            rows=rows,
        )
        won = commit(storage, own, shard)
    storage.delete(note)
    return LotResult(
        state="committed" if won else "lost",
        clips=len(rows),
        failed=sum(bool(row.reason) for row in rows),
        segments=sum(len(row.starts) for row in rows),
        seconds=sum(row.seconds for row in rows if not row.reason),
        elapsed=own.elapsed,
    )


@lru_cache(maxsize=4)
def _plan(out: str) -> Plan:
    return open_plan(open_storage(out))


def _crashed(plan: Plan, item: Item) -> ClipRow:
    message = f"{join(plan.source, item.clip)}: {CRASHED.message}"
    return ClipRow(clip=item.clip, seconds=0.0, reason=CRASHED.reason, message=message)


def _sounds(plan: Plan, items: Sequence[Item], scratch: Path) -> Generator[Sound]:
    """Yield each item with its file, fetching the next ones meanwhile; a copy is gone once the next is asked for."""
    storage = open_storage(plan.source)
    if isinstance(storage, LocalStorage):
        yield from (_fetched(storage, item, scratch) for item in items)
        return
    waiting: deque[tuple[Path, Future[Sound]]] = deque()
    with ThreadPoolExecutor(AHEAD) as pool:
        for number, item in enumerate(items):
            folder = scratch / str(number)
            waiting.append((folder, pool.submit(_fetched, storage, item, folder)))
            if len(waiting) > AHEAD:
                yield from _next(waiting)
        while waiting:
            yield from _next(waiting)


def _next(waiting: deque[tuple[Path, Future[Sound]]]) -> Iterator[Sound]:
    folder, sound = waiting.popleft()
    yield sound.result()
    shutil.rmtree(folder, ignore_errors=True)


def _fetched(storage: Storage, item: Item, folder: Path) -> Sound:
    name = join(storage.url, item.clip)
    folder.mkdir(exist_ok=True)
    try:
        if not item.etag:
            raise MissingError(name)
        path = fetch(storage, Entry(name=item.clip, size=item.size, etag=item.etag), folder)
    except MissingError:
        return Sound(item=item, path=folder, name=name, error=AudioError("missing", f"{name} does not exist"))
    except ChangedError as error:
        return Sound(item=item, path=folder, name=name, error=AudioError("changed", str(error)))
    return Sound(item=item, path=path, name=name)
