"""Features of rendered segments: computed from the sound once, kept as one memory-mapped array with named columns."""

from __future__ import annotations

import csv
import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from spectro.audio.decode import probe
from spectro.audio.features import FEATURES
from spectro.audio.segment import iter_segments
from spectro.core.config import Config, SegmentConfig
from spectro.core.errors import AudioError, ConfigError, DataError
from spectro.core.tables import Segment, read_csv, write_csv, write_text
from spectro.data.engines import local as engine
from spectro.data.render import Failure
from spectro.data.store import open_store

Values = NDArray[np.float32]
JOURNAL = ("clip", "stamp", "reason", "message")
KEYS = ("segment", "clip", "label", "group", "start")
"""Columns that tell whose values they are, in an exported table."""


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
        """Build from the feature's name and what `to_dict` returned; raises ConfigError as `Config.from_dict` does."""
        config = FEATURES[feature].config.from_dict(values[feature])
        return cls(feature=feature, config=config, segment=SegmentConfig.from_dict(values["segment"]))

    def config_id(self) -> str:
        """Return 12 hexadecimal digits that change when any setting does."""
        text = json.dumps({"Extraction": self.to_dict()}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def compute(self, samples: Values) -> Values:
        """Return the feature of one segment's samples, the same to the bit in every process of this machine."""
        with threadpool_limits(limits=1, user_api="blas"):  # sums shared out between threads round otherwise
            return FEATURES[self.feature].function(samples, self.config)

    def silence(self) -> Values:
        """Return the feature of a silent segment: its shape is that of every other."""
        return self.compute(np.zeros(round(self.segment.seconds * self.sample_rate), np.float32))


@dataclass(frozen=True, kw_only=True)
class FeatureStore:
    """One feature of all segments: `config.json`, `values.npy`, `done.csv` and `failed.csv` in a folder."""

    path: Path
    """Its folder, `DATA/features/<feature>-<config_id>`."""
    extraction: Extraction
    """What was computed."""
    columns: tuple[str, ...]
    """Name of each row of a `frames` feature, or of each value of a `vector`."""
    segments: tuple[Segment, ...]
    """The segments that have it, in the order of the pictures."""
    rows: tuple[int, ...]
    """Where each of them stands in `values.npy`."""

    @cached_property
    def config_id(self) -> str:
        """Id of the settings, the one that model cards carry."""
        return self.extraction.config_id()

    def values(self) -> Values:
        """Return `[items, bands, frames]` or `[items, values]` in the order of `segments`: mapped, if none failed."""
        array: Values = np.load(self.path / "values.npy", mmap_mode="r", allow_pickle=False)
        return array if len(self.rows) == len(array) else array[list(self.rows)]

    def digest(self) -> str:
        """Hash what the values depend on: settings, segments and source files."""
        return hashlib.sha256((self.path / "done.csv").read_bytes()).hexdigest()

    def export(self, path: Path | str) -> Path:
        """Write a vector feature as a table: segment, clip, label, group, start, and one named column per value.

        Parquet, typed and with every digit, when the name ends in `.parquet`; CSV otherwise.

        Raises
        ------
        ConfigError
            the feature has frames (its statistics are a vector), or Parquet is wanted and pyarrow is not installed.
        """
        path = Path(path)
        if FEATURES[self.extraction.feature].kind != "vector":
            name = self.extraction.feature
            raise ConfigError(f"'{name}' has many frames a segment; export its statistics: stats with set '{name}'")
        if path.suffix == ".parquet":
            _write_parquet(path, self)
            return path
        rows = (
            (one.id, one.clip.id, one.clip.label, one.clip.group, f"{one.start:.4f}", *(f"{v:.7g}" for v in values))
            for one, values in zip(self.segments, self.values(), strict=True)
        )
        write_csv(path, (*KEYS, *self.columns), rows)
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


def extract(
    data: Path | str,
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
        Which pictures' segments, when `data` holds several configurations.
    workers
        Number of processes; 0 for one per core.
    progress
        Draw a progress bar on standard error.

    Raises
    ------
    ConfigError
        the feature is unknown, or the settings are another feature's.
    DataError
        the source is gone, or not one clip could be read.
    """
    data = Path(data)
    pictures = open_store(data, config_id)
    extraction = Extraction(
        feature=feature, config=config or FEATURES[feature].config(), segment=pictures.config.segment
    )
    root = source_of(data)
    folder = data / "features" / f"{feature}-{extraction.config_id()}"
    columns = _prepare(folder, extraction, pictures.segments)
    rows: dict[str, list[int]] = {}
    for row, segment in enumerate(pictures.segments):
        rows.setdefault(segment.clip.id, []).append(row)
    done = {entry["clip"]: entry for entry in read_csv(folder / "done.csv", JOURNAL) if not entry["reason"]}
    todo = [clip for clip in rows if done.get(clip, {"stamp": ""})["stamp"] != (_stamp(root / clip) or "gone")]
    tasks = [
        {"clip": clip, "rows": rows[clip], "starts": [pictures.segments[row].start for row in rows[clip]]}
        for clip in todo
    ]
    shared = {
        "root": str(root),
        "values": str(folder / "values.npy"),
        "feature": feature,
        "settings": json.dumps(extraction.to_dict()),
    }
    failed: list[Failure] = []
    results = engine.run(extract_one, shared, tasks, workers=workers)
    with (folder / "done.csv").open("a", encoding="utf-8", newline="") as file:
        journal = csv.writer(file, lineterminator="\n")
        for task, result in engine.show_progress(results, len(tasks), "features", progress):
            clip = task["clip"]
            if result is None:
                message = f"{root / clip} killed the process that read it (no memory, or a fault in a decoder)"
                result = {"stamp": "", "seconds": 0.0, "reason": "crashed", "message": message}
            journal.writerow([clip, result["stamp"], result["reason"], result["message"]])
            file.flush()
            if result["reason"]:
                failed.append(
                    Failure(path=clip, reason=result["reason"], seconds=result["seconds"], message=result["message"])
                )
    failed.sort(key=lambda failure: failure.path)
    facts = ((f.path, f.reason, f"{f.seconds:.3f}", f.message) for f in failed)
    write_csv(folder / "failed.csv", ("path", "reason", "seconds", "message"), facts)
    if len(failed) == len(rows):
        raise DataError(f"'{feature}' could be computed of no clip: {failed[0].message}")
    lost = {failure.path for failure in failed}
    kept = [row for row, segment in enumerate(pictures.segments) if segment.clip.id not in lost]
    store = FeatureStore(
        path=folder,
        extraction=extraction,
        columns=columns,
        segments=tuple(pictures.segments[row] for row in kept),
        rows=tuple(kept),
    )
    return Extracted(store=store, made=len(todo) - len(failed), reused=len(rows) - len(todo), failed=tuple(failed))


def extract_clip(path: Path | str, extraction: Extraction) -> Iterator[tuple[float, Values]]:
    """Yield the start in seconds and the feature of each segment of one audio file.

    Extraction and prediction both call this and nothing else; raises AudioError, possibly after some segments, when the
    file cannot be used or is silent from start to end.
    """
    heard = False
    for start, samples in iter_segments(Path(path), extraction.sample_rate, extraction.segment):
        heard = heard or bool(samples.any())
        yield start, extraction.compute(samples)
    if not heard:
        raise AudioError("silent", f"{path} is digital silence from start to end; fetch or export it again")


def extract_one(shared: Mapping[str, Any], task: Mapping[str, Any]) -> dict[str, Any]:
    """Compute one clip's segments and put them into their rows of the array; the work of one engine task."""
    path = Path(shared["root"]) / task["clip"]
    extraction = _extraction(shared["feature"], shared["settings"])
    stamp, seconds = _stamp(path), 0.0
    try:
        seconds = probe(path).seconds
        found = dict(extract_clip(path, extraction))
    except AudioError as error:
        return {"stamp": stamp, "seconds": seconds, "reason": error.reason, "message": str(error)}
    if list(found) != task["starts"]:
        message = f"{path} has other segments than when it was rendered; render again"
        return {"stamp": stamp, "seconds": seconds, "reason": "changed", "message": message}
    values = np.load(shared["values"], mmap_mode="r+", allow_pickle=False)
    for row, start in zip(task["rows"], task["starts"], strict=True):
        values[row] = found[start]
    values.flush()
    return {"stamp": stamp, "seconds": seconds, "reason": "", "message": ""}


def _write_parquet(path: Path, store: FeatureStore) -> None:
    """Write `KEYS` as text and float64, the values as float32, whole or not at all."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise ConfigError("Parquet needs pyarrow: pip install 'spectro[parquet]'; or export to .csv") from None
    facts = [(one.id, one.clip.id, one.clip.label, one.clip.group, one.start) for one in store.segments]
    columns = [*zip(*facts, strict=True), *np.ascontiguousarray(store.values().T)]
    table = pyarrow.table([pyarrow.array(column) for column in columns], names=[*KEYS, *store.columns])
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    parquet.write_table(table, temporary)
    os.replace(temporary, path)


def source_of(data: Path) -> Path:
    """Return the folder that clip ids are relative to; raises DataError when it is gone."""
    note = data / "source.json"
    if not note.exists():
        raise DataError(f"{data} has no source.json; make it with `spectro render SOURCE --out {data}`")
    root = Path(json.loads(note.read_text(encoding="utf-8"))["root"])
    if not root.is_dir():
        raise DataError(f"{root}, which {data} was rendered from, is gone; bring it back to compute features")
    return root


def _prepare(folder: Path, extraction: Extraction, segments: Sequence[Segment]) -> tuple[str, ...]:
    """Make the empty array and journal, unless they are there for just these segments; return the columns."""
    silence = extraction.silence()
    columns = FEATURES[extraction.feature].columns(extraction.config, len(silence))
    facts = {
        **extraction.to_dict(),
        "shape": [len(segments), *silence.shape],
        "columns": list(columns),
        "segments": hashlib.sha256("\n".join(segment.id for segment in segments).encode()).hexdigest(),
    }
    text = json.dumps(facts, indent=2, ensure_ascii=False) + "\n"
    config, values = folder / "config.json", folder / "values.npy"
    if config.exists() and config.read_text(encoding="utf-8") == text and values.exists():
        return columns
    folder.mkdir(parents=True, exist_ok=True)
    config.unlink(missing_ok=True)  # first out and last in: with it the other two are known to fit
    temporary = values.with_name(f".values.npy.{os.getpid()}.tmp")
    shape = (len(segments), *silence.shape)
    np.lib.format.open_memmap(temporary, mode="w+", dtype=np.float32, shape=shape).flush()
    os.replace(temporary, values)
    write_csv(folder / "done.csv", JOURNAL, [])
    write_text(config, text)
    return columns


def _stamp(path: Path) -> str:
    """Return size and time of a source file, other than noted when it was changed; nothing when it is gone."""
    try:
        stat = path.stat()
    except OSError:
        return ""
    return f"{stat.st_size} {stat.st_mtime_ns}"


@lru_cache(maxsize=8)
def _extraction(feature: str, settings: str) -> Extraction:
    return Extraction.from_dict(feature, json.loads(settings))
