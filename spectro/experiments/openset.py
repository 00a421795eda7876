"""How well sounds of unknown classes are noticed: whole classes are left out of training and presented as unknown."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from spectro.core.arrays import Floats, Floats32, Items, Mask
from spectro.core.config import ModelConfig, require
from spectro.core.data_folder import DataFolder
from spectro.core.files import write_csv
from spectro.core.openset import KNOWN_KEPT, ScoreName, means_none
from spectro.core.records import Record
from spectro.evaluation.openset import (
    DISTANCES,
    SCORES,
    LinearHead,
    Outputs,
    Separation,
    evidence_for,
    neighbours_for,
    separation,
)
from spectro.evaluation.results import Estimate
from spectro.evaluation.statistics import BootstrapConfig, estimate
from spectro.inference.openset import Embedded, fit_references
from spectro.training.backbone_features import frozen_features
from spectro.training.dataset import TrainingData

COLUMNS = ("score", "auroc", "low", "high", "fpr95", "fpr95_low", "fpr95_high", "kept", "rejected", "evidence")


@dataclass(frozen=True, kw_only=True)
class ScoreResult(Record):
    """How one score did."""

    score: ScoreName
    separation: Separation
    """Over test clips of known classes and all clips of the class that was left out, mean over the classes."""
    kept: Estimate
    """Share of test clips of known classes below the threshold that was fitted on validation; .95 is wanted."""
    rejected: Estimate
    """Share of unknown clips above that threshold."""
    evidence: float
    """What validation alone promised, leaving out one more class at a time: what a run chooses its score by."""


@dataclass(frozen=True, kw_only=True)
class OpenSetResult(Record):
    """How well each score notices sounds of unknown classes."""

    model: str
    """Name of the frozen backbone."""
    split: str
    """Title of the split."""
    left_out: tuple[str, ...]
    """Classes that were left out, one at a time."""
    scores: tuple[ScoreResult, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Trial:
    """One class left out: the scores of the test."""

    scores: Floats
    unknown: Mask
    groups: tuple[str, ...]
    threshold: float
    evidence: float


def leave_classes_out(
    data: DataFolder | Path | str,
    *,
    split: str = "group",
    model: ModelConfig | None = None,
    weights: str = "auto",
    config_id: str | None = None,
    classes: int = 0,
    seed: int = 0,
    config: BootstrapConfig | None = None,
    log: Callable[[str], object] = lambda _: None,
) -> OpenSetResult:
    """Train logistic regression on frozen features without one class after another, and score it as unknown.

    Parameters
    ----------
    data
        Folder that `render` and `split` wrote.
    split
        Name of a split with validation clips.
    model, weights
        The backbone and its weights, as in `finetune`.
    config_id
        Which spectrograms, when `data` holds several configurations.
    classes
        Number of classes that are left out, drawn at random; 0 for all, one at a time.
    seed
        Seed of that draw.
    config
        How intervals are drawn, over groups.
    log
        Called with a line about each class.

    Raises
    ------
    DataError
        the split lacks segments or classes.
    ConfigError
        it has no validation clips, or there are fewer than three classes.
    """
    model, config = model or ModelConfig(), config or BootstrapConfig()
    dataset = TrainingData.open(data, split, config_id)
    known = [number for number, label in enumerate(dataset.labels) if not means_none(label)]
    require(len(dataset.labels) >= 3, "there are two classes; with one left out, nothing is left to classify")
    require(len(dataset.subsets["val"]) > 0, f"split '{split}' has no validation clips, on which thresholds are fitted")
    chosen = known if not classes else sorted(np.random.default_rng(seed).permutation(known)[:classes].tolist())
    features = frozen_features(dataset.store, model, weights)
    trials: dict[ScoreName, list[_Trial]] = {score: [] for score in SCORES}
    for label in chosen:
        for score, trial in _trials(dataset, features, label).items():
            trials[score].append(trial)
        log(f"{dataset.labels[label]} left out")
    return OpenSetResult(
        model=model.name,
        split=dataset.split.title,
        left_out=tuple(dataset.labels[label] for label in chosen),
        scores=tuple(_result(score, own, config) for score, own in trials.items()),
    )


def _trials(dataset: TrainingData, features: Floats32, label: int) -> dict[ScoreName, _Trial]:
    """Train without a class, and score the test clips and all clips of the class with each score."""
    inside = dataset.truth == label
    train, val, test = (items[~inside[items]] for items in (dataset.subsets[name] for name in ("train", "val", "test")))
    fitted = _clips(dataset, features, train)
    head = LinearHead.fit(fitted)
    checked = head.outputs(_clips(dataset, features, val))
    tested = head.outputs(_clips(dataset, features, np.concatenate([test, np.flatnonzero(inside)])))
    neighbours = neighbours_for(len(fitted))
    evidence = evidence_for(SCORES, fitted, checked, neighbours)
    trials: dict[ScoreName, _Trial] = {}
    for score in SCORES:
        references = fit_references(score, fitted.vectors(), fitted.truth) if score in DISTANCES else None
        threshold = np.quantile(checked.scores(score, references, neighbours), KNOWN_KEPT)
        trials[score] = _Trial(
            scores=tested.scores(score, references, neighbours),
            unknown=tested.truth == label,
            groups=tested.groups,
            threshold=float(threshold),
            evidence=evidence[score],
        )
    return trials


def _clips(dataset: TrainingData, features: Floats32, items: Items) -> Outputs:
    """Return the features of the clips that some segments belong to, without probabilities."""
    return Outputs.of(dataset, items, Embedded(np.empty((len(items), 0)), features[items], None))


def _result(score: ScoreName, trials: list[_Trial], config: BootstrapConfig) -> ScoreResult:
    above = np.concatenate([trial.scores > trial.threshold for trial in trials])
    unknown = np.concatenate([trial.unknown for trial in trials])
    groups = [group for trial in trials for group in trial.groups]

    def share(values: Mask, among: Mask) -> Estimate:
        own = [group for group, asked in zip(groups, among.tolist(), strict=True) if asked]
        return estimate(lambda weights: weights.mean(values[among]), own, config)

    return ScoreResult(
        score=score,
        separation=separation([(trial.scores, trial.unknown, trial.groups) for trial in trials], config),
        kept=share(~above, ~unknown),
        rejected=share(above, unknown),
        evidence=float(np.mean([trial.evidence for trial in trials])),
    )


def save_result(result: OpenSetResult, out: Path) -> Path:
    """Write a line per score as CSV; return the path."""
    rows = []
    for one in result.scores:
        area, passing = one.separation.area, one.separation.false_positives
        cells = (area.value, area.low, area.high, passing.value, passing.low, passing.high)
        rows.append((one.score, *cells, one.kept.value, one.rejected.value, one.evidence))
    write_csv(out, COLUMNS, rows)
    return out
