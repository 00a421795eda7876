"""Head `multi`: solved in the frozen stage, resumed to the same bits, and kept where fine-tuning loses."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from spectro.core.errors import RunError
from spectro.core.runs import Run
from spectro.data.store import open_store
from spectro.training import finetune as finetune_module
from spectro.training import interpolate, loop
from spectro.training.backbone_features import frozen_features, run_features
from spectro.training.finetune import finetune
from spectro.training.progress import Progress, ValidationScores
from spectro.training.regression import PENALTIES, WITHOUT_VALIDATION
from tests.training.shared import QUICK, TINY, differing, history

MULTI = dataclasses.replace(TINY, head="multi")
FROZEN = dataclasses.replace(QUICK, epochs=0)


@pytest.fixture(scope="module")
def solved(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run whose head was solved, its backbone frozen; only read."""
    return finetune(data, out=tmp_path_factory.mktemp("solved") / "run", model=MULTI, config=FROZEN, weights="none")


def test_each_strength_is_an_epoch_and_the_best_is_kept(solved: Run) -> None:
    rows = solved.history()
    assert [row["stage"] for row in rows] == ["frozen"] * len(PENALTIES)
    losses = [float(row["train_loss"]) for row in rows]
    assert losses == sorted(losses, reverse=True)  # ever less regularization
    scores = [(float(row["val_clip_f1"]), -float(row["val_loss"])) for row in rows]
    assert solved.card.history is not None
    assert solved.card.history.best_epoch == 1 + scores.index(max(scores))
    clips = solved.predictions("test").pool()
    assert (clips.predicted == clips.truth).mean() >= 0.75


def test_the_run_holds_the_solution_of_the_best_strength(solved: Run) -> None:
    assert solved.card.history is not None
    best = solved.history()[(solved.card.history.best_epoch or 0) - 1]
    clips = solved.predictions("val").pool()
    assert float((clips.predicted == clips.truth).mean()) == pytest.approx(float(best["val_clip_accuracy"]), abs=1e-5)


@pytest.mark.parametrize("epochs", [1, len(PENALTIES)])
def test_interrupted_and_repeated_it_ends_with_the_same_bits(
    solved: Run, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, epochs: int
) -> None:
    save = finetune_module.save_checkpoint

    def stopped(run: Run, progress: Progress, *rest: Any) -> None:
        save(run, progress, *rest)
        if len(progress.history) == epochs:
            raise RunError("stop here")

    out = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(finetune_module, "save_checkpoint", stopped)
        with pytest.raises(RunError, match="stop here"):
            finetune(data, out=out, model=MULTI, config=FROZEN, weights="none")
    again = finetune(data, out=out, model=MULTI, config=FROZEN, weights="none")
    assert history(again.path) == history(solved.path)
    assert not differing(solved.path, again.path)


def test_without_validation_one_strength_is_solved(data: Path, tmp_path: Path) -> None:
    run = finetune(data, out=tmp_path / "run", split="noval", model=MULTI, config=FROZEN, weights="none")
    assert len(run.history()) == 1
    assert WITHOUT_VALIDATION in PENALTIES


def test_fine_tuning_that_loses_is_not_kept(solved: Run, data: Path, tmp_path: Path) -> None:
    config = dataclasses.replace(QUICK, epochs=1, finetune_lr=0.9, warmup_ratio=0.0, lr_schedule="constant")
    run = finetune(data, out=tmp_path / "run", model=MULTI, config=config, weights="none")
    assert run.history()[-1]["stage"] == "finetune"
    assert run.card.history is not None
    assert run.card.history.best_epoch == solved.card.history.best_epoch  # type: ignore[union-attr]
    assert not differing(solved.path, run.path)
    assert any("never raised the validation score" in line for line in run.card.history.warnings)


def test_fine_tuning_begins_with_the_solution(solved: Run, data: Path, tmp_path: Path) -> None:
    config = dataclasses.replace(QUICK, epochs=1, finetune_lr=1e-9, freeze_bn=True)
    run = finetune(data, out=tmp_path / "run", model=MULTI, config=config, weights="none")
    first, second = load_file(solved.weights_path), load_file(run.weights_path)
    assert all(torch.allclose(first[name], second[name], atol=1e-6) for name in first)


def test_maps_read_the_statistics(solved: Run, data: Path) -> None:
    segments, trained = run_features(solved, data, device="cpu")
    frozen = frozen_features(open_store(data), MULTI, "none")
    assert (
        trained.shape == frozen.shape == (len(segments), load_file(solved.weights_path)["head.linear.weight"].shape[1])
    )
    assert np.allclose(trained, frozen, atol=1e-3)  # the backbone stayed as it was


def test_views_of_the_items_are_learned_too(data: Path, tmp_path: Path) -> None:
    config = dataclasses.replace(FROZEN, views=2)
    run = finetune(data, out=tmp_path / "run", model=MULTI, config=config, weights="none")
    assert len(run.history()) == len(PENALTIES)


def test_weights_between_start_and_end_are_kept_where_they_are_better(
    solved: Run, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A score that favours the middle of the way: neither the start nor the last epoch has its weights."""
    ends = {}

    def favouring_the_middle(fabric: Any, stage: Any, task: Any, module: Any, epoch: int) -> ValidationScores:
        weight = module.head.linear.weight.detach().clone()
        start = ends.setdefault("start", load_file(solved.weights_path)["head.linear.weight"])
        end = ends.setdefault("end", weight)
        way = float((weight - start).norm() / (end - start).norm())
        return ValidationScores(loss=abs(way - 0.5), segment_accuracy=0.5, clip_accuracy=way, clip_f1=1.0)

    monkeypatch.setattr(loop, "validate", favouring_the_middle)
    monkeypatch.setattr(interpolate, "validate", favouring_the_middle)
    config = dataclasses.replace(QUICK, epochs=1, finetune_lr=1e-3, freeze_bn=True)
    run = finetune(data, out=tmp_path / "run", model=MULTI, config=config, weights="none")
    assert run.card.history is not None
    assert run.card.history.best_share == 0.5
    assert run.card.history.best_epoch == len(run.history())
    kept = load_file(run.weights_path)["head.linear.weight"]
    assert torch.allclose(kept, (ends["start"] + ends["end"]) / 2, atol=1e-6)

    def stopped(run: Run, progress: Progress, *rest: Any) -> None:
        save(run, progress, *rest)
        if progress.stage == "finetune":
            raise RunError("stop here")

    save, out = finetune_module.save_checkpoint, tmp_path / "resumed"
    with monkeypatch.context() as patch:
        patch.setattr(finetune_module, "save_checkpoint", stopped)
        with pytest.raises(RunError, match="stop here"):
            finetune(data, out=out, model=MULTI, config=config, weights="none")
    assert not differing(run.path, finetune(data, out=out, model=MULTI, config=config, weights="none").path)
