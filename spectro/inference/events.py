"""Events: equal segments of a recording merged to one span of time, by one rule for command line and library."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from spectro.core.arrays import Floats, Probs
from spectro.core.config import require
from spectro.core.errors import ConfigError, did_you_mean

DECIMALS = 6
"""Decimals of seconds: sums of floats must not decide whether two segments touch."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Event:
    """A span of a recording with one class: a segment, or several merged ones."""

    start: float
    """In seconds."""
    end: float
    """In seconds; not after the end of the recording."""
    probs: Floats
    """`[classes]`: the mean of its segments."""
    best: int
    """Its class, as an index of the labels: the most probable one of each of its segments."""

    @property
    def probability(self) -> float:
        """The probability of its class, 0..1."""
        return float(self.probs[self.best])


@dataclass(frozen=True, kw_only=True)
class EventRule:
    """How segments become events."""

    gap: float = 0.0
    """Longest pause, in seconds, between two segments of one class that still belong to one event."""
    min: float = 0.0
    """Shortest event that is kept, in seconds."""

    def __post_init__(self) -> None:
        for name, value in (("gap", self.gap), ("min", self.min)):
            require(0 <= value < float("inf"), f"events: {name} is {value}, but must be seconds, 0 or more")

    @classmethod
    def parse(cls, text: str) -> EventRule:
        """Read a rule as it is typed, `gap=1,min=0.5`; what is left out is 0.

        Raises
        ------
        ConfigError
            it is not of that form.
        """
        values: dict[str, float] = {}
        for part in filter(None, (part.strip() for part in text.split(","))):
            name, _, value = part.partition("=")
            if name not in ("gap", "min"):
                raise ConfigError(f"events has no setting '{name}'{did_you_mean(name, ('gap', 'min'))} (gap=1,min=0.5)")
            try:
                values[name] = float(value)
            except ValueError:
                raise ConfigError(f"events: {name} is '{value}', but must be seconds, as in gap=1,min=0.5") from None
        return cls(**values)

    def merge(self, segments: Sequence[Event], min_confidence: float = 0.0) -> tuple[Event, ...]:
        """Return events in the order of their starts.

        Each class has events of its own: between two of its segments there may be one of another class, if the gap is
        as long as that, and then the two events overlap.

        Parameters
        ----------
        segments
            What `events_of` returned, in order.
        min_confidence
            Segments below this probability are left out.
        """
        running: dict[int, list[Event]] = {}
        finished: list[list[Event]] = []
        for segment in segments:
            if segment.probability < min_confidence:
                continue
            members = running.get(segment.best)
            if members and round(segment.start - members[-1].end, DECIMALS) <= self.gap:
                members.append(segment)
            else:
                running[segment.best] = [segment]
                finished.append(running[segment.best])
        events = [_merged(members) for members in finished]
        return tuple(event for event in events if round(event.end - event.start, DECIMALS) >= self.min)


def events_of(starts: Sequence[float], seconds: float, probs: Probs, *, duration: float = 0.0) -> tuple[Event, ...]:
    """Return each segment as an event of its own.

    Parameters
    ----------
    starts
        Start of each segment, in seconds, ascending.
    seconds
        Length of a segment, in seconds.
    probs
        `[segments, classes]`.
    duration
        Length of the recording, in seconds, at which the last segment ends at the latest; 0 where it is not known.
    """
    last = duration or float("inf")
    return tuple(
        Event(
            start=start, end=max(start, min(round(start + seconds, DECIMALS), last)), probs=row, best=int(row.argmax())
        )
        for start, row in zip(starts, probs, strict=True)
    )


def _merged(members: Sequence[Event]) -> Event:
    if len(members) == 1:
        return members[0]
    probs = np.mean([one.probs for one in members], axis=0)
    return Event(start=members[0].start, end=max(one.end for one in members), probs=probs, best=members[0].best)
