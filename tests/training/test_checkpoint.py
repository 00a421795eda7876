"""Runs are claimed, killed and resumed to the same bits, and damage or a full disk ends in one clear line."""

from __future__ import annotations

import dataclasses
import errno
import io
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from spectro.core.data_folder import DataFolder
from spectro.core.errors import RunError, StorageError
from spectro.core.files import read_payload, write_payload
from spectro.core.runs import Run
from spectro.training import finetune as finetune_module
from spectro.training.checkpoint import (
    CHECKPOINT_VERSION,
    Basis,
    finished_epochs,
    load_checkpoint,
    save_checkpoint,
)
from spectro.training.finetune import finetune
from spectro.training.progress import Progress
from tests.training.shared import QUICK, TINY, Evil, differing, history

SCRIPT = """
import os, signal, sys
from pathlib import Path
from spectro.training import checkpoint, loop
from spectro.training.finetune import finetune
from tests.training.shared import QUICK, TINY
steps, last = 0, int(sys.argv[3])
backward, write = loop._backward, checkpoint.write_history
def counted(*args):
    global steps
    steps += 1
    if steps == last:
        os.kill(os.getpid(), signal.SIGKILL)
    return backward(*args)
def dying(run, progress):
    if len(progress.history) == -last:
        os.kill(os.getpid(), signal.SIGKILL)
    write(run, progress)
loop._backward, checkpoint.write_history = counted, dying
finetune(sys.argv[1], out=sys.argv[2], model=TINY, config=QUICK, weights="none")
"""
ROOT = Path(__file__).parents[2]


# in the frozen stage, at the start of fine-tuning, in its last epoch; between checkpoint and history of the last epochs
@pytest.mark.slow
@pytest.mark.parametrize("step", [2, 4, 8, -2, -4])
def test_killed_and_repeated_it_ends_like_the_uninterrupted_run(
    finished: Path, data: Path, tmp_path: Path, step: int
) -> None:
    out = tmp_path / "killed"
    killed = subprocess.run([sys.executable, "-c", SCRIPT, data, out, str(step)], check=False, cwd=ROOT)
    assert killed.returncode == -signal.SIGKILL
    assert not (out / "card.json").exists()
    finetune(data, out=out, model=TINY, config=QUICK, weights="none")
    assert history(out) == history(finished)
    assert not differing(finished, out)
    assert not (out / "checkpoint.pt").exists()


