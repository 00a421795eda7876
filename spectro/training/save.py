"""A trained model as a folder: weights, predictions of validation and test, and last the card."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import nn

from spectro.core.arrays import softmax
from spectro.core.predictions import Probs
from spectro.core.runs import Run, environment
from spectro.core.tables import Fold
from spectro.inference.batches import Batches, predict_logits
from spectro.inference.classifier import BATCH_SIZE
from spectro.training.dataset import Items, TrainingData


def save_network(
    run: Run, dataset: TrainingData, network: nn.Module, device: torch.device, facts: Mapping[str, Any]
) -> None:
    """Write weights, the predictions of the validation and test folds, and last the card: with it a run is complete."""
    weights = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
    temporary = run.weights_path.with_suffix(".tmp")
    try:
        safetensors.torch.save_file(weights, temporary)
        temporary.replace(run.weights_path)
    finally:
        temporary.unlink(missing_ok=True)
    batches = Batches(dataset.arrays(), device, BATCH_SIZE)
    save_run(
        run,
        dataset,
        lambda items: softmax(predict_logits(network, batches, items)),
        {"kind": "torch", **facts, "input": list(dataset.shape)},
    )


def save_run(run: Run, dataset: TrainingData, say: Callable[[Items], Probs], facts: Mapping[str, Any]) -> None:
    """Write what a model says of validation and test, and the card with `facts`, which holds its kind."""
    judged: tuple[Fold, ...] = ("val", "test")
    for fold in judged:
        items = dataset.folds[fold]
        if len(items):
            dataset.predictions(items, say(items)).save(run.predictions_path(fold))
    run.write_card(
        {
            "name": run.name,
            **dataset.facts(),
            **facts,
            "vote": "soft",
            "temperature": 1.0,
            "environment": environment(),
            "command": shlex.join(["spectro", *sys.argv[1:]])
            if Path(sys.argv[0]).stem in ("spectro", "__main__")
            else "",
        }
    )
