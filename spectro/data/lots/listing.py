"""List the clips of a folder or a bucket, with size and etag, one after another in the order of their ids."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from spectro.audio.decode import SUFFIXES
from spectro.core.errors import ConfigError, DataError
from spectro.core.files import read_csv
from spectro.core.paths import require_inside
from spectro.core.storage import Entry, Storage, is_url, open_storage
from spectro.core.tables import Clip
from spectro.data.audio_files import is_hidden
from spectro.data.layouts import scan
from spectro.data.lots.records import Item


def root_of(source: Path | str, layout: str) -> tuple[str, str]:
    """Return the folder or URL that clip ids are relative to, and the layout, without listing a bucket.

    Raises
    ------
    DataError
        the source does not exist, or is not laid out that way.
    ConfigError
        that layout is not known of buckets.
    """
    if not is_url(source):
        listing = scan(source, layout)
        return str(listing.root), listing.layout
    url = str(source).rstrip("/")
    if layout == "auto":
        layout = "csv" if url.endswith(".csv") else "folder"
    if layout not in ("csv", "folder"):
        raise ConfigError(f"layout '{layout}' takes a local folder; of {url} the layouts csv and folder can be read")
    return (url.rpartition("/")[0] if layout == "csv" else url), layout


def list_items(source: Path | str, layout: str, *, labelled: bool = True) -> Iterator[Item]:
    """Yield every clip of a source.

    Parameters
    ----------
    source
        A folder, a CSV file, or a URL of either.
    layout
        As `root_of` returned it.
    labelled
        Whether each clip must be in the folder of its class; otherwise labels are empty.

    Raises
    ------
    DataError
        there is no audio, or one is outside a class folder.
    """
    if not is_url(source):
        return _local_items(Path(source), layout, labelled)
    root, layout = root_of(source, layout)
    storage = open_storage(root)
    if layout == "csv":
        return _listed_items(storage, str(source).rstrip("/").rpartition("/")[2])
    return _bucket_items(storage, labelled)


def _local_items(source: Path, layout: str, labelled: bool) -> Iterator[Item]:
    if source.is_dir() and not labelled:
        yield from _bucket_items(open_storage(source.resolve()), labelled)
        return
    listing = scan(source, layout)
    storage = open_storage(listing.root)
    for clip in listing.clips:
        yield _item(clip, storage.head(clip.id))


def _bucket_items(storage: Storage, labelled: bool) -> Iterator[Item]:
    count = 0
    for entry in storage.list():
        name = entry.name
        if PurePosixPath(name).suffix.lower() not in SUFFIXES or any(map(is_hidden, name.split("/"))):
            continue
        require_inside(name, storage.url)
        label, _, below = name.partition("/")
        if labelled and not below:
            raise DataError(
                f"{storage.url}/{name} is outside a class folder; put each file below a folder named after its class, "
                "or list paths and labels in a CSV beside them"
            )
        count += 1
        yield _item(Clip(id=name, label=label if labelled else "", group=name), entry)
    if not count:
        raise DataError(f"{storage.url} has no audio files at any depth")


def _listed_items(storage: Storage, table: str) -> Iterator[Item]:
    """Yield the clips of a CSV file in a bucket; its paths are relative to the folder it is in."""
    where = f"{storage.url}/{table}"
    with tempfile.TemporaryDirectory(prefix="spectro-") as folder:
        path = Path(folder, "clips.csv")
        path.write_bytes(storage.get(table))
        rows = read_csv(path, ("path", "label"))
    clips: dict[str, dict[str, str]] = {}
    for line, row in enumerate(rows, start=2):
        name = require_inside(row["path"], where)
        if name in clips or not row["label"]:
            why = "repeats a path" if name in clips else "has an empty label"
            raise DataError(f"{where} line {line} {why} ('{name}'); correct it")
        clips[name] = row
    entries = {entry.name: entry for entry in storage.list() if entry.name in clips}
    for name, row in sorted(clips.items()):
        clip = Clip(id=name, label=row["label"], group=row.get("group") or name, fold=row.get("fold", ""))
        yield _item(clip, entries.get(name))


def _item(clip: Clip, entry: Entry | None) -> Item:
    size, etag = (entry.size, entry.etag) if entry else (0, "")
    return Item(clip=clip.id, label=clip.label, group=clip.group, fold=clip.fold, size=size, etag=etag)
