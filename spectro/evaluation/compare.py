"""Tell models apart on the same clips: paired tests of every pair, corrected for their number."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from spectro.core.errors import ConfigError
from spectro.core.predictions import Predictions
from spectro.core.runs import Run
from spectro.evaluation.ensemble import clip_predictions
from spectro.evaluation.evaluate import load_or_compute
from spectro.evaluation.statistics import BootstrapConfig, holm, items_needed, mcnemar, paired_bootstrap

FIGURES = ("accuracy", "macro_f1", "balanced_accuracy", "roc_auc", "log_loss")
"""Metrics that stand in a table of models."""


def compare(runs: Sequence[Run | Path | str], *, config: BootstrapConfig | None = None) -> dict[str, Any]:
    """Compare runs on the test clips that they share.

    Returns
    -------
    `models`: per run its name, split, sizes and the `FIGURES` at `segment` and `clip` level. `pairs`: what
    `compare_pairs` returns.

    Raises
    ------
    ConfigError
        fewer than two runs were given.
    RunError
        test clips, labels or truths differ between runs, so that the runs cannot be compared.
    """
    members = [run if isinstance(run, Run) else Run.open(run) for run in runs]
    if len(members) < 2:
        raise ConfigError(f"a comparison needs at least 2 runs, but {len(members)} was given")
    aligned = clip_predictions(members, "test")
    names = distinct_names(members)
    models = [model_row(name, run, load_or_compute(run)) for name, run in zip(names, members, strict=True)]
    return {"models": models, "pairs": compare_pairs(dict(zip(names, aligned, strict=True)), config)}


def compare_pairs(models: dict[str, Predictions], config: BootstrapConfig | None = None) -> list[dict[str, Any]]:
    """Test every pair of models for a difference in accuracy.

    Parameters
    ----------
    models : name to predictions of the same clips in the same order, as `clip_predictions` returns them

    Returns
    -------
    One row per pair: `first`, `second`, `n` clips and `groups`; `only_first` and `only_second` (clips that only one
    gets right); `difference` of accuracies with interval; `p_mcnemar` (exact; takes clips for independent) and
    `p_bootstrap` (groups), each also `_holm`; `needed`: the clips that would tell two such models apart in four of five
    trials, None where they are equally good.
    """
    rows: list[dict[str, Any]] = []
    for (first, mine), (second, theirs) in combinations(models.items(), 2):
        right = [(p.predicted == p.truth)[p.truth >= 0] for p in (mine, theirs)]
        groups = [group for group, truth in zip(mine.groups, mine.truth, strict=True) if truth >= 0]
        exact = mcnemar(*right)
        scores = [one.astype(np.float64) for one in right]
        gap = paired_bootstrap(scores[0], scores[1], groups, config)
        n = len(groups)
        needed = items_needed(exact.only_first / n, exact.only_second / n)
        alone = (scores[0] - scores[1]).std() / math.sqrt(n)
        inflation = max(1.0, (gap.deviation / alone) ** 2) if alone > 0 and not math.isnan(gap.deviation) else 1.0
        rows.append(
            {
                "first": first,
                "second": second,
                "n": n,
                "groups": len(set(groups)),
                "only_first": exact.only_first,
                "only_second": exact.only_second,
                "difference": gap.estimate.to_dict(),
                "p_mcnemar": exact.p,
                "p_bootstrap": gap.p,
                "needed": None if needed is None else math.ceil(needed * inflation),
            }
        )
    for test in ("p_mcnemar", "p_bootstrap"):
        for row, corrected in zip(rows, holm([row[test] for row in rows]), strict=True):
            row[f"{test}_holm"] = corrected
    return rows


def model_row(name: str, run: Run, metrics: dict[str, Any]) -> dict[str, Any]:
    """Return what a table of models says of one."""
    card = run.card()
    split = card.get("split") or {}
    return {
        "name": name,
        "kind": card.get("kind", ""),
        "parameters": (card.get("model") or {}).get("parameters"),
        "split": split.get("title") or split.get("name", ""),
        "clips": metrics["items"]["clips"],
        "groups": metrics["bootstrap"]["groups"],
        "leaking_groups": (split.get("facts") or {}).get("leaking_groups"),
        **{
            level: {figure: metrics[level][figure] for figure in FIGURES}
            for level in ("segment", "clip")
            if level in metrics
        },
    }


def distinct_names(runs: Sequence[Run]) -> list[str]:
    """Return each run's name, with its folder behind it where two have the same."""
    names = [str(run.card().get("name") or run.name) for run in runs]
    return [
        f"{name} ({run.path.as_posix()})" if names.count(name) > 1 else name
        for name, run in zip(names, runs, strict=True)
    ]
