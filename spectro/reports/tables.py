"""The table of a comparison as text for papers and programs: Markdown, LaTeX, CSV and JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import fields

from spectro.core.files import csv_text
from spectro.core.formatting import defuse
from spectro.core.registry import Registry
from spectro.evaluation.results import Comparison, Estimate, ModelRow, PairTest, Scores, SystemFacts
from spectro.reports import escape

Format = Callable[[Comparison], str]

FORMATS: Registry[Format] = Registry("format")
"""Ways to write a comparison as text."""

TITLES = {
    "accuracy": "accuracy",
    "macro_f1": "macro-F1",
    "balanced_accuracy": "balanced accuracy",
    "roc_auc": "ROC-AUC",
    "log_loss": "log loss",
}
COLUMNS = (
    ("clip", "accuracy"),
    ("clip", "macro_f1"),
    ("segment", "accuracy"),
    ("segment", "macro_f1"),
    ("clip", "roc_auc"),
)
"""Level and metric of each column."""
SYSTEM = {
    "study": "study",
    "reported": "accuracy in the study",
    "seconds": "segment s",
    "seeds": "seeds",
    "train_auc": "train AUC",
    "fit_seconds": "fit s",
    "predict_ms": "predict ms",
    "note": "note",
    "protocol": "protocol of the study",
}
"""Facts of a system of the studies, in addition to those of any run, and their titles."""
PAIR_COLUMNS = ("n", "groups", "only_first", "only_second", "p_mcnemar_holm", "p_bootstrap_holm", "needed")
METRICS = tuple(field.name for field in fields(Scores))


@FORMATS.add("md")
def markdown(comparison: Comparison) -> str:
    """Return Markdown tables: models, then pairs, then notes."""
    blocks = []
    for header, rows in _tables(comparison, escape.markdown):
        lines = [header, ["---"] + ["---:"] * (len(header) - 1), *rows]
        blocks.append("".join("| " + " | ".join(line) + " |\n" for line in lines))
    return "\n".join([*blocks, *(escape.markdown(note) + "\n" for note in comparison.notes)])


@FORMATS.add("tex")
def latex(comparison: Comparison) -> str:
    """Return LaTeX tabulars for the booktabs package: models, then pairs; notes as comments."""
    blocks = []
    for header, rows in _tables(comparison, str):
        body = "".join("  " + " & ".join(map(escape.latex, row)) + r" \\" + "\n" for row in rows)
        head = "  " + " & ".join(map(escape.latex, header)) + r" \\" + "\n"
        columns = "l" + "r" * (len(header) - 1)
        blocks.append(
            f"\\begin{{tabular}}{{{columns}}}\n  \\toprule\n{head}  \\midrule\n{body}  \\bottomrule\n\\end{{tabular}}\n"
        )
    return "\n".join([*blocks, *(f"% {escape.one_line(note)}\n" for note in comparison.notes)])


@FORMATS.add("csv")
def comma_separated(comparison: Comparison) -> str:
    """Return one line per model and level, every metric with its interval in columns of its own."""
    facts = (*SYSTEM, "deviation", "epochs_cap") if _are_systems(comparison) else ()
    metrics = [f"{name}{end}" for name in METRICS for end in ("", "_low", "_high")]
    header = ["model", "split", "level", "clips", "groups", "leaking_groups", *metrics]
    rows: list[list[object]] = []
    for model in comparison.models:
        for level, scores in (("segment", model.segment), ("clip", model.clip)):
            if scores is None:
                continue
            estimates = [getattr(scores, name) for name in METRICS]
            values = [_csv_value(value) for one in estimates for value in (one.value, one.low, one.high)]
            more = [model.parameters, *(getattr(model.system, name) for name in facts)] if facts else []
            row = [model.name, model.split, level, model.clips, model.groups, model.leaking_groups, *values, *more]
            rows.append([defuse(value) for value in row])
    return csv_text([*header, *(["parameters", *facts] if facts else [])], rows)


@FORMATS.add("json")
def json_text(comparison: Comparison) -> str:
    """Return everything as JSON."""
    return json.dumps(comparison.to_dict(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def p_value(value: float) -> str:
    """Return a p-value with three digits, `<0.001` where that would round to 0, and `n/a` for nan."""
    if math.isnan(value):
        return "n/a"
    return f"{value:.3f}" if value >= 0.001 else "<0.001"


def _tables(comparison: Comparison, shown: Callable[[str], str]) -> Iterator[tuple[list[str], list[list[str]]]]:
    """Yield the header and the rows of each table, names and notes as `shown` returns them."""
    systems = _are_systems(comparison)
    titles = [f"{level} {TITLES[name]}" for level, name in COLUMNS]
    header = ["model", "split", "clips", "groups", "leaking groups", *titles]
    header += ["parameters", *SYSTEM.values()] if systems else []
    yield header, [_model_cells(model, systems, shown) for model in comparison.models]
    if comparison.pairs:
        yield (
            ["pair", "difference", *(column.replace("_", " ") for column in PAIR_COLUMNS)],
            [_pair_cells(pair, shown) for pair in comparison.pairs],
        )


def _model_cells(model: ModelRow, systems: bool, shown: Callable[[str], str]) -> list[str]:
    levels = {"segment": model.segment, "clip": model.clip}
    estimates = [
        None if (scores := levels[level]) is None else (getattr(scores, name), name) for level, name in COLUMNS
    ]
    return [
        shown(model.name),
        shown(model.split),
        str(model.clips),
        str(model.groups),
        str(model.leaking_groups),
        *("" if one is None else _with_interval(*one) for one in estimates),
        *([_plain(model.parameters), *map(shown, _system_cells(model.system))] if systems and model.system else []),
    ]


def _system_cells(system: SystemFacts) -> Iterator[str]:
    """Yield the facts of a system, the study's accuracy in percent like ours."""
    for name in SYSTEM:
        value = getattr(system, name)
        yield _plain(100 * value if name == "reported" and value is not None else value)


def _pair_cells(pair: PairTest, shown: Callable[[str], str]) -> list[str]:
    values = [(column, getattr(pair, column)) for column in PAIR_COLUMNS]
    return [
        f"{shown(pair.first)} - {shown(pair.second)}",
        _with_interval(pair.difference, "accuracy"),
        *((p_value if column.startswith("p_") else _plain)(value) for column, value in values),
    ]


def _are_systems(comparison: Comparison) -> bool:
    """Return whether the models are systems of the studies."""
    return all(model.system is not None for model in comparison.models)


def _plain(value: float | int | str | None) -> str:
    """Return a number with four digits, or the text as it is."""
    return f"{value:.4g}" if isinstance(value, float) else "-" if value is None else str(value)


def _csv_value(value: float) -> float | str:
    return "" if math.isnan(value) else value


def _with_interval(estimate: Estimate, name: str) -> str:
    """Return `61.2 [55.0, 66.1]`; shares in percent, AUC and losses as they are."""
    scale, digits = (1, 3) if name in ("roc_auc", "log_loss") else (100, 1)
    values = (estimate.value, estimate.low, estimate.high)
    value, low, high = ("-" if math.isnan(one) else f"{one * scale:.{digits}f}" for one in values)
    return value if math.isnan(estimate.low) else f"{value} [{low}, {high}]"
