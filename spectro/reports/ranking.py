"""Which of several runs leads, how sure that is, and the table of all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spectro.core.errors import ConfigError, RunError
from spectro.core.runs import Run
from spectro.evaluation.compare import compare_pairs, distinct_names, model_row
from spectro.evaluation.ensemble import clip_predictions
from spectro.evaluation.evaluate import load_or_compute

CHOICES = {
    "val": "Among the models it is the best on validation clips; the test clips had no say in the choice.",
    "test": "It was chosen among the models by these very test clips, which flatters it a little.",
    "": "It is the only one of the models whose split does not leak.",
}
"""What is said of how the leading model was chosen, by the fold it was chosen on."""


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """Runs and what is known of them, the leading one first."""

    runs: tuple[Run, ...]
    names: tuple[str, ...]
    """A name for each run that no other has."""
    metrics: tuple[dict[str, Any], ...]
    """What `evaluate` found of each."""
    chosen: str
    """How the leading one was chosen."""
    pairs: list[dict[str, Any]]
    """Paired tests of those that were tested on the leading one's clips; see `compare_pairs`."""
    refused: str
    """Which ones were not, or empty."""

    @property
    def models(self) -> list[dict[str, Any]]:
        """What a table says of each."""
        return [model_row(*row) for row in zip(self.names, self.runs, self.metrics, strict=True)]

    @property
    def rival(self) -> Mapping[str, Any] | None:
        """The test of the first against the best of the others."""
        best = max(range(1, len(self.names)), key=lambda n: self.metrics[n]["clip"]["accuracy"]["value"], default=0)
        wanted = (self.names[0], self.names[best])
        return next((row for row in self.pairs if (row["first"], row["second"]) == wanted), None)

    def table(self, *notes: str) -> dict[str, Any]:
        """Return what the formats of `formats.py` write, with notes below it."""
        drawn = self.metrics[0]["bootstrap"]
        intervals = (
            f"In brackets: {100 * drawn['level']:g} % intervals of a bootstrap over groups "
            f"({drawn['repeats']} resamples); shares in percent. Both sides: groups in training and in test."
        )
        said = [intervals, self.chosen if len(self.names) > 1 else "", self.refused, *notes]
        return {"models": self.models, "pairs": self.pairs, "notes": [note for note in said if note]}


def rank(runs: Sequence[Run | Path | str]) -> Ranking:
    """Judge runs and put the best one first: on validation where all have it, and never a leaky one among others.

    Raises
    ------
    ConfigError
        no run was given.
    RunError
        a run is unfinished or has no test predictions.
    """
    members = [run if isinstance(run, Run) else Run.open(run) for run in runs]
    if not members:
        raise ConfigError("a report needs at least 1 run")
    members, chosen_on = _best_first(members)
    names = distinct_names(members)
    pairs, refused = _pairs(names, members)
    return Ranking(
        runs=tuple(members),
        names=tuple(names),
        metrics=tuple(load_or_compute(run) for run in members),
        chosen=CHOICES[chosen_on],
        pairs=pairs,
        refused=refused,
    )


def _best_first(runs: Sequence[Run]) -> tuple[list[Run], str]:
    """Return the runs with the best one in front, and the fold it was chosen on (empty where there was no choice)."""
    honest = [run for run in runs if not (run.card().get("split") or {}).get("leaky")] or list(runs)
    fold = "val" if all(run.predictions_path("val").exists() for run in honest) else "test"

    def accuracy(run: Run) -> float:
        clips = run.predictions(fold).pool(run.card().get("vote") or "soft")
        return float((clips.predicted == clips.truth).mean()) if len(clips) else 0.0

    best = max(honest, key=accuracy)
    return [best, *(run for run in runs if run is not best)], fold if len(honest) > 1 else ""


def _pairs(names: Sequence[str], runs: Sequence[Run]) -> tuple[list[dict[str, Any]], str]:
    """Return the paired tests of the runs that were tested on the first one's clips, and who was left out, or why."""
    clips = [set(run.predictions("test").clip_ids) for run in runs]
    same = [item for item, heard in enumerate(clips) if heard == clips[0]]
    others = [name for item, name in enumerate(names) if item not in same]
    refused = f"{', '.join(others)}: tested on other clips than {names[0]}" if others else ""
    if len(same) < 2:
        return [], refused
    try:
        aligned = clip_predictions([runs[item] for item in same], "test")
    except RunError as error:
        return [], str(error)
    return compare_pairs(dict(zip([names[item] for item in same], aligned, strict=True))), refused
