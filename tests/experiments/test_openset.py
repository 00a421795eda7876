"""Leaving classes out: every score is measured on clips of classes that the quick model never saw."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import spectro
from spectro.core.config import ModelConfig, SplitConfig
from spectro.core.errors import ConfigError
from spectro.core.files import read_csv
from spectro.evaluation.openset import SCORES
from spectro.evaluation.statistics import BootstrapConfig
from spectro.experiments.openset import COLUMNS, leave_classes_out, save_result

TINY = ModelConfig(name="test_resnet")


@pytest.mark.slow
def test_classes_left_out_are_scored(rendered: Path, shared: Path, tmp_path: Path) -> None:
    data = shutil.copytree(rendered, tmp_path / "data")
    spectro.split(data, config=SplitConfig(test=0.3, val=0.3))
    quick = BootstrapConfig(repeats=50)
    result = leave_classes_out(data, model=TINY, weights="none", config=quick)
    assert result.left_out == ("chirp", "hiss", "hum", "pulse")
    assert [one.score for one in result.scores] == list(SCORES)
    for one in result.scores:
        assert 0 <= one.separation.area.low <= one.separation.area.value <= one.separation.area.high <= 1
        assert 0 <= one.kept.value <= 1
    assert max(one.separation.area.value for one in result.scores) > 0.6
    assert result == leave_classes_out(data, model=TINY, weights="none", config=quick)
    assert len(leave_classes_out(data, model=TINY, weights="none", classes=2, config=quick).left_out) == 2
    assert len(read_csv(save_result(result, tmp_path / "t.csv"), COLUMNS)) == len(SCORES)
    with pytest.raises(ConfigError, match="two classes"):
        leave_classes_out(shared, model=TINY, weights="none")
