"""The state of an unfinished run: claimed by a job, saved after each epoch, removed when the run is complete."""

from __future__ import annotations

import errno
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from spectro.core.config import FinetuneConfig, ModelConfig
from spectro.core.errors import RunError
from spectro.core.runs import Run
from spectro.core.tables import write_csv, write_text
from spectro.training.loop import Progress

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

DEFAULTS = {"model": ModelConfig().to_dict(), "training": FinetuneConfig().to_dict()}


def claim(run: Run, job: Mapping[str, Any]) -> bool:
    """Make the folder this job's own; return whether the job is finished already.

    A job that failed before its first epoch (no weights, say) leaves nothing to keep, and gives way to another.

    Raises
    ------
    RunError
        the folder holds a run of other settings; the message names them.
    """
    path = run.path / "job.json"
    if path.exists() and (run.card_path.exists() or _path(run).exists()):
        before = json.loads(path.read_text(encoding="utf-8"))
        for part, defaults in DEFAULTS.items():  # a setting that came with a later version was not there to be set
            if isinstance(before.get(part), Mapping):
                before[part] = {**defaults, **before[part]}
        differing = [
            f"{part}.{key}: {old.get(key)} there, {new.get(key)} here" if key else f"{part}: {old} there, {new} here"
            for part in job
            for old, new in [(before.get(part), job[part])]
            for key in (sorted(new) if isinstance(new, Mapping) and isinstance(old, Mapping) else [""])
            if (old.get(key) != new.get(key) if key else old != new)
        ]
        if differing:
            raise RunError(
                f"{run.path} holds a run of other settings ({'; '.join(differing)}); choose another --out or remove it"
            )
    elif run.card_path.exists():
        raise RunError(f"{run.path} holds another run; choose another --out or remove it")
    else:
        write_text(path, json.dumps(job, indent=2, ensure_ascii=False) + "\n")
    return run.card_path.exists()


def save_checkpoint(run: Run, progress: Progress, began: float) -> None:
    """Write the checkpoint and the history, each whole or not at all; `began` is when the run did, by `perf_counter`.

    Raises
    ------
    RunError
        the disk is full; the previous checkpoint is kept.
    """
    path = _path(run)
    temporary = path.with_suffix(".tmp")
    progress.seconds = time.perf_counter() - began
    try:
        torch.save(dict(vars(progress)), temporary)
        os.replace(temporary, path)
        write_history(run, progress)
    except BaseException as error:  # an interruption too leaves nothing behind
        temporary.unlink(missing_ok=True)
        if not isinstance(error, RuntimeError) and not (isinstance(error, OSError) and error.errno == errno.ENOSPC):
            raise
        raise RunError(
            f"{run.path} could not be written ({error}): is the disk full? The last good checkpoint is kept; "
            "make room and repeat the command"
        ) from None


def load_checkpoint(run: Run) -> Progress:
    """Return where the run stands: at its beginning when there is no checkpoint."""
    path = _path(run)
    if not path.exists():
        return Progress()
    try:
        return Progress(**torch.load(path, map_location="cpu", weights_only=True))
    except (RuntimeError, TypeError, EOFError, OSError) as error:
        raise RunError(f"{path} cannot be read ({error}); remove {run.path} and start again") from None


def discard_checkpoint(run: Run) -> None:
    """Remove the checkpoint of a finished run."""
    _path(run).unlink(missing_ok=True)


def write_history(run: Run, progress: Progress) -> None:
    """Write `history.csv`, one line per epoch; without a validation fold its columns stay empty."""
    rows = ([_shown(row.get(column, "")) for column in HISTORY_COLUMNS] for row in progress.history)
    write_csv(run.history_path, HISTORY_COLUMNS, rows)


def _path(run: Run) -> Path:
    return run.path / "checkpoint.pt"


def _shown(value: Any) -> Any:
    return f"{value:.6g}" if isinstance(value, float) else value
