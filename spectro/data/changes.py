"""What changed in a data folder since it was rendered before, by ids, labels and the content of the files."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from spectro.core.records import Record
from spectro.core.tables import Clip

KINDS = ("added", "removed", "renamed", "relabelled", "regrouped", "changed")


@dataclass(frozen=True, kw_only=True)
class Changes(Record):
    """The clips of a data folder compared with those of its rendering before, each counted once."""

    clips: int
    """Number of clips now."""
    added: int = 0
    removed: int = 0
    renamed: int = 0
    """The same content under another id, with the same label."""
    relabelled: int = 0
    """Another label, under the same id or another one: moved into the folder of another class, say."""
    regrouped: int = 0
    """Another group or official fold."""
    changed: int = 0
    """Other content under the same id."""
    moved_from: str = ""
    """Former folder of the source, if it moved."""

    def describe(self) -> str:
        """Return one line, such as `12 clips: 1 added, 1 relabelled, 10 as before`; empty if nothing changed."""
        counts = {kind: getattr(self, kind) for kind in KINDS}
        if not any(counts.values()) and not self.moved_from:
            return ""
        counts["as before"] = self.clips - sum(counts.values()) + self.removed
        moved = f" (the source moved here from {self.moved_from})" if self.moved_from else ""
        return f"{self.clips} clips: {', '.join(f'{count} {kind}' for kind, count in counts.items() if count)}{moved}"


def compare(
    before: Sequence[Clip],
    after: Sequence[Clip],
    stamps_before: Mapping[str, str],
    stamps_after: Mapping[str, str],
    moved_from: str = "",
) -> Changes:
    """Compare the clips of two renderings.

    Parameters
    ----------
    before, after
        The clips.
    stamps_before, stamps_after
        Size and checksum of each clip's file, where they are known; without any before, none counts as changed.
    moved_from
        Former folder of the source, if it moved.
    """
    old, new = {clip.id: clip for clip in before}, {clip.id: clip for clip in after}
    counts = dict.fromkeys(KINDS, 0)
    gone: defaultdict[str, list[Clip]] = defaultdict(list)
    for name in sorted(old.keys() - new.keys(), reverse=True):
        gone[stamps_before.get(name, "")].append(old[name])
    for name in sorted(new.keys() - old.keys()):
        stamp = stamps_after.get(name, "")
        if stamp and gone[stamp]:
            counts["renamed" if gone[stamp].pop().label == new[name].label else "relabelled"] += 1
        else:
            counts["added"] += 1
    counts["removed"] = sum(map(len, gone.values()))
    for name in old.keys() & new.keys():
        if old[name].label != new[name].label:
            counts["relabelled"] += 1
        elif stamps_before and stamps_before.get(name, "") != stamps_after.get(name, stamps_before.get(name, "")):
            counts["changed"] += 1
        elif (old[name].group, old[name].fold) != (new[name].group, new[name].fold):
            counts["regrouped"] += 1
    return Changes(clips=len(new), moved_from=moved_from, **counts)
