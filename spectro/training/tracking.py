"""Experiment trackers that follow a training: TensorBoard, MLflow, Weights & Biases, by their own packages."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from spectro.core.errors import ConfigError, first_line
from spectro.core.files import read_document, write_document
from spectro.core.registry import Registry
from spectro.core.runs import Run
from spectro.training.progress import EpochResult

Log = Callable[[EpochResult], None]
Tracker = Callable[[Run, Mapping[str, object]], AbstractContextManager[Log]]
"""From a run and its settings to a function that logs epochs."""

TRACKERS: Registry[Tracker] = Registry("tracker")


@TRACKERS.add("tensorboard")
@contextmanager
def tensorboard(run: Run, settings: Mapping[str, object]) -> Iterator[Log]:
    """Write into RUN/tensorboard; `tensorboard --logdir runs` shows all runs."""
    writer = _package("torch.utils.tensorboard", "tensorboard").SummaryWriter(run.path / "tensorboard")

    def log(row: EpochResult) -> None:
        for name, value in row.values().items():
            writer.add_scalar(name, value, row.epoch)
        writer.flush()

    with writer:
        yield log


@TRACKERS.add("mlflow")
@contextmanager
def mlflow(run: Run, settings: Mapping[str, object]) -> Iterator[Log]:
    """Log to the server or folder in MLFLOW_TRACKING_URI; a resumed training continues its MLflow run."""
    package = _package("mlflow", "mlflow")
    path = run.path / "mlflow.json"
    known = _mlflow_id(path) if path.exists() else None
    try:
        active = package.start_run(known, run_name=run.name)
    except package.MlflowException as error:
        raise ConfigError(f"MLflow cannot log: {error}") from None
    with active:
        if known is None:
            write_document(path, "mlflow-run", 1, {"id": active.info.run_id})
            package.log_params(settings)
        yield lambda row: package.log_metrics(row.values(), step=row.epoch)


@TRACKERS.add("wandb")
@contextmanager
def wandb(run: Run, settings: Mapping[str, object]) -> Iterator[Log]:
    """Log to Weights & Biases, or with WANDB_MODE=offline into RUN/wandb; a resumed training continues its run."""
    package = _package("wandb", "wandb")
    path = run.path / "wandb.json"
    remedy = "remove it, and a new run of Weights & Biases is begun"
    known = str(read_document(path, "wandb-run", 1, remedy=remedy).get("id")) if path.exists() else None
    try:
        active = package.init(dir=run.path, id=known, name=run.name, config=dict(settings), resume="allow")
    except package.Error as error:
        raise ConfigError(f"Weights & Biases cannot log: {first_line(error)}; or set WANDB_MODE=offline") from None
    with active:
        if known is None:
            write_document(path, "wandb-run", 1, {"id": active.id})
        yield lambda row: active.log(dict(row.values()), step=row.epoch)


def _mlflow_id(path: Path) -> str:
    remedy = "remove it, and a new MLflow run is begun"
    return str(read_document(path, "mlflow-run", 1, remedy=remedy).get("id"))


def _package(module: str, package: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError:
        raise ConfigError(f"--{package} needs the package {package}: pip install {package}") from None
