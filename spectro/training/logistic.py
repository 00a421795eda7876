"""Multinomial logistic regression on standardized features, solved to the optimum by L-BFGS on any device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import scipy.optimize
import torch
from torch import Tensor
from torch.nn import functional as F

from spectro.core.arrays import Floats

CONSTANT = 1e-3
"""Deviation in relation to the mean below which a feature counts as constant: caches keep 11 bits of a number."""
JITTER = 1e-5
"""What is added to the diagonal of the Gram matrix, in relation to its mean, so that it has a Cholesky factor."""
LBFGS: Any = {"maxiter": 300, "gtol": 1e-5, "ftol": 1e-8}


@dataclass(frozen=True, kw_only=True)
class Solution:
    """The optimum for one strength of regularization."""

    weight: Tensor
    """`[classes, features]`, for standardized features."""
    bias: Tensor
    """`[classes]`"""
    loss: float
    """Weighted mean cross entropy of the items, without the penalty."""
    accuracy: float
    """Share of the items that are classified correctly, 0..1."""


class LogisticRegression:
    """A regression on given items, to be solved for several strengths.

    With fewer items than features the problem is turned into one of as many unknowns per class as there are items: the
    optimum is a sum of items, so that `X = L Q` with `L` the Cholesky factor of `X X^T` and orthonormal rows of `Q`
    gives the same losses and the same norm for weights in the coordinates of `Q`.

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
        self.features = features
        self.one_hot = F.one_hot(truth, classes).double()
        self.weights = weights.double()
        items, size = features.shape
        self.factor = _factor(features) if items <= size else None

    def solve(self, prior: float, weight: Tensor, bias: Tensor) -> Solution:
        """Return the minimum of the weighted cross entropy plus `features / (2 * prior)` times the squared weights.

        Parameters
        ----------
        prior
            Variance of a logit before anything is learned: `C` of scikit-learn times the number of features.
        weight, bias
            Where the search starts, `[classes, features]` and `[classes]`.
        """
        rows = self.features if self.factor is None else self.factor
        total, penalty = float(self.weights.sum()), self.features.shape[1] / prior
        start = self._inward(weight)

        def unpack(theta: Floats) -> tuple[Tensor, Tensor]:
            values = torch.from_numpy(theta).to(rows.device)
            return values[: start.numel()].view(start.shape), values[start.numel() :]

        def objective(theta: Floats) -> tuple[float, Floats]:
            inner, bias = unpack(theta)
            loss, residuals, _ = self._cross_entropy(rows, inner, bias)
            slope = (residuals.to(rows.dtype).T @ rows).double() + penalty * inner
            value = loss + penalty / 2 * float(inner.square().sum())
            gradient = torch.cat([slope.flatten(), residuals.sum(dim=0)])
            return value / total, gradient.cpu().numpy() / total

        first = torch.cat([start.flatten(), bias.double()]).cpu().numpy()
        theta = scipy.optimize.minimize(objective, first, jac=True, method="L-BFGS-B", options=LBFGS).x
        inner, bias = unpack(theta)
        loss, _, correct = self._cross_entropy(rows, inner, bias)
        return Solution(weight=self._outward(inner), bias=bias.float(), loss=loss / total, accuracy=correct / len(rows))

    def _cross_entropy(self, rows: Tensor, weight: Tensor, bias: Tensor) -> tuple[float, Tensor, int]:
        """Return the summed loss, its derivatives by the logits `[items, classes]`, and the number of correct items."""
        logits = (rows @ weight.to(rows.dtype).T).double() + bias
        log_probs = logits.log_softmax(dim=1)
        loss = -(self.weights * (self.one_hot * log_probs).sum(dim=1)).sum()
        residuals = self.weights[:, None] * (log_probs.exp() - self.one_hot)
        correct = (logits.argmax(dim=1) == self.one_hot.argmax(dim=1)).sum()
        return float(loss), residuals, int(correct)

    def _inward(self, weight: Tensor) -> Tensor:
        """Return weights of features in the coordinates that are solved in."""
        if self.factor is None:
            return weight.double()
        products = (self.features @ weight.T).double()
        inner: Tensor = torch.linalg.solve_triangular(self.factor, products, upper=False).T
        return inner

    def _outward(self, inner: Tensor) -> Tensor:
        """Return weights of features from those in the coordinates that are solved in."""
        if self.factor is None:
            return inner.float()
        of_items: Tensor = torch.linalg.solve_triangular(self.factor.T, inner.T, upper=True)
        return (self.features.T @ of_items.float()).T.contiguous()


def _standardize(features: Tensor) -> tuple[Tensor, Tensor]:
    """Shift and scale each feature in place; return its mean and factor, which is 0 where the feature is constant."""
    mean = features.mean(dim=0, dtype=torch.float64).float()
    features -= mean
    deviation = features.square().mean(dim=0, dtype=torch.float64).sqrt().float()
    scale = torch.where(deviation > CONSTANT * mean.abs(), 1 / deviation, 0.0)
    features *= scale
    return mean, scale


def _factor(features: Tensor) -> Tensor:
    """Return the Cholesky factor of the items' Gram matrix, `[items, items]`, 64 bits."""
    gram = (features @ features.T).double()
    diagonal, jitter = gram.diagonal(), JITTER
    scale = float(diagonal.mean()) or 1.0
    while True:
        diagonal += jitter * scale
        factor: Tensor
        factor, failed = torch.linalg.cholesky_ex(gram)
        if not failed:
            return factor
        jitter *= 10
