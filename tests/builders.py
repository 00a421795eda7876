"""Cards, predictions and runs made by hand, for tests that need no training."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from spectro.core.card import Card, Combination, DataFacts, FeatureFacts, Member, ModelFacts, SplitFacts
from spectro.core.config import ModelConfig, RenderConfig
from spectro.core.predictions import Predictions
from spectro.core.runs import Run
from spectro.core.tables import SplitStatistics, Subset

LABELS = ("hiss", "hum", "pulse")


def split_facts(*, sha256: str = "0" * 64, leaking_groups: int = 0, by: str = "group") -> SplitFacts:
    """Return the facts of a split of 12 clips."""
    statistics = SplitStatistics(
        seed=0,
        test=0.25,
        val=0.25,
        folds=0,
        counts={"train": 6, "val": 3, "test": 3},
        labels={label: {"train": 2, "val": 1, "test": 1} for label in LABELS},
        groups=12,
        leaking_groups=leaking_groups,
        balance=0.0,
        absent={},
        left_out=(),
    )
    leaky = leaking_groups > 0 or by == "segment"
    return SplitFacts(
        name=by,
        title=f"{by} (LEAKY)" if leaky else by,
        by=by,
        sha256=sha256,
        leaky=leaky,
        statistics=statistics,
        segments={"train": 18, "val": 9, "test": 9},
    )


def data_facts(path: Path | str = "data") -> DataFacts:
    """Return the facts of a data folder of 12 clips."""
    return DataFacts(
        path=str(path),
        config_id=RenderConfig().config_id(),
        clips=12,
        segments=36,
        groups=12,
        labels=dict.fromkeys(LABELS, 4),
    )


def model_card(name: str = "model", **changes: Any) -> Card:
    """Return the card of a small network."""
    config = RenderConfig()
    values: Mapping[str, Any] = {
        "name": name,
        "kind": "torch",
        "labels": LABELS,
        "split": split_facts(),
        "data": data_facts(),
        "feature": FeatureFacts(name="mel", kind="frames", config_id=config.config_id(), config=config.to_dict()),
        "input": (128, 431),
        "model": ModelFacts(name="cnn5", parameters=1234, network=ModelConfig(name="cnn5"), settings={}),
    }
    return Card(**{**values, **changes})


def ensemble_card(run: Run, members: Mapping[str, Path], **changes: Any) -> Card:
    """Return the card of an ensemble in `run` with the given members."""
    values: Mapping[str, Any] = {
        "name": run.name,
        "kind": "ensemble",
        "labels": LABELS,
        "split": split_facts(),
        "data": data_facts(),
        "members": tuple(
            Member(path=Path(os.path.relpath(path, run.path)).as_posix(), name=name, weight=1 / len(members))
            for name, path in members.items()
        ),
        "combination": Combination(),
    }
    return Card(**{**values, **changes})


def random_predictions(seed: int = 0, clips: int = 9, segments: int = 3, skill: float = 1.0) -> Predictions:
    """Return predictions of segments, several to a clip and two clips to a group; more `skill`, fewer errors."""
    rng = np.random.default_rng(seed)
    truth = np.repeat(np.arange(clips) % len(LABELS), segments)
    logits = rng.standard_normal((clips * segments, len(LABELS)))
    logits[np.arange(len(truth)), truth] += skill
    probs = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    names = [f"{clip:03}.wav" for clip in range(clips) for _ in range(segments)]
    return Predictions(
        ids=tuple(f"{name}@{10 * (item % segments):07.2f}" for item, name in enumerate(names)),
        clip_ids=tuple(names),
        groups=tuple(f"group-{int(name[:3]) // 2}" for name in names),
        labels=LABELS,
        probs=probs,
        truth=truth,
    )


def make_run(path: Path, predictions: Mapping[Subset, Predictions] | None = None, card: Card | None = None) -> Run:
    """Write a finished run with predictions and a card, but no weights."""
    run = Run(path)
    path.mkdir(parents=True, exist_ok=True)
    given = {"test": random_predictions(1), "val": random_predictions(2)} if predictions is None else predictions
    for subset, one in given.items():
        one.save(run.predictions_path(subset))
    run.write_card(card or model_card(path.name))
    return Run.open(path)


def replace_predictions(run: Run, subset: Subset, predictions: Predictions) -> None:
    """Give a run other predictions, as if its model had made them."""
    predictions.save(run.predictions_path(subset))
    run.write_card(run.card)


def drop_predictions(run: Run, subset: Subset, *, segments: bool = False) -> None:
    """Take predictions of a subset, or an ensemble's of segments, away from a run, as if they had never been made."""
    (run.segments_path if segments else run.predictions_path)(subset).unlink()
    run.write_card(run.card)
