"""Weights by group: the same sums as of weights item by item, within the time and memory of large data."""

from __future__ import annotations

import time
import tracemalloc

import numpy as np
import pytest
from numpy.typing import NDArray

from spectro.core.arrays import Floats
from spectro.core.errors import ConfigError
from spectro.core.predictions import Predictions
from spectro.evaluation.evaluate import compute_metrics
from spectro.evaluation.metrics import METRICS
from spectro.evaluation.statistics import BootstrapConfig
from spectro.evaluation.weights import Weights


def random_items(items: int, classes: int, groups: int, seed: int = 0) -> Predictions:
    """Return predictions with many ties, several items to a group."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(classes, size=items)
    probs = rng.dirichlet(np.ones(classes), size=items) + np.eye(classes)[truth] * 0.3
    probs = np.round(probs, 2) + 0.01
    ids = tuple(map(str, range(items)))
    return Predictions(
        ids=ids,
        clip_ids=ids,
        groups=tuple(f"g{group}" for group in np.sort(rng.integers(groups, size=items))),
        labels=tuple(map(str, range(classes))),
        probs=probs / probs.sum(axis=1, keepdims=True),
        truth=truth,
    )


def drawn_as_before(groups: tuple[str, ...], repeats: int, seed: int) -> Floats:
    """Return `[repeats, items]` as they were drawn when weights were kept for each item."""
    names, index = np.unique(np.asarray(groups), return_inverse=True)
    draws = np.random.default_rng(seed).multinomial(len(names), np.full(len(names), 1 / len(names)), size=repeats)
    weights: NDArray[np.float64] = draws[:, index].astype(np.float64)
    return weights


@pytest.mark.parametrize(("items", "classes", "groups"), [(300, 4, 40), (90, 2, 90), (500, 12, 7), (60, 5, 2)])
def test_metrics_by_group_are_those_by_item(items: int, classes: int, groups: int) -> None:
    predictions = random_items(items, classes, groups)
    by_group = Weights.draw(predictions.groups, 200, seed=3)
    by_item = Weights.of_items(drawn_as_before(predictions.groups, 200, seed=3))
    np.testing.assert_array_equal(by_group.draws[:, by_group.index], by_item.draws)
    for name, metric in METRICS.items():
        np.testing.assert_allclose(
            metric(predictions, by_group), metric(predictions, by_item), rtol=0, atol=1e-9, err_msg=name
        )


def test_sums_means_and_counts() -> None:
    weights = Weights(draws=np.array([[2, 0, 1], [0, 0, 0]]), index=np.array([0, 0, 1, 2]))
    values = np.array([1.0, 2.0, 4.0, 8.0])
    assert weights.total.tolist() == [5, 0]
    assert weights.sums(values).tolist() == [14, 0]
    assert weights.sums(np.stack([values, -values], axis=1)).tolist() == [[14, -14], [0, 0]]
    assert weights.mean(values)[0] == 14 / 5
    assert np.isnan(weights.mean(values)[1])
    assert weights.counts(np.array([1, 0, 1, 1]), 3).tolist() == [[2, 3, 0], [0, 0, 0]]
    assert weights.select(np.array([False, False, True, True])).total.tolist() == [1, 0]


def test_more_draws_than_memory_are_refused() -> None:
    with pytest.raises(ConfigError, match="too many for 20000 groups"):
        Weights.draw(tuple(map(str, range(20_000))), 100_000, 0)


@pytest.mark.slow
def test_large_data_stay_within_time_and_memory() -> None:
    """Measured: 1.9 s and 90 MB beyond what the predictions take, where weights of items took 20 s."""
    predictions = random_items(100_000, 10, 5_000)
    tracemalloc.start()
    began = time.process_time()
    metrics = compute_metrics(predictions, BootstrapConfig(repeats=1000))
    assert time.process_time() - began < 10
    assert tracemalloc.get_traced_memory()[1] < 300 << 20
    tracemalloc.stop()
    assert metrics.accuracy.low < metrics.accuracy.value < metrics.accuracy.high
