"""Maps of clips: features or embeddings in two dimensions, and how often nearest neighbours share a class."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from sklearn.metrics import pairwise_distances_chunked
from sklearn.preprocessing import StandardScaler

from spectro.audio.features import FEATURES
from spectro.core.arrays import Floats, Floats32, Items, Mask, grouped_means
from spectro.core.config import Config, ModelConfig
from spectro.core.data_folder import DataFolder
from spectro.core.distribution import require_packages
from spectro.core.errors import ConfigError, DataError, did_you_mean
from spectro.core.records import Record
from spectro.core.runs import Run
from spectro.core.tables import Clip, Segment
from spectro.data.features import FeatureStore, extract
from spectro.data.store import open_store
from spectro.evaluation.results import Estimate
from spectro.evaluation.statistics import BootstrapConfig, bootstrap, percentile_interval

NEIGHBOURS = 5
"""Nearest neighbours whose class is compared."""
FEWEST = 5
"""Least number of clips of a map."""
KEPT = 50
"""Principal components that t-SNE and UMAP start from, where there are more values."""
SEED = 0
SPACE = "\N{NARROW NO-BREAK SPACE}"


@dataclass(frozen=True, kw_only=True)
class Vectors:
    """One vector per clip: the mean over its segments."""

    title: str
    """What the values are."""
    clips: tuple[Clip, ...]
    values: Floats
    """`[clips, values]`"""
    columns: tuple[str, ...] = ()
    """Name of each value, where they have names."""
    tested: Mask
    """`[clips]`, whether a clip was not trained on and so counts; all, where nothing was trained."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Classes, sorted."""
        return tuple(sorted({clip.label for clip in self.clips}))

    @property
    def truth(self) -> Items:
        """`[clips]`, class of each clip as an index into `labels`."""
        return np.array([self.labels.index(clip.label) for clip in self.clips])


@dataclass(frozen=True, kw_only=True)
class Plane:
    """The clips in two dimensions."""

    method: str
    """Name as people write it: PCA, t-SNE, UMAP."""
    points: Floats
    """`[clips, 2]`"""
    axes: tuple[str, str]
    """What the horizontal and the vertical axis show; empty where they mean nothing."""
    note: str
    """How to read it."""


@dataclass(frozen=True, kw_only=True)
class Agreement(Record):
    """How many of a clip's nearest neighbours from other groups share its class, in all dimensions."""

    neighbours: int
    asked: int
    """Number of clips whose neighbours are looked at."""
    dimensions: int
    """Number of values that distances are taken over."""
    share: Estimate
    """Mean over the tested clips, with a 95 % interval from a bootstrap over their groups."""
    chance: float
    """The same with neighbours drawn at random from other groups."""

    def __str__(self) -> str:
        """Return it as a sentence."""
        share, low, high, chance = map(_percent, (self.share.value, self.share.low, self.share.high, self.chance))
        between = "" if np.isnan(self.share.low) else f" (95{SPACE}% interval {low} to {high})"
        return (
            f"Of the {self.neighbours} nearest neighbours from other groups, over all {self.dimensions} dimensions, "
            f"{share}{between} share a clip's class; by chance {chance} would ({self.asked} clips)."
        )


@dataclass(frozen=True, kw_only=True)
class ClipMap:
    """A map of clips."""

    vectors: Vectors
    planes: tuple[Plane, ...]
    agreement: Agreement | None
    """None where all clips come from one group."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values: the clips, their points in each plane, and the agreement."""
        clips = zip(self.vectors.clips, self.vectors.tested.tolist(), strict=True)
        return {
            "title": self.vectors.title,
            "values": self.vectors.values.shape[1],
            "agreement": self.agreement.to_dict() if self.agreement else None,
            "clips": [
                {"clip": clip.id, "label": clip.label, "group": clip.group, "tested": tested} for clip, tested in clips
            ],
            "planes": [
                {"method": plane.method, "axes": list(plane.axes), "note": plane.note, "points": plane.points.tolist()}
                for plane in self.planes
            ],
        }


def data_vectors(
    data: DataFolder | Path | str,
    *,
    feature: str = "stats",
    config: Config | None = None,
    config_id: str | None = None,
) -> Vectors:
    """Return the values of a vector feature, which is computed if it is not there yet.

    Parameters
    ----------
    data
        Data folder.
    feature
        Name in `FEATURES`, of the kind `vector`.
    config
        Settings of the feature; its defaults if not given.
    config_id
        Which spectrograms the clips are cut like, if the folder has several configurations.

    Raises
    ------
    ConfigError
        The feature is unknown, or has frames.
    DataError
        Nothing was rendered, or the source is gone.
    """
    if FEATURES[feature].kind != "vector":
        raise ConfigError(
            f"'{feature}' has many frames per segment; map its statistics instead: feature stats with set '{feature}'"
        )
    store = extract(data, feature, config=config, config_id=config_id).store
    return clip_means(f"{_title(store)} of each clip", store.segments, store.values(), columns=store.columns)


