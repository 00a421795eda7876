"""Drawings of data and of runs, one call each: maps of clips, box plots by class, and the figures of a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from spectro.core.config import Config, ModelConfig
from spectro.core.errors import ConfigError, did_you_mean
from spectro.core.runs import Run
from spectro.evaluation.evaluate import load_or_compute
from spectro.evaluation.projection import ClipMap, Vectors, backbone_vectors, data_vectors, map_clips, run_vectors
from spectro.plots import charts
from spectro.plots.figures import (
    boxes_figure,
    charts_figure,
    classes_figure,
    confusion_figure,
    map_figure,
    require_finite,
    save_figure,
)


def draw_map(
    source: Run | Path | str,
    out: Path | str,
    *,
    feature: str = "stats",
    config: Config | None = None,
    backbone: str = "",
    weights: str = "auto",
    methods: Sequence[str] = ("pca", "t-sne"),
    data: Path | str | None = None,
    config_id: str | None = None,
) -> ClipMap:
    """Draw a point per clip, coloured by class: of a feature, of a frozen backbone or of a run's feature map.

    Parameters
    ----------
    source
        A data folder, or a finished run, whose test clips then stand out.
    out
        SVG or PNG file to write.
    feature
        Name in `FEATURES`, of the kind `vector`; computed if it is missing.
    config
        Settings of the feature.
    backbone
        A timm model whose feature map is drawn instead of a feature.
    weights
        Where the backbone's weights come from: `auto`, `none`, `hub`, or a file.
    methods
        `pca`, `t-sne`, `umap` (needs umap-learn); several are drawn side by side.
    data
        Data folder of a run, if it is not the one that the run's card names.
    config_id
        Which spectrograms, if a data folder holds several configurations.

    Returns
    -------
    ClipMap
        Where each clip lies, and how many of its neighbours from other groups share its class, against chance.

    Raises
    ------
    ConfigError
        A method, a feature or the kind of file is unknown, settings do not apply to a run, or umap-learn is missing.
    DataError
        There is no data, or it has fewer than 5 clips.
    RunError
        The run holds no network.
    """
    if isinstance(source, Run) or Run(Path(source)).card_path.exists():
        vectors = _run_vectors(source, data, backbone, config, config_id, feature != "stats")
    elif data:
        raise ConfigError(f"{source} is not a finished run, so it needs no further data folder; leave out {data}")
    elif backbone:
        vectors = backbone_vectors(source, ModelConfig(name=backbone), weights=weights, config_id=config_id)
    else:
        vectors = data_vectors(source, feature=feature, config=config, config_id=config_id)
    require_finite(vectors)
    clip_map = map_clips(vectors, methods)
    save_figure(map_figure(clip_map), out)
    return clip_map


def _run_vectors(run: Run | Path | str, data: Path | str | None, *settings: object) -> Vectors:
    """Return the feature map of a run; raises ConfigError where settings of a feature were given."""
    if any(settings):
        raise ConfigError("a run is drawn by its own feature map; name its data folder to draw a feature")
    return run_vectors(run, data=data)


def draw_boxes(
    data: Path | str,
    out: Path | str,
    *,
    columns: Sequence[str] = ("tempo",),
    feature: str = "stats",
    config: Config | None = None,
    config_id: str | None = None,
) -> Path:
    """Draw values of a feature as box plots: one box per class, over the means of its clips.

    Parameters
    ----------
    data
        Folder that `render` made.
    out
        SVG or PNG file to write.
    columns
        Names of values of the feature; none for all.
    feature
        Name in `FEATURES`, of the kind `vector`; computed if it is missing.
    config
        Settings of the feature.
    config_id
        Which spectrograms' segments, if `data` holds several configurations.

    Returns
    -------
    Path
        The path of the file.

    Raises
    ------
    ConfigError
        The feature has no such value, or has frames.
    DataError
        There is no data.
    """
    vectors = data_vectors(data, feature=feature, config=config, config_id=config_id)
    require_finite(vectors)
    for name in columns:
        if name not in vectors.columns:
            hint = did_you_mean(name, vectors.columns) or f"; it has: {', '.join(vectors.columns)}"
            raise ConfigError(f"'{feature}' has no value '{name}' with these settings{hint}")
    return save_figure(boxes_figure(vectors, columns or vectors.columns), out)


def draw_run(run: Run | Path | str, out: Path | str, *, kind: Literal["svg", "png"] = "svg") -> tuple[Path, ...]:
    """Draw the figures of a run into a folder.

    They are `confusion`, `classes` and `calibration`; `training` (the curves of a network) and `segments` (accuracy by
    number of segments) where the run has them. The run itself is not changed, except that its metrics are computed if
    that was not done yet.

    Parameters
    ----------
    run
        A finished run or its folder.
    out
        Folder to write into.
    kind
        `svg` or `png`.

    Returns
    -------
    tuple of Path
        The paths of the files.

    Raises
    ------
    RunError
        The run is unfinished or has no test predictions.
    """
    run = Run.open(run)
    metrics = load_or_compute(run)
    clip = metrics.clip
    figures = {
        "confusion": confusion_figure(metrics.labels, clip.confusion, f"{run.name}: {clip.n} test clips"),
        "classes": classes_figure(clip.per_class, f"{run.name}: metrics by class (test clips), with 95 % intervals"),
    }
    line_charts = {
        "training": charts.training(run.history(), run.card.history),
        "calibration": charts.calibration(metrics.calibration),
        "segments": charts.accuracy_by_segments(metrics.by_segments, None),
    }
    figures |= {name: charts_figure(several) for name, several in line_charts.items() if several}
    return tuple(save_figure(figure, Path(out) / f"{name}.{kind}") for name, figure in figures.items())
