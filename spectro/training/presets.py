"""Training settings by name, and those of a finished run, to train another one like it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from spectro.core.config import FinetuneConfig, ModelConfig
from spectro.core.errors import RunError
from spectro.core.runs import Run

PRESETS: Mapping[str, Mapping[str, int]] = {
    "quick": {"frozen_epochs": 20, "epochs": 0},
    "standard": {},
    "thorough": {"frozen_epochs": 80, "views": 4, "epochs": 24},
}
"""By name, the fields of `FinetuneConfig` that differ from its defaults."""


def preset(name: str) -> FinetuneConfig:
    """Return the settings of a preset, one of `PRESETS`."""
    return FinetuneConfig.from_dict(PRESETS[name])


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
