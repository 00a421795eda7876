"""Results as values: metrics with intervals, per level, and comparisons of models; each a record with a JSON form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from spectro.core.records import NanAsNull, Record

Level = Literal["segment", "clip", "group"]
LEVELS: tuple[Level, ...] = ("segment", "clip", "group")


@dataclass(frozen=True, kw_only=True)
class Estimate(Record):
    """A value with its interval; `low` and `high` are nan where one group is all there is."""

    value: NanAsNull
    low: NanAsNull
    high: NanAsNull


@dataclass(frozen=True, kw_only=True)
class ClassScores(Record):
    """How well one class is distinguished from the others; nan where it does not occur."""

    precision: Estimate
    recall: Estimate
    f1: Estimate
    support: int
    """Number of items of the class."""


@dataclass(frozen=True, kw_only=True)
class LevelMetrics(Record):
    """Every metric of one level: of segments, clips or groups."""

    n: int
    """Number of items."""
    accuracy: Estimate
    macro_f1: Estimate
    balanced_accuracy: Estimate
    top3: Estimate | None
    """Only with more than three classes."""
    roc_auc: Estimate
    log_loss: Estimate
    brier: Estimate
    accuracy_wilson: Estimate
    """Accuracy with Wilson's interval, which takes the items for independent."""
    per_class: Mapping[str, ClassScores]
    confusion: tuple[tuple[int, ...], ...]
    """`[classes, classes]`, rows true and columns predicted."""

    def metric(self, name: str) -> Estimate | None:
        """Return the metric of that name; None where the level does not have it."""
        value = getattr(self, name)
        assert value is None or isinstance(value, Estimate)
        return value


@dataclass(frozen=True, kw_only=True)
class ReliabilityBin(Record):
    """Items of about equal confidence."""

    confidence: float
    """Their mean confidence."""
    accuracy: Estimate
    n: int


@dataclass(frozen=True, kw_only=True)
class CoveragePoint(Record):
    """The most confident share of the items."""

    coverage: float
    """Share of items that are answered."""
    accuracy: float
    """Accuracy among them."""
    threshold: float
    """Confidence from which on items are answered."""


@dataclass(frozen=True, kw_only=True)
class CalibrationQuality(Record):
    """How well probabilities agree with frequencies."""

    ece: Estimate
    """Expected calibration error, 0..1."""
    log_loss: float
    reliability: tuple[ReliabilityBin, ...]


@dataclass(frozen=True, kw_only=True)
class Calibration(Record):
    """Calibration of voted predictions."""

    temperature: float | None
    """Temperature fitted on validation; None where there are no validation predictions."""
    before: CalibrationQuality
    """Of the probabilities as they are."""
    after: CalibrationQuality | None
    """With the temperature applied."""
    coverage: tuple[CoveragePoint, ...]

    @property
    def final(self) -> CalibrationQuality:
        """Calibration of the probabilities that `predict` gives."""
        return self.after or self.before


@dataclass(frozen=True, kw_only=True)
class VoteScores(Record):
    """How well clips are classified under one vote rule."""

    accuracy: Estimate
    macro_f1: Estimate
    log_loss: Estimate


@dataclass(frozen=True, kw_only=True)
class SegmentsUsed(Record):
    """Accuracy of clips when only so many segments of each vote."""

    segments: int
    accuracy: float


@dataclass(frozen=True, kw_only=True)
class SelectiveAccuracy(Record):
    """Selective prediction: what is left when items below a confidence are rejected."""

    threshold: float
    answered: int
    coverage: Estimate
    """Share of items answered."""
    accuracy: Estimate | None
    """Accuracy of the answers; None where there are none."""


@dataclass(frozen=True, kw_only=True)
class BootstrapFacts(Record):
    """How intervals were computed."""

    unit: str
    """What is resampled: `group`."""
    interval: str
    groups: int
    repeats: int
    level: float
    seed: int


@dataclass(frozen=True, kw_only=True)
class ItemCounts(Record):
    """How many items were evaluated at each level."""

    segments: int | None
    clips: int
    groups: int | None
    unlabelled: int
    """Items without a known truth, which are left out."""


@dataclass(frozen=True, kw_only=True)
class Metrics(Record):
    """Everything that evaluating one set of predictions gives."""

    run: str
    """Name of the run; empty for predictions of other programs."""
    subset: str
    split: str
    """Title of the split."""
    labels: tuple[str, ...]
    vote: str
    """Rule by which the segments of a clip decide."""
    predictions: str
    """Checksum of what was evaluated: the run's predictions, vote and temperature; empty for other predictions."""
    bootstrap: BootstrapFacts
    items: ItemCounts
    segment: LevelMetrics | None
    """Only where clips have several segments; of an ensemble, only where its members cut clips alike."""
    clip: LevelMetrics
    group: LevelMetrics | None
    """Only where groups hold several clips, all of one class."""
    calibration: Calibration
    votes: Mapping[str, VoteScores]
    """Every vote rule on validation; empty without validation predictions of segments."""
    by_segments: tuple[SegmentsUsed, ...]
    """Empty where clips have one segment, and for ensembles, whose members vote over segments before they combine."""
    selective: SelectiveAccuracy | None
    """Only where a least confidence was asked for."""

    def level(self, name: Level) -> LevelMetrics | None:
        """Return one level; None where it does not exist."""
        value = getattr(self, name)
        assert value is None or isinstance(value, LevelMetrics)
        return value

    @property
    def levels(self) -> tuple[Level, ...]:
        """Names of the levels that exist, finest first."""
        return tuple(name for name in LEVELS if self.level(name) is not None)


