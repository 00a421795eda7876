"""Warnings about a finished training, with remedies: under-fitting, a flat validation score, a baseline that wins."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from spectro.core.config import FinetuneConfig
from spectro.training.dataset import TrainingData
from spectro.training.progress import EpochResult, Progress

UNDERFITTED = 0.6
"""Training accuracy, of augmented and mixed items, below which a network has not learned its training set."""


def advice(progress: Progress, config: FinetuneConfig, data: TrainingData, baseline: float | None) -> tuple[str, ...]:
    """Return one line for each thing that went wrong in a training, with what helps.

    Parameters
    ----------
    progress
        The finished training.
    config
        How it was trained.
    data
        What it was trained on.
    baseline
        Validation accuracy of the cheap baseline, 0..1.
    """
    best = next((row for row in progress.history if row.epoch == progress.best_epoch), None)
    lines = [*_of_fit(progress.history[-1], config)]
    if best is not None and best.val is not None:
        lines += [*_of_validation(best, progress, data), *_of_baseline(progress.best_accuracy, baseline)]
    return tuple(lines)


def _of_fit(last: EpochResult, config: FinetuneConfig) -> Iterator[str]:
    """Tell of a network that did not learn its training set."""
    if last.stage == "frozen" or last.train_accuracy >= UNDERFITTED:
        return
    rate, value = ("--finetune-lr", config.finetune_lr) if last.stage == "finetune" else ("--lr", config.lr)
    yield (
        f"under-fitted: training accuracy is only {last.train_accuracy:.2f} at the end; train longer "
        f"(--epochs {2 * (config.epochs or 1)}) or faster ({rate} {3 * value:.2g})"
    )


def _of_validation(best: EpochResult, progress: Progress, data: TrainingData) -> Iterator[str]:
    """Tell of a validation score that training did not raise."""
    truth = data.truth[data.subsets["val"]]
    majority = float(np.bincount(truth).max() / len(truth))
    if progress.best_accuracy <= majority:
        yield (
            f"validation accuracy never rose above {majority:.2f}, the share of the largest class: check the labels "
            "(spectro data check), or train longer with another --finetune-lr"
        )
    elif best.stage == "frozen" and progress.history[-1].stage == "finetune":
        yield (
            "fine-tuning never raised the validation score, so the frozen stage's weights were kept; try a lower "
            "--finetune-lr, or leave it out (--epochs 0)"
        )


def _of_baseline(accuracy: float, baseline: float | None) -> Iterator[str]:
    """Tell of a network that the cheap baseline beats."""
    if baseline is not None and baseline > accuracy:
        yield (
            f"a random forest on cepstral coefficients reaches {baseline:.2f} on validation, this network only "
            f"{accuracy:.2f}: use it (--model forest), or train this one longer"
        )
