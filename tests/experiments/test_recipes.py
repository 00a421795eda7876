"""Each recipe is whole: it names what exists, trains on synthetic sound, and stands in one table with the others."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from spectro import cli
from spectro.core.config import MelConfig, RenderConfig, SegmentConfig, SplitConfig
from spectro.core.errors import ConfigError
from spectro.core.runs import Run
from spectro.data.engines import local as engine
from spectro.data.render import render
from spectro.data.splits import split
from spectro.data.store import open_store
from spectro.experiments.benchmark import compare_recipes
from spectro.experiments.recipes import RECIPES, read_recipes, select
from spectro.models import NETWORKS
from spectro.models.classical import METHODS
from spectro.reports.tables import FORMATS


@pytest.fixture(autouse=True)
def _in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compute features here: fresh workers would take longer to import librosa than these clips take."""
    monkeypatch.setattr(engine, "cores", lambda: 1)


@pytest.fixture(scope="module")
def data(corpus_csv: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 pictures of whole clips, for the longest pools leave nothing of a shorter sound."""
    config = RenderConfig(mel=MelConfig(n_mels=32), segment=SegmentConfig(seconds=3.0))
    folder = render(corpus_csv, out=tmp_path_factory.mktemp("recipes") / "data", config=config, workers=1).data
    split(folder, config=SplitConfig(by="group", test=0.34, val=0.0))
    return folder


def test_the_studies_are_all_there() -> None:
    assert {recipe.study for recipe in RECIPES.values()} == set("ABCDE")
    assert {name for name in NETWORKS if name != "cnn5"} <= set(RECIPES)
    assert {recipe.classical for recipe in RECIPES.values()} - {""} == set(METHODS)
    for recipe in RECIPES.values():
        assert recipe.name.startswith(f"{recipe.study}-")
        assert recipe.protocol


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_trains_for_an_epoch(name: str, data: Path, tmp_path: Path) -> None:
    recipe = RECIPES[name]
    if recipe.classical == "xgboost":
        pytest.importorskip("xgboost")
    run = recipe.train(data, out=tmp_path / name, epochs_cap=1, weights="none")
    assert run.predictions("test").probs.shape == (8, 4)
    card = run.card()
    assert card["feature"]["name"] == recipe.feature
    assert card["kind"] == ("sklearn" if recipe.classical else "torch")


def test_names_letters_and_all_select_recipes() -> None:
    assert select("all") == list(RECIPES.values())
    assert [one.name for one in select("E,C-svm")] == ["E-cnn", "E-lstm", "C-svm"]
    with pytest.raises(ConfigError, match="unknown recipe 'A-cn'; did you mean 'A-cnn'"):
        select("A-cn")


def test_a_table_with_an_unknown_line_is_refused() -> None:
    table = '[X]\ntitle = "x"\nprotocol = "y"\n[X.systems]\nX-one = { model = "cnn5", featur = "mel" }\n'
    with pytest.raises(ConfigError, match="recipe 'X-one' has no line 'featur'; did you mean 'feature'"):
        read_recipes(table)


def test_systems_stand_in_one_table_with_their_studies_figures(data: Path, tmp_path: Path) -> None:
    told: list[str] = []
    kwargs = {"recipes": "D-bayes,D-fnn-simple", "seeds": 2, "epochs_cap": 1, "out": tmp_path / "runs"}
    found = compare_recipes(data, splits=("grouped", "segment"), tell=told.append, **kwargs)  # type: ignore[arg-type]
    assert [(one["name"], one["split"]) for one in found["models"]] == [
        ("D-bayes", "group"), ("D-fnn-simple", "group"),
        ("D-bayes", "segment (LEAKY)"), ("D-fnn-simple", "segment (LEAKY)"),
    ]  # fmt: skip
    assert not found["failed"]
    assert len(told) == 4
    first = found["models"][1]
    assert first["clips"] == 8
    assert first["system"]["figure"] == 0.471
    assert first["system"]["seeds"] == 2
    assert 0 <= first["system"]["train_auc"] <= 1
    assert first["parameters"] > 100_000
    clip = first["clip"]["accuracy"]
    assert clip["low"] <= clip["value"] <= clip["high"]
    rows = list(csv.DictReader(FORMATS["csv"](found).splitlines()))
    assert rows[0]["protocol"] == "GTZAN, 3-s pieces grouped by song"
    assert json.loads(FORMATS["json"](found)) == found
    assert "the study's accuracy" in FORMATS["md"](found)
    assert "47.1" in FORMATS["tex"](found)
    written = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("card.json")}
    assert compare_recipes(data, splits=("grouped", "segment"), **kwargs) == found  # type: ignore[arg-type]
    assert written == {path: path.stat().st_mtime_ns for path in written}


def test_systems_are_compared_over_pieces_of_several_lengths(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        cli.main(
            ["compare", str(data), "--recipes", "D-bayes", "--split", "grouped,segment", "--seconds", "1.5,3",
             "--runs", str(tmp_path / "runs")]
        )  # fmt: skip
    assert not stopped.value.code
    assert all(len(line) <= 80 for line in capsys.readouterr().out.splitlines())
    found = json.loads((tmp_path / "runs/systems.json").read_text(encoding="utf-8"))
    assert [(one["split"], one["system"]["seconds"]) for one in found["models"]] == [
        ("group", 1.5), ("group", 3.0), ("segment (LEAKY)", 1.5), ("segment (LEAKY)", 3.0),
    ]  # fmt: skip
    runs = {path.parent.name: Run.open(path) for path in (tmp_path / "runs").glob("*/D-bayes-0")}
    assert set(runs) == {"group-1.5s", "group-3s", "segment-1.5s", "segment-3s"}
    splits = {name: run.card()["split"]["sha256"] for name, run in runs.items()}
    assert splits["group-1.5s"] == splits["group-3s"] != splits["segment-1.5s"] != splits["segment-3s"]
    tested = {name: {*run.predictions("test").clip_ids} for name, run in runs.items()}
    assert tested["group-1.5s"] == tested["group-3s"]
    assert len(runs["group-1.5s"].predictions("test")) == 2 * len(runs["group-3s"].predictions("test"))
    assert runs["group-3s"].card()["data"]["path"] == str(data)
    assert open_store(data).config.segment.seconds == 3.0
    assert "| 1.5 |" in (tmp_path / "runs/systems.md").read_text(encoding="utf-8")


def test_a_system_that_cannot_be_trained_is_named_and_the_others_go_on(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        cli.main(
            ["compare", str(data), "--recipes", "C-vgg16,D-bayes", "--epochs-cap", "1", "--runs", str(tmp_path / "r"),
             "--weights", str(tmp_path / "none.safetensors")]
        )  # fmt: skip
    assert stopped.value.code == 3
    said = capsys.readouterr()
    assert "C-vgg16 on group: failed: weights" in said.err
    assert "D-bayes" in said.out
    assert "split by group, pieces of 3 s\n" in said.out
    table = (tmp_path / "r/systems.md").read_text(encoding="utf-8")
    for note in ("C-vgg16 on group could not be trained: weights", "No stage of a network's training was longer than"):
        assert note in said.out
        assert note in table
    assert {path.name for path in (tmp_path / "r").glob("systems.*")} == {
        "systems.csv", "systems.json", "systems.md", "systems.tex",
    }  # fmt: skip


def test_recipes_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["recipes", "--json"])
    assert [one["name"] for one in json.loads(capsys.readouterr().out)] == list(RECIPES)
