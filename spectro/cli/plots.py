"""The group `plot`: charts of a run, maps of clips, feature values by class, and learning curves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import spectro
from spectro.cli.app import Json, Several, command, interval, put_json, put_table
from spectro.cli.data import feature_config
from spectro.cli.outputs import CURVE_COLUMNS, require_file, require_folder
from spectro.core.config import ModelConfig


@command("plot run")
def run(run: Path, /, *, out: Path | None = None, format: Literal["svg", "png"] = "svg") -> None:
    """Draw a run's confusion matrix, scores per class, training curves and calibration.

    Example: spectro plot run runs/resnet50-group --out plots --format png

    Parameters
    ----------
    run
        Folder of a finished run.
    out
        Folder to write into; by default RUN/plots.
    format
        Format of the files.
    """
    folder = require_folder(out or run / "plots", "results")
    for path in spectro.draw_run(run, folder, kind=format):
        print(f"wrote {path}")


@command("plot map")
def draw_map(
    source: Path,
    /,
    *,
    feature: str = "stats",
    stats_set: str = "",
    backbone: str = "",
    weights: str = "auto",
    methods: Annotated[Sequence[str], Several] = ("pca", "t-sne"),
    out: Path = Path("map.svg"),
    data: Path | None = None,
    config_id: str | None = None,
    as_json: Json = False,
) -> None:
    """Draw every clip as a point coloured by class (PCA, t-SNE, UMAP), and report how often neighbours share a class.

    Example: spectro plot map data --feature stats --stats-set D --out map.svg

    Example: spectro plot map data --backbone mobilenetv2_100

    Example: spectro plot map runs/resnet50-group

    Parameters
    ----------
    source
        Folder made by spectro render; or a finished run, to draw its embeddings with the test clips marked.
    feature
        Name of a feature that is a vector: stats or tempo.
    stats_set
        What stats summarizes: C, D, D57, or feature names joined by + (mfcc+chroma); C by default.
    backbone
        A timm model whose embeddings are drawn instead of a feature.
    weights
        Its pretrained weights: auto, none, hub, or a file.
    methods
        pca, t-sne or umap (needs umap-learn); several are drawn side by side.
    out
        SVG or PNG to write.
    data
        Data folder of a run, if it has moved since training.
    config_id
        Which spectrograms, if a data folder holds several configurations.
    """
    require_file(out, "figure")
    clip_map = spectro.draw_map(
        source,
        out,
        feature=feature,
        config=feature_config(feature, stats_set),
        backbone=backbone,
        weights=weights,
        methods=methods,
        data=data,
        config_id=config_id,
    )
    if as_json:
        return put_json(clip_map.to_dict())
    print(f"wrote {out}: {clip_map.vectors.title}, {len(clip_map.vectors.clips)} clips")
    print(clip_map.agreement or "All clips are of one group, so there are no neighbours from other groups.")
    return None


@command("plot features")
def features(
    data: Path,
    /,
    *,
    values: Annotated[Sequence[str], Several] = ("tempo",),
    feature: str = "stats",
    stats_set: str = "",
    out: Path = Path("features.svg"),
    config_id: str | None = None,
) -> None:
    """Draw values of a feature by class, as box plots over the means of clips.

    Example: spectro plot features data --values tempo centroid_mean --out tempo.svg

    Parameters
    ----------
    data
        Folder made by spectro render.
    values
        Names of values of the feature, or all.
    feature
        Name of a feature that is a vector: stats or tempo.
    stats_set
        What stats summarizes: C, D, D57, or feature names joined by + (mfcc+chroma); C by default.
    out
        SVG or PNG to write.
    config_id
        Whose segments, if data holds several configurations of spectrograms.
    """
    require_file(out, "figure")
    names = () if "all" in values else values
    config = feature_config(feature, stats_set)
    print(f"wrote {spectro.draw_boxes(data, out, columns=names, feature=feature, config=config, config_id=config_id)}")


@command("plot learning-curve")
def learning_curve(
    data: Path,
    /,
    *,
    split: str = "group",
    backbone: str = ModelConfig().name,
    weights: str = "auto",
    config_id: str | None = None,
    out: Path = Path("learning-curve.svg"),
    as_json: Json = False,
) -> None:
    """Draw clip accuracy against the number of training groups, for logistic regression on frozen features.

    Example: spectro plot learning-curve data --backbone resnet50 --out curve.svg

    Parameters
    ----------
    data
        Folder made by spectro render and spectro split.
    split
        Name of the split.
    backbone
        A timm model whose features are used without training it.
    weights
        Pretrained weights: auto, none, hub, or a file.
    config_id
        Which spectrograms, if data holds several configurations.
    out
        SVG or PNG to write; the points go beside it as CSV.
    """
    from spectro.experiments.learning_curve import save_curve
    from spectro.plots.learning_curve import draw_learning_curve

    require_file(out, "figure")
    require_file(out.with_suffix(".csv"), "csv", columns=CURVE_COLUMNS)
    model = ModelConfig(name=backbone)
    curve = spectro.learning_curve(data, split=split, model=model, weights=weights, config_id=config_id)
    figure, table = draw_learning_curve(curve, out), save_curve(curve, out.with_suffix(".csv"))
    if as_json:
        return put_json(curve.to_dict())
    rows = [(p.kind, f"{p.share:.2f}", f"{p.groups:.0f}", interval(p.accuracy)) for p in curve.points]
    put_table(("kind", "share", "training groups", "clip accuracy"), rows)
    print(f"wrote {figure} and {table}; extrapolated points are a guess (inverse power law)")
    return None
