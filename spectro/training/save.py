"""A trained model as a run folder: its file, the predictions of validation and test, and last the card."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import safetensors.torch
import torch
from torch import nn

from spectro.core.arrays import Items, Probs, softmax
from spectro.core.card import Card, HistoryFacts, ModelFacts
from spectro.core.errors import RunError
from spectro.core.files import write_bytes
from spectro.core.runs import Run, environment
from spectro.core.tables import Subset
from spectro.inference.batches import Batches, predict_logits
from spectro.inference.temperature import fit_temperature
from spectro.inference.torch_classifier import BATCH_SIZE
from spectro.training.dataset import TrainingData

PREDICTED: tuple[Subset, ...] = ("val", "test")


def make_card(
    run: Run, data: TrainingData, *, kind: str, model: ModelFacts, seed: int, history: HistoryFacts, command: str = ""
) -> Card:
    """Return the card of a single model: what the data tells, completed by what the training tells.

    Parameters
    ----------
    run
        Its folder, which names it.
    data
        What it was trained on.
    kind
        `torch` or `sklearn`: which classifier reads it.
    model
        Name and settings.
    seed
        Seed of its training.
    history
        How the training went.
    command
        Command line that made it, if it was one.
    """
    return Card(
        name=run.name,
        kind=kind,
        labels=data.labels,
        split=data.split_facts(),
        data=data.data_facts(),
        feature=data.feature_facts(),
        input=data.shape,
        model=model,
        seed=seed,
        history=history,
        environment=environment(),
        command=command,
    )


def save_network(run: Run, data: TrainingData, network: nn.Module, device: torch.device, card: Card) -> None:
    """Write the weights of a network and everything that `save_run` writes.

    Parameters
    ----------
    run
        Folder of the run.
    data
        What the network was trained on.
    network
        The network, on `device`.
    device
        Where its predictions are computed.
    card
        Its card, as `make_card` returned it.
    """
    weights = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
    write_bytes(run.weights_path, safetensors.torch.save(weights))
    batches = Batches(data.arrays(), device, BATCH_SIZE)
    save_run(run, data, predict_proba=lambda items: softmax(predict_logits(network, batches, items)), card=card)


def save_run(run: Run, data: TrainingData, *, predict_proba: Callable[[Items], Probs], card: Card) -> None:
    """Write the predictions of validation and test, and last the card: with it a run is complete.

    Parameters
    ----------
    run
        Folder of the run, which holds the file of the model already.
    data
        What the model was trained on.
    predict_proba
        From items to their probabilities, `[items, classes]`.
    card
        Its card; the temperature is fitted here, on the voted predictions of validation, and is 1 without any.

    Raises
    ------
    RunError
        the model gives probabilities that are not numbers.
    """
    for subset in PREDICTED:
        items = data.subsets[subset]
        if not len(items):
            continue
        probs = predict_proba(items)
        if not np.isfinite(probs).all():
            raise RunError(
                f"the trained model's probabilities of subset '{subset}' are not numbers, so {run.path} is not "
                "completed: lower the learning rate (--lr, --finetune-lr) and start again in a new --out"
            )
        predictions = data.predictions(items, probs)
        predictions.save(run.predictions_path(subset))
        if subset == "val":
            card = replace(card, temperature=fit_temperature(predictions.pool(card.vote)))
    run.write_card(card)
