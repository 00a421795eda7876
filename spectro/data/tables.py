"""The tables of a data folder with checksums beside them: `clips.csv`, which people edit, and those nobody should."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path

from spectro.core.config import RenderConfig
from spectro.core.data_folder import DataFolder
from spectro.core.errors import DataError
from spectro.core.files import digest, digest_text, read_csv, read_document, verified, write_csv, write_document
from spectro.core.paths import require_inside
from spectro.core.tables import Clip, Failure, Segment

TABLES_VERSION = 1
SOURCES = ("clip", "stamp")
REMEDY = "run the same `spectro render` again"

log = logging.getLogger(__name__)
_noted: set[tuple[str, str]] = set()


def write_tables(
    data: DataFolder,
    clips: Sequence[Clip],
    failures: Sequence[Failure] = (),
    *,
    source: Sequence[Clip] | None = None,
    edited: bool = False,
) -> None:
    """Write `clips.csv` and `failed.csv`, and `clips.json`, by which later edits and damage are noticed.

    Parameters
    ----------
    data
        The data folder.
    clips
        With the labels and groups that count.
    failures
        Clips without spectrograms.
    source
        The clips as the source has them, if `clips` was edited.
    edited
        Whether the labels and groups of the source are edited ones already.
    """
    data.write_failures(tuple(failures))
    data.write_clips(tuple(clips))
    source = clips if source is None else source
    facts = {"count": len(source), "ids": _ids(source), "rows": _rows(source), "failed": digest(data.failed_path)}
    write_document(_note_path(data), "clips", TABLES_VERSION, facts | {"edited": edited})


def require_tables(data: DataFolder) -> bool:
    """Check `clips.csv` and `failed.csv`; tell whether labels or groups were edited since rendering.

    Parameters
    ----------
    data
        The data folder.

    Returns
    -------
    bool
        Edits of labels, groups and official folds count; they are logged once a process.

    Raises
    ------
    DataError
        a table is missing or malformed, clips were added, removed or renamed, or `failed.csv` was changed.
    """
    clips = _checked_clips(data)
    note = read_document(_note_path(data), "clips", TABLES_VERSION, remedy=REMEDY)
    if _ids(clips) != note.get("ids"):
        raise DataError(
            f"{data.clips_path} has other clips than were rendered ({len(clips)} instead of {note.get('count')}, or "
            f"other ids): only labels, groups and folds may be edited; undo that, or {REMEDY}"
        )
    require_digest(data.failed_path, note.get("failed"))
    rows = _rows(clips)
    if rows != note.get("rows") and (key := (str(data.path.resolve()), rows)) not in _noted:
        _noted.add(key)
        log.warning("%s was edited since rendering: its labels, groups and folds count as they are", data.clips_path)
    return rows != note.get("rows") or note.get("edited") is True


def keep_edits(data: DataFolder, clips: Sequence[Clip]) -> tuple[Clip, ...]:
    """Return clips with the labels, groups and folds that people gave them in an earlier `clips.csv`.

    A table that cannot be read, or names clips that are not there, is kept as `clips.csv.old`.

    Parameters
    ----------
    data
        The data folder.
    clips
        As the source has them.
    """
    path = data.clips_path
    if not path.exists():
        return tuple(clips)
    try:
        old = {clip.id: clip for clip in _checked_clips(DataFolder(data.path))}
    except DataError as error:
        _put_aside(path, str(error))
        return tuple(clips)
    try:
        rows = read_document(_note_path(data), "clips", TABLES_VERSION, remedy=REMEDY).get("rows")
    except DataError:
        rows = None  # nobody knows what was edited: every difference may have been
    if _rows(list(old.values())) == rows:
        return tuple(clips)
    if old.keys() - {clip.id for clip in clips}:
        _put_aside(path, f"{path} names clips that the source does not have")
    kept = tuple(
        replace(clip, label=own.label, group=own.group, fold=own.fold) if (own := old.get(clip.id)) else clip
        for clip in clips
    )
    changed = [new.id for new, clip in zip(kept, clips, strict=True) if new != clip]
    if changed:
        log.warning(
            "%s: %d edited rows are kept (the first: '%s'); remove the file to take the labels of the source again",
            path, len(changed), changed[0],
        )  # fmt: skip
    return kept


def complete(data: DataFolder, config: RenderConfig, segments: Sequence[Segment], stamps: Mapping[str, str]) -> None:
    """Complete a rendering: write `segments.csv`, `sources.csv`, and last `segments.json` with their checksums.

    Parameters
    ----------
    data
        The data folder.
    config
        Settings of the rendering.
    segments
        All segments that have a spectrogram.
    stamps
        The stamp of each clip's file, which its spectrograms carry too.
    """
    data.write_segments(config, tuple(segments))
    folder = data.rendered_path(config)
    write_csv(folder / "sources.csv", SOURCES, stamps.items())
    facts = {name: digest(folder / f"{name}.csv") for name in ("segments", "sources")}
    write_document(folder / "segments.json", "segments", TABLES_VERSION, facts)


def read_segments(data: DataFolder, config: RenderConfig) -> tuple[Segment, ...]:
    """Return the segments of a rendering; raises DataError when it did not finish, or a table was changed."""
    folder = data.rendered_path(config)
    table, note = folder / "segments.csv", folder / "segments.json"
    if not (table.exists() and note.exists()):
        raise DataError(f"rendering into {folder} did not finish; run the same `spectro render` again, it resumes")
    facts = read_document(note, "segments", TABLES_VERSION, remedy=REMEDY)
    require_digest(table, facts.get("segments"))
    require_digest(folder / "sources.csv", facts.get("sources"))
    return data.segments(config)


def read_stamps(folder: Path) -> dict[str, str]:
    """Return the stamp of each clip's file as it was rendered, for the folder of one configuration."""
    return {row["clip"]: row["stamp"] for row in read_csv(folder / "sources.csv", SOURCES)}


