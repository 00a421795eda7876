"""Evaluate predictions at segment, clip and group level, with intervals from a bootstrap over groups."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np

from spectro.core.alignment import require_own_labels
from spectro.core.arrays import Floats
from spectro.core.errors import ConfigError, DataError, RunError, StorageError
from spectro.core.files import digest_text, read_document, write_document
from spectro.core.predictions import Predictions
from spectro.core.runs import Run
from spectro.core.tables import SUBSETS, Subset
from spectro.evaluation import metrics
from spectro.evaluation.calibration import calibrate, selective_accuracy
from spectro.evaluation.results import (
    BootstrapFacts,
    ClassScores,
    Estimate,
    ItemCounts,
    Level,
    LevelMetrics,
    Metrics,
)
from spectro.evaluation.statistics import (
    BootstrapConfig,
    Statistic,
    bootstrap,
    centred_interval,
    percentile_interval,
    wilson,
)
from spectro.evaluation.voting import accuracy_by_segments, compare_votes
from spectro.evaluation.weights import Weights
from spectro.inference.temperature import apply_temperature, fit_temperature

METRICS_VERSION = 1
INTERVAL = "centred percentile"
"""How the intervals of metrics over all classes are computed; `metrics.json` names it."""
CLASS_SCORES = ("precision", "recall", "f1")


def evaluate(
    run: Run | Path | str,
    *,
    subset: Subset = "test",
    min_confidence: float | None = None,
    config: BootstrapConfig | None = None,
) -> Metrics:
    """Evaluate a run by its predictions of one subset and write `metrics.json` beside them, and nothing else.

    Probabilities are calibrated by the temperature of the card, which was fitted on validation when the run was made.

    Parameters
    ----------
    run
        The run or its folder.
    subset
        Which predictions to read: `test` or `val`.
    min_confidence
        Also report coverage and accuracy when clips below this probability are rejected.
    config
        Settings of the bootstrap.

    Raises
    ------
    RunError
        There is no finished run, or it has no predictions of that subset.
    DataError
        The truth of no prediction is known.
    ConfigError
        `min_confidence` is no probability.
    """
    run = Run.open(run)
    values = _evaluate_run(run, subset, min_confidence, config)
    if run.metrics_path.is_dir():
        raise RunError(f"{run.metrics_path} is a folder, but holds the metrics of the run; move it away")
    write_document(run.metrics_path, "metrics", METRICS_VERSION, values.to_dict())
    return values


def _evaluate_run(run: Run, subset: Subset, min_confidence: float | None, config: BootstrapConfig | None) -> Metrics:
    """Evaluate a run and write nothing."""
    card = run.card
    validated = subset != "val" and run.has_predictions("val")
    own = {name: run.predictions(name) for name in (subset, *(("val",) if validated else ()))}
    segments = run.segment_predictions(subset) if card.is_ensemble else None
    for predictions in (*own.values(), *([segments] if segments else [])):
        require_own_labels(run, predictions)
    values = _evaluate(
        own[subset],
        vote=card.vote,
        validation=own.get("val") if validated else None,
        temperature=card.temperature,
        segments=segments,
        min_confidence=min_confidence,
        config=config or BootstrapConfig(),
    )
    return replace(values, run=card.name, subset=subset, split=card.split.title, predictions=_checksum(run, subset))


def read_metrics(run: Run | Path | str) -> Metrics:
    """Read what `evaluate` wrote.

    Raises
    ------
    RunError
        the run was not evaluated, or the file is damaged or of other predictions.
    """
    run = Run.open(run)
    remedy = f"evaluate the run: spectro evaluate {run.path}"
    values = read_document(run.metrics_path, "metrics", METRICS_VERSION, remedy=remedy, error=RunError)
    try:
        metrics = Metrics.from_dict(values, "metrics")
    except ConfigError as error:
        raise RunError(f"{run.metrics_path}: {error}; {remedy}") from None
    subset = next((name for name in SUBSETS if name == metrics.subset), None)
    if subset is None or metrics.predictions != _checksum(run, subset):
        raise RunError(f"{run.metrics_path} was computed from other predictions; {remedy}")
    return metrics


def load_or_compute(run: Run | Path | str) -> Metrics:
    """Return the metrics of the test subset, evaluating first where `metrics.json` does not hold them.

    That is the case when it is absent, damaged, of another subset, or was computed from other predictions or by another
    method; what it was computed from is known by checksums, not by the time of files.
    """
    run = Run.open(run)
    with suppress(RunError, OSError):
        values = read_metrics(run)
        if values.subset == "test":
            return values
    values = _evaluate_run(run, "test", None, None)
    if not run.metrics_path.is_dir():
        with suppress(StorageError):  # a run that may only be read is evaluated each time
            write_document(run.metrics_path, "metrics", METRICS_VERSION, values.to_dict())
    return values


def evaluate_predictions(
    predictions: Predictions,
    *,
    vote: str = "soft",
    validation: Predictions | None = None,
    segments: Predictions | None = None,
    min_confidence: float | None = None,
    config: BootstrapConfig | None = None,
) -> Metrics:
    """Evaluate predictions of any model, `spectro`'s or not.

    Parameters
    ----------
    predictions
        Of segments or of clips; items whose truth is not known are left out, and counted.
    vote
        Rule by which a clip's segments decide (one of `VOTES`).
    validation
        Predictions of other clips, on which the temperature is fitted and the vote rules are compared.
    segments
        Where `predictions` are of clips that were decided elsewhere: predictions of their segments, for that level.
    min_confidence
        Also report coverage and accuracy when clips below this probability are rejected.
    config
        Settings of the bootstrap.

    Raises
    ------
    DataError
        The truth of no prediction is known, or a clip has two.
    ConfigError
        `min_confidence` is no probability.
    """
    return _evaluate(
        predictions,
        vote=vote,
        validation=validation,
        temperature=None,
        segments=segments,
        min_confidence=min_confidence,
        config=config or BootstrapConfig(),
    )


def _evaluate(
    predictions: Predictions,
    *,
    vote: str,
    validation: Predictions | None,
    temperature: float | None,
    segments: Predictions | None,
    min_confidence: float | None,
    config: BootstrapConfig,
) -> Metrics:
    """Evaluate; with validation predictions the `temperature` counts, or is fitted on them where it is None."""
    known = _known(predictions)
    if not len(known):
        raise DataError("no prediction has a known truth, so there is nothing to evaluate")
    levels = by_level(known, vote, None if segments is None else _known(segments))
    tuning = None if validation is None else _known(validation)
    if not tuning:
        temperature = None
    elif temperature is None:
        temperature = fit_temperature(tuning.pool(vote))
    values = {name: compute_metrics(items, config) for name, items in levels.items()}
    clips, selective = levels["clip"], None
    if min_confidence is not None:
        selective = selective_accuracy(apply_temperature(clips, temperature or 1.0), min_confidence, config)
    return Metrics(
        run="",
        subset="",
        split="",
        labels=predictions.labels,
        vote=vote,
        predictions="",
        bootstrap=BootstrapFacts(unit="group", interval=INTERVAL, groups=len(set(known.groups)), **config.to_dict()),
        items=ItemCounts(
            segments=len(levels["segment"]) if "segment" in levels else None,
            clips=len(clips),
            groups=len(levels["group"]) if "group" in levels else None,
            unlabelled=len(predictions) - len(known),
        ),
        segment=values.get("segment"),
        clip=values["clip"],
        group=values.get("group"),
        calibration=calibrate(clips, temperature, config),
        votes=compare_votes(tuning, config) if tuning and _has_segments(tuning) else {},
        by_segments=accuracy_by_segments(known, vote) if _has_segments(known) else (),
        selective=selective,
    )


def by_level(
    predictions: Predictions, vote: str = "soft", segments: Predictions | None = None
) -> dict[Level, Predictions]:
    """Return the predictions per level: `segment` where clips have several, `clip`, `group` where groups have several.

    A group whose clips differ in class (an artist of several genres) has no class of its own, so no group level exists.

    Parameters
    ----------
    predictions
        Of segments or of clips, with known truth.
    vote
        Rule by which a clip's segments decide.
    segments
        Predictions of segments, where `predictions` are of clips that were decided elsewhere.
    """
    clips = predictions.pool(vote)
    pieces = predictions if segments is None else segments
    levels: dict[Level, Predictions] = {"segment": pieces} if _has_segments(pieces) else {}
    levels["clip"] = clips
    classes = {(group, truth) for group, truth in zip(clips.groups, clips.truth.tolist(), strict=True)}
    groups = set(clips.groups)
    if len(groups) < len(clips) and len(classes) == len(groups):
        levels["group"] = replace(predictions, clip_ids=predictions.groups).pool(vote)
    return levels


def compute_metrics(predictions: Predictions, config: BootstrapConfig | None = None) -> LevelMetrics:
    """Return every metric of one level, with intervals; the truth of every item must be known."""
    config = config or BootstrapConfig()
    names = [name for name in metrics.METRICS if name != "top3" or len(predictions.labels) > 3]

    def statistic(weights: Weights) -> Floats:
        scalars = [metrics.METRICS[name](predictions, weights)[:, None] for name in names]
        per_class = metrics.class_scores(predictions, weights)
        return np.concatenate([*scalars, *(per_class[name] for name in CLASS_SCORES)], axis=1)

    estimates = _estimates(statistic, predictions, len(names), config)
    scalars: dict[str, Estimate | None] = {"top3": None, **dict(zip(names, estimates, strict=False))}
    hits = int((predictions.predicted == predictions.truth).sum())
    return LevelMetrics(
        n=len(predictions),
        **scalars,  # type: ignore[arg-type]  # only top3 is None
        accuracy_wilson=wilson(hits, len(predictions), config.level),
        per_class=_per_class(predictions, estimates[len(names) :]),
        confusion=tuple(map(tuple, metrics.confusion(predictions).tolist())),
    )


def _estimates(statistic: Statistic, predictions: Predictions, scalars: int, config: BootstrapConfig) -> list[Estimate]:
    """Return the values of a statistic with intervals: centred for the first `scalars`, plain for those of classes.

    A class has too few groups for its bias to be known.
    """
    values = statistic(metrics.ones(predictions))[0].tolist()
    several = len(set(predictions.groups)) > 1
    samples = bootstrap(statistic, predictions.groups, config) if several else np.full((1, len(values)), np.nan)
    estimates = []
    for column, value in enumerate(values):
        if column < scalars:
            low, high = centred_interval(samples[:, column], value, config.level)
        else:
            low, high = percentile_interval(samples[:, column], config.level)
        estimates.append(Estimate(value=value, low=low, high=high))
    return estimates


def _per_class(predictions: Predictions, estimates: list[Estimate]) -> dict[str, ClassScores]:
    """Return the scores of each class from the estimates of all classes, one block for each of `CLASS_SCORES`."""
    classes = len(predictions.labels)
    support = np.bincount(predictions.truth, minlength=classes).tolist()
    blocks = {name: estimates[number * classes :] for number, name in enumerate(CLASS_SCORES)}
    return {
        label: ClassScores(support=support[column], **{name: block[column] for name, block in blocks.items()})
        for column, label in enumerate(predictions.labels)
    }


def _known(predictions: Predictions) -> Predictions:
    return predictions.select(predictions.truth >= 0)


def _has_segments(predictions: Predictions) -> bool:
    """Tell whether some clip has several items."""
    return len(set(predictions.clip_ids)) < len(predictions)


def _checksum(run: Run, subset: Subset) -> str:
    """Return a checksum of everything that the metrics of a subset depend on, but for the settings of the bootstrap."""
    paths = (run.predictions_path(subset), run.segments_path(subset), run.predictions_path("val"))
    files = run.card.files
    digests = [f"{path.name} {files[run.checked(path).name]}" for path in paths if path.name in files]
    return digest_text(*digests, run.card.vote, repr(run.card.temperature), INTERVAL)
