"""Commands about finished runs, on runs that are made by hand."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from spectro.cli.evaluate import parse_weights
from spectro.core.errors import ConfigError
from spectro.core.runs import Run
from tests.builders import make_run, random_predictions

Spectro = Callable[..., tuple[int, str, str]]


@pytest.fixture
def runs(tmp_path: Path) -> tuple[Path, Path]:
    """Two runs that were tested on the same clips, the second better than the first."""
    first = {"test": random_predictions(1), "val": random_predictions(2)}
    second = {"test": random_predictions(1, skill=3.0), "val": random_predictions(2, skill=3.0)}
    return make_run(tmp_path / "first", first).path, make_run(tmp_path / "second", second).path  # type: ignore[arg-type]


def test_evaluate_prints_metrics_and_changes_no_card(runs: tuple[Path, Path], spectro: Spectro) -> None:
    before = [(run / "card.json").read_bytes() for run in runs]
    values = json.loads(spectro("evaluate", *runs, "--min-confidence", "0.6", "--json")[1])
    assert [one["run"] for one in values] == ["first", "second"]
    assert all(0 <= one["clip"]["accuracy"]["low"] <= one["clip"]["accuracy"]["high"] <= 1 for one in values)
    assert values[0]["selective"]["threshold"] == 0.6
    _, out, _ = spectro("evaluate", *runs, "--subset", "val", "--min-confidence", "0.6")
    assert "coverage" in out
    assert [(run / "card.json").read_bytes() for run in runs] == before


def test_compare_prints_tests_or_writes_text(runs: tuple[Path, Path], tmp_path: Path, spectro: Spectro) -> None:
    _, out, _ = spectro("compare", *runs)
    assert "- second" in out
    assert len(json.loads(spectro("compare", *runs, "--format", "json")[1])["pairs"]) == 1
    spectro("compare", *runs, "--format", "md", "--out", tmp_path / "table.md")
    assert "second" in (tmp_path / "table.md").read_text()


@pytest.mark.parametrize("weights", [(), ("--weights", "0.25", "0.75"), ("--weights", "fitted"), ("--vote", "median")])
def test_ensemble_takes_numbers_or_a_way_to_fit(
    weights: tuple[str, ...], runs: tuple[Path, Path], tmp_path: Path, spectro: Spectro
) -> None:
    code, out, err = spectro("ensemble", *runs, *weights, "--out", tmp_path / "both")
    assert code == 0, err
    assert "share" in out
    card = Run.open(tmp_path / "both").card
    assert [member.name for member in card.members] == ["first", "second"]
    assert card.command.startswith("spectro ensemble")


def test_weights_are_numbers_or_one_word() -> None:
    assert parse_weights(()) is None
    assert parse_weights((0.5, 2.0)) == [0.5, 2.0]
    assert parse_weights(("best",)) == "best"
    with pytest.raises(ConfigError, match="one word"):
        parse_weights(("best", "fitted"))


def test_predictions_of_any_program_are_evaluated(tmp_path: Path, spectro: Spectro) -> None:
    path = tmp_path / "predictions.csv"
    with path.open("w", newline="") as file:
        write = csv.writer(file).writerow
        write(("id", "truth", "hum", "hiss"))
        for number in range(8):
            write(
                (
                    f"clip-{number}",
                    "hum" if number % 2 else "hiss",
                    0.5 + 0.05 * (number - 4),
                    0.5 - 0.05 * (number - 4),
                )
            )
    _, out, _ = spectro("evaluate-predictions", path, "--json")
    assert json.loads(out)[0]["items"]["clips"] == 8
    assert "8 clips" in spectro("evaluate-predictions", path, "--vote", "median")[1]


def test_crossval_summarizes_seeds(runs: tuple[Path, Path], spectro: Spectro) -> None:
    _, out, _ = spectro("crossval", *runs)
    assert "over 2 seeds" in out
    summary = json.loads(spectro("crossval", *runs, "--against", *runs, "--json")[1])
    assert summary["kind"] == "seeds"
    assert summary["against"]["difference"] == 0
