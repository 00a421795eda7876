"""Errors that a user can fix: one line that names the thing, guesses the mistake and says what to do.

SpectroError            the command line prints it as one line and exits with 2
├── ConfigError         a setting is unknown or out of range
├── DataError           a table, folder or image is not what it should be
│   └── LeakError       a split would put one group into two subsets
├── AudioError          one audio file cannot be used; carries a short `reason`
├── WeightsError        pretrained weights are not available
├── RunError            a run folder is incomplete, or does not fit the data
├── BusyError           another process is writing there
└── StorageError        a disk is full, read-only or failing
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class SpectroError(Exception):
    """Base of all errors that a user can fix."""


class ConfigError(SpectroError):
    """A setting is unknown or out of range."""


class DataError(SpectroError):
    """A table, folder or image is not what it should be."""


class LeakError(DataError):
    """A split would put one group into two subsets."""


class AudioError(SpectroError):
    """One audio file cannot be used.

    `reason` is one of a few stable words, so that failures can be counted; the message explains it:

    - the file: `missing`, `unreadable`, `name-too-long`, `needs-av` (another decoder must be installed)
    - its header: `implausible` (it claims what no sound is), `changed-format` (it changes its rate or channels inside)
    - its sound: `empty`, `silent`, `not-finite`, `truncated`, `too-short`, `too-long`, `changed` (since rendering)
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason

    def __reduce__(self) -> tuple[type[AudioError], tuple[str, str]]:
        return type(self), (self.reason, str(self))  # two arguments, so that it survives the way back from a worker


class WeightsError(SpectroError):
    """Pretrained weights are not available."""


class RunError(SpectroError):
    """A run folder is incomplete, or does not fit the data."""


class BusyError(SpectroError):
    """Another process is writing there."""


class StorageError(SpectroError):
    """A disk is full, read-only or failing."""


def first_line(error: BaseException) -> str:
    """Return the first line of another library's error, or its kind where it has no text, to be part of a message."""
    return (str(error).splitlines() or [""])[0] or type(error).__name__


def did_you_mean(name: str, choices: Iterable[str]) -> str:
    """Return `"; did you mean 'resnet50'?"` for the nearest of `choices`, or the empty string when none is near."""
    near = difflib.get_close_matches(name, list(choices), n=1, cutoff=0.5)
    return f"; did you mean '{near[0]}'?" if near else ""
