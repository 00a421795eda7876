"""Scikit-learn pipelines as classifiers: fitted on feature vectors, kept without pickle."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spectro.core.arrays import Probs
from spectro.core.card import Card
from spectro.core.runs import Run
from spectro.models import classical


@dataclass(frozen=True)
class SklearnClassifier:
    """A scikit-learn pipeline with its card."""

    card: Card
    pipeline: Any  # scikit-learn ships no types

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names, in the order of the columns of the probabilities."""
        return self.card.labels

    def predict_proba(self, arrays: NDArray[Any]) -> Probs:
        """Return probabilities `[items, classes]` of feature vectors `[items, values]`."""
        probs = np.asarray(self.pipeline.predict_proba(np.asarray(arrays)), dtype=np.float64)
        shares: Probs = probs / probs.sum(axis=1, keepdims=True)
        return shares


def load(run: Run) -> SklearnClassifier:
    """Return the pipeline of a run; raises RunError when its file is missing, damaged or holds unknown types."""
    return SklearnClassifier(run.card, classical.load(run.checked(run.pipeline_path)))
