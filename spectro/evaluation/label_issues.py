"""Doubtful labels: clips whose given class the predictions of models that never heard them contradict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import numpy as np

from spectro.core.errors import ConfigError, DataError, RunError
from spectro.core.predictions import Predictions
from spectro.core.runs import Run
from spectro.core.tables import write_csv


@dataclass(frozen=True, kw_only=True)
class LabelIssue:
    """One clip that may be labelled wrongly."""

    clip: str
    label: str
    """The class that it is given."""
    suggested: str
    """The class that the models hear."""
    label_probability: float
    """Probability of the given class."""
    suggested_probability: float
    """Probability of the suggested class."""


def find_label_issues(runs: Sequence[Run | Path | str], *, fold: str = "test") -> tuple[LabelIssue, ...]:
    """Return the clips whose labels the runs contradict, each run judging its own test clips; worst first.

    Give the runs of a cross-validation, so that every clip is judged once by a model that did not train on it. A clip
    is doubted by confident learning (Northcutt et al., 2021; cleanlab's `find_label_issues`): another class is as
    probable as it is on average for clips of that class. An issue is a reason to listen, not a verdict.

    Raises
    ------
    RunError
        two runs were tested on the same clip, or a run has no predictions of that fold.
    ConfigError
        cleanlab is not installed.
    """
    members = [run if isinstance(run, Run) else Run.open(run) for run in runs]
    try:
        together = Predictions.join([run.predictions(fold).pool(run.card().get("vote") or "soft") for run in members])
    except DataError as error:
        raise RunError(f"{error}; give the runs of one cross-validation, each tested on clips of its own") from None
    return doubtful(together)


def doubtful(clips: Predictions) -> tuple[LabelIssue, ...]:
    """Return the doubted among out-of-fold predictions per clip, of any model; the most doubtful first."""
    try:
        from cleanlab.filter import find_label_issues
    except ImportError:
        raise ConfigError("doubtful labels need cleanlab: pip install 'spectro[cleanlab]'") from None
    known = clips.select(clips.truth >= 0)
    if len(set(known.truth.tolist())) < 2:
        raise DataError("doubting labels takes clips of at least two classes whose labels are known")
    found = find_label_issues(known.truth, known.probs, return_indices_ranked_by="self_confidence", n_jobs=1)
    others = known.probs.copy()
    others[np.arange(len(known)), known.truth] = -1
    best = others.argmax(axis=1)
    return tuple(
        LabelIssue(
            clip=known.ids[item],
            label=known.labels[known.truth[item]],
            suggested=known.labels[best[item]],
            label_probability=float(known.probs[item, known.truth[item]]),
            suggested_probability=float(known.probs[item, best[item]]),
        )
        for item in found.tolist()
    )


def save_doubts(doubts: Sequence[LabelIssue], out: Path) -> None:
    """Write a CSV with one line per doubted clip."""
    write_csv(out, [field.name for field in fields(LabelIssue)], map(astuple, doubts))
