"""Render a source as mel-spectrograms, resuming what was begun and doing again only what changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from spectro.core.config import RenderConfig
from spectro.core.data_folder import DataFolder, Source
from spectro.core.errors import AudioError, DataError
from spectro.core.files import read_csv
from spectro.core.locks import writing
from spectro.core.tables import Clip, ClipWarning, Failure, Segment
from spectro.data import pruning
from spectro.data.changes import Changes, compare
from spectro.data.clip_rendering import RenderedClip as RenderedClip  # with these, all of rendering is here
from spectro.data.clip_rendering import RenderJob as RenderJob
from spectro.data.clip_rendering import failure_of as failure_of
from spectro.data.clip_rendering import render_clip as render_clip
from spectro.data.clip_rendering import render_one as render_one
from spectro.data.engines import ClipTask as ClipTask
from spectro.data.engines import Failed
from spectro.data.engines import local as engine
from spectro.data.journal import appending, write_journal
from spectro.data.layouts import Scan, Skipped, scan
from spectro.data.ownership import claim, remove_dead, require_own
from spectro.data.provenance import COLUMNS, Provenance, read_unfinished
from spectro.data.pruning import Pruned
from spectro.data.store import Store, open_store
from spectro.data.tables import complete, keep_edits, known_provenance, write_tables

JOURNAL = "done.csv"
"""Beside the spectrograms while they are rendered: what those of each clip were made from."""


@dataclass(frozen=True, kw_only=True)
class Rendering:
    """What `render` did."""

    data: Path
    """The data folder."""
    store: Store
    """The spectrograms."""
    made: int
    """Spectrograms rendered now."""
    reused: int
    """Spectrograms that were already there, with the same settings, of the same source files."""
    failed: tuple[Failure, ...]
    """Clips without spectrograms."""
    warnings: tuple[ClipWarning, ...] = ()
    """What is odd about the others."""
    skipped: tuple[Skipped, ...] = ()
    """What is in the source and is no clip."""
    changes: Changes | None = None
    """What changed since the rendering before; None if there was none."""
    pruned: Pruned | None = None
    """What was removed of clips that are gone, if that was asked for."""


def render(
    source: Path | str,
    *,
    out: Path | str,
    config: RenderConfig | None = None,
    layout: str = "auto",
    workers: int = 0,
    strict: bool = False,
    exclude: Path | str | None = None,
    source_moved: bool = False,
    prune: bool = False,
    progress: bool = False,
) -> Rendering:
    """Render every clip of a source as spectrograms below `out`, doing only what is missing.

    Writes `clips.csv`, `failed.csv`, `warnings.csv`, `source.json` and `mel-<config id>/`; spectrograms of other
    settings in the same folder are left alone. It may be killed at any point and run again. Whether a file changed is
    decided by its content, and so is whether a source in another folder is the same.

    Parameters
    ----------
    source, layout
        What `scan` takes.
    out
        The data folder.
    config
        Settings of the spectrograms; the defaults when None.
    workers
        Number of processes; 0 for one per core.
    strict
        Stop at the first clip that cannot be rendered, or that is odd.
    exclude
        CSV with a column `path`: ids of clips to leave out (the `bad_files` of `check_audio`, or a `failed.csv`).
    source_moved
        Take the source for the one that `out` was rendered from, although its files are in another folder and differ.
    prune
        Remove the spectrograms of clips that the source does not have any more.
    progress
        Draw a progress bar on standard error.

    Returns
    -------
    Rendering

    Raises
    ------
    DataError
        the source is not laid out that way, `out` belongs to another source or holds something else, or not one clip
        could be rendered.
    AudioError
        a clip cannot be rendered, or is odd, with `strict`.
    BusyError
        another process renders into `out`.
    StorageError
        the disk is full, failing or read-only.
    """
    whole = scan(source, layout)
    rendering = render_scan(
        leave_out(whole, exclude),
        out=out,
        config=config,
        workers=workers,
        strict=strict,
        source_moved=source_moved,
        progress=progress,
    )
    if not prune:
        return rendering
    with writing(rendering.data):
        return replace(rendering, pruned=pruning.prune(DataFolder(rendering.data), {clip.id for clip in whole.clips}))


def render_scan(
    listing: Scan,
    *,
    out: Path | str,
    config: RenderConfig | None = None,
    workers: int = 0,
    strict: bool = False,
    source_moved: bool = False,
    progress: bool = False,
    edited: bool = False,
) -> Rendering:
    """Render clips that are known already: `render` without reading a layout.

    Parameters
    ----------
    listing
        The clips.
    out, config, workers, strict, source_moved, progress
        What `render` takes.
    edited
        Whether labels, groups or folds of the clips were edited by hand.
    """
    config, data = config or RenderConfig(), DataFolder(Path(out))
    require_own(data.path)
    with writing(data.path):
        source = Source(layout=listing.layout, root=str(listing.root))
        moved_from = claim(data, source, {clip.id for clip in listing.clips}, source_moved=source_moved)
        return _render_into(data, listing, config, workers, strict, progress, edited, moved_from)


def _render_into(
    data: DataFolder,
    listing: Scan,
    config: RenderConfig,
    workers: int,
    strict: bool,
    progress: bool,
    edited: bool,
    moved_from: str,
) -> Rendering:
    data.write_config(config)
    folder, before = data.rendered_path(config), earlier_clips(data)
    known = known_provenance(folder)
    try:
        rendered, failed = _work(listing, folder, config, known, workers, strict, progress)
    finally:
        remove_dead(data.path, folder)  # also what workers were writing that end with this process
    source = tuple(replace(clip, seconds=(rendered.get(clip.id) or failed[clip.id]).seconds) for clip in listing.clips)
    failures = tuple(failed[clip.id] for clip in source if clip.id in failed)
    if not rendered:
        data.write_failures(failures)
        first = failures[0].message
        raise DataError(f"none of {len(source)} clips could be rendered: {first} (all in {data.failed_path})")
    clips = keep_edits(data, source)
    warnings = tuple(_warnings(clips, rendered))
    write_tables(data, clips, failures, warnings, source=source, edited=edited)
    provenance = {clip: one.provenance for clip, one in rendered.items()}
    gone = {clip: one for clip, one in known.items() if clip not in provenance and clip not in failed}
    complete(data, config, tuple(_segments(clips, rendered, config)), gone | provenance)
    (folder / JOURNAL).unlink(missing_ok=True)
    made = sum(clip.made for clip in rendered.values())
    store = open_store(data.path, config.config_id())
    stamps = [{clip: one.stamp for clip, one in ones.items()} for ones in (known, provenance)]
    return Rendering(
        data=data.path,
        store=store,
        made=made,
        reused=len(store.segments) - made,
        failed=failures,
        warnings=warnings,
        skipped=listing.skipped,
        changes=None if before is None else compare(before, clips, stamps[0], stamps[1], moved_from),
    )


def _work(
    listing: Scan,
    folder: Path,
    config: RenderConfig,
    known: Mapping[str, Provenance],
    workers: int,
    strict: bool,
    progress: bool,
) -> tuple[dict[str, RenderedClip], dict[str, Failure]]:
    """Render what is missing; return the clips that are there, and the others, by id.

    What a clip was made from is noted in a journal at once, for a killed run knows nothing of it later.
    """
    known = {**known, **read_unfinished(folder / JOURNAL)}
    write_journal(folder / JOURNAL, COLUMNS, {clip: one.line() for clip, one in known.items()})
    rendered: dict[str, RenderedClip] = {}
    failed: dict[str, Failure] = {}
    job = RenderJob(root=str(listing.root), folder=str(folder), config=config)
    tasks = [ClipTask(clip=clip.id) for clip in listing.clips]
    with (
        appending(folder / JOURNAL) as journal,
        closing(engine.run(render_one, job, tasks, workers=workers)) as outcomes,  # ends the workers, whatever happens
    ):
        for task, outcome in engine.show_progress(outcomes, len(tasks), "render", progress):
            if isinstance(outcome, Failed):
                failed[task.clip] = failure = failure_of(listing.root, task.clip, outcome)
                if strict:
                    raise AudioError(failure.reason, failure.message)
                continue
            clip = outcome.value
            earlier = known.get(task.clip)
            if not clip.made and earlier and earlier.stamp == clip.provenance.stamp:
                clip = replace(clip, provenance=earlier)
            else:
                journal.add(task.clip, clip.provenance.line())
            rendered[task.clip] = clip
            if strict and clip.provenance.warnings:
                warning = clip.provenance.warnings[0]
                raise AudioError(warning.reason, warning.message)
    return rendered, failed


def earlier_clips(data: DataFolder) -> tuple[Clip, ...] | None:
    """Return the clips of the rendering before; None if there was none, or its table cannot be read."""
    try:
        return DataFolder(data.path).clips
    except DataError:
        return None


def leave_out(listing: Scan, exclude: Path | str | None) -> Scan:
    """Leave out the clips that a CSV names in its column `path`; raises DataError when it names none of them."""
    if exclude is None:
        return listing
    names = {row["path"] for row in read_csv(Path(exclude), ("path",))}
    kept = tuple(clip for clip in listing.clips if clip.id not in names)
    if names and len(kept) == len(listing.clips):
        raise DataError(f"{exclude} names no clip of {listing.root} (its first: '{min(names)}'); paths are clip ids")
    if not kept:
        raise DataError(f"{exclude} leaves no clip of {listing.root} to render")
    return replace(listing, clips=kept)


def _warnings(clips: Sequence[Clip], rendered: Mapping[str, RenderedClip]) -> Iterator[ClipWarning]:
    for clip in clips:
        for warning in rendered[clip.id].provenance.warnings if clip.id in rendered else ():
            yield ClipWarning(path=clip.id, reason=warning.reason, message=warning.message)


def _segments(clips: Sequence[Clip], rendered: dict[str, RenderedClip], config: RenderConfig) -> Iterator[Segment]:
    for clip in clips:
        for start in rendered[clip.id].starts if clip.id in rendered else ():
            yield Segment(clip=clip, start=start, seconds=config.segment.seconds)
