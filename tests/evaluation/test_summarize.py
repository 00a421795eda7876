"""Folds and seeds from the command line: folds are pooled, seeds are spread, recipes are told apart."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from spectro import Predictions, Run
from spectro.cli import main

LABELS = ("hiss", "hum")
CLIPS = 20


def made(path: Path, fold: int, right: float, seed: int) -> str:
    """A finished run that was tested on the clips of `fold` and is right about a share of them."""
    rng = np.random.default_rng([fold, seed])
    truth = np.arange(CLIPS) % 2
    said = np.where(rng.permutation(CLIPS) < right * CLIPS, truth, 1 - truth)
    ids = tuple(f"{fold}-{number}" for number in range(CLIPS))
    probs = 0.2 + 0.6 * np.eye(2)[said]
    run = Run(path)
    Predictions(ids=ids, clip_ids=ids, groups=ids, labels=LABELS, probs=probs, truth=truth).save(
        run.predictions_path("test")
    )
    run.write_card({"name": path.name, "kind": "torch", "labels": list(LABELS), "vote": "soft", "temperature": 1.0})
    return str(path)


def say(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as stopped:
        main(["summarize", *arguments])
    said = capsys.readouterr()
    assert not stopped.value.code, said.err
    return said.out


def test_folds_are_pooled_and_two_recipes_told_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = [made(tmp_path / f"a{fold}", fold, 0.85 + 0.05 * fold, 0) for fold in range(3)]
    second = [made(tmp_path / f"b{fold}", fold, 0.6, 1) for fold in range(3)]
    against = ("--against", *second)
    found = json.loads(say(capsys, *first, *against, "--json"))
    assert (found["kind"], found["pooled"]["clip"]["n"]) == ("folds", 3 * CLIPS)
    assert found["pooled"]["clip"]["accuracy"]["value"] == pytest.approx(0.9)
    assert found["spread"]["clip"]["accuracy"]["deviation"] == pytest.approx(0.05)
    assert found["against"]["difference"] == pytest.approx(0.3)
    assert found["against"]["p"] < 0.05
    pooled = found["against"]["pooled"]
    assert (pooled["n"], pooled["difference"]["value"]) == (3 * CLIPS, pytest.approx(0.3))
    assert pooled["only_first"] - pooled["only_second"] == 0.3 * 3 * CLIPS
    text = say(capsys, *first, *against)
    assert "all clips pooled" in text
    assert "first - second: +0.300" in text
    assert "all clips pooled: .30 (" in text


def test_seeds_are_spread_and_not_pooled(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    seeds = [made(tmp_path / f"s{seed}", 0, right, seed) for seed, right in enumerate((0.7, 0.8))]
    found = json.loads(say(capsys, *seeds, "--json"))
    assert found["kind"] == "seeds"
    assert "pooled" not in found
    assert found["spread"]["clip"]["accuracy"]["mean"] == pytest.approx(0.75)
    assert "over 2 seeds" in say(capsys, *seeds)
