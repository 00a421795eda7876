"""Combination of members: vote rules, weights and stacking, against values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from spectro.core.card import Combination
from spectro.core.predictions import VOTES
from spectro.inference.combination import combine, combine_predictions, member_weights, weighted_mean
from tests.builders import random_predictions

MEMBERS = np.array([[[0.6, 0.4], [0.1, 0.9]], [[0.2, 0.8], [0.5, 0.5]]])
"""`[members, items, classes]`."""


@pytest.mark.parametrize("rule", VOTES)
def test_a_vote_rule_combines_members_like_segments(rule: str) -> None:
    probs = combine(Combination(vote=rule), MEMBERS)
    assert probs == pytest.approx(np.array([VOTES[rule](MEMBERS[:, item]) for item in range(2)]))


def test_weights_count_per_member_or_per_class() -> None:
    assert combine(Combination(weights=(3.0, 1.0)), MEMBERS) == pytest.approx(np.array([[0.5, 0.5], [0.2, 0.8]]))
    by_class = combine(Combination(weights=((1.0, 0.0), (0.0, 1.0))), MEMBERS)
    assert by_class == pytest.approx(np.array([[0.6 / 1.4, 0.8 / 1.4], [0.1 / 0.6, 0.5 / 0.6]]))


def test_classes_ruled_out_by_all_are_shared_evenly() -> None:
    members = np.array([[[0.0, 1.0]], [[1.0, 0.0]]])
    assert weighted_mean(np.array([[1.0, 0.0], [0.0, 1.0]]), members) == pytest.approx(np.array([[0.5, 0.5]]))


def test_stacking_applies_coefficients_to_log_probabilities() -> None:
    """With the identity for the first member and nothing for the second, the first decides alone."""
    stacked = Combination(coefficients=((1.0, 0.0, 0.0, 0.0), (0.0, 1.0, 0.0, 0.0)), intercept=(0.0, 0.0))
    assert combine(stacked, MEMBERS) == pytest.approx(MEMBERS[0])


def test_listed_weights_are_shares() -> None:
    assert member_weights(Combination(), 4) == [0.25] * 4
    assert member_weights(Combination(weights=(3.0, 1.0)), 2) == [0.75, 0.25]
    assert member_weights(Combination(weights=((3.0, 1.0), (1.0, 1.0))), 2) == [(0.75, 0.5), (0.25, 0.5)]
    assert member_weights(Combination(coefficients=((1.0, 0.0),), intercept=(0.0,)), 2) == [None, None]


def test_predictions_keep_ids_and_truth_of_the_first() -> None:
    first, second = random_predictions(1), random_predictions(2)
    both = combine_predictions(Combination(), [first, second])
    assert both.ids == first.ids
    assert (both.truth == first.truth).all()
    assert both.probs == pytest.approx((first.probs + second.probs) / 2)