@dataclass(frozen=True, kw_only=True)
class Scores(Record):
    """The metrics that stand in a table of models."""

    accuracy: Estimate
    macro_f1: Estimate
    balanced_accuracy: Estimate
    roc_auc: Estimate
    log_loss: Estimate

    @classmethod
    def of(cls, level: LevelMetrics) -> Scores:
        """Take them from all metrics of a level."""
        return cls(**{name: getattr(level, name) for name in SCORES})


SCORES = tuple(Scores.__dataclass_fields__)
"""Names of the metrics of `Scores`."""


@dataclass(frozen=True, kw_only=True)
class SystemFacts(Record):
    """What a table shows of a system of the studies, beside what it shows of any run."""

    study: str
    reported: float | None
    """Accuracy that the study printed, 0..1."""
    protocol: str
    """What the study's accuracy was measured on."""
    note: str
    seconds: float
    """Length of a segment, in seconds."""
    seeds: int
    deviation: float | None
    """Standard deviation of clip accuracy over the seeds."""
    epochs_cap: int | None
    train_auc: NanAsNull
    fit_seconds: NanAsNull
    predict_ms: float
    """Time to classify one segment, in milliseconds."""


@dataclass(frozen=True, kw_only=True)
class ModelRow(Record):
    """One model in a table of models."""

    name: str
    kind: str
    parameters: int | None
    split: str
    clips: int
    groups: int
    leaking_groups: int
    segment: Scores | None
    clip: Scores
    system: SystemFacts | None = None


@dataclass(frozen=True, kw_only=True)
class PairTest(Record):
    """Two models on the same clips."""

    first: str
    second: str
    n: int
    """Number of clips."""
    groups: int
    only_first: int
    """Clips that only the first gets right."""
    only_second: int
    difference: Estimate
    """Accuracy of the first less that of the second."""
    p_mcnemar: float
    """Exact McNemar test, which takes clips for independent."""
    p_bootstrap: NanAsNull
    """Paired bootstrap over groups."""
    needed: int | None
    """Test clips required to detect this difference (power 0.8); None where there is none."""
    p_mcnemar_holm: float
    """Corrected for the number of pairs [Holm, 1979]."""
    p_bootstrap_holm: NanAsNull


@dataclass(frozen=True, kw_only=True)
class FailedSystem(Record):
    """A system that could not be trained."""

    recipe: str
    split: str
    message: str


@dataclass(frozen=True, kw_only=True)
class Comparison(Record):
    """A table of models, with the paired tests between them."""

    models: tuple[ModelRow, ...]
    pairs: tuple[PairTest, ...] = ()
    notes: tuple[str, ...] = ()
    failed: tuple[FailedSystem, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Spread(Record):
    """A metric over several runs."""

    mean: NanAsNull
    deviation: NanAsNull
    """Standard deviation."""


@dataclass(frozen=True, kw_only=True)
class RunSummary(Record):
    """Several runs of one recipe."""

    kind: Literal["seeds", "folds"]
    """Whether the runs differ in their seed, or in their fold of a cross-validation."""
    runs: int
    """Number of runs."""
    spread: Mapping[Level, Mapping[str, Spread]]
    """Mean and deviation of each metric of `Scores`, per level that all runs have."""
    pooled: Metrics | None
    """Of folds: all clips together, each predicted by the run that did not train on it."""


@dataclass(frozen=True, kw_only=True)
class FoldTest(Record):
    """Two recipes on the same folds."""

    difference: float
    """Mean clip accuracy of the first less that of the second."""
    t: NanAsNull
    """Corrected t [Nadeau and Bengio, 2003]; nan where it is infinite, every fold having the same difference."""
    p: float
    """Two-sided."""
    pooled: PairTest | None
    """All clips of the folds together, where no clip is in two folds."""


@dataclass(frozen=True, kw_only=True)
class OverlapComparison(Record):
    """A run against itself where the segments of clips overlap, so that more of them vote."""

    run: str
    """Name of the run."""
    subset: str
    overlap: float
    """Share of a segment that the next one repeats."""
    plain: Metrics
    """With the segments that the model was trained on."""
    overlapped: Metrics
    pair: PairTest
    """Overlapped against plain."""
