"""Runs that learned nothing, or diverged: every evaluation ends in numbers, in nan for none, or in a line."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from spectro.core.arrays import Probs
from spectro.core.errors import DataError, RunError, SpectroError
from spectro.core.predictions import Predictions
from spectro.core.runs import Run
from spectro.core.tables import Clip
from spectro.evaluation.compare import compare
from spectro.evaluation.crossval import compare_folds, summarize
from spectro.evaluation.ensemble import FITS, ensemble
from spectro.evaluation.evaluate import evaluate, read_metrics
from spectro.evaluation.label_issues import find_label_issues, label_issues_of
from spectro.evaluation.projection import Vectors, map_clips
from spectro.evaluation.statistics import BootstrapConfig
from tests.builders import make_run, random_predictions

QUICK = BootstrapConfig(repeats=20)


def probabilities(kind: str, whole: Predictions) -> Probs:
    """Return the probabilities of a run that learned nothing, of that kind."""
    items, classes = whole.probs.shape
    one = np.eye(classes)
    return {
        "constant": np.full((items, classes), 1 / classes),
        "one class": np.repeat(one[:1], items, axis=0),
        "certain": one[whole.truth],
        "always wrong": one[(whole.truth + 1) % classes],
        "nearly nothing": np.full((items, classes), 1 / classes) + np.array([1e-12, 0, -1e-12]),
    }[kind]


def run_of(path: Path, kind: str) -> Run:
    test, val = random_predictions(1, clips=18), random_predictions(2, clips=18)
    given = {"test": test, "val": val}
    return make_run(path, {name: replace(p, probs=probabilities(kind, p)) for name, p in given.items()})  # type: ignore[misc]


@pytest.mark.parametrize("kind", ["constant", "one class", "certain", "always wrong", "nearly nothing"])
def test_runs_that_learned_nothing_are_evaluated_and_combined(kind: str, tmp_path: Path) -> None:
    runs = [run_of(tmp_path / "a", kind), run_of(tmp_path / "b", kind)]
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        metrics = evaluate(runs[0], config=QUICK, min_confidence=0.9)
        assert read_metrics(runs[0]) == metrics
        assert 0 <= metrics.clip.accuracy.value <= 1
        comparison = compare(runs, config=QUICK)
        assert comparison.pairs[0].difference.value == 0
        assert summarize(runs, config=QUICK).kind == "seeds"
        fold = compare_folds(runs, runs, config=QUICK)
    assert fold.difference == 0
    for weights in (None, *FITS):
        both = ensemble(runs, out=tmp_path / f"both {weights}", weights=weights, search=weights is None)
        assert evaluate(both, config=QUICK).clip.n == 18
    try:
        issues = find_label_issues(runs[:1])
    except SpectroError as error:
        assert "\n" not in str(error)
    else:
        assert all(0 <= issue.label_probability <= 1 for issue in issues)


@pytest.mark.parametrize("truth", [0, 2])
def test_a_test_set_of_one_class_has_no_roc_auc(truth: int, tmp_path: Path) -> None:
    test = random_predictions(1)
    run = make_run(tmp_path / "run", {"test": replace(test, truth=np.full(len(test), truth))})
    metrics = evaluate(run, config=QUICK)
    assert np.isnan(metrics.clip.roc_auc.value)
    assert np.isnan(read_metrics(run).clip.roc_auc.value)
    with pytest.raises(DataError, match="two known classes"):
        label_issues_of(run.clip_predictions("test"))


def test_probabilities_that_are_not_finite_are_never_taken() -> None:
    whole = random_predictions(1)
    for value in (np.nan, np.inf, -0.1):
        with pytest.raises(DataError, match="finite and not negative"):
            replace(whole, probs=np.where(whole.probs == whole.probs[0, 0], value, whole.probs))


def test_a_map_of_values_that_are_not_finite_is_one_line() -> None:
    clips = tuple(Clip(id=f"{n}.wav", label="ab"[n % 2], group=str(n)) for n in range(8))
    values = np.random.default_rng(0).standard_normal((8, 4))
    for wrong in (np.nan, np.inf):
        values[3, 2] = wrong
        vectors = Vectors(title="The feature map of run", clips=clips, values=values, tested=np.ones(8, bool))
        with pytest.raises(DataError, match="feature map of run: some values are not finite"):
            map_clips(vectors)


def test_metrics_in_place_of_something_else_are_one_line(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", "certain")
    run.metrics_path.mkdir()
    with pytest.raises(RunError, match=r"metrics\.json is a folder"):
        evaluate(run, config=QUICK)
    assert compare([run, run_of(tmp_path / "b", "certain")], config=QUICK).models[0].clip.accuracy.value == 1
