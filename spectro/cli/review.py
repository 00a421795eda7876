"""Commands about labelling: a page that shows the most informative recordings first, and what that order saves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from spectro.cli.app import Json, Several, command, interval, log, put_json, put_table
from spectro.cli.bounds import Count, Device, Seed, Workers, between
from spectro.cli.outputs import require_file
from spectro.core.config import ModelConfig

LABEL_COLUMNS = ("path", "label")
CURVE_COLUMNS = ("order", "labels", "accuracy")
Order = Literal["margin", "entropy", "disagreement", "diverse", "random"]
Port = Annotated[int, Parameter(validator=between(0, 65535))]
Draws = Annotated[int, Parameter(validator=between(1, 1000))]


@command("review")
def review(
    run: Path,
    sounds: list[Path],
    /,
    *,
    out: Path,
    order: Order = "margin",
    port: Port = 8001,
    device: Device = "auto",
    workers: Workers = 0,
) -> None:
    """Label sounds on a page of this machine, those that the run is least sure of first, and write them as CSV.

    Each label is saved at once; the same command goes on where it stopped. The table can be rendered and trained on:
    spectro render labels.csv --out data.

    Example: spectro review runs/resnet50-group field --out labels.csv

    Parameters
    ----------
    run
        Folder of a finished run.
    sounds
        Audio files, or folders of them.
    out
        CSV table for the labels; an older one is added to.
    order
        What comes first: margin (small lead of the best class), entropy, disagreement (of the members of an ensemble),
        diverse (small lead, and unlike what comes before), random.
    port
        Port of the page; 0 = any free one.
    device
        auto, cpu, cuda or mps.
    workers
        Processes that decode ahead of the model; 0 = one per core.
    """
    from spectro.serving.review.review import review as run_review

    require_file(out, "csv", columns=LABEL_COLUMNS)
    run_review(run, sounds, out=out, order=order, port=port, device=device, workers=workers, progress=True, log=log)


@command("bench review")
def bench_review(
    data: Path,
    /,
    *,
    split: str = "group",
    orders: Annotated[Sequence[Order], Several] = ("random", "margin", "disagreement", "diverse"),
    backbone: str = ModelConfig().name,
    weights: str = "auto",
    start: Count = 0,
    batch: Count = 0,
    draws: Draws = 5,
    seed: Seed = 0,
    config_id: str | None = None,
    out: Path = Path("review.svg"),
    as_json: Json = False,
) -> None:
    """Measure accuracy against labels spent, for several orders of labelling, on data whose labels are known.

    Example: spectro bench review data --orders random margin --out review.svg

    Parameters
    ----------
    data
        Folder made by spectro render and spectro split.
    split
        Name of the split.
    orders
        Orders to compare; random is always among them.
    backbone
        A timm model whose features are used without training it.
    weights
        Pretrained weights: auto, none, hub, or a file.
    start
        Clips that are labelled at the beginning; 0 = two per class.
    batch
        Clips that are labelled between two trainings; 0 = a twelfth of the training clips.
    draws
        Number of random beginnings.
    seed
        Seed of the draws.
    config_id
        Which spectrograms, if data holds several configurations.
    out
        SVG or PNG to write; the points go beside it as CSV.
    """
    from spectro.experiments.review import ReviewConfig, save_review, simulate_review
    from spectro.plots.review import draw_review

    require_file(out, "figure")
    require_file(out.with_suffix(".csv"), "csv", columns=CURVE_COLUMNS)
    names = tuple(dict.fromkeys(("random", *orders)))
    config = ReviewConfig(orders=names, start=start, batch=batch, draws=draws, seed=seed)
    model = ModelConfig(name=backbone)
    result = simulate_review(
        data, split=split, model=model, weights=weights, config_id=config_id, config=config, log=log
    )
    figure, table = draw_review(result.curves, out), save_review(result, out.with_suffix(".csv"))
    if as_json:
        return put_json(result.to_dict())
    budgets = [point.labels for point in result.curves[0].points]
    third = len(budgets) // 3
    rows = [
        (one.order, *(interval(part) for part in (one.points[third].accuracy, one.points[-1].accuracy, one.gain)))
        for one in result.curves
    ]
    columns = ("order", f"accuracy with {budgets[third]} labels", f"with all {budgets[-1]}", "mean gain over random")
    put_table(columns, rows)
    print(f"wrote {figure} and {table}")
    return None
