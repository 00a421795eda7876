"""What a model gives is checked once, where it is given: a diverged training ends in a line, not in wrong answers."""

from __future__ import annotations

import numpy as np

from spectro.core.arrays import Probs
from spectro.core.errors import RunError

DIVERGED = "its training diverged; train it again with a smaller lr"
COMBINED = "its card does not combine its members so that probabilities result; make the ensemble again"


def require_finite(probs: Probs, name: str, why: str = DIVERGED) -> Probs:
    """Return probabilities if all are finite; raises RunError, naming the model and why, where one is not."""
    if not np.isfinite(probs).all():
        raise RunError(f"{name} gives probabilities that are not finite: {why}")
    return probs
