"""Calibration and selective prediction: calibration error, reliability, accuracy against coverage."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from spectro.core.arrays import Floats
from spectro.core.predictions import Predictions
from spectro.evaluation.metrics import METRICS, ones
from spectro.evaluation.results import (
    Calibration,
    CalibrationQuality,
    CoveragePoint,
    Estimate,
    ReliabilityBin,
    SelectiveAccuracy,
)
from spectro.evaluation.statistics import BootstrapConfig, bootstrap, estimate, percentile_interval, wilson
from spectro.evaluation.weights import Weights, ratio
from spectro.inference.temperature import apply_temperature, require_probability

BINS = 10
"""Bins of the calibration error and the reliability diagram; fewer where they would hold fewer than 15 items."""


def calibration_error(predictions: Predictions, weights: Weights) -> Floats:
    """Return the expected calibration error in bins of equal mass, `[repeats]`: mean gap of confidence and accuracy."""
    gap = predictions.probs.max(axis=1) - (predictions.predicted == predictions.truth)
    bins = _bins(predictions)
    gaps = np.zeros((len(predictions), len(bins)))
    for number, items in enumerate(bins):
        gaps[items, number] = gap[items]
    error: Floats = np.abs(weights.mean(gaps)).sum(axis=1)
    return error


def estimate_calibration_error(predictions: Predictions, config: BootstrapConfig | None = None) -> Estimate:
    """Return the calibration error with the basic bootstrap interval over groups [Davison and Hinkley, 1997].

    Noise can only increase an absolute gap, so the error of resamples is biased upwards; the basic interval mirrors the
    resamples and so removes the bias, which the percentile interval would count twice.
    """
    config = config or BootstrapConfig()
    value = float(calibration_error(predictions, ones(predictions))[0])
    if len(set(predictions.groups)) < 2:
        return Estimate(value=value, low=math.nan, high=math.nan)
    samples = bootstrap(lambda weights: calibration_error(predictions, weights), predictions.groups, config)
    low, high = percentile_interval(samples, config.level)
    return Estimate(value=value, low=max(0.0, 2 * value - high), high=max(0.0, 2 * value - low))


def reliability(predictions: Predictions) -> tuple[ReliabilityBin, ...]:
    """Return the bins of a reliability diagram, least confident first; accuracies have Wilson's interval."""
    confidence, right = predictions.probs.max(axis=1), predictions.predicted == predictions.truth
    return tuple(
        ReliabilityBin(
            confidence=float(confidence[items].mean()),
            accuracy=wilson(int(right[items].sum()), len(items)),
            n=len(items),
        )
        for items in _bins(predictions)
    )


def accuracy_coverage_curve(predictions: Predictions, points: int = 40) -> tuple[CoveragePoint, ...]:
    """Return the accuracy of the most confident items, for growing shares of all items (risk-coverage curve).

    Parameters
    ----------
    predictions
        Voted predictions with known truth.
    points
        Most points of the curve.
    """
    confidence = predictions.probs.max(axis=1)
    order = np.argsort(-confidence, kind="stable")
    right = np.cumsum((predictions.predicted == predictions.truth)[order])
    answered = np.unique(np.linspace(1, len(order), min(points, len(order))).round().astype(int))
    return tuple(
        CoveragePoint(
            coverage=n / len(order), accuracy=float(right[n - 1]) / n, threshold=float(confidence[order[n - 1]])
        )
        for n in answered.tolist()
    )


def selective_accuracy(
    predictions: Predictions, threshold: float, config: BootstrapConfig | None = None
) -> SelectiveAccuracy:
    """Return coverage and accuracy when items below a confidence are rejected (selective prediction).

    Parameters
    ----------
    predictions
        Voted, calibrated predictions with known truth.
    threshold
        Least probability of the predicted class, 0 to 1, from which on an item is answered.
    config
        Settings of the bootstrap.

    Raises
    ------
    ConfigError
        The threshold is no probability.
    """
    require_probability(threshold)
    answered = (predictions.probs.max(axis=1) >= threshold).astype(float)
    right = answered * (predictions.predicted == predictions.truth)

    def share(weights: Weights) -> Floats:
        return ratio(weights.sums(right), weights.sums(answered))

    return SelectiveAccuracy(
        threshold=float(threshold),
        answered=int(answered.sum()),
        coverage=estimate(lambda weights: weights.mean(answered), predictions.groups, config),
        accuracy=estimate(share, predictions.groups, config) if answered.any() else None,
    )


def calibrate(
    test: Predictions, temperature: float | None = None, config: BootstrapConfig | None = None
) -> Calibration:
    """Evaluate the calibration of voted predictions, without and with a temperature applied.

    Parameters
    ----------
    test
        Voted predictions with known truth, not calibrated.
    temperature
        Temperature that was fitted on validation; None where there is none.
    config
        Settings of the bootstrap.
    """
    config = config or BootstrapConfig()
    calibrated = test if temperature is None else apply_temperature(test, temperature)
    return Calibration(
        temperature=temperature,
        before=_quality(test, config),
        after=None if temperature is None else _quality(calibrated, config),
        coverage=accuracy_coverage_curve(calibrated),
    )


def _quality(predictions: Predictions, config: BootstrapConfig) -> CalibrationQuality:
    return CalibrationQuality(
        ece=estimate_calibration_error(predictions, config),
        log_loss=float(METRICS["log_loss"](predictions, ones(predictions))[0]),
        reliability=reliability(predictions),
    )


def _bins(predictions: Predictions) -> list[NDArray[np.intp]]:
    """Return the items of each bin: equally many, in order of confidence."""
    order = np.argsort(predictions.probs.max(axis=1), kind="stable")
    return np.array_split(order, max(1, min(BINS, len(order) // 15)))
