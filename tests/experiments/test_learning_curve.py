"""The learning curve: shares of groups are nested, and the law that continues it is recovered where it holds."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from spectro import ModelConfig, SplitConfig, learning_curve, split
from spectro.core.errors import ConfigError
from spectro.core.files import read_csv
from spectro.evaluation.statistics import BootstrapConfig
from spectro.experiments.learning_curve import COLUMNS, CurveConfig, draw_groups, extrapolate, save_curve
from spectro.experiments.results import LearningCurve
from spectro.training.dataset import TrainingData

QUICK = CurveConfig(shares=(0.4, 0.6, 0.8, 1.0), draws=2, bootstrap=BootstrapConfig(repeats=20))


@pytest.fixture(scope="module")
def data(rendered: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = Path(shutil.copytree(rendered, tmp_path_factory.mktemp("curve") / "data"))
    split(folder, config=SplitConfig(test=0.34, val=0.0))
    return folder


def test_a_law_is_extrapolated_where_it_holds() -> None:
    groups = np.array([10.0, 20, 40, 80, 160])
    beyond = np.array([320.0, 640.0])
    accuracy = 0.9 - 1.2 * groups**-0.6
    assert extrapolate(groups, accuracy, beyond) == pytest.approx(0.9 - 1.2 * beyond**-0.6, abs=1e-3)
    flat = extrapolate(groups, np.full(5, 0.6), beyond)
    assert flat == pytest.approx(0.6, abs=0.02)
    assert (extrapolate(groups, np.linspace(0.5, 0.99, 5), beyond) <= 1).all()


def test_a_larger_share_holds_a_smaller_one_and_every_class(data: Path) -> None:
    dataset = TrainingData.open(data, "group")
    train = dataset.subsets["train"]
    parts = [draw_groups(dataset, train, share, np.random.default_rng(3)) for share in (0.1, 0.5, 1.0)]
    sets = [set(items.tolist()) for items, _ in parts]
    assert sets[0] <= sets[1] <= sets[2] == set(train.tolist())
    for items, groups in parts:
        assert set(dataset.truth[items].tolist()) == {0, 1, 2, 3}
        whole = {dataset.segments[item].clip.group for item in items}
        assert len(whole) == groups
        assert {i for i in train.tolist() if dataset.segments[i].clip.group in whole} == set(items.tolist())


def test_the_curve_is_measured_and_extrapolated(data: Path, tmp_path: Path) -> None:
    curve = learning_curve(data, model=ModelConfig(name="test_resnet"), weights="none", config=QUICK)
    assert (curve.model, curve.split) == ("test_resnet", "group")
    assert [point.share for point in curve.measured] == [0.4, 0.6, 0.8, 1.0]
    assert [point.share for point in curve.extrapolated] == [1.5, 2.0, 4.0]
    assert curve.points == (*curve.measured, *curve.extrapolated)
    assert curve.measured[-1].deviation == 0  # all groups are all groups, in whatever order
    assert curve.measured[-1].accuracy.value > 0.5  # chance is a quarter
    for point in curve.points:
        assert 0 <= point.accuracy.low <= point.accuracy.high <= 1
    assert LearningCurve.from_dict(curve.to_dict()) == curve
    rows = read_csv(save_curve(curve, tmp_path / "new" / "curve.csv"), COLUMNS)
    assert [row["kind"] for row in rows] == [point.kind for point in curve.points]
    assert [float(row["accuracy"]) for row in rows] == [point.accuracy.value for point in curve.points]


def test_too_few_shares_are_refused() -> None:
    with pytest.raises(ConfigError, match="at least 4"):
        CurveConfig(shares=(0.5, 1.0))
