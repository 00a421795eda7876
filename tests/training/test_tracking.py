"""Trackers get every epoch, and one that is not installed is named."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

from spectro.core.config import FinetuneConfig, ModelConfig
from spectro.core.errors import ConfigError, DataError
from spectro.core.runs import Run
from spectro.training.finetune import finetune
from spectro.training.tracking import TRACKERS

TINY = ModelConfig(name="test_resnet")
SHORT = FinetuneConfig(frozen_epochs=2, epochs=0, device="cpu")


@pytest.mark.parametrize(
    ("name", "module"), [("tensorboard", "torch.utils.tensorboard"), ("mlflow", "mlflow"), ("wandb", "wandb")]
)
def test_an_absent_tracker_is_one_line(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, module: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ConfigError, match=f"--{name} needs the package {name}: pip install {name}"):
        finetune(data, out=tmp_path / "run", model=TINY, config=SHORT, weights="none", track=[name])


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b'{"format": "spectro-mlflow-run", "version": 1, "id": "../x"}'])
def test_a_damaged_note_of_the_mlflow_run_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", ModuleType("mlflow"))
    (tmp_path / "mlflow.json").write_bytes(content)
    refusal = pytest.raises(DataError, match=r"mlflow\.json .*remove it, and a new MLflow run is begun")
    with refusal as refused, TRACKERS["mlflow"](Run(tmp_path), {}):
        pass
    assert "\n" not in str(refused.value)


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
    client, name = mlflow.MlflowClient(), json.loads((run.path / "mlflow.json").read_text())["id"]
    assert [metric.step for metric in client.get_metric_history(name, "val_clip_f1")] == [1, 2]
    assert client.get_run(name).data.params["frozen_epochs"] == "2"


def test_wandb_logs_offline_into_the_run(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    run = finetune(data, out=tmp_path / "run", model=TINY, config=SHORT, weights="none", track=["wandb"])
    name = json.loads((run.path / "wandb.json").read_text())["id"]
    (log,) = (run.path / "wandb").glob(f"offline-run-*-{name}/run-{name}.wandb")
    assert b"val_clip_f1" in log.read_bytes()
