"""Which way of voting serves best, and how much of a clip is needed: choices made on validation."""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from spectro.core.predictions import VOTES, Predictions
from spectro.evaluation.metrics import METRICS, ones
from spectro.evaluation.statistics import BootstrapConfig, estimate

SHOWN = ("accuracy", "macro_f1", "log_loss")
"""Metrics by which rules are compared."""


def compare_votes(
    predictions: Predictions, config: BootstrapConfig | None = None
) -> dict[str, dict[str, dict[str, float | None]]]:
    """Return accuracy, macro-F1 and log loss at clip level under each rule of `VOTES`, with intervals.

    Give validation predictions: a rule chosen on test would flatter itself.
    """
    found = {}
    for rule in VOTES:
        clips = predictions.pool(rule)
        found[rule] = {name: estimate(partial(METRICS[name], clips), clips.groups, config).to_dict() for name in SHOWN}
    return found


def accuracy_by_segments(
    predictions: Predictions, vote: str = "soft", *, repeats: int = 20, seed: int = 0
) -> list[dict[str, float]]:
    """Return how accuracy grows with the number of segments used per clip, `{"segments", "accuracy"}` per number.

    Segments are drawn at random, `repeats` times; clips with fewer segments are used whole. The last number is the
    one at which half of the clips are.
    """
    rng = np.random.default_rng(seed)
    clips = np.asarray(predictions.clip_ids)
    _, counts = np.unique(clips, return_counts=True)
    found = []
    for segments in range(1, int(np.median(counts)) + 1):
        shares = []
        for _ in range(repeats):
            order = rng.permutation(len(clips))
            ranks = _rank_within(clips[order])
            pooled = predictions.select(np.sort(order[ranks < segments])).pool(vote)
            shares.append(float(METRICS["accuracy"](pooled, ones(pooled))[0]))
        found.append({"segments": segments, "accuracy": float(np.mean(shares))})
    return found


def _rank_within(names: NDArray[np.str_]) -> NDArray[np.intp]:
    """Return how many equal names stand before each one."""
    order = np.argsort(names, kind="stable")
    starts = np.flatnonzero(np.r_[True, names[order][1:] != names[order][:-1]])
    ranks = np.empty(len(names), dtype=np.intp)
    ranks[order] = np.arange(len(names)) - np.repeat(starts, np.diff(np.r_[starts, len(names)]))
    return ranks
