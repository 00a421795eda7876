"""Features of rendered segments, computed from the sound once and kept as one memory-mapped array."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from spectro.audio.features import FEATURES
from spectro.core.arrays import Floats32
from spectro.core.config import Config
from spectro.core.data_folder import DataFolder
from spectro.core.errors import AudioError, ConfigError, DataError
from spectro.core.files import csv_text, digest_text, read_document, write_document
from spectro.core.locks import writing
from spectro.core.records import Record
from spectro.core.tables import FAILURE_COLUMNS, Failure, Segment, write_failures
from spectro.data.engines import Failed
from spectro.data.engines import local as engine
from spectro.data.extraction import Extraction as Extraction  # with these two, all of features is here
from spectro.data.extraction import extract_clip as extract_clip
from spectro.data.feature_array import JOURNAL, Entry, make_array, open_array, renew_array, verify_rows, write_rows
from spectro.data.feature_table import write_feature_table
from spectro.data.journal import appending, read_journal, write_journal
from spectro.data.ownership import clear_dead
from spectro.data.render import failure_of
from spectro.data.source import signature, source_stamp
from spectro.data.store import open_store

NOTE_VERSION = 2
PATIENCE = 600.0
"""Longest time to wait for another process that computes the same feature, in seconds."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class FeatureStore:
    """One feature of all segments: `config.json`, `values.npy`, `done.csv` and `failed.csv` in a folder."""

    path: Path
    """Its folder, `DATA/features/<feature>-<config id>`."""
    extraction: Extraction
    """What was computed."""
    columns: tuple[str, ...]
    """Name of each row of a `frames` feature, or of each value of a `vector`."""
    segments: tuple[Segment, ...]
    """The segments that have it, in the order of the spectrograms."""
    rows: tuple[int, ...]
    """Index of each of them in `values.npy`."""
    array: Floats32 = field(repr=False, compare=False)
    """`values.npy`, memory-mapped when it was verified."""
    content: str
    """Hash of the clips' files and values."""

    @cached_property
    def config_id(self) -> str:
        """Id of the settings, the one that model cards carry."""
        return self.extraction.config_id()

    def values(self) -> Floats32:
        """Return the values in the order of `segments`, memory-mapped if no clip failed.

        Returns
        -------
        array
            `[items, bands, frames]` or `[items, values]`.
        """
        return self.array if len(self.rows) == len(self.array) else self.array[list(self.rows)]

    def digest(self) -> str:
        """Hash the settings, the content of the clips' files, and the values."""
        return digest_text(self.config_id, self.content)

    def export(self, path: Path | str) -> Path:
        """Write a vector feature as a table: segment, clip, label, group, start, and one named column per value.

        Parameters
        ----------
        path
            Parquet if its name ends in `.parquet`; CSV otherwise.

        Returns
        -------
        Path
            The table.

        Raises
        ------
        ConfigError
            the feature has frames (its statistics are a vector), or Parquet is wanted and pyarrow is not installed.
        """
        path = Path(path)
        if FEATURES[self.extraction.feature].kind != "vector":
            name = self.extraction.feature
            raise ConfigError(
                f"'{name}' has many frames a segment; export its statistics: feature stats with the set '{name}'"
            )
        write_feature_table(path, self.segments, self.columns, self.values())
        return path


@dataclass(frozen=True, kw_only=True)
class Extracted:
    """What `extract` did."""

    store: FeatureStore
    """The values."""
    made: int
    """Clips computed now."""
    reused: int
    """Clips that were already there, with the same settings, of the same source files."""
    failed: tuple[Failure, ...]
    """Clips without values."""


@dataclass(frozen=True, kw_only=True)
class ExtractJob(Record):
    """What all clips of one extraction have in common."""

    root: str
    """Folder of the source."""
    values: str
    """The array that the values are written into."""
    feature: str
    settings: Mapping[str, Any]
    """The extraction, as its `to_dict` returned it."""

    @cached_property
    def extraction(self) -> Extraction:
        """What is computed."""
        return Extraction.from_dict(self.feature, self.settings)


@dataclass(frozen=True, kw_only=True)
class ExtractTask(Record):
    """One clip whose feature is computed."""

    clip: str
    """Its id."""
    rows: tuple[int, ...]
    """Index of each of its segments in the array."""
    starts: tuple[float, ...]
    """Start of each of its segments, in seconds."""


@dataclass(frozen=True, kw_only=True)
class ExtractedClip(Record):
    """A clip whose values are in the array."""

    stamp: str
    """Size and checksum of its file, as `source_stamp` returns them."""
    signature: str
    """What the file system knew of its file, as `signature` returns it."""
    checksum: str
    """Checksum of its rows."""


