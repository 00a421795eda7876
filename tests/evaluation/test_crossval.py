"""Repeats: seeds become a mean with its deviation, folds are pooled so that every clip counts once."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from spectro.core.errors import ConfigError, RunError
from spectro.evaluation.crossval import compare_folds, summarize
from spectro.evaluation.evaluate import evaluate
from spectro.evaluation.statistics import BootstrapConfig, corrected_t
from tests.evaluation.test_ensemble import make_run

QUICK = BootstrapConfig(repeats=100)


def fold(path, number: int, *, clips: int = 12, **how):
    """A run whose test clips carry the fold's number."""
    run = make_run(path, number, clips=clips, **how)
    found = run.predictions("test")
    renamed = dataclasses.replace(
        found,
        ids=tuple(f"{number}/{one}" for one in found.ids),
        clip_ids=tuple(f"{number}/{one}" for one in found.clip_ids),
        groups=tuple(f"{number}/{one}" for one in found.groups),
    )
    renamed.save(run.predictions_path("test"))
    return run


def test_seeds_are_a_mean_with_its_deviation(tmp_path):
    runs = [make_run(tmp_path / str(seed), seed, skill=1.0) for seed in range(3)]
    values = [evaluate(run, config=QUICK)["clip"]["accuracy"]["value"] for run in runs]
    found = summarize(runs)
    assert found["kind"] == "seeds"
    assert found["spread"]["clip"]["accuracy"]["mean"] == pytest.approx(np.mean(values))
    assert found["spread"]["clip"]["accuracy"]["deviation"] == pytest.approx(np.std(values, ddof=1))


def test_folds_are_pooled_so_that_every_clip_counts_once(tmp_path):
    runs = [fold(tmp_path / str(number), number, clips=clips, skill=0.5) for number, clips in ((1, 6), (2, 24))]
    found = summarize(runs, config=QUICK)
    assert found["kind"] == "folds"
    assert found["pooled"]["items"]["clips"] == 30
    hits = [(pooled.predicted == pooled.truth).sum() for pooled in (run.predictions("test").pool() for run in runs)]
    assert found["pooled"]["clip"]["accuracy"]["value"] == pytest.approx(sum(hits) / 30)


def test_runs_that_are_neither_are_refused(tmp_path):
    runs = [make_run(tmp_path / "a", 1), make_run(tmp_path / "b", 2, clips=20)]
    with pytest.raises(RunError, match="overlap in part"):
        summarize(runs)
    with pytest.raises(ConfigError, match="at least 2"):
        summarize(runs[:1])


def test_recipes_are_compared_fold_by_fold(tmp_path):
    good = [fold(tmp_path / f"good{number}", number, skill=3.0) for number in range(4)]
    poor = []
    for number in range(4):
        run = fold(tmp_path / f"poor{number}", number, skill=3.0)
        found = run.predictions("test")
        dataclasses.replace(found, probs=np.roll(found.probs, 1, axis=1)).save(run.predictions_path("test"))
        poor.append(run)
    found = compare_folds(good, poor)
    assert found["difference"] > 0.5
    assert found["p"] < 0.01
    assert found["pooled"]["difference"]["low"] > 0.5
    same = compare_folds(good, good)
    assert (same["difference"], same["t"], same["p"], same["pooled"]["p_mcnemar"]) == (0.0, 0.0, 1.0, 1.0)
    assert corrected_t([0.1, 0.2, 0.1, 0.2], 0.25)[1] > found["p"]
    with pytest.raises(RunError, match="different test clips"):
        compare_folds(good, poor[::-1])
    with pytest.raises(ConfigError, match="must be the same"):
        compare_folds(good, poor[:2])
