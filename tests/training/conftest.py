"""A small data folder with splits, and a finished run on it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from spectro.core.config import SplitConfig
from spectro.data.splits import split
from spectro.training.finetune import finetune
from tests.training.shared import QUICK, TINY


@pytest.fixture(scope="session")
def data(rendered: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """72 spectrograms with the splits `group` (with validation) and `noval` (without)."""
    folder = shutil.copytree(rendered, tmp_path_factory.mktemp("training") / "data")
    split(folder, config=SplitConfig(by="group", test=0.34, val=0.3))
    split(folder, config=SplitConfig(by="group", test=0.34, val=0.0), name="noval")
    return folder


@pytest.fixture(scope="session")
def finished(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of TINY with QUICK from random weights; do not write into it, copy it first."""
    out = tmp_path_factory.mktemp("runs") / "straight"
    return finetune(data, out=out, model=TINY, config=QUICK, weights="none").path
