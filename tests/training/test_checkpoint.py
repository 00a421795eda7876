"""Runs are claimed, killed and resumed to the same bits, and damage or a full disk ends in one clear line."""

from __future__ import annotations

import dataclasses
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from spectro.core.errors import RunError, StorageError, WeightsError
from spectro.core.files import read_document, write_document
from spectro.core.runs import Run
from spectro.training.checkpoint import JOB_VERSION, load_checkpoint
from spectro.training.finetune import finetune
from tests.training.shared import QUICK, TINY, differing, history

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


def test_a_finished_run_is_returned_and_other_settings_are_refused(finished: Path, data: Path) -> None:
    written = (finished / "card.json").stat().st_mtime_ns
    finetune(data, out=finished, model=TINY, config=QUICK, weights="none")
    assert (finished / "card.json").stat().st_mtime_ns == written
    with pytest.raises(RunError, match=r"training\.lr: 0\.002 here, 0\.001 there"):
        finetune(data, out=finished, model=TINY, config=dataclasses.replace(QUICK, lr=2e-3), weights="none")


def read_job(run: Path) -> dict[str, dict[str, object]]:
    return read_document(run / "job.json", "job", JOB_VERSION, remedy="")


def test_a_setting_that_came_later_has_its_default_in_older_runs(finished: Path, data: Path, tmp_path: Path) -> None:
    run = shutil.copytree(finished, tmp_path / "run")
    job = read_job(run)
    del job["training"]["cache_finetune"]
    write_document(run / "job.json", "job", JOB_VERSION, job)
    finetune(data, out=run, model=TINY, config=QUICK, weights="none")
    later = dataclasses.replace(QUICK, unfreeze=1, cache_finetune=True)
    with pytest.raises(RunError, match=r"training\.cache_finetune: True here, False there"):
        finetune(data, out=run, model=TINY, config=later, weights="none")


@pytest.mark.parametrize("damage", ["gone", "changed", "torn"])
def test_a_damaged_job_is_one_line(finished: Path, data: Path, tmp_path: Path, damage: str) -> None:
    run = shutil.copytree(finished, tmp_path / "run")
    job = run / "job.json"
    if damage == "gone":
        job.unlink()
    else:
        text = job.read_text()
        job.write_text(text.replace('"seed": 0', '"seed": 1') if damage == "changed" else text[:40])
    with pytest.raises(RunError, match="choose another --out or remove") as refused:
        finetune(data, out=run, model=TINY, config=QUICK, weights="none")
    assert "\n" not in str(refused.value)


def test_a_damaged_checkpoint_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "checkpoint.pt").write_bytes(b"not a checkpoint")
    with pytest.raises(RunError, match=r"checkpoint\.pt is damaged .* start again") as refused:
        load_checkpoint(Run(tmp_path))
    assert "\n" not in str(refused.value)


def test_a_run_that_could_not_start_gives_way_to_another(data: Path, tmp_path: Path) -> None:
    with pytest.raises(WeightsError):
        finetune(data, out=tmp_path / "run", model=TINY, config=QUICK, weights=str(tmp_path / "missing.safetensors"))
    run = finetune(data, out=tmp_path / "run", model=TINY, config=QUICK, weights="none")
    with pytest.raises(RunError, match="holds a run of other settings"):
        finetune(data, out=run.path, model=TINY, config=dataclasses.replace(QUICK, seed=1), weights="none")


def full_disk(*_: object) -> None:
    raise OSError(28, "No space left on device")


def failing_writer(*_: object) -> None:
    raise RuntimeError("[enforce fail at inline_container.cc:664] . unexpected pos 64 vs 0")


@pytest.mark.parametrize("fail", [full_disk, failing_writer])
def test_a_full_disk_keeps_the_last_checkpoint(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fail: Callable[..., None]
) -> None:
    written: list[Path] = []
    save = torch.save

    def fill(value: object, path: Path) -> None:
        if written:
            fail()
        written.append(path)
        save(value, path)

    monkeypatch.setattr(torch, "save", fill)
    with pytest.raises(
        StorageError, match=r"(No space left|is the disk full).* keeps 1 finished epoch, and the same command resumes"
    ):
        finetune(data, out=tmp_path / "run", model=TINY, config=QUICK, weights="none")
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert names == {"checkpoint.pt", "history.csv", "job.json"}
    assert [row["epoch"] for row in history(tmp_path / "run")] == ["1"]


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
    assert {path.name for path in out.iterdir()} == {"checkpoint.pt", "history.csv", "job.json"}
