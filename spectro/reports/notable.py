"""Notable clips of a run: its most confident errors, its closest decisions, and labels that may be wrong."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from spectro.core.errors import SpectroError
from spectro.core.predictions import Predictions
from spectro.evaluation.label_issues import LabelIssue, label_issues_of
from spectro.reports.examples import Example, ExampleFinder

LISTED = 6
"""Clips in each list."""


@dataclass(frozen=True, kw_only=True)
class NotableExamples:
    """Three lists of clips; a clip is in the first list that it fits."""

    confident_errors: tuple[Example, ...]
    """Misclassified clips with the highest confidence."""
    lowest_margin: tuple[Example, ...]
    """Clips whose two most probable classes are closest to each other."""
    label_issues: tuple[Example, ...]
    """Clips whose label may be wrong."""

    def all(self) -> tuple[Example, ...]:
        """Return the clips of all lists."""
        return self.confident_errors + self.lowest_margin + self.label_issues


def notable_examples(
    clips: Predictions, segments: Predictions | None = None, issues: Sequence[LabelIssue] = ()
) -> NotableExamples:
    """Return three lists of at most `LISTED` clips each.

    Parameters
    ----------
    clips
        Predictions per clip, all with known truth.
    segments
        Predictions of their segments.
    issues
        Clips whose label may be wrong, the most suspicious first.
    """
    finder = ExampleFinder(clips, segments)
    ranks = {issue.clip: rank for rank, issue in enumerate(issues)}
    falling = np.sort(clips.probs, axis=1)[:, ::-1]
    wrong = np.flatnonzero(clips.predicted != clips.truth)
    suspicious = [clips.ids.index(clip) for clip in ranks]
    orders: dict[str, Iterable[int]] = {
        "confident_errors": wrong[np.argsort(-falling[wrong, 0], kind="stable")].tolist(),
        "lowest_margin": np.argsort(falling[:, 0] - falling[:, 1:2].max(axis=1, initial=0.0), kind="stable").tolist(),
        "label_issues": suspicious,
    }
    taken: set[int] = set()
    lists: dict[str, tuple[Example, ...]] = {}
    for name, order in orders.items():
        chosen = [item for item in order if item not in taken][:LISTED]
        taken.update(chosen)
        lists[name] = tuple(replace(finder.example(item), label_issue=clips.ids[item] in ranks) for item in chosen)
    return NotableExamples(**lists)


def issues_or_reason(clips: Predictions) -> tuple[tuple[LabelIssue, ...], str]:
    """Return the label issues, or none and why they could not be looked for."""
    try:
        return label_issues_of(clips), ""
    except SpectroError as error:
        return (), str(error)
