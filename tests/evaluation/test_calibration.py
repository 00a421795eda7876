"""Calibration: errors of known predictors are found, a temperature undoes a known distortion, abstaining helps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from spectro.core.errors import ConfigError, DataError
from spectro.core.predictions import VOTES, Predictions
from spectro.core.runs import Run
from spectro.evaluation.calibration import (
    accuracy_coverage_curve,
    calibrate,
    calibration_error,
    estimate_calibration_error,
    fit_temperature,
    reliability,
    selective_accuracy,
)
from spectro.evaluation.evaluate import evaluate, evaluate_predictions
from spectro.evaluation.metrics import METRICS, ones
from spectro.evaluation.statistics import BootstrapConfig
from spectro.evaluation.voting import accuracy_by_segments, compare_votes
from spectro.inference.temperature import apply_temperature

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


def test_an_honest_predictor_has_almost_no_error_and_an_over_confident_one_has():
    predictions = honest()
    assert ece(predictions) < 0.04
    assert ece(apply_temperature(predictions, 0.3)) > 0.1


def test_error_is_the_known_gap_of_a_predictor_that_always_says_ninety():
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
    found = estimate_calibration_error(always, QUICK)
    assert found.value >= 0.2 - 1e-9
    assert found.low <= 0.2 <= found.high + 0.05


def test_interval_of_the_error_reaches_zero_for_an_honest_predictor():
    found = estimate_calibration_error(honest(300), QUICK)
    assert found.low == 0
    assert found.low <= found.value
    over_confident = estimate_calibration_error(apply_temperature(honest(300), 0.2), QUICK)
    assert over_confident.low > 0.05


@pytest.mark.parametrize("distortion", [0.4, 1.0, 2.5])
def test_the_temperature_undoes_a_known_distortion(distortion):
    distorted = apply_temperature(honest(), distortion)
    found = fit_temperature(distorted)
    assert found == pytest.approx(1 / distortion, rel=0.15)
    mended = apply_temperature(distorted, found)
    assert METRICS["log_loss"](mended, ones(mended))[0] <= METRICS["log_loss"](distorted, ones(distorted))[0] + 1e-9
    assert (mended.predicted == distorted.predicted).all()


def test_a_few_clips_all_right_do_not_make_the_model_certain():
    few = honest(6)
    right = few.select(few.predicted == few.truth)
    assert fit_temperature(right) > 0.1
    with pytest.raises(DataError, match="there are none"):
        fit_temperature(few.select(np.zeros(6, bool)))


def test_bins_of_the_reliability_plot_hold_everything_once():
    rows = reliability(honest(203))
    assert sum(row["n"] for row in rows) == 203
    assert max(row["n"] for row in rows) - min(row["n"] for row in rows) <= 1
    assert all(row["low"] <= row["accuracy"] <= row["high"] for row in rows)
    assert [row["confidence"] for row in rows] == sorted(row["confidence"] for row in rows)


def test_abstaining_from_doubtful_items_makes_an_honest_predictor_more_accurate():
    curve = accuracy_coverage_curve(honest())
    assert curve[-1]["coverage"] == 1
    assert curve[0]["accuracy"] > curve[-1]["accuracy"] + 0.2
    thresholds = [point["threshold"] for point in curve]
    assert thresholds == sorted(thresholds, reverse=True)
    kept = honest().probs.max(axis=1) >= thresholds[19]
    assert kept.mean() == pytest.approx(curve[19]["coverage"])


def test_a_threshold_leaves_the_clips_that_reach_it():
    clips = honest(items=600)
    sure = clips.probs.max(axis=1) >= 0.6
    found = selective_accuracy(clips, 0.6)
    assert found["answered"] == sure.sum()
    assert found["coverage"]["value"] == pytest.approx(sure.mean())
    right = (clips.predicted == clips.truth)[sure].mean()
    assert found["accuracy"]["value"] == pytest.approx(right)
    assert found["accuracy"]["low"] < right < found["accuracy"]["high"]
    assert selective_accuracy(clips, 1.0)["answered"] == (clips.probs.max(axis=1) >= 1).sum()
    nothing = selective_accuracy(replace(clips, probs=np.full_like(clips.probs, 1 / len(clips.labels))), 0.9)
    assert (nothing["answered"], nothing["accuracy"]) == (0, None)
    with pytest.raises(ConfigError, match=r"abstain is 60, but must be a probability"):
        selective_accuracy(clips, 60)
    assert evaluate_predictions(clips, abstain=0.6)["abstain"] == found


def test_validation_calibrates_test():
    found = calibrate(apply_temperature(honest(seed=1), 0.4), apply_temperature(honest(seed=2), 0.4), QUICK)
    assert found["after"]["log_loss"] < found["log_loss"]
    assert found["after"]["ece"]["value"] < found["ece"]["value"]
    assert calibrate(honest(50), None, QUICK)["temperature"] is None


def test_evaluate_puts_the_temperature_into_the_card(tmp_path: Path):
    run = Run(tmp_path / "run")
    for fold, seed in (("test", 1), ("val", 2)):
        apply_temperature(honest(300, seed, per_clip=3), 0.4).save(run.predictions_path(fold))
    run.write_card({"name": "run", "vote": "soft", "temperature": 1.0})
    found = evaluate(run, config=QUICK)
    assert run.card()["temperature"] == found["calibration"]["temperature"]
    assert set(found["votes"]) == set(VOTES)
    assert [point["segments"] for point in found["heard"]] == [1, 2, 3]


def test_hearing_all_segments_is_the_clip_accuracy_and_hearing_more_helps():
    rng = np.random.default_rng(0)
    truth = (np.arange(100) % 4).repeat(4)
    ids = tuple(map(str, range(400)))
    clips = tuple(f"clip{i // 4}" for i in range(400))
    probs = rng.dirichlet(np.ones(4), size=400) * 0.7 + 0.3 * np.eye(4)[truth]
    predictions = Predictions(ids=ids, clip_ids=clips, groups=clips, labels=tuple("abcd"), probs=probs, truth=truth)
    curve = accuracy_by_segments(predictions)
    pooled = predictions.pool()
    assert curve[-1]["segments"] == 4
    assert curve[-1]["accuracy"] == pytest.approx((pooled.predicted == pooled.truth).mean())
    assert curve[0]["accuracy"] < curve[-1]["accuracy"]
    votes = compare_votes(predictions, QUICK)
    assert votes["soft"]["accuracy"]["value"] == pytest.approx(curve[-1]["accuracy"])
