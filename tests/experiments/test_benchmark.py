"""The benchmark: systems in one table with their studies' accuracies, runs kept as they are, failures listed."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from spectro import cli
from spectro.core.runs import Run
from spectro.data.store import open_store
from spectro.evaluation.results import Comparison
from spectro.experiments.benchmark import compare_recipes
from spectro.reports.tables import FORMATS

pytestmark = pytest.mark.slow


def contents(folder: Path, pattern: str) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob(pattern)}


@pytest.mark.slow
def test_systems_are_in_one_table_with_reported_accuracies(whole_clips: Path, tmp_path: Path) -> None:
    lines: list[str] = []
    kwargs: dict[str, Any] = {
        "recipes": "D-bayes,D-fnn-simple",
        "splits": ("grouped", "segment"),
        "seeds": 2,
        "epochs_cap": 1,
        "out": tmp_path / "runs",
    }
    comparison = compare_recipes(whole_clips, log=lines.append, **kwargs)
    assert [(model.name, model.split) for model in comparison.models] == [
        ("D-bayes", "group"), ("D-fnn-simple", "group"),
        ("D-bayes", "segment (LEAKY)"), ("D-fnn-simple", "segment (LEAKY)"),
    ]  # fmt: skip
    assert not comparison.failed
    assert len(lines) == 4
    row = comparison.models[1]
    assert row.system is not None
    assert (row.clips, row.system.reported, row.system.seeds) == (8, 0.471, 2)
    assert 0 <= row.system.train_auc <= 1
    assert row.system.predict_ms > 0
    assert row.parameters is not None
    assert row.parameters > 100_000
    assert (row.leaking_groups, comparison.models[3].leaking_groups > 0) == (0, True)
    assert row.clip.accuracy.low <= row.clip.accuracy.value <= row.clip.accuracy.high
    before = contents(tmp_path / "runs", "*.json")
    assert compare_recipes(whole_clips, **kwargs) == comparison
    assert contents(tmp_path / "runs", "*.json") == before
    assert Comparison.from_dict(comparison.to_dict()) == comparison
    check_formats(comparison)


def check_formats(comparison: Comparison) -> None:
    rows = list(csv.DictReader(FORMATS["csv"](comparison).splitlines()))
    assert rows[0]["protocol"] == "GTZAN, 3-s pieces grouped by song"
    assert json.loads(FORMATS["json"](comparison)) == comparison.to_dict()
    assert "47.1" in FORMATS["md"](comparison)
    assert "47.1" in FORMATS["tex"](comparison)


def test_timing_is_kept_beside_the_run_and_not_in_it(whole_clips: Path, tmp_path: Path) -> None:
    def compare_once() -> Comparison:
        return compare_recipes(whole_clips, recipes="D-bayes", out=tmp_path)

    first = compare_once()
    timing, run = tmp_path / "group/D-bayes-0.timing.json", tmp_path / "group/D-bayes-0"
    inside = contents(run, "*")
    written = timing.read_bytes()
    assert json.loads(written)["train_auc"] == first.models[0].system.train_auc  # type: ignore[union-attr]
    stale = json.loads(written) | {"card": "0" * 32}
    for text in ("{", json.dumps(stale)):
        timing.write_text(text, encoding="utf-8")
        assert compare_once().models[0].clip == first.models[0].clip
        assert json.loads(timing.read_bytes())["card"] == json.loads(written)["card"]
    timing.unlink()
    compare_once()
    assert timing.exists()
    assert contents(run, "*") == inside


def test_timing_of_another_card_is_measured_again(whole_clips: Path, tmp_path: Path) -> None:
    compare_recipes(whole_clips, recipes="D-bayes", out=tmp_path)
    timing = tmp_path / "group/D-bayes-0.timing.json"
    before, run = json.loads(timing.read_bytes()), Run.open(tmp_path / "group/D-bayes-0")
    run.write_card(type(run.card)(**{**vars(run.card), "command": "another"}))
    compare_recipes(whole_clips, recipes="D-bayes", out=tmp_path)
    after = json.loads(timing.read_bytes())
    assert after["card"] != before["card"]
    assert after["train_auc"] == before["train_auc"]


@pytest.mark.slow
def test_systems_are_compared_over_several_segment_lengths(
    whole_clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        cli.main(
            ["bench", "run", str(whole_clips), "--recipes", "D-bayes", "--split", "grouped", "segment",
             "--seconds", "1.5", "3", "--out", str(tmp_path / "runs")]
        )  # fmt: skip
    assert not stopped.value.code
    assert all(len(line) <= 80 for line in capsys.readouterr().out.splitlines())
    models = json.loads((tmp_path / "runs/systems.json").read_text(encoding="utf-8"))["models"]
    assert [(model["split"], model["system"]["seconds"]) for model in models] == [
        ("group", 1.5), ("group", 3.0), ("segment (LEAKY)", 1.5), ("segment (LEAKY)", 3.0),
    ]  # fmt: skip
    runs = {path.parent.name: Run.open(path) for path in (tmp_path / "runs").glob("*/D-bayes-0")}
    assert set(runs) == {"group-1.5s", "group-3s", "segment-1.5s", "segment-3s"}
    splits = {name: run.card.split.sha256 for name, run in runs.items()}
    assert splits["group-1.5s"] == splits["group-3s"] != splits["segment-1.5s"] != splits["segment-3s"]
    tested = {name: {*run.predictions("test").clip_ids} for name, run in runs.items()}
    assert tested["group-1.5s"] == tested["group-3s"]
    assert len(runs["group-1.5s"].predictions("test")) == 2 * len(runs["group-3s"].predictions("test"))
    assert runs["group-3s"].card.data.path == str(whole_clips)
    assert open_store(whole_clips).config.segment.seconds == 3.0
    assert "| 1.5 |" in (tmp_path / "runs/systems.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_system_that_fails_is_listed_and_the_others_go_on(
    whole_clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        cli.main(
            ["bench", "run", str(whole_clips), "--recipes", "C-vgg16", "D-bayes", "--epochs-cap", "1",
             "--out", str(tmp_path / "runs"), "--weights", str(tmp_path / "none.safetensors")]
        )  # fmt: skip
    assert stopped.value.code == 3
    output = capsys.readouterr()
    assert "C-vgg16 on group: failed: weights" in output.err
    assert "D-bayes" in output.out
    comparison = json.loads((tmp_path / "runs/systems.json").read_text(encoding="utf-8"))
    assert [(failed["recipe"], failed["split"]) for failed in comparison["failed"]] == [("C-vgg16", "group")]
    assert len(comparison["notes"]) == 2
    assert "C-vgg16" in comparison["notes"][0]
    assert "1 epochs" in comparison["notes"][1]
    table = (tmp_path / "runs/systems.md").read_text(encoding="utf-8")
    assert all(note in table for note in comparison["notes"])
    assert {path.name for path in (tmp_path / "runs").glob("systems.*")} == {
        "systems.csv", "systems.json", "systems.md", "systems.tex",
    }  # fmt: skip
