"""Where a training can be watched while it runs: TensorBoard and MLflow, through their own packages."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from spectro.core.errors import ConfigError
from spectro.core.registry import Registry
from spectro.core.runs import Run

Row = Mapping[str, Any]
Tracker = Callable[[Run, Mapping[str, Any]], AbstractContextManager[Callable[[Row], None]]]
"""From a run and its settings to what takes the rows of its history."""

TRACKERS: Registry[Tracker] = Registry("tracker")


@TRACKERS.add("tensorboard")
@contextmanager
def tensorboard(run: Run, settings: Mapping[str, Any]) -> Iterator[Callable[[Row], None]]:
    """Write into RUN/tensorboard; `tensorboard --logdir runs` shows all runs."""
    writer = _package("torch.utils.tensorboard", "tensorboard").SummaryWriter(run.path / "tensorboard")

    def add(row: Row) -> None:
        for name, value in _figures(row).items():
            writer.add_scalar(name, value, row["epoch"])
        writer.flush()

    with writer:
        yield add


@TRACKERS.add("mlflow")
@contextmanager
def mlflow(run: Run, settings: Mapping[str, Any]) -> Iterator[Callable[[Row], None]]:
    """Log to where MLFLOW_TRACKING_URI says; a resumed training goes on in its MLflow run."""
    package = _package("mlflow", "mlflow")
    known = run.path / "mlflow-run"
    try:
        active = package.start_run(known.read_text() if known.exists() else None, run_name=run.name)
    except package.MlflowException as error:
        raise ConfigError(f"MLflow cannot log: {error}") from None
    with active:
        if not known.exists():
            known.write_text(active.info.run_id)
            package.log_params(settings)
        yield lambda row: package.log_metrics(_figures(row), step=row["epoch"])


def _package(module: str, package: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError:
        raise ConfigError(f"--{package} needs the package {package}: pip install {package}") from None


def _figures(row: Row) -> dict[str, float]:
    return {name: float(value) for name, value in row.items() if name not in ("epoch", "stage")}
