"""The model card: a run's card and metrics as Markdown for people, with the metadata block that Hugging Face reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jinja2
from huggingface_hub import EvalResult, ModelCardData

from spectro.core.runs import Run
from spectro.core.tables import write_text

SHOWN = {
    "accuracy": "accuracy",
    "macro_f1": "macro F1",
    "balanced_accuracy": "balanced accuracy",
    "top3": "top 3",
    "roc_auc": "ROC-AUC",
    "log_loss": "log loss",
    "brier": "Brier",
}
"""Figures of the table, by their name in `metrics.json`."""
LEVELS = ("segment", "clip", "group")
FEW_GROUPS = 30
"""Fewer independent groups than this make intervals that are themselves uncertain, and the card says so."""
HUB_LICENCES = frozenset({"apache-2.0", "mit", "bsd-2-clause", "bsd-3-clause", "cc-by-4.0", "cc-by-nc-4.0", "cc0-1.0"})
"""Licences that Hugging Face knows by the name that a card gives them; any other becomes `other` there."""


def model_card(run: Run | Path | str, *, data_licence: str = "") -> str:
    """Return the Markdown model card of a run, made from `card.json` and `metrics.json` and nothing else.

    Parameters
    ----------
    run : the run or its folder
    data_licence : licence of the sound that the model learnt from, which neither file knows

    Raises
    ------
    RunError
        there is no finished run, or it was not evaluated yet.
    """
    run = run if isinstance(run, Run) else Run.open(run)
    card, metrics = run.card(), run.metrics()
    levels = [level for level in LEVELS if level in metrics]
    names = [name for name in SHOWN if all(name in metrics[level] for level in levels)]
    weights = card.get("weights") or {}
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("spectro.reports"),
        autoescape=False,  # Markdown, not HTML
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template("model_card.md.j2").render(
        metadata=_metadata(card, metrics).to_yaml(),
        card=card,
        metrics=metrics,
        name=card.get("name") or run.name,
        architecture=_architecture(card),
        split=card.get("split") or {},
        data=card.get("data") or {},
        folder=Path((card.get("data") or {}).get("path") or "").name,
        levels=levels,
        rows=[(SHOWN[name], [_interval(metrics[level][name]) for level in levels]) for name in names],
        classes=[
            (label.replace("|", "\\|"), scores["support"], _interval(scores["recall"]), _interval(scores["precision"]))
            for label, scores in metrics["clip"]["per_class"].items()
        ],
        error=_interval((metrics["calibration"].get("after") or metrics["calibration"])["ece"]),
        few=metrics["bootstrap"]["groups"] < FEW_GROUPS,
        weights=weights,
        weights_licence=weights.get("licence") or "",
        data_licence=data_licence,
        feature=card["feature"]["config"] if (card.get("feature") or {}).get("name") == "mel" else None,
    )


def save_card(run: Run | Path | str, *, out: Path | None = None, data_licence: str = "") -> Path:
    """Write the model card to `out`, by default `README.md` in the run's folder; return its path."""
    run = run if isinstance(run, Run) else Run.open(run)
    path = out or run.path / "README.md"
    write_text(path, model_card(run, data_licence=data_licence))
    return path


def _architecture(card: dict[str, Any]) -> str:
    if card.get("members"):
        return "an ensemble of " + ", ".join(member["name"] for member in card["members"])
    model = card.get("model") or {}
    size = f", {model['parameters'] / 1e6:.2f} M parameters" if model.get("parameters") else ""
    return f"{model.get('name', card['kind'])}{size}"


def _metadata(card: dict[str, Any], metrics: dict[str, Any]) -> ModelCardData:
    licence = str((card.get("weights") or {}).get("licence") or "").lower()
    known = {"license": licence if licence in HUB_LICENCES else "other"} if licence else {}
    if known.get("license") == "other":
        known["license_name"] = licence
    folder = Path((card.get("data") or {}).get("path") or "").name or "unnamed"
    results = [
        EvalResult(
            task_type="audio-classification",
            dataset_type=folder,
            dataset_name=f"{folder}, split {metrics['split']}" if metrics.get("split") else folder,
            dataset_split=metrics["fold"],
            metric_type=kind,
            metric_name=f"clip {SHOWN[name]}",
            metric_value=round(metrics["clip"][name]["value"], 4),
        )
        for kind, name in (("accuracy", "accuracy"), ("f1", "macro_f1"))
    ]
    return ModelCardData(
        library_name="spectro",
        pipeline_tag="audio-classification",
        tags=["audio", "spectrogram", *(["leaky-split"] if (card.get("split") or {}).get("leaky") else [])],
        metrics=["accuracy", "f1"],
        model_name=card.get("name"),
        eval_results=results,
        **known,  # type: ignore[arg-type]
    )


def _interval(estimate: dict[str, float | None]) -> str:
    value, low, high = (estimate[part] for part in ("value", "low", "high"))
    if value is None:
        return "-"
    return f"{value:.3f}" if low is None or high is None else f"{value:.3f} ({low:.3f} to {high:.3f})"