def backbone_vectors(
    data: DataFolder | Path | str, model: ModelConfig, *, weights: str = "auto", config_id: str | None = None
) -> Vectors:
    """Return the mean feature map of a frozen backbone for the spectrograms.

    Parameters
    ----------
    data
        Data folder.
    model
        The backbone.
    weights
        Its weights: `auto`, `none`, `hub` or a file.
    config_id
        Which spectrograms, if the folder has several configurations.

    Raises
    ------
    ConfigError
        torch is not installed.
    WeightsError
        The backbone's weights are not installed.
    """
    require_packages("the map of a backbone", "torch", "timm")
    from spectro.training.backbone_features import frozen_features

    store = open_store(data, config_id)
    values = frozen_features(store, model, weights)
    trained = "random" if weights == "none" else "pretrained"
    return clip_means(f"{model.name}, {trained} and frozen", store.segments, values)


def run_vectors(run: Run | Path | str, *, data: DataFolder | Path | str | None = None, most: int = 0) -> Vectors:
    """Return the mean feature map of a trained network for clips; of an ensemble, of its first member.

    Parameters
    ----------
    run
        A finished run or its folder.
    data
        Data folder; the one that the run's card names if not given.
    most
        Largest number of clips: tested ones first, others drawn at random; 0 for all.

    Raises
    ------
    ConfigError
        torch is not installed.
    RunError
        The run holds no network, or has no test predictions.
    DataError
        The data folder is gone.
    """
    require_packages("the map of a run", "torch")
    from spectro.training.backbone_features import run_features

    run = Run.open(run)
    first = run.leaves()[0]
    title = first.name if not run.card.is_ensemble else f"{first.name}, the first member of {run.name}"
    facts = first.card.data
    folder = DataFolder.open(data or facts.path)
    tested = set(first.predictions("test").clip_ids)
    ids = sorted({segment.clip.id for segment in open_store(folder, facts.config_id).segments})
    chosen: set[str] | None = None
    if most and len(ids) > most:
        order = np.random.default_rng(SEED).permutation(np.array(ids)).tolist()
        chosen = set(sorted(order, key=lambda clip: clip not in tested)[:most])
        title += f"; {most} of {len(ids)} clips"
    segments, values = run_features(first, folder, clips=chosen)
    return clip_means(f"The feature map of {title}", segments, values, tested=tested)


def clip_means(
    title: str,
    segments: Sequence[Segment],
    values: Floats | Floats32,
    *,
    columns: Sequence[str] = (),
    tested: set[str] | None = None,
) -> Vectors:
    """Return the mean over the segments of each clip.

    Parameters
    ----------
    title
        What the values are.
    segments
        Segment of each row of `values`.
    values
        `[segments, values]`.
    columns
        Names of the values.
    tested
        Ids of the clips that were not trained on; where none of them is there, or None is given, all count.
    """
    names = [segment.clip.id for segment in segments]
    ids, first, index = np.unique(names, return_index=True, return_inverse=True)
    counted = np.array([tested is None or clip in tested for clip in ids.tolist()])
    return Vectors(
        title=title,
        clips=tuple(segments[item].clip for item in first),
        values=grouped_means(values, index),
        columns=tuple(columns),
        tested=counted if counted.any() else ~counted,
    )


def map_clips(vectors: Vectors, methods: Sequence[str] = ("pca", "t-sne")) -> ClipMap:
    """Project clips to two dimensions, every value first standardized over the clips.

    Parameters
    ----------
    vectors
        One vector per clip.
    methods
        Names in `METHODS`.

    Raises
    ------
    ConfigError
        A method is unknown or its package missing, or there are too few values.
    DataError
        There are fewer than 5 clips, or they do not differ.
    """
    unknown = [name for name in methods if name not in METHODS]
    if unknown or not methods:
        hint = did_you_mean(unknown[0], METHODS) if unknown else ""
        raise ConfigError(f"there is no map '{', '.join(unknown)}'{hint} (have: {', '.join(METHODS)})")
    clips, width = vectors.values.shape
    if clips < FEWEST:
        raise DataError(f"{clips} clips are too few for a map; it takes at least {FEWEST}")
    if width < 2:
        raise ConfigError("a map needs at least 2 values per clip; draw one value by class: `spectro plot features`")
    if not np.isfinite(vectors.values).all():
        raise DataError(
            f"{vectors.title}: some values are not finite, as a training that diverged leaves them; train again with a "
            "smaller lr"
        )
    values = StandardScaler().fit_transform(vectors.values)
    if not values.any():
        raise DataError(f"{vectors.title}: all {clips} clips have the same values, so there is nothing to draw")
    return ClipMap(
        vectors=vectors,
        planes=tuple(METHODS[name](values) for name in methods),
        agreement=neighbour_agreement(values, vectors),
    )


