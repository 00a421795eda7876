"""The regression has the optimum that scikit-learn finds, with more items than features or fewer."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge

from spectro.training.ridge import SCALE, RidgeRegression

CLASSES = 4


def problem(items: int, size: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return features whose scales and means differ, one of them constant, unequal classes, and their weights."""
    rng = np.random.default_rng(0)
    truth = np.concatenate([np.arange(CLASSES), rng.choice(CLASSES, items - CLASSES, p=[0.5, 0.3, 0.1, 0.1])])
    features = rng.normal(size=(items, size)) + np.eye(CLASSES)[truth] @ rng.normal(size=(CLASSES, size)) * 0.5
    features = features * rng.uniform(0.1, 10, size) + rng.normal(size=size)
    features[:, 3] = 7.0
    weights = items / (CLASSES * np.bincount(truth))[truth]
    return torch.from_numpy(features.astype(np.float32)), torch.from_numpy(truth), torch.from_numpy(weights)


@pytest.mark.parametrize(("items", "size"), [(200, 30), (60, 300), (5000, 20)])
@pytest.mark.parametrize("penalty", [0.03, 1.0])
def test_the_optimum_is_that_of_scikit_learn(items: int, size: int, penalty: float) -> None:
    features, truth, weights = problem(items, size)
    regression = RidgeRegression(features.clone(), truth, weights, CLASSES)
    assert regression.scale[3] == 0
    scaled = ((features - regression.mean) * regression.scale).double().numpy()
    target = np.eye(CLASSES)[truth] - 1 / CLASSES
    reference = Ridge(alpha=penalty * size, fit_intercept=False).fit(scaled, target, sample_weight=weights.numpy())
    solution = regression.solve(penalty)
    assert np.allclose(
        solution.weight.numpy(), SCALE * reference.coef_, atol=2e-4 * np.abs(SCALE * reference.coef_).max()
    )
    assert solution.accuracy == np.mean((scaled @ reference.coef_.T).argmax(axis=1) == truth.numpy())


def test_items_that_are_equal_have_a_solution() -> None:
    features, truth, weights = problem(20, 50)
    regression = RidgeRegression(torch.cat([features, features]), truth.repeat(2), weights.repeat(2), CLASSES)
    solution = regression.solve(0.1)
    assert solution.weight.isfinite().all()
    assert solution.accuracy == 1.0
