"""One self-contained HTML page about one or several runs: the answer first, then everything it rests on."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup

from spectro.core.errors import RunError
from spectro.core.predictions import Predictions
from spectro.core.runs import Run, environment
from spectro.core.tables import write_text
from spectro.evaluation.label_issues import LabelIssue
from spectro.plots import charts
from spectro.plots import svg as plots
from spectro.reports.examples import LISTED, Budget, Exhibit, Source, embed, exhibits
from spectro.reports.leakage import in_words, known_leaks
from spectro.reports.map_svg import page_map
from spectro.reports.notable import doubts_of, extremes
from spectro.reports.ranking import Ranking, rank
from spectro.reports.tables import FORMATS, p_value

LIMIT = 15_000_000
"""Size that a report never exceeds, in bytes."""
CHECKED = 6
"""Clips on which the check of what the network heeded is made: about a hundred pictures are judged for each."""


def report(
    runs: Sequence[Run | Path | str], *, out: Path | str, data: Path | str | None = None, format: str = "html"
) -> Path:
    """Write a report that needs no network and no other file, or the table of the runs as text.

    Parameters
    ----------
    runs : one or several finished runs; the best one (on validation, where all have it; never a leaky one among
        others) leads
    out : path of the file
    data : data folder with pictures and source of the sounds; what the cards name if not given
    format : `html` for the page, or one of `FORMATS` for its table of models and of their differences

    Returns
    -------
    The path of the report.

    Raises
    ------
    RunError
        a run is unfinished or has no test predictions.
    ConfigError
        there is no run, or no such format.
    """
    write = None if format == "html" else FORMATS[format]
    ranking = rank(runs)
    budget = Budget()
    card = ranking.runs[0].card()
    source = Source.of(_segments(ranking.runs[0])[1].card(), Path(data) if data else None, budget.missing)
    leaks = known_leaks(source.store.path.parent if source else None, _split(card))
    if write:
        write_text(Path(out), write(ranking.table(in_words(leaks))))
        return Path(out)
    rows = enumerate(zip(ranking.names, ranking.runs, ranking.metrics, strict=True))
    sections = [_section(number, *row) for number, row in rows]
    sections[0] |= _exhibited(ranking, source, budget)
    sections[0]["map"] = page_map(ranking.runs[0], Path(data) if data else None, budget.missing)
    text = (
        _environment()
        .get_template("report.html.j2")
        .render(
            lead=sections[0],
            sections=sections,
            models=ranking.models,
            choice=ranking.chosen,
            rival=ranking.rival,
            pairs=ranking.pairs,
            refused=ranking.refused,
            leaks=leaks,
            leakage_gap=in_words(leaks),
            missing=list(dict.fromkeys(budget.missing)),
            listed=LISTED,
            versions=environment(),
        )
    )
    if len(text.encode()) > LIMIT:
        raise RunError(f"the report of {len(sections)} runs would exceed {LIMIT // 10**6} MB; report fewer at a time")
    write_text(Path(out), text)
    return Path(out)


def _section(number: int, name: str, run: Run, metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the template says of one run."""
    card = run.card()
    segments, leaf = _segments(run)
    cells = exhibits(_clips(run, metrics), segments)
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
        "cells": _named(cells),
        "first_cell": f"{most[0]}-{most[1]}" if most else "",
        "chance": float(confusion.sum(axis=1).max() / confusion.sum()),
        "commonest": metrics["labels"][int(confusion.sum(axis=1).argmax())],
        "training": [Markup(chart.svg()) for chart in charts.training(run.history(), card.get("history") or {})],
        "calibration": [Markup(chart.svg()) for chart in charts.calibration(metrics["calibration"])],
        "heard": [Markup(chart.svg()) for chart in charts.heard(metrics.get("heard", []), _seconds(leaf.card()))],
        "path": str(run.path),
        "again": _again(run),
    }


def _exhibited(ranking: Ranking, source: Source | None, budget: Budget) -> dict[str, Any]:
    """Return what is seen and heard of the leading run only: its confused clips, and those that say most."""
    run, metrics = ranking.runs[0], ranking.metrics[0]
    segments, leaf = _segments(run)
    clips = _clips(run, metrics)
    doubts: tuple[LabelIssue, ...] = ()
    undoubted = "the model has heard these clips in training, so what it doubts says little"
    if not _split(run.card()).get("leaky"):
        doubts, undoubted = doubts_of(clips)
    lists, cells = extremes(clips, segments, doubts), exhibits(clips, segments)
    overlays = None
    if source:
        from spectro.reports.cam_overlay import Overlays  # here, because torch takes seconds to come

        found = Overlays.of(leaf)
        overlays = None if isinstance(found, str) else found
        budget.missing += [found] if isinstance(found, str) else []
        lists = embed(lists, source, budget, overlays)
        cells = embed(cells, source, budget, overlays)
    marked = [one for one in lists["surest"] + lists["closest"] if one.overlay][:CHECKED]
    return {
        "cells": _named(cells),
        "extremes": lists,
        "doubts": len(doubts),
        "undoubted": undoubted,
        "overlays": overlays,
        "checked": len(marked),
        "held": sum(
            overlays.holds(source.picture(source.segments[one.segment]), one.said)
            for one in marked
            if overlays and source
        ),
        "seen": source.store.config if source else None,
    }


def _clips(run: Run, metrics: Mapping[str, Any]) -> Predictions:
    clips = run.predictions("test").pool(metrics["vote"])
    return clips.select(clips.truth >= 0)


def _named(cells: Mapping[tuple[int, int], list[Exhibit]]) -> dict[str, list[Exhibit]]:
    return {f"{true}-{said}": shown for (true, said), shown in sorted(cells.items())}


def _segments(run: Run) -> tuple[Predictions | None, Run]:
    """Return segment predictions and the run that made them: the run itself, or of an ensemble the first member's."""
    members = run.card().get("members") or []
    if members:
        first = Run(run.path / members[0]["path"])
        return _segments(first) if first.card_path.exists() else (None, run)
    return run.predictions("test"), run


def _again(run: Run) -> str:
    """Return the command that makes such a run; where the card holds none, the one that reads its settings."""
    card = run.card()
    data = (card.get("data") or {}).get("path")
    if card.get("command") or card.get("kind") != "torch" or not data or "training" not in card:
        return str(card.get("command") or "")
    return shlex.join(["spectro", "finetune", data, "--like", str(run.path)])


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
        loader=jinja2.PackageLoader("spectro.reports"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "percent": _percent,
        "decimal": lambda value, digits=3: "n/a" if value is None else f"{value:.{digits}f}",
        "p_value": p_value,
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