def neighbour_agreement(values: Floats, vectors: Vectors) -> Agreement | None:
    """Return how many nearest neighbours of each tested clip share its class, those of its own group left out.

    Segments of one recording are close to each other whatever their class; only neighbours from other groups show
    whether classes differ. Distances are Euclidean, in all dimensions of `values` `[clips, values]`.
    """
    groups = np.unique([clip.group for clip in vectors.clips], return_inverse=True)[1]
    if groups.max() == 0:
        return None
    truth, asked = vectors.truth, np.flatnonzero(vectors.tested)

    def compare_chunk(distances: Floats, start: int) -> Floats:
        """Return `[clips, 2]`: the share of the nearest, and of all others, that are of the same class."""
        rows = asked[start : start + len(distances)]
        others = groups[None, :] != groups[rows, None]
        alike = others & (truth[None, :] == truth[rows, None])
        order = np.argsort(np.where(others, distances, np.inf), axis=1, kind="stable")[:, :NEIGHBOURS]
        near, hits = (np.take_along_axis(mask, order, axis=1).sum(axis=1) for mask in (others, alike))
        return np.column_stack([hits / near, alike.sum(axis=1) / others.sum(axis=1)])

    shares = np.concatenate(list(pairwise_distances_chunked(values[asked], values, reduce_func=compare_chunk)))
    config, own = BootstrapConfig(), [vectors.clips[item].group for item in asked]
    samples = bootstrap(lambda weights: weights.mean(shares[:, 0]), own, config)
    low, high = percentile_interval(samples, config.level) if len(set(own)) > 1 else (np.nan, np.nan)
    share, chance = shares.mean(axis=0).tolist()
    return Agreement(
        neighbours=NEIGHBOURS,
        asked=len(asked),
        dimensions=values.shape[1],
        share=Estimate(value=share, low=low, high=high),
        chance=chance,
    )


def _pca(values: Floats) -> Plane:
    """Project on the two directions of largest variance."""
    pca = PCA(2, random_state=SEED).fit(values)
    shares = pca.explained_variance_ratio_
    first, second = (f"component {n + 1}: {_percent(share)} of the variance" for n, share in enumerate(shares))
    note = f"Shows {_percent(shares.sum())} of the variance; the other dimensions are not visible."
    return Plane(method="PCA", points=pca.transform(values), axes=(first, second), note=note)


def _tsne(values: Floats) -> Plane:
    """Keep neighbours together [van der Maaten and Hinton, 2008]."""
    perplexity = min(30.0, (len(values) - 1) / 3)
    points = TSNE(2, perplexity=perplexity, init="pca", random_state=SEED).fit_transform(_fewer(values))
    note = f"Perplexity {perplexity:.0f}. Only neighbourhoods count: distances between clusters mean nothing."
    return Plane(method="t-SNE", points=np.asarray(points, np.float64), axes=("", ""), note=note)


def _umap(values: Floats) -> Plane:
    """Keep neighbours together [McInnes et al., 2018]; needs umap-learn."""
    require_packages("this map", "umap", otherwise="use t-sne")
    from umap import UMAP

    near = min(15, len(values) - 1)
    start = values.shape[0] > KEPT  # below, the spectral start finds too few eigenvectors
    points = UMAP(
        n_neighbors=near, init="spectral" if start else "random", random_state=SEED, n_jobs=1
    ).fit_transform(_fewer(values))  # fmt: skip
    note = f"{near} neighbours. Only neighbourhoods count: distances between clusters mean little."
    return Plane(method="UMAP", points=np.asarray(points, np.float64), axes=("", ""), note=note)


def _fewer(values: Floats) -> Floats:
    kept = min(KEPT, *values.shape)
    return values if kept == values.shape[1] else np.asarray(PCA(kept, random_state=SEED).fit_transform(values))


METHODS: Mapping[str, Callable[[Floats], Plane]] = {"pca": _pca, "t-sne": _tsne, "umap": _umap}
"""Ways to project standardized values `[clips, values]`, by name."""


def _title(store: FeatureStore) -> str:
    """Return the name of a feature and how many values it has."""
    settings = store.extraction.config.to_dict()
    chosen = f" {settings['set']}" if "set" in settings else ""
    count = len(store.columns)
    return f"{store.extraction.feature}{chosen}, {count} value{'s' if count > 1 else ''}"


def _percent(share: float) -> str:
    return f"{100 * share:.0f}{SPACE}%"
