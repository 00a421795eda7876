"""Comparisons: pairs are tested as the textbook says, corrected for their number, and written in every format."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest

from spectro.core.errors import ConfigError, RunError
from spectro.core.predictions import Predictions
from spectro.core.runs import Run
from spectro.evaluation.compare import compare, compare_pairs
from spectro.evaluation.statistics import BootstrapConfig, mcnemar
from spectro.reports.tables import FORMATS

QUICK = BootstrapConfig(repeats=400)


def predictions(right: np.ndarray, per_group: int = 1, offset: int = 0) -> Predictions:
    """Predictions of clips of two classes that are right or wrong as told."""
    n = len(right)
    truth = np.arange(n) % 2
    ids = tuple(f"{i + offset}.wav" for i in range(n))
    probs = np.where(
        (truth == np.where(right, truth, 1 - truth))[:, None] == (np.arange(2) == truth[:, None]), 0.8, 0.2
    )
    groups = tuple(str(i // per_group) for i in range(n))
    return Predictions(ids=ids, clip_ids=ids, groups=groups, labels=("a", "b_c"), probs=probs, truth=truth)


def make_run(path: Path, given: Predictions) -> Run:
    run = Run(path)
    given.save(run.predictions_path("test"))
    run.write_card({"name": path.name, "kind": "torch", "vote": "soft", "split": {"name": "group", "title": "group"}})
    return run


def draw(share: float, n: int = 200, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random(n) < share


def test_a_pair_is_tested_as_the_textbook_says():
    first, second = draw(0.9), draw(0.6, seed=1)
    (row,) = compare_pairs({"first": predictions(first), "second": predictions(second)}, QUICK)
    assert row["p_mcnemar"] == mcnemar(first, second).p
    assert row["difference"]["value"] == pytest.approx(first.mean() - second.mean())
    assert row["difference"]["low"] > 0
    assert row["p_bootstrap"] < 0.02
    assert row["needed"] < 200


def test_many_pairs_are_corrected_and_equal_models_stay_equal():
    models = {"good": predictions(draw(0.9)), "poor": predictions(draw(0.6, seed=1)), "twin": predictions(draw(0.9))}
    rows = compare_pairs(models, QUICK)
    assert len(rows) == 3
    assert all(row["p_mcnemar_holm"] >= row["p_mcnemar"] for row in rows)
    twins = next(row for row in rows if row["second"] == "twin" and row["first"] == "good")
    assert twins["p_bootstrap_holm"] == 1
    assert twins["needed"] is None


def test_clips_that_come_in_groups_are_weaker_evidence():
    first, second = np.arange(20).repeat(10) < 16, np.arange(20).repeat(10) >= 8
    alone = compare_pairs({"x": predictions(first), "y": predictions(second)}, QUICK)[0]
    grouped = compare_pairs({"x": predictions(first, 10), "y": predictions(second, 10)}, QUICK)[0]
    assert grouped["difference"]["low"] < alone["difference"]["low"]
    assert grouped["needed"] > 3 * alone["needed"]


def test_runs_whose_test_clips_differ_are_refused(tmp_path):
    runs = [
        make_run(tmp_path / "a", predictions(draw(0.9))),
        make_run(tmp_path / "b", predictions(draw(0.9), offset=7)),
    ]
    with pytest.raises(RunError, match="different test clips"):
        compare(runs)
    with pytest.raises(ConfigError, match="at least 2"):
        compare(runs[:1])


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    shares = (("good_one", 0.9), ("poor", 0.6))
    return compare([make_run(folder / name, predictions(draw(share))) for name, share in shares], config=QUICK)


def test_runs_are_compared_by_name(found):
    assert [model["name"] for model in found["models"]] == ["good_one", "poor"]
    assert found["pairs"][0]["first"] == "good_one"
    assert "segment" not in found["models"][0]


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_holds_every_model_and_its_accuracy(found, name):
    text = FORMATS[name](found)
    accuracy = found["models"][0]["clip"]["accuracy"]["value"]
    assert ("good\\_one" if name == "tex" else "good_one") in text
    assert "poor" in text
    assert (str(accuracy) if name in ("json", "csv") else f"{100 * accuracy:.1f}") in text


def test_no_p_value_is_called_zero(found):
    sure = {**found, "pairs": [{**pair, "p_mcnemar_holm": 2e-7} for pair in found["pairs"]]}
    assert "| <0.001 |" in FORMATS["md"](sure)
    assert "& $<$0.001 &" in FORMATS["tex"](sure)
    assert "2e-07" in FORMATS["json"](sure)


def test_formats_can_be_read_back(found):
    assert json.loads(FORMATS["json"](found)) == found
    rows = list(csv.DictReader(io.StringIO(FORMATS["csv"](found))))
    assert [float(row["accuracy_low"]) for row in rows] == [m["clip"]["accuracy"]["low"] for m in found["models"]]
    for table in FORMATS["md"](found).split("\n\n"):
        lines = table.strip().splitlines()
        assert len({line.count("|") for line in lines}) == 1
    assert FORMATS["tex"](found).count(r"\begin{tabular}") == FORMATS["tex"](found).count(r"\end{tabular}") == 2
