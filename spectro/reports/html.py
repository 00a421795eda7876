"""One self-contained HTML page about one or several runs: the answer first, then the evidence."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Sequence
from pathlib import Path

import jinja2
from markupsafe import Markup

from spectro.core.errors import RunError
from spectro.core.files import write_text
from spectro.core.runs import Run, environment
from spectro.evaluation.results import Estimate
from spectro.plots import svg
from spectro.reports.leakage import Leakage, known_leakage
from spectro.reports.map_svg import report_map
from spectro.reports.media import LISTED, Budget, MediaSource
from spectro.reports.ranking import Ranking, rank
from spectro.reports.sections import first_leaf, highlights, section
from spectro.reports.tables import FORMATS, p_value

LIMIT = 15_000_000
"""Size that a report never exceeds, in bytes."""
MOST_PAIRS = 15
"""Pairs of models that are listed; `spectro compare` lists all."""


def report(
    runs: Sequence[Run | Path | str], *, out: Path | str, data: Path | str | None = None, format: str = "html"
) -> Path:
    """Write a report that needs no network and no other file, or the table of the runs as text.

    Metrics that are missing are computed and kept; nothing else in the runs is written.

    Parameters
    ----------
    runs
        One or several finished runs. The best one leads: on validation, where all have it, and never a leaky one among
        others.
    out
        Path of the file.
    data
        Data folder with the spectrograms, and with the source of the sound; by default the one that the card names.
    format
        `html` for the page, or one of `FORMATS` for its table of models and of their differences.

    Returns
    -------
    Path
        The path of the report.

    Raises
    ------
    RunError
        A run is unfinished or has no test predictions.
    ConfigError
        There is no run, or no such format.
    """
    write = None if format == "html" else FORMATS[format]
    ranking, budget, folder = rank(runs), Budget(), Path(data) if data else None
    lead = ranking.runs[0]
    source = MediaSource.of((first_leaf(lead) or lead).card, folder, budget.missing)
    leakage = known_leakage(source.data if source else None, lead.card.split, budget.missing)
    text = write(ranking.table(leakage.sentence)) if write else _page(ranking, source, leakage, budget, folder)
    if len(text.encode(errors="surrogatepass")) > LIMIT:
        raise RunError(f"the report of {len(runs)} runs would exceed {LIMIT // 10**6} MB; report fewer at a time")
    write_text(Path(out), text)
    return Path(out)


def _page(ranking: Ranking, source: MediaSource | None, leakage: Leakage, budget: Budget, data: Path | None) -> str:
    rows = zip(ranking.names, ranking.runs, ranking.metrics, strict=True)
    sections = [section(number, *row) for number, row in enumerate(rows)]
    examples = highlights(sections[0], source, budget)
    points = report_map(ranking.runs[0], data, budget.missing)
    gains = [one.member_gains for one in sections if one.card.is_ensemble]
    missing = list(dict.fromkeys([*budget.missing, *(reason for reason in gains if isinstance(reason, str))]))
    for reason in missing:
        logging.getLogger(__name__).warning("missing from the report: %s", reason)
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            lead=sections[0],
            sections=sections,
            highlights=examples,
            map=points,
            models=ranking.models,
            ranking=ranking,
            leakage=leakage,
            missing=missing,
            listed=LISTED,
            most_pairs=MOST_PAIRS,
            versions=environment(),
        )
    )


def _environment() -> jinja2.Environment:
    templates = jinja2.Environment(
        loader=jinja2.PackageLoader("spectro.reports"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    templates.filters |= {
        "percent": _percent,
        "decimal": _decimal,
        "p_value": p_value,
        "thousands": lambda value: f"{value:,}".replace(",", "\N{NARROW NO-BREAK SPACE}"),
        "json": lambda card: json.dumps(card.to_dict(), indent=2, ensure_ascii=False),
        "interval": lambda estimate, **scale: Markup(svg.interval(estimate, **scale)),
        "bar": lambda estimate: Markup(svg.bar(estimate)),
        "points": _points,
        "media": Markup,
    }
    templates.tests["bounded"] = _bounded
    return templates


def _bounded(estimate: Estimate) -> bool:
    """Return whether an estimate has an interval."""
    return not (math.isnan(estimate.low) or math.isnan(estimate.high))


def _percent(value: float | None, digits: int = 1) -> str:
    return "n/a" if value is None or math.isnan(value) else f"{100 * value:.{digits}f}\N{NARROW NO-BREAK SPACE}%"


def _decimal(value: float, digits: int = 3) -> str:
    return "n/a" if math.isnan(value) else f"{value:.{digits}f}"


def _points(value: float, unit: bool = True) -> str:
    if math.isnan(value):
        return "n/a"
    return f"{100 * value:+.1f}{' points' if unit else ''}".replace("-", "\N{MINUS SIGN}")
