"""Clips, segments and splits: the small tables that everything else is keyed by, kept as CSV beside the data."""

from __future__ import annotations

import csv
import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from spectro.core.errors import DataError, did_you_mean

Fold = Literal["train", "val", "test"]
FOLDS: tuple[Fold, ...] = ("train", "val", "test")


@dataclass(frozen=True, kw_only=True)
class Clip:
    """One audio file with its class."""

    id: str
    """Path relative to the source, with forward slashes and suffix: `rock/song one.wav`. Two files never share one."""
    label: str
    """Name of its class."""
    group: str
    """What must not stand on two sides of a split: song, album, artist, recording. The id where nothing is known."""
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
class Split:
    """Which fold each clip (or, in a LEAKY split, each segment) belongs to."""

    name: str
    """Name of its file in `splits/`."""
    by: str
    """What stays whole: `group`, `clip`, `segment` or `official`."""
    assigned: Mapping[str, Fold]
    """Clip id, or segment id when `by` is `segment`, to fold."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """How it was made and how well it is balanced: seed, shares, groups on two sides, ..."""

    @property
    def leaky(self) -> bool:
        """Whether pieces of one group stand on two sides."""
        return int(self.facts.get("leaking_groups", 0)) > 0 or self.by == "segment"

    @property
    def title(self) -> str:
        """The name as people see it everywhere: with ` (LEAKY)` behind it when it is."""
        return f"{self.name} (LEAKY)" if self.leaky else self.name

    @property
    def sha256(self) -> str:
        """Hash of the assignment alone, so that two runs can be known to have used the same one."""
        text = "\n".join(f"{key}\t{fold}" for key, fold in sorted(self.assigned.items()))
        return hashlib.sha256(text.encode()).hexdigest()

    def fold_of(self, segment: Segment) -> Fold | None:
        """Return the segment's fold, or None if the split does not know it."""
        return self.assigned.get(segment.id if self.by == "segment" else segment.clip.id)


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all: a temporary neighbour first, renamed over the target when complete."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_text(text, encoding="utf-8", newline="")
    os.replace(temporary, path)


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a table with a header line, atomically; commas, quotes, newlines and unicode in values are safe."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
    os.replace(temporary, path)


def read_csv(path: Path, required: Sequence[str]) -> list[dict[str, str]]:
    """Read a table with a header line.

    Raises
    ------
    DataError
        the file is missing, is not UTF-8 text, or lacks a required column.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, restval="")
            columns = reader.fieldnames or []
            missing = [name for name in required if name not in columns]
            if missing:
                hint = did_you_mean(missing[0], columns)
                have = ", ".join(columns) or "none"
                raise DataError(f"{path} has no column '{missing[0]}'{hint} (its columns: {have})")
            rows = list(reader)
    except FileNotFoundError:
        raise DataError(f"{path} does not exist") from None
    except UnicodeDecodeError:
        raise DataError(f"{path} is not UTF-8 text; save it again as UTF-8 CSV") from None
    for number, row in enumerate(rows, start=2):
        if None in row:
            raise DataError(f"{path} line {number} has more values than the header; quote values that hold commas")
    return rows


CLIP_COLUMNS = ("clip", "label", "group", "fold", "seconds")
SEGMENT_COLUMNS = ("segment", "clip", "start", "seconds")


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


def write_split(folder: Path, split: Split) -> Path:
    """Write `<folder>/<name>.csv` (id, fold) and `<name>.json` (how it was made); return the path of the CSV."""
    path = folder / f"{split.name}.csv"
    write_csv(path, ("id", "fold"), sorted(split.assigned.items()))
    facts = {"name": split.name, "by": split.by, "sha256": split.sha256, **split.facts}
    write_text(path.with_suffix(".json"), json.dumps(facts, indent=2, ensure_ascii=False) + "\n")
    return path


def read_split(folder: Path, name: str) -> Split:
    """Read a split that `write_split` wrote.

    Raises
    ------
    DataError
        there is none of that name, its hash is not the recorded one, or a fold is not train, val or test.
    """
    path = folder / f"{name}.csv"
    if not path.exists():
        names = sorted(p.stem for p in folder.glob("*.csv"))
        have = f"{did_you_mean(name, names)} (have: {', '.join(names)})" if names else "; make one with `spectro split`"
        raise DataError(f"there is no split '{name}' in {folder}{have}")
    rows = read_csv(path, ("id", "fold"))
    wrong = next((row for row in rows if row["fold"] not in FOLDS), None)
    if wrong:
        raise DataError(f"{path}: '{wrong['id']}' has fold '{wrong['fold']}', but must be one of {', '.join(FOLDS)}")
    facts = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    recorded = facts.pop("sha256", None)
    split = Split(name=facts.pop("name"), by=facts.pop("by"), assigned={r["id"]: r["fold"] for r in rows}, facts=facts)  # type: ignore[misc]
    if recorded != split.sha256:
        raise DataError(f"{path} was changed after it was made (its hash is not the one in {name}.json); split again")
    return split


def _number(path: Path, row: Mapping[str, str], column: str) -> float:
    try:
        return float(row[column])
    except ValueError:
        raise DataError(f"{path}: column '{column}' has '{row[column]}', which is not a number") from None
