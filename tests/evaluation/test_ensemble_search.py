"""Search: useful members are kept and useless ones left out, and the choice admits how far it flatters itself."""

from __future__ import annotations

import json

import numpy as np
import pytest

from spectro import cli
from spectro.core.errors import RunError
from spectro.evaluation.ensemble import ensemble
from spectro.evaluation.ensemble_search import choose_combination, double_fault, search_members
from spectro.inference.combination import Combination
from tests.evaluation.test_ensemble import LABELS, make_run


def member(seed: int, skill: float, items: int = 120) -> np.ndarray:
    """Probabilities `[items, 3]` of independent errors; truth is `arange(items) % 3`."""
    logits = np.random.default_rng(seed).normal(size=(items, 3)) + skill * np.eye(3)[np.arange(items) % 3]
    return np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)


TRUTH = np.arange(120) % 3
SKILLS = {"good": 0.4, "useless": -3.0, "as good": 0.4}
GROUPS = [str(item // 4) for item in range(120)]


def test_double_fault_counts_common_errors():
    right = np.array([[True, True, False, False], [True, False, True, False], [False, False, True, True]])
    np.testing.assert_allclose(double_fault(right), [[0.5, 0.25, 0], [0.25, 0.5, 0.25], [0, 0.25, 0.5]])


def test_search_takes_the_good_and_leaves_the_useless():
    members = np.stack([member(0, -2.0), member(1, 1.5), member(2, 1.5), member(3, -2.0), member(4, 1.5)])
    found = search_members(members, TRUTH, GROUPS)
    assert set(found.chosen) == {1, 2, 4}
    assert list(found.losses) == sorted(found.losses, reverse=True)


def test_whom_nobody_helps_stands_alone():
    sure_and_wrong = np.eye(3)[(TRUTH + 1) % 3]
    found = search_members(np.stack([sure_and_wrong, member(1, 4.0)]), TRUTH, GROUPS)
    assert found.chosen == (1,)


def test_search_among_equals_admits_that_it_flatters_itself():
    members = np.stack([member(seed, 0.3) for seed in range(12)])
    optimism = [search_members(members[:, part], TRUTH[part], np.array(GROUPS)[part]).optimism for part in PARTS]
    assert np.mean(optimism) > 0


PARTS = [np.arange(start, 120, 3) // 3 + 40 * start for start in range(3)]


def test_every_rule_is_compared_on_clips_it_was_not_fitted_on():
    members = np.stack([member(1, 2.5), member(2, 0.0)])
    combination, rows = choose_combination(members, TRUTH, GROUPS)
    assert {row["rule"] for row in rows} >= {"soft", "hard", "log-mean", "median", "fitted", "per-class", "stacked"}
    best = max(rows, key=lambda row: (row["accuracy"], -row["log_loss"]))
    soft = next(row for row in rows if row["rule"] == "soft")
    assert best["accuracy"] >= soft["accuracy"]
    assert (combination.probs(members).argmax(axis=1) == TRUTH).mean() >= best["accuracy"] - 0.05


def test_a_rule_that_cannot_be_fitted_says_why_and_others_go_on():
    members = np.stack([member(1, 2.0, 12), member(2, 2.0, 12)])
    truth = np.array([0, 1] * 5 + [2, 2])
    _, rows = choose_combination(members, truth, [str(item // 2) for item in range(12)])
    stacked = next(row for row in rows if row["rule"] == "stacked")
    assert "every class" in stacked["impossible"]
    assert sum("accuracy" in row for row in rows) >= 6


def test_one_group_is_not_enough_to_choose_on():
    with pytest.raises(RunError, match="at least 2 groups"):
        search_members(np.stack([member(0, 1), member(1, 1)]), TRUTH, ["same"] * 120)


def test_an_ensemble_is_searched_and_its_card_tells(tmp_path):
    runs = [make_run(tmp_path / name, seed, skill=skill) for seed, (name, skill) in enumerate(SKILLS.items())]
    made = ensemble(runs, out=tmp_path / "chosen", weights="best", search=True)
    card = made.card()
    assert [one["name"] for one in card["members"]] == card["search"]["chosen"]
    assert card["search"]["left_out"] == ["useless"]
    assert np.array(card["double_fault"]).shape == (2, 2)
    assert len(card["rules"]) == 8
    json.dumps(card, allow_nan=False)
    combination = Combination.from_dict(card["combination"])
    by_name = {run.path.name: run for run in runs}
    parts = [by_name[name].predictions("test").pool() for name in card["search"]["chosen"]]
    np.testing.assert_allclose(combination.apply(parts).probs, made.predictions("test").probs)
    assert made.predictions("test").labels == LABELS


def test_the_command_says_who_decides_and_how_far_choosing_flatters(tmp_path, capsys):
    paths = [make_run(tmp_path / name, seed, skill=skill).path for seed, (name, skill) in enumerate(SKILLS.items())]
    with pytest.raises(SystemExit):
        cli.main(["ensemble", *map(str, paths), "--search", "--weights", "best", "--out", str(tmp_path / "made")])
    said = capsys.readouterr().out
    for word in ("good", "as good", "stacked", "1 runs are left out", "it flatters by"):
        assert word in said
    assert "useless" not in said.replace(str(tmp_path), "")


@pytest.mark.parametrize("weights", ["", "0.7,0.3", "fitted", "per-class", "stacked"])
def test_the_command_shows_any_kind_of_share(tmp_path, capsys, weights):
    paths = [make_run(tmp_path / name, seed).path for seed, name in enumerate(("first", "second"))]
    with pytest.raises(SystemExit) as stopped:
        cli.main(["ensemble", *map(str, paths), "--weights", weights, "--out", str(tmp_path / "made")])
    assert not stopped.value.code
    table = capsys.readouterr().out.splitlines()
    assert {"first", "second"} <= {line.split()[0] for line in table if line.strip()}


def test_search_needs_validation(tmp_path):
    runs = [make_run(tmp_path / name, seed) for seed, name in enumerate("ab")]
    runs[0].predictions_path("val").unlink()
    with pytest.raises(RunError, match="a search must be fitted"):
        ensemble(runs, out=tmp_path / "chosen", search=True)
