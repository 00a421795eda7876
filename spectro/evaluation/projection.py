"""Maps: clips as points, those that a feature or a network takes for alike side by side, and a number to check it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from sklearn.metrics import pairwise_distances_chunked
from sklearn.preprocessing import StandardScaler

from spectro.audio.features import FEATURES
from spectro.core.config import Config, ModelConfig
from spectro.core.errors import ConfigError, DataError, did_you_mean
from spectro.core.runs import Run
from spectro.core.tables import Clip, Segment
from spectro.data.features import FeatureStore, extract
from spectro.data.store import open_store
from spectro.evaluation.statistics import BootstrapConfig, Estimate, bootstrap, percentile_interval
from spectro.training.backbone_features import frozen_features, run_features

NEIGHBOURS = 5
"""Neighbours that are asked for their class."""
FEWEST = 5
"""Clips below which no map is drawn."""
KEPT = 50
"""Principal components that t-SNE and UMAP start from, where there are more values."""
SEED = 0
SPACE = "\N{NARROW NO-BREAK SPACE}"

Floats = NDArray[np.float64]


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
    tested: NDArray[np.bool_]
    """`[clips]`, whether a clip was not trained on and counts; all, where nothing was trained."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Classes, sorted."""
        return tuple(sorted({clip.label for clip in self.clips}))

    @property
    def truth(self) -> NDArray[np.int64]:
        """`[clips]`, class of each clip as an index into `labels`."""
        return np.array([self.labels.index(clip.label) for clip in self.clips])


@dataclass(frozen=True, kw_only=True)
class Plane:
    """The clips in two dimensions."""

    method: str
    """Its name, as people write it."""
    points: Floats
    """`[clips, 2]`"""
    axes: tuple[str, str]
    """What the horizontal and the vertical axis show; empty where they mean nothing."""
    note: str
    """How it is to be read."""


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How many of a clip's nearest neighbours from other groups share its class, in all dimensions."""

    neighbours: int
    asked: int
    """Number of clips whose neighbours are asked."""
    dimensions: int
    """Number of values that distances are taken over."""
    share: Estimate
    """Mean over the clips tested, with a 95 % interval from a bootstrap over their groups."""
    chance: float
    """The same with neighbours drawn at random from other groups."""

    def __str__(self) -> str:
        """Say it in a sentence."""
        share, low, high, chance = map(_percent, (self.share.value, self.share.low, self.share.high, self.chance))
        between = "" if np.isnan(self.share.low) else f" (95{SPACE}% interval {low} to {high})"
        return (
            f"Of the {self.neighbours} nearest neighbours from other groups, over all {self.dimensions} dimensions, "
            f"{share}{between} share a clip's class; by chance {chance} would ({self.asked} clips asked)."
        )


@dataclass(frozen=True, kw_only=True)
class ClipMap:
    """A map of clips."""

    vectors: Vectors
    planes: tuple[Plane, ...]
    agreement: Agreement | None
    """None where all clips come from one group."""

    def to_dict(self) -> dict[str, Any]:
        """Return the figures as plain JSON values."""
        found = self.agreement
        clips = zip(self.vectors.clips, self.vectors.tested.tolist(), strict=True)
        return {
            "title": self.vectors.title,
            "values": self.vectors.values.shape[1],
            "agreement": found
            and {
                "neighbours": found.neighbours,
                "asked": found.asked,
                "share": found.share.to_dict(),
                "chance": found.chance,
            },
            "clips": [{"clip": one.id, "label": one.label, "group": one.group, "tested": t} for one, t in clips],
            "planes": [
                {"method": one.method, "axes": list(one.axes), "note": one.note, "points": one.points.tolist()}
                for one in self.planes
            ],
        }


def data_vectors(
    data: Path | str, *, feature: str = "stats", config: Config | None = None, config_id: str | None = None
) -> Vectors:
    """Return the values of a vector feature, which is computed if it is not there yet.

    Raises
    ------
    ConfigError
        the feature is unknown, or has frames.
    DataError
        there are no pictures, or the source is gone.
    """
    if FEATURES[feature].kind != "vector":
        raise ConfigError(f"'{feature}' has many frames a segment; draw its statistics: stats with set '{feature}'")
    store = extract(data, feature, config=config, config_id=config_id).store
    return clip_means(f"{_named(store)} of each clip", store.segments, store.values(), columns=store.columns)


