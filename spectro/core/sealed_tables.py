"""Tables of a sealed rendering, copied from its URL into a folder of this machine, each checked by its digest."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping
from pathlib import Path

from spectro.core.errors import ConfigError, DataError
from spectro.core.files import digest, digest_text, parse_document, replacing
from spectro.core.paths import join_inside
from spectro.core.storage import SCHEMES, MissingError, Storage, join, open_storage, save
from spectro.core.storage.local import LocalStorage

SEALED, KIND, VERSION = "SEALED.json", "sealed", 1
REMEDY = "delete SEALED.json and run `spectro seal` again"
DERIVED = ("splits/", "audit.", "leakage_gap.")
"""Beginnings of the names of tables that are made anew here: a copy that is there stays."""
LIMIT, LIMIT_GB = "SPECTRO_LOCAL_GB", 50.0
"""Environment variable, and its default: how much of a sealed rendering may be kept on this machine."""
URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/+(.+)")

log = logging.getLogger(__name__)


def url_of(data: Path | str) -> str:
    """Return the URL that a text or a path names, and that only a storage can read; empty for a path.

    A `Path` made of a URL has lost one of its slashes.
    """
    match = URL.fullmatch(data if isinstance(data, str) else data.as_posix())
    if match is None or match[1].lower() not in SCHEMES or SCHEMES[match[1].lower()] == "file":
        return ""
    return f"{match[1]}://{match[2]}".rstrip("/")


def local_tables(url: str) -> Path:
    """Return the folder with copies of all tables of a sealed rendering; those that are not there yet are copied.

    It belongs to that URL and to what is sealed there now, and is kept: splits and caches are written into it.

    Raises
    ------
    DataError
        there is no sealed rendering, or a table is missing or damaged.
    StorageError
        the storage cannot be read.
    """
    storage, where = open_storage(url), join(url, SEALED)
    try:
        data = storage.get(SEALED)
    except MissingError:
        raise DataError(f"{where} does not exist; finish `spectro render`, then run `spectro seal {url}`") from None
    tables = parse_document(data, where, KIND, VERSION, remedy=REMEDY).get("tables", {})
    if "clips.csv" not in tables:
        raise DataError(f"{url} holds predictions, not spectrograms; name the --out of `spectro render`")
    last = re.sub(r"[^A-Za-z0-9_-]", "-", url.rpartition("/")[2])[:40]
    folder = cache_folder() / f"{last}-{digest_text(url, data.decode(errors='replace'))[:16]}"
    for name in tables:
        download_table(storage, tables, name, folder)
    return folder


def download_table(storage: Storage, tables: Mapping[str, str], name: str, folder: Path) -> Path:
    """Copy one table into a folder, unless it is there; return its path.

    Parameters
    ----------
    storage
        What was sealed.
    tables
        Digest of each table, from `SEALED.json`.
    name
        Of the table.
    folder
        Where the copy belongs.

    Raises
    ------
    DataError
        it is missing, or not the one that was sealed.
    """
    path, expected = join_inside(folder, name, SEALED), tables.get(name)
    if path.exists():
        if name.startswith(DERIVED) or digest(path) == expected:
            return path
        log.warning("%s was changed; it is copied again: `spectro data unpack` makes a folder to edit", path)
    entry = storage.head(name)
    if entry is None or expected is None:
        raise DataError(f"{join(storage.url, name)} is missing, although {SEALED} names it; {REMEDY}")
    with replacing(path) as temporary:
        save(storage, entry, temporary)
        if digest(temporary) != expected:
            raise DataError(f"{join(storage.url, name)} was changed after sealing (its digest differs); {REMEDY}")
    return path


def cache_folder() -> Path:
    """Return the folder of everything that is copied from URLs."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").expanduser() / "spectro"


def local_bytes() -> float:
    """Return how many bytes of a sealed rendering may be kept here; raises ConfigError where that is no number."""
    text = os.environ.get(LIMIT, str(LIMIT_GB))
    try:
        gigabytes = float(text)
    except ValueError:
        gigabytes = -1.0
    if not 0 <= gigabytes < 1e9:
        raise ConfigError(f"{LIMIT} is '{text}', but must be a number of gigabytes; unset it for {LIMIT_GB:g}")
    return gigabytes * 1e9


def is_local(storage: Storage) -> bool:
    """Tell whether files of a storage can be read where they are."""
    return isinstance(storage, LocalStorage)
