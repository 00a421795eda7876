"""Find the audio files below a folder, and count everything in it that is left out."""

from __future__ import annotations

import os
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from spectro.audio.decode import SUFFIXES
from spectro.core.errors import DataError
from spectro.core.records import Record

Reason = Literal["suffix", "hidden", "unlisted", "repeated", "broken", "unreadable"]
WORDS: dict[Reason, str] = {
    "suffix": "",
    "hidden": " hidden",
    "unlisted": " not part of the data set",
    "repeated": " x a link to a folder already listed",
    "broken": " x a link to nothing",
    "unreadable": " x a folder that cannot be read",
}
"""What follows the number and the suffix in a line about them, in the order of that line."""
SHOWN = 8
"""Suffixes named in a line; the others are counted together."""
LONGEST_SUFFIX = 12
"""Characters; what follows the last dot of `Mr. Smith sings` is no suffix."""


@dataclass(frozen=True, kw_only=True)
class Skipped(Record):
    """Files or folders of one kind that a scan left out."""

    suffix: str
    """Lower-case suffix with its dot, such as `.txt`; empty where there is none, and for hidden files and links."""
    count: int
    """How many there are."""
    reason: Reason
    """Why: `suffix` (none of audio), `hidden` (the name begins with a dot; a hidden folder counts once, whatever is in
    it), `unlisted` (audio, but not part of what the layout reads), `repeated` (a link to a folder that is listed
    already, or that contains the source), `broken` (a link to nothing), `unreadable` (a folder without permission)."""


@dataclass(frozen=True, kw_only=True)
class AudioFiles:
    """What `list_audio` found."""

    names: tuple[str, ...]
    """Paths of the audio files relative to the root, with forward slashes, sorted."""
    others: Counter[tuple[Reason, str]]
    """Number of other entries by reason and suffix."""

    def skipped(self, taken: Iterable[str] | None = None) -> tuple[Skipped, ...]:
        """Return what is left out where only the audio files `taken` (all when None) become clips."""
        counts = Counter(self.others)
        if taken is not None:
            counts.update(("unlisted", _suffix(name)) for name in set(self.names).difference(taken))
        return as_skipped(counts)


def as_skipped(counts: Counter[tuple[Reason, str]]) -> tuple[Skipped, ...]:
    """Return counts by reason and suffix as records: by reason, and then the most frequent first."""
    order = list(WORDS)
    ranked = sorted(counts.items(), key=lambda item: (order.index(item[0][0]), -item[1], item[0][1]))
    return tuple(Skipped(suffix=suffix, count=count, reason=reason) for (reason, suffix), count in ranked)


def describe_skipped(skipped: Sequence[Skipped]) -> str:
    """Return one line, such as `left out: 3 x .txt, 2 hidden`; empty when nothing was left out.

    Parameters
    ----------
    skipped
        `Scan.skipped`.
    """
    parts = []
    for reason, words in WORDS.items():
        own = [one for one in skipped if one.reason == reason]
        named = own[:SHOWN] if len(own) > SHOWN + 1 else own
        parts += [f"{one.count} x {one.suffix}{words}" if one.suffix else _bare(one, words) for one in named]
        if more := sum(one.count for one in own[len(named) :]):
            parts.append(f"{more} with other suffixes{words}")
    return f"left out: {', '.join(parts)}" if parts else ""


def is_hidden(name: str) -> bool:
    """Tell whether a file name begins with a dot, as those of AppleDouble files (`._song.wav`) do."""
    return name.startswith(".")


