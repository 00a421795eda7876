"""Classifiers by the kind that a card names: a torch network or a scikit-learn pipeline, loaded from a finished run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray
from torch import nn

from spectro.core.arrays import softmax
from spectro.core.config import ModelConfig, RenderConfig
from spectro.core.errors import RunError
from spectro.core.predictions import Predictions, Probs
from spectro.core.runs import Run
from spectro.data.store import folder_of, open_store
from spectro.inference.batches import Batches, predict_logits
from spectro.models import build, classical

BATCH_SIZE = 32
PIPELINE = "model.skops"
"""Name of the file that holds a scikit-learn pipeline."""


class Classifier(Protocol):
    """What every trained model is to the floors above, whatever made it."""

    @property
    def card(self) -> Mapping[str, Any]:
        """The model's passport."""
        ...

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names, in the order of the columns of the probabilities."""
        ...

    def predict_proba(self, arrays: NDArray[Any]) -> Probs:
        """Return probabilities `[items, classes]` of `[items, bands, frames]` or `[items, values]`."""
        ...


@dataclass(frozen=True)
class TorchClassifier:
    """A torch network with its card."""

    card: Mapping[str, Any]
    network: nn.Module
    device: torch.device

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names, in the order of the columns of the probabilities."""
        return tuple(self.card["labels"])

    def predict_proba(self, arrays: NDArray[Any]) -> Probs:
        """Return probabilities `[items, classes]` of `[items, bands, frames]` or `[items, values]`."""
        batches = Batches(arrays, self.device, BATCH_SIZE)
        return softmax(predict_logits(self.network, batches, np.arange(len(arrays))))


@dataclass(frozen=True)
class SklearnClassifier:
    """A scikit-learn pipeline with its card."""

    card: Mapping[str, Any]
    pipeline: Any

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names, in the order of the columns of the probabilities."""
        return tuple(self.card["labels"])

    def predict_proba(self, arrays: NDArray[Any]) -> Probs:
        """Return probabilities `[items, classes]` of feature vectors `[items, values]`."""
        probs = np.asarray(self.pipeline.predict_proba(np.asarray(arrays)), dtype=np.float64)
        shares: Probs = probs / probs.sum(axis=1, keepdims=True)
        return shares


def load_classifier(run: Run | Path | str, device: str = "auto") -> Classifier:
    """Return the classifier of a finished run.

    Raises
    ------
    RunError
        the run is unfinished, of a kind that this function does not load, or its weights do not fit its card.
    """
    run = run if isinstance(run, Run) else Run.open(run)
    card = run.card()
    if card["kind"] == "sklearn":
        return SklearnClassifier(card, classical.load(run.path / PIPELINE))
    if card["kind"] != "torch":
        raise RunError(f"{run.path} holds a model of kind '{card['kind']}', not one network")
    config = ModelConfig.from_dict({key: value for key, value in card["model"].items() if key != "parameters"})
    bands, frames = card["input"]
    network = build(config, len(card["labels"]), (bands, frames))
    try:
        network.load_state_dict(safetensors.torch.load_file(run.weights_path))
    except (OSError, RuntimeError, safetensors.SafetensorError) as error:
        raise RunError(f"{run.weights_path} does not fit the card: {str(error).splitlines()[0]}") from None
    place = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device)
    return TorchClassifier(card, network.to(place).to(memory_format=torch.channels_last).eval(), place)


def predict_pictures(run: Run | Path | str, data: Path | str, device: str = "auto") -> Predictions:
    """Return what a run says of every picture in a data folder, say one that it was not trained on.

    A class that the model does not know has the truth -1.

    Raises
    ------
    RunError
        the pictures were rendered with other settings than the model's, or the model does not look at pictures.
    """
    run = run if isinstance(run, Run) else Run.open(run)
    classifier = load_classifier(run, device)
    feature = classifier.card["feature"]
    if feature["name"] != "mel":
        raise RunError(f"{run.path} reads the feature '{feature['name']}', not pictures; use `spectro predict`")
    fitting = folder_of(Path(data), RenderConfig.from_dict(feature["config"]))
    store = open_store(data, feature["config_id"] if fitting.is_dir() else None)
    check_pictures(classifier.card, store.config, str(store.path))
    index = {label: number for number, label in enumerate(classifier.labels)}
    return Predictions(
        ids=tuple(segment.id for segment in store.segments),
        clip_ids=tuple(segment.clip.id for segment in store.segments),
        groups=tuple(segment.clip.group for segment in store.segments),
        labels=classifier.labels,
        probs=classifier.predict_proba(store.pictures()),
        truth=np.array([index.get(segment.clip.label, -1) for segment in store.segments]),
    )


def check_pictures(card: Mapping[str, Any], config: RenderConfig, where: str) -> None:
    """Refuse pictures that were made with other settings than the model's.

    Raises
    ------
    RunError
        the config ids differ; the message names each setting that does.
    """
    wanted = RenderConfig.from_dict(card["feature"]["config"])
    if wanted.config_id() != config.config_id():
        differing = "; ".join(wanted.differences(config))
        raise RunError(
            f"the pictures in {where} do not fit {card['name']} (model: here, pictures: there): {differing}; "
            "render them again with the model's settings"
        )
