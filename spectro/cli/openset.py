"""Commands about sounds of no known class: give a run its threshold, and measure how well scores notice them."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import spectro
from spectro.cli.app import Json, command, interval, log, number, put_json, put_table
from spectro.cli.bounds import Count, Device, Seed
from spectro.cli.outputs import require_file
from spectro.core.config import ModelConfig

FEW = 40
"""Validation clips below which the 5 % that lie beyond the threshold are fewer than two."""
OPENSET_COLUMNS = ("score", "auroc", "low")


@command("openset")
def openset(
    run: Path,
    /,
    *,
    data: Path | None = None,
    score: Literal["auto", "msp", "energy", "knn", "mahalanobis"] = "auto",
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Let a run answer "none of these": fit a threshold on its validation clips and write it into its card.

    Afterwards predict and serve mark recordings that are more unusual than 95 of 100 validation clips.

    Example: spectro openset runs/resnet50-group

    Parameters
    ----------
    run
        Folder of a finished run; of an ensemble only its probabilities are used.
    data
        Folder made by spectro render that the run was trained on; by default the one that its card names.
    score
        What is measured: msp (probability of the best class), energy (of the logits), knn (distance to the nearest
        training clip), mahalanobis (distance to the nearest class), or auto: what separates best on validation.
    device
        auto, cpu, cuda or mps.
    """
    facts = spectro.fit_openset(run, data=data, score=None if score == "auto" else score, device=device)
    if as_json:
        return put_json(facts.to_dict())
    rows = [
        (name, number(area), "chosen" if name == facts.score else "")
        for name, area in sorted(facts.evidence.items(), key=lambda entry: -entry[1])
    ]
    put_table(("score", "area under the ROC curve", ""), rows)
    if facts.clips < FEW:
        log(f"only {facts.clips} validation clips: the threshold is a guess, and so is the choice of the score")
    print(f"threshold {facts.threshold:.4g}, which 95 % of {facts.clips} validation clips pass, is in {run}/card.json")
    return None


@command("bench openset")
def bench_openset(
    data: Path,
    /,
    *,
    split: str = "group",
    backbone: str = ModelConfig().name,
    weights: str = "auto",
    classes: Count = 0,
    seed: Seed = 0,
    config_id: str | None = None,
    out: Path = Path("openset.csv"),
    as_json: Json = False,
) -> None:
    """Measure how well unknown classes are noticed: each is left out of a quick training and presented afterwards.

    Example: spectro bench openset data --backbone resnet50

    Parameters
    ----------
    data
        Folder made by spectro render and spectro split.
    split
        Name of a split with validation clips.
    backbone
        A timm model whose features are used without training it.
    weights
        Pretrained weights: auto, none, hub, or a file.
    classes
        Number of classes to leave out, drawn at random; 0 = all, one at a time.
    seed
        Seed of that draw.
    config_id
        Which spectrograms, if data holds several configurations.
    out
        CSV table to write.
    """
    from spectro.experiments.openset import leave_classes_out, save_result

    require_file(out, "csv", columns=OPENSET_COLUMNS)
    result = leave_classes_out(
        data,
        split=split,
        model=ModelConfig(name=backbone),
        weights=weights,
        config_id=config_id,
        classes=classes,
        seed=seed,
        log=log,
    )
    path = save_result(result, out)
    if as_json:
        return put_json(result.to_dict())
    rows = [
        (
            one.score,
            interval(one.separation.area),
            interval(one.separation.false_positives),
            number(one.kept.value),
            interval(one.rejected),
            number(one.evidence),
        )
        for one in result.scores
    ]
    put_table(("score", "AUROC", "FPR at 95 % TPR", "known kept", "unknown rejected", "AUROC on validation"), rows)
    print(f"{len(result.left_out)} classes left out of {result.model}, split by {result.split}; wrote {path}")
    return None
