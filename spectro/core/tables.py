"""Clips, segments and splits: the small tables that everything else is keyed by, kept as CSV beside the data."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from spectro.core.errors import ConfigError, DataError, did_you_mean
from spectro.core.files import read_csv, read_document, write_csv, write_document
from spectro.core.records import Record

Subset = Literal["train", "val", "test"]
SUBSETS: tuple[Subset, ...] = ("train", "val", "test")
SPLIT_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Clip:
    """One audio file with its class."""

    id: str
    """Path relative to the source, with forward slashes and suffix: `rock/song one.wav`. Two files never share one."""
    label: str
    """Name of its class."""
    group: str
    """What must not be in two subsets of a split: song, album, artist, recording. The id where nothing is known."""
    fold: str = ""
    """Official fold of the data set, if it has one: `train`, `val`, `test`, or a fold's number."""
    seconds: float = 0.0
    """Duration, in seconds; 0 while unknown."""


@dataclass(frozen=True, kw_only=True)
class Segment:
    """One piece of a clip; it always carries its clip, and with it label and group."""

    clip: Clip
    start: float
    """Start within the clip, in seconds."""
    seconds: float
    """Length, in seconds."""

    @property
    def id(self) -> str:
        """`<clip id>@<start>`, the start in seconds with two decimals and at least seven characters."""
        return f"{self.clip.id}@{self.start:07.2f}"


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A clip that could not be used, and why; a line of `failed.csv`."""

    path: str
    """Id of the clip, or path of the file."""
    reason: str
    """One of AudioError's reasons, or one of the engine: `crashed`, `memory`."""
    seconds: float
    """Duration its header promises, in seconds; 0 where it cannot be read."""
    message: str
    """What to do about it."""


@dataclass(frozen=True, kw_only=True)
class ClipWarning:
    """Something odd about a clip that was used all the same; a line of `warnings.csv`."""

    path: str
    """Id of the clip."""
    reason: str
    """One of AudioWarning's reasons."""
    message: str
    """What it is and what was done about it."""


@dataclass(frozen=True, kw_only=True)
class SplitStatistics(Record):
    """How a split was made and how well it is balanced."""

    seed: int
    test: float
    """Wanted share of the test set."""
    val: float
    """Wanted share of the validation set."""
    folds: int
    """Number of cross-validation folds; 0 for one holdout split."""
    counts: Mapping[Subset, int]
    """Number of items in each subset."""
    labels: Mapping[str, Mapping[Subset, int]]
    """Number of items of each class in each subset."""
    groups: int
    leaking_groups: int
    """Groups with items in two or more subsets."""
    balance: float
    """Largest gap between a class's share of a subset and its share of all, 0 (none) to 1."""
    absent: Mapping[Subset, tuple[str, ...]]
    """Classes that a subset lacks."""
    left_out: tuple[str, ...]
    """Clips that an official split leaves out on purpose."""


@dataclass(frozen=True, kw_only=True)
class Split:
    """Which subset each clip (or, in a LEAKY split, each segment) belongs to."""

    name: str
    """Name of its file in `splits/`."""
    by: str
    """What stays whole: `group`, `clip`, `segment` or `official`."""
    assigned: Mapping[str, Subset]
    """Clip id, or segment id when `by` is `segment`, to subset."""
    statistics: SplitStatistics

    @property
    def leaky(self) -> bool:
        """Whether pieces of one group are in two subsets."""
        return self.statistics.leaking_groups > 0 or self.by == "segment"

    @property
    def title(self) -> str:
        """The name as people see it everywhere: with ` (LEAKY)` behind it when it is."""
        return f"{self.name} (LEAKY)" if self.leaky else self.name

    @property
    def sha256(self) -> str:
        """Hash of the assignment alone, so that two runs can be known to have used the same one."""
        text = "\n".join(f"{key}\t{subset}" for key, subset in sorted(self.assigned.items()))
        return hashlib.sha256(text.encode()).hexdigest()

    def subset_of(self, segment: Segment) -> Subset | None:
        """Return the segment's subset, or None if the split does not know it."""
        return self.assigned.get(segment.id if self.by == "segment" else segment.clip.id)


CLIP_COLUMNS = ("clip", "label", "group", "fold", "seconds")
SEGMENT_COLUMNS = ("segment", "clip", "start", "seconds")
FAILURE_COLUMNS = ("path", "reason", "seconds", "message")
WARNING_COLUMNS = ("path", "reason", "message")


def write_clips(path: Path, clips: Iterable[Clip]) -> None:
    """Write `clips.csv`."""
    write_csv(path, CLIP_COLUMNS, ((c.id, c.label, c.group, c.fold, f"{c.seconds:.3f}") for c in clips))


