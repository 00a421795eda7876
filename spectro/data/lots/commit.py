"""Make a lot's results known, once: a commit that is only written where there is none, and names its shard."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from spectro.core.files import document_text, parse_document
from spectro.core.storage import Entry, Storage, join
from spectro.data.lots.names import COMMITS, commit_name, lot_of
from spectro.data.lots.records import Commit

KIND, VERSION = "commit", 1
REMEDY = "delete it and run the same command again"


def commit(storage: Storage, own: Commit, shard: Path) -> bool:
    """Upload a shard, and commit it unless the lot is committed; remove the shard again where it is.

    Parameters
    ----------
    storage
        Where results belong.
    own
        The commit; no other attempt has its `attempt`.
    shard
        The file.

    Returns
    -------
    bool
        Whether this attempt is the one that counts.
    """
    storage.put_if_absent(own.shard, shard)
    name = commit_name(own.lot)
    if storage.put_if_absent(name, document_text(KIND, VERSION, own.to_dict(), indent=None).encode()):
        return True
    if read_commit(storage, own.lot).attempt == own.attempt:  # written, but the answer was lost
        return True
    storage.delete(own.shard)
    return False


def read_commit(storage: Storage, lot: str) -> Commit:
    """Return the commit of a lot; raises MissingError where there is none, DataError where it is damaged."""
    name = commit_name(lot)
    where = join(storage.url, name)
    return Commit.from_dict(parse_document(storage.get(name), where, KIND, VERSION, remedy=REMEDY), where)


def count_failed(storage: Storage, lot: str) -> int:
    """Return how many clips of a lot could not be used, without checking its commit, which takes much longer."""
    try:
        rows = json.loads(storage.get(commit_name(lot)))["rows"]
        return sum(bool(row["reason"]) for row in rows)
    except (ValueError, KeyError, TypeError):
        return 0  # damaged: sealing will tell


def is_committed(storage: Storage, lot: str) -> bool:
    """Tell whether a lot is done."""
    return storage.head(commit_name(lot)) is not None


def committed(storage: Storage) -> Iterator[tuple[str, Entry]]:
    """Yield each lot that is done, with its commit as the listing shows it."""
    return ((lot_of(entry.name), entry) for entry in storage.list(COMMITS))
