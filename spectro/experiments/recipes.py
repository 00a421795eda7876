"""Recipes: every system of the studies by name, read from one table, and trained by one call."""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

from spectro.audio.features import FEATURES
from spectro.core.config import Config, FinetuneConfig, ModelConfig
from spectro.core.errors import ConfigError, did_you_mean
from spectro.core.runs import Run
from spectro.training.finetune import finetune
from spectro.training.train_classical import ClassicalConfig, train_classical


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One system of a study: what it eats, what it is, how it is trained, and what the study says of it."""

    name: str
    """Name in the table, `<study>-<system>`."""
    study: str
    """Letter of the study."""
    title: str
    """What the study is."""
    protocol: str
    """What the study's figure was measured on, and how its data was split."""
    figure: float | None = None
    """Accuracy that the study printed, 0..1."""
    note: str = ""
    """What else there is to know: other figures, departures of ours."""
    feature: str = "mel"
    """Name in `FEATURES`; `mel` is the pictures of the data."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Settings of the feature that differ from its defaults; none for pictures, which are there already."""
    model: str = ""
    """Network or backbone, by default the one of the recipe's own name."""
    network: Mapping[str, Any] = field(default_factory=dict)
    """Other settings of the network that differ from their defaults."""
    training: Mapping[str, Any] = field(default_factory=dict)
    """Settings of its training that differ from their defaults."""
    classical: str = ""
    """Classical model, instead of a network."""
    search: bool = True
    """Whether the classical model's settings are searched."""

    def model_config(self) -> ModelConfig:
        """Return the network's settings."""
        return ModelConfig.from_dict({"name": self.model or self.name, **self.network})

    def feature_config(self) -> Config | None:
        """Return the feature's settings; None for pictures."""
        return None if self.feature == "mel" else FEATURES[self.feature].config.from_dict(self.settings)

    def training_config(self, seed: int = 0, epochs_cap: int = 0) -> FinetuneConfig:
        """Return how the network is trained, no stage longer than `epochs_cap` epochs unless that is 0."""
        config = FinetuneConfig.from_dict({**self.training, "seed": seed})
        if not epochs_cap:
            return config
        return dataclasses.replace(
            config,
            epochs=min(config.epochs, epochs_cap),
            finetune_epochs=min(config.finetune_epochs, epochs_cap),
        )

    def train(
        self,
        data: Path | str,
        *,
        out: Path | str,
        split: str = "group",
        seed: int = 0,
        epochs_cap: int = 0,
        weights: str = "auto",
        config_id: str | None = None,
        progress: bool = False,
    ) -> Run:
        """Train the system on `data`; a finished run is returned, an interrupted one goes on.

        Parameters are those of `finetune` and `train_classical`; `epochs_cap` shortens a network's stages, and
        pretrained `weights` are for those that the recipe pretrains.
        """
        common = {"out": out, "split": split, "config_id": config_id, "progress": progress}
        if self.classical:
            return train_classical(
                data,
                model=self.classical,
                feature=self.feature,
                feature_config=self.feature_config(),
                config=ClassicalConfig(search=self.search, seed=seed),
                **common,  # type: ignore[arg-type]  # one dictionary of several types
            )
        return finetune(
            data,
            model=self.model_config(),
            config=self.training_config(seed, epochs_cap),
            weights=weights,
            feature=self.feature,
            feature_config=self.feature_config(),
            **common,  # type: ignore[arg-type]
        )


def read_recipes(text: str) -> dict[str, Recipe]:
    """Return the recipes of a table: a study's lines hold for its systems, whose own lines come on top.

    Raises
    ------
    ConfigError
        a key, feature, or setting is unknown.
    """
    names = {one.name for one in dataclasses.fields(Recipe)}
    found: dict[str, Recipe] = {}
    for study, shared in tomllib.loads(text).items():
        systems = shared.pop("systems")
        for name, own in systems.items():
            values = {**shared, **own, "training": {**shared.get("training", {}), **own.get("training", {})}}
            unknown = sorted(set(values) - names)
            if unknown:
                raise ConfigError(f"recipe '{name}' has no line '{unknown[0]}'{did_you_mean(unknown[0], names)}")
            recipe = Recipe(**{**values, "name": name, "study": study})
            recipe.feature_config(), recipe.model_config(), recipe.training_config()
            found[name] = recipe
    return found


def select(names: str) -> list[Recipe]:
    """Return the recipes that `all`, study letters or names with commas between name, such as `C,A-lstm`.

    Raises
    ------
    ConfigError
        a name is unknown.
    """
    if names == "all":
        return list(RECIPES.values())
    chosen: dict[str, Recipe] = {}
    for name in names.split(","):
        some = {key: one for key, one in RECIPES.items() if name in (key, one.study)}
        if not some:
            raise ConfigError(f"unknown recipe '{name}'{did_you_mean(name, RECIPES)} (`spectro recipes` lists them)")
        chosen |= some
    return list(chosen.values())


RECIPES = read_recipes((files("spectro.experiments") / "recipes.toml").read_text(encoding="utf-8"))
"""Every system of studies A to E by name."""
