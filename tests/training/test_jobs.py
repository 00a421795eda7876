"""A run's folder: nothing else is replaced, one process writes, the same settings resume, and damage is one line."""

from __future__ import annotations

import dataclasses
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from spectro.audio.features.stats import StatsConfig
from spectro.core.config import ClassicalConfig
from spectro.core.errors import BusyError, RunError, StorageError, WeightsError
from spectro.core.files import read_document, write_document
from spectro.core.runs import Run
from spectro.training.checkpoint import Basis, save_checkpoint
from spectro.training.finetune import finetune
from spectro.training.jobs import JOB_VERSION, Job, claim
from spectro.training.progress import Progress
from spectro.training.train_classical import train_classical
from tests.builders import ensemble_card, make_run
from tests.training.shared import QUICK, TINY, differing, history

FEW = StatsConfig(set="centroid+rms+zcr")
QUICK_FIT = ClassicalConfig(search=False, folds=2)
ROOT = Path(__file__).parents[2]
RIVAL = """
import dataclasses, sys
from spectro.core.errors import SpectroError
from spectro.training.finetune import finetune
from tests.training.shared import QUICK, TINY
config = dataclasses.replace(QUICK, seed=int(sys.argv[3]), frozen_epochs=int(sys.argv[4]))
try:
    finetune(sys.argv[1], out=sys.argv[2], model=TINY, config=config, weights="none")
except SpectroError as error:
    sys.exit(f"{type(error).__name__} {error}")
"""


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_finished_run_is_returned_and_other_settings_are_refused(finished: Path, data: Path) -> None:
    before = files(finished)
    finetune(data, out=finished, model=TINY, config=QUICK, weights="none")
    with pytest.raises(RunError, match=r"training\.lr: 0\.002 here, 0\.001 there"):
        finetune(data, out=finished, model=TINY, config=dataclasses.replace(QUICK, lr=2e-3), weights="none")
    assert files(finished) == before


def test_a_setting_that_came_later_has_its_default_in_older_runs(finished: Path, data: Path, tmp_path: Path) -> None:
    run = shutil.copytree(finished, tmp_path / "run")
    job = read_document(run / "job.json", "job", JOB_VERSION, remedy="")
    del job["training"]["cache_finetune"]
    write_document(run / "job.json", "job", JOB_VERSION, job)
    finetune(data, out=run, model=TINY, config=QUICK, weights="none")
    later = dataclasses.replace(QUICK, unfreeze=1, cache_finetune=True)
    with pytest.raises(RunError, match=r"training\.cache_finetune: True here, False there"):
        finetune(data, out=run, model=TINY, config=later, weights="none")


def test_a_run_that_could_not_start_gives_way_to_another(data: Path, tmp_path: Path) -> None:
    with pytest.raises(WeightsError):
        finetune(data, out=tmp_path / "run", model=TINY, config=QUICK, weights=str(tmp_path / "missing.safetensors"))
    run = finetune(data, out=tmp_path / "run", model=TINY, config=QUICK, weights="none")
    with pytest.raises(RunError, match="holds a run of other settings"):
        finetune(data, out=run.path, model=TINY, config=dataclasses.replace(QUICK, seed=1), weights="none")


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:40])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def zero(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def flip(path: Path) -> None:
    content = path.read_bytes()
    place = len(content) // 2
    path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])


def make_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def job_of(run: Path) -> Job:
    return Job.from_dict(read_document(run / "job.json", "job", JOB_VERSION, remedy=""))


NAMES = ("job.json", "card.json", "weights.safetensors", "history.csv", "predictions-val.npz", "predictions-test.npz")
DAMAGES = [
    (name, damage)
    for name in NAMES
    for damage in (cut, empty, zero, flip, make_folder, Path.unlink)
    if (name, damage) != ("card.json", Path.unlink)  # then it counts as unfinished
]


@pytest.mark.parametrize(("name", "damage"), DAMAGES)
def test_a_damaged_run_is_one_line_and_left_alone(
    finished: Path, tmp_path: Path, name: str, damage: Callable[[Path], None]
) -> None:
    run = shutil.copytree(finished, tmp_path / "run")
    job = job_of(run)
    damage(run / name)
    before = files(run)
    refusal = pytest.raises(RunError, match=r"remove|choose another")
    with refusal as refused, claim(Run(run), job):
        pass
    assert "\n" not in str(refused.value)
    assert str(run) in str(refused.value)
    assert files(run) == before


def test_what_the_line_about_a_damaged_run_advises_makes_it_again(finished: Path, data: Path, tmp_path: Path) -> None:
    run = shutil.copytree(finished, tmp_path / "run")
    zero(run / "weights.safetensors")
    (run / "card.json").unlink()
    finetune(data, out=run, model=TINY, config=QUICK, weights="none")
    assert not differing(finished, run)


def test_a_finished_run_without_card_is_not_given_to_another_job(finished: Path, data: Path, tmp_path: Path) -> None:
    run = shutil.copytree(finished, tmp_path / "run")
    (run / "card.json").unlink()
    with pytest.raises(RunError, match="holds a run of other settings"):
        finetune(data, out=run, model=TINY, config=dataclasses.replace(QUICK, seed=1), weights="none")
    assert (run / "weights.safetensors").read_bytes() == (finished / "weights.safetensors").read_bytes()


def a_data_folder(path: Path, data: Path) -> None:
    shutil.copytree(data, path)


def an_ensemble(path: Path, _: Path) -> None:
    make_run(path, card=ensemble_card(Run(path), {"a": path.parent / "a", "b": path.parent / "b"}))


def another_run(path: Path, _: Path) -> None:
    make_run(path)


def a_file(path: Path, _: Path) -> None:
    path.write_text("mine")


