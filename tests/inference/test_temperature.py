"""Temperature scaling: what it does to probabilities, and that the fitted one undoes an overconfident model."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from spectro.core.errors import ConfigError, DataError
from spectro.inference.temperature import apply_temperature, fit_temperature, require_probability, scale_probs
from tests.builders import random_predictions


def test_temperatures_soften_and_sharpen_but_keep_the_prediction() -> None:
    predictions = random_predictions(3)
    confidence = predictions.probs.max(axis=1)
    soft, sharp = apply_temperature(predictions, 2.0), apply_temperature(predictions, 0.5)
    assert (soft.probs.max(axis=1) < confidence).all()
    assert (sharp.probs.max(axis=1) > confidence).all()
    assert (soft.predicted == predictions.predicted).all()
    assert apply_temperature(predictions, 1.0).probs is predictions.probs
    assert scale_probs(np.array([[0.2, 0.8]]), 0.5) == pytest.approx(np.array([[0.04, 0.64]]) / 0.68)


@pytest.mark.parametrize("factor", [0.4, 3.0])
def test_the_fitted_temperature_undoes_a_known_one(factor: float) -> None:
    """Truth drawn from the probabilities makes them calibrated; sharpened or softened, they need the inverse."""
    plain = random_predictions(4, clips=3000, segments=1)
    rng = np.random.default_rng(0)
    truth = (plain.probs.cumsum(axis=1) < rng.random((len(plain), 1))).sum(axis=1)
    distorted = apply_temperature(replace(plain, truth=truth), factor)
    assert fit_temperature(distorted) == pytest.approx(1 / factor, rel=0.1)


def test_a_few_clips_all_right_do_not_make_it_zero() -> None:
    few = replace(random_predictions(5, clips=3, segments=1), probs=np.eye(3) * 0.7 + 0.1)
    assert 0.3 < fit_temperature(few) < 1


def test_clips_of_unknown_class_do_not_count() -> None:
    known, unknown = random_predictions(6), random_predictions(7)
    unknown = replace(
        unknown, ids=tuple(f"x{name}" for name in unknown.ids), truth=np.full(len(unknown), -1, dtype=np.int64)
    )
    assert fit_temperature(type(known).join([known, unknown])) == fit_temperature(known)
    with pytest.raises(DataError, match="validation clips of known class"):
        fit_temperature(unknown)


def test_a_threshold_must_be_a_probability() -> None:
    require_probability(0.0)
    require_probability(1.0)
    for wrong in (-0.1, 60.0, float("nan")):
        with pytest.raises(ConfigError, match="min_confidence is"):
            require_probability(wrong)
