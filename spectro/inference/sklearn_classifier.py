"""Scikit-learn pipelines as classifiers: fitted on feature vectors, kept without pickle."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spectro.core.arrays import Probs
from spectro.core.card import Card
from spectro.core.errors import RunError, first_line
from spectro.core.runs import REMEDY, Run
from spectro.inference.finite import require_finite
from spectro.inference.openset import Embedded
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

    @property
    def batch_size(self) -> int:
        """Number of items in one call that is fastest."""
        return 64

    @property
    def lanes(self) -> None:
        """None: it is called from one thread."""
        return None

    def predict_proba(self, arrays: NDArray[Any]) -> Probs:
        """Return probabilities `[items, classes]` of feature vectors `[items, values]`.

        Raises
        ------
        RunError
            the pipeline was fitted to other vectors or classes than the card says, or gives no probabilities.
        """
        try:
            probs = np.asarray(self.pipeline.predict_proba(np.asarray(arrays)), dtype=np.float64)
        except (ValueError, TypeError, AttributeError, IndexError) as error:
            raise RunError(
                f"{self.card.name} cannot classify vectors of {arrays.shape[1:]}: {first_line(error)}; train it again"
            ) from None
        if probs.shape != (len(arrays), len(self.labels)):
            raise RunError(
                f"{self.card.name} gives probabilities of {probs.shape[-1]} classes, but its card has "
                f"{len(self.labels)}; train it again"
            )
        with np.errstate(invalid="ignore", divide="ignore"):
            return require_finite(probs / probs.sum(axis=1, keepdims=True), self.card.name)

    def predict_embedded(self, arrays: NDArray[Any]) -> Embedded:
        """Return probabilities with the vectors themselves, whose values differ in unit; there are no logits."""
        return Embedded(self.predict_proba(arrays), np.asarray(arrays, np.float32), None)


def load(run: Run) -> SklearnClassifier:
    """Return the pipeline of a run.

    Raises
    ------
    RunError
        its file is missing, damaged, holds unknown types, or was fitted to another number of classes than the card has.
    """
    pipeline = classical.load(run.checked(run.pipeline_path))
    fitted, labels = len(getattr(pipeline, "classes_", run.card.labels)), len(run.card.labels)
    if fitted != labels:
        raise RunError(f"{run.pipeline_path} tells {fitted} classes apart, but {run.card_path} has {labels}; {REMEDY}")
    return SklearnClassifier(run.card, pipeline)
