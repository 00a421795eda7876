"""Accuracy on a real corpus: every system on every fold of a grouped split, folds pooled, figures with intervals."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from cyclopts import App

import spectro
from spectro.core.config import FinetuneConfig, MelConfig, ModelConfig, RenderConfig, SegmentConfig, SplitConfig
from spectro.core.predictions import Predictions
from spectro.core.tables import write_text
from spectro.evaluation.evaluate import evaluate_predictions

MOBILENET = ModelConfig(name="mobilenetv2_100")
LITE = ModelConfig(name="tf_efficientnet_lite0")
TUNED = FinetuneConfig(epochs=30)
FROZEN = replace(TUNED, epochs=80, finetune_epochs=0)
DIRECT = replace(TUNED, epochs=0)
RANDOM = replace(TUNED, epochs=0, finetune_lr=1e-3)

SYSTEMS = {
    "MobileNetV2, random, frozen": (MOBILENET, FROZEN, "none"),
    "MobileNetV2, ImageNet, frozen": (MOBILENET, FROZEN, "auto"),
    "EfficientNet-Lite0, ImageNet, frozen": (LITE, FROZEN, "auto"),
    "MobileNetV2, ImageNet, frozen then all": (MOBILENET, TUNED, "auto"),
    "EfficientNet-Lite0, ImageNet, frozen then all": (LITE, TUNED, "auto"),
    "cnn5, from scratch": (ModelConfig(name="cnn5"), replace(TUNED, epochs=30), "none"),
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
    "esc10": (SHORT, {"finetune_epochs": 20, "bn": "frozen", "mixup": 0.0, "finetune_lr": 3e-4}),
    "debmusic": (RenderConfig(), {"finetune_epochs": 10}),
}
"""Settings of the pictures, and of fine-tuning where they are not the defaults: found on ESC-10's fold 1 and on
another holdout of the music."""

app = App(help=__doc__)


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
        Folder for pictures, runs and the table; runs that are there are not repeated.
    by
        The split: official, or group with `folds`.
    folds
        Number of folds, with `group`; 0 is one holdout.
    only
        Systems whose name contains this.
    """
    name = corpus.resolve().name
    data = out / name / "data"
    pictures, tuning = CORPORA[name]
    spectro.render(corpus / "clips.csv", out=data, config=pictures, progress=True)
    val = 0.0 if by == "official" or folds else 0.1
    splits = spectro.split(data, config=SplitConfig(by=by, folds=folds, val=val))  # type: ignore[arg-type]
    rows = []
    for system, (model, config, weights) in SYSTEMS.items():
        if only.lower() not in system.lower():
            continue
        if config.finetune_epochs:
            # What suits a pretrained backbone (its batch statistics kept, say) does not suit a random start.
            settings = tuning if weights == "auto" else {"finetune_epochs": tuning["finetune_epochs"]}
            config = replace(config, **settings)
        runs = []
        for split in splits:
            run = out / name / f"{slug(system)}-{split.name}"
            runs.append(
                spectro.finetune(
                    data, out=run, model=model, config=config, split=split.name, weights=weights, progress=True
                )
            )
        seconds = sum(run.card()["history"]["seconds"] for run in runs)
        rows.append(row(system, [run.predictions("test") for run in runs], seconds))
        print_table(rows, out / name)
    for vote, members in TOGETHER.items():
        if not all(any(made["system"] == member for made in rows) for member in members):
            continue
        parts = []
        for split in splits:
            voted = out / name / f"{slug(vote)}-{split.name}"
            runs = [out / name / f"{slug(member)}-{split.name}" for member in members]
            run = spectro.Run.open(voted) if (voted / "card.json").exists() else spectro.ensemble(runs, out=voted)
            parts.append(run.predictions("test"))
        rows.append(row(vote, parts, 0.0))
    print_table(rows, out / name)


def slug(system: str) -> str:
    """Return a folder name for a system."""
    return "-".join("".join(c if c.isalnum() else " " for c in system.lower()).split())


def row(system: str, folds: list[Predictions], seconds: float) -> dict[str, object]:
    """Judge the joined test folds of one system."""
    found = evaluate_predictions(Predictions.join(folds))
    return {
        "system": system,
        "seconds": round(seconds),
        "fold_accuracies": [evaluate_predictions(fold)["clip"]["accuracy"]["value"] for fold in folds],
        **{
            level: {m: found[level][m] for m in ("accuracy", "macro_f1")}
            for level in ("segment", "clip")
            if level in found
        },
    }


def print_table(rows: list[dict[str, object]], folder: Path) -> None:
    """Print the rows as Markdown and keep them as `accuracy.json`."""
    write_text(folder / "accuracy.json", json.dumps(rows, indent=2) + "\n")
    print("| system | segment | clip accuracy (95 %) | macro-F1 | min |\n| --- | --- | --- | --- | --- |")
    for made in rows:
        clip, segment = made["clip"], made.get("segment", {})
        shown = f"{segment['accuracy']['value']:.3f}" if segment else "-"
        accuracy, f1 = clip["accuracy"], clip["macro_f1"]
        print(
            f"| {made['system']} | {shown} | {accuracy['value']:.3f} ({accuracy['low']:.3f}-{accuracy['high']:.3f}) "
            f"| {f1['value']:.3f} | {made['seconds'] / 60:.1f} |"
        )
    sys.stdout.flush()


if __name__ == "__main__":
    app()
