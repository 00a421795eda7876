"""Find duplicate recordings that leak across a split or carry conflicting labels."""

from __future__ import annotations

import base64
import io
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from spectro.audio.acoustic_fingerprint import Fingerprint, Recall, estimate_recall, find_duplicates, fingerprint_one
from spectro.core.data_folder import DataFolder
from spectro.core.errors import ConfigError, DataError
from spectro.core.files import read_document, write_csv, write_document
from spectro.core.records import Record
from spectro.core.tables import Clip, Split
from spectro.data.engines import ClipTask, Failed
from spectro.data.engines import local as engine
from spectro.data.ownership import clear_dead
from spectro.data.source import local_file
from spectro.data.splits import leaking_groups
from spectro.data.tables import require_tables

AUDIT_VERSION = 2
COLUMNS = (
    "first", "second", "kind", "similarity", "offset", "same_label", "same_group", "first_subsets", "second_subsets",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Pair(Record):
    """Two clips that contain the same sound."""

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
    first_subsets: str
    """Subsets of the audited split that `first` is in, joined by `+`; empty without a split."""
    second_subsets: str
    """Subsets that `second` is in."""

    @property
    def across(self) -> bool:
        """Whether the sound is in more than one subset of the audited split."""
        return len({*self.first_subsets.split("+"), *self.second_subsets.split("+")} - {""}) > 1


@dataclass(frozen=True, kw_only=True)
class AuditSummary(Record):
    """The counts of an audit that a report shows."""

    clips: int
    """Number of clips compared."""
    pairs: int
    """Pairs of clips that contain the same sound."""
    exact: int
    """Those whose samples are equal."""
    pair_rate: float
    """`pairs` as a share of all possible pairs, 0 to 1."""
    ungrouped: int
    """Pairs that no split by group keeps together."""
    label_conflicts: int
    """Pairs whose labels differ."""
    split: str
    """Title of the audited split; empty if none was named."""
    across: int
    """Pairs that are in more than one subset of it."""
    leaking_groups: tuple[str, ...]
    """Groups that are in more than one subset of it."""
    labels: Mapping[str, int]
    """Number of clips of each class."""
    unread: Mapping[str, str]
    """Clips that could not be compared, and why."""
    sampled_clips: int
    """Clips of a sample that was compared by all landmarks; 0 where all clips were."""
    sampled_pairs: int
    """Pairs that the sample has."""
    sampled_found: int
    """Those of them that this audit finds: the ratio is its recall."""


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
    """Groups with clips or segments in more than one subset of the split."""
    labels: Mapping[str, int]
    """Number of clips of each class."""
    unread: Mapping[str, str]
    """Clips that could not be compared, and why."""
    recall: Recall
    """How much is missed, because of very many clips only the rarer hashes are compared."""

    @property
    def conflicts(self) -> tuple[Pair, ...]:
        """Pairs whose labels differ."""
        return tuple(pair for pair in self.pairs if not pair.same_label)

    @property
    def across(self) -> tuple[Pair, ...]:
        """Pairs that are in more than one subset of the audited split."""
        return tuple(pair for pair in self.pairs if pair.across)

    @property
    def ungrouped(self) -> tuple[Pair, ...]:
        """Pairs that no split by group keeps together."""
        return tuple(pair for pair in self.pairs if not pair.same_group)

    def summary(self) -> AuditSummary:
        """Return the counts that a report shows."""
        possible = self.clips * (self.clips - 1) // 2
        return AuditSummary(
            clips=self.clips,
            pairs=len(self.pairs),
            exact=sum(pair.kind == "exact" for pair in self.pairs),
            pair_rate=len(self.pairs) / possible if possible else 0.0,
            ungrouped=len(self.ungrouped),
            label_conflicts=len(self.conflicts),
            split=self.split,
            across=len(self.across),
            leaking_groups=self.leaking_groups,
            labels=self.labels,
            unread=self.unread,
            sampled_clips=self.recall.clips,
            sampled_pairs=self.recall.pairs,
            sampled_found=self.recall.found,
        )


@dataclass(frozen=True, kw_only=True)
class FingerprintJob(Record):
    """What all clips of one audit have in common."""

    root: str
    """Folder or URL of the source."""


@dataclass(frozen=True, kw_only=True)
class PackedFingerprint(Record):
    """A fingerprint as it travels from a worker."""

    sha256: str
    arrays: str
    """The arrays as `.npz`, in base64."""


def audit(data: DataFolder | Path | str, *, split: str | None = None, workers: int = 0) -> Audit:
    """Compare the sound of all clips with each other, and the pairs that match with a split.

    Writes `audit.csv` (one line a pair) and `audit.json` (the summary) into the folder.

    Parameters
    ----------
    data
        Folder that `render` made, or URL of a sealed one; the sound is read from where it was rendered from.
    split
        Name of a split: pairs and groups that are in more than one of its subsets are counted.
    workers
        Number of processes; 0 for one per core.

    Returns
    -------
    Audit

    Raises
    ------
    DataError
        the folder, its source or the split is not there.
    """
    data = DataFolder.open(data)
    root = data.source_place()
    require_tables(data)
    assigned = None if split is None else data.split(split)
    failed = {failure.path: failure.message for failure in data.failed}
    clips = {clip.id: clip for clip in data.usable}
    prints, unread = _fingerprints(root, clips, workers)
    result = Audit(
        clips=len(prints),
        pairs=tuple(compare({clip: clips[clip] for clip in prints}, prints, assigned)),
        split="" if assigned is None else assigned.title,
        leaking_groups=() if assigned is None else tuple(_leaking(clips, assigned)),
        labels=dict(sorted(Counter(clip.label for clip in clips.values()).items())),
        unread=failed | unread,
        recall=estimate_recall(list({one.sha256: one for one in prints.values()}.values())),
    )
    clear_dead(data.path)
    rows = ([getattr(pair, column) for column in COLUMNS] for pair in result.pairs)
    write_csv(data.audit_path.with_suffix(".csv"), COLUMNS, rows)
    write_document(data.audit_path, "audit", AUDIT_VERSION, result.summary().to_dict())
    return result


def read_audit(data: DataFolder | Path | str) -> AuditSummary | None:
    """Read the summary that `audit` left in a data folder.

    Parameters
    ----------
    data
        Folder that `render` made.

    Returns
    -------
    AuditSummary or None
        None where the folder was not audited.

    Raises
    ------
    DataError
        the summary is damaged.
    """
    path = DataFolder.open(data).audit_path
    if not path.exists():
        return None
    remedy = "make it again with `spectro data audit`"
    try:
        return AuditSummary.from_dict(read_document(path, "audit", AUDIT_VERSION, remedy=remedy), "audit")
    except ConfigError as error:
        raise DataError(f"{path}: {error}; {remedy}") from None


def compare(
    clips: Mapping[str, Clip], prints: Mapping[str, Fingerprint], assigned: Split | None = None
) -> Iterator[Pair]:
    """Yield the pairs of clips that contain the same sound, the most similar first.

    Parameters
    ----------
    clips
        By id.
    prints
        Fingerprint of each clip.
    assigned
        The split that is audited.
    """
    same: defaultdict[str, list[str]] = defaultdict(list)
    for clip, one in prints.items():
        same[one.sha256].append(clip)
    firsts = [members[0] for members in same.values()]
    matches = [(first, second, "exact", 1.0, 0.0) for first, *others in same.values() for second in others]
    for match in find_duplicates([prints[first] for first in firsts]):
        matches.append((firsts[match.first], firsts[match.second], "near", match.similarity, match.offset))
    subsets = _subsets(clips, assigned)
    for first, second, kind, similarity, offset in sorted(matches, key=lambda row: (-row[3], row[:2])):
        yield Pair(
            first=first,
            second=second,
            kind=kind,  # type: ignore[arg-type]  # widened to str by the list
            similarity=similarity,
            offset=offset,
            same_label=clips[first].label == clips[second].label,
            same_group=clips[first].group == clips[second].group,
            first_subsets=subsets[first],
            second_subsets=subsets[second],
        )


def fingerprint_clip(job: FingerprintJob, task: ClipTask) -> PackedFingerprint:
    """Return the fingerprint of one clip; raises AudioError when it cannot be decoded."""
    with local_file(job.root, task.clip) as path:
        one = fingerprint_one(path)
    packed = io.BytesIO()
    np.savez(packed, hashes=one.hashes, frames=one.frames, outline=one.outline.astype(np.float16))
    return PackedFingerprint(sha256=one.sha256, arrays=base64.b64encode(packed.getvalue()).decode())


def _fingerprints(root: str, clips: Mapping[str, Clip], workers: int) -> tuple[dict[str, Fingerprint], dict[str, str]]:
    """Return the fingerprint of each clip in order of id, and why others have none."""
    prints, unread = {}, {}
    tasks = [ClipTask(clip=clip) for clip in clips]
    for task, outcome in engine.run(fingerprint_clip, FingerprintJob(root=root), tasks, workers=workers):
        if isinstance(outcome, Failed):
            unread[task.clip] = outcome.message
        else:
            prints[task.clip] = _unpacked(outcome.value)
    return dict(sorted(prints.items())), unread


def _unpacked(packed: PackedFingerprint) -> Fingerprint:
    with np.load(io.BytesIO(base64.b64decode(packed.arrays)), allow_pickle=False) as arrays:
        return Fingerprint(
            sha256=packed.sha256,
            hashes=arrays["hashes"],
            frames=arrays["frames"],
            outline=arrays["outline"],
        )


def _clip_of(item: str, assigned: Split) -> str:
    """Return the clip of an item of a split: the item itself, or what is before the start of a segment."""
    return item.rpartition("@")[0] if assigned.by == "segment" else item


def _subsets(clips: Mapping[str, Clip], assigned: Split | None) -> dict[str, str]:
    """Return the subsets of each clip, several joined by `+`."""
    subsets: dict[str, set[str]] = {clip: set() for clip in clips}
    if assigned is not None:
        for item, subset in assigned.assigned.items():
            subsets.setdefault(_clip_of(item, assigned), set()).add(subset)
    return {clip: "+".join(sorted(names)) for clip, names in subsets.items()}


def _leaking(clips: Mapping[str, Clip], assigned: Split) -> Sequence[str]:
    """Return the groups that are in more than one subset of a split."""
    items = {item: _clip_of(item, assigned) for item in assigned.assigned}
    known = {item: clips[clip] for item, clip in items.items() if clip in clips}
    return leaking_groups(known, {item: assigned.assigned[item] for item in known})
