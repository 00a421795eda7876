"""Whose files they are: rendering writes into data folders only, and clears only what dead processes left there."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from spectro.core.data_folder import RENDERED, DataFolder, Source
from spectro.core.errors import DataError
from spectro.core.files import DAY, HOST, TEMPORARY, process_runs, read_csv, remove_temporaries
from spectro.core.locks import LOCK, OWNER
from spectro.core.tables import FAILURE_COLUMNS


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
    others = [name for name in names if name not in (LOCK, OWNER) and not TEMPORARY.fullmatch(name)]
    own = "source.json" in others or any(folder.glob(f"{RENDERED}*/config.json"))
    if others and not own:
        raise DataError(f"{folder} is no data folder, but holds other files ({others[0]}, ...); choose another --out")


def claim(data: DataFolder, source: Source) -> None:
    """Note in a data folder where it is rendered from; raises DataError when it is from elsewhere.

    Parameters
    ----------
    data
        The data folder.
    source
        Where its clips are.
    """
    known = data.source
    if known is None:
        data.write_source(source)
    elif known != source:
        raise DataError(
            f"{data.path} was rendered from {known.root} (layout {known.layout}), not from {source.root} "
            f"(layout {source.layout}); choose another --out, or remove that folder"
        )


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
        for name in names:
            match = TEMPORARY.fullmatch(name)
            if match and _is_stale(Path(here, name), match["host"], int(match["pid"])):
                yield Path(here, name)


def _is_stale(path: Path, host: str, pid: int) -> bool:
    if host == HOST:
        return not process_runs(pid)
    with suppress(OSError):
        return time.time() - path.stat().st_mtime > DAY
    return False
