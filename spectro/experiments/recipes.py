"""Recipes: systems of the studies, and ours on frozen backbones, by name, from one table, each trained by one call."""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path

from spectro.audio.features import FEATURES
from spectro.core.config import ClassicalConfig, Config, FinetuneConfig, ModelConfig
from spectro.core.data_folder import DataFolder
from spectro.core.errors import ConfigError, did_you_mean
from spectro.core.records import Record
from spectro.core.runs import Run
from spectro.experiments.results import Setting
from spectro.training.finetune import finetune
from spectro.training.probe import BACKBONE, input_of
from spectro.training.stages import usual_epochs
from spectro.training.train_classical import train_classical


@dataclass(frozen=True, kw_only=True)
class Recipe(Record):
    """One system of a study: its input, its model, how it is trained, and what the study reports of it."""

    name: str
    """Name in the table, `<study>-<system>`."""
    study: str
    """Letter of the study."""
    title: str
    """What the study is."""
    protocol: str
    """What the study's accuracy was measured on, and how its data was split."""
    reported: float | None = None
    """Accuracy that the study printed, 0..1."""
    note: str = ""
    """What else there is to know: other accuracies, departures of ours."""
    feature: str = "mel"
    """Name in `FEATURES`; `mel` is the spectrograms of the data, `backbone` what the frozen `model` makes of them, for
    a classical model."""
    settings: Mapping[str, Setting] = field(default_factory=dict)
    """Settings of the feature that differ from its defaults; none for spectrograms, which are already rendered."""
    model: str = ""
    """Network or backbone, by default the one of the recipe's own name."""
    network: Mapping[str, Setting] = field(default_factory=dict)
    """Other settings of the network that differ from their defaults."""
    training: Mapping[str, Setting] = field(default_factory=dict)
    """Settings of its training that differ from their defaults."""
    classical: str = ""
    """Classical model, instead of a network or on the features of one."""
    search: bool = True
    """Whether the classical model's settings are searched."""

    @classmethod
    def _required(cls) -> tuple[str, ...]:
        return ("name", "study", "title", "protocol")

    def model_config(self) -> ModelConfig:
        """Return the network's settings."""
        return ModelConfig.from_dict({"name": self.model or self.name, **self.network})

    @property
    def probing(self) -> bool:
        """Whether a classical model takes the features of a network."""
        return self.feature == BACKBONE

    @property
    def reads(self) -> str:
        """Name in `FEATURES` of what a trained run takes: the feature, or what the probed network takes."""
        return input_of(self.model_config()) if self.probing else self.feature

    def feature_config(self) -> Config | None:
        """Return the settings of what it reads; None for spectrograms."""
        return None if self.reads == "mel" else FEATURES[self.reads].config.from_dict(self.settings)

    def training_config(self, seed: int = 0, epochs_cap: int = 0) -> FinetuneConfig:
        """Return how the network is trained, no stage longer than `epochs_cap` epochs unless that is 0."""
        config = FinetuneConfig.from_dict({**self.training, "seed": seed})
        if not epochs_cap:
            return config
        epochs = usual_epochs(self.model_config(), config)
        return dataclasses.replace(
            config, frozen_epochs=min(config.frozen_epochs, epochs_cap), epochs=min(epochs, epochs_cap)
        )

    def train(
        self,
        data: DataFolder | Path | str,
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
        if self.classical:
            return train_classical(
                data,
                model=self.classical,
                backbone=self.model_config() if self.probing else None,
                weights=weights if self.probing else "auto",
                feature=self.feature,
                feature_config=self.feature_config(),
                config=ClassicalConfig(search=self.search, seed=seed),
                out=out,
                split=split,
                config_id=config_id,
                progress=progress,
            )
        return finetune(
            data,
            model=self.model_config(),
            config=self.training_config(seed, epochs_cap),
            weights=weights,
            feature=self.feature,
            feature_config=self.feature_config(),
            out=out,
            split=split,
            config_id=config_id,
            progress=progress,
        )


def read_recipes(text: str) -> dict[str, Recipe]:
    """Return the recipes of a TOML table: a study's lines apply to its systems, whose own lines override them.

    Raises
    ------
    ConfigError
        a line, feature, or setting is unknown, or a value does not fit.
    """
    recipes: dict[str, Recipe] = {}
    for study, shared in tomllib.loads(text).items():
        systems = shared.pop("systems")
        for name, own in systems.items():
            training = {**shared.get("training", {}), **own.get("training", {})}
            values = {**shared, **own, "training": training, "name": name, "study": study}
            recipe = Recipe.from_dict(values, f"recipe '{name}'")
            recipe.feature_config(), recipe.model_config(), recipe.training_config()  # raise where a setting is wrong
            if recipe.probing and not recipe.classical:
                raise ConfigError(f"recipe '{name}' has the feature {BACKBONE}, but names no classical model for it")
            recipes[name] = recipe
    return recipes


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
        matching = {key: recipe for key, recipe in RECIPES.items() if name in (key, recipe.study)}
        if not matching:
            hint = did_you_mean(name, RECIPES)
            raise ConfigError(f"unknown recipe '{name}'{hint} (`spectro bench recipes` lists them)")
        chosen |= matching
    return list(chosen.values())


RECIPES = read_recipes((files("spectro.experiments") / "recipes.toml").read_text(encoding="utf-8"))
"""Every system of studies A to E, and those of ours on frozen backbones (T), by name."""
