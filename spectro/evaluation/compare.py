"""Compare models on the same clips: paired tests of every pair, corrected for their number."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np

from spectro.core.alignment import aligned_clips
from spectro.core.errors import ConfigError
from spectro.core.predictions import Predictions
from spectro.core.runs import Run
from spectro.evaluation.evaluate import load_or_compute
from spectro.evaluation.results import Comparison, Metrics, ModelRow, PairTest, Scores
from spectro.evaluation.statistics import BootstrapConfig, holm, items_needed, mcnemar, paired_bootstrap


def compare(runs: Sequence[Run | Path | str], *, config: BootstrapConfig | None = None) -> Comparison:
    """Compare runs on the test clips that they share.

    Parameters
    ----------
    runs
        At least two runs or their folders.
    config
        Settings of the bootstrap of the pairs.

    Raises
    ------
    ConfigError
        Fewer than two runs were given.
    RunError
        Test clips, labels or truths differ between runs, so that the runs cannot be compared.
    """
    members = [Run.open(run) for run in runs]
    if len(members) < 2:
        raise ConfigError(f"a comparison needs at least 2 runs, but {len(members)} was given")
    aligned = aligned_clips(members, "test")
    names = distinct_names(members)
    models = [model_row(name, run, load_or_compute(run)) for name, run in zip(names, members, strict=True)]
    return Comparison(models=tuple(models), pairs=compare_pairs(dict(zip(names, aligned, strict=True)), config))


def compare_pairs(models: Mapping[str, Predictions], config: BootstrapConfig | None = None) -> tuple[PairTest, ...]:
    """Test every pair of models for a difference in accuracy, with Holm's correction for the number of pairs.

    Parameters
    ----------
    models
        Name to predictions of the same clips in the same order, as `aligned_clips` returns them.
    config
        Settings of the bootstrap.
    """
    pairs = [
        _compare_pair(first, second, models[first], models[second], config or BootstrapConfig())
        for first, second in combinations(models, 2)
    ]
    mcnemars, bootstraps = holm([pair.p_mcnemar for pair in pairs]), holm([pair.p_bootstrap for pair in pairs])
    return tuple(
        replace(pair, p_mcnemar_holm=mcnemars[number], p_bootstrap_holm=bootstraps[number])
        for number, pair in enumerate(pairs)
    )


def _compare_pair(first: str, second: str, mine: Predictions, theirs: Predictions, config: BootstrapConfig) -> PairTest:
    """Test one pair, as if it were the only one."""
    known = mine.truth >= 0
    right = [(predictions.predicted == predictions.truth)[known] for predictions in (mine, theirs)]
    groups = [mine.groups[item] for item in np.flatnonzero(known)]
    exact = mcnemar(right[0], right[1])
    scores = [one.astype(np.float64) for one in right]
    gap = paired_bootstrap(scores[0], scores[1], groups, config)
    n = len(groups)
    needed = items_needed(exact.only_first / n, exact.only_second / n)
    # clips of one group resemble each other, so more of them are needed than of independent ones
    independent = (scores[0] - scores[1]).std() / math.sqrt(n)
    grouped = independent > 0 and not math.isnan(gap.deviation)
    inflation = max(1.0, (gap.deviation / independent) ** 2) if grouped else 1.0
    return PairTest(
        first=first,
        second=second,
        n=n,
        groups=len(set(groups)),
        only_first=exact.only_first,
        only_second=exact.only_second,
        difference=gap.estimate,
        p_mcnemar=exact.p,
        p_bootstrap=gap.p,
        needed=None if needed is None else math.ceil(needed * inflation),
        p_mcnemar_holm=exact.p,
        p_bootstrap_holm=gap.p,
    )


def model_row(name: str, run: Run, metrics: Metrics) -> ModelRow:
    """Return the row of a run in a table of models."""
    card = run.card
    return ModelRow(
        name=name,
        kind=card.kind,
        parameters=card.model.parameters if card.model else None,
        split=card.split.title,
        clips=metrics.items.clips,
        groups=metrics.bootstrap.groups,
        leaking_groups=card.split.statistics.leaking_groups,
        segment=Scores.of(metrics.segment) if metrics.segment else None,
        clip=Scores.of(metrics.clip),
    )


def distinct_names(runs: Sequence[Run]) -> list[str]:
    """Return each run's name, followed by its folder where two have the same."""
    names = [run.card.name for run in runs]
    return [
        f"{name} ({run.path.as_posix()})" if names.count(name) > 1 else name
        for name, run in zip(names, runs, strict=True)
    ]
