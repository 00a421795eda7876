"""Grids: settings read from text, named in full, and made into cells; what a recipe does not have is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from spectro.core.config import RenderConfig
from spectro.core.errors import ConfigError
from spectro.experiments.grid import SWEEPS, cells, grid, parse_setting, setting_names
from spectro.experiments.recipes import RECIPES
from spectro.experiments.results import Setting
from spectro.experiments.sweep import sweep
from tests.experiments.conftest import SPECTROGRAMS


def test_the_grid_of_a_study_has_its_reported_accuracies() -> None:
    lstm, cnn = (SWEEPS["A-grid"].cells(RECIPES[name], RenderConfig()) for name in ("A-lstm", "A-cnn"))
    assert len({cell.name for cell in lstm}) == len(cnn) == 10
    assert lstm[0].name == "mfcc.hop_length=1024,mfcc.n_fft=2048,mfcc.n_mfcc=128"
    assert lstm[0].reported == 0.87
    assert [cell.reported is None for cell in cnn].count(True) == 2
    with pytest.raises(ConfigError, match="unknown sweep 'A-gird'; did you mean 'A-grid'"):
        SWEEPS["A-gird"]


@pytest.mark.parametrize("name", RECIPES)
def test_settings_of_every_recipe_can_be_swept(name: str) -> None:
    recipe = RECIPES[name]
    assert "segment.seconds" in setting_names(recipe)
    points = grid({"segment.seconds": [1, 2], f"{recipe.reads}.n_fft": [512, 1024]})
    assert len(cells(recipe, points, SPECTROGRAMS)) == 4


@pytest.mark.parametrize(
    ("recipe", "settings", "message"),
    [
        ("A-cnn", {"mfcc.nfft": [512]}, "no setting 'mfcc.nfft' to sweep; did you mean 'mfcc.n_fft'"),
        ("A-cnn", {"mel.n_mels": [64]}, "it has those of mfcc, segment, network, training"),
        ("A-cnn", {"training.seed": [1, 2]}, "no setting 'training.seed'"),
        ("D-svm", {"training.lr": [0.1]}, "it has those of stats, segment"),
        ("A-cnn", {"mfcc.n_fft": ["many"]}, "must be of type int"),
        ("A-cnn", {"segment.seconds": [3, 3.0]}, "segment.seconds=3 would be swept twice"),
        ("A", {"n_fft": [512]}, "takes one recipe, but 'A' names 17"),
        ("A-cnn", {}, "takes either settings"),
        ("A-cnn", {"n_fft": []}, "no values"),
    ],
)
def test_a_setting_that_cannot_be_swept_is_refused(
    recipe: str, settings: dict[str, list[Setting]], message: str, shared: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=message.replace(".", r"\.")):
        sweep(shared, recipe=recipe, settings=settings, out=tmp_path)
    assert not list(tmp_path.iterdir())


def test_settings_are_read_as_what_they_look_like() -> None:
    assert parse_setting("a.b=512,1e-3,true,none,mfcc+chroma") == ("a.b", [512, 1e-3, True, None, "mfcc+chroma"])
    for text in ("a.b", "=1", "a.b="):
        with pytest.raises(ConfigError, match=r"write it as mfcc\.n_fft=512,1024"):
            parse_setting(text)
