"""Metrics: each equals scikit-learn's for every weighting, and a class that does not occur breaks none."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from sklearn import metrics as sk

from spectro.core.arrays import Floats, Probs
from spectro.core.predictions import Predictions
from spectro.evaluation import metrics
from spectro.evaluation.weights import Weights

LABELS = ("blues", "jazz", "pop", "rock")


def random_clips(items: int = 60, seed: int = 0, labels: tuple[str, ...] = LABELS) -> Predictions:
    rng = np.random.default_rng(seed)
    truth = rng.integers(len(labels), size=items)
    probs = rng.dirichlet(np.ones(len(labels)), size=items).round(2) + np.eye(len(labels))[truth] * 0.3
    ids = tuple(f"clip{i}" for i in range(items))
    return Predictions(
        ids=ids,
        clip_ids=ids,
        groups=ids,
        labels=labels,
        probs=probs / probs.sum(axis=1, keepdims=True),
        truth=truth,
    )


def auc(p: Predictions, weights: Floats) -> float:
    areas = [sk.roc_auc_score(p.truth == c, p.probs[:, c], sample_weight=weights) for c in np.unique(p.truth)]
    return float(np.mean(areas))


SCIKIT: dict[str, Callable[[Predictions, Floats], float]] = {
    "accuracy": lambda p, w: sk.accuracy_score(p.truth, p.predicted, sample_weight=w),
    "macro_f1": lambda p, w: sk.f1_score(p.truth, p.predicted, average="macro", sample_weight=w),
    "balanced_accuracy": lambda p, w: sk.balanced_accuracy_score(p.truth, p.predicted, sample_weight=w),
    "top3": lambda p, w: sk.top_k_accuracy_score(p.truth, p.probs, k=3, sample_weight=w),
    "roc_auc": auc,
    "log_loss": lambda p, w: sk.log_loss(p.truth, p.probs, sample_weight=w),
    "brier": lambda p, w: np.average(((p.probs - np.eye(4)[p.truth]) ** 2).sum(axis=1), weights=w),
}


def test_every_metric_is_compared_with_scikit_learn() -> None:
    assert set(SCIKIT) == set(metrics.METRICS)


@pytest.mark.parametrize("name", SCIKIT)
def test_metric_is_scikit_learns_for_every_weighting(name: str) -> None:
    predictions = random_clips()
    weights = np.random.default_rng(1).integers(1, 4, size=(5, len(predictions))).astype(float)
    weights[0] = 1
    ours = metrics.METRICS[name](predictions, Weights.of_items(weights))
    assert ours.shape == (5,)
    np.testing.assert_allclose(ours, [SCIKIT[name](predictions, row) for row in weights], rtol=1e-12)


@pytest.mark.parametrize("name", metrics.METRICS)
def test_integer_weights_mean_resampled_items(name: str) -> None:
    predictions = random_clips(40, seed=2)
    counts = np.random.default_rng(3).integers(0, 3, size=len(predictions))
    weighted = metrics.METRICS[name](predictions, Weights.of_items(counts[None].astype(float)))
    chosen = np.repeat(np.arange(len(predictions)), counts)
    ids = tuple(map(str, range(len(chosen))))
    resampled = Predictions(
        ids=ids,
        clip_ids=ids,
        groups=ids,
        labels=LABELS,
        probs=predictions.probs[chosen],
        truth=predictions.truth[chosen],
    )
    np.testing.assert_allclose(weighted, metrics.METRICS[name](resampled, metrics.ones(resampled)))


def test_class_scores_are_scikit_learns() -> None:
    predictions = random_clips()
    ours = metrics.class_scores(predictions, metrics.ones(predictions))
    theirs = sk.precision_recall_fscore_support(predictions.truth, predictions.predicted, labels=range(4))
    for name, expected in zip(("precision", "recall", "f1"), theirs[:3], strict=True):
        np.testing.assert_allclose(ours[name][0], expected)


def test_confusion_has_true_rows_and_predicted_columns() -> None:
    predictions = random_clips()
    ours = metrics.confusion(predictions)
    np.testing.assert_array_equal(ours, sk.confusion_matrix(predictions.truth, predictions.predicted, labels=range(4)))


def test_a_class_that_never_occurs_is_left_out() -> None:
    predictions = random_clips(30, labels=(*LABELS, "silence"))
    present = predictions.select(predictions.truth < 4)
    scores = metrics.class_scores(present, metrics.ones(present))
    if not (present.predicted == 4).any():
        assert np.isnan(scores["f1"][0, 4])
    for metric in metrics.METRICS.values():
        assert np.isfinite(metric(present, metrics.ones(present))).all()


def test_perfect_and_hopeless_predictions_have_extreme_values() -> None:
    truth = np.arange(4).repeat(3)
    ids = tuple(map(str, range(12)))

    def score(probs: Probs) -> dict[str, float]:
        p = Predictions(ids=ids, clip_ids=ids, groups=ids, labels=LABELS, probs=probs, truth=truth)
        return {name: float(metric(p, metrics.ones(p))[0]) for name, metric in metrics.METRICS.items()}

    best, worst = score(np.eye(4)[truth]), score(np.eye(4)[(truth + 1) % 4])
    for name in metrics.METRICS:
        if name in metrics.LOWER_IS_BETTER:
            assert best[name] == pytest.approx(0, abs=1e-12)
            assert worst[name] > 1
        else:
            assert best[name] == 1
            assert worst[name] < 1


def test_macro_f1_leaves_out_classes_lost_by_a_resample() -> None:
    truth = np.array([0, 0, 1, 1, 2, 2])
    predicted = np.array([0, 2, 1, 1, 2, 2])  # "pop" is also predicted for a "blues"
    ids = tuple(map(str, range(6)))
    p = Predictions(ids=ids, clip_ids=ids, groups=ids, labels=LABELS, probs=np.eye(4)[predicted], truth=truth)
    without_pop = Weights.of_items(np.array([[1.0, 1, 1, 1, 0, 0]]))
    assert metrics.class_scores(p, without_pop)["f1"][0, 2] == 0
    assert metrics.macro_f1(p, without_pop)[0] == pytest.approx((2 / 3 + 1) / 2)
    never = p.select(np.arange(4))  # where it does not occur at all, it counts, as in scikit-learn
    assert metrics.macro_f1(never, metrics.ones(never))[0] == pytest.approx((2 / 3 + 1 + 0) / 3)
