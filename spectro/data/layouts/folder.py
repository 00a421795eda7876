"""Layout `folder`: one folder per class, with audio files in it at any depth."""

from __future__ import annotations

from pathlib import Path

from spectro.core.errors import DataError
from spectro.core.tables import Clip
from spectro.data.audio_files import describe_skipped, list_audio
from spectro.data.layouts import LAYOUTS, Scan


@LAYOUTS.add("folder")
def scan(source: Path) -> Scan:
    """Take the top folder's name as the label and the clip itself as the group.

    Raises
    ------
    DataError
        there is no audio file in it, or one is outside a class folder.
    """
    if not source.is_dir():
        raise DataError(f"{source} is not a folder; give the folder with one folder per class")
    root = source.resolve()
    files = list_audio(root)
    if not files.names:
        left_out = describe_skipped(files.skipped()) or "it is empty"
        raise DataError(f"{source} has no audio files at any depth ({left_out})")
    stray = [name for name in files.names if "/" not in name]
    if stray:
        others = f", and so are {len(stray) - 1} others" if stray[1:] else ""
        raise DataError(
            f"{source / stray[0]} is outside a class folder{others}; "
            "put each file into a folder named after its class, or list paths and labels in a CSV"
        )
    clips = tuple(Clip(id=name, label=name.split("/")[0], group=name) for name in files.names)
    return Scan(root=root, clips=clips, layout="folder", skipped=files.skipped())
