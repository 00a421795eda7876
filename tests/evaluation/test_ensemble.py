"""Ensembles: members meet at clip level, weights come from validation only, and the result is a run like any other."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from spectro.core.errors import ConfigError, RunError
from spectro.core.predictions import Predictions
from spectro.core.runs import Run
from spectro.evaluation.ensemble import ensemble
from spectro.evaluation.ensemble_fit import fit_stacking, fit_weights
from spectro.evaluation.evaluate import evaluate
from spectro.inference.combination import Combination

LABELS = ("blues", "jazz", "rock")


def predictions(
    seed: int, *, per_clip: int = 3, clips: int = 30, skill: float = 2.0, fold: str = "test"
) -> Predictions:
    rng = np.random.default_rng(seed)
    names = np.repeat([f"{fold}/clip{i:02}.wav" for i in range(clips)], per_clip)
    truth = np.repeat(np.arange(clips) % 3, per_clip)
    logits = rng.normal(size=(len(truth), 3)) + skill * np.eye(3)[truth]
    probs = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return Predictions(
        ids=tuple(f"{name}@{i % per_clip * 10:07.2f}" for i, name in enumerate(names)),
        clip_ids=tuple(names),
        groups=tuple(f"album{int(name[-6:-4]) // 2}" for name in names),
        labels=LABELS,
        probs=probs,
        truth=truth,
    )


def make_run(path: Path, seed: int, *, sha: str = "f00", **how: object) -> Run:
    run = Run(path)
    predictions(seed, **how).save(run.predictions_path("test"))
    predictions(seed + 100, fold="val", **how).save(run.predictions_path("val"))
    run.write_card(
        {
            "name": path.name,
            "kind": "torch",
            "labels": list(LABELS),
            "vote": "soft",
            "split": {"name": "group", "title": "group", "by": "group", "sha256": sha, "leaky": False},
        }
    )
    return run


def test_members_meet_at_clip_level_whatever_their_segments(tmp_path):
    first, second = make_run(tmp_path / "a", 1, per_clip=3), make_run(tmp_path / "b", 2, per_clip=5)
    made = ensemble([first, second.path], out=tmp_path / "both")
    found = Run.open(made.path).predictions("test")
    pooled = [run.predictions("test").pool() for run in (first, second)]
    assert found.ids == found.clip_ids == pooled[0].ids
    np.testing.assert_allclose(found.probs, (pooled[0].probs + pooled[1].probs) / 2)
    assert len(made.predictions("val")) == 30


def test_card_lists_members_by_relative_path_and_the_split(tmp_path):
    runs = [make_run(tmp_path / "runs" / name, seed) for name, seed in (("a", 1), ("b", 2))]
    card = ensemble(runs, out=tmp_path / "runs" / "both", weights=[3, 1]).card()
    assert card["kind"] == "ensemble"
    assert [(m["path"], m["name"], m["weight"]) for m in card["members"]] == [("../a", "a", 0.75), ("../b", "b", 0.25)]
    assert card["split"]["sha256"] == "f00"
    assert card["labels"] == list(LABELS)
    json.dumps(card, allow_nan=False)


def test_an_ensemble_is_a_run_like_any_other_and_can_be_a_member(tmp_path):
    runs = [make_run(tmp_path / name, seed) for name, seed in (("a", 1), ("b", 2), ("c", 3))]
    pair = ensemble(runs[:2], out=tmp_path / "pair")
    found = evaluate(ensemble([pair, runs[2]], out=tmp_path / "three", weights=[2, 1]))
    assert "segment" not in found
    assert found["clip"]["n"] == 30
    assert found["clip"]["accuracy"]["value"] >= max(evaluate(run)["clip"]["accuracy"]["value"] for run in runs) - 0.1


@pytest.mark.parametrize("vote", ["soft", "hard", "log-mean", "median", "confident"])
def test_any_vote_rule_combines(tmp_path, vote):
    runs = [make_run(tmp_path / name, seed) for name, seed in (("a", 1), ("b", 2), ("c", 3))]
    found = ensemble(runs, out=tmp_path / "all", vote=vote).predictions("test")
    np.testing.assert_allclose(found.probs.sum(axis=1), 1)


def test_shares_of_a_hard_vote_survive_its_evaluation(tmp_path):
    runs = [make_run(tmp_path / name, seed, skill=0.5) for name, seed in (("a", 1), ("b", 2), ("c", 3))]
    made = ensemble(runs, out=tmp_path / "all", vote="hard")
    shares = made.predictions("test").pool(made.card()["vote"]).probs
    assert set(np.unique(shares.round(3))) == {0, 0.333, 0.667, 1}


@pytest.mark.parametrize("weights", ["fitted", "per-class", "stacked"])
def test_weights_fitted_on_validation_survive_the_card(tmp_path, weights):
    runs = [make_run(tmp_path / "good", 1, skill=3.0), make_run(tmp_path / "poor", 2, skill=0.0)]
    made = ensemble(runs, out=tmp_path / "both", weights=weights)
    combination = Combination.from_dict(made.card()["combination"])
    members = [run.predictions("test").pool() for run in runs]
    np.testing.assert_allclose(combination.apply(members).probs, made.predictions("test").probs)
    assert (made.predictions("test").predicted == members[0].truth).mean() > 0.9


def test_fitted_weights_prefer_the_better_member_and_beat_equal_ones_on_validation(tmp_path):
    good, poor = predictions(1, skill=3.0).pool(), predictions(2, skill=0.0).pool()
    members = np.stack([good.probs, poor.probs])
    fitted = fit_weights(members, good.truth)
    assert fitted.weights[0] > 0.9
    assert sum(fitted.weights) == pytest.approx(1, abs=1e-5)

    def loss(combination: Combination) -> float:
        return float(-np.log(combination.probs(members)[np.arange(30), good.truth]).mean())

    assert loss(fitted) < loss(Combination())


def test_per_class_weights_find_who_knows_which_class():
    truth = np.arange(300) % 3
    rng = np.random.default_rng(0)
    soft = lambda x: np.exp(x) / np.exp(x).sum(axis=1, keepdims=True)  # noqa: E731
    knows_first = soft(rng.normal(size=(300, 3)) * [0.2, 2, 2] + np.eye(3)[truth] * [4, 0, 0])
    knows_rest = soft(rng.normal(size=(300, 3)) * [2, 0.2, 0.2] + np.eye(3)[truth] * [0, 4, 4])
    weights = np.array(fit_weights(np.stack([knows_first, knows_rest]), truth, per_class=True).weights)
    assert weights[0, 0] > weights[0, 1]
    assert weights[0, 0] > weights[0, 2]


def test_stacking_of_two_classes_is_a_proper_probability():
    truth = np.arange(40) % 2
    probs = np.where(truth[:, None] == [0, 1], 0.8, 0.2)
    found = fit_stacking(np.stack([probs, probs]), truth).probs(np.stack([probs, probs]))
    np.testing.assert_allclose(found.sum(axis=1), 1)
    assert (found.argmax(axis=1) == truth).all()


def test_runs_of_different_splits_are_refused(tmp_path):
    runs = [make_run(tmp_path / "a", 1), make_run(tmp_path / "b", 2, sha="bad")]
    with pytest.raises(RunError, match="may have trained the other"):
        ensemble(runs, out=tmp_path / "both")


def test_runs_with_different_clips_or_labels_are_refused(tmp_path):
    first, fewer = make_run(tmp_path / "a", 1), make_run(tmp_path / "b", 2, clips=29)
    with pytest.raises(RunError, match=r"only the first has 'test/clip29\.wav'"):
        ensemble([first, fewer], out=tmp_path / "both")
    other = make_run(tmp_path / "c", 3)
    renamed = dataclasses.replace(other.predictions("test"), labels=("blues", "jazz", "pop"))
    renamed.save(other.predictions_path("test"))
    with pytest.raises(RunError, match="only the first has 'rock'"):
        ensemble([first, other], out=tmp_path / "both")
    assert not (tmp_path / "both" / "card.json").exists()


def test_settings_that_do_not_fit_are_refused(tmp_path):
    runs = [make_run(tmp_path / name, seed) for name, seed in (("a", 1), ("b", 2))]
    for how, message in (
        ({"weights": [1.0]}, "1 weights were given for 2 runs"),
        ({"weights": [1.0, -1.0]}, "must not be negative"),
        ({"weights": [0.0, 0.0]}, "not all 0"),
        ({"weights": "bets"}, "must be one of"),
        ({"weights": "fitted", "vote": "hard"}, "need the soft vote"),
        ({"weights": "best", "vote": "median"}, "need the soft vote"),
        ({"vote": "sofd"}, "did you mean 'soft'"),
    ):
        with pytest.raises(ConfigError, match=message):
            ensemble(runs, out=tmp_path / "both", **how)
    with pytest.raises(ConfigError, match="at least 2"):
        ensemble(runs[:1], out=tmp_path / "both")
    runs[1].predictions_path("val").unlink()
    with pytest.raises(RunError, match="no validation predictions"):
        ensemble(runs, out=tmp_path / "both", weights="fitted")
