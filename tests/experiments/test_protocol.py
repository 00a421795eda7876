"""Experiments write into folders of their own only."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

from spectro.core.errors import ConfigError
from spectro.experiments.benchmark import compare_recipes
from spectro.experiments.protocol import fit_seconds, require_results_folder
from spectro.experiments.sweep import sweep
from tests.builders import make_run, model_card


def test_results_go_into_no_run_data_folder_or_file(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "clips.csv").write_text("path\n")
    (tmp_path / "file").write_text("text")
    assert require_results_folder(tmp_path / "new") == tmp_path / "new"
    for name, kind in ((run.path, "a run"), (tmp_path / "data", "a data folder"), (tmp_path / "file", "a file")):
        with pytest.raises(ConfigError, match=f"is {kind}"):
            require_results_folder(name)


def test_benches_refuse_before_they_train(shared: Path, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ConfigError, match="run is a run"):
        compare_recipes(shared, recipes="D-bayes", out=run.path)
    with pytest.raises(ConfigError, match="run is a run"):
        sweep(shared, recipe="D-bayes", settings={"stats.n_fft": [512]}, out=run.path)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("name", ["sweep.csv", "sweep.json", "sweep.svg"])
def test_a_sweep_replaces_no_file_of_others(name: str, shared: Path, tmp_path: Path) -> None:
    file = tmp_path / "D-bayes" / "group" / name
    file.parent.mkdir(parents=True)
    file.write_text("my own notes")
    with pytest.raises(ConfigError, match=r"sweep\.\w+ would be replaced, but .*sweep\.json is no record"):
        sweep(shared, recipe="D-bayes", settings={"stats.n_fft": [512]}, out=tmp_path)
    assert file.read_text() == "my own notes"


def test_times_of_runs_without_history_are_nan(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", card=replace(model_card(), history=None))
    assert math.isnan(fit_seconds([run]))
