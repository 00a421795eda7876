"""Which member of an ensemble helps which class: recall of each member, and what the ensemble loses without it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from spectro.core.alignment import aligned_clips
from spectro.core.arrays import Mask
from spectro.core.card import Combination
from spectro.core.config import require
from spectro.core.predictions import Predictions
from spectro.core.runs import Run
from spectro.evaluation.results import Estimate
from spectro.evaluation.statistics import BootstrapConfig, holm, paired_bootstrap
from spectro.inference.combination import combine_predictions


@dataclass(frozen=True, kw_only=True)
class Gain:
    """What a member adds on some clips: how often the ensemble is right, less how often it is without the member."""

    estimate: Estimate
    """Difference of the two shares, -1..1, with its interval from a bootstrap over groups."""
    p: float
    """Two-sided p-value, corrected by Holm's method for all classes and members of the ensemble."""


@dataclass(frozen=True, kw_only=True)
class MemberGains:
    """One member of an ensemble, class by class."""

    name: str
    accuracy: float
    """Share of the test clips that the member alone gets right."""
    recall: tuple[float, ...]
    """The same among the clips of each class, in the order of the labels; nan where there are none."""
    gain: Gain | None
    """What it adds over all clips; None in a stacked ensemble, whose coefficients hold for all members together."""
    gains: tuple[Gain, ...]
    """What it adds among the clips of each class; empty in a stacked ensemble."""


def member_gains(run: Run | Path | str, *, config: BootstrapConfig | None = None) -> tuple[MemberGains, ...]:
    """Return what each member of an ensemble adds to it on the test clips, overall and class by class.

    An ensemble without a member combines the others by the same rule, with their weights as they are.

    Parameters
    ----------
    run
        A finished ensemble, or its folder.
    config
        Settings of the bootstrap.

    Raises
    ------
    ConfigError
        The run is no ensemble.
    RunError
        A member is gone, or its clips are not those of the ensemble.
    """
    run = Run.open(run)
    combination = run.card.combination
    require(combination is not None, f"{run.path} is no ensemble, so there are no members to compare")
    assert combination is not None
    aligned = aligned_clips([run, *run.members()], "test")
    known = aligned[0].truth >= 0
    whole, *members = (clips.select(known) for clips in aligned)
    parts = [np.ones(len(whole.truth), dtype=bool), *(whole.truth == number for number in range(len(whole.labels)))]
    right = [_right(member) for member in members]
    gains = [] if combination.coefficients else _gains(whole, members, combination, parts, config)
    return tuple(
        MemberGains(
            name=facts.name,
            accuracy=float(right[place].mean()),
            recall=tuple(_share(right[place][part]) for part in parts[1:]),
            gain=gains[place][0] if gains else None,
            gains=tuple(gains[place][1:]) if gains else (),
        )
        for place, facts in enumerate(run.card.members)
    )


def _gains(
    whole: Predictions,
    members: Sequence[Predictions],
    combination: Combination,
    parts: Sequence[Mask],
    config: BootstrapConfig | None,
) -> list[list[Gain]]:
    """Return the gain of each member in each part of the clips."""
    correct = _right(whole)
    differences = []
    for place in range(len(members)):
        others = [member for number, member in enumerate(members) if number != place]
        weights: Any = tuple(weight for number, weight in enumerate(combination.weights) if number != place)
        without = _right(combine_predictions(replace(combination, weights=weights), others))
        for part in parts:
            groups = [group for group, kept in zip(whole.groups, part, strict=True) if kept]
            pair = (correct[part].astype(np.float64), without[part].astype(np.float64))
            differences.append(paired_bootstrap(*pair, groups, config) if groups else None)
    corrected = iter(holm([difference.p for difference in differences if difference is not None]))
    nothing = Gain(estimate=Estimate(value=np.nan, low=np.nan, high=np.nan), p=1.0)
    gains = [nothing if one is None else Gain(estimate=one.estimate, p=next(corrected)) for one in differences]
    return [gains[place * len(parts) : (place + 1) * len(parts)] for place in range(len(members))]


def _right(predictions: Predictions) -> Mask:
    """Return whether each item is predicted as its class, `[items]`."""
    right: Mask = predictions.predicted == predictions.truth
    return right


def _share(right: Mask) -> float:
    return float(right.mean()) if len(right) else float("nan")