@dataclass(frozen=True, kw_only=True)
class FeatureNote(Record):
    """What the array of a feature holds: written last, so that with it the other files are known to fit."""

    feature: str
    settings: Mapping[str, Any]
    shape: tuple[int, ...]
    columns: tuple[str, ...]
    segments: str
    """Hash of the segments' ids."""


def extract(
    data: DataFolder | Path | str,
    feature: str = "stats",
    *,
    config: Config | None = None,
    config_id: str | None = None,
    workers: int = 0,
    progress: bool = False,
) -> Extracted:
    """Compute a feature of every rendered segment, doing only what is missing; it may be killed and run again.

    Parameters
    ----------
    data
        Folder that `render` made; the sound is read from where it was rendered from.
    feature
        A name in `FEATURES`.
    config
        Its settings; the defaults when None.
    config_id
        Whose segments, when `data` has spectrograms of several configurations.
    workers
        Number of processes; 0 for one per core.
    progress
        Draw a progress bar on standard error.

    Returns
    -------
    Extracted

    Raises
    ------
    ConfigError
        the feature is unknown, or the settings are another feature's.
    DataError
        the source is gone, or not one clip could be read.
    BusyError
        another process is still computing this feature.
    StorageError
        the disk is full, failing or read-only.
    """
    data = DataFolder.open(data)
    store = open_store(data, config_id)
    extraction = Extraction(feature=feature, config=config or FEATURES[feature].config(), segment=store.config.segment)
    root, folder = data.source_root(), data.feature_path(feature, extraction.config_id())
    tasks = _tasks(store.segments)
    note = _note(extraction, store.segments)
    state, made = _State.read(folder, note, tasks, root), 0
    failed: tuple[Failure, ...] = ()
    if state.array is None or state.todo or not _lists_no_failure(folder):
        with writing(folder, wait=PATIENCE):
            state = _State.read(folder, note, tasks, root)  # another process may have computed it meanwhile
            made = len(state.todo)
            state, failed = _compute(state, folder, note, tasks, root, workers, progress)
    if len(failed) == len(tasks):
        raise DataError(f"'{feature}' could be computed for no clip: {failed[0].message}")
    assert state.array is not None  # it was computed
    lost = {failure.path for failure in failed}
    rows = tuple(row for row, segment in enumerate(store.segments) if segment.clip.id not in lost)
    values = FeatureStore(
        path=folder,
        extraction=extraction,
        columns=note.columns,
        segments=tuple(store.segments[row] for row in rows),
        rows=rows,
        array=state.array,
        content=state.content(lost),
    )
    return Extracted(store=values, made=made - len(failed), reused=len(tasks) - made, failed=failed)


def extract_one(job: ExtractJob, task: ExtractTask) -> ExtractedClip:
    """Compute one clip's segments and put them into their rows of the array; raises AudioError when it cannot."""
    path = Path(job.root) / task.clip
    stamp, seen = source_stamp(path), signature(path)
    computed = {start: values.copy() for start, values in extract_clip(path, job.extraction)}
    if tuple(computed) != task.starts:
        raise AudioError("changed", f"{path} has other segments than when it was rendered; render again")
    checksum = write_rows(Path(job.values), task.rows, list(computed.values()))
    return ExtractedClip(stamp=stamp, signature=seen, checksum=checksum)


@dataclass(frozen=True, kw_only=True)
class _State:
    """What is there of a feature, and what must be computed."""

    array: Floats32 | None
    """None where there is none for just these segments."""
    journal: dict[str, Entry]
    """The clips whose values are right."""
    todo: tuple[ExtractTask, ...]
    damaged: bool
    """Whether values in the array are no longer those that were written."""

    @classmethod
    def read(cls, folder: Path, note: FeatureNote, tasks: Sequence[ExtractTask], root: Path) -> _State:
        path = folder / "values.npy"
        array = open_array(path, note.shape) if _read_note(folder / "config.json") == note else None
        if array is None:
            return cls(array=None, journal={}, todo=tuple(tasks), damaged=False)
        journal = _read_entries(folder / "done.csv")
        damaged = verify_rows(path, array, {task.clip: task.rows for task in tasks}, journal)
        fresh = {
            task.clip: entry
            for task in tasks
            if task.clip not in damaged
            and (entry := journal.get(task.clip))
            and (entry := _still_of(root / task.clip, entry))
        }
        todo = tuple(task for task in tasks if task.clip not in fresh)
        return cls(array=array, journal=fresh, todo=todo, damaged=bool(damaged))

    def content(self, lost: set[str]) -> str:
        """Hash the files and values of all clips that have values."""
        entries = sorted((clip, entry) for clip, entry in self.journal.items() if clip not in lost)
        return digest_text(*(f"{clip}\t{entry.stamp}\t{entry.checksum}" for clip, entry in entries))


