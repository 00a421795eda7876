"""One self-contained HTML page about one or several runs: the answer first, then everything it rests on."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup

from spectro.core.errors import ConfigError, RunError
from spectro.core.predictions import Predictions
from spectro.core.runs import Run, environment
from spectro.core.tables import write_text
from spectro.evaluation import charts, plots
from spectro.evaluation.compare import compare_pairs, distinct_names, model_row
from spectro.evaluation.ensemble import clip_predictions
from spectro.evaluation.evaluate import evaluated
from spectro.evaluation.exhibits import LISTED, Budget, Source, embed, exhibits
from spectro.evaluation.page_map import page_map

LIMIT = 15_000_000
"""Size that a report never exceeds, in bytes."""
CHOICES = {
    "val": "Among the models it is the best on validation clips; the test clips had no say in the choice.",
    "test": "It was chosen among the models by these very test clips, which flatters it a little.",
    "": "It is the only one of the models whose split does not leak.",
}
"""What is said of how the leading model was chosen, by the fold it was chosen on."""


def report(runs: Sequence[Run | Path | str], *, out: Path | str, data: Path | str | None = None) -> Path:
    """Write a report that needs no network and no other file.

    Parameters
    ----------
    runs : one or several finished runs; the best one (on validation, where all have it; never a leaky one among
        others) leads
    out : path of the HTML file
    data : data folder with pictures and source of the sounds; what the cards name if not given

    Returns
    -------
    The path of the report.

    Raises
    ------
    RunError
        a run is unfinished or has no test predictions.
    """
    members = [run if isinstance(run, Run) else Run.open(run) for run in runs]
    if not members:
        raise ConfigError("a report needs at least 1 run")
    members, chosen_on = _best_first(members)
    names = distinct_names(members)
    found = [evaluated(run) for run in members]
    pairs, refused = _pairs(names, members)
    budget = Budget()
    sections = [
        _section(number, name, run, metrics, budget, Path(data) if data else None)
        for number, (name, run, metrics) in enumerate(zip(names, members, found, strict=True))
    ]
    text = (
        _environment()
        .get_template("report.html.j2")
        .render(
            lead=sections[0],
            sections=sections,
            models=[model_row(*row) for row in zip(names, members, found, strict=True)],
            choice=CHOICES[chosen_on],
            rival=_rival(names, found, pairs),
            pairs=pairs,
            refused=refused,
            missing=list(dict.fromkeys(budget.missing)),
            listed=LISTED,
            versions=environment(),
        )
    )
    if len(text.encode()) > LIMIT:
        raise RunError(f"the report of {len(members)} runs would exceed {LIMIT // 10**6} MB; report fewer at a time")
    write_text(Path(out), text)
    return Path(out)


def _best_first(runs: Sequence[Run]) -> tuple[list[Run], str]:
    """Return the runs with the best one in front, and the fold it was chosen on (empty where there was no choice)."""
    honest = [run for run in runs if not _split(run.card()).get("leaky")] or list(runs)
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


def _rival(
    names: Sequence[str], found: Sequence[Mapping[str, Any]], pairs: Sequence[Mapping[str, Any]]
) -> Mapping[str, Any] | None:
    """Return the test of the first model against the best of the others."""
    best = max(range(1, len(names)), key=lambda other: found[other]["clip"]["accuracy"]["value"], default=0)
    return next((row for row in pairs if (row["first"], row["second"]) == (names[0], names[best])), None)


def _section(
    number: int, name: str, run: Run, metrics: Mapping[str, Any], budget: Budget, data: Path | None
) -> dict[str, Any]:
    """Return what the template says of one run; only the first run's confusions are seen and heard."""
    card = run.card()
    segments, leaf = _segments(run)
    clips = run.predictions("test").pool(metrics["vote"])
    clips = clips.select(clips.truth >= 0)
    cells = exhibits(clips, segments)
    if number == 0:
        source = Source.of(leaf.card(), data, budget.missing)
        cells = embed(cells, source, budget) if source else cells
    confusion = np.array(metrics["clip"]["confusion"])
    most = max((cell for cell in cells if cell[0] != cell[1]), key=lambda cell: len(cells[cell]), default=None)
    return {
        "number": number,
        "name": name,
        "card": card,
        "split": _split(card),
        "leaky": bool(_split(card).get("leaky")),
        "metrics": metrics,
        "labels": metrics["labels"],
        "confusion": confusion.tolist(),
        "shades": _shades(confusion),
        "cells": {f"{true}-{said}": shown for (true, said), shown in sorted(cells.items())},
        "first_cell": f"{most[0]}-{most[1]}" if most else "",
        "chance": float(confusion.sum(axis=1).max() / confusion.sum()),
        "commonest": metrics["labels"][int(confusion.sum(axis=1).argmax())],
        "audible": any(one.sound for shown in cells.values() for one in shown),
        "training": [Markup(chart.svg()) for chart in charts.training(run.history(), card.get("history") or {})],
        "calibration": [Markup(chart.svg()) for chart in charts.calibration(metrics["calibration"])],
        "heard": [Markup(chart.svg()) for chart in charts.heard(metrics.get("heard", []), _seconds(leaf.card()))],
        "map": page_map(run, data, budget.missing) if number == 0 else None,
        "path": str(run.path),
    }


def _segments(run: Run) -> tuple[Predictions | None, Run]:
    """Return segment predictions and the run that made them: the run itself, or of an ensemble the first member's."""
    members = run.card().get("members") or []
    if members:
        first = Run(run.path / members[0]["path"])
        return _segments(first) if first.card_path.exists() else (None, run)
    return run.predictions("test"), run


def _split(card: Mapping[str, Any]) -> dict[str, Any]:
    return card.get("split") or {}


def _seconds(card: Mapping[str, Any]) -> float | None:
    """Return the length of a segment, if the card tells."""
    config = (card.get("feature") or {}).get("config") or {}
    seconds = (config.get("segment") or {}).get("seconds")
    return float(seconds) if seconds else None


def _shades(confusion: np.ndarray[Any, Any]) -> list[list[float]]:
    """Return how dark each cell is: its share of the row, stretched so that a few errors show."""
    rows = np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    shades: list[list[float]] = ((confusion / rows) ** 0.6).round(3).tolist()
    return shades


def _environment() -> jinja2.Environment:
    made = jinja2.Environment(
        loader=jinja2.PackageLoader("spectro", "evaluation"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "percent": _percent,
        "decimal": lambda value, digits=3: "n/a" if value is None else f"{value:.{digits}f}",
        "thousands": lambda value: f"{value:,}".replace(",", "\N{NARROW NO-BREAK SPACE}"),
        "json": lambda value: json.dumps(value, indent=2, ensure_ascii=False),
        "interval": lambda figure, **how: Markup(plots.interval(figure, **how)),
        "bar": lambda figure: Markup(plots.bar(figure)),
        "points": _points,
        "media": Markup,
    }
    return made


def _percent(value: float | None, digits: int = 1) -> str:
    return "n/a" if value is None else f"{100 * value:.{digits}f}\N{NARROW NO-BREAK SPACE}%"


def _points(value: float) -> str:
    return f"{100 * value:+.1f} points".replace("-", "\N{MINUS SIGN}")
