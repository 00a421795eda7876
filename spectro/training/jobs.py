"""The folder of a run belongs to one job: nothing else is replaced, one process at a time writes, it can be resumed."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from spectro.core.config import ClassicalConfig, Config, FinetuneConfig, ModelConfig
from spectro.core.data_folder import DataFolder
from spectro.core.errors import ConfigError, RunError
from spectro.core.files import read_document, remove_temporaries, write_document
from spectro.core.locks import writing
from spectro.core.runs import Run
from spectro.training.checkpoint import checkpoint_job, checkpoint_path, discard_checkpoint

JOB_VERSION = 1
SHOWN = 3
"""Foreign files that a message names."""
log = logging.getLogger(__name__)


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


@contextmanager
def claim(run: Run, job: Job) -> Iterator[bool]:
    """Hold the folder of a run for this job while the body runs.

    A job that failed before its first epoch (no weights, say) leaves nothing to keep, and another may take its folder.
    A checkpoint notes its job: where that is this one, a damaged or foreign `job.json` is written again.

    Parameters
    ----------
    run
        Its folder is made if it is not there.
    job
        What the run is to become.

    Yields
    ------
    bool
        Whether the job is finished already; the folder is then not held, for nothing is written.

    Raises
    ------
    RunError
        the folder holds something else, a run of other settings (the message names them), or a damaged run.
    BusyError
        another process is training there; the message names it.
    StorageError
        the folder cannot be made or written.
    """
    _require_own(run, job)
    if os.path.exists(run.card_path):  # of a name that is too long, `Path.exists` raises
        _require_same(run, job)
        yield _require_whole(run)
        return
    with writing(run.path):
        _require_own(run, job)
        finished = run.card_path.exists()  # another process may have finished it since
        if _leftovers(run):
            _require_resumable(run, job)
        if finished:
            _require_whole(run)
        else:
            remove_temporaries(run.path)
            write_document(_job_path(run), "job", JOB_VERSION, job.to_dict())
        yield finished


def _require_own(run: Run, job: Job) -> None:
    """Raise RunError where the folder holds anything but a run of training."""
    path = run.path
    if not os.path.isdir(path):
        if os.path.lexists(path):
            raise RunError(f"{path} is a file, not a folder; choose another --out")
        return
    if _job_path(run).is_file():
        return
    others = [name for name in _visible(path) if name != checkpoint_path(run).name]
    if DataFolder(path).clips_path.exists():
        kind = "a data folder"
    elif run.card_path.exists():
        kind = "an ensemble" if _is_ensemble(run) else "another run"
    elif checkpoint_path(run).exists():
        if checkpoint_job(run) == job.config_id():
            return
        kind = "another run (it has a checkpoint, but no job.json)"
    elif others:
        names = ", ".join(others[:SHOWN]) + (", ..." if len(others) > SHOWN else "")
        kind = f"a folder with other files ({names})"
    else:
        return
    raise RunError(f"{path} is {kind}, and would be overwritten; choose another --out")


def _is_ensemble(run: Run) -> bool:
    try:
        return run.card.is_ensemble
    except RunError:  # a damaged card is no reason to write there
        return False


def _require_resumable(run: Run, job: Job) -> None:
    """Raise RunError unless the folder belongs to this job, by what its `job.json` or its checkpoint says."""
    try:
        _require_same(run, job)
    except RunError:
        if run.card_path.exists() or _job_path(run).is_dir() or checkpoint_job(run) != job.config_id():
            raise
        log.warning(
            "%s was not of the training that the checkpoint beside it is of; it is written again", _job_path(run)
        )


def _require_same(run: Run, job: Job) -> None:
    """Raise RunError unless the folder belongs to this job."""
    path = _job_path(run)
    remedy = f"choose another --out or remove {run.path}"
    try:
        before = Job.from_dict(read_document(path, "job", JOB_VERSION, remedy=remedy, error=RunError), "job")
    except (ConfigError, OSError) as error:
        raise RunError(f"{path}: {error}; {remedy}") from None
    differing = job.differences(before)
    if differing:
        raise RunError(
            f"{run.path} holds a run of other settings ({'; '.join(differing)}); choose another --out or remove it"
        )


def _require_whole(run: Run) -> bool:
    """Return True if all files of a finished run are as they were written; raises RunError otherwise."""
    try:
        for name in run.card.files:
            run.checked(run.path / name)
    except RunError as error:
        raise RunError(f"{error} (remove {run.card_path} before, or it counts as finished)") from None
    with suppress(OSError):
        discard_checkpoint(run)  # left where a training died between its card and that
    return True


def _leftovers(run: Run) -> list[str]:
    """Return the names of files that a training has left beside its job."""
    return [name for name in _visible(run.path) if name != _job_path(run).name]


def _visible(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith("."))


def _job_path(run: Run) -> Path:
    return run.path / "job.json"
