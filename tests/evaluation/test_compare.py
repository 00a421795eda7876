"""Comparisons: pairs are tested as the textbooks define, and corrected for their number."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from spectro.core.arrays import Mask
from spectro.core.errors import ConfigError, RunError
from spectro.core.predictions import Predictions
from spectro.core.runs import Run
from spectro.evaluation.compare import compare, compare_pairs, distinct_names
from spectro.evaluation.results import Comparison
from spectro.evaluation.statistics import BootstrapConfig, mcnemar
from tests.builders import make_run, model_card, split_facts

QUICK = BootstrapConfig(repeats=400)
LABELS = ("a", "b_c")


def predictions(right: Mask, per_group: int = 1, offset: int = 0) -> Predictions:
    """Predictions of clips of two classes that are right where `right` is true."""
    n = len(right)
    truth = np.arange(n) % 2
    ids = tuple(f"{i + offset}.wav" for i in range(n))
    probs = np.where(np.where(right, truth, 1 - truth)[:, None] == np.arange(2), 0.8, 0.2)
    groups = tuple(str(i // per_group) for i in range(n))
    return Predictions(ids=ids, clip_ids=ids, groups=groups, labels=LABELS, probs=probs, truth=truth)


def model_run(path: Path, test: Predictions) -> Run:
    """Return a run with test predictions."""
    return make_run(path, {"test": test}, model_card(path.name, labels=LABELS, split=split_facts(leaking_groups=2)))


def draw(share: float, n: int = 200, seed: int = 0) -> Mask:
    """Return which of `n` clips are right, about `share` of them."""
    return np.random.default_rng(seed).random(n) < share


def test_a_pair_is_tested_as_the_textbooks_define() -> None:
    first, second = draw(0.9), draw(0.6, seed=1)
    (pair,) = compare_pairs({"first": predictions(first), "second": predictions(second)}, QUICK)
    assert pair.p_mcnemar == pair.p_mcnemar_holm == mcnemar(first, second).p
    assert pair.difference.value == pytest.approx(first.mean() - second.mean())
    assert pair.difference.low > 0
    assert pair.p_bootstrap < 0.02
    assert pair.needed is not None
    assert pair.needed < 200


def test_many_pairs_are_corrected_and_equal_models_stay_equal() -> None:
    models = {"good": predictions(draw(0.9)), "poor": predictions(draw(0.6, seed=1)), "twin": predictions(draw(0.9))}
    pairs = compare_pairs(models, QUICK)
    assert len(pairs) == 3
    assert all(pair.p_mcnemar_holm >= pair.p_mcnemar for pair in pairs)
    assert any(pair.p_mcnemar_holm > pair.p_mcnemar for pair in pairs)
    twins = next(pair for pair in pairs if (pair.first, pair.second) == ("good", "twin"))
    assert twins.p_bootstrap_holm == 1
    assert twins.needed is None


def test_clips_that_come_in_groups_are_weaker_evidence() -> None:
    first, second = np.arange(20).repeat(10) < 16, np.arange(20).repeat(10) >= 8
    (alone,) = compare_pairs({"x": predictions(first), "y": predictions(second)}, QUICK)
    (grouped,) = compare_pairs({"x": predictions(first, 10), "y": predictions(second, 10)}, QUICK)
    assert grouped.difference.low < alone.difference.low
    assert grouped.needed is not None
    assert alone.needed is not None
    assert grouped.needed > 3 * alone.needed


def test_runs_whose_test_clips_differ_are_refused(tmp_path: Path) -> None:
    runs = [
        model_run(tmp_path / "a", predictions(draw(0.9))),
        model_run(tmp_path / "b", predictions(draw(0.9), offset=7)),
    ]
    with pytest.raises(RunError, match="different test clips"):
        compare(runs)
    with pytest.raises(ConfigError, match="at least 2"):
        compare(runs[:1])


@pytest.fixture(scope="module")
def comparison(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    folder = tmp_path_factory.mktemp("runs")
    shares = (("good_one", 0.9), ("poor", 0.6))
    return compare([model_run(folder / name, predictions(draw(share))) for name, share in shares], config=QUICK)


def test_runs_are_compared_by_name(comparison: Comparison) -> None:
    first, second = comparison.models
    assert (first.name, second.name) == ("good_one", "poor")
    assert (comparison.pairs[0].first, comparison.pairs[0].second) == ("good_one", "poor")
    assert first.segment is None
    assert (first.parameters, first.leaking_groups, first.clips) == (1234, 2, 200)
    assert first.clip.accuracy.value == pytest.approx(draw(0.9).mean())


def test_a_comparison_is_read_back_from_json(comparison: Comparison) -> None:
    values = json.loads(json.dumps(comparison.to_dict(), allow_nan=False))
    assert Comparison.from_dict(values) == comparison


def test_equal_names_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    card = model_card("same", labels=LABELS)
    runs = [make_run(tmp_path / name, {"test": predictions(draw(0.9))}, card) for name in "ab"]
    assert distinct_names(runs) == [f"same ({run.path.as_posix()})" for run in runs]
