"""A cheap baseline beside a network: a random forest on cepstral coefficients of the same items, in seconds."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.fft
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier

from spectro.core.arrays import Floats32
from spectro.training.dataset import TrainingData

COEFFICIENTS = 20
"""Cepstral coefficients that are kept of each frame."""
TREES = 200
MOST_ITEMS = 10_000
"""Training items that one tree draws at most, so that large sets take no longer."""
BLOCK = 256
"""Items that are read at once."""


def baseline_accuracy(data: TrainingData, seed: int) -> float | None:
    """Return the validation accuracy of clips that a random forest reaches; None without a validation subset.

    Parameters
    ----------
    data
        What the network is trained on: of spectrograms the forest is given mean and deviation over time of cepstral
        coefficients and of their differences (MFCC statistics), of other features those of their values.
    seed
        Seed of the trees.
    """
    train, val = data.subsets["train"], data.subsets["val"]
    if not len(val):
        return None
    arrays = data.arrays()
    forest = RandomForestClassifier(
        TREES,
        class_weight="balanced",
        max_samples=MOST_ITEMS if len(train) > MOST_ITEMS else None,
        random_state=seed,
    )
    forest.fit(_summaries(arrays, train), data.truth[train])
    probs = np.zeros((len(val), len(data.labels)))
    probs[:, forest.classes_] = forest.predict_proba(_summaries(arrays, val))
    return data.score(val, probs).clip_accuracy


def _summaries(arrays: NDArray[Any], items: NDArray[np.int64]) -> Floats32:
    """Return one vector per item."""
    return np.concatenate([_summary(arrays[items[at : at + BLOCK]]) for at in range(0, len(items), BLOCK)])


def _summary(values: NDArray[Any]) -> Floats32:
    """Return vectors `[n, ...]` of spectrograms or features `[n, bands, frames]`; vectors stay as they are."""
    if values.ndim == 2:
        return np.asarray(values, np.float32)
    frames = values.astype(np.float32)
    if values.dtype == np.uint8:  # decibels: their cosine transform is the cepstrum
        frames = scipy.fft.dct(frames, axis=1, norm="ortho")[:, :COEFFICIENTS]
    changes = np.diff(frames, axis=2) if frames.shape[2] > 1 else np.zeros_like(frames)
    parts = [frames.mean(axis=2), frames.std(axis=2), changes.std(axis=2)]
    return np.concatenate(parts, axis=1, dtype=np.float32)
