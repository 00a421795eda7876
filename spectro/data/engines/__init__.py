"""Engines run one function over many clips; each task ends as `Done` or `Failed`, crashes included."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from spectro.core.records import Record

Value = TypeVar("Value")


@dataclass(frozen=True)
class Done(Generic[Value]):
    """A finished task."""

    value: Value
    """What the function returned."""


@dataclass(frozen=True)
class Failed:
    """A task that could not be done; the others go on."""

    reason: str
    """One of AudioError's reasons; `memory` where it did not suffice; `crashed` where the task killed its process."""
    message: str
    """What is wrong and what to do about it, in one line."""


@dataclass(frozen=True, kw_only=True)
class ClipTask(Record):
    """The task of most functions: one clip."""

    clip: str
    """Its id."""