def backbone_vectors(
    data: Path | str, model: ModelConfig, *, weights: str = "auto", config_id: str | None = None
) -> Vectors:
    """Return what a frozen backbone makes of the pictures: the mean of its feature map.

    Raises
    ------
    WeightsError
        the backbone's weights are not at hand.
    """
    store = open_store(data, config_id)
    values = frozen_features(store, model, weights)
    trained = "random" if weights == "none" else "pretrained"
    return clip_means(f"{model.name}, {trained} and frozen", store.segments, values)


def run_vectors(run: Run | Path | str, *, data: Path | str | None = None, most: int = 0) -> Vectors:
    """Return what a trained network makes of clips: the mean of its feature map; of an ensemble its first member's.

    Parameters
    ----------
    run : a finished run
    data : data folder; what the run's card names if not given
    most : the number of clips at which it is enough: tested ones first, others drawn at random; 0 for all

    Raises
    ------
    RunError
        the run holds no network, or has no test predictions.
    DataError
        the data is not at hand.
    """
    run = run if isinstance(run, Run) else Run.open(run)
    title = run.name
    while members := run.card().get("members"):
        run = Run.open(run.path / members[0]["path"])
        title = f"{run.name}, the first member of {title.rpartition(' of ')[2]}"
    facts = run.card().get("data") or {}
    named = data or facts.get("path")
    if not named:
        raise DataError(f"the card of {run.path} does not name its data; give the folder with --data")
    judged = set(run.predictions("test").clip_ids)
    chosen: set[str] | None = None
    pictures = facts.get("pictures") or run.card()["feature"]["config_id"]
    ids = sorted({segment.clip.id for segment in open_store(named, pictures).segments})
    if most and len(ids) > most:
        order = np.random.default_rng(SEED).permutation(np.array(ids)).tolist()
        chosen = set(sorted(order, key=lambda clip: clip not in judged)[:most])
        title += f"; {most} of {len(ids)} clips"
    segments, values = run_features(run, Path(named), clips=chosen)
    return clip_means(f"The feature map of {title}", segments, values, judged=judged)


def clip_means(
    title: str,
    segments: Sequence[Segment],
    values: NDArray[Any],
    *,
    columns: Sequence[str] = (),
    judged: set[str] | None = None,
) -> Vectors:
    """Return the mean of `values` `[segments, values]` over the segments of each clip.

    `judged` are the clips that were not trained on; where none of them is there, or None is given, all count.
    """
    names = [segment.clip.id for segment in segments]
    ids, first, index = np.unique(names, return_index=True, return_inverse=True)
    sums = np.zeros((len(ids), values.shape[1]))
    np.add.at(sums, index, np.asarray(values, np.float64))
    tested = np.array([judged is None or clip in judged for clip in ids.tolist()])
    return Vectors(
        title=title,
        clips=tuple(segments[item].clip for item in first),
        values=sums / np.bincount(index)[:, None],
        columns=tuple(columns),
        tested=tested if tested.any() else ~tested,
    )


def map_clips(vectors: Vectors, methods: Sequence[str] = ("pca", "t-sne")) -> ClipMap:
    """Lay clips out in two dimensions, every value first standardized over the clips.

    Raises
    ------
    ConfigError
        a method is unknown or its package missing, or there are too few values.
    DataError
        there are fewer than 5 clips, or they do not differ.
    """
    unknown = [name for name in methods if name not in METHODS]
    if unknown or not methods:
        hint = did_you_mean(unknown[0], METHODS) if unknown else ""
        raise ConfigError(f"there is no map '{', '.join(unknown)}'{hint} (have: {', '.join(METHODS)})")
    clips, width = vectors.values.shape
    if clips < FEWEST:
        raise DataError(f"{clips} clips are too few for a map; it takes at least {FEWEST}")
    if width < 2:
        raise ConfigError("one value makes no map; draw it by class: `spectro boxes`")
    values = StandardScaler().fit_transform(vectors.values)
    if not values.any():
        raise DataError(f"{vectors.title}: all {clips} clips have the same values, so there is nothing to draw")
    return ClipMap(
        vectors=vectors,
        planes=tuple(METHODS[name](values) for name in methods),
        agreement=neighbour_agreement(values, vectors),
    )