def a_folder_with_other_files(path: Path, _: Path) -> None:
    path.mkdir()
    (path / "notes.txt").write_text("mine")


OTHERS = (a_data_folder, an_ensemble, another_run, a_file, a_folder_with_other_files)


@pytest.mark.parametrize("make", OTHERS)
def test_what_is_no_run_of_training_is_not_replaced(
    data: Path, tmp_path: Path, make: Callable[[Path, Path], None]
) -> None:
    out = tmp_path / "out"
    make(out, data)
    before = out.read_bytes() if out.is_file() else files(out)
    with pytest.raises(RunError, match=make.__name__.replace("_", " ")) as refused:
        finetune(data, out=out, model=TINY, config=QUICK, weights="none")
    assert "choose another --out" in str(refused.value)
    with pytest.raises(RunError, match=make.__name__.replace("_", " ")):
        train_classical(data, out=out, model="bayes", feature_config=FEW, config=QUICK_FIT)
    assert (out.read_bytes() if out.is_file() else files(out)) == before


def test_a_place_where_nothing_can_be_made_is_one_line(data: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for out in (tmp_path / "file" / "run", tmp_path / "loop", tmp_path / ("x" * 300)):
        with pytest.raises((StorageError, RunError)) as refused:
            finetune(data, out=out, model=TINY, config=QUICK, weights="none")
        assert "\n" not in str(refused.value)


def test_a_held_folder_names_its_owner_and_a_finished_run_needs_no_lock(finished: Path, tmp_path: Path) -> None:
    run, job = Run(tmp_path / "run"), Job(method="knn")
    with claim(run, job) as done:
        assert not done
        other = pytest.raises(BusyError, match=rf"is written by process {os.getpid()} on ")
        with other, claim(run, Job(method="svm")):
            pass
    copy = Run(shutil.copytree(finished, tmp_path / "copy"))
    job = job_of(copy.path)
    copy.path.chmod(0o555)
    try:
        with claim(copy, job) as done:
            assert done
    finally:
        copy.path.chmod(0o755)


def rival(data: Path, out: Path, seed: int, epochs: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", RIVAL, str(data), str(out), str(seed), str(epochs)]
    return subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_the_second_of_two_trainings_is_refused_and_names_the_first(data: Path, tmp_path: Path, seed: int) -> None:
    out = tmp_path / "run"
    first = rival(data, out, 0, 100_000)
    try:
        for wanted in (".owner.json", "checkpoint.pt"):  # before its first epoch, and after it
            while not (out / wanted).exists():
                assert first.poll() is None
                time.sleep(0.01)
            second = rival(data, out, seed, 100_000)
            _, errors = second.communicate(timeout=120)
            assert second.returncode == 1
            assert errors.startswith("BusyError ")
            assert f"process {first.pid} on " in errors
            assert len(errors.splitlines()) == 1
            assert first.poll() is None
    finally:
        first.kill()
        first.communicate()


@pytest.mark.slow
def test_two_trainings_at_once_leave_the_run_of_the_first(finished: Path, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    rivals = [rival(data, out, 0, QUICK.frozen_epochs) for _ in range(2)]
    ended = [(one.communicate(timeout=120)[1], one.returncode) for one in rivals]
    assert 0 in [code for _, code in ended]
    assert all(not code or errors.startswith("BusyError ") for errors, code in ended)
    assert not differing(finished, out)
    assert history(out) == history(finished)


@pytest.mark.slow
def test_a_killed_owner_blocks_nobody(finished: Path, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    first = rival(data, out, 0, 100_000)
    while not (out / ".owner.json").exists():
        assert first.poll() is None
        time.sleep(0.01)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    assert (out / ".owner.json").exists()
    for path in out.glob("[!.]*"):  # as if it had died before its first epoch
        path.unlink()
    finetune(data, out=out, model=TINY, config=QUICK, weights="none")
    assert not differing(finished, out)


def test_half_written_files_of_the_dead_are_removed(data: Path, tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", "from spectro.core.files import temporary_name as t; print(t())"],
                            stdout=subprocess.PIPE, text=True, cwd=ROOT)  # fmt: skip
    name = gone.communicate()[0].strip()
    run = Run(tmp_path / "run")
    run.path.mkdir()
    (run.path / name).write_bytes(b"half")
    with claim(run, Job(method="knn")):
        assert not (run.path / name).exists()


@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_all_files_of_a_run_get_what_the_umask_allows(data: Path, tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        runs = [
            finetune(data, out=tmp_path / "torch", model=TINY, config=QUICK, weights="none"),
            train_classical(data, out=tmp_path / "sklearn", model="bayes", feature_config=FEW, config=QUICK_FIT),
        ]
    finally:
        os.umask(before)
    for run in runs:
        wrong = {path.name: oct(path.stat().st_mode & 0o777) for path in run.path.iterdir()}
        assert set(wrong.values()) == {oct(0o666 & ~umask)}, wrong


def other_settings(path: Path) -> None:
    write_document(path, "job", JOB_VERSION, Job(method="svm").to_dict())


@pytest.mark.parametrize("damage", [cut, empty, zero, flip, Path.unlink, other_settings])
def test_a_damaged_or_foreign_job_is_made_again_from_the_checkpoint(
    tmp_path: Path, damage: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    run, job = Run(tmp_path / "run"), Job(method="knn")
    with claim(run, job):
        save_checkpoint(run, Progress(), 0.0, Basis(job=job.config_id()))
    damage(run.path / "job.json")
    if damage is not other_settings:
        with pytest.raises(RunError, match=r"remove|choose another --out"), claim(run, Job(method="bayes")):
            pass
    with claim(run, job) as finished:
        assert not finished
    assert job_of(run.path) == job
    assert "job.json was not of the training" in caplog.text
