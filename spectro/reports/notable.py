"""The clips that say most about a model: its surest mistakes, its closest decisions, and the labels it doubts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from spectro.core.errors import SpectroError
from spectro.core.predictions import Predictions
from spectro.evaluation.label_issues import LabelIssue, doubtful
from spectro.reports.examples import Exhibit, exhibit, members_of

SHOWN = 6
"""Clips in each list."""


def extremes(
    clips: Predictions, segments: Predictions | None = None, doubts: Sequence[LabelIssue] = ()
) -> dict[str, list[Exhibit]]:
    """Return three lists of at most `SHOWN` clips; a clip stands in the first that it fits.

    Parameters
    ----------
    clips : predictions per clip, all with known truth
    segments : predictions of their segments
    doubts : clips whose label is doubted, the most doubtful first

    Returns
    -------
    `surest`: clips called a wrong class with the highest probability. `closest`: clips whose two most probable classes
    are nearest to each other. `doubted`: clips whose label is doubted.
    """
    members = members_of(segments)
    doubted = {one.clip: rank for rank, one in enumerate(doubts)}
    falling = np.sort(clips.probs, axis=1)[:, ::-1]
    wrong = np.flatnonzero(clips.predicted != clips.truth)
    orders: dict[str, Iterable[int]] = {
        "surest": wrong[np.argsort(-falling[wrong, 0], kind="stable")].tolist(),
        "closest": np.argsort(falling[:, 0] - falling[:, 1:2].max(axis=1, initial=0.0), kind="stable").tolist(),
        "doubted": sorted((clips.ids.index(clip) for clip in doubted), key=lambda item: doubted[clips.ids[item]]),
    }
    taken: set[int] = set()
    lists: dict[str, list[Exhibit]] = {}
    for name, order in orders.items():
        chosen = [item for item in order if item not in taken][:SHOWN]
        taken.update(chosen)
        lists[name] = [
            replace(
                exhibit(clips, item, None if segments is None else segments.select(members.get(clips.ids[item], []))),
                doubted=clips.ids[item] in doubted,
            )
            for item in chosen
        ]
    return lists


def doubts_of(clips: Predictions) -> tuple[tuple[LabelIssue, ...], str]:
    """Return the doubted labels, or none and why they could not be looked for."""
    try:
        return doubtful(clips), ""
    except SpectroError as error:
        return (), str(error)
