"""The audit: what would let a model be tested on what it has heard, or be taught two names for one sound."""

from __future__ import annotations

import base64
import io
import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from spectro.core.errors import AudioError, DataError
from spectro.core.tables import Clip, Split, read_clips, read_csv, read_split, write_csv, write_text
from spectro.data.acoustic_fingerprint import Fingerprint, find_duplicates, fingerprint
from spectro.data.engines import local as engine
from spectro.data.splits import leaking_groups

COLUMNS = ("first", "second", "kind", "similarity", "offset", "same_label", "same_group", "first_folds", "second_folds")


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two clips that hold the same sound."""

    first: str
    """Id of one clip."""
    second: str
    """Id of the other."""
    kind: Literal["exact", "near"]
    """`exact`: the decoded samples are equal; `near`: another codec, gain, start, noise, or a passage repeated."""
    similarity: float
    """Correlation of the aligned spectrograms, up to 1."""
    offset: float
    """Seconds by which the sound comes later in `second`."""
    same_label: bool
    """Whether both have the same class; if not, one label is wrong."""
    same_group: bool
    """Whether both are in one group, and so stay together in a split by group."""
    first_folds: str
    """Folds of the audited split that `first` is in, joined by `+`; empty without a split."""
    second_folds: str
    """Folds that `second` is in."""

    @property
    def across(self) -> bool:
        """Whether the sound stands on two sides of the audited split."""
        folds = {*self.first_folds.split("+"), *self.second_folds.split("+")} - {""}
        return len(folds) > 1


@dataclass(frozen=True, kw_only=True)
class Audit:
    """What `audit` found."""

    clips: int
    """Number of clips compared."""
    pairs: tuple[Pair, ...]
    """Repeated sound, the most similar first."""
    split: str
    """Title of the audited split; empty if none was named."""
    leaking_groups: tuple[str, ...]
    """Groups with clips or segments on two sides of the split."""
    labels: Mapping[str, int]
    """Number of clips of each class."""
    unread: Mapping[str, str]
    """Clips that could not be compared, and why."""

    @property
    def conflicts(self) -> tuple[Pair, ...]:
        """Pairs whose labels differ."""
        return tuple(pair for pair in self.pairs if not pair.same_label)

    @property
    def across(self) -> tuple[Pair, ...]:
        """Pairs on two sides of the audited split."""
        return tuple(pair for pair in self.pairs if pair.across)

    @property
    def ungrouped(self) -> tuple[Pair, ...]:
        """Pairs that no split by group keeps together."""
        return tuple(pair for pair in self.pairs if not pair.same_group)

    def summary(self) -> dict[str, Any]:
        """Return the counts that a report shows, as plain JSON values."""
        possible = self.clips * (self.clips - 1) // 2
        return {
            "clips": self.clips,
            "pairs": len(self.pairs),
            "exact": sum(pair.kind == "exact" for pair in self.pairs),
            "pair_rate": len(self.pairs) / possible if possible else 0.0,
            "ungrouped": len(self.ungrouped),
            "label_conflicts": len(self.conflicts),
            "split": self.split,
            "across": len(self.across),
            "leaking_groups": list(self.leaking_groups),
            "labels": dict(self.labels),
            "unread": dict(self.unread),
        }


def audit(data: Path | str, *, split: str | None = None, workers: int = 0) -> Audit:
    """Compare the sound of all clips with each other, and with the sides of a split.

    Writes `audit.csv` (one line a pair) and `audit.json` (the summary) into the folder.

    Parameters
    ----------
    data
        Folder that `render` made; the sound is read from where it was rendered from.
    split
        Name of the split to hold the pairs against.
    workers
        Number of processes; 0 for one per core.

    Raises
    ------
    DataError
        the folder, its source or the split is not there.
    """
    data = Path(data)
    if not (data / "source.json").exists():
        raise DataError(f"{data} has no source.json; make it with `spectro render SOURCE --out {data}`")
    root = Path(json.loads((data / "source.json").read_text(encoding="utf-8"))["root"])
    if not root.is_dir():
        raise DataError(f"{root}, which {data} was rendered from, is gone; bring it back to compare its sound")
    assigned = None if split is None else read_split(data / "splits", split)
    failed = {row["path"]: row["message"] for row in read_csv(data / "failed.csv", ("path", "message"))}
    clips = {clip.id: clip for clip in read_clips(data / "clips.csv") if clip.id not in failed}
    prints, unread = _fingerprints(root, clips, workers)
    pairs = tuple(compare({clip: clips[clip] for clip in prints}, prints, assigned))
    found = Audit(
        clips=len(prints),
        pairs=pairs,
        split="" if assigned is None else assigned.title,
        leaking_groups=() if assigned is None else tuple(_torn(clips, assigned)),
        labels=dict(sorted(Counter(clip.label for clip in clips.values()).items())),
        unread=failed | unread,
    )
    rows = [asdict(pair) for pair in pairs]
    write_csv(data / "audit.csv", COLUMNS, ([row[column] for column in COLUMNS] for row in rows))
    write_text(data / "audit.json", json.dumps(found.summary(), indent=2, ensure_ascii=False) + "\n")
    return found


def compare(
    clips: Mapping[str, Clip], prints: Mapping[str, Fingerprint], assigned: Split | None = None
) -> Iterator[Pair]:
    """Yield the pairs of clips that hold the same sound, the most similar first."""
    same: defaultdict[str, list[str]] = defaultdict(list)
    for clip, one in prints.items():
        same[one.sha256].append(clip)
    firsts = [members[0] for members in same.values()]
    found = [(first, second, "exact", 1.0, 0.0) for first, *others in same.values() for second in others]
    for match in find_duplicates([prints[first] for first in firsts]):
        found.append((firsts[match.first], firsts[match.second], "near", match.similarity, match.offset))
    folds = _folds(clips, assigned)
    for first, second, kind, similarity, offset in sorted(found, key=lambda row: (-row[3], row[:2])):
        yield Pair(
            first=first,
            second=second,
            kind=kind,  # type: ignore[arg-type]  # widened to str by the list
            similarity=similarity,
            offset=offset,
            same_label=clips[first].label == clips[second].label,
            same_group=clips[first].group == clips[second].group,
            first_folds=folds[first],
            second_folds=folds[second],
        )


def _clip_of(item: str, assigned: Split) -> str:
    """Return the clip of an item of a split: the item itself, or what stands before the start of a segment."""
    return item.rpartition("@")[0] if assigned.by == "segment" else item


def _folds(clips: Mapping[str, Clip], assigned: Split | None) -> dict[str, str]:
    """Return the folds of each clip, several joined by `+`."""
    folds: dict[str, set[str]] = {clip: set() for clip in clips}
    if assigned is not None:
        for item, fold in assigned.assigned.items():
            folds.setdefault(_clip_of(item, assigned), set()).add(fold)
    return {clip: "+".join(sorted(names)) for clip, names in folds.items()}


def _torn(clips: Mapping[str, Clip], assigned: Split) -> Sequence[str]:
    """Return the groups on two sides of a split."""
    items = {item: _clip_of(item, assigned) for item in assigned.assigned}
    known = {item: clips[clip] for item, clip in items.items() if clip in clips}
    return leaking_groups(known, {item: assigned.assigned[item] for item in known})


def _fingerprints(root: Path, clips: Mapping[str, Clip], workers: int) -> tuple[dict[str, Fingerprint], dict[str, str]]:
    """Return the fingerprint of each clip in order of id, and why others have none."""
    prints, unread = {}, {}
    tasks = [{"clip": clip} for clip in clips]
    for task, result in engine.run(take, {"root": str(root)}, tasks, workers=workers):
        if result is None:
            unread[task["clip"]] = "it killed the process that read it"
        elif "message" in result:
            unread[task["clip"]] = result["message"]
        else:
            prints[task["clip"]] = _unpacked(result)
    return dict(sorted(prints.items())), unread


def take(shared: Mapping[str, Any], task: Mapping[str, Any]) -> dict[str, Any]:
    """Fingerprint one clip; the work of one engine task."""
    try:
        one = fingerprint(Path(shared["root"]) / task["clip"])
    except AudioError as error:
        return {"message": str(error)}
    packed = io.BytesIO()
    np.savez(packed, hashes=one.hashes, frames=one.frames, outline=one.outline.astype(np.float16))
    return {"sha256": one.sha256, "arrays": base64.b64encode(packed.getvalue()).decode()}


def _unpacked(result: Mapping[str, Any]) -> Fingerprint:
    with np.load(io.BytesIO(base64.b64decode(result["arrays"])), allow_pickle=False) as arrays:
        return Fingerprint(
            sha256=result["sha256"],
            hashes=arrays["hashes"],
            frames=arrays["frames"],
            outline=arrays["outline"].astype(np.float32),
        )
