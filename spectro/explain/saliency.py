"""Importance of the points of a spectrogram: Grad-CAM, occlusion, and deletion curves that check both."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import Tensor, nn

from spectro.core.arrays import Floats, Floats32, Image, Items, Probs
from spectro.inference.batches import to_input
from spectro.models.network import Network
from spectro.models.timm_input import InputFit

Predict = Callable[[Image], Probs]
"""From spectrograms `[n, bands, frames]` to probabilities `[n, classes]`."""

GRID = (8, 16)
"""Patches along bands and along frames."""
STEPS = 16
"""Steps in which a deletion curve blacks out the spectrogram."""
RANDOM_ORDERS = 5
"""Random orders that an order by importance is compared with."""


class _FromMap(nn.Module):
    """A network whose gradients end at its last feature map: Grad-CAM needs no backward pass through the backbone."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network
        self.maps = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            *earlier, last = self.network.maps(x)
        logits: Tensor = self.network.head(self.network.summed_up((*earlier, self.maps(last.requires_grad_()))))
        return logits


def grad_cam(network: Network, image: Image, target: int) -> Floats32 | None:
    """Return where the last feature map of a spectrogram supports a class [Selvaraju et al., 2017].

    Parameters
    ----------
    network
        The network, in evaluation mode.
    image
        Spectrogram, `[bands, frames]`.
    target
        Index of the class.

    Returns
    -------
    Floats32 or None
        `[bands, frames]` in 0..1; None where the map has one cell only (networks that read the whole spectrogram at
        once), or no cell of it supports the class.
    """
    model = _FromMap(network)
    x = to_input(image[None]).to(next(network.parameters()).device)
    with GradCAM(model=model, target_layers=[model.maps]) as cam:
        importance: Floats32 = cam(input_tensor=x, targets=[ClassifierOutputTarget(target)])[0]
    network.zero_grad()
    fit = getattr(network.backbone, "fit", None)
    if isinstance(fit, InputFit):
        importance = fit.without_padding(importance)
    return importance if importance.max() > 0 else None


def patches(shape: tuple[int, int], grid: tuple[int, int] = GRID) -> Items:
    """Return `[bands, frames]`, the number of the patch that each point belongs to, row by row."""
    rows, columns = (min(cells, size) for cells, size in zip(grid, shape, strict=True))
    row, column = np.arange(shape[0]) * rows // shape[0], np.arange(shape[1]) * columns // shape[1]
    return np.asarray(row[:, None] * columns + column)


def occlusion(predict: Predict, image: Image, target: int) -> Floats32:
    """Return how much the probability of a class falls when the patch around a point is blacked out.

    Parameters
    ----------
    predict
        The model.
    image
        Spectrogram, `[bands, frames]`.
    target
        Index of the class.

    Returns
    -------
    Floats32
        `[bands, frames]` in -1..1; negative where the class becomes more probable.
    """
    numbers = patches(image.shape)
    without = np.stack([np.where(numbers == patch, 0, image) for patch in range(numbers.max() + 1)])
    fall = predict(image[None])[0, target] - predict(without)[:, target]
    importance: Floats32 = fall[numbers].astype(np.float32)
    return importance


@dataclass(frozen=True, kw_only=True)
class Deletion:
    """Probability of a class as its spectrogram is blacked out, patch by patch."""

    share: Floats
    """`[steps + 1]`, share of the patches that are black, from 0 to 1."""
    probability: Floats
    """`[steps + 1]`, probability of the class then."""

    @property
    def area(self) -> float:
        """Area under the curve, 0..1: the smaller, the sooner the class is lost, so the better the order."""
        return float(np.trapezoid(self.probability, self.share))


def deletion(predict: Predict, image: Image, target: int, importance: Floats32) -> Deletion:
    """Black out the patches from the most to the least important [Petsiuk et al., RISE, 2018].

    Parameters
    ----------
    predict
        The model.
    image
        Spectrogram, `[bands, frames]`.
    target
        Index of the class.
    importance
        `[bands, frames]`; patches are ordered by its mean.
    """
    numbers = patches(image.shape)
    sums = np.bincount(numbers.ravel(), weights=importance.ravel().astype(np.float64))
    return _delete(predict, image, target, numbers, np.argsort(-sums / np.bincount(numbers.ravel()), kind="stable"))


def random_deletion(predict: Predict, image: Image, target: int, seed: int = 0) -> Deletion:
    """Return the mean deletion curve of `RANDOM_ORDERS` random orders: a useful order stays below it.

    Parameters
    ----------
    predict
        The model.
    image
        Spectrogram, `[bands, frames]`.
    target
        Index of the class.
    seed
        Decides the orders.
    """
    numbers = patches(image.shape)
    rng = np.random.default_rng(seed)
    orders = [rng.permutation(numbers.max() + 1) for _ in range(RANDOM_ORDERS)]
    curves = [_delete(predict, image, target, numbers, order) for order in orders]
    return Deletion(share=curves[0].share, probability=np.mean([curve.probability for curve in curves], axis=0))


def _delete(predict: Predict, image: Image, target: int, numbers: Items, order: Sequence[int] | Items) -> Deletion:
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    black = np.unique(np.linspace(0, len(order), STEPS + 1).round().astype(np.int64))
    stages = np.stack([np.where(rank[numbers] < count, 0, image) for count in black])
    return Deletion(share=black / len(order), probability=predict(stages)[:, target])
