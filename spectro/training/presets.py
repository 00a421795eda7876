"""Training settings by name, and those of a finished run, to train another one like it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from spectro.core.config import FinetuneConfig, ModelConfig
from spectro.core.errors import RunError
from spectro.core.runs import Run

PRESETS: Mapping[str, Mapping[str, int | str]] = {
    "quick": {"head": "multi", "epochs": 0},
    "standard": {},
    "thorough": {"frozen_epochs": 80, "views": 4, "epochs": 24},
}
"""By name, the fields of `ModelConfig` and `FinetuneConfig` that differ from their defaults."""


def preset(name: str) -> tuple[ModelConfig, FinetuneConfig]:
    """Return the settings of a preset, one of `PRESETS`: of the network, and of its training."""
    of_model = ModelConfig().to_dict().keys() & PRESETS[name]
    model = {field: value for field, value in PRESETS[name].items() if field in of_model}
    training = {field: value for field, value in PRESETS[name].items() if field not in of_model}
    return ModelConfig.from_dict(model), FinetuneConfig.from_dict(training)


def settings_of(run: Run | Path | str) -> tuple[ModelConfig, FinetuneConfig, str]:
    """Return how a finished run of one network was trained.

    Parameters
    ----------
    run
        The run, or its folder.

    Returns
    -------
    tuple[ModelConfig, FinetuneConfig, str]
        The model, the training and the name of the split.

    Raises
    ------
    RunError
        the run is unfinished, or is not one network.
    """
    run = Run.open(run)
    card = run.card
    if card.model is None or card.model.network is None or card.training is None:
        raise RunError(f"{run.path} holds a model of kind '{card.kind}'; name the run of one network")
    return card.model.network, card.training, card.split.name
