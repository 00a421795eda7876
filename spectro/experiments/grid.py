"""Grids of settings for sweeps: which settings of a recipe vary, and the cells that their combinations make."""

from __future__ import annotations

import json
import re
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from importlib.resources import files
from itertools import product

from spectro.audio.features import FEATURES
from spectro.core.config import Config, FinetuneConfig, ModelConfig, RenderConfig, SegmentConfig, require
from spectro.core.errors import ConfigError, did_you_mean
from spectro.core.formatting import format_value
from spectro.core.records import Record
from spectro.core.registry import Registry
from spectro.experiments.recipes import Recipe
from spectro.experiments.results import Setting

Point = Mapping[str, Setting]
"""Full name of each setting, `<part>.<field>`, and its value."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One combination of settings."""

    settings: Point
    recipe: Recipe
    """The recipe with these settings."""
    render_config: RenderConfig
    """How clips are cut and rendered for it."""
    reported: float | None = None
    """Accuracy that a study printed for it, 0..1."""

    @property
    def name(self) -> str:
        """The settings as the name of a folder, the same in whichever order they were given."""
        text = ",".join(f"{name}={format_value(value)}" for name, value in sorted(self.settings.items()))
        return re.sub(r"[^\w.,=+-]", "_", text)


@dataclass(frozen=True, kw_only=True)
class NamedPoint(Record):
    """One combination of settings that a study tried."""

    at: tuple[Setting, ...]
    """The value of each setting of the sweep."""
    reported: Mapping[str, float]
    """Accuracies that the study printed, 0..1, by the beginning of a recipe's name."""

    def reported_of(self, recipe: Recipe) -> float | None:
        """Return the accuracy that the study printed for a recipe; None where it printed none."""
        return next((value for prefix, value in self.reported.items() if recipe.name.startswith(prefix)), None)


@dataclass(frozen=True, kw_only=True)
class NamedSweep(Record):
    """A sweep of a study: not every combination, only those that it tried."""

    title: str
    protocol: str
    """What its accuracies were measured on."""
    settings: tuple[str, ...]
    """Full names of the settings."""
    points: tuple[NamedPoint, ...]

    def cells(self, recipe: Recipe, render_config: RenderConfig) -> list[Cell]:
        """Return the cells of `recipe`; raises ConfigError when it does not have these settings."""
        points = [dict(zip(self.settings, point.at, strict=True)) for point in self.points]
        return [
            replace(cell, reported=point.reported_of(recipe))
            for cell, point in zip(cells(recipe, points, render_config), self.points, strict=True)
        ]


def parse_setting(text: str) -> tuple[str, list[Setting]]:
    """Return name and values of `name=value,value`; numbers, `true`, `false` and `none` are what they look like.

    >>> parse_setting("mfcc.n_fft=512,1024")
    ('mfcc.n_fft', [512, 1024])
    """
    name, equals, values = text.partition("=")
    require(bool(name and equals and values), f"'{text}' is no setting to sweep; write it as mfcc.n_fft=512,1024")
    return name.strip(), [_parse_value(value.strip()) for value in values.split(",")]


def grid(settings: Mapping[str, Sequence[Setting]]) -> list[Point]:
    """Return every combination of the values, the last setting varying fastest."""
    require(bool(settings), "a sweep needs at least one setting, such as mfcc.n_fft=512,1024")
    for name, values in settings.items():
        require(len(values) > 0, f"'{name}' has no values to sweep")
    return [dict(zip(settings, values, strict=True)) for values in product(*settings.values())]


def cells(recipe: Recipe, points: Iterable[Point], render_config: RenderConfig) -> list[Cell]:
    """Return the recipe under each point's settings; all other settings stay those of the recipe and `render_config`.

    Raises
    ------
    ConfigError
        the recipe has no such setting, or a value does not fit; two points are the same.
    """
    choices = setting_names(recipe)
    swept = [
        _cell(recipe, {_full_name(recipe, name, choices): point[name] for name in point}, render_config)
        for point in points
    ]
    names = [cell.name for cell in swept]
    twice = next((name for name in names if names.count(name) > 1), None)
    require(twice is None, f"{twice} would be swept twice; give each value once")
    return swept


def setting_names(recipe: Recipe) -> list[str]:
    """Return the full names of the settings of a recipe that can be swept."""
    parts: dict[str, type[Config]] = {recipe.reads: FEATURES[recipe.reads].config, "segment": SegmentConfig}
    if not recipe.classical or recipe.probing:
        parts["network"] = ModelConfig
    if not recipe.classical:
        parts["training"] = FinetuneConfig
    excluded = {"training.seed"}  # a sweep counts its seeds itself
    if recipe.reads != "mel":
        excluded.add("training.augment")  # only spectrogram images are augmented
    names = [f"{part}.{setting.name}" for part, config in parts.items() for setting in fields(config)]
    return [name for name in names if name not in excluded]


def _full_name(recipe: Recipe, name: str, choices: Sequence[str]) -> str:
    """Return the full name of a setting, whose part may be left out where only one part has it."""
    matching = [choice for choice in choices if name in (choice, choice.partition(".")[2])]
    if len(matching) == 1:
        return matching[0]
    if matching:
        raise ConfigError(f"'{name}' could be {' or '.join(matching)}; write the full name")
    parts = ", ".join(dict.fromkeys(choice.partition(".")[0] for choice in choices))
    hint = did_you_mean(name, choices)
    raise ConfigError(f"recipe '{recipe.name}' has no setting '{name}' to sweep{hint} (it has those of {parts})")


def _cell(recipe: Recipe, point: Point, render_config: RenderConfig) -> Cell:
    given: defaultdict[str, dict[str, Setting]] = defaultdict(dict)
    for name, value in point.items():
        part, _, setting = name.partition(".")
        given[part][setting] = value
    own = {} if recipe.reads == "mel" else given[recipe.reads]
    changed = replace(
        recipe,
        settings={**recipe.settings, **own},
        network={**recipe.network, **given["network"]},
        training={**recipe.training, **given["training"]},
    )
    rendering = {part: {**values, **given[part]} for part, values in render_config.to_dict().items()}
    render_config = RenderConfig.from_dict(rendering)
    parts: dict[str, Config] = {
        "mel": render_config.mel,
        "segment": render_config.segment,
        "network": changed.model_config(),
        "training": changed.training_config(),
        recipe.reads: changed.feature_config() or render_config.mel,
    }
    # As the parts read them: 3 seconds are 3.0, and the folder of a cell is the same for both.
    settings = {name: getattr(parts[name.partition(".")[0]], name.partition(".")[2]) for name in point}
    return Cell(settings=settings, recipe=changed, render_config=render_config)


def _parse_value(text: str) -> Setting:
    if text.lower() == "none":
        return None
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, bool | int | float | str) else text


SWEEPS: Registry[NamedSweep] = Registry("sweep")
"""The studies' sweeps by name."""

for _name, _lines in tomllib.loads((files("spectro.experiments") / "grid.toml").read_text(encoding="utf-8")).items():
    SWEEPS.add(_name)(NamedSweep.from_dict(_lines, f"sweep '{_name}'"))
