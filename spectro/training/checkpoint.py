"""The state of an unfinished run: claimed by a job, saved after each epoch, removed when the run is complete."""

from __future__ import annotations

import pickle
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch

from spectro.core.config import ClassicalConfig, Config, FinetuneConfig, ModelConfig
from spectro.core.errors import ConfigError, RunError, StorageError
from spectro.core.files import read_document, replacing, write_csv, write_document
from spectro.core.runs import Run
from spectro.training.progress import EpochResult, Progress

JOB_VERSION = 1
HISTORY_COLUMNS = (
    "epoch",
    "stage",
    "lr",
    "train_loss",
    "train_accuracy",
    "val_loss",
    "val_segment_accuracy",
    "val_clip_accuracy",
    "val_clip_f1",
    "seconds",
    "seconds_steps",
    "seconds_loading",
    "seconds_waiting",
)


@dataclass(frozen=True, kw_only=True)
class Job(Config):
    """Everything that decides what a run becomes: a folder belongs to one job, and the same job resumes in it."""

    method: str = ""
    """Name of a classical model; empty for a network."""
    model: ModelConfig | None = None
    """Settings of a network."""
    training: FinetuneConfig | None = None
    """How a network is trained."""
    fitting: ClassicalConfig | None = None
    """How a classical model is fitted."""
    weights: str = ""
    """Where the pretrained weights come from."""
    split: str = ""
    """Hash of the split's assignment."""
    spectrograms: str = ""
    """Config id of the spectrograms, whose segments are used."""
    feature: Mapping[str, str] = field(default_factory=dict)
    """Config id of the feature that is used instead of the spectrograms, by the feature's name."""


def claim(run: Run, job: Job) -> bool:
    """Make the folder this job's own.

    A job that failed before its first epoch (no weights, say) leaves nothing to keep, and another may take its folder.

    Returns
    -------
    bool
        Whether the job is finished already.

    Raises
    ------
    RunError
        the folder holds a run of other settings; the message names them.
    """
    path = run.path / "job.json"
    finished = run.card_path.exists()
    if not finished and not _checkpoint_path(run).exists():
        write_document(path, "job", JOB_VERSION, job.to_dict())
        return False
    if not path.exists():
        raise RunError(f"{run.path} holds another run; choose another --out or remove it")
    remedy = f"choose another --out or remove {run.path}"
    try:
        before = Job.from_dict(read_document(path, "job", JOB_VERSION, remedy=remedy, error=RunError), "job")
    except ConfigError as error:
        raise RunError(f"{path}: {error}; {remedy}") from None
    differing = job.differences(before)
    if differing:
        raise RunError(
            f"{run.path} holds a run of other settings ({'; '.join(differing)}); choose another --out or remove it"
        )
    return finished


def save_checkpoint(run: Run, progress: Progress, began: float) -> None:
    """Write the checkpoint and the history, each whole or not at all.

    Parameters
    ----------
    run
        The unfinished run.
    progress
        Where it stands; its `seconds` are set.
    began
        When the training began, by `time.perf_counter`.

    Raises
    ------
    StorageError
        the disk is full, say; the previous checkpoint is kept.
    """
    path = _checkpoint_path(run)
    progress.seconds = time.perf_counter() - began
    state = {**vars(progress), "history": [row.to_dict() for row in progress.history]}
    try:
        with replacing(path) as temporary:
            torch.save(state, temporary)
    except RuntimeError as error:  # what torch makes of an error of the file system
        reason = str(error).splitlines()[0]
        raise StorageError(
            f"cannot write {path} ({reason}); is the disk full? Make room and repeat the command"
        ) from None
    write_history(run, progress)


def load_checkpoint(run: Run) -> Progress:
    """Return where the run stands: at its beginning when there is no checkpoint; raises RunError when it is damaged."""
    path = _checkpoint_path(run)
    if not path.exists():
        return Progress()
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        history = [EpochResult.from_dict(row, f"epoch {number}") for number, row in enumerate(state["history"], 1)]
        return Progress(**{**state, "history": history})
    except (RuntimeError, TypeError, KeyError, EOFError, OSError, pickle.UnpicklingError, ConfigError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise RunError(f"{path} is damaged ({reason}); remove {run.path} and start again") from None


def discard_checkpoint(run: Run) -> None:
    """Remove the checkpoint of a finished run."""
    _checkpoint_path(run).unlink(missing_ok=True)


def write_history(run: Run, progress: Progress) -> None:
    """Write `history.csv`, one line per epoch; without a validation subset its columns stay empty."""
    write_csv(run.history_path, HISTORY_COLUMNS, map(_columns, progress.history))


def _columns(row: EpochResult) -> list[str]:
    values = {name: f"{value:.6g}" for name, value in row.values().items()}
    return [{"epoch": str(row.epoch), "stage": row.stage, **values}.get(column, "") for column in HISTORY_COLUMNS]


def _checkpoint_path(run: Run) -> Path:
    return run.path / "checkpoint.pt"
