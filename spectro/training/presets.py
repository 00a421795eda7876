"""Settings by name, and the settings of a run that is there, to train another one like it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from spectro.core.config import FinetuneConfig, ModelConfig
from spectro.core.errors import RunError
from spectro.core.runs import Run

PRESETS: dict[str, dict[str, Any]] = {
    "quick": {"epochs": 20, "finetune_epochs": 0},
    "standard": {},
    "thorough": {"epochs": 80, "views": 4, "finetune_epochs": 24},
}
"""By name, the fields of `FinetuneConfig` that differ from its defaults: `FinetuneConfig(**PRESETS["thorough"])`."""


def settings_of(run: Run | Path | str) -> tuple[ModelConfig, FinetuneConfig, str]:
    """Return the model, the training and the name of the split that the card of a run holds.

    Raises
    ------
    RunError
        the run is unfinished, or is not one network.
    """
    run = run if isinstance(run, Run) else Run.open(run)
    card = run.card()
    if card["kind"] != "torch":
        raise RunError(f"{run.path} holds a model of kind '{card['kind']}'; name the run of one network")
    model = {key: value for key, value in card["model"].items() if key != "parameters"}
    return ModelConfig.from_dict(model), FinetuneConfig.from_dict(card["training"]), card["split"]["name"]