def _note(extraction: Extraction, segments: Sequence[Segment]) -> FeatureNote:
    shape = extraction.silence().shape
    return FeatureNote(
        feature=extraction.feature,
        settings=extraction.to_dict(),
        shape=(len(segments), *shape),
        columns=FEATURES[extraction.feature].columns(extraction.config, shape[0]),
        segments=digest_text(*(segment.id for segment in segments)),
    )


def _read_note(path: Path) -> FeatureNote | None:
    try:
        return FeatureNote.from_dict(read_document(path, "features", NOTE_VERSION, remedy="it is made again"))
    except (DataError, ConfigError, OSError):
        return None


def _read_entries(path: Path) -> dict[str, Entry]:
    return {clip: Entry.of(line) for clip, line in read_journal(path, JOURNAL).items()}


def _write_entries(path: Path, entries: Mapping[str, Entry]) -> None:
    write_journal(path, JOURNAL, {clip: entry.line() for clip, entry in entries.items()})


def _still_of(path: Path, entry: Entry) -> Entry | None:
    """Return the entry of a clip if its file is still the same, by what the file system knows or by its content."""
    try:
        seen = signature(path)
        if seen and seen == entry.signature:
            return entry
        return replace(entry, signature=seen) if source_stamp(path) == entry.stamp else None
    except (AudioError, OSError):
        return None


def _lists_no_failure(folder: Path) -> bool:
    """Tell whether `failed.csv` is there, whole and empty, as it must be once every clip has values."""
    try:
        return (folder / "failed.csv").read_bytes() == csv_text(FAILURE_COLUMNS, ()).encode()
    except OSError:
        return False


def _tasks(segments: Sequence[Segment]) -> list[ExtractTask]:
    """Return one task for each clip."""
    rows: dict[str, list[int]] = {}
    for row, segment in enumerate(segments):
        rows.setdefault(segment.clip.id, []).append(row)
    return [
        ExtractTask(clip=clip, rows=tuple(own), starts=tuple(segments[row].start for row in own))
        for clip, own in rows.items()
    ]


def _compute(
    state: _State,
    folder: Path,
    note: FeatureNote,
    tasks: Sequence[ExtractTask],
    root: Path,
    workers: int,
    progress: bool,
) -> tuple[_State, tuple[Failure, ...]]:
    """Compute what must be, noting each clip that is done; return what is there now, and the failures by id."""
    _prepare(state, folder, note)
    path, journal, failed = folder / "done.csv", dict(state.journal), []
    job = ExtractJob(root=str(root), values=str(folder / "values.npy"), feature=note.feature, settings=note.settings)
    outcomes = engine.run(extract_one, job, state.todo, workers=workers)
    with appending(path) as appender:
        for task, outcome in engine.show_progress(outcomes, len(state.todo), "features", progress):
            if isinstance(outcome, Failed):
                failed.append(failure_of(root, task.clip, outcome))
                continue
            done = outcome.value
            entry = Entry(stamp=done.stamp, signature=done.signature, checksum=done.checksum)
            journal[task.clip] = entry
            appender.add(task.clip, entry.line())
    _write_entries(path, journal)
    failures = tuple(sorted(failed, key=lambda failure: failure.path))
    write_failures(folder / "failed.csv", failures)
    array = open_array(folder / "values.npy", note.shape)
    return _State(array=array, journal=journal, todo=(), damaged=False), failures


def _prepare(state: _State, folder: Path, note: FeatureNote) -> None:
    """Make array and journal ready to be written: new ones, or a copy of the array where others may be reading."""
    path, values = folder / "config.json", folder / "values.npy"
    clear_dead(folder)
    if state.array is None:
        if path.exists() or values.exists():
            log.warning("%s is damaged, or of other segments: it is computed again", folder)
        path.unlink(missing_ok=True)
        make_array(values, note.shape)
        _write_entries(folder / "done.csv", {})
        write_document(path, "features", NOTE_VERSION, note.to_dict())
        return
    if state.damaged:
        log.warning("%s holds values that are damaged: those of %d clips are computed again", values, len(state.todo))
    known = _read_entries(folder / "done.csv")
    if any(task.clip in known for task in state.todo):
        renew_array(values)
    _write_entries(folder / "done.csv", state.journal)
