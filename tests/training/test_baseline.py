"""The cheap baseline learns, repeats, and is recorded with what the training should be told of."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from spectro.cli.train import put_history
from spectro.core.config import FinetuneConfig
from spectro.training.advice import UNDERFITTED, advice
from spectro.training.baseline import baseline_accuracy
from spectro.training.dataset import TrainingData
from spectro.training.finetune import finetune
from spectro.training.progress import EpochResult, Progress, ValidationScores
from tests.training.shared import QUICK, TINY


def progress_of(stage: str, *, train: float, val: float, frozen: float | None = None) -> Progress:
    """Return a finished training of one epoch, or of a frozen one that was better before it."""
    accuracies = [] if frozen is None else [("frozen", 1.0, frozen)]
    history = [
        EpochResult(
            epoch=number,
            stage=name,
            lr=1e-3,
            train_loss=1.0,
            train_accuracy=learned,
            val=ValidationScores(loss=1.0, segment_accuracy=right, clip_accuracy=right, clip_f1=right),
            seconds=1.0,
            seconds_steps=1.0,
            seconds_loading=0.0,
            seconds_waiting=0.0,
        )
        for number, (name, learned, right) in enumerate([*accuracies, (stage, train, val)], 1)
    ]
    best = 1 if frozen and frozen > val else len(history)
    return Progress(history=history, best_epoch=best, best_accuracy=frozen if best == 1 and frozen else val)


def test_the_baseline_learns_and_repeats(data: Path) -> None:
    dataset = TrainingData.open(data, "group")
    accuracy = baseline_accuracy(dataset, 0)
    assert accuracy is not None
    assert accuracy >= 0.75
    assert baseline_accuracy(dataset, 0) == accuracy
    assert baseline_accuracy(TrainingData.open(data, "noval"), 0) is None


def test_the_baseline_is_recorded_and_printed(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = dataclasses.replace(QUICK, frozen_epochs=1, epochs=0, baseline=True)
    run = finetune(data, out=tmp_path / "run", model=TINY, config=config, weights="none")
    history = run.card.history
    assert history is not None
    assert history.baseline == baseline_accuracy(TrainingData.open(data, "group"), config.seed)
    put_history(run)
    printed = capsys.readouterr().out
    assert f"{history.baseline:.3f}" in printed
    assert printed.count("warning: ") == len(history.warnings)


@pytest.mark.parametrize("feature", ["frames", "vector"])
def test_features_that_are_no_images_have_a_baseline(data: Path, feature: str, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = TrainingData.open(data, "group")
    values = np.asarray(dataset.arrays(), np.float32)
    monkeypatch.setattr(TrainingData, "arrays", lambda _: values if feature == "frames" else values.mean(axis=2))
    accuracy = baseline_accuracy(dataset, 0)
    assert accuracy is not None
    assert accuracy >= 0.75


@pytest.mark.parametrize(
    ("progress", "baseline", "words"),
    [
        (progress_of("scratch", train=0.9, val=0.8), 0.7, ()),
        (progress_of("scratch", train=UNDERFITTED - 0.1, val=0.8), None, ("under-fitted", "--lr")),
        (progress_of("finetune", train=UNDERFITTED - 0.1, val=0.8), None, ("under-fitted", "--finetune-lr")),
        (progress_of("frozen", train=0.1, val=0.8), None, ()),
        (progress_of("scratch", train=0.9, val=0.1), None, ("never rose above",)),
        (progress_of("finetune", train=0.9, val=0.7, frozen=0.8), None, ("frozen stage's weights were kept",)),
        (progress_of("scratch", train=0.9, val=0.8), 0.9, ("random forest", "0.90", "0.80")),
    ],
)
def test_what_went_wrong_is_one_line_with_a_remedy(
    data: Path, progress: Progress, baseline: float | None, words: tuple[str, ...]
) -> None:
    lines = advice(progress, FinetuneConfig(epochs=10), TrainingData.open(data, "group"), baseline)
    assert len(lines) == bool(words)
    assert all(word in lines[0] for word in words)
    assert not any("\n" in line for line in lines)
