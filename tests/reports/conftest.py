"""Runs to report on: predictions made by hand on the rendered corpus, with untrained networks."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from spectro.core.arrays import softmax
from spectro.core.card import FeatureFacts, HistoryFacts, ModelFacts
from spectro.core.config import ModelConfig
from spectro.core.predictions import Predictions
from spectro.core.runs import Run
from spectro.core.tables import Subset
from spectro.data.store import open_store, picture_shape
from spectro.evaluation.ensemble import ensemble
from spectro.models import build
from spectro.reports.html import report
from spectro.training.checkpoint import HISTORY_COLUMNS
from tests import builders

NAMES = ("first", "second")


def predictions_of(data: Path, seed: int = 0) -> Predictions:
    """Predictions of all segments of the corpus that take some "hiss" for "hum" and are right about most others."""
    segments = open_store(data).segments
    labels = tuple(sorted({segment.clip.label for segment in segments}))
    truth = np.array([labels.index(segment.clip.label) for segment in segments])
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(len(truth), len(labels))) * 0.5 + 3 * np.eye(len(labels))[truth]
    confused = np.array(["hiss-1" in segment.clip.id for segment in segments])
    logits[confused] += 6 * np.eye(len(labels))[labels.index("hum")]
    return Predictions(
        ids=tuple(segment.id for segment in segments),
        clip_ids=tuple(segment.clip.id for segment in segments),
        groups=tuple(segment.clip.group for segment in segments),
        labels=labels,
        probs=softmax(logits),
        truth=truth,
    )


ADVICE = "under-fitted: <train> longer"
"""A warning in the cards of these runs."""


def make_run(path: Path, data: Path, *, seed: int = 0, leaky: bool = False, val: bool = True) -> Run:
    """A run on the rendered corpus, without weights."""
    config = open_store(data).config
    predictions = predictions_of(data, seed)
    subsets: dict[Subset, Predictions] = {"test": predictions, **({"val": predictions} if val else {})}
    split = builders.split_facts(
        by="segment" if leaky else "group",
        sha256=("bad" if leaky else "f00") * 21 + "0",
        leaking_groups=3 if leaky else 0,
    )
    card = builders.model_card(
        path.name,
        labels=predictions.labels,
        model=ModelFacts(name="resnet18", parameters=11_176_512, network=None, settings={}),
        feature=FeatureFacts(name="mel", kind="frames", config_id=config.config_id(), config=config.to_dict()),
        input=picture_shape(config),
        split=split,
        data=replace(builders.data_facts(data), config_id=config.config_id(), clips=24, labels={}),
        command="spectro finetune data",
        history=HistoryFacts(
            seconds=1.0, finetune_starts=5, best_epoch=7, search=None, warnings=(ADVICE,), baseline=0.25
        ),
        environment={"python": "3.11"},
    )
    path.mkdir(parents=True, exist_ok=True)
    with Run(path).history_path.open("w", newline="") as file:
        writer = csv.DictWriter(file, HISTORY_COLUMNS, restval="")
        writer.writeheader()
        for epoch in range(1, 9):
            stage = "frozen" if epoch < 5 else "finetune"
            row = {"train_loss": 2 / epoch, "val_loss": 2.2 / epoch, "train_accuracy": 0.5, "val_clip_accuracy": 0.4}
            writer.writerow({"epoch": epoch, "stage": stage, **row})
    return builders.make_run(path, subsets, card)


def give_network(run: Run, data: Path) -> Run:
    """Put an untrained network into a run, for Grad-CAM and the map."""
    config, shape = ModelConfig(name="test_resnet"), picture_shape(open_store(data).config)
    torch.manual_seed(0)
    network = build(config, len(run.card.labels), shape)
    safetensors.torch.save_file(network.state_dict(), run.weights_path)
    model = ModelFacts(name=config.name, parameters=1234, network=config, settings={})
    run.write_card(replace(run.card, model=model))
    return run


@pytest.fixture(scope="session")
def three_runs(rendered: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, ...]:
    """Two networks and their ensemble; do not write into them."""
    folder = tmp_path_factory.mktemp("report-runs")
    members = [give_network(make_run(folder / name, rendered, seed=n), rendered) for n, name in enumerate(NAMES)]
    return (*members, ensemble(members, out=folder / "both"))


@pytest.fixture(scope="session")
def page(three_runs: tuple[Run, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of the three runs."""
    return report(three_runs, out=tmp_path_factory.mktemp("report") / "report.html")
