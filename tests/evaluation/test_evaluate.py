"""Judgement at segment, clip and group level: intervals hold their values, and pieces are no evidence of their own."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from spectro.core.errors import DataError
from spectro.core.predictions import Predictions
from spectro.core.runs import Run
from spectro.evaluation.evaluate import evaluate, evaluate_predictions
from spectro.evaluation.statistics import BootstrapConfig

QUICK = BootstrapConfig(repeats=200)


def predictions(groups_of: int = 1) -> Predictions:
    """24 clips of 4 segments; `groups_of` clips of one class make a group."""
    rng = np.random.default_rng(0)
    clips = np.arange(24).repeat(4)
    truth = clips // 6
    probs = rng.dirichlet(np.ones(4), size=96) * 0.6 + np.eye(4)[truth] * 0.4
    return Predictions(
        ids=tuple(f"{clip}@{i}" for i, clip in enumerate(clips)),
        clip_ids=tuple(map(str, clips)),
        groups=tuple(str(clip // groups_of) for clip in clips),
        labels=("blues", "jazz", "pop", "rock"),
        probs=probs,
        truth=truth,
    )


def test_figures_are_values_inside_intervals_at_every_level():
    found = evaluate_predictions(predictions(groups_of=2), config=QUICK)
    assert found["items"] == {"segments": 96, "clips": 24, "groups": 12, "unlabelled": 0}
    for level in ("segment", "clip", "group"):
        for name in ("accuracy", "macro_f1", "balanced_accuracy", "top3", "roc_auc", "log_loss", "brier"):
            figure = found[level][name]
            assert figure["low"] <= figure["value"] <= figure["high"], (level, name)
        assert np.sum(found[level]["confusion"]) == found[level]["n"]
        assert sum(row["support"] for row in found[level]["per_class"].values()) == found[level]["n"]
    json.dumps(found, allow_nan=False)


def test_voting_over_a_clip_helps_and_its_pieces_do_not_count_as_evidence_of_their_own():
    found = evaluate_predictions(predictions(), config=QUICK)
    assert found["clip"]["accuracy"]["value"] >= found["segment"]["accuracy"]["value"]
    pieces = evaluate_predictions(dataclasses.replace(predictions(), groups=predictions().ids), config=QUICK)
    assert found["bootstrap"]["groups"] == 24
    assert pieces["bootstrap"]["groups"] == 96


def test_groups_of_one_clip_or_of_mixed_class_make_no_group_level():
    assert "group" not in evaluate_predictions(predictions(), config=QUICK)
    mixed = evaluate_predictions(predictions(groups_of=4), config=QUICK)  # 6 clips a class: groups straddle
    assert "group" not in mixed
    assert mixed["bootstrap"]["groups"] == 6


def test_unlabelled_items_are_left_out_and_counted():
    some = predictions()
    truth = some.truth.copy()
    truth[:8] = -1
    found = evaluate_predictions(dataclasses.replace(some, truth=truth), config=QUICK)
    assert found["items"]["unlabelled"] == 8
    assert found["clip"]["n"] == 22
    with pytest.raises(DataError, match="no prediction has a known truth"):
        evaluate_predictions(dataclasses.replace(some, truth=np.full(96, -1)))


def test_one_group_has_figures_without_intervals():
    one = dataclasses.replace(predictions(), groups=("album",) * 96)
    figure = evaluate_predictions(one, config=QUICK)["clip"]["accuracy"]
    assert figure["low"] is None
    assert figure["value"] > 0


def test_a_table_of_another_program_is_judged(tmp_path: Path):
    path = tmp_path / "theirs.csv"
    path.write_text("id,truth,cat,dog\na,cat,0.9,0.1\nb,dog,0.6,0.4\nc,cat,0.7,0.3\n")
    found = evaluate_predictions(Predictions.load(path), config=QUICK)
    assert found["clip"]["accuracy"]["value"] == pytest.approx(2 / 3)
    assert found["clip"]["confusion"] == [[2, 0], [1, 0]]
    assert "top3" not in found["clip"]
    assert "segment" not in found


def test_a_run_keeps_what_was_found(tmp_path: Path):
    run = Run(tmp_path / "run")
    predictions().save(run.predictions_path("test"))
    run.write_card({"name": "run", "vote": "hard", "split": {"title": "segment (LEAKY)"}})
    found = evaluate(run.path, config=QUICK)
    assert found["split"] == "segment (LEAKY)"
    assert found["vote"] == "hard"
    assert run.metrics() == found
