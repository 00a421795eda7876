"""What the page shows of each run, as values for the templates."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from markupsafe import Markup

from spectro.core.card import Card
from spectro.core.config import RenderConfig
from spectro.core.distribution import require_packages
from spectro.core.errors import ConfigError, RunError, SpectroError
from spectro.core.predictions import Predictions
from spectro.core.runs import Run
from spectro.evaluation.member_gains import MemberGains, member_gains
from spectro.evaluation.results import Metrics
from spectro.plots import charts
from spectro.reports.examples import Cell, Example, ExampleFinder
from spectro.reports.media import Budget, MediaSource, embed
from spectro.reports.notable import NotableExamples, issues_or_reason, notable_examples

if TYPE_CHECKING:
    from spectro.reports.cam_overlay import CamOverlay

CHECKED = 6
"""Clips on which the Grad-CAM layers are checked: about a hundred spectrograms are classified for each."""
LEAKY_LABELS = "the model was trained on recordings of the test clips, so its predictions do not test their labels"


@dataclass(frozen=True, kw_only=True)
class Section:
    """One run on the page."""

    number: int
    """Its place on the page, from 0."""
    name: str
    run: Run
    metrics: Metrics
    cells: Mapping[Cell, tuple[Example, ...]]
    """Clips of each cell of the confusion matrix; those of the leading run with spectrograms and sound."""

    @property
    def card(self) -> Card:
        """The run's card."""
        return self.run.card

    @property
    def leaky(self) -> bool:
        """Whether its split leaks."""
        return self.card.split.leaky

    @property
    def first_cell(self) -> Cell | None:
        """The most frequent confusion, which is open from the start."""
        confused = [cell for cell in self.cells if cell[0] != cell[1]]
        return max(confused, key=lambda cell: len(self.cells[cell]), default=None)

    @cached_property
    def shades(self) -> list[list[float]]:
        """How dark each cell of the confusion matrix is: its share of the row, stretched so that a few errors show."""
        confusion = np.array(self.metrics.clip.confusion)
        rows = np.maximum(confusion.sum(axis=1, keepdims=True), 1)
        shades: list[list[float]] = ((confusion / rows) ** 0.6).round(3).tolist()
        return shades

    @property
    def majority_class(self) -> str:
        """The class with most clips."""
        return self.metrics.labels[int(np.array(self.metrics.clip.confusion).sum(axis=1).argmax())]

    @property
    def baseline_accuracy(self) -> float:
        """Accuracy of predicting the majority class for every clip."""
        confusion = np.array(self.metrics.clip.confusion)
        return float(confusion.sum(axis=1).max() / confusion.sum())

    @cached_property
    def training_charts(self) -> list[Markup]:
        """Loss and accuracy by epoch."""
        return [Markup(chart.svg()) for chart in charts.training(self.run.history(), self.card.history)]

    @cached_property
    def calibration_charts(self) -> list[Markup]:
        """The reliability diagram, and accuracy against coverage."""
        return [Markup(chart.svg()) for chart in charts.calibration(self.metrics.calibration)]

    @cached_property
    def segment_charts(self) -> list[Markup]:
        """Accuracy by number of segments."""
        leaf = first_leaf(self.run)
        seconds = leaf.card.feature.segment.seconds if leaf and leaf.card.feature else None
        return [Markup(chart.svg()) for chart in charts.accuracy_by_segments(self.metrics.by_segments, seconds)]

    @cached_property
    def member_gains(self) -> tuple[MemberGains, ...] | str:
        """What each member of an ensemble adds to each class; in one sentence why that is unknown."""
        try:
            return member_gains(self.run)
        except (SpectroError, OSError) as error:
            return f"What each member adds is unknown: {error}."

    @property
    def command(self) -> str:
        """The command that makes such a run; where the card has none, the one that takes its settings from it."""
        if self.card.command or self.card.kind != "torch" or not self.card.data.path or self.card.training is None:
            return self.card.command
        return shlex.join(["spectro", "finetune", self.card.data.path, "--from", str(self.run.path)])


