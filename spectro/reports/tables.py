"""The table of a comparison as text for papers and programs: Markdown, LaTeX, CSV and JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from typing import Any

from spectro.core.registry import Registry
from spectro.evaluation.compare import FIGURES

Format = Callable[[dict[str, Any]], str]

FORMATS: Registry[Format] = Registry("format")
"""Ways to write what `compare`, `compare_recipes` or `Ranking.table` returned (`pairs` and `notes` may be missing)."""

TITLES = {
    "accuracy": "accuracy",
    "macro_f1": "macro-F1",
    "balanced_accuracy": "balanced accuracy",
    "roc_auc": "ROC-AUC",
    "log_loss": "log loss",
}
SHOWN = (
    ("clip", "accuracy"),
    ("clip", "macro_f1"),
    ("segment", "accuracy"),
    ("segment", "macro_f1"),
    ("clip", "roc_auc"),
)
SYSTEM = {
    "study": "study",
    "figure": "the study's accuracy",
    "seconds": "s a piece",
    "seeds": "seeds",
    "train_auc": "train AUC",
    "fit_seconds": "fit s",
    "predict_ms": "predict ms",
    "note": "note",
    "protocol": "the study's protocol",
}
"""What a table says of a system of the studies, beside what it says of any run, and under which title."""
PAIR_COLUMNS = ("n", "groups", "only_first", "only_second", "p_mcnemar_holm", "p_bootstrap_holm", "needed")


@FORMATS.add("md")
def markdown(found: dict[str, Any]) -> str:
    """Return Markdown tables: models, then pairs, then notes."""
    blocks = []
    for header, rows in _tables(found):
        lines = [header, ["---"] + ["---:"] * (len(header) - 1), *rows]
        blocks.append("".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines))
    return "\n".join([*blocks, *(note + "\n" for note in found.get("notes", ()))])


@FORMATS.add("tex")
def latex(found: dict[str, Any]) -> str:
    """Return LaTeX tabulars for the booktabs package: models, then pairs; notes as comments."""
    blocks = []
    for header, rows in _tables(found):
        body = "".join("  " + " & ".join(map(_escape, row)) + r" \\" + "\n" for row in rows)
        head = "  " + " & ".join(map(_escape, header)) + r" \\" + "\n"
        columns = "l" + "r" * (len(header) - 1)
        blocks.append(
            f"\\begin{{tabular}}{{{columns}}}\n  \\toprule\n{head}  \\midrule\n{body}  \\bottomrule\n\\end{{tabular}}\n"
        )
    return "\n".join([*blocks, *(f"% {note}\n" for note in found.get("notes", ()))])


@FORMATS.add("csv")
def comma_separated(found: dict[str, Any]) -> str:
    """Return one line per model and level, every figure with its interval in columns of its own."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    figures = [f"{name}{end}" for name in FIGURES for end in ("", "_low", "_high")]
    system = [*SYSTEM, "deviation", "epochs_cap"] if _systems(found) else []
    writer.writerow(
        [
            "model",
            "split",
            "level",
            "clips",
            "groups",
            "leaking_groups",
            *figures,
            *(["parameters", *system] if system else []),
        ]
    )
    for model in found["models"]:
        for level in ("segment", "clip"):
            if level in model:
                values = [model[level][name][end] for name in FIGURES for end in ("value", "low", "high")]
                more = [model["parameters"], *(model["system"][name] for name in system)] if system else []
                facts = [model["clips"], model["groups"], model.get("leaking_groups")]
                writer.writerow([model["name"], model["split"], level, *facts, *values, *more])
    return text.getvalue()


@FORMATS.add("json")
def json_text(found: dict[str, Any]) -> str:
    """Return everything, as it is."""
    return json.dumps(found, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def p_value(value: float) -> str:
    """Return `0.012`, and `<0.001` for what three digits would call impossible."""
    return f"{value:.3f}" if value >= 0.001 else "<0.001"


def _tables(found: dict[str, Any]) -> Iterator[tuple[list[str], list[list[str]]]]:
    header = ["model", "split", "clips", "groups", "both sides", *(f"{level} {TITLES[name]}" for level, name in SHOWN)]
    header += ["parameters", *SYSTEM.values()] if _systems(found) else []
    yield (
        header,
        [
            [
                model["name"],
                model["split"],
                str(model["clips"]),
                str(model["groups"]),
                _plain(model.get("leaking_groups")),
                *(_figure(model[level][name], name) if level in model else "" for level, name in SHOWN),
                *([_plain(model["parameters"]), *map(_plain, _said(model["system"]))] if _systems(found) else []),
            ]
            for model in found["models"]
        ],
    )
    if found.get("pairs"):
        yield (
            ["pair", "difference", *(column.replace("_", " ") for column in PAIR_COLUMNS)],
            [
                [f"{row['first']} - {row['second']}", _figure(row["difference"], "accuracy")]
                + [(p_value if column.startswith("p_") else _plain)(row[column]) for column in PAIR_COLUMNS]
                for row in found["pairs"]
            ],
        )


def _systems(found: dict[str, Any]) -> bool:
    """Tell whether the models are systems of the studies."""
    return all("system" in model for model in found["models"])


def _said(system: dict[str, Any]) -> Iterator[float | int | str | None]:
    """Yield what the table shows of a system, the study's accuracy in percent like ours."""
    for name in SYSTEM:
        value = system[name]
        yield 100 * value if name == "figure" and value is not None else value


def _plain(value: float | int | str | None) -> str:
    """Return a number of four digits, or the text as it is."""
    return f"{value:.4g}" if isinstance(value, float) else "-" if value is None else str(value)


def _figure(figure: dict[str, float | None], name: str) -> str:
    """Return `61.2 [55.0, 66.1]`; shares in percent, AUC and losses as they are."""
    scale, digits = (1, 3) if name in ("roc_auc", "log_loss") else (100, 1)
    value, low, high = ("-" if v is None else f"{v * scale:.{digits}f}" for v in figure.values())
    return value if figure["low"] is None else f"{value} [{low}, {high}]"


def _escape(text: str) -> str:
    replaced = text.replace("\\", r"\textbackslash ")
    for sign in "&%$#_{}":
        replaced = replaced.replace(sign, f"\\{sign}")
    return replaced.replace("<", "$<$")
