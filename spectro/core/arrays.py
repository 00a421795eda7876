"""Array types under the names that the whole package uses, and the softmax."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats32 = NDArray[np.float32]
"""Sound, spectrograms and features."""
Floats = NDArray[np.float64]
"""Metrics, statistics and their intermediate values."""
Image = NDArray[np.uint8]
"""Grey levels of spectrograms: `[bands, frames]`, or `[items, bands, frames]`."""
Probs = NDArray[np.float64]
"""Probabilities, `[..., classes]`; rows sum to 1."""
Items = NDArray[np.int64]
"""Indices of items, or of their classes."""
Mask = NDArray[np.bool_]
"""Which items are meant."""


def grouped_means(values: NDArray[np.floating], places: Items) -> Floats:
    """Return the mean of the rows of each group.

    Parameters
    ----------
    values
        `[rows, values]`
    places
        `[rows]`, number of each row's group; every number from 0 to the largest occurs.

    Returns
    -------
    Floats
        `[groups, values]`
    """
    counts = np.bincount(places)
    sums = np.zeros((len(counts), values.shape[1]))
    np.add.at(sums, places, values)
    means: Floats = sums / counts[:, None]
    return means


def softmax(logits: Floats32 | Floats, temperature: float = 1.0) -> Probs:
    """Return probabilities `[items, classes]` from logits divided by `temperature`."""
    scaled = logits.astype(np.float64) / temperature
    odds = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return odds / odds.sum(axis=1, keepdims=True)  # type: ignore[no-any-return]
