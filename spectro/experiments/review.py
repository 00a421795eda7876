"""How much labelling the most informative clips first saves: a simulation on data whose labels are known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression

from spectro.core.arrays import Floats, Floats32, Items, Probs
from spectro.core.config import Config, ModelConfig, require
from spectro.core.data_folder import DataFolder
from spectro.core.files import write_csv
from spectro.core.records import Record
from spectro.evaluation.informative import ORDERS, Pool
from spectro.evaluation.openset import Outputs
from spectro.evaluation.results import Estimate
from spectro.evaluation.statistics import BootstrapConfig, estimate
from spectro.inference.openset import Embedded, fit_references
from spectro.training.backbone_features import frozen_features
from spectro.training.dataset import TrainingData

COLUMNS = ("order", "labels", "accuracy", "low", "high", "deviation")
MEMBERS = 4
"""Heads of the committee whose disagreement is looked at, each fitted to a resample of the labelled clips."""


@dataclass(frozen=True, kw_only=True)
class ReviewConfig(Config):
    """How labelling is simulated."""

    orders: tuple[str, ...] = ("random", "margin", "disagreement", "diverse")
    """Orders that are compared; each begins with the same clips."""
    start: int = 0
    """Clips that are labelled at the beginning, drawn at random; 0 for two per class."""
    batch: int = 0
    """Clips that are labelled before the model is fitted again; 0 for a twelfth of the training clips."""
    draws: int = 5
    """Number of random beginnings; curves are means over them."""
    seed: int = 0
    """Seed of the draws."""
    bootstrap: BootstrapConfig = field(default_factory=lambda: BootstrapConfig(repeats=400))
    """How intervals are drawn, over the groups of the test clips."""

    def __post_init__(self) -> None:
        for name in self.orders:
            ORDERS[name]
        require("random" in self.orders, "orders lack 'random', which the others are compared with")
        require(self.draws >= 1, f"draws is {self.draws}, but must be at least 1")
        require(self.start >= 0 and self.batch >= 0, "start and batch are numbers of clips, and not negative")


@dataclass(frozen=True, kw_only=True)
class ReviewPoint(Record):
    """The accuracy that some number of labels buys."""

    labels: int
    """Number of labelled clips."""
    accuracy: Estimate
    """Accuracy of the test clips, mean over the draws."""
    deviation: float
    """Standard deviation of the accuracy over the draws."""


@dataclass(frozen=True, kw_only=True)
class ReviewCurve(Record):
    """Accuracy against labels for one order."""

    order: str
    points: tuple[ReviewPoint, ...]
    gain: Estimate
    """Mean accuracy over all numbers of labels less that of the random order, paired over the same test clips."""


@dataclass(frozen=True, kw_only=True)
class ReviewResult(Record):
    """Accuracy against labels spent, for several orders."""

    model: str
    """Name of the frozen backbone."""
    split: str
    """Title of the split."""
    clips: int
    """Training clips that could be labelled."""
    curves: tuple[ReviewCurve, ...]

    def labels_for(self, order: str, accuracy: float) -> int | None:
        """Return the smallest number of labels with which an order reaches an accuracy; None where it does not."""
        curve = next(curve for curve in self.curves if curve.order == order)
        return next((point.labels for point in curve.points if point.accuracy.value >= accuracy), None)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Corpus:
    """Clips as one vector each."""

    vectors: Floats32
    truth: Items
    test_vectors: Floats32
    test_truth: Items
    test_groups: tuple[str, ...]


def simulate_review(
    data: DataFolder | Path | str,
    *,
    split: str = "group",
    model: ModelConfig | None = None,
    weights: str = "auto",
    config_id: str | None = None,
    config: ReviewConfig | None = None,
    log: Callable[[str], object] = lambda _: None,
) -> ReviewResult:
    """Pretend that the training clips have no labels, reveal them in several orders, and measure on the test clips.

    The model is logistic regression on frozen features, fitted again after each batch of labels.

    Parameters
    ----------
    data
        Folder that `render` and `split` wrote.
    split
        Name of a split in `data`.
    model, weights
        The backbone and its weights, as in `finetune`.
    config_id
        Which spectrograms, when `data` holds several configurations.
    config
        Orders, numbers of clips, draws and intervals.
    log
        Called with a line about each draw.

    Raises
    ------
    DataError
        the split lacks segments or classes.
    WeightsError
        the backbone's weights are not installed.
    """
    model, config = model or ModelConfig(), config or ReviewConfig()
    dataset = TrainingData.open(data, split, config_id)
    corpus = _corpus(dataset, frozen_features(dataset.store, model, weights))
    clips = len(corpus.truth)
    start = config.start or 2 * len(dataset.labels)
    budgets = [*range(min(start, clips), clips, config.batch or max(1, clips // 12)), clips]
    correct = {order: np.empty((config.draws, len(budgets), len(corpus.test_truth))) for order in config.orders}
    for draw in range(config.draws):
        for order in config.orders:
            correct[order][draw] = _label(corpus, order, budgets, config.seed + draw)
        log(f"draw {draw + 1} of {config.draws}")
    curves = tuple(_curve(order, budgets, correct, corpus.test_groups, config) for order in config.orders)
    return ReviewResult(model=model.name, split=dataset.split.title, clips=clips, curves=curves)


def _corpus(dataset: TrainingData, features: Floats32) -> _Corpus:
    """Return the mean features of each clip, in the principal components of the training clips, which need no label."""

    def clips(items: Items) -> Outputs:
        return Outputs.of(dataset, items, Embedded(np.empty((len(items), 0)), features[items], None))

    known = clips(np.concatenate([dataset.subsets["train"], dataset.subsets["val"]]))
    test, vectors = clips(dataset.subsets["test"]), known.vectors().astype(np.float32)
    space = fit_references("knn", vectors, known.truth)
    return _Corpus(
        vectors=space.project(vectors),
        truth=known.truth,
        test_vectors=space.project(test.vectors()),
        test_truth=test.truth,
        test_groups=test.groups,
    )


def _label(corpus: _Corpus, order: str, budgets: Sequence[int], seed: int) -> Floats:
    """Return which test clips are classified correctly with each number of labels, `[budgets, clips]`."""
    labelled = np.random.default_rng(seed).permutation(len(corpus.truth))[: budgets[0]]
    rows = []
    for step, _ in enumerate(budgets):
        probs = _predict(corpus, labelled, corpus.test_vectors)
        rows.append((probs.argmax(axis=1) == corpus.test_truth).astype(np.float64))
        if step + 1 < len(budgets):
            pool = np.setdiff1d(np.arange(len(corpus.truth)), labelled)
            chosen = ORDERS[order](_pool(corpus, order, labelled, pool, seed), budgets[step + 1] - budgets[step])
            labelled = np.concatenate([labelled, pool[chosen]])
    return np.stack(rows)


def _pool(corpus: _Corpus, order: str, labelled: Items, pool: Items, seed: int) -> Pool:
    """Return the clips without a label as the order needs to see them."""
    members = None
    if order == "disagreement":
        rng = np.random.default_rng([seed, len(labelled)])
        draws = [rng.choice(labelled, len(labelled)) for _ in range(MEMBERS)]
        members = np.stack([_predict(corpus, draw, corpus.vectors[pool]) for draw in draws])
    return Pool(
        probs=_predict(corpus, labelled, corpus.vectors[pool]),
        vectors=corpus.vectors[pool],
        known=corpus.vectors[labelled],
        members=members,
        seed=seed * 1000 + len(labelled),
    )


def _predict(corpus: _Corpus, labelled: Items, vectors: Floats32) -> Probs:
    """Return probabilities `[items, classes]` of a head that is fitted to the labelled clips."""
    truth = corpus.truth[labelled]
    probs = np.zeros((len(vectors), int(corpus.truth.max()) + 1))
    present = np.unique(truth)
    if len(present) == 1:
        probs[:, present] = 1.0
        return probs
    head = LogisticRegression(C=0.1, class_weight="balanced", max_iter=500)
    head.fit(corpus.vectors[labelled], truth)
    probs[:, head.classes_] = head.predict_proba(vectors)
    return probs


def _curve(
    order: str, budgets: Sequence[int], correct: dict[str, Floats], groups: Sequence[str], config: ReviewConfig
) -> ReviewCurve:
    own, others = correct[order], correct["random"]
    points = []
    for step, labels in enumerate(budgets):
        values = own[:, step].mean(axis=0)
        points.append(
            ReviewPoint(
                labels=labels,
                accuracy=estimate(lambda weights, values=values: weights.mean(values), groups, config.bootstrap),  # type: ignore[misc]
                deviation=float(own[:, step].mean(axis=1).std(ddof=1 if config.draws > 1 else 0)),
            )
        )
    gains = (own - others).mean(axis=(0, 1))
    gain = estimate(lambda weights: weights.mean(gains), groups, config.bootstrap)
    return ReviewCurve(order=order, points=tuple(points), gain=gain)


def save_review(result: ReviewResult, out: Path) -> Path:
    """Write a line per order and number of labels as CSV; return the path."""
    rows = [
        (curve.order, one.labels, one.accuracy.value, one.accuracy.low, one.accuracy.high, one.deviation)
        for curve in result.curves
        for one in curve.points
    ]
    write_csv(out, COLUMNS, rows)
    return out
