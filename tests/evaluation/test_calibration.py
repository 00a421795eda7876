"""Calibration: known errors are measured, a temperature undoes a known distortion, rejecting unsure items helps."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from spectro.core.errors import ConfigError
from spectro.core.predictions import Predictions
from spectro.evaluation.calibration import (
    accuracy_coverage_curve,
    calibrate,
    calibration_error,
    estimate_calibration_error,
    reliability,
    selective_accuracy,
)
from spectro.evaluation.evaluate import evaluate_predictions
from spectro.evaluation.metrics import ones
from spectro.evaluation.statistics import BootstrapConfig
from spectro.inference.temperature import apply_temperature, fit_temperature

QUICK = BootstrapConfig(repeats=200)


def honest(items: int = 2000, seed: int = 0, per_clip: int = 1) -> Predictions:
    """Predictions whose truth is drawn from the very probabilities they state."""
    rng = np.random.default_rng(seed)
    probs = rng.dirichlet(np.full(4, 0.5), size=items)
    truth = (probs.cumsum(axis=1) < rng.random((items, 1))).sum(axis=1).clip(0, 3)
    clips = tuple(f"clip{i // per_clip}" for i in range(items))
    if per_clip > 1:
        truth = truth[::per_clip].repeat(per_clip)[:items]
    return Predictions(
        ids=tuple(f"{i}" for i in range(items)),
        clip_ids=clips,
        groups=clips,
        labels=tuple("abcd"),
        probs=probs,
        truth=truth,
    )


def ece(predictions: Predictions) -> float:
    return float(calibration_error(predictions, ones(predictions))[0])


def test_an_honest_predictor_has_a_small_error() -> None:
    predictions = honest()
    assert ece(predictions) < 0.04
    assert ece(apply_temperature(predictions, 0.3)) > 0.1


def test_error_is_the_gap_of_a_constant_confidence() -> None:
    ids = tuple(map(str, range(100)))
    truth = np.r_[np.zeros(70, int), np.ones(30, int)]
    always = Predictions(
        ids=ids,
        clip_ids=ids,
        groups=ids,
        labels=("a", "b"),
        probs=np.tile([0.9, 0.1], (100, 1)),
        truth=truth[np.arange(100) * 37 % 100],
    )
    error = estimate_calibration_error(always, QUICK)
    assert error.value >= 0.2 - 1e-9
    assert error.low <= 0.2 <= error.high + 0.05


def test_interval_of_the_error_reaches_zero_when_honest() -> None:
    error = estimate_calibration_error(honest(300), QUICK)
    assert error.low == 0
    assert error.low <= error.value
    over_confident = estimate_calibration_error(apply_temperature(honest(300), 0.2), QUICK)
    assert over_confident.low > 0.05


def test_one_group_has_an_error_without_interval() -> None:
    error = estimate_calibration_error(replace(honest(30), groups=("one",) * 30), QUICK)
    assert 0 <= error.value <= 1
    assert np.isnan([error.low, error.high]).all()


def test_bins_of_the_reliability_plot_hold_everything_once() -> None:
    bins = reliability(honest(203))
    assert sum(one.n for one in bins) == 203
    assert max(one.n for one in bins) - min(one.n for one in bins) <= 1
    assert all(one.accuracy.low <= one.accuracy.value <= one.accuracy.high for one in bins)
    assert [one.confidence for one in bins] == sorted(one.confidence for one in bins)


def test_rejecting_unsure_items_raises_accuracy() -> None:
    curve = accuracy_coverage_curve(honest())
    assert curve[-1].coverage == 1
    assert curve[0].accuracy > curve[-1].accuracy + 0.2
    thresholds = [point.threshold for point in curve]
    assert thresholds == sorted(thresholds, reverse=True)
    kept = honest().probs.max(axis=1) >= thresholds[19]
    assert kept.mean() == pytest.approx(curve[19].coverage)


def test_a_threshold_leaves_the_clips_that_reach_it() -> None:
    clips = honest(items=600)
    sure = clips.probs.max(axis=1) >= 0.6
    selective = selective_accuracy(clips, 0.6)
    assert selective.answered == sure.sum()
    assert selective.coverage.value == pytest.approx(sure.mean())
    right = (clips.predicted == clips.truth)[sure].mean()
    assert selective.accuracy is not None
    assert selective.accuracy.value == pytest.approx(right)
    assert selective.accuracy.low < right < selective.accuracy.high
    assert selective_accuracy(clips, 1.0).answered == (clips.probs.max(axis=1) >= 1).sum()
    nothing = selective_accuracy(replace(clips, probs=np.full_like(clips.probs, 1 / len(clips.labels))), 0.9)
    assert (nothing.answered, nothing.accuracy) == (0, None)
    assert evaluate_predictions(clips, min_confidence=0.6).selective == selective


def test_a_threshold_that_is_no_probability_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"min_confidence is 60, but must be a probability"):
        selective_accuracy(honest(20), 60)


def test_a_temperature_from_validation_calibrates_test() -> None:
    temperature = fit_temperature(apply_temperature(honest(seed=2), 0.4))
    calibration = calibrate(apply_temperature(honest(seed=1), 0.4), temperature, QUICK)
    assert calibration.after is not None
    assert calibration.final == calibration.after
    assert calibration.temperature == temperature
    assert calibration.after.log_loss < calibration.before.log_loss
    assert calibration.after.ece.value < calibration.before.ece.value
    plain = calibrate(honest(50), None, QUICK)
    assert (plain.temperature, plain.after, plain.final) == (None, None, plain.before)
