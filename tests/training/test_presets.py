"""Settings by name, from a run that is there, and for several seeds; trainings that are watched elsewhere too."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from spectro import cli
from spectro.core.config import FinetuneConfig, ModelConfig, SplitConfig
from spectro.core.errors import ConfigError
from spectro.core.runs import Run
from spectro.data.splits import split
from spectro.training.finetune import finetune
from spectro.training.presets import PRESETS

TINY = ModelConfig(name="test_resnet")
SHORT = FinetuneConfig(epochs=2, finetune_epochs=0, device="cpu")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the command line asked of `spectro.finetune`, which is not run."""
    found: dict[str, Any] = {}

    def remember(data: Path, **how: Any) -> SimpleNamespace:
        found.update(how)
        return SimpleNamespace(path=how["out"])

    monkeypatch.setattr("spectro.finetune", remember, raising=False)
    return found


def run_cli(*arguments: object) -> int:
    with pytest.raises(SystemExit) as stopped:
        cli.main([str(argument) for argument in arguments])
    return int(stopped.value.code or 0)


@pytest.fixture(scope="module")
def data(rendered: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = shutil.copytree(rendered, tmp_path_factory.mktemp("presets") / "data")
    split(folder, config=SplitConfig(by="group", test=0.34, val=0.3))
    return folder


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_sets_its_fields_and_what_is_given_counts(name: str, asked: dict[str, Any]) -> None:
    run_cli("finetune", "data", "--preset", name)
    assert asked["config"] == FinetuneConfig(**PRESETS[name])
    run_cli("finetune", "data", "--preset", name, "--epochs", 30, "--lr", 0.002)  # 30 is also the default
    assert asked["config"] == FinetuneConfig(**{**PRESETS[name], "epochs": 30, "lr": 0.002})


def test_an_unknown_preset_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli("finetune", "data", "--preset", "quik") == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "quick" in said


def test_like_reads_the_settings_of_a_card_under_preset_and_options(
    tmp_path: Path, asked: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    model, config = (
        ModelConfig(name="resnet18", head="gem", in_chans=3),
        FinetuneConfig(epochs=7, lr=0.01, compile=True),
    )
    card = {
        "model": {**model.to_dict(), "parameters": 1},
        "training": config.to_dict(),
        "split": {"name": "official-2"},
    }
    Run(tmp_path).write_card({"kind": "torch", **card})
    run_cli("finetune", "data", "--like", tmp_path)
    assert (asked["model"], asked["config"], asked["split"]) == (model, config, "official-2")
    run_cli("finetune", "data", "--like", tmp_path, "--preset", "quick", "--head", "linear", "--no-compile")
    assert asked["model"] == ModelConfig(name="resnet18", head="linear", in_chans=3)
    assert asked["config"] == FinetuneConfig(lr=0.01, **PRESETS["quick"])
    Run(tmp_path).write_card({"kind": "ensemble", **card})
    capsys.readouterr()
    assert run_cli("finetune", "data", "--like", tmp_path) == 2
    assert "of kind 'ensemble'" in capsys.readouterr().err


def test_seeds_train_a_run_each_and_sum_them_up(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = "--backbone test_resnet --weights none --epochs 2 --finetune-epochs 0 --device cpu --seed 3 --seeds 2"
    assert run_cli("finetune", data, "--out", tmp_path, *options.split()) == 0
    assert [Run.open(tmp_path / f"seed-{seed}").card()["seed"] for seed in (3, 4)] == [3, 4]
    said = capsys.readouterr().out
    assert "deviation" in said
    assert "clip accuracy" in said


@pytest.mark.parametrize(("name", "module"), [("tensorboard", "torch.utils.tensorboard"), ("mlflow", "mlflow")])
def test_an_absent_tracker_is_one_line(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, module: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ConfigError, match=f"--{name} needs the package {name}: pip install {name}"):
        finetune(data, out=tmp_path / "run", model=TINY, config=SHORT, weights="none", track=[name])


def test_tensorboard_gets_every_epoch(data: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = finetune(data, out=tmp_path / "run", model=TINY, config=SHORT, weights="none", track=["tensorboard"])
    events = EventAccumulator(str(run.path / "tensorboard"))
    events.Reload()
    assert [event.step for event in events.Scalars("val_clip_f1")] == [1, 2]


def test_mlflow_gets_settings_and_every_epoch(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")  # the store that needs no database
    mlflow.set_tracking_uri(tmp_path / "mlruns")
    run = finetune(data, out=tmp_path / "run", model=TINY, config=SHORT, weights="none", track=["mlflow"])
    logged = mlflow.MlflowClient().get_metric_history((run.path / "mlflow-run").read_text(), "val_clip_f1")
    assert [metric.step for metric in logged] == [1, 2]
