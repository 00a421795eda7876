"""Names of files that other files contain: checked once, in one place, before anything is opened."""

from __future__ import annotations

from pathlib import Path, PurePosixPath, PureWindowsPath

from spectro.core.errors import DataError


def require_inside(name: str, where: Path | str) -> str:
    """Return `name` if it is a relative path that stays below the folder it is relative to.

    Parameters
    ----------
    name
        As a table or a card has it, with forward slashes.
    where
        The file that it was read from, for the message.

    Raises
    ------
    DataError
        the name is empty, absolute, has a drive, climbs with `..`, or holds a character that no file name may.
    """
    posix, windows = PurePosixPath(name), PureWindowsPath(name)
    if not name or "\0" in name or posix.is_absolute() or windows.drive or windows.root or ".." in posix.parts:
        shown = ascii(name if len(name) <= 60 else name[:57] + "...")
        raise DataError(f"{where} names the file {shown}, which is not inside its folder; correct that name")
    return name


def join_inside(folder: Path, name: str, where: Path | str) -> Path:
    """Return the path of `name` below `folder`; raises DataError as `require_inside` does."""
    return folder / require_inside(name, where)
