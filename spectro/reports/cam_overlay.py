"""Grad-CAM as a see-through layer over spectrograms: what one network heeded for the class that it said."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image

from spectro.core.errors import SpectroError
from spectro.core.runs import Run
from spectro.explain.saliency import Picture, Predict, deletion, grad_cam, random_deletion
from spectro.inference.classifier import load_classifier
from spectro.models.network import Network
from spectro.reports.examples import data_uri

TINT = (86, 180, 233)
"""Colour of what was heeded: Okabe and Ito's sky blue, bright enough to lie on a grey spectrogram."""
DEPTH = 0.8
"""Opacity where a network heeded most."""
COARSER = 4
"""Points of a picture, along each side, that share one of the layer: no feature map is as fine."""


@dataclass(frozen=True, kw_only=True)
class Overlays:
    """The network whose attention is shown."""

    name: str
    """Name of its run."""
    labels: tuple[str, ...]
    network: Network
    cells: tuple[int, int]
    """Size of its feature map, along bands and along frames."""
    predict: Predict
    """From pictures `[n, bands, frames]` to probabilities `[n, classes]`."""

    @classmethod
    def of(cls, run: Run) -> Overlays | str:
        """Return the layers of a run, or in one sentence why there are none."""
        card = run.card()
        if card.get("kind") != "torch" or (card.get("feature") or {}).get("name") != "mel":
            return "No overlay of what it heeded: Grad-CAM needs a neural network that looks at mel-spectrograms."
        if not run.weights_path.exists():
            return f"No overlay of what it heeded: the weights are not at hand ({run.weights_path})."
        try:
            classifier = load_classifier(run, "cpu")
        except SpectroError as error:
            return f"No overlay of what it heeded: {error}."
        network = getattr(classifier, "network", None)
        if not isinstance(network, Network):
            return "No overlay of what it heeded: the run holds no network with a feature map."
        with torch.no_grad():
            cells = tuple(network.features(torch.zeros(1, 1, *card["input"])).shape[2:])
        if cells == (1, 1):
            return (
                "No overlay of what it heeded: this network reads the whole picture at once, so its map has one cell."
            )
        name, predict = str(card.get("name") or run.name), classifier.predict_proba
        return cls(name=name, labels=classifier.labels, network=network, cells=cells, predict=predict)  # type: ignore[arg-type]

    def layer(self, picture: Picture, said: str) -> str:
        """Return a picture's layer as a data URI, or nothing where no cell of the map speaks for the class.

        Parameters
        ----------
        picture : `[bands, frames]`
        said : name of the class
        """
        found = grad_cam(self.network, picture, self.labels.index(said)) if said in self.labels else None
        if found is None:
            return ""
        height, width = (max(1, side // COARSER) for side in found.shape)
        depth = Image.fromarray((255 * DEPTH * found).astype(np.uint8)).resize((width, height), Image.Resampling.BOX)
        layer = Image.new("RGB", depth.size, TINT)
        layer.putalpha(depth)
        file = io.BytesIO()
        layer.save(file, "PNG", optimize=True)
        return data_uri("image/png", file.getvalue())

    def holds(self, picture: Picture, said: str) -> bool:
        """Return whether blacking out what the layer marks loses the class sooner than random orders do.

        Parameters
        ----------
        picture : `[bands, frames]`
        said : name of a class for which `layer` found something
        """
        target = self.labels.index(said)
        heeded = grad_cam(self.network, picture, target)
        if heeded is None:
            return False
        chance = random_deletion(self.predict, picture, target).area
        return deletion(self.predict, picture, target, heeded).area < chance
