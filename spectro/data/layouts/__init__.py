"""Layouts read clips, labels, groups and official folds from a source; one file each, registered in `LAYOUTS`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

from spectro.audio.decode import SUFFIXES
from spectro.core.errors import DataError
from spectro.core.paths import require_inside
from spectro.core.registry import Registry
from spectro.core.tables import Clip
from spectro.data.audio_files import Skipped, describe_skipped, is_hidden

__all__ = ["LAYOUTS", "Layout", "Scan", "Skipped", "describe_skipped", "scan"]


@dataclass(frozen=True, kw_only=True)
class Scan:
    """What a source contains; the file of a clip is `root / clip.id`."""

    root: Path
    """Absolute path of the folder that clip ids are relative to."""
    clips: tuple[Clip, ...]
    """All clips, in order of id, present or not: a missing file is reported when it is needed."""
    layout: str
    """Name of the layout that read it."""
    skipped: tuple[Skipped, ...] = ()
    """What is in the source and is no clip, counted; `describe_skipped` turns it into a line."""


Layout = Callable[[Path], Scan]

LAYOUTS: Registry[Layout] = Registry("layout")
"""Every layout by name: a function from the source's path to a Scan, which raises DataError for a source unlike it."""


def scan(source: Path | str, layout: str = "auto") -> Scan:
    """List the clips of a source.

    Parameters
    ----------
    source
        A folder, or a CSV file.
    layout
        A name in `LAYOUTS`, or `auto`: `csv` for a file, `folder` for a folder.

    Returns
    -------
    Scan

    Raises
    ------
    DataError
        the source does not exist, contains no audio, or is not laid out that way; or a clip is listed twice, has no
        label, or is not inside the source.
    """
    source = Path(source)
    if not source.exists():
        raise DataError(f"there is no {source}; give a folder with one folder per class, or a CSV file")
    if layout == "auto":
        if source.is_file() and source.suffix.lower() in SUFFIXES:
            raise DataError(f"{source} is one sound; give a folder with one folder per class, or a CSV file")
        layout = "folder" if source.is_dir() else "csv"
    listing = _without_hidden(LAYOUTS[layout](source))
    if not listing.clips:
        left_out = describe_skipped(listing.skipped)
        raise DataError(f"{source} lists no clips" + (f" ({left_out})" if left_out else ""))
    seen: set[str] = set()
    for clip in listing.clips:
        require_inside(clip.id, source)
        if clip.id in seen:
            raise DataError(f"{source} lists '{clip.id}' twice; keep one of them")
        seen.add(clip.id)
        if not clip.label.strip():
            raise DataError(f"{source} gives '{clip.id}' no label; fill it in, or leave the clip out")
        if not clip.id.isascii() and clip.id.encode(errors="replace").decode() != clip.id:
            raise DataError(f"the name of {clip.id!a} in {listing.root} is not UTF-8 text; rename it")
    return listing


def _without_hidden(listing: Scan) -> Scan:
    """Leave out the hidden files that a table lists, as a table made with `find` on a Mac's disk does."""
    kept = tuple(clip for clip in listing.clips if not is_hidden(Path(clip.id).name))
    if len(kept) == len(listing.clips):
        return listing
    if any(one.reason == "hidden" for one in listing.skipped):  # it looked into the folder too, and counted them there
        return replace(listing, clips=kept)
    hidden = Skipped(suffix="", count=len(listing.clips) - len(kept), reason="hidden")
    return replace(listing, clips=kept, skipped=(*listing.skipped, hidden))


for _module in iter_modules(__path__):  # a new file in this folder is a new layout; nothing else needs to know it
    import_module(f"{__name__}.{_module.name}")
