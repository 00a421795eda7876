"""Commands that look behind single scores: folds and seeds summed up, what more data would bring, doubtful labels."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

import spectro
from spectro.cli.app import EVALUATION, Json, app, interval, order, put_json, put_table
from spectro.core.config import ModelConfig


@app.command(group=EVALUATION, sort_key=next(order))
def summarize(
    runs: list[Path],
    /,
    *,
    against: Annotated[list[Path] | None, Parameter(consume_multiple=True)] = None,
    as_json: Json = False,
) -> None:
    """Sum up the folds of a cross-validation, pooled, or the seeds of one split, as mean and deviation.

    Example: spectro summarize runs/tuned-* --against runs/probe-*

    Parameters
    ----------
    runs
        Folders of runs of one recipe, that differ in their fold or in their seed only.
    against
        Runs of another recipe on the same folds in the same order: the corrected t-test of Nadeau and Bengio, and the
        paired tests on all clips pooled.
    """
    found = spectro.summarize(runs)
    if against:
        found = {**found, "against": spectro.compare_folds(runs, against)}
    if as_json:
        return put_json(found)
    pooled = found.get("pooled", {})
    rows = [
        (
            f"{level} {name}",
            f"{figure['mean']:.3f}",
            f"{figure['deviation']:.3f}",
            interval(pooled.get(level, {}).get(name)),
        )
        for level, figures in found["spread"].items()
        for name, figure in figures.items()
    ]
    put_table((f"over {found['runs']} {found['kind']}", "mean", "deviation", "all clips pooled"), rows)
    if against:
        from spectro.reports.tables import p_value

        test = found["against"]
        print(f"clip accuracy, first - second: {test['difference']:+.3f}, t = {test['t']:.2f}, p {p_value(test['p'])}")
        if pooled := test.get("pooled"):
            print(
                f"all clips pooled: {interval(pooled['difference'])}, p {p_value(pooled['p_mcnemar'])} (McNemar), "
                f"{p_value(pooled['p_bootstrap'])} (groups)"
            )
    return None


@app.command(group=EVALUATION, sort_key=next(order))
def curve(
    data: Path,
    /,
    *,
    split: str = "group",
    backbone: str = ModelConfig().name,
    weights: str = "auto",
    config_id: str | None = None,
    out: Path = Path("curve.csv"),
    as_json: Json = False,
) -> None:
    """Draw clip accuracy against the share of training groups, for a cheap head on frozen features, and beyond.

    Example: spectro curve data --backbone resnet50 --out curve.csv

    Parameters
    ----------
    data
        Folder that render and split made.
    split
        Name of the split.
    backbone
        A timm model whose features are used as they are.
    weights
        Pretrained weights: auto, none, hub, or a file.
    config_id
        Which pictures, if data holds several configurations.
    out
        CSV file; the figure is written beside it.
    """
    from spectro.experiments.learning_curve import save_curve

    model = ModelConfig(name=backbone)
    points = spectro.learning_curve(data, split=split, model=model, weights=weights, config_id=config_id)
    table, picture = save_curve(points, out)
    if as_json:
        values = [(p.kind, p.share, p.groups, p.accuracy.to_dict(), p.deviation) for p in points]
        keys = ("kind", "share", "groups", "accuracy", "deviation")
        return put_json([dict(zip(keys, value, strict=True)) for value in values])
    rows = [(p.kind, f"{p.share:.2f}", f"{p.groups:.0f}", interval(p.accuracy.to_dict())) for p in points]
    put_table(("kind", "share", "training groups", "clip accuracy"), rows)
    print(f"wrote {table} and {picture}; what is extrapolated by an inverse power law is a guess")
    return None


@app.command(group=EVALUATION, sort_key=next(order))
def doubt(runs: list[Path], /, *, fold: str = "test", out: Path | None = None, as_json: Json = False) -> None:
    """List the clips whose labels are doubted by models that did not train on them; needs cleanlab.

    Example: spectro doubt runs/cnn5-group-1 runs/cnn5-group-2 runs/cnn5-group-3 --out doubted.csv

    Parameters
    ----------
    runs
        Folders of the runs of a cross-validation; each is asked about its own test clips only.
    fold
        Which predictions: test or val.
    out
        CSV file to write.
    """
    found = spectro.find_label_issues(runs, fold=fold)
    if out is not None:
        from spectro.evaluation.label_issues import save_doubts

        save_doubts(found, out)
    if as_json:
        return put_json([dataclasses.asdict(one) for one in found])
    rows = [
        (one.clip, one.label, one.suggested, f"{one.label_probability:.2f}", f"{one.suggested_probability:.2f}")
        for one in found
    ]
    put_table(("clip", "label", "suggested", "p(label)", "p(suggested)"), rows)
    print(f"{len(found)} labels are doubted: listen to them; a doubt is no verdict")
    return None
