"""Grad-CAM overlays: a transparent layer over a spectrogram that shows where the network finds the predicted class."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image

from spectro.core.arrays import Image as Grey
from spectro.core.errors import SpectroError
from spectro.core.runs import Run
from spectro.explain.saliency import Predict, deletion, grad_cam, random_deletion
from spectro.inference.classifier import load_classifier
from spectro.inference.torch_classifier import TorchClassifier
from spectro.models.network import Network
from spectro.reports.data_uri import data_uri

TINT = (86, 180, 233)
"""Colour of the layer: Okabe and Ito's sky blue, bright enough to be seen on a grey spectrogram."""
DEPTH = 0.8
"""Opacity of the layer where the map is highest."""
COARSER = 4
"""Points of a spectrogram, along each side, that share one of the layer: no feature map is as fine."""


@dataclass(frozen=True, kw_only=True)
class CamOverlay:
    """The network whose Grad-CAM maps are shown."""

    name: str
    """Name of its run."""
    labels: tuple[str, ...]
    network: Network
    cells: tuple[int, int]
    """Size of its feature map, along bands and along frames."""
    predict: Predict
    """From spectrograms `[n, bands, frames]` to probabilities `[n, classes]`."""

    @classmethod
    def of(cls, run: Run) -> CamOverlay | str:
        """Return the overlay of a run that holds one model, or in one sentence why there is none."""
        card = run.card
        if card.kind != "torch" or card.feature is None or not card.feature.is_image or card.input is None:
            return "No Grad-CAM overlay: it needs a neural network trained on mel-spectrograms."
        if not run.weights_path.exists():
            return f"No Grad-CAM overlay: {run.weights_path} does not exist."
        try:
            classifier = load_classifier(run, "cpu")
        except (SpectroError, OSError) as error:
            return f"No Grad-CAM overlay: {error}."
        if not isinstance(classifier, TorchClassifier) or not isinstance(classifier.network, Network):
            return "No Grad-CAM overlay: the run has no network with a feature map."
        network = classifier.network
        with torch.no_grad():
            rows, columns = network.maps(torch.zeros(1, 1, *card.input))[-1].shape[2:]
        if (rows, columns) == (1, 1):
            return "No Grad-CAM overlay: the feature map of this network has one cell only."
        return cls(
            name=card.name,
            labels=classifier.labels,
            network=network,
            cells=(rows, columns),
            predict=classifier.predict_proba,
        )

    def layer(self, image: Grey, label: str) -> str:
        """Return the layer of a spectrogram as a data URI; empty where no cell of the map supports the class.

        Parameters
        ----------
        image
            Spectrogram, `[bands, frames]`.
        label
            Name of the class.
        """
        cam = grad_cam(self.network, image, self.labels.index(label)) if label in self.labels else None
        if cam is None or not np.isfinite(cam).all():
            return ""
        height, width = (max(1, side // COARSER) for side in cam.shape)
        opacity = Image.fromarray((255 * DEPTH * cam).astype(np.uint8)).resize((width, height), Image.Resampling.BOX)
        layer = Image.new("RGB", opacity.size, TINT)
        layer.putalpha(opacity)
        file = io.BytesIO()
        layer.save(file, "PNG", optimize=True)
        return data_uri("image/png", file.getvalue())

    def passes_check(self, image: Grey, label: str) -> bool:
        """Return whether blacking out what the layer marks loses the class sooner than random orders do.

        Parameters
        ----------
        image
            Spectrogram, `[bands, frames]`.
        label
            Name of a class for which `layer` is not empty.
        """
        target = self.labels.index(label)
        cam = grad_cam(self.network, image, target)
        if cam is None:
            return False
        chance = random_deletion(self.predict, image, target).area
        return deletion(self.predict, image, target, cam).area < chance
