"""The stratified group split: whole groups, near the shares, whatever their order."""

from __future__ import annotations

import pytest

from spectro.data.stratify import assign_groups, imbalance


def test_groups_fill_the_shares() -> None:
    groups = {f"{label}{number}": {label: 10} for label in "ab" for number in range(10)}
    fold_of = assign_groups(groups, {"train": 0.7, "test": 0.2, "val": 0.1}, seed=0)
    for label in "ab":
        folds = [fold for group, fold in fold_of.items() if group[0] == label]
        assert (folds.count("train"), folds.count("test"), folds.count("val")) == (7, 2, 1)


def test_order_does_not_matter_and_the_seed_does() -> None:
    groups = {f"{label}{number}": {label: 2} for label in "ab" for number in range(8)}
    shares = {"train": 0.5, "test": 0.5}
    first = assign_groups(groups, shares, seed=0)
    assert assign_groups(dict(reversed(groups.items())), shares, seed=0) == first
    assert any(assign_groups(groups, shares, seed=seed) != first for seed in range(1, 5))


def test_imbalance_is_the_largest_gap() -> None:
    assert imbalance({"a": [7, 3], "b": [7, 3]}) == 0
    assert imbalance({"a": [10, 0], "b": [0, 10]}) == pytest.approx(0.5)