def require_digest(path: Path, expected: object) -> None:
    """Raise DataError where a table that a program wrote is missing, cannot be read, or was changed since."""
    try:
        if verified(path, str(expected)):
            return
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}); {REMEDY}") from None
    raise DataError(f"{path} was changed after it was written (its checksum differs); {REMEDY}")


def _note_path(data: DataFolder) -> Path:
    return data.path / "clips.json"


def _checked_clips(data: DataFolder) -> tuple[Clip, ...]:
    """Return the clips; raises DataError where a row is not what a clip must be."""
    path = data.clips_path
    try:
        clips = data.clips
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}); remove it, and {REMEDY}") from None
    seen: set[str] = set()
    for clip in clips:
        require_inside(clip.id, path)
        if clip.id in seen:
            raise DataError(f"{path} has the clip '{clip.id}' twice; keep one of the rows")
        seen.add(clip.id)
        for column, value in (("label", clip.label), ("group", clip.group)):
            if not value.strip():
                raise DataError(f"{path}: the clip '{clip.id}' has no {column}; fill it in")
        if not (math.isfinite(clip.seconds) and clip.seconds >= 0):
            raise DataError(f"{path}: the clip '{clip.id}' lasts {clip.seconds} seconds; correct that number")
    return clips


def _put_aside(path: Path, why: str) -> None:
    names = (path.with_name(f"{path.name}.old{number or ''}") for number in count())
    old = next(name for name in names if not os.path.lexists(name))
    os.replace(path, old)
    log.warning("%s; it is kept as %s", why, old)


def _ids(clips: Sequence[Clip]) -> str:
    return digest_text(*sorted(clip.id for clip in clips))


def _rows(clips: Sequence[Clip]) -> str:
    rows = sorted((clip.id, clip.label, clip.group, clip.fold) for clip in clips)
    return digest_text(*(value for row in rows for value in row))