class NamesOnDisk:
    """Spells absolute paths as they are on disk, where composed and decomposed letters (`é`, `e´`) are not the same.

    Tables and archives from a Mac spell names decomposed, nearly all others composed. Each folder is listed once.
    """

    def __init__(self) -> None:
        self._entries: dict[str, dict[str, str]] = {}

    def __call__(self, path: str) -> str:
        """Return the path as it is spelled on disk; a path to nothing comes back as it is."""
        if path.isascii() or os.path.lexists(path):
            return path
        here = ""
        for part in Path(path).parts:
            spelled = part if part.isascii() else self._composed(here).get(unicodedata.normalize("NFC", part))
            if spelled is None:
                return path
            here = os.path.join(here, spelled)
        return here

    def _composed(self, folder: str) -> dict[str, str]:
        """Return the entries of a folder by their composed names."""
        if folder not in self._entries:
            try:
                entries = sorted(os.listdir(folder))
            except OSError:
                entries = []
            self._entries[folder] = {unicodedata.normalize("NFC", entry): entry for entry in entries}
        return self._entries[folder]


def list_audio(root: Path, below: str = "") -> AudioFiles:
    """List the files with a suffix of audio at any depth.

    Hidden files and folders are left out; a folder that is missing has no files. Links to files are followed; links to
    folders too, but each folder is listed once, under its own name if that is below the root, and one that contains the
    root not at all.

    Parameters
    ----------
    root
        Folder that the names are relative to, resolved.
    below
        Folder below it to search; all when empty.

    Returns
    -------
    AudioFiles

    Raises
    ------
    DataError
        the folder cannot be read.
    """
    top = root / below
    try:
        known = set(map(str, (top.resolve(), *top.resolve().parents)))
        os.scandir(top).close()
    except FileNotFoundError:  # what a table lists may be missing; it is reported when it is needed
        return AudioFiles(names=(), others=Counter())
    except OSError as error:
        raise DataError(f"{top} cannot be read ({error.strerror}); is it a folder, and may you read it?") from None
    names: list[str] = []
    others: Counter[tuple[Reason, str]] = Counter()
    folders, links = [below], list[str]()
    while folders or links:
        if not folders:  # only now, for a folder is listed under its own name rather than a link's
            links.sort(reverse=True)
            folders += _unless_known(root, links.pop(), known, others)
            continue
        for name, kind in _entries(root, folders.pop(), others):
            if kind == "folder":
                folders += _unless_known(root, name, known, others)
            elif kind == "link":
                links.append(name)
            elif (suffix := _suffix(name)) in SUFFIXES:
                names.append(name)
            elif kind == "broken":
                others["broken", ""] += 1
            else:
                others["suffix", suffix] += 1
    return AudioFiles(names=tuple(sorted(names)), others=others)


def _entries(root: Path, folder: str, others: Counter[tuple[Reason, str]]) -> Iterator[tuple[str, str]]:
    """Yield the entries that are not hidden: name, and `file`, `folder`, `link` (to a folder) or `broken`."""
    try:
        entries = os.scandir(root / folder)
    except OSError:
        others["unreadable", ""] += 1
        return
    with entries:
        for entry in entries:
            name = f"{folder}/{entry.name}" if folder else entry.name
            if is_hidden(entry.name):
                others["hidden", ""] += 1
            elif not entry.is_symlink():
                yield name, "folder" if entry.is_dir() else "file"
            elif os.path.isdir(entry.path):
                yield name, "link"
            else:
                yield name, "file" if os.path.exists(entry.path) else "broken"


def _unless_known(root: Path, folder: str, known: set[str], others: Counter[tuple[Reason, str]]) -> list[str]:
    """Return a folder that is met for the first time, otherwise nothing."""
    path = os.path.realpath(root / folder)
    if path in known:
        others["repeated", ""] += 1
        return []
    known.add(path)
    return [folder]


def _suffix(name: str) -> str:
    """Return a name's suffix in lower case, empty if what follows the last dot is none."""
    suffix = os.path.splitext(name)[1].lower()
    return suffix if suffix[1:].isascii() and suffix[1:].isalnum() and len(suffix) <= LONGEST_SUFFIX else ""


def _bare(one: Skipped, words: str) -> str:
    return f"{one.count}{words or ' without a suffix'}"
