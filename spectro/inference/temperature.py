"""Calibration at prediction time: probabilities made softer or sharper by the temperature of the card."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from spectro.core.config import require
from spectro.core.predictions import Predictions
from spectro.inference.combination import FLOOR


def apply_temperature(predictions: Predictions, temperature: float) -> Predictions:
    """Return predictions made softer (temperature above 1) or sharper (below 1); the most probable class stays."""
    if temperature == 1:
        return predictions
    logits = np.log(np.clip(predictions.probs, FLOOR, None)) / temperature
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    return replace(predictions, probs=odds / odds.sum(axis=1, keepdims=True))


def require_probability(threshold: float) -> None:
    """Refuse a threshold that is no probability; raises ConfigError."""
    require(
        0 <= threshold <= 1, f"abstain is {threshold}, but must be a probability from 0 to 1 (0.6 = when sure to 60 %)"
    )
