"""Ridge regression from standardized features to classes, solved in closed form on any device."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

CONSTANT = 1e-3
"""Deviation in relation to the mean below which a feature counts as constant: caches keep 11 bits of a number."""
BLOCK = 4096
"""Items that are added up at once."""
SCALE = 12.0
"""What turns the regression's values, which differ by 1 between the right class and the others, into logits."""


@dataclass(frozen=True, kw_only=True)
class Solution:
    """The optimum for one strength of regularization."""

    weight: Tensor
    """`[classes, features]`, for standardized features."""
    bias: Tensor
    """`[classes]`"""
    loss: float
    """Weighted mean cross entropy of the items."""
    accuracy: float
    """Share of the items that are classified correctly, 0..1."""


class RidgeRegression:
    """A regression on given items, to be solved for several strengths.

    With fewer items than features it is solved in as many unknowns per class as there are items (Saunders et al.,
    Ridge regression learning algorithm in dual variables, 1998).

    Parameters
    ----------
    features
        `[items, features]` float32, standardized in place.
    truth
        `[items]`, class of each.
    weights
        `[items]`, weight of each in the loss.
    classes
        Number of classes.
    """

    def __init__(self, features: Tensor, truth: Tensor, weights: Tensor, classes: int) -> None:
        self.mean, self.scale = _standardize(features)
        self.features, self.truth = features, truth
        self.weights = weights.double()
        items, self.size = features.shape
        target = F.one_hot(truth, classes).double() - 1 / classes
        self.roots = self.weights.sqrt()[:, None]
        self.dual = items <= self.size
        if self.dual:
            self.matrix = (features @ features.T).double() / self.size * self.roots * self.roots.T
            self.target = self.roots * target
            return
        self.matrix = features.new_zeros(self.size, self.size, dtype=torch.float64)
        self.target = features.new_zeros(self.size, classes, dtype=torch.float64)
        for start in range(0, items, BLOCK):
            part = slice(start, start + BLOCK)
            block = features[part] * self.roots[part].float()
            self.matrix += (block.T @ block).double() / self.size
            self.target += block.double().T @ (self.roots[part] * target[part]) / self.size

    def solve(self, penalty: float) -> Solution:
        """Return the minimum of the weighted squared errors plus `features * penalty` times the squared weights.

        Parameters
        ----------
        penalty
            Strength of regularization, in relation to the mean square of a standardized feature, which is 1.
        """
        matrix = self.matrix.clone()
        matrix.diagonal().add_(penalty)
        inner = torch.cholesky_solve(self.target, torch.linalg.cholesky(matrix))
        if self.dual:
            inner = self.features.T @ (self.roots * inner).float() / self.size
        weight = (SCALE * inner.T).float().contiguous()
        logits = (self.features @ weight.T).double()
        loss = (self.weights * F.cross_entropy(logits, self.truth, reduction="none")).sum() / self.weights.sum()
        accuracy = float((logits.argmax(dim=1) == self.truth).double().mean())
        return Solution(weight=weight, bias=weight.new_zeros(len(weight)), loss=float(loss), accuracy=accuracy)


def _standardize(features: Tensor) -> tuple[Tensor, Tensor]:
    """Shift and scale each feature in place; return its mean and factor, which is 0 where the feature is constant."""
    mean = features.mean(dim=0, dtype=torch.float64).float()
    features -= mean
    deviation = features.square().mean(dim=0, dtype=torch.float64).sqrt().float()
    scale = torch.where(deviation > CONSTANT * mean.abs(), 1 / deviation, 0.0)
    features *= scale
    return mean, scale
