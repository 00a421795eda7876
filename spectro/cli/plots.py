"""Commands that draw: maps of clips, values of features by class, the figures of a run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

import spectro
from spectro.cli.app import EVALUATION, Json, app, order, put_json

if TYPE_CHECKING:
    from spectro.core.config import Config

Set = Annotated[str, Parameter(name="--set")]


@app.command(name="map", group=EVALUATION, sort_key=next(order))
def draw_map(
    source: Path,
    /,
    *,
    feature: str = "stats",
    values: Set = "",
    backbone: str = "",
    weights: str = "auto",
    methods: str = "pca,t-sne",
    out: Path = Path("map.svg"),
    data: Path | None = None,
    config_id: str | None = None,
    as_json: Json = False,
) -> None:
    """Draw every clip as a point, coloured by class, and say whether neighbours from other groups are of one class.

    Example: spectro map data --feature stats --set D --out map.svg

    Example: spectro map data --backbone mobilenetv2_100

    Example: spectro map runs/resnet50-group

    Parameters
    ----------
    source
        Folder that render made; or of a finished run, whose feature map is drawn, its test clips standing out.
    feature
        Name of a feature that is one vector a segment.
    values
        With stats: C, D, D57, or names of features with + between (mfcc+chroma); C by default.
    backbone
        A timm model whose feature map of the pictures is drawn instead, frozen.
    weights
        Its weights: auto, none, hub, or a file.
    methods
        pca, t-sne, umap (needs umap-learn), with commas between.
    out
        SVG or PNG to write.
    data
        Data folder of a run, if it is not where the run's card says.
    config_id
        Which pictures, if a data folder holds several configurations.
    """
    made = spectro.draw_map(
        source,
        out,
        feature=feature,
        config=settings(feature, values),
        backbone=backbone,
        weights=weights,
        methods=methods.split(","),
        data=data,
        config_id=config_id,
    )
    if as_json:
        return put_json(made.to_dict())
    print(f"wrote {out}: {made.vectors.title}, {len(made.vectors.clips)} clips")
    print(made.agreement or "All clips come from one group, so no neighbour from elsewhere can be asked.")
    return None


@app.command(name="boxes", group=EVALUATION, sort_key=next(order))
def draw_boxes(
    data: Path,
    /,
    *,
    columns: str = "tempo",
    feature: str = "stats",
    values: Set = "",
    out: Path = Path("boxes.svg"),
    config_id: str | None = None,
) -> None:
    """Draw values of a feature by class, as box plots over the means of the clips.

    Example: spectro boxes data --columns tempo,centroid_mean --out tempo.svg

    Parameters
    ----------
    data
        Folder that render made.
    columns
        Names of values with commas between, or all.
    feature
        Name of a feature that is one vector a segment.
    values
        With stats: C, D, D57, or names of features with + between (mfcc+chroma); C by default.
    out
        SVG or PNG to write.
    config_id
        Which pictures' segments, if data holds several configurations.
    """
    names = [] if columns == "all" else columns.split(",")
    config = settings(feature, values)
    print(f"wrote {spectro.draw_boxes(data, out, columns=names, feature=feature, config=config, config_id=config_id)}")


@app.command(name="plots", group=EVALUATION, sort_key=next(order))
def draw_run(run: Path, /, *, out: Path | None = None, kind: Literal["svg", "png"] = "svg") -> None:
    """Draw a run's figures: confusion matrix, scores by class, training curves, calibration.

    Example: spectro plots runs/resnet50-group --out plots --kind png

    Parameters
    ----------
    run
        Folder of a finished run.
    out
        Folder to write into; by default RUN/plots.
    kind
        Kind of figure.
    """
    for path in spectro.draw_run(run, out or run / "plots", kind=kind):
        print(f"wrote {path}")


def settings(feature: str, values: str) -> Config | None:
    """Return the settings that --set means, or None for the feature's own; raises ConfigError where there is no set."""
    if not values:
        return None
    from spectro.audio.features.stats import StatsConfig
    from spectro.core.errors import ConfigError

    if feature != "stats":
        raise ConfigError(
            f"--set {values} says which values stats takes, but the feature is '{feature}'; leave one out"
        )
    return StatsConfig(set=values)
