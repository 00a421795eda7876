"""Several runs of one recipe summed up: folds pooled into one judgement, seeds as mean and deviation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from spectro.core.errors import ConfigError, RunError
from spectro.core.predictions import Predictions
from spectro.core.runs import Run
from spectro.evaluation.compare import FIGURES, compare_pairs
from spectro.evaluation.ensemble import clip_predictions
from spectro.evaluation.evaluate import evaluate_predictions, load_or_compute
from spectro.evaluation.statistics import BootstrapConfig, corrected_t


def summarize(runs: Sequence[Run | Path | str], *, config: BootstrapConfig | None = None) -> dict[str, Any]:
    """Sum up runs that differ in their fold or in their seed.

    Runs with the same test clips are seeds, runs with wholly different ones are folds. Folds are pooled: every clip is
    judged once, by the run that did not train on it, which is not the same as the mean of the folds' figures.

    Returns
    -------
    `kind` (`seeds` or `folds`), `runs` (their number), `spread`: per level and figure its `mean` and `deviation` over
    runs; and for folds `pooled`, what `evaluate_predictions` says of all clips together.

    Raises
    ------
    RunError
        test clips overlap in part, or labels differ.
    """
    members = [run if isinstance(run, Run) else Run.open(run) for run in runs]
    if len(members) < 2:
        raise ConfigError(f"a summary needs at least 2 runs, but {len(members)} was given")
    tested = [member.predictions("test") for member in members]
    clips = [frozenset(predictions.clip_ids) for predictions in tested]
    found: dict[str, Any] = {"runs": len(members), "spread": _spread([load_or_compute(member) for member in members])}
    if len(set(clips)) == 1:
        return {"kind": "seeds", **found}
    if sum(map(len, clips)) == len(frozenset().union(*clips)):
        vote = members[0].card().get("vote") or "soft"
        pooled = evaluate_predictions(Predictions.join(tested), vote=vote, config=config)
        return {"kind": "folds", **found, "pooled": pooled}
    raise RunError(
        f"the test clips of {members[0].path} and the other runs overlap in part, so the runs are neither seeds of one "
        "split nor folds of one cross-validation"
    )


def compare_folds(
    first: Sequence[Run | Path | str], second: Sequence[Run | Path | str], *, config: BootstrapConfig | None = None
) -> dict[str, Any]:
    """Test two recipes that were run on the same folds, given in the same order [Nadeau and Bengio, 2003].

    Returns
    -------
    `difference` of the mean clip accuracies (first - second), `t` and two-sided `p`: does one recipe win on new folds
    of such data? And, where no clip is in two folds, `pooled`: what `compare_pairs` says of all their clips together:
    do these very models differ? Three folds say little about the first, their clips may say much about the second.

    Raises
    ------
    RunError
        two runs that stand at the same place were tested on different clips.
    """
    if len(first) != len(second):
        raise ConfigError(f"{len(first)} and {len(second)} folds were given, but they must be the same")
    folds = [
        clip_predictions([run if isinstance(run, Run) else Run.open(run) for run in pair], "test")
        for pair in zip(first, second, strict=True)
    ]
    differences = [
        float((mine.predicted == mine.truth).mean() - (theirs.predicted == theirs.truth).mean())
        for mine, theirs in folds
    ]
    t, p = corrected_t(differences, 1 / max(2, len(differences)))
    found: dict[str, Any] = {"difference": float(np.mean(differences)), "t": t, "p": p}
    clips = [clip for mine, _ in folds for clip in mine.clip_ids]
    if len(clips) == len(set(clips)):
        pooled = {name: Predictions.join(parts) for name, parts in zip("ab", zip(*folds, strict=True), strict=True)}
        found["pooled"] = compare_pairs(pooled, config)[0]
    return found


def _spread(found: Sequence[dict[str, Any]]) -> dict[str, dict[str, dict[str, float]]]:
    levels = [level for level in ("segment", "clip", "group") if all(level in metrics for metrics in found)]
    spread: dict[str, dict[str, dict[str, float]]] = {}
    for level in levels:
        values = {name: np.array([metrics[level][name]["value"] for metrics in found], float) for name in FIGURES}
        spread[level] = {
            name: {"mean": float(value.mean()), "deviation": float(value.std(ddof=1))} for name, value in values.items()
        }
    return spread
