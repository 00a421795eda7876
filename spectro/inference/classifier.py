"""Classifiers by the kind that a card names; each brings its own library, loaded only when a card asks for it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from spectro.core.arrays import Probs
from spectro.core.card import Card
from spectro.core.config import RenderConfig
from spectro.core.data_folder import DataFolder
from spectro.core.errors import RunError
from spectro.core.predictions import Predictions
from spectro.core.registry import Registry
from spectro.core.runs import Run
from spectro.data.store import open_store
from spectro.inference.onnx_file import is_model_file


class Classifier(Protocol):
    """What every trained model can do, whatever library made it."""

    @property
    def card(self) -> Card:
        """The card of the run that holds it."""
        ...

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names, in the order of the columns of the probabilities."""
        ...

    @property
    def batch_size(self) -> int:
        """Number of items in one call that is fastest."""
        ...

    @property
    def lanes(self) -> Executor | None:
        """Threads that call it side by side, each on a core of its own; None where a call uses all cores."""
        ...

    def predict_proba(self, arrays: NDArray[Any]) -> Probs:
        """Return probabilities `[items, classes]` of `[items, bands, frames]` or `[items, values]`."""
        ...


Loader = Callable[[Run, str], Classifier]

CLASSIFIERS: Registry[Loader] = Registry("kind of classifier")
"""From `card.kind`, or `onnx` for an exported model, to `load(run, device)`; a new kind is one module and one entry."""


@CLASSIFIERS.add("torch")
def _load_torch(run: Run, device: str) -> Classifier:
    from spectro.inference import torch_classifier

    return torch_classifier.load(run, device)


@CLASSIFIERS.add("sklearn")
def _load_sklearn(run: Run, device: str) -> Classifier:
    from spectro.inference import sklearn_classifier

    return sklearn_classifier.load(run)


@CLASSIFIERS.add("probe")
def _load_probe(run: Run, device: str) -> Classifier:
    from spectro.inference import probe_classifier

    return probe_classifier.load(run, device)


@CLASSIFIERS.add("onnx")
def _load_onnx(file: Run, device: str) -> Classifier:
    from spectro.inference import onnx_classifier

    return onnx_classifier.load(file.path, device)


def load_classifier(run: Run | Path | str, device: str = "auto") -> Classifier:
    """Return the classifier of a finished run.

    Parameters
    ----------
    run
        A run of one model, its folder, or the `.onnx` file that it was exported to.
    device
        `auto` (CUDA where there is a GPU), `cpu`, `cuda`, `cuda:1` or `mps`; only networks use it.

    Raises
    ------
    RunError
        the run is unfinished, an ensemble or of an unknown kind, or its weights do not fit its card.
    ConfigError
        there is no such device.
    """
    if not isinstance(run, Run) and is_model_file(run):
        return CLASSIFIERS["onnx"](Run(Path(run)), device)
    run = Run.open(run)
    kind = run.card.kind
    if run.card.is_ensemble:
        names = ", ".join(member.name for member in run.card.members)
        raise RunError(f"{run.path} is an ensemble, not one model; load its members: {names}")
    if kind not in CLASSIFIERS:
        raise RunError(f"{run.path} holds a model of kind '{kind}', but only {', '.join(CLASSIFIERS)} can be loaded")
    return CLASSIFIERS[kind](run, device)


def predict_spectrograms(run: Run | Path | str, data: DataFolder | Path | str, device: str = "auto") -> Predictions:
    """Return a run's predictions of every spectrogram in a data folder, usually one that it was not trained on.

    Parameters
    ----------
    run
        A run of one model, or its folder.
    data
        Folder that `render` made.
    device
        As in `load_classifier`.

    Returns
    -------
    Predictions
        One item per segment; the truth is -1 where the model does not know the class.

    Raises
    ------
    RunError
        the spectrograms were rendered with other settings than the model's, or the model does not take spectrograms.
    """
    run, data = Run.open(run), DataFolder.open(data)
    classifier = load_classifier(run, device)
    feature, _ = classifier.card.of_model()
    if not feature.is_image:
        raise RunError(f"{run.path} takes the feature '{feature.name}', not spectrograms; use `spectro predict`")
    rendered = data.rendered_path(feature.render_config).is_dir()
    store = open_store(data, feature.config_id if rendered else None)
    check_spectrograms(classifier.card, store.config, str(store.path))
    index = {label: number for number, label in enumerate(classifier.labels)}
    return Predictions(
        ids=tuple(segment.id for segment in store.segments),
        clip_ids=tuple(segment.clip.id for segment in store.segments),
        groups=tuple(segment.clip.group for segment in store.segments),
        labels=classifier.labels,
        probs=classifier.predict_proba(store.spectrograms()),
        truth=np.array([index.get(segment.clip.label, -1) for segment in store.segments]),
    )


def check_spectrograms(card: Card, config: RenderConfig, where: str) -> None:
    """Refuse spectrograms that were rendered with other settings than the model's.

    Parameters
    ----------
    card
        Card of a model that takes spectrograms.
    config
        The settings of the spectrograms.
    where
        Their folder, for the message.

    Raises
    ------
    RunError
        the settings differ; the message names each one that does.
    """
    feature, _ = card.of_model()
    if feature.config_id != config.config_id():
        differing = "; ".join(feature.render_config.differences(config))
        raise RunError(
            f"the spectrograms in {where} do not fit {card.name} (model: here, spectrograms: there): {differing}; "
            "render them again with the model's settings"
        )
