"""Layout `folder`: one folder per class, with audio files in it at any depth."""

from __future__ import annotations

import os
from pathlib import Path

from spectro.audio.decode import SUFFIXES
from spectro.core.errors import DataError
from spectro.core.tables import Clip
from spectro.data.layouts import LAYOUTS, Scan


@LAYOUTS.add("folder")
def scan(source: Path) -> Scan:
    """Take the top folder's name as the label and the clip itself as the group; hidden files are passed over.

    Raises
    ------
    DataError
        there is no audio file in it, or one is outside a class folder.
    """
    if not source.is_dir():
        raise DataError(f"{source} is not a folder; give the folder with one folder per class")
    root = source.resolve()
    ids = []
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        here = Path(folder).relative_to(root)
        ids += [
            (here / name).as_posix()
            for name in names
            if not name.startswith(".") and Path(name).suffix.lower() in SUFFIXES
        ]
    if not ids:
        suffixes = ", ".join(sorted(SUFFIXES))
        raise DataError(f"{source} has no audio files (looked for {suffixes}, at any depth)")
    stray = sorted(clip for clip in ids if "/" not in clip)
    if stray:
        raise DataError(
            f"{source / stray[0]} is outside a class folder, as do {len(stray) - 1} others; "
            "put each file into a folder named after its class, or list paths and labels in a CSV"
        )
    clips = tuple(Clip(id=clip, label=clip.split("/")[0], group=clip) for clip in sorted(ids))
    return Scan(root=root, clips=clips, layout="folder")
