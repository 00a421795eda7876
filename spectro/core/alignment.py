"""Predictions of several runs brought into one order of clips or segments."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from spectro.core.errors import RunError
from spectro.core.predictions import VOTES, Predictions
from spectro.core.runs import Run
from spectro.core.tables import Subset


def aligned_clips(runs: Sequence[Run], subset: Subset) -> list[Predictions]:
    """Return each run's predictions of the clips of a subset, voted by its own rule, in one common order.

    Raises
    ------
    RunError
        labels, clips or true classes differ between runs, or a run has no predictions of the subset.
    """
    pooled = [own_clips(run, subset) for run in runs]
    first = pooled[0]
    aligned = [first]
    for run, predictions in zip(runs[1:], pooled[1:], strict=True):
        both = f"{runs[0].path} and {run.path}"
        if predictions.labels != first.labels:
            raise RunError(f"{both} have different labels: {describe_difference(first.labels, predictions.labels)}")
        ordered = _reorder(predictions, first.ids)
        if ordered is None:
            raise RunError(f"{both} have different {subset} clips: {describe_difference(first.ids, predictions.ids)}")
        differing = np.flatnonzero(ordered.truth != first.truth)
        if len(differing):
            raise RunError(f"{both} disagree about the true class of '{first.ids[differing[0]]}'; train both again")
        aligned.append(ordered)
    return aligned


def aligned_segments(runs: Sequence[Run], subset: Subset) -> list[Predictions] | None:
    """Return each run's predictions of segments in one common order; None where the runs cut clips differently."""
    parts = [run.segment_predictions(subset) for run in runs]
    aligned = [_reorder(part, parts[0].ids) for part in parts if part is not None and parts[0] is not None]
    complete = [part for part in aligned if part is not None]
    return complete if len(complete) == len(runs) else None


def own_clips(run: Run, subset: Subset) -> Predictions:
    """Return a run's predictions of clips; raises RunError where they are not of the classes that its card lists."""
    predictions = run.predictions(subset)
    require_own_labels(run, predictions)
    return predictions.pool(run.card.vote)


def require_own_labels(run: Run, predictions: Predictions) -> None:
    """Raise RunError where predictions are not of the classes that the run's card lists, or their vote is unknown."""
    require_vote(run)
    if predictions.labels != run.card.labels:
        difference = describe_difference(run.card.labels, predictions.labels)
        raise RunError(
            f"{run.card_path} (first) and the predictions beside it (second) have different labels: {difference}; "
            "make the run again with the command that made it"
        )


def require_vote(run: Run) -> None:
    """Raise RunError where the card of a run names a vote rule that does not exist."""
    if run.card.vote not in VOTES:
        raise RunError(
            f"{run.card_path} has the vote '{run.card.vote}', but there are only {', '.join(VOTES)}; "
            "make the run again with the command that made it"
        )


def describe_difference(first: Sequence[str], second: Sequence[str]) -> str:
    """Say how two lists differ: what one has and the other lacks, or that their order differs."""
    for mine, theirs, which in ((first, second, "first"), (second, first, "second")):
        extra = sorted(set(mine) - set(theirs))
        if extra:
            return f"only the {which} has '{extra[0]}'" + (f" and {len(extra) - 1} more" if len(extra) > 1 else "")
    return "their order differs"


def _reorder(predictions: Predictions, ids: Sequence[str]) -> Predictions | None:
    """Return the predictions in the order of `ids`; None where they are of other items."""
    place = {name: item for item, name in enumerate(predictions.ids)}
    return predictions.select([place[name] for name in ids]) if place.keys() == set(ids) else None
