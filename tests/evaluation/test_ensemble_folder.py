"""The folder of an ensemble: whatever kills its maker, it holds the old or the new, and nothing else is replaced."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spectro.core.errors import BusyError, RunError, StorageError
from spectro.core.locks import writing
from spectro.core.runs import Run
from spectro.evaluation.ensemble import ensemble
from spectro.evaluation.ensemble_folder import MARK
from spectro.evaluation.evaluate import evaluate, load_or_compute
from spectro.evaluation.statistics import BootstrapConfig
from tests.evaluation.test_ensemble import model_run

QUICK = BootstrapConfig(repeats=20)
OLD, NEW = [1.0, 1.0], [3.0, 1.0]

forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are killed that were forked")


def make_pair(folder: Path) -> list[Run]:
    return [model_run(folder / name, seed) for name, seed in (("a", 1), ("b", 2))]


def die_at(step: int, members: list[Run], out: Path) -> bool:
    """Make the new ensemble in a process that is killed at a step that changes names; tell whether it was."""
    child = os.fork()
    if child == 0:
        steps = count()

        def deadly(function: Any) -> Any:
            def call(*arguments: Any, **options: Any) -> Any:
                if next(steps) == step:
                    os.kill(os.getpid(), signal.SIGKILL)
                return function(*arguments, **options)

            return call

        for name in ("replace", "unlink", "rmdir", "mkdir"):
            setattr(os, name, deadly(getattr(os, name)))
        try:
            ensemble(members, out=out, weights=NEW)
        finally:
            os._exit(0)
    return os.waitpid(child, 0)[1] == signal.SIGKILL


def shares(run: Run) -> list[float]:
    """Return the weights of the members, after comparing every file of the run with its card."""
    run = Run.open(run.path)
    member_clips = [member.predictions("test").pool() for member in run.members()]
    weights = np.array([member.weight for member in run.card.members])
    for subset in ("test", "val"):
        assert run.has_predictions(subset)
        assert run.segment_predictions(subset) is not None
    mixed = np.einsum("m,mic->ic", weights, np.stack([clips.probs for clips in member_clips]))
    np.testing.assert_allclose(run.predictions("test").probs, mixed)
    assert load_or_compute(run).clip.log_loss.value == evaluate(run, config=QUICK).clip.log_loss.value
    return [float(weight * 4) for weight in weights]


@forks
@pytest.mark.slow
def test_a_death_at_any_step_leaves_the_old_or_the_new_ensemble(tmp_path: Path) -> None:
    seen = set()
    for step in count():
        members = make_pair(tmp_path / str(step))
        old = ensemble(members, out=tmp_path / str(step) / "both", weights=OLD)
        evaluate(old, config=QUICK)
        died = die_at(step, members, old.path)
        after = shares(old)
        assert after in ([2, 2], [3, 1])
        seen.add(tuple(after))
        again = ensemble(members, out=old.path, weights=NEW)
        assert shares(again) == [3, 1]
        assert len(list(again.path.glob("generation-*"))) == 1
        assert not list(again.path.glob("*.npz"))
        if not died:
            break
    assert step > 8
    assert seen == {(2, 2), (3, 1)}


@forks
@pytest.mark.slow
def test_a_death_before_the_first_card_leaves_a_folder_that_is_made_again(tmp_path: Path) -> None:
    members = make_pair(tmp_path)
    unfinished = 0
    for step in count():
        out = tmp_path / f"both{step}"
        if not die_at(step, members, out):
            break
        unfinished += not Run(out).card_path.exists()
        assert shares(ensemble(members, out=out, weights=NEW)) == [3, 1]
    assert unfinished >= 5


def test_a_full_disk_keeps_the_old_ensemble(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    members = make_pair(tmp_path)
    old = ensemble(members, out=tmp_path / "both", weights=OLD)

    @contextmanager
    def full(path: Path) -> Iterator[Path]:
        raise StorageError(f"cannot write {path}: no space left")
        yield path

    with monkeypatch.context() as patch:
        patch.setattr("spectro.core.predictions.replacing", full)
        with pytest.raises(StorageError, match="no space"):
            ensemble(members, out=old.path, weights=NEW)
    assert shares(old) == [2, 2]
    assert shares(ensemble(members, out=old.path, weights=NEW)) == [3, 1]


def test_two_writers_of_one_ensemble(tmp_path: Path) -> None:
    members = make_pair(tmp_path)
    with writing(tmp_path / "both"), pytest.raises(BusyError, match="both is written by process"):
        ensemble(members, out=tmp_path / "both")
    assert ensemble(members, out=tmp_path / "both").card.is_ensemble


def test_a_damaged_card_is_made_again_where_an_ensemble_was(tmp_path: Path) -> None:
    members = make_pair(tmp_path)
    both = ensemble(members, out=tmp_path / "both", weights=OLD)
    both.card_path.write_bytes(both.card_path.read_bytes()[:100])
    with pytest.raises(RunError, match="damaged"):
        evaluate(both.path)
    assert shares(ensemble(members, out=both.path, weights=NEW)) == [3, 1]
    both.card_path.write_text("{}")
    (both.path / MARK).write_text("{}")
    with pytest.raises(RunError, match="may be a trained run"):
        ensemble(members, out=both.path)


def test_a_run_that_appears_in_the_meantime_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    members = make_pair(tmp_path)

    @contextmanager
    def late(folder: Path) -> Iterator[None]:
        model_run(folder, 7)
        yield

    monkeypatch.setattr("spectro.evaluation.ensemble_folder.writing", late)
    with pytest.raises(RunError, match="is a trained run"):
        ensemble(members, out=tmp_path / "both")
    assert not Run.open(tmp_path / "both").card.is_ensemble


def test_nested_pairs_of_members_take_no_time(tmp_path: Path) -> None:
    def pair_up(members: list[Run], levels: range) -> list[Run]:
        for level in levels:
            members = [ensemble(members, out=tmp_path / f"{name}{level}") for name in ("first", "second")]
        return members

    began = time.process_time()
    members = pair_up(make_pair(tmp_path), range(15))
    assert [leaf.name for leaf in members[0].leaves()] == ["a", "b"]
    assert evaluate(members[0], config=QUICK).clip.n == 30
    with pytest.raises(RunError, match="nested too deeply"):
        pair_up(members, range(15, 22))
    assert time.process_time() - began < 30
