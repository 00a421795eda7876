"""Confidence intervals and paired significance tests: bootstrap over groups, Wilson, McNemar, Holm, corrected t."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from spectro.core.arrays import Floats, Mask
from spectro.core.config import Config, require, require_seed, within
from spectro.core.errors import ConfigError, DataError
from spectro.evaluation.results import Estimate
from spectro.evaluation.weights import Weights

Statistic = Callable[[Weights], Floats]
"""From the weights of items in many resamples to values `[repeats, ...]`."""
MAX_REPEATS = 100_000


@dataclass(frozen=True, kw_only=True)
class BootstrapConfig(Config):
    """How intervals are computed."""

    repeats: int = 1000
    """Number of resamples."""
    level: float = 0.95
    """Share of resamples inside the interval."""
    seed: int = 0
    """Seed of the resampling."""

    def __post_init__(self) -> None:
        require(self.repeats >= 10, f"repeats is {self.repeats}, but an interval needs at least 10")
        within("repeats", self.repeats, 10, MAX_REPEATS)
        require(0 < self.level < 1, f"level is {self.level}, but must be a share between 0 and 1 (0.95 = 95 %)")
        require_seed(self.seed)


def bootstrap(statistic: Statistic, groups: Sequence[str], config: BootstrapConfig | None = None) -> Floats:
    """Evaluate a statistic on resamples of whole groups (cluster bootstrap).

    Items of one group (segments of a song, songs of an album) resemble each other, so resampling items one by one would
    overstate how much the data tell; instead, groups are drawn with replacement, each with all its items.

    Parameters
    ----------
    statistic
        From the weights of items in all resamples to values `[repeats, ...]`.
    groups
        Group of each item.
    config
        Number of resamples, level and seed.

    Returns
    -------
    Floats
        `[config.repeats, ...]`, the statistic of each resample.
    """
    config = config or BootstrapConfig()
    return statistic(Weights.draw(groups, config.repeats, config.seed))


def percentile_interval(samples: Floats, level: float = 0.95) -> tuple[float, float]:
    """Return the central `level` of the samples; undefined ones (nan) are left out, and (nan, nan) if none is left."""
    defined = samples[~np.isnan(samples)]
    if not len(defined):
        return math.nan, math.nan
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def centred_interval(samples: Floats, value: float, level: float = 0.95) -> tuple[float, float]:
    """Return the percentile interval, moved by what resampling alone changes: the mean of the samples onto `value`.

    A mean of shares does not move. A nonlinear metric such as macro-F1 does: a resample holds fewer different groups
    than the sample, which lowers it by several times the bias of the metric itself. With 15 classes of 7 clips in
    groups of 1 to 3, the percentile interval held the true macro-F1 in 90 to 93 of 100 simulations, this one in 94 to
    97; the intervals that take all of the shift for bias (basic, BC, BCa) held it less often and were too high. The
    interval stays within the range of the resamples.
    """
    defined = samples[~np.isnan(samples)]
    low, high = percentile_interval(defined, level)
    if math.isnan(low) or math.isnan(value):
        return low, high
    move = value - float(defined.mean())
    return max(low + move, min(value, float(defined.min()))), min(high + move, max(value, float(defined.max())))


def estimate(statistic: Statistic, groups: Sequence[str], config: BootstrapConfig | None = None) -> Estimate:
    """Return a statistic of all items with its centred percentile interval from a bootstrap over groups."""
    config = config or BootstrapConfig()
    value = float(statistic(Weights.ones(len(groups)))[0])
    if len(set(groups)) < 2:
        return Estimate(value=value, low=math.nan, high=math.nan)
    low, high = centred_interval(bootstrap(statistic, groups, config), value, config.level)
    return Estimate(value=value, low=low, high=high)


def wilson(successes: int, n: int, level: float = 0.95) -> Estimate:
    """Return a share with Wilson's score interval [Wilson, 1927]; for `n` independent items."""
    if not 0 <= successes <= n or n == 0:
        raise DataError(f"{successes} of {n} is not a share")
    interval = stats.binomtest(successes, n).proportion_ci(confidence_level=level, method="wilson")
    return Estimate(value=successes / n, low=float(interval.low), high=float(interval.high))


@dataclass(frozen=True)
class McNemar:
    """Exact test of two models on the same items."""

    only_first: int
    """Items that only the first gets right."""
    only_second: int
    """Items that only the second gets right."""
    p: float
    """Two-sided probability of a split at least this uneven between equal models."""


