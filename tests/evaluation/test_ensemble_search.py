"""Ensemble selection: useful members are kept and useless ones left out, and its optimism is measured."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from spectro.core.arrays import Probs, softmax
from spectro.core.card import Combination
from spectro.core.errors import RunError
from spectro.evaluation.ensemble import ensemble
from spectro.evaluation.ensemble_search import choose_combination, double_fault, search_members
from spectro.inference.combination import combine, combine_predictions
from tests.builders import LABELS, drop_predictions
from tests.evaluation.test_ensemble import model_run

TRUTH = np.arange(120) % 3
SKILLS = {"good": 0.4, "useless": -3.0, "as good": 0.4}
GROUPS = [str(item // 4) for item in range(120)]
PARTS = [np.arange(start, 120, 3) // 3 + 40 * start for start in range(3)]


def member(seed: int, skill: float, items: int = 120) -> Probs:
    """Probabilities `[items, 3]` of independent errors; truth is `arange(items) % 3`."""
    return softmax(np.random.default_rng(seed).normal(size=(items, 3)) + skill * np.eye(3)[np.arange(items) % 3])


def test_double_fault_counts_common_errors() -> None:
    right = np.array([[True, True, False, False], [True, False, True, False], [False, False, True, True]])
    np.testing.assert_allclose(double_fault(right), [[0.5, 0.25, 0], [0.25, 0.5, 0.25], [0, 0.25, 0.5]])


def test_search_takes_the_good_and_leaves_the_useless() -> None:
    members = np.stack([member(0, -2.0), member(1, 1.5), member(2, 1.5), member(3, -2.0), member(4, 1.5)])
    selection = search_members(members, TRUTH, GROUPS)
    assert set(selection.chosen) == {1, 2, 4}
    assert list(selection.losses) == sorted(selection.losses, reverse=True)


def test_a_member_that_nobody_improves_is_alone() -> None:
    sure_and_wrong = np.eye(3)[(TRUTH + 1) % 3]
    selection = search_members(np.stack([sure_and_wrong, member(1, 4.0)]), TRUTH, GROUPS)
    assert selection.chosen == (1,)


def test_search_among_equals_measures_its_optimism() -> None:
    members = np.stack([member(seed, 0.3) for seed in range(12)])
    groups = np.array(GROUPS)
    optimism = [search_members(members[:, part], TRUTH[part], groups[part].tolist()).optimism for part in PARTS]
    assert np.mean(optimism) > 0


def test_every_rule_is_compared_on_held_out_clips() -> None:
    members = np.stack([member(1, 2.5), member(2, 0.0)])
    combination, rules = choose_combination(members, TRUTH, GROUPS)
    accuracies = {rule.rule: rule.accuracy or 0.0 for rule in rules}
    assert set(accuracies) >= {"soft", "hard", "log-mean", "median", "fitted", "per-class", "stacked"}
    best = max(accuracies.values())
    assert best >= accuracies["soft"]
    assert (combine(combination, members).argmax(axis=1) == TRUTH).mean() >= best - 0.05


def test_the_chosen_rule_is_the_best_by_accuracy_then_loss() -> None:
    members = np.stack([member(1, 2.5), member(2, 0.0)])
    combination, rules = choose_combination(members, TRUTH, GROUPS)
    best = max(rules, key=lambda rule: (rule.accuracy or 0.0, -(rule.log_loss or 0.0)))
    if best.rule in ("fitted", "per-class"):
        assert combination.weights
    elif best.rule == "stacked":
        assert combination.coefficients
    else:
        assert combination == Combination(vote=best.rule)


def test_a_rule_that_cannot_be_fitted_is_explained() -> None:
    members = np.stack([member(1, 2.0, 12), member(2, 2.0, 12)])
    truth = np.array([0, 1] * 5 + [2, 2])
    _, rules = choose_combination(members, truth, [str(item // 2) for item in range(12)])
    stacked = next(rule for rule in rules if rule.rule == "stacked")
    assert "every class" in stacked.impossible
    assert stacked.accuracy is stacked.log_loss is None
    assert sum(rule.accuracy is not None for rule in rules) >= 6


def test_one_group_is_not_enough_to_choose_on() -> None:
    with pytest.raises(RunError, match="at least 2 groups"):
        search_members(np.stack([member(0, 1), member(1, 1)]), TRUTH, ["same"] * 120)


def test_a_searched_ensemble_has_facts_on_its_card(tmp_path: Path) -> None:
    runs = [model_run(tmp_path / name, seed, skill=skill) for seed, (name, skill) in enumerate(SKILLS.items())]
    chosen = ensemble(runs, out=tmp_path / "chosen", weights="best", search=True)
    card = chosen.card
    assert card.selection is not None
    assert card.combination is not None
    assert tuple(one.name for one in card.members) == card.selection.chosen
    assert card.selection.left_out == ("useless",)
    assert card.selection.optimism == pytest.approx(card.selection.held_out - card.selection.losses[-1], abs=2e-6)
    assert np.array(card.double_fault).shape == (2, 2)
    assert len(card.rules) == 8
    by_name = {run.path.name: run for run in runs}
    parts = [by_name[name].predictions("test").pool() for name in card.selection.chosen]
    np.testing.assert_allclose(combine_predictions(card.combination, parts).probs, chosen.predictions("test").probs)
    assert chosen.predictions("test").labels == LABELS


def test_search_needs_validation(tmp_path: Path) -> None:
    runs = [model_run(tmp_path / name, seed) for seed, name in enumerate("ab")]
    drop_predictions(runs[0], "val")
    with pytest.raises(RunError, match="a search must be fitted"):
        ensemble(runs, out=tmp_path / "chosen", search=True)
