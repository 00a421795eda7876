"""Features of rendered segments, computed from the sound once and kept as one memory-mapped array."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from spectro.audio.features import FEATURES
from spectro.audio.segment import iter_segments
from spectro.core.arrays import Floats32
from spectro.core.card import FeatureFacts
from spectro.core.config import Config, SegmentConfig
from spectro.core.data_folder import DataFolder
from spectro.core.errors import AudioError, ConfigError, DataError
from spectro.core.files import digest, digest_text, read_csv, read_document, replacing, write_csv, write_document
from spectro.core.records import Record
from spectro.core.tables import Failure, Segment, write_failures
from spectro.data.engines import Failed
from spectro.data.engines import local as engine
from spectro.data.feature_table import write_feature_table
from spectro.data.render import failure_of
from spectro.data.store import map_array, open_store, source_stamp

NOTE_VERSION = 1
JOURNAL = ("clip", "stamp")


@dataclass(frozen=True, kw_only=True)
class Extraction:
    """Everything that decides what is computed: the feature, its settings, and how clips are cut."""

    feature: str
    """A name in `FEATURES`."""
    config: Config
    """Its settings, of the class that `FEATURES` names."""
    segment: SegmentConfig
    """How clips are cut."""

    def __post_init__(self) -> None:
        wanted = FEATURES[self.feature].config
        if not isinstance(self.config, wanted):
            raise ConfigError(f"'{self.feature}' takes a {wanted.__name__}, not a {type(self.config).__name__}")

    @property
    def sample_rate(self) -> int:
        """Sample rate that audio is resampled to, in Hz."""
        return int(self.to_dict()[self.feature]["sample_rate"])

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values, as a card keeps them: `{<feature>: ..., "segment": ...}`."""
        return {self.feature: self.config.to_dict(), "segment": self.segment.to_dict()}

    @classmethod
    def from_dict(cls, feature: str, values: Mapping[str, Any]) -> Extraction:
        """Build from the feature's name and what `to_dict` returned; raises ConfigError where they do not fit."""
        missing = next((key for key in (feature, "segment") if key not in values), None)
        if missing is not None:
            raise ConfigError(f"the settings of feature '{feature}' lack '{missing}'")
        config = FEATURES[feature].config.from_dict(values[feature])
        return cls(feature=feature, config=config, segment=SegmentConfig.from_dict(values["segment"]))

    @classmethod
    def of(cls, facts: FeatureFacts) -> Extraction:
        """Return the extraction that a card describes; raises ConfigError where its settings do not fit."""
        return cls.from_dict(facts.name, facts.config)

    def config_id(self) -> str:
        """Return 12 hexadecimal digits that change when any setting does."""
        text = json.dumps({"Extraction": self.to_dict()}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def compute(self, samples: Floats32) -> Floats32:
        """Return the feature of one segment's samples, the same to the bit in every process of this machine."""
        with threadpool_limits(limits=1, user_api="blas"):  # sums shared between threads are rounded differently
            return FEATURES[self.feature].function(samples, self.config)

    def silence(self) -> Floats32:
        """Return the feature of a silent segment: its shape is that of every other."""
        return self.compute(np.zeros(round(self.segment.seconds * self.sample_rate), np.float32))


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
        array: Floats32 = np.load(self.path / "values.npy", mmap_mode="r", allow_pickle=False)
        return array if len(self.rows) == len(array) else array[list(self.rows)]

    def digest(self) -> str:
        """Hash what the values depend on: the settings, the clips, and size and time of their files."""
        return digest_text(self.config_id, digest(self.path / "done.csv"))

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
    """State of its file, as `source_stamp` returns it."""


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
    """
    data = DataFolder.open(data)
    store = open_store(data, config_id)
    extraction = Extraction(feature=feature, config=config or FEATURES[feature].config(), segment=store.config.segment)
    root, folder = data.source_root(), data.feature_path(feature, extraction.config_id())
    columns = _prepare(folder, extraction, store.segments)
    tasks = _tasks(store.segments)
    done = _read_journal(folder)
    todo = [task for task in tasks if done.get(task.clip) != (_stamp(root / task.clip) or "gone")]
    job = ExtractJob(root=str(root), values=str(folder / "values.npy"), feature=feature, settings=extraction.to_dict())
    failed = _compute(job, todo, folder, done, workers, progress)
    write_failures(folder / "failed.csv", failed)
    if len(failed) == len(tasks):
        raise DataError(f"'{feature}' could be computed for no clip: {failed[0].message}")
    lost = {failure.path for failure in failed}
    rows = tuple(row for row, segment in enumerate(store.segments) if segment.clip.id not in lost)
    segments = tuple(store.segments[row] for row in rows)
    values = FeatureStore(path=folder, extraction=extraction, columns=columns, segments=segments, rows=rows)
    made, reused = len(todo) - len(failed), len(tasks) - len(todo)
    return Extracted(store=values, made=made, reused=reused, failed=failed)


def extract_clip(path: Path | str, extraction: Extraction) -> Iterator[tuple[float, Floats32]]:
    """Yield the feature of each segment of one audio file; extraction and prediction both call this and nothing else.

    Parameters
    ----------
    path
        The audio file.
    extraction
        What to compute.

    Yields
    ------
    start, values
        Start in seconds, and `[bands, frames]` or `[values]`.

    Raises
    ------
    AudioError
        the file cannot be used, or is silent from start to end; possibly after some segments.
    """
    sounding = False
    for start, samples in iter_segments(Path(path), extraction.sample_rate, extraction.segment):
        sounding = sounding or bool(samples.any())
        yield start, extraction.compute(samples)
    if not sounding:
        raise AudioError("silent", f"{path} is digital silence from start to end; fetch or export it again")


def extract_one(job: ExtractJob, task: ExtractTask) -> ExtractedClip:
    """Compute one clip's segments and put them into their rows of the array; raises AudioError when it cannot."""
    path = Path(job.root) / task.clip
    stamp = _stamp(path)
    computed = dict(extract_clip(path, job.extraction))
    if tuple(computed) != task.starts:
        raise AudioError("changed", f"{path} has other segments than when it was rendered; render again")
    values = np.load(job.values, mmap_mode="r+", allow_pickle=False)
    for row, start in zip(task.rows, task.starts, strict=True):
        values[row] = computed[start]
    values.flush()
    return ExtractedClip(stamp=stamp)


def _prepare(folder: Path, extraction: Extraction, segments: Sequence[Segment]) -> tuple[str, ...]:
    """Make the empty array and journal, unless they are there for just these segments; return the columns."""
    shape = extraction.silence().shape
    note = FeatureNote(
        feature=extraction.feature,
        settings=extraction.to_dict(),
        shape=(len(segments), *shape),
        columns=FEATURES[extraction.feature].columns(extraction.config, shape[0]),
        segments=digest_text(*(segment.id for segment in segments)),
    )
    path, values = folder / "config.json", folder / "values.npy"
    if _read_note(path) == note and map_array(values, note.shape, np.float32) is not None:
        return note.columns
    path.unlink(missing_ok=True)
    with replacing(values) as temporary:
        np.lib.format.open_memmap(temporary, mode="w+", dtype=np.float32, shape=note.shape).flush()
    write_csv(folder / "done.csv", JOURNAL, [])
    write_document(path, "features", NOTE_VERSION, note.to_dict())
    return note.columns


def _read_note(path: Path) -> FeatureNote | None:
    try:
        return FeatureNote.from_dict(read_document(path, "features", NOTE_VERSION, remedy="it is made again"))
    except (DataError, ConfigError):
        return None


def _tasks(segments: Sequence[Segment]) -> list[ExtractTask]:
    """Return one task for each clip."""
    rows: dict[str, list[int]] = {}
    for row, segment in enumerate(segments):
        rows.setdefault(segment.clip.id, []).append(row)
    return [
        ExtractTask(clip=clip, rows=tuple(own), starts=tuple(segments[row].start for row in own))
        for clip, own in rows.items()
    ]


def _read_journal(folder: Path) -> dict[str, str]:
    """Return the stamp of each clip that is done; nothing where the journal is damaged: all is computed again."""
    try:
        return {row["clip"]: row["stamp"] for row in read_csv(folder / "done.csv", JOURNAL)}
    except DataError:
        return {}


def _compute(
    job: ExtractJob, tasks: Sequence[ExtractTask], folder: Path, done: dict[str, str], workers: int, progress: bool
) -> tuple[Failure, ...]:
    """Compute clips, noting each one that is done; return the failures, in order of id."""
    if not tasks:
        return ()
    path, failed = folder / "done.csv", []
    write_csv(path, JOURNAL, done.items())  # whole lines only: a killed run may have left half a line at its end
    outcomes = engine.run(extract_one, job, tasks, workers=workers)
    with path.open("a", encoding="utf-8", newline="") as file:
        journal = csv.writer(file, lineterminator="\n")
        for task, outcome in engine.show_progress(outcomes, len(tasks), "features", progress):
            done.pop(task.clip, None)
            if isinstance(outcome, Failed):
                failed.append(failure_of(Path(job.root), task.clip, outcome))
                continue
            done[task.clip] = outcome.value.stamp
            journal.writerow([task.clip, outcome.value.stamp])
            file.flush()
    write_csv(path, JOURNAL, sorted(done.items()))  # in an order that does not depend on the workers, for `digest`
    return tuple(sorted(failed, key=lambda failure: failure.path))


def _stamp(path: Path) -> str:
    """Return the stamp of a source file; nothing when it is gone."""
    try:
        return source_stamp(path)
    except OSError:
        return ""
