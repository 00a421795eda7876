"""Pack a data folder into sealed shards at a path or a URL, and unpack it again: tables and PNGs to the byte."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from spectro.core.data_folder import DataFolder
from spectro.core.errors import ConfigError, DataError
from spectro.core.files import digest, document_text, size_and_digest, write_csv
from spectro.core.locks import writing
from spectro.core.paths import join_inside
from spectro.core.sealed_tables import KIND, SEALED, VERSION, download_table
from spectro.core.storage import Storage, join, open_storage
from spectro.core.tables import Segment
from spectro.data.lots.code import code_version
from spectro.data.lots.names import INDEX, MANIFEST, SHARDS, shard_name
from spectro.data.lots.plan import SHARD_MB
from spectro.data.lots.seal import write_index
from spectro.data.lots.sealed import MANIFEST_COLUMNS, SHARD_COLUMNS, Sealed, ShardFacts, read_sealed
from spectro.data.lots.shard import ShardWriter
from spectro.data.ownership import require_own
from spectro.data.shard_store import ShardStore
from spectro.data.store import Store, open_store, picture_path
from spectro.data.tables import require_tables

OVERHEAD = 2048
"""Bytes that a shard holds for each image beside it, at least."""
TABLES = ("clips.csv", "clips.json", "failed.csv", "warnings.csv", "source.json", "leakage_gap.json", "audit.*")
RENDERED = ("config.json", "segments.csv", "segments.json", "sources.csv")
ATTEMPT = "packed"

Place = tuple[int, int, int]
"""Shard, offset and size of an image."""


def pack(
    data: DataFolder | Path | str, out: Path | str, *, config_id: str | None = None, shard_mb: float = SHARD_MB
) -> Sealed:
    """Pack the spectrograms, tables and splits of a data folder into shards, and seal them; killed, it goes on.

    Parameters
    ----------
    data
        Folder that `render` made.
    out
        Folder or URL.
    config_id
        Which spectrograms, if the folder holds several configurations.
    shard_mb
        Largest size of a shard.

    Returns
    -------
    Sealed
        What `SEALED.json` records.

    Raises
    ------
    ConfigError
        `out` holds something else.
    DataError
        the folder is no data folder, or an image is missing or damaged.
    StorageError
        `out` cannot be written.
    """
    data, storage = DataFolder.open(data), open_storage(out)
    store, source = open_store(data, config_id), data.source
    with tempfile.TemporaryDirectory(prefix="spectro-pack-") as scratch:
        places: list[list[Place]] = []
        shards = list(_put_shards(store, storage, shard_mb * 1e6, Path(scratch), places))
        own = Path(scratch, "tables")
        rows = ((one.lot, one.clips, one.segments, one.failed, one.bytes, one.digest) for one in shards)
        write_csv(own / MANIFEST, MANIFEST_COLUMNS, rows)
        write_csv(own / SHARDS, SHARD_COLUMNS, ((one.lot, one.name) for one in shards))
        write_index(own / INDEX, places)
        files = {name: own / name for name in (MANIFEST, INDEX)} | _tables(data, store)
        sealed = Sealed(
            source=source.root if source else "",
            layout=source.layout if source else "",
            work=store.config,
            code=code_version(),
            lots=len(shards),
            clips=len(data.clips),
            failed=len(data.failed),
            segments=len(store.segments),
            bytes=sum(one.bytes for one in shards),
            tables={name: digest(path) for name, path in sorted(files.items())},
        )
        _put_tables(storage, {**files, SHARDS: own / SHARDS})
    storage.put_if_absent(SEALED, document_text(KIND, VERSION, sealed.to_dict()).encode())
    return sealed


def unpack(url: Path | str, out: Path | str) -> Path:
    """Write a sealed rendering as a data folder with one PNG for each segment; killed, it goes on.

    Parameters
    ----------
    url
        Folder or URL that `pack` or `seal` made.
    out
        Folder, new or of the same unpacking.

    Returns
    -------
    Path
        The data folder.

    Raises
    ------
    DataError
        nothing is sealed there, something of it is missing or damaged, or `out` holds something else.
    """
    storage, folder = open_storage(DataFolder.open(url).place), Path(out)
    sealed = read_sealed(storage)
    if sealed is None:
        raise DataError(f"{join(storage.url, SEALED)} does not exist; it is no sealed rendering")
    require_own(folder)
    store = open_store(url)
    assert isinstance(store, ShardStore)
    with writing(folder):
        last = f"{store.path.name}/segments.json"  # with it, a rendering counts as complete
        names = [name for name in sealed.tables if name not in (MANIFEST, INDEX)]
        for name in sorted(names, key=lambda name: name == last):
            if name == last:
                _write_images(store, folder / store.path.name)
            download_table(storage, sealed.tables, name, folder)
    require_tables(DataFolder(folder))
    return folder


def _put_shards(
    store: Store, storage: Storage, limit: float, scratch: Path, places: list[list[Place]]
) -> Iterator[ShardFacts]:
    """Write the shards one after another; note where the images are."""
    path, seen = scratch / "shard.tar", set[str]()
    for number, images in enumerate(_parts(store.images(), limit)):
        clips: set[str] = set()
        own: list[Place] = []
        with ShardWriter(path) as shard:
            for segment, data in images:
                own.append((number, *shard.add(segment, data)))
                clips.add(segment.clip.id)
        places.append(own)
        size, checksum = size_and_digest(path)
        lot = checksum[:16]
        name = shard_name(lot, ATTEMPT, ".tar")
        if not storage.put_if_absent(name, path) and (entry := storage.head(name)) and entry.size != size:
            raise ConfigError(f"{join(storage.url, name)} is there, and is not of this data; choose another place")
        new = len(clips - seen)
        seen = clips  # only the last clip can go on in the next shard
        yield ShardFacts(lot=lot, name=name, bytes=size, digest=checksum, clips=new, failed=0, segments=len(own))


def _parts(images: Iterable[tuple[Segment, bytes]], limit: float) -> Iterator[list[tuple[Segment, bytes]]]:
    """Cut the images where a shard would become larger than the limit."""
    part: list[tuple[Segment, bytes]] = []
    size = 0.0
    for segment, data in images:
        if part and size + len(data) + OVERHEAD > limit:
            yield part
            part, size = [], 0.0
        part.append((segment, data))
        size += len(data) + OVERHEAD
    if part:
        yield part


def _tables(data: DataFolder, store: Store) -> dict[str, Path]:
    """Return every table of a data folder by its name in it; caches and features are made again from them."""
    paths = [path for pattern in TABLES for path in data.path.glob(pattern)]
    paths += [path for path in data.splits_path.glob("*") if path.suffix in (".csv", ".json")]
    paths += [store.path / name for name in RENDERED]
    return {path.relative_to(data.path).as_posix(): path for path in paths}


def _put_tables(storage: Storage, files: Mapping[str, Path]) -> None:
    for name, path in files.items():
        if not storage.put_if_absent(name, path) and storage.get(name) != path.read_bytes():
            raise ConfigError(f"{join(storage.url, name)} is there, and is not of this data; choose another place")


def _write_images(store: ShardStore, folder: Path) -> None:
    made: set[Path] = set()
    for segment, data in store.images():
        path = join_inside(folder, picture_path(Path(), segment).as_posix(), "segments.csv")
        if path.parent not in made:
            path.parent.mkdir(parents=True, exist_ok=True)
            made.add(path.parent)
        path.write_bytes(data)
