"""The state of an unfinished run: saved whole after each epoch, read with its checksum, removed with the last."""

from __future__ import annotations

import io
import logging
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from spectro.core.errors import RunError, first_line
from spectro.core.files import read_payload, write_csv, write_payload
from spectro.core.records import Record
from spectro.core.runs import Run
from spectro.training.progress import EpochResult, Progress

CHECKPOINT_VERSION = 1
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
log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Basis(Record):
    """What a training was begun with: an interrupted one goes on with nothing else."""

    job: str = ""
    """Id of its settings."""
    weights: str = ""
    """Hash of the first weights; empty for random ones."""
    data: str = ""
    """Hash of the inputs and of their classes."""


def save_checkpoint(run: Run, progress: Progress, began: float, basis: Basis) -> None:
    """Write the checkpoint and the history, each whole or not at all.

    Parameters
    ----------
    run
        The unfinished run.
    progress
        Where it stands; its `seconds` are set.
    began
        When the training began, by `time.perf_counter`.
    basis
        What it was begun with.

    Raises
    ------
    StorageError
        the disk is full, say; the previous checkpoint is kept.
    """
    progress.seconds = time.perf_counter() - began
    state = {**vars(progress), "history": [row.to_dict() for row in progress.history]}
    buffer = io.BytesIO()
    torch.save({"basis": basis.to_dict(), "progress": state}, buffer)
    write_payload(checkpoint_path(run), "checkpoint", CHECKPOINT_VERSION, buffer.getvalue())
    write_history(run, progress)


def load_checkpoint(run: Run, basis: Basis | None = None) -> Progress:
    """Return where an unfinished run stands: at its beginning when there is no checkpoint.

    Parameters
    ----------
    run
        The unfinished run.
    basis
        What the training is continued with; not compared when not given.

    Raises
    ------
    RunError
        the checkpoint is damaged, or of a training that was begun with something else.
    """
    path = checkpoint_path(run)
    if not path.exists():
        if basis and run.history_path.exists():
            log.warning("%s has a history, but no checkpoint any more: its training starts again", run.path)
        return Progress()
    before, progress = _read(path)
    if basis:
        _require_basis(path, before, basis)
    return progress


def checkpoint_job(run: Run) -> str:
    """Return the id of the settings that the checkpoint of an unfinished run is of; empty where it cannot be read."""
    try:
        return _read(checkpoint_path(run))[0].job
    except RunError:
        return ""


def _remedy(path: Path) -> str:
    return f"remove {path} to start that training again"


def _read(path: Path) -> tuple[Basis, Progress]:
    """Return what a training was begun with and where it stands; raises RunError where the file is damaged."""
    remedy = _remedy(path)
    try:
        payload = read_payload(path, "checkpoint", CHECKPOINT_VERSION, remedy=remedy, error=RunError)
        state = torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)
        before, values = Basis.from_dict(state["basis"]), state["progress"]
        history = [EpochResult.from_dict(row, f"epoch {number}") for number, row in enumerate(values["history"], 1)]
        progress = Progress(**{**values, "history": history})
    except RunError:
        raise
    except Exception as error:  # a file that is made to look like a checkpoint can fail in any way
        reason = first_line(error)
        raise RunError(f"{path} is damaged ({reason}); {remedy}") from None
    return before, progress


def _require_basis(path: Path, before: Basis, now: Basis) -> None:
    remedy = _remedy(path)
    if before.job != now.job:
        raise RunError(f"{path} is the checkpoint of another run; {remedy}")
    if before.weights != now.weights:
        raise RunError(f"{path} was begun with other first weights; bring those back, or {remedy}")
    if before.data != now.data:
        raise RunError(
            f"{path} was begun with other inputs: the data was made again, or labels were edited, since; {remedy}"
        )


def finished_epochs(run: Run) -> int:
    """Return how many epochs an unfinished run has in its checkpoint; none where it cannot be read."""
    try:
        return len(load_checkpoint(run).history)
    except RunError:
        return 0


def discard_checkpoint(run: Run) -> None:
    """Remove the checkpoint of a finished run."""
    checkpoint_path(run).unlink(missing_ok=True)


def write_history(run: Run, progress: Progress) -> None:
    """Write `history.csv`, one line per epoch; without a validation subset its columns stay empty."""
    write_csv(run.history_path, HISTORY_COLUMNS, map(_columns, progress.history))


def _columns(row: EpochResult) -> list[str]:
    values = {name: f"{value:.6g}" for name, value in row.values().items()}
    return [{"epoch": str(row.epoch), "stage": row.stage, **values}.get(column, "") for column in HISTORY_COLUMNS]


def checkpoint_path(run: Run) -> Path:
    """Return where an unfinished run keeps its state."""
    return run.path / "checkpoint.pt"
