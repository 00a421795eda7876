"""The regression has the optimum that scikit-learn finds, with more items than features or fewer."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression as Reference

from spectro.training.logistic import LogisticRegression

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


@pytest.mark.parametrize(("items", "size"), [(200, 30), (60, 300)])
@pytest.mark.parametrize("prior", [1.0, 30.0])
def test_the_optimum_is_that_of_scikit_learn(items: int, size: int, prior: float) -> None:
    features, truth, weights = problem(items, size)
    regression = LogisticRegression(features.clone(), truth, weights, CLASSES)
    assert regression.scale[3] == 0
    scaled = (features - regression.mean) * regression.scale
    reference = Reference(C=prior / size, class_weight="balanced", tol=1e-8, max_iter=10_000)
    reference.fit(scaled.double().numpy(), truth.numpy())
    solution = regression.solve(prior, torch.zeros(CLASSES, size), torch.zeros(CLASSES))
    expected = reference.predict_proba(scaled.double().numpy())
    probs = (scaled @ solution.weight.T + solution.bias).softmax(dim=1).numpy()
    assert np.abs(probs - expected).max() < 2e-3
    assert np.abs(solution.weight.numpy() - reference.coef_).max() < 5e-3 * np.abs(reference.coef_).max()
    assert solution.accuracy == np.mean(expected.argmax(axis=1) == truth.numpy())
    again = regression.solve(prior, torch.randn(CLASSES, size), torch.ones(CLASSES))
    assert (again.weight - solution.weight).abs().max() < 5e-3 * solution.weight.abs().max()


def test_items_that_are_equal_have_a_solution() -> None:
    features, truth, weights = problem(20, 50)
    twice = torch.cat([features, features])
    regression = LogisticRegression(twice, truth.repeat(2), weights.repeat(2), CLASSES)
    solution = regression.solve(10.0, torch.zeros(CLASSES, 50), torch.zeros(CLASSES))
    assert solution.weight.isfinite().all()
    assert solution.accuracy == 1.0
