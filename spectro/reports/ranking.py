"""The ranking of several runs: which one leads, how sure that is, and the table of all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from spectro.core.alignment import aligned_clips, own_clips
from spectro.core.errors import ConfigError, RunError
from spectro.core.runs import Run
from spectro.evaluation.compare import compare_pairs, distinct_names, model_row
from spectro.evaluation.evaluate import load_or_compute
from spectro.evaluation.results import Comparison, Metrics, ModelRow, PairTest

Choice = Literal["val", "test", ""]
"""The subset on which the leading run was chosen; empty where there was no choice."""

CHOICES: dict[Choice, str] = {
    "val": "The model was chosen as the most accurate on validation clips; test clips were not used for the choice.",
    "test": "The model was chosen as the most accurate on these test clips, so its accuracy is slightly optimistic.",
    "": "It is the only one of the models whose split does not leak.",
}
"""How the leading model was chosen, in one sentence."""


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """Runs with their metrics, the leading one first."""

    runs: tuple[Run, ...]
    names: tuple[str, ...]
    """A unique name for each run."""
    metrics: tuple[Metrics, ...]
    chosen_on: Choice
    """The subset on which the leading run was chosen."""
    pairs: tuple[PairTest, ...]
    """Paired tests of the runs that were tested on the same clips as the leading one."""
    refused: str
    """Which runs were not, or empty."""

    @property
    def models(self) -> tuple[ModelRow, ...]:
        """The rows of the table."""
        return tuple(model_row(*row) for row in zip(self.names, self.runs, self.metrics, strict=True))

    @property
    def choice(self) -> str:
        """How the leading run was chosen, in one sentence; empty for a single run."""
        return CHOICES[self.chosen_on] if len(self.runs) > 1 else ""

    @property
    def runner_up(self) -> PairTest | None:
        """The test of the leading run against the best of the others, if there is one."""
        best = max(range(1, len(self.names)), key=lambda n: self.metrics[n].clip.accuracy.value, default=0)
        wanted = (self.names[0], self.names[best])
        return next((pair for pair in self.pairs if (pair.first, pair.second) == wanted), None)

    def table(self, *notes: str) -> Comparison:
        """Return the table that the formats of `tables.py` write, with notes below it."""
        bootstrap = self.metrics[0].bootstrap
        intervals = (
            f"In brackets: {100 * bootstrap.level:g} % intervals of a bootstrap over groups "
            f"({bootstrap.repeats} resamples); shares in percent. Leaking groups: groups in both training and test."
        )
        every = (intervals, self.choice, self.refused, *notes)
        return Comparison(models=self.models, pairs=self.pairs, notes=tuple(note for note in every if note))


def rank(runs: Sequence[Run | Path | str]) -> Ranking:
    """Evaluate runs and put the best one first: on validation where all have it, and never a leaky one among others.

    Raises
    ------
    ConfigError
        No run was given.
    RunError
        A run is unfinished or has no test predictions.
    """
    if not runs:
        raise ConfigError("a report needs at least 1 run; name one or several run folders")
    ranked, chosen_on = _best_first([Run.open(run) for run in runs])
    names = distinct_names(ranked)
    pairs, refused = _pairs(names, ranked)
    return Ranking(
        runs=tuple(ranked),
        names=tuple(names),
        metrics=tuple(load_or_compute(run) for run in ranked),
        chosen_on=chosen_on,
        pairs=pairs,
        refused=refused,
    )


def _best_first(runs: Sequence[Run]) -> tuple[list[Run], Choice]:
    """Return the runs with the best one in front, and the subset it was chosen on."""
    clean = [run for run in runs if not run.card.split.leaky] or list(runs)
    subset: Literal["val", "test"] = "val" if all(run.has_predictions("val") for run in clean) else "test"

    def accuracy(run: Run) -> float:
        clips = own_clips(run, subset)
        return float((clips.predicted == clips.truth).mean()) if len(clips) else 0.0

    best = max(clean, key=accuracy)
    return [best, *(run for run in runs if run is not best)], subset if len(clean) > 1 else ""


def _pairs(names: Sequence[str], runs: Sequence[Run]) -> tuple[tuple[PairTest, ...], str]:
    """Return the paired tests of runs that share the first one's test clips, and which runs were left out, or why."""
    clips = [set(run.predictions("test").clip_ids) for run in runs]
    same = [item for item, tested in enumerate(clips) if tested == clips[0]]
    others = [name for item, name in enumerate(names) if item not in same]
    refused = f"{', '.join(others)}: tested on other clips than {names[0]}" if others else ""
    if len(same) < 2:
        return (), refused
    try:
        aligned = aligned_clips([runs[item] for item in same], "test")
    except RunError as error:
        return (), str(error)
    return compare_pairs(dict(zip([names[item] for item in same], aligned, strict=True))), refused
