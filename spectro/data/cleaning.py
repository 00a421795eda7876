"""Find what a data folder could do without: caches, variants and leftovers that can all be made again."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from spectro.core.config import RenderConfig
from spectro.core.data_folder import DataFolder
from spectro.core.errors import BusyError, DataError, SpectroError
from spectro.core.locks import writing
from spectro.core.records import Record
from spectro.data.ownership import dead_temporaries
from spectro.data.storage import cannot_write
from spectro.data.store import open_store
from spectro.data.tables import require_tables

Kind = Literal["temporary", "packed", "backbone features", "feature", "variant"]


@dataclass(frozen=True, kw_only=True)
class Removable(Record):
    """Something that can be removed, since a command makes it again when it is needed."""

    path: str
    """The file or folder."""
    kind: Kind
    """What it is."""
    size: int
    """Its size on the disk, in bytes."""
    why: str
    """Why it can go."""


def find_removable(data: DataFolder | Path | str) -> tuple[Removable, ...]:
    """Find what can be removed from a data folder, and how large it is; nothing is removed.

    Caches of backbones, packed arrays that no longer fit their spectrograms, features, spectrograms of the same clips
    with other settings (`variants/`), and what killed processes left half-written. Tables, splits, and spectrograms
    are never among it, and no feature or variant whose sound is gone.

    Parameters
    ----------
    data
        Folder that `render` made.

    Returns
    -------
    tuple of Removable
        The largest first.

    Raises
    ------
    DataError
        there is no such folder, or it is no data folder.
    """
    data = DataFolder.open(data)
    if not data.configs():
        raise DataError(f"{data.path} has no spectrograms; name a folder that `spectro render` made")
    found = [*_temporaries(data), *_of_spectrograms(data)]
    if _sound_is_there(data):
        found += [*_features(data), *_variants(data)]
    return tuple(sorted(found, key=lambda one: (-one.size, one.path)))


def clean(data: DataFolder | Path | str, *, dry_run: bool = True) -> tuple[Removable, ...]:
    """Remove what `find_removable` finds.

    Parameters
    ----------
    data
        Folder that `render` made.
    dry_run
        Find it only.

    Returns
    -------
    tuple of Removable
        What was (or would be) removed; without what another process is writing.

    Raises
    ------
    BusyError
        another process renders into the folder.
    StorageError
        something cannot be removed.
    """
    data = DataFolder.open(data)
    if dry_run:
        return find_removable(data)
    with writing(data.path):
        return tuple(one for one in find_removable(data) if _remove(Path(one.path), one.kind))


def _temporaries(data: DataFolder) -> Iterator[Removable]:
    for path in dead_temporaries(data.path, deep=True):
        yield _removable(path, "temporary", "a process that no longer runs left it half-written")


def _of_spectrograms(data: DataFolder) -> Iterator[Removable]:
    for config in data.configs().values():
        folder = data.rendered_path(config)
        if (why := _why_unused(data, config)) and (folder / "packed.npy").is_file():
            yield _removable(folder / "packed.npy", "packed", why)
        yield from _backbone_features(folder)


def _why_unused(data: DataFolder, config: RenderConfig) -> str:
    """Return why the packed array of a configuration is of no use; empty where it fits the spectrograms."""
    try:
        store = open_store(data, config.config_id())
        return "" if store.is_packed() else "it does not fit the spectrograms (any more)"
    except SpectroError:
        return "the rendering is not complete"


def _backbone_features(folder: Path) -> Iterator[Removable]:
    for path in sorted((folder / "features").glob("*.npy")):
        yield _removable(path, "backbone features", "training and maps compute it again when they need it")


def _features(data: DataFolder) -> Iterator[Removable]:
    for folder in sorted((data.path / "features").glob("*/")):
        yield _removable(folder, "feature", "`spectro data features` computes it again from the sound")


def _variants(data: DataFolder) -> Iterator[Removable]:
    for folder in sorted((data.path / "variants").glob("*/")):
        yield _removable(folder, "variant", "the same clips with other settings; rendered again when they are needed")


def _sound_is_there(data: DataFolder) -> bool:
    """Tell whether every clip that has spectrograms can still be read."""
    try:
        require_tables(data)
        root = data.source_root()
        return all((root / clip.id).is_file() for clip in data.usable)
    except (DataError, OSError, ValueError):
        return False


def _removable(path: Path, kind: Kind, why: str) -> Removable:
    return Removable(path=str(path), kind=kind, size=_size(path), why=why)


def _size(path: Path) -> int:
    if not path.is_dir() or path.is_symlink():
        return _file_size(path) + _file_size(path.with_suffix(".json")) * (path.suffix == ".npy")
    return sum(_file_size(Path(here, name)) for here, _, names in os.walk(path) for name in names)


def _file_size(path: Path) -> int:
    with suppress(OSError):
        return path.lstat().st_size
    return 0


def _remove(path: Path, kind: Kind) -> bool:
    """Remove a file with its note, or a folder; tell whether it was free to go."""
    try:
        if path.is_symlink() or not path.is_dir():
            if path.suffix == ".npy":
                path.with_suffix(".json").unlink(missing_ok=True)
            path.unlink(missing_ok=True)
            return True
        with writing(path):
            pass  # nobody is writing there
        aside = path.with_name(f".removed-{path.name}")
        os.replace(path, aside)  # gone as a whole, even if this process dies now
        shutil.rmtree(aside)
    except BusyError:
        return False
    except OSError as error:
        raise cannot_write(path, error) from None
    return True
