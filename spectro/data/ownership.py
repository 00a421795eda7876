"""Whose files they are: rendering writes into data folders only, and clears only what dead processes left there."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path

from spectro.core.data_folder import RENDERED, DataFolder, Source
from spectro.core.errors import AudioError, DataError
from spectro.core.files import TEMPORARY, is_leftover, read_csv, remove_temporaries
from spectro.core.locks import LOCK, OWNER
from spectro.core.sealed_tables import SEALED
from spectro.core.tables import FAILURE_COLUMNS
from spectro.data.source import source_stamp
from spectro.data.tables import known_provenance

COMPARED = 8
"""Files that are read to know a source again."""


def require_own(folder: Path) -> None:
    """Raise DataError where a folder is neither new, nor empty, nor a data folder.

    Parameters
    ----------
    folder
        Where somebody wants to render.
    """
    try:
        names = sorted(os.listdir(folder))
    except FileNotFoundError:
        return
    except NotADirectoryError:
        raise DataError(f"{folder} is a file; --out must be a folder") from None
    except OSError as error:
        raise DataError(f"{folder} cannot be read ({error.strerror}); choose another --out") from None
    if "card.json" in names:
        raise DataError(f"{folder} is the folder of a run; choose another --out")
    if SEALED in names:
        raise DataError(f"{folder} holds packed or sealed spectrograms; choose another --out")
    others = [name for name in names if name not in (LOCK, OWNER) and not TEMPORARY.fullmatch(name)]
    own = "source.json" in others or any(folder.glob(f"{RENDERED}*/config.json"))
    if others and not own:
        raise DataError(f"{folder} is no data folder, but holds other files ({others[0]}, ...); choose another --out")


def claim(data: DataFolder, source: Source, clips: Collection[str], *, source_moved: bool = False) -> str:
    """Note in a data folder where it is rendered from; return where it was rendered from before, if the source moved.

    A source has moved if at least half of the clips that were rendered before are in it, and at least half of its own
    were rendered before, and those that are compared (8, spread over all) have the same content.

    Parameters
    ----------
    data
        The data folder.
    source
        Where its clips are.
    clips
        Their ids.
    source_moved
        Whether the user says that the source has moved.

    Raises
    ------
    DataError
        the folder was rendered from another source.
    """
    known = data.source
    if known == source:
        return ""
    if known is not None and not (
        known.layout == source.layout and (source_moved or _same_content(data, Path(source.root), clips))
    ):
        way = "; if that is the same source in a new place, add --source-moved" * (known.layout == source.layout)
        raise DataError(
            f"{data.path} was rendered from {known.root} (layout {known.layout}), not from {source.root} "
            f"(layout {source.layout}); choose another --out, or remove that folder{way}"
        )
    data.write_source(source)
    return "" if known is None else known.root


def _same_content(data: DataFolder, root: Path, clips: Collection[str]) -> bool:
    """Tell whether files below `root` are those that were rendered before."""
    stamps: dict[str, str] = {}
    for config in data.configs().values():
        stamps |= {clip: one.stamp for clip, one in known_provenance(data.rendered_path(config)).items()}
    common = sorted(stamps.keys() & set(clips))
    if not common or 2 * len(common) < max(len(stamps), len(clips)):
        return False
    try:
        compared = common[:: -(-len(common) // COMPARED)]
        return all(source_stamp(root / clip) == stamps[clip] for clip in compared)
    except AudioError:
        return False


def require_own_table(path: Path) -> None:
    """Raise DataError where a file to be written is there and is no table of failures.

    Parameters
    ----------
    path
        The file.
    """
    if not os.path.lexists(path):
        return
    try:
        read_csv(path, FAILURE_COLUMNS)
    except (DataError, OSError):
        raise DataError(f"{path} is there, and is not a list of bad files; remove it, or write another file") from None


def remove_dead(folder: Path, spectrograms: Path) -> None:
    """Remove what killed renderings left half-written: beside the tables, and below the spectrograms.

    Parameters
    ----------
    folder
        The data folder; other folders in it are others' business.
    spectrograms
        The folder of the configuration that is rendered.
    """
    remove_temporaries(spectrograms)
    clear_dead(folder)


def clear_dead(folder: Path) -> None:
    """Remove what killed processes left half-written in a folder, but not in the folders in it.

    Parameters
    ----------
    folder
        Where the caller writes too.
    """
    for path in dead_temporaries(folder, deep=False):
        with suppress(OSError):
            path.unlink()


def dead_temporaries(folder: Path, *, deep: bool) -> Iterator[Path]:
    """Yield the temporary files of processes that no longer run, in a folder or anywhere below it.

    Parameters
    ----------
    folder
        Where to look.
    deep
        Look into the folders in it too.
    """
    for here, folders, names in os.walk(folder):
        if not deep:
            folders.clear()
        yield from filter(is_leftover, (Path(here, name) for name in names))
