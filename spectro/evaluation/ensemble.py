"""Make an ensemble: combine the clip probabilities of several runs, and their segments' where these align."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from spectro.core.alignment import aligned_clips, aligned_segments
from spectro.core.arrays import Probs
from spectro.core.card import Card, Combination, Member, RuleFacts, SelectionFacts
from spectro.core.errors import ConfigError, RunError
from spectro.core.predictions import VOTES, Predictions
from spectro.core.runs import Run, environment
from spectro.core.tables import Subset
from spectro.evaluation.ensemble_fit import fit_stacking, fit_weights
from spectro.evaluation.ensemble_folder import replace_ensemble, require_own_folder
from spectro.evaluation.ensemble_search import choose_combination, double_fault, search_members
from spectro.inference.combination import combine_predictions, member_weights
from spectro.inference.temperature import fit_temperature

Fit = Literal["fitted", "per-class", "stacked", "best"]
FITS: tuple[Fit, ...] = ("fitted", "per-class", "stacked", "best")
SUBSETS: tuple[Subset, ...] = ("test", "val")


@dataclass(frozen=True, kw_only=True)
class Candidates:
    """Runs that may become members, with their predictions of clips in one order."""

    runs: tuple[Run, ...]
    clips: Mapping[Subset, Sequence[Predictions]]
    """Predictions of each run, of `test`, and of `val` where all runs have them."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the runs."""
        return tuple(run.card.name for run in self.runs)

    def select(self, items: Sequence[int]) -> Candidates:
        """Return the given runs only."""
        clips = {subset: [parts[item] for item in items] for subset, parts in self.clips.items()}
        return Candidates(runs=tuple(self.runs[item] for item in items), clips=clips)

    def validation(self, purpose: str) -> tuple[Probs, Predictions]:
        """Return the probabilities of validation clips with known truth, `[runs, clips, classes]`, and those clips.

        Raises
        ------
        RunError
            There are none; the message names the `purpose` that needs them.
        """
        if "val" not in self.clips:
            lacking = next(run for run in self.runs if not run.has_predictions("val"))
            raise RunError(f"{lacking.path} has no validation predictions, but {purpose} must be fitted on them")
        known = self.clips["val"][0].truth >= 0
        if not known.any():
            raise RunError(f"the validation clips have no known truth, but {purpose} must be fitted on it")
        parts = [part.select(known) for part in self.clips["val"]]
        return np.stack([part.probs for part in parts]), parts[0]


def ensemble(
    runs: Sequence[Run | Path | str],
    *,
    out: Path | str,
    weights: Fit | Sequence[float] | None = None,
    vote: str = "soft",
    search: bool = False,
    command: str = "",
) -> Run:
    """Combine finished runs into one, which is a run like any other.

    Members may differ in model, feature and segment length: each pools its segments to clips, then clips are combined.
    Where all members cut clips alike, their segments are combined in the same way, for results at segment level.

    Parameters
    ----------
    runs
        At least two runs with the same labels, trained on the same split.
    out
        Folder of the new run: absent, empty, or that of an earlier ensemble, which is replaced as a whole.
    weights
        One weight per run; `"fitted"` (one per run, by log loss on validation), `"per-class"` (one per run and class),
        `"stacked"` (logistic regression on validation), or `"best"` (whichever of these and of the vote rules does best
        in a cross-validation on validation); equal weights if not given. Weights need a soft vote.
    vote
        Rule by which members decide together (one of `VOTES`).
    search
        Whether to keep only those of the runs that help each other on validation.
    command
        Command line that makes the ensemble, for its card.

    Returns
    -------
    Run
        With clip predictions of `test` and (where all members have them) `val`, a temperature fitted on the latter, and
        a card that lists the members.

    Raises
    ------
    RunError
        Runs do not belong together, lack the validation predictions that fitting needs, or would be overwritten.
    BusyError
        Another process writes the same ensemble.
    ConfigError
        Weights and vote do not fit each other or the number of runs.
    """
    members = tuple(Run.open(run) for run in runs)
    _check_settings(members, weights, vote)
    target = require_own_folder(Path(out), members)
    _check_same_split(members)
    subsets = [subset for subset in SUBSETS if subset == "test" or all(run.has_predictions(subset) for run in members)]
    candidates = Candidates(runs=members, clips={subset: aligned_clips(members, subset) for subset in subsets})
    selection: SelectionFacts | None = None
    if search:
        probs, clips = candidates.validation("a search")
        selected = search_members(probs, clips.truth, clips.groups)
        selection = selected.facts(candidates.names)
        candidates = candidates.select(selected.chosen)
    combination, rules = _combination(candidates, weights, vote)
    card = replace(_card(target, candidates, combination), selection=selection, rules=rules, command=command)
    return _write(target, candidates, card)