def read_clips(path: Path) -> list[Clip]:
    """Read `clips.csv`; raises DataError when it is missing or malformed."""
    return [
        Clip(id=r["clip"], label=r["label"], group=r["group"], fold=r["fold"], seconds=_number(path, r, "seconds"))
        for r in read_csv(path, CLIP_COLUMNS)
    ]


def write_segments(path: Path, segments: Iterable[Segment]) -> None:
    """Write `segments.csv`."""
    write_csv(path, SEGMENT_COLUMNS, ((s.id, s.clip.id, f"{s.start:.4f}", f"{s.seconds:.4f}") for s in segments))


def read_segments_csv(path: Path, clips: Iterable[Clip]) -> list[Segment]:
    """Read `segments.csv`, joining each row to its clip; raises DataError when a clip is not among `clips`."""
    by_id = {clip.id: clip for clip in clips}
    segments = []
    for row in read_csv(path, SEGMENT_COLUMNS):
        if row["clip"] not in by_id:
            raise DataError(f"{path} names clip '{row['clip']}', which clips.csv does not have; render again")
        start, seconds = _number(path, row, "start"), _number(path, row, "seconds")
        segments.append(Segment(clip=by_id[row["clip"]], start=start, seconds=seconds))
    return segments


def write_failures(path: Path, failures: Iterable[Failure]) -> None:
    """Write `failed.csv`."""
    rows = ((f.path, f.reason, f"{f.seconds:.3f}", f.message) for f in failures)
    write_csv(path, FAILURE_COLUMNS, rows)


def read_failures(path: Path) -> list[Failure]:
    """Read `failed.csv`; raises DataError when it is missing or malformed."""
    return [
        Failure(path=r["path"], reason=r["reason"], seconds=_number(path, r, "seconds"), message=r["message"])
        for r in read_csv(path, FAILURE_COLUMNS)
    ]


def write_warnings(path: Path, warnings: Iterable[ClipWarning]) -> None:
    """Write `warnings.csv`."""
    write_csv(path, WARNING_COLUMNS, ((w.path, w.reason, w.message) for w in warnings))


def read_warnings(path: Path) -> list[ClipWarning]:
    """Read `warnings.csv`; raises DataError when it is missing or malformed."""
    rows = read_csv(path, WARNING_COLUMNS)
    return [ClipWarning(path=r["path"], reason=r["reason"], message=r["message"]) for r in rows]


def write_split(folder: Path, split: Split) -> Path:
    """Write `<folder>/<name>.csv` (id, subset) and `<name>.json` (how it was made); return the path of the CSV."""
    path = folder / f"{split.name}.csv"
    write_csv(path, ("id", "subset"), sorted(split.assigned.items()))
    facts = {"name": split.name, "by": split.by, "sha256": split.sha256, "statistics": split.statistics.to_dict()}
    write_document(path.with_suffix(".json"), "split", SPLIT_VERSION, facts)
    return path


def read_split(folder: Path, name: str) -> Split:
    """Read a split that `write_split` wrote.

    Raises
    ------
    DataError
        there is none of that name, its hash is not the recorded one, or a subset is not train, val or test.
    """
    path = folder / f"{name}.csv"
    if not path.exists():
        names = sorted(p.stem for p in folder.glob("*.csv"))
        have = f"{did_you_mean(name, names)} (have: {', '.join(names)})" if names else "; make one with `spectro split`"
        raise DataError(f"there is no split '{name}' in {folder}{have}")
    rows = read_csv(path, ("id", "subset"))
    wrong = next((row for row in rows if row["subset"] not in SUBSETS), None)
    if wrong:
        raise DataError(
            f"{path}: '{wrong['id']}' is in '{wrong['subset']}', but must be in {', '.join(SUBSETS)}; split again"
        )
    document = path.with_suffix(".json")
    facts = read_document(document, "split", SPLIT_VERSION, remedy="make the split again with `spectro split`")
    try:
        statistics = SplitStatistics.from_dict(facts["statistics"], "statistics")
        assigned: dict[str, Subset] = {row["id"]: row["subset"] for row in rows}  # type: ignore[misc]  # checked above
        split = Split(name=facts["name"], by=facts["by"], assigned=assigned, statistics=statistics)
    except (ConfigError, KeyError) as error:
        raise DataError(f"{document} is not complete ({error}); make the split again with `spectro split`") from None
    if facts.get("sha256") != split.sha256:
        raise DataError(f"{path} was changed after it was made (its hash is not the one in {name}.json); split again")
    return split


def _number(path: Path, row: Mapping[str, str], column: str) -> float:
    try:
        return float(row[column])
    except ValueError:
        raise DataError(
            f"{path}: column '{column}' has '{row[column]}', which is no number; correct or restore it"
        ) from None
