"""Sweeps: which settings of a recipe are varied, written `<part>.<field>`, the cells they make, and the named ones."""

from __future__ import annotations

import json
import re
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from importlib.resources import files
from itertools import product
from typing import Any

from spectro.audio.features import FEATURES
from spectro.core.config import Config, FinetuneConfig, ModelConfig, RenderConfig, SegmentConfig, require
from spectro.core.errors import ConfigError, did_you_mean
from spectro.core.formatting import format_value
from spectro.core.registry import Registry
from spectro.experiments.recipes import Recipe

Point = Mapping[str, Any]
"""Full name of each setting, and its value."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One combination of settings."""

    settings: Point
    recipe: Recipe
    """The recipe with these settings."""
    pictures: RenderConfig
    """How clips are cut and drawn for it."""
    figure: float | None = None
    """Accuracy that a study printed for it, 0..1."""

    @property
    def name(self) -> str:
        """The settings as the name of a folder, the same in whichever order they were given."""
        text = ",".join(f"{name}={format_value(value)}" for name, value in sorted(self.settings.items()))
        return re.sub(r"[^\w.,=+-]", "_", text)


@dataclass(frozen=True, kw_only=True)
class NamedSweep:
    """A sweep of a study: not every combination, only those that it tried."""

    title: str
    protocol: str
    """What its figures were measured on."""
    settings: Sequence[str]
    """Full names of the settings."""
    points: Sequence[Mapping[str, Any]]
    """`at`, their values, and accuracies by the beginning of a recipe's name."""

    def cells(self, recipe: Recipe, pictures: RenderConfig) -> list[Cell]:
        """Return the cells of `recipe`; raises ConfigError when it does not have these settings."""
        made = cells(recipe, [dict(zip(self.settings, one["at"], strict=True)) for one in self.points], pictures)
        return [replace(cell, figure=_figure(one, recipe)) for cell, one in zip(made, self.points, strict=True)]


def parse_setting(text: str) -> tuple[str, list[Any]]:
    """Return name and values of `name=value,value`; numbers, `true`, `false` and `none` are what they look like.

    >>> parse_setting("mfcc.n_fft=512,1024")
    ('mfcc.n_fft', [512, 1024])
    """
    name, equals, values = text.partition("=")
    require(bool(name and equals and values), f"'{text}' is no setting to sweep; write it as mfcc.n_fft=512,1024")
    return name.strip(), [_value(value.strip()) for value in values.split(",")]


def grid(settings: Mapping[str, Sequence[Any]]) -> list[Point]:
    """Return every combination of the values, the last setting varying fastest."""
    require(bool(settings), "a sweep needs at least one setting, such as mfcc.n_fft=512,1024")
    for name, values in settings.items():
        require(len(values) > 0, f"'{name}' has no values to sweep")
    return [dict(zip(settings, values, strict=True)) for values in product(*settings.values())]


def cells(recipe: Recipe, points: Iterable[Point], pictures: RenderConfig) -> list[Cell]:
    """Return the recipe under each point's settings; other settings stay those of the recipe and of the `pictures`.

    Raises
    ------
    ConfigError
        the recipe has no such setting, or a value does not fit; two points are the same.
    """
    choices = setting_names(recipe)
    made = [_cell(recipe, {_full(recipe, name, choices): one[name] for name in one}, pictures) for one in points]
    names = [cell.name for cell in made]
    twice = next((name for name in names if names.count(name) > 1), None)
    require(twice is None, f"{twice} would be swept twice; give each value once")
    return made


def setting_names(recipe: Recipe) -> list[str]:
    """Return the full names of the settings of a recipe that can be swept."""
    parts: dict[str, type[Config]] = {recipe.feature: FEATURES[recipe.feature].config, "segment": SegmentConfig}
    if not recipe.classical:
        parts |= {"network": ModelConfig, "training": FinetuneConfig}
    mute = {"training.seed"}  # the seeds of a sweep are counted
    if recipe.feature != "mel":
        mute.add("training.augment")  # only pictures are augmented
    return [
        name for part, config in parts.items() for one in fields(config) if (name := f"{part}.{one.name}") not in mute
    ]


def _full(recipe: Recipe, name: str, choices: Sequence[str]) -> str:
    """Return the full name of a setting, whose part may be left out where only one part has it."""
    found = [choice for choice in choices if name in (choice, choice.partition(".")[2])]
    if len(found) == 1:
        return found[0]
    if found:
        raise ConfigError(f"'{name}' could be {' or '.join(found)}; write which")
    parts = ", ".join(dict.fromkeys(choice.partition(".")[0] for choice in choices))
    hint = did_you_mean(name, choices)
    raise ConfigError(f"recipe '{recipe.name}' has no setting '{name}' to sweep{hint} (it has those of {parts})")


def _cell(recipe: Recipe, point: Point, pictures: RenderConfig) -> Cell:
    given: defaultdict[str, dict[str, Any]] = defaultdict(dict)
    for name, value in point.items():
        part, _, setting = name.partition(".")
        given[part][setting] = value
    own = {} if recipe.feature == "mel" else given[recipe.feature]
    changed = replace(
        recipe,
        settings={**recipe.settings, **own},
        network={**recipe.network, **given["network"]},
        training={**recipe.training, **given["training"]},
    )
    drawn = {name: {**values, **given[name]} for name, values in pictures.to_dict().items()}
    pictures = RenderConfig.from_dict(drawn)
    read = {
        **{"mel": pictures.mel, "segment": pictures.segment, "network": changed.model_config()},
        **{"training": changed.training_config(), recipe.feature: changed.feature_config() or pictures.mel},
    }
    # As the parts read them: 3 seconds are 3.0, and the folder of a cell is the same for both.
    settings = {name: getattr(read[name.partition(".")[0]], name.partition(".")[2]) for name in point}
    return Cell(settings=settings, recipe=changed, pictures=pictures)


def _value(text: str) -> Any:
    if text.lower() == "none":
        return None
    try:
        return json.loads(text)
    except ValueError:
        return text


def _figure(point: Mapping[str, Any], recipe: Recipe) -> float | None:
    return next((value for key, value in point.items() if key != "at" and recipe.name.startswith(key)), None)


SWEEPS: Registry[NamedSweep] = Registry("sweep")
"""The studies' sweeps by name."""

for _name, _lines in tomllib.loads((files("spectro.experiments") / "grid.toml").read_text(encoding="utf-8")).items():
    SWEEPS.add(_name)(NamedSweep(**_lines))
