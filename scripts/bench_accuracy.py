"""Accuracy on a real corpus: every system on every fold of a split, folds pooled, metrics with intervals."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cyclopts import App

import spectro
from spectro.core.config import FinetuneConfig, MelConfig, ModelConfig, RenderConfig, SegmentConfig, SplitConfig
from spectro.core.files import write_text
from spectro.core.predictions import Predictions
from spectro.core.records import Record
from spectro.evaluation.evaluate import evaluate_predictions
from spectro.evaluation.results import Scores
from spectro.inference.batches import keep_memory

MOBILENET = ModelConfig(name="mobilenetv2_100")
LITE = ModelConfig(name="tf_efficientnet_lite0")
TUNED = FinetuneConfig(frozen_epochs=30, epochs=10, finetune_lr=2e-4)
FROZEN = replace(TUNED, frozen_epochs=80, epochs=0)
DIRECT = replace(TUNED, frozen_epochs=0)
RANDOM = replace(TUNED, frozen_epochs=0, finetune_lr=1e-3)
SCRATCH = FinetuneConfig(epochs=30)

SYSTEMS = {
    "MobileNetV2, random, frozen": (MOBILENET, FROZEN, "none"),
    "MobileNetV2, ImageNet, frozen": (MOBILENET, FROZEN, "auto"),
    "EfficientNet-Lite0, ImageNet, frozen": (LITE, FROZEN, "auto"),
    "MobileNetV2, ImageNet, frozen then all": (MOBILENET, TUNED, "auto"),
    "EfficientNet-Lite0, ImageNet, frozen then all": (LITE, TUNED, "auto"),
    "cnn5, from scratch": (ModelConfig(name="cnn5"), SCRATCH, "none"),
    "MobileNetV2, ImageNet, all at once": (MOBILENET, DIRECT, "auto"),
    "EfficientNet-Lite0, ImageNet, all at once": (LITE, DIRECT, "auto"),
    "MobileNetV2, random, all layers": (MOBILENET, RANDOM, "none"),
}
TOGETHER = {
    f"soft vote of the two {how}": (f"MobileNetV2, ImageNet, {system}", f"EfficientNet-Lite0, ImageNet, {system}")
    for how, system in (("frozen", "frozen"), ("fine-tuned", "frozen then all"), ("trained at once", "all at once"))
}
SHORT = RenderConfig(mel=MelConfig(sample_rate=32000, n_fft=1024, hop_length=640), segment=SegmentConfig(seconds=5.0))
CORPORA: dict[str, tuple[RenderConfig, dict[str, Any]]] = {
    "esc10": (SHORT, {"epochs": 20, "freeze_bn": True, "mixup": 0.0, "cutmix": 0.0, "finetune_lr": 3e-4}),
    "debmusic": (RenderConfig(), {"epochs": 10}),
}
"""Settings of the spectrograms, and of fine-tuning where they are not the defaults: found on ESC-10's fold 1 and on
another holdout of the music."""

app = App(help=__doc__)


@dataclass(frozen=True, kw_only=True)
class SystemRow(Record):
    """One line of the table."""

    system: str
    seconds: int
    """Duration of the training of all folds; 0 for an ensemble."""
    fold_accuracies: tuple[float, ...]
    """Clip accuracy of each fold."""
    segment: Scores | None
    """Metrics of the segments of all folds; None where there are only clips."""
    clip: Scores
    """Metrics of the clips of all folds."""


@app.default
def main(
    corpus: Path,
    /,
    *,
    out: Path = Path("runs/accuracy"),
    by: str = "official",
    folds: int = 0,
    only: str = "",
) -> None:
    """Train what is not trained yet, and print the table.

    Parameters
    ----------
    corpus
        A folder named after one of the known corpora, with clips.csv in it.
    out
        Folder for spectrograms, runs and the table; existing runs are not repeated.
    by
        The split: official, or group with `folds`.
    folds
        Number of folds, with `group`; 0 is one holdout.
    only
        Systems whose name contains this.
    """
    keep_memory()
    name = corpus.resolve().name
    folder, data = out / name, out / name / "data"
    rendering, tuning = CORPORA[name]
    spectro.render(corpus / "clips.csv", out=data, config=rendering, progress=True)
    val = 0.0 if by == "official" or folds else 0.1
    splits = spectro.split(data, config=SplitConfig(by=by, folds=folds, val=val))  # type: ignore[arg-type]
    names = [split.name for split in splits]
    rows: dict[str, SystemRow] = {}
    for system in (one for one in SYSTEMS if only.lower() in one.lower()):
        rows[system] = train(system, data, folder, names, tuning)
        print_table(rows, folder)
    for system, members in TOGETHER.items():
        if set(members) <= rows.keys():
            rows[system] = combine(system, members, folder, names)
    print_table(rows, folder)


def train(system: str, data: Path, folder: Path, splits: Sequence[str], tuning: Mapping[str, Any]) -> SystemRow:
    """Train a system on every split."""
    model, config, weights = SYSTEMS[system]
    if config.epochs and config is not SCRATCH:
        # What suits a pretrained backbone (its batch statistics kept, say) does not suit a random start.
        config = replace(config, **(tuning if weights == "auto" else {"epochs": tuning["epochs"]}))
    runs = [
        spectro.finetune(
            data, out=run_folder(folder, system, split), model=model, config=config, split=split, weights=weights,
            progress=True,
        )
        for split in splits
    ]  # fmt: skip
    seconds = sum(run.card.history.seconds for run in runs if run.card.history)
    return make_row(system, [run.predictions("test") for run in runs], seconds)


def combine(system: str, members: Sequence[str], folder: Path, splits: Sequence[str]) -> SystemRow:
    """Combine trained systems on every split."""
    parts = []
    for split in splits:
        out = run_folder(folder, system, split)
        runs = [run_folder(folder, member, split) for member in members]
        run = spectro.Run.open(out) if (out / "card.json").exists() else spectro.ensemble(runs, out=out)
        parts.append(run.predictions("test"))
    return make_row(system, parts, 0.0)


def run_folder(folder: Path, system: str, split: str) -> Path:
    """Return the folder of a system's run on one split."""
    words = "".join(c if c.isalnum() else " " for c in system.lower()).split()
    return folder / f"{'-'.join(words)}-{split}"


def make_row(system: str, folds: Sequence[Predictions], seconds: float) -> SystemRow:
    """Evaluate the joined test sets of one system."""
    metrics = evaluate_predictions(Predictions.join(folds))
    return SystemRow(
        system=system,
        seconds=round(seconds),
        fold_accuracies=tuple(evaluate_predictions(fold).clip.accuracy.value for fold in folds),
        segment=Scores.of(metrics.segment) if metrics.segment else None,
        clip=Scores.of(metrics.clip),
    )


def print_table(rows: Mapping[str, SystemRow], folder: Path) -> None:
    """Print the rows as Markdown and keep them as `accuracy.json`."""
    write_text(folder / "accuracy.json", json.dumps([row.to_dict() for row in rows.values()], indent=2) + "\n")
    print("| system | segment | clip accuracy (95 %) | macro-F1 | min |\n| --- | --- | --- | --- | --- |")
    for row in rows.values():
        segment = f"{row.segment.accuracy.value:.3f}" if row.segment else "-"
        accuracy, f1 = row.clip.accuracy, row.clip.macro_f1
        print(
            f"| {row.system} | {segment} | {accuracy.value:.3f} ({accuracy.low:.3f}-{accuracy.high:.3f}) "
            f"| {f1.value:.3f} | {row.seconds / 60:.1f} |"
        )
    sys.stdout.flush()


if __name__ == "__main__":
    app()
