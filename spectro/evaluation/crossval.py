"""Several runs of one recipe: folds of a cross-validation pooled, seeds as mean and standard deviation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from spectro.core.alignment import aligned_clips
from spectro.core.errors import ConfigError, RunError
from spectro.core.predictions import Predictions
from spectro.core.runs import Run
from spectro.evaluation.compare import compare_pairs
from spectro.evaluation.evaluate import evaluate_predictions, load_or_compute
from spectro.evaluation.results import LEVELS, SCORES, FoldTest, Level, Metrics, RunSummary, Spread
from spectro.evaluation.statistics import BootstrapConfig, corrected_t


def summarize(runs: Sequence[Run | Path | str], *, config: BootstrapConfig | None = None) -> RunSummary:
    """Summarize runs that differ in their fold or in their seed.

    Runs with the same test clips are seeds, runs with wholly different ones are folds. Folds are pooled: every clip is
    predicted once, by the run that did not train on it, which differs from the mean of the folds' metrics.

    Parameters
    ----------
    runs
        At least two runs or their folders.
    config
        Settings of the bootstrap of pooled folds.

    Raises
    ------
    ConfigError
        Fewer than two runs were given.
    RunError
        Test clips overlap in part.
    DataError
        Folds have different labels.
    """
    members = [Run.open(run) for run in runs]
    if len(members) < 2:
        raise ConfigError(f"a summary needs at least 2 runs, but {len(members)} was given")
    tests = [member.predictions("test") for member in members]
    clips = [frozenset(test.clip_ids) for test in tests]
    spread = _spread([load_or_compute(member) for member in members])
    if len(set(clips)) == 1:
        return RunSummary(kind="seeds", runs=len(members), spread=spread, pooled=None)
    if sum(map(len, clips)) == len(frozenset().union(*clips)):
        pooled = evaluate_predictions(Predictions.join(tests), vote=members[0].card.vote, config=config)
        return RunSummary(kind="folds", runs=len(members), spread=spread, pooled=pooled)
    raise RunError(
        f"the test clips of {members[0].path} and the other runs overlap in part, so the runs are neither seeds of one "
        "split nor folds of one cross-validation"
    )


def compare_folds(
    first: Sequence[Run | Path | str], second: Sequence[Run | Path | str], *, config: BootstrapConfig | None = None
) -> FoldTest:
    """Test two recipes that were run on the same folds, given in the same order [Nadeau and Bengio, 2003].

    The corrected t test asks whether one recipe wins on new folds of such data; the pooled pair, whether these very
    models differ. Three folds are weak evidence for the first, but their clips may be strong evidence for the second.

    Parameters
    ----------
    first, second
        Runs of the two recipes, one per fold.
    config
        Settings of the bootstrap of the pooled pair.

    Raises
    ------
    ConfigError
        The numbers of folds differ, or there are fewer than two.
    RunError
        Two runs at the same position were tested on different clips.
    """
    if len(first) != len(second):
        raise ConfigError(f"{len(first)} and {len(second)} folds were given, but they must be the same")
    folds = [
        aligned_clips([Run.open(mine), Run.open(theirs)], "test") for mine, theirs in zip(first, second, strict=True)
    ]
    differences = [_accuracy(mine) - _accuracy(theirs) for mine, theirs in folds]
    t, p = corrected_t(differences, 1 / max(2, len(differences)))
    clips = [clip for mine, _ in folds for clip in mine.clip_ids]
    pair = None
    if len(clips) == len(set(clips)):
        mine, theirs = (Predictions.join(parts) for parts in zip(*folds, strict=True))
        (pair,) = compare_pairs({"a": mine, "b": theirs}, config)
    return FoldTest(difference=float(np.mean(differences)), t=t if math.isfinite(t) else math.nan, p=p, pooled=pair)


def _accuracy(clips: Predictions) -> float:
    return float((clips.predicted == clips.truth).mean())


def _spread(runs: Sequence[Metrics]) -> dict[Level, dict[str, Spread]]:
    """Return mean and deviation of each metric of `SCORES`, per level that all runs have."""
    spread: dict[Level, dict[str, Spread]] = {}
    for level in LEVELS:
        parts = [part for metrics in runs if (part := metrics.level(level)) is not None]
        if len(parts) < len(runs):
            continue
        spread[level] = {}
        for name in SCORES:
            values = np.array([estimate.value for part in parts if (estimate := part.metric(name))])
            spread[level][name] = Spread(mean=float(values.mean()), deviation=float(values.std(ddof=1)))
    return spread
