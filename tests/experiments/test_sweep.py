"""Sweeps: every combination trained once under its own name, chosen on validation, and drawn with every value."""

from __future__ import annotations

import csv
import json
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spectro import cli
from spectro.core.config import RenderConfig, SegmentConfig, SplitConfig
from spectro.core.data_folder import DataFolder
from spectro.core.files import read_document
from spectro.core.runs import Run
from spectro.core.tables import Subset
from spectro.data.render import render
from spectro.data.rerender import rerender
from spectro.data.splits import split
from spectro.data.store import open_store
from spectro.data.tables import complete, known_provenance
from spectro.experiments.grid import grid
from spectro.experiments.recipes import Recipe
from spectro.experiments.results import Setting, SweepResult
from spectro.experiments.sweep import SWEEP_VERSION, sweep
from tests.builders import replace_predictions
from tests.experiments.conftest import SPECTROGRAMS

pytestmark = pytest.mark.slow

GRID: dict[str, list[Setting]] = {"stats.n_fft": [512, 1024], "stats.set": ["rms+zcr", "rms"]}


def written(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("card.json")}


def accuracy_of_chosen(result: SweepResult) -> tuple[float, float]:
    """Accuracy of the chosen cell on validation and on test."""
    assert result.chosen is not None
    assert result.chosen.validation is not None
    return result.chosen.validation.accuracy.value, result.chosen.test.accuracy.value


@pytest.mark.slow
def test_a_grid_has_every_combination_and_is_trained_once(data: Path, tmp_path: Path) -> None:
    result = sweep(data, recipe="D-bayes", settings=GRID, out=tmp_path / "runs")
    assert [cell.settings for cell in result.cells] == grid(GRID)
    assert not result.failed
    before = written(tmp_path / "runs")
    assert len(before) == 4
    for cell in result.cells:
        run = Run.open(cell.runs[0])
        feature, _ = run.card.of_model()
        assert feature.config["stats"]["n_fft"] == cell.settings["stats.n_fft"]
        assert f"stats.n_fft={cell.settings['stats.n_fft']}" in run.name
        assert cell.validation is not None
        for scores in (cell.validation, cell.test):
            assert scores.accuracy.low <= scores.accuracy.value <= scores.accuracy.high
    values = read_document(Path(result.files[1]), "sweep", SWEEP_VERSION, remedy="sweep again")
    assert SweepResult.from_dict(values) == result
    backwards = {name: values[::-1] for name, values in reversed(GRID.items())}
    again = sweep(data, recipe="D-bayes", settings=backwards, out=tmp_path / "runs")
    assert written(tmp_path / "runs") == before
    assert accuracy_of_chosen(again)[0] == accuracy_of_chosen(result)[0]
    more = sweep(data, recipe="D-bayes", settings={**GRID, "stats.n_fft": [256]}, out=tmp_path / "runs", seeds=2)
    assert len(more.cells[0].runs) == 2
    assert {path: when for path, when in written(tmp_path / "runs").items() if path in before} == before


