"""A classical model on the features of a frozen backbone, as one classifier of spectrograms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from spectro.core.arrays import Floats32, Probs
from spectro.core.card import Card
from spectro.core.runs import Run
from spectro.inference import sklearn_classifier, torch_classifier
from spectro.inference.batches import Batches
from spectro.inference.openset import Embedded
from spectro.inference.sklearn_classifier import SklearnClassifier
from spectro.inference.torch_classifier import BATCH_SIZE, TorchClassifier


@dataclass(frozen=True)
class ProbeClassifier:
    """A frozen backbone, and a scikit-learn pipeline that was fitted on its features."""

    backbone: TorchClassifier
    """Its head plays no part."""
    probe: SklearnClassifier

    @property
    def card(self) -> Card:
        """The card of the run that holds both."""
        return self.probe.card

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names, in the order of the columns of the probabilities."""
        return self.probe.labels

    @property
    def batch_size(self) -> int:
        """Number of items in one call that is fastest."""
        return self.probe.batch_size

    @property
    def lanes(self) -> None:
        """None: it is called from one thread."""
        return None

    @torch.inference_mode()
    def features(self, arrays: NDArray[Any]) -> Floats32:
        """Return the backbone's features `[items, values]` of its inputs, rounded to 16 bits as caches keep them.

        Parameters
        ----------
        arrays
            `[items, bands, frames]`, 8-bit spectrograms or the feature that the backbone was trained on.
        """
        network = self.backbone.network.eval()
        batches = Batches(arrays, self.backbone.device, BATCH_SIZE)
        parts = [network.features(x).mean(dim=(2, 3)).half().cpu().numpy() for _, x in batches(np.arange(len(arrays)))]
        return np.concatenate(parts).astype(np.float32)

    def predict_proba(self, arrays: NDArray[Any]) -> Probs:
        """Return probabilities `[items, classes]` of the backbone's inputs `[items, bands, frames]`.

        Raises
        ------
        RunError
            the pipeline was fitted to other features or classes than those of the run.
        """
        return self.probe.predict_proba(self.features(arrays))

    def predict_embedded(self, arrays: NDArray[Any]) -> Embedded:
        """Return probabilities with the backbone's features, whose values differ in unit; there are no logits."""
        return self.probe.predict_embedded(self.features(arrays))


def load(run: Run, device: str = "auto") -> ProbeClassifier:
    """Return backbone and pipeline of a run, the backbone on a device.

    Raises
    ------
    RunError
        a file is missing or damaged, or does not fit the card.
    ConfigError
        there is no such device.
    """
    return ProbeClassifier(torch_classifier.load(run, device), sklearn_classifier.load(run))
