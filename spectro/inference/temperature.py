"""Temperature scaling: fit it on validation when a run is made, apply it to the probabilities of clips."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from spectro.core.arrays import Probs, softmax
from spectro.core.config import require
from spectro.core.errors import DataError
from spectro.core.predictions import Predictions
from spectro.inference.combination import FLOOR

LARGEST_LOG = 3.0
"""Fitted temperatures lie from exp(-3) to exp(3)."""


def scale_probs(probs: Probs, temperature: float) -> Probs:
    """Return probabilities `[items, classes]` softened (temperature above 1) or sharpened (below 1)."""
    return probs if temperature == 1 else softmax(np.log(np.clip(probs, FLOOR, None)), temperature)


def apply_temperature(predictions: Predictions, temperature: float) -> Predictions:
    """Return predictions softened (temperature above 1) or sharpened (below 1); the most probable class stays."""
    return replace(predictions, probs=scale_probs(predictions.probs, temperature))


def fit_temperature(validation: Predictions) -> float:
    """Return the temperature that minimizes the log loss of voted predictions [Guo et al., 2017].

    A penalty of one item's weight pulls it towards 1, so that a few clips that are all right cannot make it 0.

    Parameters
    ----------
    validation
        Predictions of the validation subset after voting, not calibrated yet; items of unknown truth are ignored.

    Returns
    -------
    float
        From 0.05 to 20.

    Raises
    ------
    DataError
        no item's truth is known.
    """
    from scipy import optimize  # here, so that predicting does not pay for it

    known = validation.select(validation.truth >= 0)
    count = len(known)
    if not count:
        raise DataError("a temperature is fitted on validation clips of known class, but there are none")
    rows, smallest, ones = np.arange(count), np.finfo(np.float64).eps, np.ones(count)

    def loss(log_temperature: float) -> float:
        probs = scale_probs(known.probs, math.exp(log_temperature))[rows, known.truth]
        log_loss = ones @ -np.log(np.clip(probs, smallest, None)) / count
        return float(log_loss) + log_temperature**2 / (2 * count)

    optimum = optimize.minimize_scalar(loss, bounds=(-LARGEST_LOG, LARGEST_LOG), method="bounded")
    return math.exp(optimum.x)


def require_probability(min_confidence: float) -> None:
    """Refuse a threshold that is not a probability; raises ConfigError."""
    require(
        0 <= min_confidence <= 1,
        f"min_confidence is {min_confidence}, but must be a probability from 0 to 1 (0.6 = at least 60 % sure)",
    )
