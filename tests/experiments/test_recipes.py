"""Recipes: each one names what exists and trains on synthetic sound."""

from __future__ import annotations

from pathlib import Path

import pytest

from spectro.core.errors import ConfigError
from spectro.experiments.recipes import RECIPES, read_recipes, select
from spectro.models import NETWORKS
from spectro.models.classical import METHODS


def test_the_studies_are_complete() -> None:
    assert {recipe.study for recipe in RECIPES.values()} == set("ABCDET")
    assert {name for name in NETWORKS if name != "cnn5"} <= set(RECIPES)
    assert {recipe.classical for recipe in RECIPES.values()} - {""} == set(METHODS)
    for recipe in RECIPES.values():
        assert recipe.name.startswith(f"{recipe.study}-")
        assert recipe.protocol


@pytest.mark.slow
@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_trains_for_an_epoch(name: str, whole_clips: Path, tmp_path: Path) -> None:
    recipe = RECIPES[name]
    if recipe.classical == "xgboost":
        pytest.importorskip("xgboost")
    run = recipe.train(whole_clips, out=tmp_path / name, epochs_cap=1, weights="none")
    assert run.predictions("test").probs.shape == (8, 4)
    feature, _ = run.card.of_model()
    assert feature.name == recipe.reads
    assert run.card.kind == ("probe" if recipe.probing else "sklearn" if recipe.classical else "torch")


def test_names_letters_and_all_select_recipes() -> None:
    assert select("all") == list(RECIPES.values())
    assert [recipe.name for recipe in select("E,C-svm")] == ["E-cnn", "E-lstm", "C-svm"]
    with pytest.raises(ConfigError, match="unknown recipe 'A-cn'; did you mean 'A-cnn'"):
        select("A-cn")


@pytest.mark.parametrize(
    ("name", "frozen", "epochs"), [("A-cnn", 30, 60), ("C-cnn", 30, 80), ("C-resnet50", 80, 10), ("C-vgg16", 15, 10)]
)
def test_stages_are_as_long_as_stated_and_can_be_capped(name: str, frozen: int, epochs: int) -> None:
    config = RECIPES[name].training_config(seed=7)
    assert (config.frozen_epochs, config.epochs, config.seed) == (frozen, epochs, 7)
    assert config.mixup == config.cutmix == 0
    capped = RECIPES[name].training_config(epochs_cap=12)
    assert (capped.frozen_epochs, capped.epochs) == (min(frozen, 12), min(epochs, 12))


@pytest.mark.parametrize(("model", "epochs"), [("cnn5", 30), ("resnet50", 10)])
def test_default_epochs_are_capped_too(model: str, epochs: int) -> None:
    table = f'[X]\ntitle = "x"\nprotocol = "y"\n[X.systems]\nX-one = {{ model = "{model}" }}\n'
    recipe = read_recipes(table)["X-one"]
    assert recipe.training_config().epochs is None
    assert recipe.training_config(epochs_cap=100).epochs == epochs
    assert recipe.training_config(epochs_cap=2).epochs == 2


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('featur = "mel"', "recipe 'X-one' has no setting 'featur'; did you mean 'feature'"),
        ('reported = "high"', "recipe 'X-one'.reported is \"high\", but must be of type float"),
        ("training = { epoch = 3 }", "has no setting 'epoch'; did you mean 'epochs'"),
        ('feature = "backbone"', "recipe 'X-one' has the feature backbone, but names no classical model"),
    ],
)
def test_a_table_with_a_wrong_line_is_refused(line: str, message: str) -> None:
    table = f'[X]\ntitle = "x"\nprotocol = "y"\n[X.systems]\nX-one = {{ model = "cnn5", {line} }}\n'
    with pytest.raises(ConfigError, match=message):
        read_recipes(table)
