"""Sweeps: every combination trained once, chosen on validation, told apart by name, and drawn with every value."""

from __future__ import annotations

import csv
import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from spectro import cli
from spectro.core.config import MelConfig, RenderConfig, SegmentConfig, SplitConfig
from spectro.core.errors import ConfigError
from spectro.core.runs import Run
from spectro.core.tables import read_split
from spectro.data.engines import local as engine
from spectro.data.render import render
from spectro.data.rerender import rerender
from spectro.data.splits import split
from spectro.data.store import open_store
from spectro.experiments import sweep as sweeping
from spectro.experiments.grid import SWEEPS, cells, grid, parse_setting, setting_names
from spectro.experiments.recipes import RECIPES, Recipe
from spectro.experiments.sweep import sweep
from tests.conftest import CLASSES, RATE, texture

PICTURES = RenderConfig(mel=MelConfig(n_mels=32), segment=SegmentConfig(seconds=1.0))
GRID = {"stats.n_fft": [512, 1024], "stats.set": ["rms+zcr", "rms"]}


@pytest.fixture(autouse=True)
def _in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compute features here: fresh workers would take longer to import librosa than these clips take."""
    monkeypatch.setattr(engine, "cores", lambda: 1)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes of four groups with two clips of 2 s each: enough for a validation fold."""
    root = tmp_path_factory.mktemp("source")
    rows = ["path,label,group"]
    for label in CLASSES[:2]:
        for group in range(4):
            for take in range(2):
                name = f"{label}-{group}-{take}.wav"
                soundfile.write(root / name, texture(label, group, take, seconds=2.0), RATE)
                rows.append(f"{name},{label},{label}-{group}")
    (root / "clips.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return root


@pytest.fixture
def data(source: Path, tmp_path: Path) -> Path:
    folder = render(source / "clips.csv", out=tmp_path / "data", config=PICTURES, workers=1).data
    split(folder, config=SplitConfig(test=0.25, val=0.25))
    return folder


@pytest.fixture(scope="module")
def shared(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, for tests that only read it."""
    folder = render(source / "clips.csv", out=tmp_path_factory.mktemp("shared"), config=PICTURES, workers=1).data
    split(folder, config=SplitConfig(test=0.25, val=0.25))
    return folder


def written(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("card.json")}


def test_a_grid_has_every_combination_and_is_trained_once(data: Path, tmp_path: Path) -> None:
    found = sweep(data, recipe="D-bayes", settings=GRID, out=tmp_path / "runs")
    assert [one["settings"] for one in found["cells"]] == grid(GRID)
    assert not found["failed"]
    before = written(tmp_path / "runs")
    assert len(before) == 4
    for one in found["cells"]:
        made = Run.open(one["runs"][0])
        assert made.card()["feature"]["config"]["stats"]["n_fft"] == one["settings"]["stats.n_fft"]
        assert f"stats.n_fft={one['settings']['stats.n_fft']}" in made.name
        for fold in ("validation", "test"):
            accuracy = one[fold]["accuracy"]
            assert accuracy["low"] <= accuracy["value"] <= accuracy["high"]
    backwards = {name: values[::-1] for name, values in reversed(GRID.items())}
    again = sweep(data, recipe="D-bayes", settings=backwards, out=tmp_path / "runs")
    assert written(tmp_path / "runs") == before
    assert again["chosen"]["validation"] == found["chosen"]["validation"]
    more = sweep(data, recipe="D-bayes", settings={**GRID, "stats.n_fft": [256]}, out=tmp_path / "runs", seeds=2)
    assert len(more["cells"][0]["runs"]) == 2
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
        for fold in ("val", "test"):
            said = run.predictions(fold)
            right = first == ((fold == "val") == (better == 0))
            probs = np.eye(2)[said.truth if right else 1 - said.truth] * 0.8 + 0.1
            type(said)(**{**vars(said), "probs": probs}).save(run.predictions_path(fold))
        return run

    monkeypatch.setattr(Recipe, "train", turned)
    found = sweep(shared, recipe="D-bayes", settings={"n_fft": [512, 1024]}, out=tmp_path)
    assert found["chosen"] == found["cells"][better]
    assert [found["chosen"][fold]["accuracy"]["value"] for fold in ("validation", "test")] == [1.0, 0.0]


def test_without_validation_nothing_is_chosen(data: Path, tmp_path: Path) -> None:
    split(data, config=SplitConfig(test=0.25, val=0.0), name="bare")
    found = sweep(data, recipe="D-bayes", settings={"stats.n_fft": [512, 1024]}, split="bare", out=tmp_path / "runs")
    assert found["chosen"] is None
    assert len(found["cells"]) == 2
    assert "no cell is chosen" in Path(found["files"][2]).read_text(encoding="utf-8")


def test_a_cell_that_cannot_be_trained_is_listed_and_the_others_go_on(shared: Path, tmp_path: Path) -> None:
    settings = {"mfcc.n_mfcc": [2, 40], "mfcc.hop_length": [128]}
    found = sweep(shared, recipe="A-cnn", settings=settings, epochs_cap=1, out=tmp_path)
    assert [one["settings"] for one in found["failed"]] == [{"mfcc.n_mfcc": 2, "mfcc.hop_length": 128}]
    assert [one["settings"] for one in found["cells"]] == [{"mfcc.n_mfcc": 40, "mfcc.hop_length": 128}]
    table, _, picture = map(Path, found["files"])
    rows = list(csv.DictReader(table.read_text(encoding="utf-8").splitlines()))
    assert [row["chosen"] for row in rows] == ["1", "0"]
    assert rows[1]["failed"] == found["failed"][0]["message"] != ""
    assert "failed" in picture.read_text(encoding="utf-8")


def test_other_segments_are_rendered_beside_and_split_alike(data: Path, tmp_path: Path) -> None:
    settings = {"segment.seconds": [1, 2], "mel.n_mels": [32, 40]}
    found = sweep(data, recipe="C-cnn", settings=settings, epochs_cap=1, out=tmp_path / "runs")
    assert not found["failed"]
    runs = [Run.open(one["runs"][0]).card() for one in found["cells"]]
    pictures = [card["feature"]["config"] for card in runs]
    assert [(one["segment"]["seconds"], one["mel"]["n_mels"]) for one in pictures] == [
        (1, 32),
        (1, 40),
        (2, 32),
        (2, 40),
    ]
    assert len({card["split"]["sha256"] for card in runs}) == 1
    assert {one["clips"]["test"] for one in found["cells"]} == {4}
    assert open_store(data).config == PICTURES


def test_a_variant_keeps_the_clips_and_deals_segments_anew(data: Path, source: Path) -> None:
    left = render(source / "clips.csv", out=data.parent / "less", config=PICTURES, workers=1).data
    rows = (left / "clips.csv").read_text(encoding="utf-8").splitlines()
    segments = left / open_store(left).path.name / "segments.csv"
    kept = [line for line in segments.read_text(encoding="utf-8").splitlines() if "chirp-0-0" not in line]
    segments.write_text("\n".join(kept) + "\n", encoding="utf-8")
    assert len(rows) == 17
    split(left, config=SplitConfig(by="segment", test=0.25, val=0.25, seed=3), name="leaky")
    longer = RenderConfig(mel=PICTURES.mel, segment=SegmentConfig(seconds=2.0))
    made = rerender(left, longer, split="leaky", workers=1)
    assert len({segment.clip.id for segment in made.store.segments}) == 15
    dealt = read_split(made.data / "splits", "leaky")
    assert set(dealt.assigned) == {segment.id for segment in made.store.segments}
    assert dealt.facts["seed"] == 3


def test_the_heat_map_has_every_value_as_text(shared: Path, tmp_path: Path) -> None:
    settings = {"stats.n_fft": [512, 1024], "stats.hop_length": [256, 512], "stats.set": ["rms", "zcr"]}
    found = sweep(shared, recipe="D-bayes", settings=settings, out=tmp_path)
    svg = Path(found["files"][2]).read_text(encoding="utf-8")
    texts = [one.text or "" for one in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]
    wanted = [f"{one['validation']['accuracy']['value']:.3f}".removeprefix("0") for one in found["cells"]]
    for value in set(wanted):
        assert texts.count(value) >= wanted.count(value)
    assert {"512", "1024", "256", "set rms", "set zcr", "stats.n_fft", "stats.hop_length"} <= set(texts)
    sweeping.save_heat_map(found, tmp_path / "again.svg")
    assert (tmp_path / "again.svg").read_text(encoding="utf-8") == svg


def test_the_grid_of_a_study_stands_beside_its_figures() -> None:
    lstm, cnn = (SWEEPS["A-grid"].cells(RECIPES[name], RenderConfig()) for name in ("A-lstm", "A-cnn"))
    assert len({cell.name for cell in lstm}) == len(cnn) == 10
    assert lstm[0].name == "mfcc.hop_length=1024,mfcc.n_fft=2048,mfcc.n_mfcc=128"
    assert lstm[0].figure == 0.87
    assert [cell.figure is None for cell in cnn].count(True) == 2
    with pytest.raises(ConfigError, match="unknown sweep 'A-gird'; did you mean 'A-grid'"):
        SWEEPS["A-gird"]


@pytest.mark.parametrize("name", RECIPES)
def test_every_setting_of_every_recipe_can_be_written_out(name: str) -> None:
    recipe = RECIPES[name]
    names = setting_names(recipe)
    assert "segment.seconds" in names
    assert len(cells(recipe, grid({"segment.seconds": [1, 2], f"{recipe.feature}.n_fft": [512, 1024]}), PICTURES)) == 4


@pytest.mark.parametrize(
    ("recipe", "settings", "says"),
    [
        ("A-cnn", {"mfcc.nfft": [512]}, "no setting 'mfcc.nfft' to sweep; did you mean 'mfcc.n_fft'"),
        ("A-cnn", {"mel.n_mels": [64]}, "it has those of mfcc, segment, network, training"),
        ("A-cnn", {"training.seed": [1, 2]}, "no setting 'training.seed'"),
        ("D-svm", {"training.lr": [0.1]}, "it has those of stats, segment"),
        ("A-cnn", {"mfcc.n_fft": ["many"]}, "must be of type int"),
        ("A-cnn", {"segment.seconds": [3, 3.0]}, "segment.seconds=3 would be swept twice"),
        ("A", {"n_fft": [512]}, "takes one recipe, but 'A' names 17"),
        ("A-cnn", {}, "takes either settings"),
        ("A-cnn", {"n_fft": []}, "no values"),
    ],
)
def test_a_setting_that_cannot_be_swept_is_refused(
    recipe: str, settings: dict[str, list[Any]], says: str, shared: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=says.replace(".", r"\.")):
        sweep(shared, recipe=recipe, settings=settings, out=tmp_path)
    assert not list(tmp_path.iterdir())


def test_settings_are_read_as_what_they_look_like() -> None:
    assert parse_setting("a.b=512,1e-3,true,none,mfcc+chroma") == ("a.b", [512, 1e-3, True, None, "mfcc+chroma"])
    for text in ("a.b", "=1", "a.b="):
        with pytest.raises(ConfigError, match=r"write it as mfcc\.n_fft=512,1024"):
            parse_setting(text)


def test_a_sweep_from_the_command_line(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def spectro(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as stopped:
            cli.main(["sweep", *map(str, arguments)])
        said = capsys.readouterr()
        return int(stopped.value.code or 0), said.out, said.err

    base = (data, "--recipe", "A-cnn", "--epochs-cap", 1, "--split", "grouped", "--runs", tmp_path / "runs")
    code, out, err = spectro(*base, "--set", "n_mfcc=2,40", "--set", "mfcc.hop_length=128")
    assert code == 3
    assert "mfcc.hop_length=128,mfcc.n_mfcc=2: failed: " in err
    assert "the test accuracy to quote is" in out
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
