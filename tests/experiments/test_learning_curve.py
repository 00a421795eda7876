"""The learning curve: shares of groups are nested, and the law that continues it is recovered where it holds."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from spectro import ModelConfig, SplitConfig, learning_curve, split
from spectro.core.errors import ConfigError
from spectro.core.tables import read_csv
from spectro.evaluation.statistics import BootstrapConfig
from spectro.experiments.learning_curve import CurveConfig, draw_groups, extrapolate, save_curve
from spectro.training.dataset import TrainingData

QUICK = CurveConfig(shares=(0.4, 0.6, 0.8, 1.0), draws=2, bootstrap=BootstrapConfig(repeats=20))


@pytest.fixture(scope="module")
def data(rendered: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = Path(shutil.copytree(rendered, tmp_path_factory.mktemp("curve") / "data"))
    split(folder, config=SplitConfig(test=0.34, val=0.0))
    return folder


def test_a_law_is_continued_where_it_holds() -> None:
    groups = np.array([10.0, 20, 40, 80, 160])
    beyond = np.array([320.0, 640.0])
    accuracy = 0.9 - 1.2 * groups**-0.6
    assert extrapolate(groups, accuracy, beyond) == pytest.approx(0.9 - 1.2 * beyond**-0.6, abs=1e-3)
    flat = extrapolate(groups, np.full(5, 0.6), beyond)
    assert flat == pytest.approx(0.6, abs=0.02)
    assert (extrapolate(groups, np.linspace(0.5, 0.99, 5), beyond) <= 1).all()


def test_a_larger_share_holds_the_groups_of_a_smaller_one_and_every_class(data: Path) -> None:
    dataset = TrainingData.open(data, "group")
    train = dataset.folds["train"]
    parts = [draw_groups(dataset, train, share, np.random.default_rng(3)) for share in (0.1, 0.5, 1.0)]
    sets = [set(items.tolist()) for items, _ in parts]
    assert sets[0] <= sets[1] <= sets[2] == set(train.tolist())
    for items, groups in parts:
        assert set(dataset.truth[items].tolist()) == {0, 1, 2, 3}
        whole = {dataset.store.segments[item].clip.group for item in items}
        assert len(whole) == groups
        assert {i for i in train.tolist() if dataset.store.segments[i].clip.group in whole} == set(items.tolist())


def test_the_curve_is_measured_and_continued(data: Path, tmp_path: Path) -> None:
    points = learning_curve(data, model=ModelConfig(name="test_resnet"), weights="none", config=QUICK)
    measured = [point for point in points if point.kind == "measured"]
    further = [point for point in points if point.kind == "extrapolated"]
    assert [point.share for point in measured] == [0.4, 0.6, 0.8, 1.0]
    assert [point.share for point in further] == [1.5, 2.0, 4.0]
    assert measured[-1].deviation == 0  # all groups are all groups, in whatever order
    assert measured[-1].accuracy.value > 0.5  # a chance of a quarter
    for point in points:
        assert 0 <= point.accuracy.low <= point.accuracy.high <= 1
    table, picture = save_curve(points, tmp_path / "new" / "curve.csv")
    rows = read_csv(table, ("kind", "share", "groups", "accuracy", "low", "high", "deviation"))
    assert len(rows) == len(points)
    with Image.open(picture) as image:
        assert image.width > 900


def test_too_few_shares_are_refused() -> None:
    with pytest.raises(ConfigError, match="at least 4"):
        CurveConfig(shares=(0.5, 1.0))
