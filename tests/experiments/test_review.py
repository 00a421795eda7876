"""Simulated labelling: all orders begin and end alike, and the first labels are worth most."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import spectro
from spectro.core.config import ModelConfig, SplitConfig
from spectro.core.errors import ConfigError
from spectro.core.files import read_csv
from spectro.evaluation.statistics import BootstrapConfig
from spectro.experiments.review import COLUMNS, ReviewConfig, save_review, simulate_review
from spectro.plots.review import draw_review


@pytest.mark.slow
def test_orders_are_compared_on_the_same_clips(rendered: Path, tmp_path: Path) -> None:
    data = shutil.copytree(rendered, tmp_path / "data")
    spectro.split(data, config=SplitConfig(test=0.34, val=0.0))
    config = ReviewConfig(start=4, batch=4, draws=2, bootstrap=BootstrapConfig(repeats=50))
    tiny = ModelConfig(name="test_resnet")
    result = simulate_review(data, model=tiny, weights="none", config=config)
    assert [curve.order for curve in result.curves] == list(config.orders)
    budgets = [point.labels for point in result.curves[0].points]
    assert budgets[0] == 4
    assert budgets[-1] == result.clips == 16
    for curve in result.curves:
        assert [point.labels for point in curve.points] == budgets
        assert curve.points[0].accuracy == result.curves[0].points[0].accuracy
        assert curve.points[-1].accuracy == result.curves[0].points[-1].accuracy
        assert curve.points[-1].accuracy.value > curve.points[0].accuracy.value
    assert result.curves[0].gain.value == 0
    assert result == simulate_review(data, model=tiny, weights="none", config=config)
    best = result.curves[1].points[-1].accuracy.value
    assert result.labels_for("margin", 0.0) == 4
    assert (result.labels_for("margin", best) or 99) <= 16
    assert len(read_csv(save_review(result, tmp_path / "r.csv"), COLUMNS)) == len(budgets) * len(result.curves)
    figure = draw_review(result.curves, tmp_path / "r.svg").read_text(encoding="utf-8")
    assert figure.count("<path") > len(result.curves)


def test_settings_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ConfigError, match="lack 'random'"):
        ReviewConfig(orders=("margin",))
    with pytest.raises(ConfigError, match="unknown order"):
        ReviewConfig(orders=("random", "margn"))
