"""Repeated runs: seeds become a mean with its deviation, folds are pooled so that every clip counts once."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from spectro.core.errors import ConfigError, RunError
from spectro.core.predictions import Predictions
from spectro.core.runs import Run
from spectro.evaluation.crossval import compare_folds, summarize
from spectro.evaluation.evaluate import evaluate
from spectro.evaluation.results import FoldTest, RunSummary
from spectro.evaluation.statistics import BootstrapConfig, corrected_t
from tests.builders import make_run, model_card
from tests.evaluation.test_ensemble import change_predictions, model_run

QUICK = BootstrapConfig(repeats=100)
CLIPS = 20


def random_fold(path: Path, number: int, *, clips: int = 12, skill: float = 2.0) -> Run:
    """A run whose test clips carry the fold's number."""
    run = model_run(path, number, clips=clips, skill=skill)
    test = run.predictions("test")
    names = {field: tuple(f"{number}/{one}" for one in getattr(test, field)) for field in ("ids", "clip_ids", "groups")}
    change_predictions(run, **names)
    return run


def exact_fold(path: Path, fold: int, right: float, seed: int) -> Run:
    """A run that was tested on the clips of `fold` and is right about a share of them."""
    rng = np.random.default_rng([fold, seed])
    truth = np.arange(CLIPS) % 2
    predicted = np.where(rng.permutation(CLIPS) < right * CLIPS, truth, 1 - truth)
    ids = tuple(f"{fold}-{number}" for number in range(CLIPS))
    labels = ("hiss", "hum")
    probs = 0.2 + 0.6 * np.eye(2)[predicted]
    test = Predictions(ids=ids, clip_ids=ids, groups=ids, labels=labels, probs=probs, truth=truth)
    return make_run(path, {"test": test}, model_card(path.name, labels=labels))


def test_seeds_are_a_mean_with_its_deviation(tmp_path: Path) -> None:
    runs = [model_run(tmp_path / str(seed), seed, skill=1.0) for seed in range(3)]
    values = [evaluate(run, config=QUICK).clip.accuracy.value for run in runs]
    summary = summarize(runs)
    assert (summary.kind, summary.runs, summary.pooled) == ("seeds", 3, None)
    assert set(summary.spread) == {"segment", "clip"}
    accuracy = summary.spread["clip"]["accuracy"]
    assert accuracy.mean == pytest.approx(np.mean(values))
    assert accuracy.deviation == pytest.approx(np.std(values, ddof=1))
    assert RunSummary.from_dict(json.loads(json.dumps(summary.to_dict()))) == summary


def test_folds_are_pooled_so_that_every_clip_counts_once(tmp_path: Path) -> None:
    runs = [random_fold(tmp_path / str(number), number, clips=clips, skill=0.5) for number, clips in ((1, 6), (2, 24))]
    summary = summarize(runs, config=QUICK)
    assert summary.kind == "folds"
    assert summary.pooled is not None
    assert summary.pooled.items.clips == 30
    hits = [(pooled.predicted == pooled.truth).sum() for pooled in (run.predictions("test").pool() for run in runs)]
    assert summary.pooled.clip.accuracy.value == pytest.approx(sum(hits) / 30)


def test_folds_and_two_recipes_give_exact_numbers(tmp_path: Path) -> None:
    first = [exact_fold(tmp_path / f"a{fold}", fold, 0.85 + 0.05 * fold, 0) for fold in range(3)]
    second = [exact_fold(tmp_path / f"b{fold}", fold, 0.6, 1) for fold in range(3)]
    summary = summarize(first)
    assert summary.pooled is not None
    assert summary.pooled.clip.n == 3 * CLIPS
    assert summary.pooled.clip.accuracy.value == pytest.approx(0.9)
    assert summary.spread["clip"]["accuracy"].deviation == pytest.approx(0.05)
    test = compare_folds(first, second)
    assert test.difference == pytest.approx(0.3)
    assert test.p < 0.05
    assert test.pooled is not None
    assert test.pooled.n == 3 * CLIPS
    assert test.pooled.difference.value == pytest.approx(0.3)
    assert test.pooled.only_first - test.pooled.only_second == 0.3 * 3 * CLIPS


def test_seeds_are_not_pooled(tmp_path: Path) -> None:
    seeds = [exact_fold(tmp_path / f"s{seed}", 0, right, seed) for seed, right in enumerate((0.7, 0.8))]
    summary = summarize(seeds)
    assert (summary.kind, summary.pooled) == ("seeds", None)
    assert summary.spread["clip"]["accuracy"].mean == pytest.approx(0.75)


def test_runs_that_are_neither_are_refused(tmp_path: Path) -> None:
    runs = [model_run(tmp_path / "a", 1), model_run(tmp_path / "b", 2, clips=20)]
    with pytest.raises(RunError, match="overlap in part"):
        summarize(runs)
    with pytest.raises(ConfigError, match="at least 2"):
        summarize(runs[:1])


def test_recipes_are_compared_fold_by_fold(tmp_path: Path) -> None:
    good = [random_fold(tmp_path / f"good{number}", number, skill=3.0) for number in range(4)]
    poor = []
    for number in range(4):
        run = random_fold(tmp_path / f"poor{number}", number, skill=3.0)
        change_predictions(run, probs=np.roll(run.predictions("test").probs, 1, axis=1))
        poor.append(run)
    test = compare_folds(good, poor)
    assert test.difference > 0.5
    assert test.p < 0.01
    assert test.pooled is not None
    assert test.pooled.difference.low > 0.5
    same = compare_folds(good, good)
    assert same.pooled is not None
    assert (same.difference, same.t, same.p, same.pooled.p_mcnemar) == (0.0, 0.0, 1.0, 1.0)
    assert corrected_t([0.1, 0.2, 0.1, 0.2], 0.25)[1] > test.p
    with pytest.raises(RunError, match="different test clips"):
        compare_folds(good, poor[::-1])
    with pytest.raises(ConfigError, match="must be the same"):
        compare_folds(good, poor[:2])


def test_equal_differences_have_no_finite_t(tmp_path: Path) -> None:
    first = [exact_fold(tmp_path / f"a{fold}", fold, 0.9, 0) for fold in range(2)]
    second = [exact_fold(tmp_path / f"b{fold}", fold, 0.5, 1) for fold in range(2)]
    test = compare_folds(first, second)
    assert math.isnan(test.t)
    assert test.p == 0
    assert test.difference == pytest.approx(0.4)
    assert test.to_dict()["t"] is None
    assert FoldTest.from_dict(test.to_dict()).pooled == test.pooled
