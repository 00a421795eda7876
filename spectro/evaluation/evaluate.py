"""Judge predictions at segment, clip and group level, every figure with an interval from a bootstrap over groups."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spectro.core.errors import DataError
from spectro.core.predictions import Predictions
from spectro.core.runs import Run
from spectro.evaluation import metrics
from spectro.evaluation.calibration import calibrate, selective_accuracy
from spectro.evaluation.statistics import (
    BootstrapConfig,
    Estimate,
    bootstrap,
    centred_interval,
    percentile_interval,
    wilson,
)
from spectro.evaluation.voting import accuracy_by_segments, compare_votes
from spectro.inference.temperature import apply_temperature

INTERVAL = "centred percentile"
"""How the intervals of the figures over all classes are drawn; `metrics.json` names it."""


def evaluate(
    run: Run | Path | str,
    *,
    fold: str = "test",
    abstain: float | None = None,
    config: BootstrapConfig | None = None,
) -> dict[str, Any]:
    """Judge a run by its predictions of one fold and write `metrics.json` beside them.

    The temperature fitted on the validation predictions, where there are any, goes into the card, so that `predict`
    gives calibrated probabilities.

    Parameters
    ----------
    run : the run or its folder
    fold : which predictions to read: `test` or `val`
    abstain : also say what is left when only clips of at least this probability are answered

    Returns
    -------
    What `evaluate_predictions` returns, with the fold, the split and the run's name; this is what `metrics.json` holds.

    Raises
    ------
    RunError
        there is no finished run, or it has no predictions of that fold.
    """
    run = run if isinstance(run, Run) else Run.open(run)
    card = run.card()
    validation = run.predictions("val") if fold != "val" and run.predictions_path("val").exists() else None
    vote = card.get("vote") or "soft"
    found = evaluate_predictions(
        run.predictions(fold), vote=vote, validation=validation, abstain=abstain, config=config
    )
    split = card.get("split") or {}
    found = {"run": card.get("name", run.name), "fold": fold, "split": split.get("title", ""), **found}
    run.write_metrics(found)
    temperature = found["calibration"]["temperature"]
    if temperature is not None and temperature != card.get("temperature"):
        run.write_card({**card, "temperature": temperature})
    return found


def load_or_compute(run: Run) -> dict[str, Any]:
    """Return what `evaluate` found on the test fold, and evaluate first if it did not run since the last training.

    Figures whose intervals an earlier version drew otherwise are made again.
    """
    if run.metrics_path.exists():
        made = run.predictions_path("test")
        found = run.metrics()
        current = made.exists() and run.metrics_path.stat().st_mtime >= made.stat().st_mtime
        if found["fold"] == "test" and current and found["bootstrap"].get("interval") == INTERVAL:
            return found
    return evaluate(run)


def evaluate_predictions(
    predictions: Predictions,
    *,
    vote: str = "soft",
    validation: Predictions | None = None,
    abstain: float | None = None,
    config: BootstrapConfig | None = None,
) -> dict[str, Any]:
    """Judge predictions of any model, `spectro`'s or not.

    Parameters
    ----------
    predictions : of segments or of clips; items without a known truth are left out, and counted
    vote : rule by which a clip's segments decide (one of `VOTES`)
    validation : predictions of other clips, on which the temperature is fitted and the vote rules are compared
    abstain : probability below which a clip is left unanswered, for `abstain` in what is returned

    Returns
    -------
    `labels`, `vote`, `bootstrap` (its settings), `items` (counts), `calibration` (see `calibrate`), where clips have
    several segments `votes` and `heard` (see `votes.py`), if asked for `abstain` (see `selective_accuracy`), and one
    entry per level that exists: `segment` (if some clip has several), `clip`, `group` (if groups hold several
    clips, each of one class). A level holds each metric as `{"value", "low", "high"}`, `per_class` and the `confusion` matrix (rows true).

    Raises
    ------
    DataError
        no item's truth is known.
    """
    config = config or BootstrapConfig()
    known = predictions.select(predictions.truth >= 0)
    if not len(known):
        raise DataError("no prediction has a known truth, so there is nothing to judge")
    levels = by_level(known, vote)
    tuning = None if validation is None else validation.select(validation.truth >= 0)
    clips = levels["clip"]
    calibration = calibrate(clips, tuning.pool(vote) if tuning else None, config)
    items = {name + "s": len(level) for name, level in levels.items()}
    found: dict[str, Any] = {
        "labels": list(predictions.labels),
        "vote": vote,
        "bootstrap": {"unit": "group", "interval": INTERVAL, "groups": len(set(known.groups)), **config.to_dict()},
        "items": {**items, "unlabelled": len(predictions) - len(known)},
        **{name: compute_metrics(level, config) for name, level in levels.items()},
        "calibration": calibration,
        **({"votes": compare_votes(tuning, config)} if tuning and len(set(tuning.clip_ids)) < len(tuning) else {}),
        **({"heard": accuracy_by_segments(known, vote)} if "segment" in levels else {}),
    }
    if abstain is not None:
        calibrated = apply_temperature(clips, calibration["temperature"] or 1.0)
        found["abstain"] = selective_accuracy(calibrated, abstain, config)
    return found


def by_level(predictions: Predictions, vote: str = "soft") -> dict[str, Predictions]:
    """Return the predictions per level: `segment` where clips have several, `clip`, `group` where groups have several.

    A group whose clips differ in class (an artist of several genres) has no class of its own, so no group level exists.
    """
    clips = predictions.pool(vote)
    levels = {"segment": predictions} if len(clips) < len(predictions) else {}
    levels["clip"] = clips
    classes = {(group, truth) for group, truth in zip(clips.groups, clips.truth.tolist(), strict=True)}
    groups = set(clips.groups)
    if len(groups) < len(clips) and len(classes) == len(groups):
        levels["group"] = replace(predictions, clip_ids=predictions.groups).pool(vote)
    return levels


def compute_metrics(predictions: Predictions, config: BootstrapConfig) -> dict[str, Any]:
    """Return every metric of one level, with intervals."""
    names = [name for name in metrics.METRICS if name != "top3" or len(predictions.labels) > 3]

    def statistic(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        scalars = [metrics.METRICS[name](predictions, weights)[:, None] for name in names]
        per_class = metrics.class_scores(predictions, weights)
        return np.concatenate([*scalars, *(per_class[name] for name in CLASS_SCORES)], axis=1)

    values = statistic(metrics.ones(predictions))[0]
    several = len(set(predictions.groups)) > 1
    samples = bootstrap(statistic, predictions.groups, config) if several else np.full((1, len(values)), np.nan)
    figures = [
        Estimate(
            float(value),
            *(
                centred_interval(samples[:, column], float(value), config.level)
                if column < len(names)
                else percentile_interval(samples[:, column], config.level)  # a class has too few groups to tell a bias
            ),
        )
        for column, value in enumerate(values)
    ]
    scalars = {name: figures[number].to_dict() for number, name in enumerate(names)}
    hits = int((predictions.predicted == predictions.truth).sum())
    support = np.bincount(predictions.truth, minlength=len(predictions.labels))
    per_class: dict[str, dict[str, Any]] = {}
    for column, label in enumerate(predictions.labels):
        offsets = (len(names) + block * len(predictions.labels) + column for block in range(len(CLASS_SCORES)))
        scores = {name: figures[offset].to_dict() for name, offset in zip(CLASS_SCORES, offsets, strict=True)}
        per_class[label] = {**scores, "support": int(support[column])}
    table = metrics.confusion(predictions, metrics.ones(predictions))[0]
    return {
        "n": len(predictions),
        **scalars,
        "accuracy_wilson": wilson(hits, len(predictions), config.level).to_dict(),
        "per_class": per_class,
        "confusion": table.astype(int).tolist(),
    }


CLASS_SCORES = ("precision", "recall", "f1")
