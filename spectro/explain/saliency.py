"""What in a picture a network heeds: Grad-CAM, blacking out patch by patch, and the deletion curve that checks both."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import Tensor, nn

from spectro.core.predictions import Probs
from spectro.inference.batches import to_input
from spectro.models.network import Network

Picture = NDArray[np.uint8]
Map = NDArray[np.float32]
Predict = Callable[[Picture], Probs]

GRID = (8, 16)
"""Patches along bands and along frames."""
STEPS = 16
"""Steps in which a deletion curve blacks out the picture."""
RANDOM_ORDERS = 5
"""Random orders that an order by importance is held against."""


class _FromMap(nn.Module):
    """A network whose gradients end at its feature map: all that Grad-CAM looks at, and no pass back through it."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network
        self.maps = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            maps = self.network.features(x)
        logits: Tensor = self.network.head(self.maps(maps.requires_grad_()))
        return logits


def grad_cam(network: Network, picture: Picture, target: int) -> Map | None:
    """Return where the feature map of a picture speaks for a class [Selvaraju et al., 2017].

    Parameters
    ----------
    picture : `[bands, frames]`
    target : index of the class

    Returns
    -------
    `[bands, frames]` in 0..1, or None where there is nothing to see: the map has one cell only (networks that read
    the whole picture at once), or no cell of it speaks for the class.
    """
    model = _FromMap(network)
    x = to_input(picture[None]).to(next(network.parameters()).device)
    with GradCAM(model=model, target_layers=[model.maps]) as cam:
        found: Map = cam(input_tensor=x, targets=[ClassifierOutputTarget(target)])[0]
    network.zero_grad()
    return found if found.max() > 0 else None


def patches(shape: tuple[int, int], grid: tuple[int, int] = GRID) -> NDArray[np.int64]:
    """Return `[bands, frames]`, the number of the patch that each point belongs to, row by row."""
    rows, columns = (min(cells, size) for cells, size in zip(grid, shape, strict=True))
    row, column = np.arange(shape[0]) * rows // shape[0], np.arange(shape[1]) * columns // shape[1]
    return np.asarray(row[:, None] * columns + column)


def occlusion(predict: Predict, picture: Picture, target: int) -> Map:
    """Return `[bands, frames]`, by how much the class' probability falls when the patch of a point is blacked out."""
    numbers = patches(picture.shape)
    without = np.stack([np.where(numbers == patch, 0, picture) for patch in range(numbers.max() + 1)])
    fall = predict(picture[None])[0, target] - predict(without)[:, target]
    found: Map = fall[numbers].astype(np.float32)
    return found


@dataclass(frozen=True, kw_only=True)
class Deletion:
    """What becomes of a class' probability as a picture is blacked out, patch by patch."""

    share: NDArray[np.float64]
    """`[steps + 1]`, share of the patches that are black, from 0 to 1."""
    probability: NDArray[np.float64]
    """`[steps + 1]`, probability of the class then."""

    @property
    def area(self) -> float:
        """Area under the curve, 0..1: the smaller, the sooner the class is lost, so the better the order."""
        return float(np.trapezoid(self.probability, self.share))


def deletion(predict: Predict, picture: Picture, target: int, importance: Map) -> Deletion:
    """Black out the patches from the most to the least important [Petsiuk et al., RISE, 2018]."""
    numbers = patches(picture.shape)
    sums = np.bincount(numbers.ravel(), weights=importance.ravel().astype(np.float64))
    return _delete(predict, picture, target, numbers, np.argsort(-sums / np.bincount(numbers.ravel()), kind="stable"))


def random_deletion(predict: Predict, picture: Picture, target: int, seed: int = 0) -> Deletion:
    """Return the mean of `RANDOM_ORDERS` deletion curves of random orders: what any order must stay below."""
    numbers = patches(picture.shape)
    rng = np.random.default_rng(seed)
    orders = [rng.permutation(numbers.max() + 1) for _ in range(RANDOM_ORDERS)]
    curves = [_delete(predict, picture, target, numbers, order) for order in orders]
    return Deletion(share=curves[0].share, probability=np.mean([curve.probability for curve in curves], axis=0))


def _delete(
    predict: Predict,
    picture: Picture,
    target: int,
    numbers: NDArray[np.int64],
    order: Sequence[int] | NDArray[np.int64],
) -> Deletion:
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    gone = np.unique(np.linspace(0, len(order), STEPS + 1).round().astype(np.int64))
    stages = np.stack([np.where(rank[numbers] < count, 0, picture) for count in gone])
    return Deletion(share=gone / len(order), probability=predict(stages)[:, target])
