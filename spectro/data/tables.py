"""The tables of a data folder with checksums beside them: `clips.csv`, which people edit, and those nobody should."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path

from spectro.core.config import RenderConfig
from spectro.core.data_folder import DataFolder
from spectro.core.errors import DataError
from spectro.core.files import digest, digest_text, read_document, verified, write_document
from spectro.core.paths import require_inside
from spectro.core.tables import Clip, ClipWarning, Failure, Segment
from spectro.data.provenance import Provenance, read_provenance, write_provenance

TABLES_VERSION = 2
REMEDY = "run the same `spectro render` again"

log = logging.getLogger(__name__)
_noted: set[tuple[str, str]] = set()


def write_tables(
    data: DataFolder,
    clips: Sequence[Clip],
    failures: Sequence[Failure] = (),
    warnings: Sequence[ClipWarning] = (),
    *,
    source: Sequence[Clip] | None = None,
    edited: bool = False,
) -> None:
    """Write `clips.csv`, `failed.csv`, `warnings.csv`, and `clips.json`, by which later edits and damage are noticed.

    Parameters
    ----------
    data
        The data folder.
    clips
        With the labels and groups that count.
    failures
        Clips without spectrograms.
    warnings
        What is odd about the others.
    source
        The clips as the source has them, if `clips` was edited.
    edited
        Whether the labels and groups of the source are edited ones already.
    """
    data.write_failures(tuple(failures))
    data.write_warnings(tuple(warnings))
    data.write_clips(tuple(clips))
    note_clips(data, _rows(clips if source is None else source), edited=edited)


def note_clips(data: DataFolder, rows: Mapping[str, str], *, edited: bool = False) -> None:
    """Write `clips.json`: `row_digest` of each clip as the source has it, and the checksum of `failed.csv`."""
    facts = {"rows": rows, "failed": digest(data.failed_path), "edited": edited}
    write_document(_note_path(data), "clips", TABLES_VERSION, facts)


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
    rows, rendered = _rows(clips), note.get("rows", {})
    if rows.keys() != rendered.keys():
        raise DataError(
            f"{data.clips_path} has other clips than were rendered ({len(rows)} instead of {len(rendered)}, or "
            f"other ids): only labels, groups and folds may be edited; undo that, or {REMEDY}"
        )
    require_digest(data.failed_path, note.get("failed"))
    if rows != rendered and (key := (str(data.path.resolve()), digest_text(*rows.values()))) not in _noted:
        _noted.add(key)
        log.warning("%s was edited since rendering: its labels, groups and folds count as they are", data.clips_path)
    return rows != rendered or note.get("edited") is True


def keep_edits(data: DataFolder, clips: Sequence[Clip]) -> tuple[Clip, ...]:
    """Return clips with the labels, groups and folds that people gave them in an earlier `clips.csv`.

    Rows that nobody edited are those of the source. A table that cannot be read, or has edited rows of clips that are
    no longer there, is kept as `clips.csv.old`.

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
        edited = {clip.id: clip for clip in _checked_clips(DataFolder(data.path))}
    except DataError as error:
        _put_aside(path, str(error))
        return tuple(clips)
    try:
        rendered = read_document(_note_path(data), "clips", TABLES_VERSION, remedy=REMEDY).get("rows", {})
        if lost := (rendered.keys() - edited.keys()) & {clip.id for clip in clips}:
            log.warning("%s lacked %d rendered clips (such as '%s'); they are there again", path, len(lost), min(lost))
        edited = {name: clip for name, clip in edited.items() if row_digest(clip) != rendered.get(name)}
    except DataError:
        pass  # nobody knows what was edited: every difference may have been
    if gone := edited.keys() - {clip.id for clip in clips}:
        _put_aside(path, f"{path} has edited rows of clips that the source does not have (the first: '{min(gone)}')")
    kept = tuple(
        replace(clip, label=own.label, group=own.group, fold=own.fold) if (own := edited.get(clip.id)) else clip
        for clip in clips
    )
    changed = [new.id for new, clip in zip(kept, clips, strict=True) if new != clip]
    if changed:
        log.warning(
            "%s: %d edited rows are kept (the first: '%s'); remove the file to take the labels of the source again",
            path, len(changed), changed[0],
        )  # fmt: skip
    return kept


def complete(
    data: DataFolder, config: RenderConfig, segments: Sequence[Segment], provenance: Mapping[str, Provenance]
) -> None:
    """Complete a rendering: write `segments.csv`, `sources.csv`, and last `segments.json` with their checksums.

    Parameters
    ----------
    data
        The data folder.
    config
        Settings of the rendering.
    segments
        All segments that have a spectrogram.
    provenance
        What the spectrograms of each clip were made from; clips that are gone may be among them.
    """
    data.write_segments(config, tuple(segments))
    folder = data.rendered_path(config)
    _write_provenance(folder, provenance)


def read_segments(data: DataFolder, config: RenderConfig) -> tuple[Segment, ...]:
    """Return the segments of a rendering; raises DataError when it did not finish, or a table was changed."""
    _require_complete(data.rendered_path(config))
    return data.segments(config)


def known_provenance(folder: Path) -> dict[str, Provenance]:
    """Return what the spectrograms in the folder of a configuration were made from; none where that is not certain."""
    try:
        _require_complete(folder)
        return read_provenance(folder / "sources.csv")
    except DataError:
        return {}


def forget(folder: Path, clips: Iterable[str]) -> None:
    """Remove the rows of clips that are gone from `sources.csv`, in the folder of one configuration."""
    known = known_provenance(folder)
    left = {clip: one for clip, one in known.items() if clip not in set(clips)}
    if left != known:
        _write_provenance(folder, left)


def _write_provenance(folder: Path, provenance: Mapping[str, Provenance]) -> None:
    write_provenance(folder / "sources.csv", provenance)
    note_segments(folder)


def note_segments(folder: Path) -> None:
    """Write `segments.json`, by which the other tables in the folder of a configuration are known to be complete."""
    facts = {name: digest(folder / f"{name}.csv") for name in ("segments", "sources")}
    write_document(folder / "segments.json", "segments", TABLES_VERSION, facts)


def _require_complete(folder: Path) -> None:
    table, note = folder / "segments.csv", folder / "segments.json"
    if not (table.exists() and note.exists()):
        raise DataError(f"rendering into {folder} did not finish; run the same `spectro render` again, it resumes")
    facts = read_document(note, "segments", TABLES_VERSION, remedy=REMEDY)
    require_digest(table, facts.get("segments"))
    require_digest(folder / "sources.csv", facts.get("sources"))


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


def _rows(clips: Sequence[Clip]) -> dict[str, str]:
    """Return a checksum of each row, by clip: of what people may edit."""
    return {clip.id: row_digest(clip) for clip in clips}


def row_digest(clip: Clip) -> str:
    """Return a checksum of what people may edit of a clip."""
    return digest_text(clip.label, clip.group, clip.fold)[:16]