def mcnemar(first: Mask, second: Mask) -> McNemar:
    """Test whether two models get different shares right [McNemar, 1947; exact binomial form].

    Parameters
    ----------
    first, second
        `[items]`, whether each model is right, in the same order of items.

    Raises
    ------
    DataError
        The two have different lengths.
    """
    _same_length(first, second)
    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    discordant = only_first + only_second
    p = float(stats.binomtest(only_first, discordant).pvalue) if discordant else 1.0
    return McNemar(only_first, only_second, p)


@dataclass(frozen=True)
class Difference:
    """Mean difference of two paired scores, with interval and two-sided p-value."""

    estimate: Estimate
    p: float
    deviation: float
    """Standard error."""


def paired_bootstrap(
    first: Floats, second: Floats, groups: Sequence[str], config: BootstrapConfig | None = None
) -> Difference:
    """Compare two models by the mean difference of their scores per item; whole groups are resampled, in pairs.

    Parameters
    ----------
    first, second
        `[items]`, score of each model per item, such as 1.0 where it is right.
    groups
        Group of each item.
    config
        Number of resamples, level and seed.

    Returns
    -------
    Difference
        first - second; its p-value is twice the share of resamples on the far side of 0, at least 2 / (repeats + 1).

    Raises
    ------
    DataError
        The two have different lengths.
    """
    config = config or BootstrapConfig()
    _same_length(first, second)
    gap = np.asarray(first, dtype=np.float64) - np.asarray(second, dtype=np.float64)

    value = float(gap.mean())
    if len(set(groups)) < 2:
        return Difference(Estimate(value=value, low=math.nan, high=math.nan), 1.0, math.nan)
    samples = bootstrap(lambda weights: weights.mean(gap), groups, config)
    far = min((samples <= 0).sum(), (samples >= 0).sum())
    p = min(1.0, 2 * (far + 1) / (config.repeats + 1))
    low, high = percentile_interval(samples, config.level)
    return Difference(Estimate(value=value, low=low, high=high), float(p), float(samples.std()))


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values corrected for testing several hypotheses, in the order given [Holm, 1979]."""
    order = np.argsort(p_values, kind="stable")
    factors = len(p_values) - np.arange(len(p_values))
    corrected = np.empty(len(p_values))
    corrected[order] = np.minimum(1, np.maximum.accumulate(np.asarray(p_values)[order] * factors))
    return [float(p) for p in corrected]


def corrected_t(differences: Sequence[float], test_share: float) -> tuple[float, float]:
    """Return t and two-sided p of per-fold (or per-repeat) differences of two models.

    Training sets of different folds overlap, but a plain t test takes them for independent; here the variance is
    multiplied by `1/k + test/train` instead of `1/k` [Nadeau and Bengio, 2003].

    Parameters
    ----------
    differences
        first - second, one per fold.
    test_share
        Share of the items in a test fold, 0.2 for five folds.

    Raises
    ------
    ConfigError
        There are fewer than two differences, or the share is not between 0 and 1.
    """
    if len(differences) < 2:
        raise ConfigError(f"a t test needs at least 2 folds, but {len(differences)} was given")
    if not 0 < test_share < 1:
        raise ConfigError(f"test_share is {test_share}, but must be a share between 0 and 1")
    gaps = np.asarray(differences, dtype=np.float64)
    variance = gaps.var(ddof=1) * (1 / len(gaps) + test_share / (1 - test_share))
    if variance == 0:
        return (0.0, 1.0) if gaps.mean() == 0 else (math.copysign(math.inf, gaps.mean()), 0.0)
    t = float(gaps.mean() / math.sqrt(variance))
    return t, float(2 * stats.t.sf(abs(t), len(gaps) - 1))


def items_needed(only_first: float, only_second: float, *, alpha: float = 0.05, power: float = 0.8) -> int | None:
    """Return how many independent items McNemar's test needs to detect such a difference [Connor, 1987].

    Parameters
    ----------
    only_first, only_second
        Shares of the items that only one of the two gets right.
    alpha
        Level of the test, two-sided.
    power
        Probability of detecting the difference.

    Returns
    -------
    int | None
        The number of items, or None when the shares are equal and no number suffices.
    """
    discordant, gap = only_first + only_second, abs(only_first - only_second)
    if gap == 0:
        return None
    z_alpha, z_power = float(stats.norm.ppf(1 - alpha / 2)), float(stats.norm.ppf(power))
    return math.ceil(
        (z_alpha * math.sqrt(discordant) + z_power * math.sqrt(max(0.0, discordant - gap**2))) ** 2 / gap**2
    )


def _same_length(first: Floats | Mask, second: Floats | Mask) -> None:
    if len(first) != len(second):
        raise DataError(f"paired tests need the same items, but {len(first)} and {len(second)} were given")
