"""What a run predicts for recordings: one answer each, and all of them as predictions or as JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np

from spectro.audio.info import AudioWarning
from spectro.core.arrays import Floats, Probs
from spectro.core.openset import KNOWN_KEPT, means_none
from spectro.core.predictions import Predictions
from spectro.core.tables import Clip, Failure, Segment
from spectro.data.audio_files import Skipped
from spectro.inference.events import Event, EventRule, events_of


@dataclass(frozen=True, kw_only=True, eq=False)
class Answer:
    """What a run predicts for one recording."""

    source: str
    """Path of the file, name of the open file, or its number."""
    labels: tuple[str, ...]
    """Class names, in the order of the probabilities."""
    probs: Floats
    """`[classes]`, after the vote of the segments, calibrated by the card's temperature."""
    starts: tuple[float, ...]
    """Start of each segment, in seconds; none for an ensemble whose members cut recordings differently."""
    segment_probs: Probs
    """`[segments, classes]`, not calibrated."""
    seconds: float
    """Length of a segment, in seconds; 0 where there are none."""
    duration: float = 0.0
    """Length of the recording, in seconds; 0 where it is not known."""
    warnings: tuple[AudioWarning, ...] = ()
    """What is odd about the recording, though its sound can be used."""
    novelty: float | None = None
    """Share of validation clips of known classes that are less unusual, 0..1; None for a run without an open set."""

    @property
    def none_of_these(self) -> bool | None:
        """Whether it is a sound of no known class; None where neither an open set nor a class like noise can tell."""
        if means_none(self.label) or (self.novelty is not None and self.novelty > KNOWN_KEPT):
            return True
        return False if self.novelty is not None or any(map(means_none, self.labels)) else None

    @property
    def none_text(self) -> str | None:
        """The same as `yes` or `no`, for tables."""
        return None if self.none_of_these is None else ("yes" if self.none_of_these else "no")

    @property
    def label(self) -> str:
        """The most probable class."""
        return self.labels[int(self.probs.argmax())]

    @property
    def probability(self) -> float:
        """Its probability, 0..1."""
        return float(self.probs.max())

    def label_above(self, min_confidence: float) -> str | None:
        """Return the most probable class; None where its probability is below `min_confidence`."""
        return self.label if self.probability >= min_confidence else None

    def segments(self) -> tuple[Event, ...]:
        """Return each segment with its probabilities, in order."""
        return events_of(self.starts, self.seconds, self.segment_probs, duration=self.duration)

    def events(self, rule: EventRule, min_confidence: float = 0.0) -> tuple[Event, ...]:
        """Return equal segments merged by a rule; those below `min_confidence` are left out."""
        return rule.merge(self.segments(), min_confidence)

    def to_dict(
        self, min_confidence: float = 0.0, *, rule: EventRule | None = None, top: int | None = None
    ) -> dict[str, Any]:
        """Return plain JSON values.

        Parameters
        ----------
        min_confidence
            The file's `label` is None where its probability is below this.
        rule
            How segments are merged: `events` are listed instead of `segments`.
        top
            Number of classes, the most probable ones, whose probabilities are listed; None for all.
        """
        merged = self.segments() if rule is None else self.events(rule, min_confidence)
        rows = [{"start": one.start, "end": one.end, **_row(self.labels, one.probs, top)} for one in merged]
        row = _row(self.labels, self.probs, top)
        return {
            "file": self.source,
            "duration": self.duration,
            **row,
            "label": self.label_above(min_confidence),
            **({} if self.none_of_these is None else {"none_of_these": self.none_of_these, "novelty": self.novelty}),
            "segments" if rule is None else "events": rows,
            "warnings": [warning.to_dict() for warning in self.warnings],
        }


def ranked(probs: Floats, top: int | None) -> list[int]:
    """Return the classes in the order of the labels; with `top`, that many of them, the most probable first."""
    if top is None:
        return list(range(len(probs)))
    return [int(item) for item in np.argsort(-probs, kind="stable")[:top]]


def _row(labels: tuple[str, ...], probs: Floats, top: int | None) -> dict[str, Any]:
    best = int(probs.argmax())
    values = probs.tolist()
    return {
        "label": labels[best],
        "probability": values[best],
        "probabilities": {labels[item]: values[item] for item in ranked(probs, top)},
    }


@dataclass(frozen=True, kw_only=True, eq=False)
class Predicted:
    """What a run predicts for audio files."""

    labels: tuple[str, ...]
    """Class names, in the order of the probabilities."""
    answers: tuple[Answer, ...]
    """One per file that could be used, in the order given."""
    failed: tuple[Failure, ...]
    """The files that could not be used, and why."""
    min_confidence: float = 0.0
    """Calibrated probability below which a file is given no label."""
    skipped: tuple[Skipped, ...] = ()
    """What the given folders hold beside the files, counted."""

    @cached_property
    def clips(self) -> Predictions:
        """One item per file; calibrated by the card's temperature."""
        names = tuple(answer.source for answer in self.answers)
        return self._predictions(names, names, [answer.probs[None] for answer in self.answers])

    @cached_property
    def segments(self) -> Predictions:
        """One item per segment, not calibrated; the clips, where the members of an ensemble cut them differently."""
        if self.answers and not self.answers[0].starts:
            return self.clips
        segments = [
            Segment(clip=Clip(id=answer.source, label="", group=answer.source), start=start, seconds=answer.seconds)
            for answer in self.answers
            for start in answer.starts
        ]
        ids, clips = tuple(segment.id for segment in segments), tuple(segment.clip.id for segment in segments)
        return self._predictions(ids, clips, [answer.segment_probs for answer in self.answers])

    def _predictions(self, ids: tuple[str, ...], clips: tuple[str, ...], probs: list[Probs]) -> Predictions:
        return Predictions(
            ids=ids,
            clip_ids=clips,
            groups=clips,
            labels=self.labels,
            probs=np.concatenate([np.empty((0, len(self.labels))), *probs]),
            truth=np.full(len(ids), -1),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values: `labels`, `files` (each with `segments` and `warnings`) and `failed`."""
        return {
            "labels": list(self.labels),
            "files": [answer.to_dict(self.min_confidence) for answer in self.answers],
            "failed": [asdict(failure) for failure in self.failed],
        }
