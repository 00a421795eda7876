"""What is known of a run before anyone relies on it: its card, its measured accuracy and what leaks, as JSON values."""

from __future__ import annotations

from typing import Any

from spectro.core.card import Card
from spectro.core.errors import SpectroError
from spectro.core.runs import Run
from spectro.data.audit import read_audit
from spectro.evaluation.evaluate import read_metrics
from spectro.evaluation.results import LevelMetrics, Metrics

SHOWN = ("accuracy", "balanced_accuracy", "macro_f1")
"""Metrics that the page shows."""


def run_facts(card: Card, run: Run | None) -> dict[str, Any]:
    """Return what is known of a run.

    Parameters
    ----------
    card
        Its card.
    run
        Its folder; None for an exported file, which holds the card alone.

    Returns
    -------
    dict
        Plain JSON values. `metrics` is None, and `notes` says why, where nothing was measured.
    """
    notes: list[str] = []
    split, data = card.split, card.data
    return {
        "title": card.name,
        "kind": card.kind,
        "labels": list(card.labels),
        "vote": card.vote,
        "temperature": card.temperature,
        "parameters": card.model.parameters if card.model else None,
        "members": [{"name": member.name, "weight": member.weight} for member in card.members],
        "split": {
            "title": split.title,
            "by": split.by,
            "leaky": split.leaky,
            "groups": split.statistics.groups,
            "leaking_groups": split.statistics.leaking_groups,
            "counts": dict(split.statistics.counts),
        },
        "data": {
            "clips": data.clips,
            "segments": data.segments,
            "groups": data.groups,
            "labels": dict(data.labels),
            "edited": data.edited,
        },
        "metrics": None if run is None else _metrics(run, notes),
        "repeated_sounds": _repeated(card, notes),
        "versions": dict(card.environment),
        "notes": notes
        if run
        else [*notes, "An exported file holds no measurements; serve the run itself to see them."],
    }


def _metrics(run: Run, notes: list[str]) -> dict[str, Any] | None:
    try:
        metrics = read_metrics(run)
    except (SpectroError, OSError):
        notes.append("The run was not evaluated, so nobody knows how often it is right: use spectro evaluate.")
        return None
    level = metrics.clip
    return {
        "subset": metrics.subset,
        "n": level.n,
        "groups": metrics.bootstrap.groups,
        "level": metrics.bootstrap.level,
        **{name: _estimate(level, name) for name in SHOWN},
        "ece": metrics.calibration.final.ece.to_dict(),
        "classes": _classes(metrics),
    }


def _estimate(level: LevelMetrics, name: str) -> dict[str, Any] | None:
    estimate = level.metric(name)
    return estimate.to_dict() if estimate else None


def _classes(metrics: Metrics) -> list[dict[str, Any]]:
    """Return recall, precision and number of test clips of each class."""
    return [
        {
            "label": label,
            "recall": scores.recall.to_dict(),
            "precision": scores.precision.to_dict(),
            "n": scores.support,
        }
        for label, scores in metrics.clip.per_class.items()
    ]


def _repeated(card: Card, notes: list[str]) -> int | None:
    """Return how many pairs of clips with the same sound an audit found across the subsets; None without an audit."""
    try:
        audit = read_audit(card.data.path)
    except (SpectroError, OSError):
        audit = None
    if audit is None or audit.split != card.split.title:
        notes.append("The training data was not searched for repeated sounds across the split: use spectro data audit.")
        return None
    return audit.across
