"""Batches of one fixed size, classified side by side: an answer does not depend on what else is asked with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spectro.core.arrays import Probs
from spectro.inference.classifier import Classifier


def classify_all(classifiers: Sequence[Classifier], arrays: NDArray[Any]) -> list[Probs]:
    """Return the probabilities `[items, classes]` that each classifier gives.

    Libraries sum in another order in batches of another size, which changes the last digits. So all batches have one
    size, the last one is filled up, and each is computed by one thread: then the last digits too depend on the item
    alone, not on its neighbours, nor on the number of cores.

    Parameters
    ----------
    classifiers
        What is asked.
    arrays
        What all of them are fed, `[items, ...]`; at least one item.
    """
    size = min(classifier.batch_size for classifier in classifiers)
    missing = -len(arrays) % size
    whole = np.concatenate([arrays, np.repeat(arrays[-1:], missing, axis=0)]) if missing else arrays
    batches = [whole[begin : begin + size] for begin in range(0, len(whole), size)]
    parts: list[list[Probs]]
    if all(classifier.lanes is None for classifier in classifiers):
        # batch by batch, for the models of an exported ensemble share what is computed of one
        columns = [[classifier.predict_proba(batch) for classifier in classifiers] for batch in batches]
        parts = [list(own) for own in zip(*columns, strict=True)]
    else:
        running = [(one.lanes.map if one.lanes else map)(one.predict_proba, batches) for one in classifiers]
        parts = [list(own) for own in running]
    return [np.concatenate(own)[: len(arrays)] for own in parts]