def neighbour_agreement(values: Floats, vectors: Vectors) -> Agreement | None:
    """Ask the nearest neighbours of each tested clip for their class, those of its own group left out.

    Pieces of one recording lie side by side whatever their class; only neighbours from elsewhere tell whether the
    class itself can be heard. Distances are Euclidean, in all dimensions of `values` `[clips, values]`.
    """
    groups = np.unique([clip.group for clip in vectors.clips], return_inverse=True)[1]
    if groups.max() == 0:
        return None
    truth, asked = vectors.truth, np.flatnonzero(vectors.tested)

    def ask(distances: Floats, start: int) -> Floats:
        """Return `[clips asked, 2]`: the share of the nearest, and of all others, that is of the same class."""
        rows = asked[start : start + len(distances)]
        others = groups[None, :] != groups[rows, None]
        alike = others & (truth[None, :] == truth[rows, None])
        order = np.argsort(np.where(others, distances, np.inf), axis=1, kind="stable")[:, :NEIGHBOURS]
        near, hits = (np.take_along_axis(found, order, axis=1).sum(axis=1) for found in (others, alike))
        return np.column_stack([hits / near, alike.sum(axis=1) / others.sum(axis=1)])

    found = np.concatenate(list(pairwise_distances_chunked(values[asked], values, reduce_func=ask)))
    config, own = BootstrapConfig(), [vectors.clips[item].group for item in asked]
    samples = bootstrap(lambda weights: weights @ found[:, 0] / weights.sum(axis=1), own, config)
    spread = percentile_interval(samples, config.level) if len(set(own)) > 1 else (np.nan, np.nan)
    share, chance = found.mean(axis=0).tolist()
    return Agreement(
        neighbours=NEIGHBOURS,
        asked=len(asked),
        dimensions=values.shape[1],
        share=Estimate(share, *spread),
        chance=chance,
    )


def _pca(values: Floats) -> Plane:
    """Project on the two directions of largest variance."""
    found = PCA(2, random_state=SEED).fit(values)
    shares = found.explained_variance_ratio_
    first, second = (f"component {n + 1}: {_percent(share)} of the variance" for n, share in enumerate(shares))
    note = f"Shows {_percent(shares.sum())} of the variance; what the other dimensions hold is not seen."
    return Plane(method="PCA", points=found.transform(values), axes=(first, second), note=note)


def _tsne(values: Floats) -> Plane:
    """Keep neighbours together [van der Maaten and Hinton, 2008]."""
    perplexity = min(30.0, (len(values) - 1) / 3)
    made = TSNE(2, perplexity=perplexity, init="pca", random_state=SEED).fit_transform(_fewer(values))
    note = f"Perplexity {perplexity:.0f}. Only who is near whom counts: distances between clusters mean nothing."
    return Plane(method="t-SNE", points=np.asarray(made, np.float64), axes=("", ""), note=note)


def _umap(values: Floats) -> Plane:
    """Keep neighbours together [McInnes et al., 2018]; needs umap-learn."""
    try:
        from umap import UMAP
    except ModuleNotFoundError:
        raise ConfigError("umap needs the package umap-learn: pip install umap-learn; or draw t-sne") from None
    near = min(15, len(values) - 1)
    start = values.shape[0] > KEPT  # below, the spectral start finds too few eigenvectors
    made = UMAP(
        n_neighbors=near, init="spectral" if start else "random", random_state=SEED, n_jobs=1
    ).fit_transform(_fewer(values))  # fmt: skip
    note = f"{near} neighbours. Only who is near whom counts: distances between clusters mean little."
    return Plane(method="UMAP", points=np.asarray(made, np.float64), axes=("", ""), note=note)


def _fewer(values: Floats) -> Floats:
    kept = min(KEPT, *values.shape)
    return values if kept == values.shape[1] else np.asarray(PCA(kept, random_state=SEED).fit_transform(values))


METHODS: Mapping[str, Callable[[Floats], Plane]] = {"pca": _pca, "t-sne": _tsne, "umap": _umap}
"""Ways to lay out standardized values `[clips, values]`, by name."""


def _named(store: FeatureStore) -> str:
    """Return the name of a feature and how many values it has."""
    settings = store.extraction.config.to_dict()
    chosen = f" {settings['set']}" if "set" in settings else ""
    count = len(store.columns)
    return f"{store.extraction.feature}{chosen}, {count} value{'s' if count > 1 else ''}"


def _percent(share: float) -> str:
    return f"{100 * share:.0f}{SPACE}%"
