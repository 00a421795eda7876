"""Several runs that decide together: each pools its segments to clips, then the clips' probabilities are combined."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from spectro.core.errors import ConfigError, RunError
from spectro.core.predictions import Predictions, Probs
from spectro.core.runs import Run, environment
from spectro.evaluation.ensemble_fit import fit_stacking, fit_weights
from spectro.evaluation.ensemble_search import choose_combination, double_fault, search_members
from spectro.inference.combination import Combination

Fit = Literal["fitted", "per-class", "stacked", "best"]
FITS: tuple[Fit, ...] = ("fitted", "per-class", "stacked", "best")


def ensemble(
    runs: Sequence[Run | Path | str],
    *,
    out: Path | str,
    weights: Fit | Sequence[float] | None = None,
    vote: str = "soft",
    search: bool = False,
) -> Run:
    """Combine finished runs into one, which is a run like any other.

    Members may differ in model, feature and segment length: they meet at clip level.

    Parameters
    ----------
    runs : at least two runs with the same labels, trained on the same split
    out : folder of the new run
    weights : one weight per run; `"fitted"` (one per run, by log loss on validation), `"per-class"` (one per run and
        class), `"stacked"` (logistic regression on validation), or `"best"` (whichever of these and of the vote rules
        does best in a cross-validation on validation); equal weights if not given. Weights need a soft vote
    vote : rule by which members decide together (one of `VOTES`)
    search : whether to keep only those of the runs that help each other on validation

    Returns
    -------
    A run with clip predictions of `val` (where all members have them) and `test`, and a card that lists the members.

    Raises
    ------
    RunError
        runs do not belong together, or lack the validation predictions that fitting needs.
    ConfigError
        weights and vote do not fit each other or the number of runs.
    """
    members = [run if isinstance(run, Run) else Run.open(run) for run in runs]
    if len(members) < 2:
        raise ConfigError(f"an ensemble needs at least 2 runs, but {len(members)} was given")
    if weights is not None and vote != "soft":
        raise ConfigError(f"weights need the soft vote, but vote is '{vote}'")
    cards = [member.card() for member in members]
    _check_same_split(members, cards)
    folds = {"test": clip_predictions(members, "test")}
    if all(member.predictions_path("val").exists() for member in members):
        folds["val"] = clip_predictions(members, "val")
    names = [str(card.get("name", member.name)) for card, member in zip(cards, members, strict=True)]
    facts: dict[str, Any] = {}
    if search:
        tuning = _validation(members, folds, "a search")
        searched = search_members(stack(tuning), tuning[0].truth, tuning[0].groups)
        facts["search"] = searched.to_dict(names)
        members, names = [members[item] for item in searched.chosen], [names[item] for item in searched.chosen]
        folds = {fold: [found[item] for item in searched.chosen] for fold, found in folds.items()}
    if weights == "best":
        tuning = _validation(members, folds, "'best' weights")
        combination, facts["rules"] = choose_combination(stack(tuning), tuning[0].truth, tuning[0].groups)
    else:
        combination = _combination(members, folds, weights, vote)
    if "val" in folds:
        right = np.stack([member.predicted == member.truth for member in folds["val"]])
        facts["double_fault"] = double_fault(right).round(6).tolist()

    made = Run(Path(out))
    for fold, predictions in folds.items():
        combination.apply(predictions).save(made.predictions_path(fold))
    shares = combination.member_weights(len(members))
    made.write_card(
        {
            "name": made.name,
            "kind": "ensemble",
            "labels": list(folds["test"][0].labels),
            "vote": "soft",  # of its own items, which are clips; how members combine stands in `combination`
            "temperature": 1.0,
            "combination": combination.to_dict(),
            "members": [
                {"path": _relative(member.path, made.path), "name": name, "weight": share}
                for member, name, share in zip(members, names, shares, strict=True)
            ],
            "split": cards[0].get("split", {}),
            "data": cards[0].get("data", {}),
            **facts,
            "environment": environment(),
        }
    )
    return made


def clip_predictions(runs: Sequence[Run], fold: str) -> list[Predictions]:
    """Return each run's predictions of one fold, pooled by its own vote rule, with the clips in one common order.

    Raises
    ------
    RunError
        labels, clips or truths differ between runs.
    """
    pooled = [run.predictions(fold).pool(run.card().get("vote") or "soft") for run in runs]
    first = pooled[0]
    aligned = [first]
    for run, predictions in zip(runs[1:], pooled[1:], strict=True):
        where = f"{runs[0].path} and {run.path}"
        if predictions.labels != first.labels:
            raise RunError(f"{where} have different labels: {_apart(first.labels, predictions.labels)}")
        place = {clip: item for item, clip in enumerate(predictions.ids)}
        if place.keys() != set(first.ids):
            raise RunError(f"{where} have different {fold} clips: {_apart(first.ids, predictions.ids)}")
        ordered = predictions.select([place[clip] for clip in first.ids])
        differing = np.flatnonzero(ordered.truth != first.truth)
        if len(differing):
            raise RunError(f"{where} disagree about the true class of '{first.ids[differing[0]]}'; train both again")
        aligned.append(ordered)
    return aligned


def _combination(
    members: Sequence[Run], folds: dict[str, list[Predictions]], weights: Fit | Sequence[float] | None, vote: str
) -> Combination:
    if weights is None:
        return Combination(vote=vote)
    if not isinstance(weights, str):
        if len(weights) != len(members):
            raise ConfigError(f"{len(weights)} weights were given for {len(members)} runs")
        return Combination(weights=tuple(float(weight) for weight in weights))
    if weights not in FITS:
        raise ConfigError(f"weights is '{weights}', but must be one of {', '.join(FITS)}, or numbers")
    tuning = _validation(members, folds, f"'{weights}' weights")
    probs, truth = stack(tuning), tuning[0].truth
    if weights == "stacked":
        return fit_stacking(probs, truth)
    return fit_weights(probs, truth, per_class=weights == "per-class")


def _validation(members: Sequence[Run], folds: dict[str, list[Predictions]], what: str) -> list[Predictions]:
    """Return the members' validation clips with known truth, or raise RunError saying that `what` needs them."""
    if "val" not in folds:
        lacking = next(member for member in members if not member.predictions_path("val").exists())
        raise RunError(f"{lacking.path} has no validation predictions, but {what} must be fitted on them")
    known = folds["val"][0].truth >= 0
    if not known.any():
        raise RunError(f"the validation clips have no known truth, but {what} must be fitted on it")
    return [member.select(known) for member in folds["val"]]


def stack(predictions: Sequence[Predictions]) -> Probs:
    """Return the probabilities of aligned members as `[members, clips, classes]`."""
    return np.stack([member.probs for member in predictions])


def _check_same_split(runs: Sequence[Run], cards: Sequence[dict[str, Any]]) -> None:
    splits = [card.get("split") or {} for card in cards]
    for run, split in zip(runs[1:], splits[1:], strict=True):
        if split.get("sha256") != splits[0].get("sha256"):
            raise RunError(
                f"{runs[0].path} used split '{splits[0].get('name')}' and {run.path} used '{split.get('name')}' with "
                "another assignment: a clip tested by one may have trained the other; train both on one split"
            )


def _apart(first: Sequence[str], second: Sequence[str]) -> str:
    """Say how two lists differ: what one has more, or that their order differs."""
    for mine, theirs, which in ((first, second, "first"), (second, first, "second")):
        extra = sorted(set(mine) - set(theirs))
        if extra:
            return f"only the {which} has '{extra[0]}'" + (f" and {len(extra) - 1} more" if len(extra) > 1 else "")
    return "their order differs"


def _relative(path: Path, start: Path) -> str:
    return Path(os.path.relpath(path.resolve(), start.resolve())).as_posix()
