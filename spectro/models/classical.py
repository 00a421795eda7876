"""Classical classifiers of feature vectors: scikit-learn pipelines with their search spaces, saved without pickle."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from zipfile import ZipFile

import skops.io
from sklearn.base import BaseEstimator
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

from spectro.core.distribution import require_packages
from spectro.core.errors import RunError, first_line
from spectro.core.files import replacing
from spectro.core.registry import Registry

Setting = str | int | float | tuple[int, ...] | None


@dataclass(frozen=True, kw_only=True)
class Method:
    """One classical classifier: how it is made, and the settings that a search tries."""

    title: str
    """Its full name."""
    make: Callable[[int], BaseEstimator]
    """From a seed to an estimator that is not fitted yet."""
    space: Mapping[str, Sequence[Setting]]
    """Values of each setting, all combinations of which are tried; without a search, the first of each are taken."""


def _xgboost(seed: int) -> BaseEstimator:
    require_packages("this model", "xgboost")
    import xgboost  # slow to import

    return xgboost.XGBClassifier(
        n_estimators=200, subsample=0.8, colsample_bytree=0.5, tree_method="hist", random_state=seed
    )


METHODS: Registry[Method] = Registry("classical model")
"""Classical classifiers by name."""

_FAMILY: Sequence[tuple[str, str, Callable[[int], BaseEstimator], Mapping[str, Sequence[Setting]]]] = (
    (
        "knn",
        "k nearest neighbours",
        lambda _: KNeighborsClassifier(algorithm="brute"),
        {"n_neighbors": (5, 1, 3, 9, 15), "weights": ("distance", "uniform")},
    ),
    (
        "logistic",
        "logistic regression",
        lambda seed: LogisticRegression(max_iter=2000, random_state=seed),
        {"C": (1.0, 0.01, 0.1, 10.0)},
    ),
    (
        "svm",
        "support vector machine with an RBF kernel",
        lambda seed: SVC(random_state=seed),
        {"C": (10.0, 1.0, 100.0), "gamma": ("scale", 0.01, 0.001)},
    ),
    (
        "forest",
        "random forest",
        lambda seed: RandomForestClassifier(n_estimators=300, random_state=seed),
        {"max_features": ("sqrt", 0.3), "min_samples_leaf": (1, 3)},
    ),
    (
        "tree",
        "decision tree",
        lambda seed: DecisionTreeClassifier(random_state=seed),
        {"max_depth": (None, 5, 10, 20), "min_samples_leaf": (1, 5)},
    ),
    ("bayes", "Gaussian naive Bayes", lambda _: GaussianNB(), {"var_smoothing": (1e-9, 1e-3, 1e-1, 1.0)}),
    (
        "sgd",
        "logistic regression by stochastic gradient descent",
        lambda seed: SGDClassifier(loss="log_loss", max_iter=2000, random_state=seed),
        {"alpha": (1e-3, 1e-4, 1e-2), "penalty": ("l2", "elasticnet")},
    ),
    (
        "mlp",
        "multilayer perceptron",
        lambda seed: MLPClassifier(max_iter=500, random_state=seed),
        {"hidden_layer_sizes": ((128,), (64,), (256, 128)), "alpha": (1e-4, 1e-2)},
    ),
    (
        "boosting",
        "gradient boosting on histograms",
        lambda seed: HistGradientBoostingClassifier(early_stopping=False, random_state=seed),
        {"learning_rate": (0.1, 0.05), "max_leaf_nodes": (15, 7)},
    ),
    ("xgboost", "XGBoost", _xgboost, {"max_depth": (6, 3), "learning_rate": (0.1, 0.05)}),
)
for _name, _title, _make, _space in _FAMILY:
    METHODS.add(_name)(Method(title=_title, make=_make, space=_space))

TRUSTED = frozenset(
    {
        "sklearn.calibration._CalibratedClassifier",
        "sklearn.calibration._SigmoidCalibration",
        "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
        "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
        "sklearn.tree._tree.Tree",
        "xgboost.core.Booster",
        "xgboost.sklearn.XGBClassifier",
    }
)
"""Types beyond skops' own list that a file may hold: those that the `METHODS` contain, and no others."""
MOST_OFTEN = 4
"""How many times its own size a file may ask to load: small arrays that are equal are kept once and named again."""


def pipeline(name: str, seed: int) -> Pipeline:
    """Return the steps `scale` and `model`, the model with the first settings of its space.

    Parameters
    ----------
    name
        Name in `METHODS`.
    seed
        Seed of models that draw random numbers.

    Raises
    ------
    ConfigError
        there is no such model, or its package is not installed.
    """
    method = METHODS[name]
    model = method.make(seed).set_params(**{setting: values[0] for setting, values in method.space.items()})
    return Pipeline([("scale", StandardScaler()), ("model", model)])


def space(name: str) -> dict[str, list[Setting]]:
    """Return the search space of a model in its pipeline."""
    return {f"model__{setting}": list(values) for setting, values in METHODS[name].space.items()}


def save(path: Path, fitted: BaseEstimator) -> None:
    """Write a fitted pipeline with skops, whole or not at all."""
    with replacing(path) as temporary:
        skops.io.dump(fitted, temporary)


def load(path: Path) -> BaseEstimator:
    """Read a fitted pipeline.

    Raises
    ------
    RunError
        the file is missing or damaged, holds a type that is not in `TRUSTED`, or no classifier.
    """
    try:
        with ZipFile(path) as archive:
            _require_bounded(archive, path.stat().st_size)
        foreign = sorted(set(skops.io.get_untrusted_types(file=path)) - TRUSTED)
        if not foreign:
            fitted = skops.io.load(path, trusted=sorted(TRUSTED))
    except Exception as error:  # a file that is made to look like a model can fail in any way
        reason = first_line(error)
        raise RunError(f"{path} cannot be read as a model ({reason}); train it again") from None
    if foreign:
        raise RunError(f"{path} holds a {foreign[0]}, which none of our models does; it is not loaded")
    if not isinstance(fitted, BaseEstimator) or not hasattr(fitted, "predict_proba"):
        raise RunError(f"{path} holds no classifier, but a {type(fitted).__name__}; train it again")
    return fitted


def _require_bounded(archive: ZipFile, size: int) -> None:
    """Raise ValueError where reading an archive of `size` bytes could fill the memory."""
    sizes = {entry.filename: entry.file_size for entry in archive.infolist()}
    if sum(sizes.values()) > size:
        raise ValueError("its parts are compressed, which ours never are")
    loaded, left = 0, [json.loads(archive.read("schema.json"))]
    while left:
        value = left.pop()
        if isinstance(value, dict):
            part = value.get("file")
            loaded += sizes.get(part, 0) if isinstance(part, str) else 0
            left += value.values()
        elif isinstance(value, list):
            left += value
    if loaded > MOST_OFTEN * size:
        raise ValueError("it names one part too many times")