@dataclass(frozen=True, kw_only=True)
class Highlights:
    """Examples of the leading run, to look at and to listen to."""

    cells: Mapping[Cell, tuple[Example, ...]]
    """Clips of each cell of the confusion matrix."""
    notable: NotableExamples
    issues: int
    """Number of labels that may be wrong."""
    issues_skipped: str
    """Why no label issues were looked for; empty where they were."""
    overlay: CamOverlay | None
    """The network of the Grad-CAM layers."""
    checked: int
    """Number of clips on which the layers were checked."""
    confirmed: int
    """Number of those where the layer passed."""
    config: RenderConfig | None
    """Settings of the spectrograms that are shown."""


def section(number: int, name: str, run: Run, metrics: Metrics) -> Section:
    """Return the section of one run, without spectrograms and sound."""
    cells = ExampleFinder(known_clips(run, metrics), segments_of(run)).by_cell()
    return Section(number=number, name=name, run=run, metrics=metrics, cells=cells)


def highlights(lead: Section, source: MediaSource | None, budget: Budget) -> Highlights:
    """Return the examples of the leading run, as far as the budget reaches.

    Parameters
    ----------
    lead
        Section of the leading run.
    source
        Where spectrograms and sound come from, if they exist.
    budget
        What may be embedded; it is reduced, and takes the reasons where something is missing.
    """
    clips, segments = known_clips(lead.run, lead.metrics), segments_of(lead.run)
    issues, skipped = ((), LEAKY_LABELS) if lead.leaky else issues_or_reason(clips)
    notable, cells = notable_examples(clips, segments, issues), lead.cells
    overlay: CamOverlay | None = None
    if source:
        overlay = _overlay(lead.run, budget)
        lists = {
            "confident_errors": notable.confident_errors,
            "lowest_margin": notable.lowest_margin,
            "label_issues": notable.label_issues,
        }
        notable = NotableExamples(**embed(lists, source, budget, overlay))
        cells = embed(cells, source, budget, overlay)
    marked = [one for one in notable.confident_errors + notable.lowest_margin if one.overlay][:CHECKED]
    return Highlights(
        cells=cells,
        notable=notable,
        issues=len(issues),
        issues_skipped=skipped,
        overlay=overlay,
        checked=len(marked),
        confirmed=_confirmed(marked, overlay, source) if overlay and source else 0,
        config=source.store.config if source else None,
    )


def _overlay(run: Run, budget: Budget) -> CamOverlay | None:
    try:
        require_packages("it", "torch", "pytorch_grad_cam")
    except ConfigError as error:
        budget.missing.append(f"No Grad-CAM overlay: {error}.")
        return None
    from spectro.reports.cam_overlay import CamOverlay  # here, because importing torch takes seconds

    overlay = CamOverlay.of(first_leaf(run) or run)
    if isinstance(overlay, str):
        budget.missing.append(overlay)
        return None
    return overlay


def _confirmed(examples: list[Example], overlay: CamOverlay, source: MediaSource) -> int:
    images = {example.segment: source.image(source.segments[example.segment]) for example in examples}
    return sum(overlay.passes_check(images[example.segment], example.predicted) for example in examples)


def known_clips(run: Run, metrics: Metrics) -> Predictions:
    """Return the test predictions of clips whose true class is known."""
    clips = run.predictions("test").pool(metrics.vote)
    return clips.select(clips.truth >= 0)


def segments_of(run: Run) -> Predictions | None:
    """Return predictions of segments: the run's own, or else those of an ensemble's first member."""
    own = run.segment_predictions("test")
    if own is not None:
        return own
    leaf = first_leaf(run)
    return leaf.segment_predictions("test") if leaf and leaf.has_predictions("test") else None


def first_leaf(run: Run) -> Run | None:
    """Return the run itself, or the first model of an ensemble; None where that was moved or removed."""
    try:
        return run.leaves()[0]
    except RunError:
        return None