@pytest.mark.parametrize("better", [0, 1])
def test_the_cell_is_chosen_on_validation_not_on_test(
    better: int, shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The runs' predictions are turned round: the one that is right on validation is wrong on test."""
    train = Recipe.train

    def turned(recipe: Recipe, *args: Any, **kwargs: Any) -> Run:
        run = train(recipe, *args, **kwargs)
        first = recipe.settings["n_fft"] == 512
        subsets: tuple[Subset, ...] = ("val", "test")
        for subset in subsets:
            predictions = run.predictions(subset)
            right = first == ((subset == "val") == (better == 0))
            probs = np.eye(2)[predictions.truth if right else 1 - predictions.truth] * 0.8 + 0.1
            replace_predictions(run, subset, replace(predictions, probs=probs))
        return run

    monkeypatch.setattr(Recipe, "train", turned)
    result = sweep(shared, recipe="D-bayes", settings={"n_fft": [512, 1024]}, out=tmp_path)
    assert result.chosen == result.cells[better]
    assert accuracy_of_chosen(result) == (1.0, 0.0)


def test_without_validation_nothing_is_chosen(data: Path, tmp_path: Path) -> None:
    split(data, config=SplitConfig(test=0.25, val=0.0), name="bare")
    result = sweep(data, recipe="D-bayes", settings={"stats.n_fft": [512, 1024]}, split="bare", out=tmp_path / "runs")
    assert result.chosen is None
    assert [cell.validation for cell in result.cells] == [None, None]
    rows = list(csv.DictReader(Path(result.files[0]).read_text(encoding="utf-8").splitlines()))
    assert [(row["validation_accuracy"], row["chosen"]) for row in rows] == [("", "0"), ("", "0")]
    assert all(row["test_accuracy"] for row in rows)


def test_a_cell_that_fails_is_listed_and_the_others_go_on(shared: Path, tmp_path: Path) -> None:
    settings: dict[str, list[Setting]] = {"mfcc.n_mfcc": [2, 40], "mfcc.hop_length": [128]}
    result = sweep(shared, recipe="A-cnn", settings=settings, epochs_cap=1, out=tmp_path)
    assert [cell.settings for cell in result.failed] == [{"mfcc.n_mfcc": 2, "mfcc.hop_length": 128}]
    assert [cell.settings for cell in result.cells] == [{"mfcc.n_mfcc": 40, "mfcc.hop_length": 128}]
    table, _, heat_map = map(Path, result.files)
    rows = list(csv.DictReader(table.read_text(encoding="utf-8").splitlines()))
    assert [row["chosen"] for row in rows] == ["1", "0"]
    assert rows[1]["failed"] == result.failed[0].message != ""
    assert "failed" in heat_map.read_text(encoding="utf-8")


@pytest.mark.slow
def test_other_segments_are_rendered_beside_and_split_alike(data: Path, tmp_path: Path) -> None:
    settings: dict[str, list[Setting]] = {"segment.seconds": [1, 2], "mel.n_mels": [32, 40]}
    result = sweep(data, recipe="C-cnn", settings=settings, epochs_cap=1, out=tmp_path / "runs")
    assert not result.failed
    cards = [Run.open(cell.runs[0]).card for cell in result.cells]
    configs = [card.of_model()[0].render_config for card in cards]
    assert [(config.segment.seconds, config.mel.n_mels) for config in configs] == [(1, 32), (1, 40), (2, 32), (2, 40)]
    assert len({card.split.sha256 for card in cards}) == 1
    assert {cell.test.clips for cell in result.cells} == {4}
    assert open_store(data).config == SPECTROGRAMS


def test_a_variant_keeps_the_clips_and_splits_segments_anew(data: Path, two_classes: Path) -> None:
    less = DataFolder.open(render(two_classes, out=data.parent / "less", config=SPECTROGRAMS, workers=1).data)
    segments = less.segments(SPECTROGRAMS)
    assert len(less.clips) == 16
    kept = [segment for segment in segments if "chirp-0-0" not in segment.clip.id]
    complete(less, SPECTROGRAMS, kept, known_provenance(less.rendered_path(SPECTROGRAMS)))
    split(less.path, config=SplitConfig(by="segment", test=0.25, val=0.25, seed=3), name="leaky")
    longer = RenderConfig(mel=SPECTROGRAMS.mel, segment=SegmentConfig(seconds=2.0))
    rendering = rerender(less.path, longer, split="leaky", workers=1)
    assert len({segment.clip.id for segment in rendering.store.segments}) == 15
    again = DataFolder.open(rendering.data).split("leaky")
    assert set(again.assigned) == {segment.id for segment in rendering.store.segments}
    assert again.statistics.seed == 3


@pytest.mark.slow
def test_the_heat_map_has_every_value_as_text(shared: Path, tmp_path: Path) -> None:
    settings: dict[str, list[Setting]] = {
        "stats.n_fft": [512, 1024],
        "stats.hop_length": [256, 512],
        "stats.set": ["rms", "zcr"],
    }
    result = sweep(shared, recipe="D-bayes", settings=settings, out=tmp_path)
    svg = Path(result.files[2]).read_text(encoding="utf-8")
    texts = [element.text or "" for element in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]
    wanted = [f"{cell.validation.accuracy.value:.3f}".removeprefix("0") for cell in result.cells if cell.validation]
    assert len(wanted) == 8
    for value in set(wanted):
        assert texts.count(value) >= wanted.count(value)
    assert {"512", "1024", "256", "set rms", "set zcr", "stats.n_fft", "stats.hop_length"} <= set(texts)


def test_a_sweep_from_the_command_line(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def spectro(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as stopped:
            cli.main(["bench", "sweep", *map(str, arguments)])
        output = capsys.readouterr()
        return int(stopped.value.code or 0), output.out, output.err

    base = (data, "--recipe", "A-cnn", "--epochs-cap", 1, "--split", "grouped", "--out", tmp_path / "runs")
    code, out, err = spectro(*base, "--set", "n_mfcc=2,40", "--set", "mfcc.hop_length=128")
    assert code == 3
    assert "mfcc.hop_length=128,mfcc.n_mfcc=2: failed: " in err
    assert "chosen" in out
    assert all(len(line) <= 80 for line in out.splitlines() if not line.startswith(("chosen", "wrote")))
    code, out, _ = spectro(*base, "--set", "mfcc.n_mfcc=40", "--set", "mfcc.hop_length=128", "--json")
    assert code == 0
    assert json.loads(out)["chosen"]["settings"] == {"mfcc.n_mfcc": 40, "mfcc.hop_length": 128}
    assert {path.name for path in (tmp_path / "runs/A-cnn/group").glob("sweep.*")} == {
        "sweep.csv", "sweep.json", "sweep.svg",
    }  # fmt: skip
    for wrong in (("--set", "mfcc.hop=512"), ("--set", "n_fft=512", "--set", "n_fft=1024"), ("--set", "n_fft")):
        code, out, err = spectro(*base, *wrong)
        assert (code, out, err.count("\n")) == (2, "", 1)
