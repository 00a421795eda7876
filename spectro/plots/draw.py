"""What can be drawn of data and of runs, in one call each: maps of clips, box plots by class, a run's figures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from spectro.core.config import Config, ModelConfig
from spectro.core.errors import ConfigError, did_you_mean
from spectro.core.runs import Run
from spectro.evaluation.evaluate import load_or_compute
from spectro.evaluation.projection import ClipMap, backbone_vectors, data_vectors, map_clips, run_vectors
from spectro.plots import charts
from spectro.plots.figures import boxes_figure, charts_figure, classes_figure, confusion_figure, map_figure, save_figure


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
    """Draw a point per clip, coloured by class: of a feature, a frozen backbone's or a trained run's feature map.

    Parameters
    ----------
    source : a data folder, or a finished run, whose test clips then stand out
    out : SVG or PNG to write
    feature, config : name in `FEATURES`, of the kind `vector`, and its settings; computed if it is not there yet
    backbone : a timm model whose feature map is drawn instead of a feature
    weights : where its weights come from: `auto`, `none`, `hub`, or a file
    methods : `pca`, `t-sne` and, with umap-learn, `umap`, side by side
    data : data folder of a run, if it is not where the run's card says
    config_id : which pictures, if a data folder holds several configurations

    Returns
    -------
    Where each clip lies, and how many of its neighbours from other groups share its class, against chance.

    Raises
    ------
    ConfigError
        a method, feature or the kind of figure is unknown, settings do not apply to a run, or umap-learn is missing.
    DataError
        there is no data, or fewer than 5 clips.
    RunError
        the run holds no network.
    """
    if isinstance(source, Run) or Run(Path(source)).card_path.exists():
        if backbone or config or config_id or feature != "stats":
            raise ConfigError("a run is drawn by its own feature map; name its data folder to draw anything else")
        vectors = run_vectors(source, data=data)
    elif data:
        raise ConfigError(f"{source} is no finished run, but a data folder was named as well; leave one out")
    elif backbone:
        vectors = backbone_vectors(source, ModelConfig(name=backbone), weights=weights, config_id=config_id)
    else:
        vectors = data_vectors(source, feature=feature, config=config, config_id=config_id)
    made = map_clips(vectors, methods)
    save_figure(map_figure(made), out)
    return made


def draw_boxes(
    data: Path | str,
    out: Path | str,
    *,
    columns: Sequence[str] = ("tempo",),
    feature: str = "stats",
    config: Config | None = None,
    config_id: str | None = None,
) -> Path:
    """Draw values of a feature as box plots, a box per class over the means of its clips.

    Parameters
    ----------
    data : folder that `render` made
    out : SVG or PNG to write
    columns : names of values of the feature; none for all
    feature, config : name in `FEATURES`, of the kind `vector`, and its settings; computed if it is not there yet
    config_id : which pictures' segments, if `data` holds several configurations

    Raises
    ------
    ConfigError
        the feature has no such value, or has frames.
    DataError
        there is no data.
    """
    vectors = data_vectors(data, feature=feature, config=config, config_id=config_id)
    for name in columns:
        if name not in vectors.columns:
            hint = did_you_mean(name, vectors.columns) or f"; it has: {', '.join(vectors.columns)}"
            raise ConfigError(f"'{feature}' has no value '{name}' with these settings{hint}")
    return save_figure(boxes_figure(vectors, columns or vectors.columns), out)


def draw_run(run: Run | Path | str, out: Path | str, *, kind: Literal["svg", "png"] = "svg") -> tuple[Path, ...]:
    """Draw a run's figures into a folder: `confusion`, `classes`, `calibration`, and where it has them more.

    `training` holds the curves of a network, `heard` accuracy by the number of segments heard.

    Parameters
    ----------
    run : a finished run or its folder
    out : folder to write into
    kind : `svg` or `png`

    Raises
    ------
    RunError
        the run is unfinished or has no test predictions.
    """
    run = run if isinstance(run, Run) else Run.open(run)
    found = load_or_compute(run)
    clip = found["clip"]
    made = {
        "confusion": confusion_figure(found["labels"], clip["confusion"], f"{run.name}: {clip['n']} test clips"),
        "classes": classes_figure(clip["per_class"], f"{run.name}: by class (test clips), with 95 % intervals"),
    }
    drawn = {
        "training": charts.training(run.history(), run.card().get("history") or {}),
        "calibration": charts.calibration(found["calibration"]),
        "heard": charts.heard(found.get("heard", []), None),
    }
    made |= {name: charts_figure(some) for name, some in drawn.items() if some}
    return tuple(save_figure(figure, Path(out) / f"{name}.{kind}") for name, figure in made.items())
