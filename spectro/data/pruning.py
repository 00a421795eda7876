"""Remove the spectrograms of clips that are no longer in the source: only those, in every configuration of a folder."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from spectro.core.data_folder import DataFolder
from spectro.core.records import Record
from spectro.data import png
from spectro.data.storage import cannot_write
from spectro.data.tables import forget, known_provenance

PICTURE = re.compile(r"(?P<clip>.+)@(?P<start>[0-9]{4,}\.[0-9]{2})\.png", re.DOTALL)
"""Path of a spectrogram in the folder of its configuration."""


@dataclass(frozen=True, kw_only=True)
class Pruned(Record):
    """What was removed."""

    clips: int
    """Number of clips that are gone from the source."""
    spectrograms: int
    """Number of their PNG files."""


def prune(data: DataFolder, present: Collection[str]) -> Pruned:
    """Remove spectrograms, and rows of `sources.csv`, of clips that the source does not have.

    A PNG is removed if `render` noted its clip, or if its own text chunks name the clip; no other file is.

    Parameters
    ----------
    data
        The data folder, held by the caller.
    present
        Ids of all clips of the source, those that are left out of the rendering too.

    Raises
    ------
    StorageError
        a file cannot be removed.
    """
    present, clips, count = frozenset(present), set[str](), 0
    for config_id, config in data.configs().items():
        folder = data.rendered_path(config)
        known = known_provenance(folder).keys() - present
        for path, clip in list(_gone(folder, present)):
            if clip in known or _names(path, clip, config_id):
                _remove(path, folder)
                clips.add(clip)
                count += 1
        forget(folder, known)
        clips |= known
    return Pruned(clips=len(clips), spectrograms=count)


def _gone(folder: Path, present: Collection[str]) -> Iterator[tuple[Path, str]]:
    """Yield the files that are called like spectrograms of clips that are not present, with the clip's id."""
    for here, _, names in os.walk(folder):
        below = Path(here).relative_to(folder)
        for name in names:
            match = PICTURE.fullmatch((below / name).as_posix())
            if match and match["clip"] not in present:
                yield Path(here, name), match["clip"]


def _names(path: Path, clip: str, config_id: str) -> bool:
    tags = png.read_tags(path) or {}
    return tags.get("source") == clip and tags.get("config_id") == config_id


def _remove(path: Path, folder: Path) -> None:
    """Remove a file, and the folders around it that are empty then."""
    try:
        path.unlink()
    except OSError as error:
        raise cannot_write(path, error) from None
    for parent in path.parents:
        if parent == folder:
            break
        with suppress(OSError):
            parent.rmdir()