def _card(run: Run, members: Candidates, combination: Combination) -> Card:
    """Return the card of an ensemble, not calibrated yet."""
    first = members.runs[0].card
    shares = member_weights(combination, len(members.runs))
    return Card(
        name=run.name,
        kind="ensemble",
        labels=members.clips["test"][0].labels,
        split=first.split,
        data=first.data,
        vote="soft",  # of its own items, which are clips; how members are combined is in `combination`
        members=tuple(
            Member(path=_relative(member.path, run.path), name=name, weight=share)
            for member, name, share in zip(members.runs, members.names, shares, strict=True)
        ),
        combination=combination,
        double_fault=_double_fault(members.clips["val"]) if "val" in members.clips else (),
        environment=environment(),
    )


def _write(run: Run, members: Candidates, card: Card) -> Run:
    """Write predictions and calibrated card in place of an earlier ensemble."""
    assert card.combination is not None
    clips = {subset: combine_predictions(card.combination, parts) for subset, parts in members.clips.items()}
    files = {f"predictions-{subset}.npz": predictions for subset, predictions in clips.items()}
    for subset in clips:
        aligned = aligned_segments(members.runs, subset)
        if aligned is not None:
            files[f"segments-{subset}.npz"] = combine_predictions(card.combination, aligned)
    if "val" in clips and (clips["val"].truth >= 0).any():
        card = replace(card, temperature=fit_temperature(clips["val"]))
    return replace_ensemble(run, members.runs, card, files)


def _combination(
    members: Candidates, weights: Fit | Sequence[float] | None, vote: str
) -> tuple[Combination, tuple[RuleFacts, ...]]:
    """Return the way of combining that the settings ask for, fitted where it must be, and the rules compared for it."""
    if weights is None:
        return Combination(vote=vote), ()
    if not isinstance(weights, str):
        if len(weights) != len(members.runs):
            raise ConfigError(f"{len(weights)} weights were given for {len(members.runs)} runs")
        return Combination(weights=tuple(float(weight) for weight in weights)), ()
    probs, clips = members.validation(f"'{weights}' weights")
    if weights == "best":
        return choose_combination(probs, clips.truth, clips.groups)
    if weights == "stacked":
        return fit_stacking(probs, clips.truth), ()
    return fit_weights(probs, clips.truth, per_class=weights == "per-class"), ()


def _check_settings(members: Sequence[Run], weights: Fit | Sequence[float] | None, vote: str) -> None:
    if len(members) < 2:
        raise ConfigError(f"an ensemble needs at least 2 runs, but {len(members)} was given")
    VOTES[vote]  # raises when there is none of that name
    if weights is not None and vote != "soft":
        raise ConfigError(f"weights need the soft vote, but vote is '{vote}'")
    if isinstance(weights, str) and weights not in FITS:
        raise ConfigError(f"weights is '{weights}', but must be one of {', '.join(FITS)}, or numbers")


def _check_same_split(runs: Sequence[Run]) -> None:
    first = runs[0].card.split
    for run in runs[1:]:
        split = run.card.split
        if split.sha256 != first.sha256:
            raise RunError(
                f"{runs[0].path} used split '{first.name}' and {run.path} used '{split.name}' with another assignment: "
                "a clip tested by one may have trained the other; train both on one split"
            )


def _double_fault(members: Sequence[Predictions]) -> tuple[tuple[float, ...], ...]:
    right = np.stack([member.predicted == member.truth for member in members])
    return tuple(map(tuple, double_fault(right).round(6).tolist()))


def _relative(path: Path, start: Path) -> str:
    return Path(os.path.relpath(path.resolve(), start.resolve())).as_posix()
