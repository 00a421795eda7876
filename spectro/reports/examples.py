"""Clips as examples on the page: what was predicted, with which probability, and which segment stands for the clip."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from spectro.core.predictions import Predictions
from spectro.plots.svg import timeline

Cell = tuple[int, int]
"""A cell of a confusion matrix: index of the true class, index of the predicted one."""


@dataclass(frozen=True, kw_only=True)
class Example:
    """One clip, with the segment that stands for it."""

    clip: str
    true: str
    predicted: str
    confidence: float
    """Probability of the predicted class."""
    true_probability: float
    """Probability of the true class."""
    runner_up: str
    """The class with the second highest probability."""
    margin: float
    """Probability of the predicted class less that of the runner-up."""
    label_issue: bool = False
    """Whether its label may be wrong."""
    segment: str = ""
    """Id of the segment that gives the predicted class its highest probability."""
    span: str = ""
    """Where in the clip that segment is, as `10.0-20.0 s`."""
    image: str = ""
    """The segment's spectrogram as a data URI, or empty."""
    sound: str = ""
    """The segment's sound as a data URI, or empty."""
    overlay: str = ""
    """The Grad-CAM layer of the predicted class as a data URI, or empty."""
    timeline: str = ""
    """Probabilities of `below` and `above` over the clip's segments, as SVG; empty where there is one segment."""
    below: str = ""
    """The class that the timeline draws from the bottom: the true one, unless the prediction is right."""
    above: str = ""
    """The class that it draws from the top."""

    @property
    def correct(self) -> bool:
        """Whether the prediction is right."""
        return self.true == self.predicted


@dataclass(frozen=True)
class ExampleFinder:
    """Makes examples of the clips of a run."""

    clips: Predictions
    """Predictions per clip, all with known truth."""
    segments: Predictions | None = None
    """Predictions of their segments."""

    @cached_property
    def items_by_clip(self) -> dict[str, list[int]]:
        """Indices of the segments of each clip."""
        items: dict[str, list[int]] = {}
        for item, clip in enumerate(self.segments.clip_ids if self.segments is not None else ()):
            items.setdefault(clip, []).append(item)
        return items

    def example(self, item: int, *, segments: bool = True) -> Example:
        """Return one clip as an example.

        Parameters
        ----------
        item
            Index of the clip.
        segments
            Whether to look for the segment that stands for it, and to draw the timeline.
        """
        clips = self.clips
        order = np.argsort(-clips.probs[item], kind="stable").tolist()
        predicted, second = order[0], order[min(1, len(order) - 1)]
        true = int(clips.truth[item])
        example = Example(
            clip=clips.ids[item],
            true=clips.labels[true],
            predicted=clips.labels[predicted],
            confidence=float(clips.probs[item, predicted]),
            true_probability=float(clips.probs[item, true]),
            runner_up=clips.labels[second],
            margin=float(clips.probs[item, predicted] - clips.probs[item, second]),
        )
        items = self.items_by_clip.get(clips.ids[item], [])
        if not segments or self.segments is None or not items:
            return example
        below, above = (true, predicted) if true != predicted else (predicted, second)
        probs = self.segments.probs[items]
        best = int(probs[:, predicted].argmax())
        return replace(
            example,
            segment=self.segments.ids[items[best]],
            timeline=timeline(probs[:, below].tolist(), probs[:, above].tolist(), best) if len(items) > 1 else "",
            below=clips.labels[below],
            above=clips.labels[above],
        )

    def by_cell(self) -> dict[Cell, tuple[Example, ...]]:
        """Return the clips of each cell of the confusion matrix: the most confident first, on the diagonal the least.

        Only misclassified clips get a segment.
        """
        cells: dict[Cell, list[Example]] = {}
        pairs = zip(self.clips.truth.tolist(), self.clips.predicted.tolist(), strict=True)
        for item, (true, predicted) in enumerate(pairs):
            example = self.example(item, segments=true != predicted)
            cells.setdefault((true, predicted), []).append(example)
        return {
            cell: tuple(sorted(examples, key=lambda example: example.confidence, reverse=cell[0] != cell[1]))
            for cell, examples in sorted(cells.items())
        }
