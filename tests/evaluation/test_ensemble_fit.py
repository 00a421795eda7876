"""Fitted combinations: better members weigh more, classes are weighted apart, stacking gives probabilities."""

from __future__ import annotations

import numpy as np
import pytest

from spectro.core.arrays import Floats, softmax
from spectro.core.card import Combination
from spectro.core.errors import RunError
from spectro.evaluation.ensemble_fit import fit_stacking, fit_weights
from spectro.inference.combination import combine
from tests.builders import random_predictions


def test_fitted_weights_prefer_the_better_member() -> None:
    good, poor = random_predictions(1, 30, skill=3.0).pool(), random_predictions(2, 30, skill=0.0).pool()
    members = np.stack([good.probs, poor.probs])
    fitted = fit_weights(members, good.truth)
    weights = np.array(fitted.weights)
    assert weights[0] > 0.9
    assert weights.sum() == pytest.approx(1, abs=1e-5)

    def loss(combination: Combination) -> float:
        return float(-np.log(combine(combination, members)[np.arange(30), good.truth]).mean())

    assert loss(fitted) < loss(Combination())


def test_per_class_weights_find_who_knows_which_class() -> None:
    truth = np.arange(300) % 3
    rng = np.random.default_rng(0)

    def member(noise: list[float], skill: list[float]) -> Floats:
        return softmax(rng.normal(size=(300, 3)) * noise + np.eye(3)[truth] * skill)

    knows_first, knows_others = member([0.2, 2, 2], [4, 0, 0]), member([2, 0.2, 0.2], [0, 4, 4])
    weights = np.array(fit_weights(np.stack([knows_first, knows_others]), truth, per_class=True).weights)
    assert weights[0, 0] > weights[0, 1]
    assert weights[0, 0] > weights[0, 2]


def test_stacking_of_two_classes_is_a_proper_probability() -> None:
    truth = np.arange(40) % 2
    probs = np.where(truth[:, None] == [0, 1], 0.8, 0.2)
    members = np.stack([probs, probs])
    stacked = combine(fit_stacking(members, truth), members)
    np.testing.assert_allclose(stacked.sum(axis=1), 1)
    assert (stacked.argmax(axis=1) == truth).all()


def test_what_cannot_be_fitted_is_refused() -> None:
    members = np.full((2, 4, 3), 1 / 3)
    with pytest.raises(RunError, match="known truth"):
        fit_weights(members, np.array([0, 1, 2, -1]))
    with pytest.raises(RunError, match="there are none"):
        fit_stacking(members[:, :0], np.zeros(0, np.int64))
    with pytest.raises(RunError, match="class 2 does not occur"):
        fit_stacking(members, np.array([0, 1, 0, 1]))
