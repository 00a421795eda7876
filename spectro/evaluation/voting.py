"""Vote rules compared, and accuracy by the number of segments that vote."""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from spectro.core.predictions import VOTES, Predictions
from spectro.evaluation.metrics import METRICS, ones
from spectro.evaluation.results import SegmentsUsed, VoteScores
from spectro.evaluation.statistics import BootstrapConfig, estimate

COMPARED = ("accuracy", "macro_f1", "log_loss")
"""Metrics by which rules are compared."""


def compare_votes(predictions: Predictions, config: BootstrapConfig | None = None) -> dict[str, VoteScores]:
    """Return the metrics of clips under each rule of `VOTES`, with intervals.

    Give validation predictions: the accuracy of a rule that was chosen on test would be optimistic.
    """
    scores = {}
    for rule in VOTES:
        clips = predictions.pool(rule)
        metrics = {name: estimate(partial(METRICS[name], clips), clips.groups, config) for name in COMPARED}
        scores[rule] = VoteScores(**metrics)
    return scores


def accuracy_by_segments(
    predictions: Predictions, vote: str = "soft", *, repeats: int = 20, seed: int = 0
) -> tuple[SegmentsUsed, ...]:
    """Return how the accuracy of clips grows with the number of segments that vote.

    Parameters
    ----------
    predictions
        Predictions of segments. Clips with fewer segments than asked for are used whole; the last number is the median
        over clips.
    vote
        Rule by which segments decide (one of `VOTES`).
    repeats
        How often segments are drawn at random, per number.
    seed
        Seed of drawing.
    """
    rng = np.random.default_rng(seed)
    clips = np.asarray(predictions.clip_ids)
    _, counts = np.unique(clips, return_counts=True)
    curve = []
    for segments in range(1, int(np.median(counts)) + 1):
        accuracies = []
        for _ in range(repeats):
            order = rng.permutation(len(clips))
            ranks = _rank_within(clips[order])
            pooled = predictions.select(np.sort(order[ranks < segments])).pool(vote)
            accuracies.append(float(METRICS["accuracy"](pooled, ones(pooled))[0]))
        curve.append(SegmentsUsed(segments=segments, accuracy=float(np.mean(accuracies))))
    return tuple(curve)


def _rank_within(names: NDArray[np.str_]) -> NDArray[np.intp]:
    """Return how many equal names stand before each one."""
    order = np.argsort(names, kind="stable")
    starts = np.flatnonzero(np.r_[True, names[order][1:] != names[order][:-1]])
    ranks = np.empty(len(names), dtype=np.intp)
    ranks[order] = np.arange(len(names)) - np.repeat(starts, np.diff(np.r_[starts, len(names)]))
    return ranks
