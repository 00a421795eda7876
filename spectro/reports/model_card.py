"""The model card: a run's card and metrics as Markdown for people, with the metadata block that Hugging Face reads."""

from __future__ import annotations

import json
import math
import shlex
from pathlib import Path, PurePath

import jinja2
from huggingface_hub import EvalResult, ModelCardData

from spectro.core.card import Card
from spectro.core.files import write_text
from spectro.core.runs import Run
from spectro.evaluation.evaluate import read_metrics
from spectro.evaluation.results import Estimate, LevelMetrics, Metrics
from spectro.reports.escape import Literal, code, fence, identifier, markdown, one_line

TITLES = {
    "accuracy": "accuracy",
    "macro_f1": "macro F1",
    "balanced_accuracy": "balanced accuracy",
    "top3": "top 3",
    "roc_auc": "ROC-AUC",
    "log_loss": "log loss",
    "brier": "Brier",
}
"""Metrics of the table, by their name in `LevelMetrics`."""
FEW_GROUPS = 30
"""With fewer independent groups than this the intervals are themselves uncertain, which the card mentions."""
HUB_LICENCES = frozenset(
    {"apache-2.0", "mit", "isc", "bsd-2-clause", "bsd-3-clause", "cc-by-4.0", "cc-by-nc-4.0", "cc0-1.0"}
)
"""Licences that Hugging Face knows by the name that a card gives them; any other becomes `other` there."""


def model_card(run: Run | Path | str, *, data_licence: str = "") -> str:
    """Return the Markdown model card of a run, made from `card.json` and `metrics.json` and nothing else.

    Parameters
    ----------
    run
        The run or its folder.
    data_licence
        Licence of the sound that the model was trained on, which is in neither file.

    Returns
    -------
    str
        Markdown with a YAML head.

    Raises
    ------
    RunError
        There is no finished run, or it was not evaluated yet.
    """
    run = Run.open(run)
    card, metrics = run.card, read_metrics(run)
    levels = [(name, level) for name in metrics.levels if (level := metrics.level(name)) is not None]
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("spectro.reports"),
        autoescape=False,  # Markdown, not HTML: `finalize` escapes
        finalize=markdown,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["code"] = code
    return environment.get_template("model_card.md.j2").render(
        metadata=Literal(_metadata(card, metrics).to_yaml()),
        usage=_usage(card.name),
        card=card,
        metrics=metrics,
        architecture=_architecture(card),
        folder=PurePath(card.data.path).name,
        levels=[name for name, _ in levels],
        rows=_rows([level for _, level in levels]),
        classes=[
            (label, scores.support, _interval(scores.recall), _interval(scores.precision))
            for label, scores in metrics.clip.per_class.items()
        ],
        error=_interval(metrics.calibration.final.ece),
        few=metrics.bootstrap.groups < FEW_GROUPS,
        data_licence=data_licence,
        settings=(card.training or card.fitting),
        images=card.feature.render_config if card.feature and card.feature.is_image else None,
    )


def save_model_card(run: Run | Path | str, *, out: Path | None = None, data_licence: str = "") -> Path:
    """Write the model card to `out`, by default `README.md` in the run's folder; return its path."""
    run = Run.open(run)
    path = out or run.path / "README.md"
    write_text(path, model_card(run, data_licence=data_licence))
    return path


def _usage(name: str) -> Literal:
    """Return how to use the model, on the command line and in Python."""
    program = f"""import spectro

predicted = spectro.predict({json.dumps(name)}, ["song.mp3"])
print(predicted.clips.labels, predicted.clips.probs)"""
    words = one_line(shlex.join(["spectro", "predict", name, "song.mp3"]))
    return Literal(f"{fence(words)}\n\n{fence(program, 'python')}")


def _rows(levels: list[LevelMetrics]) -> list[tuple[str, list[str]]]:
    rows = []
    for name, title in TITLES.items():
        estimates = [estimate for level in levels if (estimate := level.metric(name)) is not None]
        if len(estimates) == len(levels):
            rows.append((title, [_interval(estimate) for estimate in estimates]))
    return rows


def _architecture(card: Card) -> str:
    if card.is_ensemble:
        return "an ensemble of " + ", ".join(member.name for member in card.members)
    if card.model is None:
        return card.kind
    size = f", {card.model.parameters / 1e6:.2f} M parameters" if card.model.parameters else ""
    return f"{card.model.name}{size}"


def _metadata(card: Card, metrics: Metrics) -> ModelCardData:
    licence = card.weights.licence.lower() if card.weights else ""
    known = {"license": licence if licence in HUB_LICENCES else "other"} if licence else {}
    if known.get("license") == "other":
        known["license_name"] = identifier(licence)
    folder = identifier(PurePath(card.data.path).name) or "unnamed"
    results = [
        EvalResult(
            task_type="audio-classification",
            dataset_type=folder,
            dataset_name=f"{folder}, split {identifier(metrics.split)}" if metrics.split else folder,
            dataset_split=metrics.subset,
            metric_type=kind,
            metric_name=f"clip {TITLES[name]}",
            metric_value=round(estimate.value, 4),
        )
        for kind, name, estimate in (
            ("accuracy", "accuracy", metrics.clip.accuracy),
            ("f1", "macro_f1", metrics.clip.macro_f1),
        )
    ]
    return ModelCardData(
        library_name="spectro",
        pipeline_tag="audio-classification",
        tags=["audio", "spectrogram", *(["leaky-split"] if card.split.leaky else [])],
        metrics=["accuracy", "f1"],
        model_name=identifier(card.name),
        eval_results=results,
        **known,  # type: ignore[arg-type]
    )


def _interval(estimate: Estimate) -> str:
    if math.isnan(estimate.value):
        return "-"
    interval = "" if math.isnan(estimate.low) else f" ({estimate.low:.3f} to {estimate.high:.3f})"
    return f"{estimate.value:.3f}{interval}"
