"""finetune for networks and classical models, and the group `models`."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from spectro.cli.train import gmacs, parameter_count
from spectro.core.runs import Run

Spectro = Callable[..., tuple[int, str, str]]


@pytest.mark.slow
def test_finetune_trains_a_classical_model(rendered: Path, tmp_path: Path, spectro: Spectro) -> None:
    data = shutil.copytree(rendered, tmp_path / "data")
    spectro("split", data, "--test", "0.3", "--val", "0.3")
    arguments = ("finetune", data, "--model", "knn", "--stats-set", "rms+zcr", "--seed", 3, "--no-search")
    code, out, err = spectro(*arguments, "--out", tmp_path / "knn")
    assert (code, "trained" in out) == (0, True), err
    card = Run.open(tmp_path / "knn").card
    assert (card.kind, card.seed, card.feature and card.feature.name) == ("sklearn", 3, "stats")
    assert card.fitting is not None
    assert not card.fitting.search
    assert card.command.startswith("spectro finetune")


@pytest.mark.slow
def test_finetune_trains_a_network_on_a_feature(rendered: Path, tmp_path: Path, spectro: Spectro) -> None:
    data = shutil.copytree(rendered, tmp_path / "data")
    spectro("split", data, "--test", "0.3", "--val", "0.3")
    arguments = ("finetune", data, "--model", "B-cnn1d", "--feature", "mfcc", "--epochs", 1, "--device", "cpu")
    code, out, err = spectro(*arguments, "--seeds", 2, "--out", tmp_path / "cnn5")
    assert code == 0, err
    assert "2 seeds" in out
    card = Run.open(tmp_path / "cnn5" / "seed-1").card
    assert (card.kind, card.seed, card.feature and card.feature.name) == ("torch", 1, "mfcc")


@pytest.mark.slow
def test_finetune_trains_a_classical_model_on_a_backbone(rendered: Path, tmp_path: Path, spectro: Spectro) -> None:
    data = shutil.copytree(rendered, tmp_path / "data")
    spectro("split", data, "--test", "0.3", "--val", "0.3")
    arguments = ("finetune", data, "--feature", "backbone", "--backbone", "test_resnet", "--weights", "none")
    code, _, err = spectro(*arguments, "--out", tmp_path / "network")
    assert (code, "say --model logistic --backbone test_resnet" in err) == (2, True)
    code, _, err = spectro(*arguments, "--model", "logistic", "--no-search", "--out", tmp_path / "probe")
    assert code == 0, err
    card = Run.open(tmp_path / "probe").card
    assert (card.kind, card.feature and card.feature.name) == ("probe", "mel")
    assert spectro("evaluate", tmp_path / "probe")[0] == 0
    code, _, err = spectro("export", tmp_path / "probe", "--out", tmp_path / "probe.onnx")
    assert (code, "only networks can be exported" in err) == (2, True)


def test_models_are_listed_and_shown(spectro: Spectro) -> None:
    entries = json.loads(spectro("models", "list", "test_resnet", "--json")[1])
    assert entries[0]["parameters"] > 0
    assert "cnn5" in spectro("models", "list", "cnn5")[1]
    assert "MFCC" in spectro("models", "show", "A-lstm")[1]
    assert json.loads(spectro("models", "show", "test_resnet", "--json")[1])["gmacs"] > 0
    assert "did you mean 'resnet50'?" in spectro("models", "show", "resnett50")[2]


def test_classical_models_are_listed(spectro: Spectro) -> None:
    _, out, _ = spectro("models", "list")
    assert "svm" in out
    assert "0.00 M" not in out


@pytest.mark.parametrize(
    ("count", "text"),
    [(None, "-"), (0, "-"), (650, "650"), (5130, "5,130"), (123_456, "123,456"), (25_557_032, "25.56 M")],
)
def test_a_small_number_of_weights_is_exact(count: int | None, text: str) -> None:
    assert parameter_count(count) == text


@pytest.mark.parametrize(("value", "text"), [(0.0, "-"), (0.00012, "0.00012"), (0.1, "0.10"), (4.134, "4.13")])
def test_small_costs_are_not_rounded_to_zero(value: float, text: str) -> None:
    assert gmacs(value) == text
