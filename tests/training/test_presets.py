"""Settings by name, from a finished run, and for several seeds."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from spectro import cli
from spectro.core.card import ModelFacts
from spectro.core.config import FinetuneConfig, ModelConfig
from spectro.core.errors import RunError
from spectro.core.runs import Run
from spectro.training.presets import PRESETS, preset, settings_of
from tests.builders import ensemble_card, make_run, model_card, split_facts

MODEL = ModelConfig(name="resnet18", head="gem", in_chans=3)
CONFIG = FinetuneConfig(frozen_epochs=7, epochs=3, lr=0.01, compile=True)


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the command line gave `spectro.finetune`, which is not run."""
    arguments: dict[str, Any] = {}

    def remember(data: Path, **settings: Any) -> SimpleNamespace:
        arguments.update(settings)
        return SimpleNamespace(path=settings["out"], card=SimpleNamespace(history=None))

    monkeypatch.setattr("spectro.finetune", remember, raising=False)
    return arguments


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A finished run of one network."""
    facts = ModelFacts(name=MODEL.name, parameters=1, network=MODEL, settings={})
    card = model_card(model=facts, training=CONFIG, split=split_facts(by="official"))
    return make_run(tmp_path / "run", card=card)


def run_cli(*arguments: object) -> int:
    with pytest.raises(SystemExit) as stopped:
        cli.main([str(argument) for argument in arguments])
    return int(stopped.value.code or 0)


def test_presets_differ_from_the_defaults_as_documented() -> None:
    assert preset("standard") == (ModelConfig(), FinetuneConfig())
    assert preset("quick") == (ModelConfig(head="multi"), FinetuneConfig(epochs=0))
    assert preset("thorough") == (ModelConfig(), FinetuneConfig(frozen_epochs=80, views=4, epochs=24))


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_sets_its_fields_and_options_override_it(name: str, given: dict[str, Any]) -> None:
    run_cli("finetune", "data", "--preset", name)
    model, config = preset(name)
    assert (given["model"], given["config"]) == (model, config)
    run_cli("finetune", "data", "--preset", name, "--frozen-epochs", 30, "--lr", 0.002)  # 30 is also the default
    assert given["config"] == dataclasses.replace(config, frozen_epochs=30, lr=0.002)


def test_an_unknown_preset_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli("finetune", "data", "--preset", "quik") == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    assert "quick" in message


def test_settings_of_a_run_are_those_of_its_card(run: Run, tmp_path: Path) -> None:
    assert settings_of(run) == settings_of(str(run.path)) == (MODEL, CONFIG, "official")
    both = Run(tmp_path / "both")
    make_run(both.path, card=ensemble_card(both, {"run": run.path}))
    with pytest.raises(RunError, match="of kind 'ensemble'"):
        settings_of(both)


def test_settings_of_a_run_yield_to_preset_and_options(run: Run, given: dict[str, Any]) -> None:
    run_cli("finetune", "data", "--from", run.path)
    assert (given["model"], given["config"], given["split"]) == (MODEL, CONFIG, "official")
    run_cli("finetune", "data", "--from", run.path, "--preset", "quick", "--head", "linear", "--no-compile")
    assert given["model"] == ModelConfig(name="resnet18", head="linear", in_chans=3)
    assert given["config"] == FinetuneConfig(frozen_epochs=7, epochs=0, lr=0.01)


def test_seeds_train_a_run_each_and_sum_them_up(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = "--backbone test_resnet --weights none --frozen-epochs 2 --epochs 0 --device cpu --seed 3 --seeds 2"
    assert run_cli("finetune", data, "--out", tmp_path, *options.split()) == 0
    assert [Run.open(tmp_path / f"seed-{seed}").card.seed for seed in (3, 4)] == [3, 4]
    table = capsys.readouterr().out
    assert "deviation" in table
    assert "clip accuracy" in table
