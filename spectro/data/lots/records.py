"""What a plan, a lot and its commit consist of: plain JSON, which every engine can carry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from spectro.audio.decode import AudioWarning
from spectro.core.config import RenderConfig
from spectro.core.records import Record


@dataclass(frozen=True, kw_only=True)
class Item(Record):
    """One clip of a lot, or a part of a long one."""

    clip: str
    """Its id: the name of its file below the source."""
    label: str
    group: str
    fold: str
    size: int
    """Of its file, in bytes; 0 where it was missing."""
    etag: str
    """Of its file when it was listed."""
    begin: float = 0.0
    """Start of the first segment of this part, in seconds."""
    end: float = 0.0
    """Start of the first segment behind it; 0 where it goes to the end."""

    @property
    def whole(self) -> bool:
        """Whether it is not a part."""
        return not (self.begin or self.end)


@dataclass(frozen=True, kw_only=True)
class PredictionWork(Record):
    """What decides the answers of a prediction in lots."""

    run: str
    """Folder of the run, or its URL, as every worker reads it."""
    identity: str
    """Checksum of its cards, with those of the weights."""
    overlap: float | None
    """Share of a segment that the next one repeats; None for the card's own."""
    device: str
    """`auto`, `cpu`, `cuda` or `mps`."""


@dataclass(frozen=True, kw_only=True)
class LotSummary(Record):
    """What a driver knows of a lot."""

    id: str
    """Checksum of the settings, the code, and name, etag and part of each of its clips."""
    clips: int
    bytes: int
    """Of their files."""
    weight: float
    """Estimated time of one core, in seconds."""


@dataclass(frozen=True, kw_only=True)
class Plan(Record):
    """All lots of one rendering or prediction; `plan.json`, written once."""

    source: str
    """Folder or URL that the clips are below."""
    layout: str
    work: PredictionWork | RenderConfig
    """What is done: prediction with a run, or rendering with these settings."""
    code: str
    """State of the code and the libraries that made the plan; workers of another one are refused."""
    table: str
    """Name of the Parquet file of the items, one row group for each lot."""
    lots: tuple[LotSummary, ...]
    """In the order of the clips."""

    @property
    def clips(self) -> int:
        """Number of clips, each part of a long one counted."""
        return sum(lot.clips for lot in self.lots)

    @property
    def weight(self) -> float:
        """Estimated time of one core, in seconds."""
        return sum(lot.weight for lot in self.lots)


@dataclass(frozen=True, kw_only=True)
class LotJob(Record):
    """What all lots have in common: where the plan is, and what they make belongs."""

    out: str
    """Folder or URL."""


@dataclass(frozen=True, kw_only=True)
class LotTask(Record):
    """One attempt at a lot."""

    number: int
    """Of the lot in the plan."""
    attempt: str
    """No two attempts share it."""
    quarantined: tuple[str, ...] = ()
    """Clips that killed the worker of every attempt, and are left out."""
    probe: tuple[int, int] | None = None
    """Only try the items from the first up to the second, and keep nothing."""


@dataclass(frozen=True, kw_only=True)
class LotResult(Record):
    """What became of an attempt."""

    state: Literal["committed", "lost", "probed", "refused"]
    """`lost`: another attempt had committed the lot; `refused`: the worker has another state of the code."""
    clips: int = 0
    failed: int = 0
    """Clips among them that could not be used."""
    segments: int = 0
    seconds: float = 0.0
    """Duration of the clips that could be used."""
    elapsed: float = 0.0
    """Time that it took, in seconds."""
    message: str = ""
    """Why the worker was refused."""


@dataclass(frozen=True, kw_only=True)
class ClipRow(Record):
    """What became of one item of a lot; a row of its commit."""

    clip: str
    seconds: float
    """Duration its header promises, in seconds; 0 where it cannot be read."""
    reason: str = ""
    """Why it could not be used; empty where it could."""
    message: str = ""
    stamp: str = ""
    """Size and checksum of its file."""
    decoder: str = ""
    warnings: tuple[AudioWarning, ...] = ()
    starts: tuple[float, ...] = ()
    """Start of each segment, in seconds."""
    places: tuple[tuple[int, int], ...] = ()
    """Where the image of each segment is in the shard: offset and size, in bytes."""
    sounding: bool = True
    """Whether a part of a long clip has any sound."""


@dataclass(frozen=True, kw_only=True)
class Commit(Record):
    """What makes a lot done; `commits/<lot>.json`, written once."""

    lot: str
    attempt: str
    shard: str
    """Name of the file with its results."""
    bytes: int
    digest: str
    """Checksum (xxh3-128) of that file."""
    elapsed: float
    """Time that it took, in seconds."""
    rows: tuple[ClipRow, ...]
    """One for each item, in the order of the plan."""