@pytest.fixture(scope="module")
def unfinished(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that stopped after its first epoch; do not write into it, copy it first."""
    out = tmp_path_factory.mktemp("unfinished") / "run"
    with pytest.MonkeyPatch.context() as patch:
        stop_after(1, patch)
        with pytest.raises(RunError, match="stop here"):
            resume(out, data)
    return out


def stop_after(epochs: int, patch: pytest.MonkeyPatch) -> None:
    save = finetune_module.save_checkpoint

    def saved(run: Run, progress: Progress, *rest: Any) -> None:
        save(run, progress, *rest)
        if len(progress.history) == epochs:
            raise RunError("stop here")

    patch.setattr(finetune_module, "save_checkpoint", saved)


def resume(run: Path, data: Path) -> Run:
    return finetune(data, out=run, model=TINY, config=QUICK, weights="none")


def damages(whole: bytes, seed: int) -> Iterator[tuple[str, bytes]]:
    """Yield cut, changed, emptied and zeroed contents, each with a name."""
    rng = np.random.default_rng(seed)
    for cut in sorted({0, 1, 20, *rng.integers(1, len(whole), 8).tolist(), len(whole) - 1}):
        yield f"cut at {cut}", whole[:cut]
    for place in [3, *rng.integers(0, len(whole), 12).tolist()]:
        yield (
            f"flipped at {place}",
            whole[:place] + bytes([whole[place] ^ 1 << int(rng.integers(8))]) + whole[place + 1 :],
        )
    yield "zeroed", bytes(len(whole))
    yield "longer", whole + b"x"
    yield "foreign", pickle.dumps({"progress": {}})


def test_a_damaged_checkpoint_is_one_line_that_says_what_to_do(unfinished: Path, tmp_path: Path) -> None:
    path, whole = tmp_path / "checkpoint.pt", (unfinished / "checkpoint.pt").read_bytes()
    for name, content in damages(whole, seed=0):
        path.write_bytes(content)
        with pytest.raises(RunError, match=r"remove .*checkpoint\.pt to start that training again") as refused:
            load_checkpoint(Run(tmp_path))
        assert "\n" not in str(refused.value), name
        assert finished_epochs(Run(tmp_path)) == 0
    path.unlink()
    path.mkdir()
    with pytest.raises(RunError, match="is a folder, not a file"):
        load_checkpoint(Run(tmp_path))


def test_a_whole_file_that_is_no_checkpoint_is_one_line_and_not_run(tmp_path: Path) -> None:
    for content in (Evil(tmp_path / "executed"), {"basis": {}, "progress": 3}, [1], {"basis": {}, "progress": {}}):
        buffer = io.BytesIO()
        torch.save(content, buffer)
        write_payload(tmp_path / "checkpoint.pt", "checkpoint", CHECKPOINT_VERSION, buffer.getvalue())
        with pytest.raises(RunError, match=r"checkpoint\.pt is damaged") as refused:
            load_checkpoint(Run(tmp_path))
        assert "\n" not in str(refused.value)
    assert not (tmp_path / "executed").exists()


def test_a_damaged_checkpoint_is_kept_until_it_is_removed(
    unfinished: Path, finished: Path, data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = shutil.copytree(unfinished, tmp_path / "run")
    (run / "checkpoint.pt").write_bytes(b"damaged")
    with pytest.raises(RunError, match=r"remove .*checkpoint\.pt"):
        resume(run, data)
    assert (run / "checkpoint.pt").read_bytes() == b"damaged"
    (run / "checkpoint.pt").unlink()
    resume(run, data)
    assert [record.message for record in caplog.records if "its training starts again" in record.message]
    assert not differing(finished, run)


def test_a_checkpoint_of_another_run_or_other_weights_is_refused(unfinished: Path, data: Path, tmp_path: Path) -> None:
    basis = Basis.from_dict(read_basis(unfinished))
    assert len(load_checkpoint(Run(unfinished), basis).history) == 1
    with pytest.raises(RunError, match="is the checkpoint of another run"):
        load_checkpoint(Run(unfinished), dataclasses.replace(basis, job="other"))
    with pytest.raises(RunError, match="begun with other first weights"):
        load_checkpoint(Run(unfinished), dataclasses.replace(basis, weights="other"))
    with pytest.raises(RunError, match="begun with other inputs"):
        load_checkpoint(Run(unfinished), dataclasses.replace(basis, data="other"))
    run = shutil.copytree(unfinished, tmp_path / "run")
    (run / "job.json").unlink()
    with pytest.raises(RunError, match=r"no job\.json"):
        finetune(data, out=run, model=TINY, config=dataclasses.replace(QUICK, seed=1), weights="none")


def test_a_training_does_not_resume_with_other_labels(unfinished: Path, data: Path, tmp_path: Path) -> None:
    run, edited = shutil.copytree(unfinished, tmp_path / "run"), shutil.copytree(data, tmp_path / "data")
    clips = DataFolder(edited).clips
    first, other = clips[0], next(clip for clip in clips if clip.label != clips[0].label)
    changed = (dataclasses.replace(first, label=other.label), *clips[1:])
    DataFolder(edited).write_clips(changed)
    with pytest.raises(RunError, match="labels were edited"):
        resume(run, edited)


def read_basis(run: Path) -> dict[str, str]:
    payload = read_payload(run / "checkpoint.pt", "checkpoint", CHECKPOINT_VERSION, remedy="")
    basis: dict[str, str] = torch.load(io.BytesIO(payload), weights_only=True)["basis"]
    return basis


def test_a_checkpoint_that_does_not_fit_the_network_is_one_line(unfinished: Path, data: Path, tmp_path: Path) -> None:
    run = shutil.copytree(unfinished, tmp_path / "run")
    progress = load_checkpoint(Run(run))
    progress.states["module"] = {}
    save_checkpoint(Run(run), progress, 0.0, Basis.from_dict(read_basis(unfinished)))
    with pytest.raises(RunError, match=r"checkpoint\.pt does not fit this network") as refused:
        resume(run, data)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("damage", ["cut", "gone", "foreign"])
def test_the_history_is_rewritten_from_the_checkpoint(
    unfinished: Path, finished: Path, data: Path, tmp_path: Path, damage: str
) -> None:
    run = shutil.copytree(unfinished, tmp_path / "run")
    path = run / "history.csv"
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:40] if damage == "cut" else b"\0" * 100)
    resume(run, data)
    assert history(run) == history(finished)


@pytest.mark.parametrize("where", ["replace", "write"])
@pytest.mark.parametrize("name", ["ENOSPC", "EDQUOT", "EFBIG", "EIO", "EROFS"])
def test_a_disk_that_fails_keeps_the_last_checkpoint(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, where: str
) -> None:
    number = getattr(errno, name)
    run = tmp_path / "run"

    def refuse() -> None:
        raise OSError(number, os.strerror(number))

    if where == "replace":
        replace = os.replace

        def replaced(source: Path, target: Path) -> None:
            if Path(target).name == "checkpoint.pt" and Path(target).exists():
                refuse()
            replace(source, target)

        monkeypatch.setattr(os, "replace", replaced)
    else:
        opened = Path.open

        def broken(path: Path, *args: Any, **options: Any) -> Any:
            file = opened(path, *args, **options)
            if path.suffix == ".tmp" and path.parent == run and (run / "checkpoint.pt").exists() and args == ("wb",):
                return Broken(file, refuse)
            return file

        monkeypatch.setattr(Path, "open", broken)
    expected = rf"cannot write .*run/.*{os.strerror(number)}.* keeps 1 finished epoch, and the same command resumes"
    with pytest.raises(StorageError, match=expected) as stopped:
        finetune(data, out=run, model=TINY, config=QUICK, weights="none")
    assert "\n" not in str(stopped.value)
    monkeypatch.undo()
    assert {path.name for path in run.iterdir()} == {".lock", "checkpoint.pt", "history.csv", "job.json"}
    assert [row["epoch"] for row in history(run)] == ["1"]


class Broken:
    """A file that cannot be written to."""

    def __init__(self, file: Any, refuse: Callable[[], None]) -> None:
        self.file = file
        self.write = lambda _: refuse()

    def __enter__(self) -> Broken:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()


@pytest.mark.slow
def test_an_interruption_leaves_whole_files_and_says_how_to_resume(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    spectro = ["env", "--default-signal=INT", sys.executable, "-m", "spectro"]  # background jobs inherit an ignored one
    command = [*spectro, "finetune", str(data), "--out", str(out), "--backbone", "test_resnet"]
    options = ["--weights", "none", "--frozen-epochs", "100000", "--epochs", "0", "--device", "cpu"]
    running = subprocess.Popen([*command, *options], stderr=subprocess.PIPE, text=True)
    while not (out / "history.csv").exists():
        assert running.poll() is None
        time.sleep(0.02)
    running.send_signal(signal.SIGINT)
    _, errors = running.communicate()
    assert running.returncode == 130
    epochs = len(load_checkpoint(Run(out)).history)
    assert epochs > 0
    assert f"interrupted after {epochs} finished epoch" in errors.splitlines()[-1]
    assert "the same command" in errors.splitlines()[-1]
    assert {path.name for path in out.iterdir()} == {".lock", "checkpoint.pt", "history.csv", "job.json"}
