"""Likely label errors: clips whose given class is contradicted by models that did not train on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import numpy as np

from spectro.core.alignment import own_clips
from spectro.core.distribution import require_packages
from spectro.core.errors import ConfigError, DataError, RunError
from spectro.core.files import write_csv
from spectro.core.formatting import defuse
from spectro.core.predictions import Predictions
from spectro.core.records import Record
from spectro.core.runs import Run
from spectro.core.tables import Subset


@dataclass(frozen=True, kw_only=True)
class LabelIssue(Record):
    """One clip that may be labelled wrongly."""

    clip: str
    label: str
    """The class that it is given."""
    suggested: str
    """The class that the models predict."""
    label_probability: float
    """Probability of the given class."""
    suggested_probability: float
    """Probability of the suggested class."""


def find_label_issues(runs: Sequence[Run | Path | str], *, subset: Subset = "test") -> tuple[LabelIssue, ...]:
    """Return the clips whose labels the runs contradict, each run predicting its own test clips; most likely first.

    Give the runs of a cross-validation, so that every clip is predicted once, by a model that did not train on it.
    Issues are found by confident learning (Northcutt et al., 2021; cleanlab's `find_label_issues`): another class is as
    probable as it is on average for clips of that class. An issue is a reason to listen, not a proof.

    Parameters
    ----------
    runs
        Runs or their folders.
    subset
        Which predictions to read: `test` or `val`.

    Raises
    ------
    RunError
        Two runs were tested on the same clip, or a run has no predictions of that subset.
    DataError
        Fewer than two classes are known.
    ConfigError
        cleanlab is not installed.
    """
    parts = [own_clips(Run.open(run), subset) for run in runs]
    if not parts:
        raise ConfigError("label issues are found in the predictions of runs, but no run was given")
    try:
        clips = Predictions.join(parts)
    except DataError as error:
        raise RunError(f"{error}; give the runs of one cross-validation, each tested on clips of its own") from None
    return label_issues_of(clips)


def label_issues_of(clips: Predictions) -> tuple[LabelIssue, ...]:
    """Return the label issues among out-of-fold predictions of clips, of any model; most likely first.

    Parameters
    ----------
    clips
        One item per clip, each predicted by a model that did not train on it; items of unknown truth are ignored.

    Raises
    ------
    DataError
        Fewer than two classes are known.
    ConfigError
        cleanlab is not installed.
    """
    require_packages("finding label issues", "cleanlab")
    from cleanlab.filter import find_label_issues

    known = clips.select(clips.truth >= 0)
    if len(set(known.truth.tolist())) < 2:
        raise DataError("label issues are found among clips of at least two known classes, but there are fewer")
    issues = find_label_issues(known.truth, known.probs, return_indices_ranked_by="self_confidence", n_jobs=1)
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
        for item in issues.tolist()
    )


def write_label_issues(path: Path, issues: Sequence[LabelIssue]) -> None:
    """Write a CSV for people with one line per issue; cells that a spreadsheet would run as formulas are defused."""
    rows = ([defuse(value) for value in astuple(issue)] for issue in issues)
    write_csv(path, [field.name for field in fields(LabelIssue)], rows)
