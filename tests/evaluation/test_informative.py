"""Orders of labelling: each puts what it promises first, takes every clip once, and repeats itself."""

from __future__ import annotations

import numpy as np
import pytest

from spectro.core.arrays import softmax
from spectro.core.errors import ConfigError
from spectro.evaluation.informative import ORDERS, Pool, entropy_of, lead


def pool(clips: int = 60, seed: int = 0) -> Pool:
    rng = np.random.default_rng(seed)
    members = np.stack([softmax(2 * rng.standard_normal((clips, 4))) for _ in range(3)])
    vectors = rng.standard_normal((clips, 5)).astype(np.float32)
    return Pool(probs=members.mean(axis=0), vectors=vectors, members=members, known=vectors[:3] + 9, seed=seed)


@pytest.mark.parametrize("name", list(ORDERS))
def test_an_order_takes_each_clip_once_and_repeats_itself(name: str) -> None:
    order = ORDERS[name](pool(), 60)
    assert sorted(order.tolist()) == list(range(60))
    assert ORDERS[name](pool(), 60).tolist() == order.tolist()
    if name != "random":
        assert ORDERS[name](pool(), 7).tolist() == order[:7].tolist()
    assert len(ORDERS[name](pool(2), 60)) == 2


def test_margin_and_entropy_put_the_least_sure_first() -> None:
    clips = pool()
    leads, spread = lead(clips.probs), entropy_of(clips.probs)
    assert np.all(np.diff(leads[ORDERS["margin"](clips, 60)]) >= 0)
    assert np.all(np.diff(spread[ORDERS["entropy"](clips, 60)]) <= 0)


def test_disagreement_is_not_uncertainty() -> None:
    """Two members that are sure of different classes come before two that are both unsure."""
    sure = np.array([[[0.98, 0.02], [0.5, 0.5], [0.9, 0.1]], [[0.02, 0.98], [0.5, 0.5], [0.9, 0.1]]])
    assert ORDERS["disagreement"](Pool(probs=sure.mean(axis=0), members=sure), 1).tolist() == [0]
    alone = Pool(probs=sure[0])
    assert ORDERS["disagreement"](alone, 3).tolist() == ORDERS["entropy"](alone, 3).tolist()


def test_diverse_leaves_no_cluster_out() -> None:
    rng = np.random.default_rng(0)
    cluster = np.repeat(np.arange(5), 20)
    vectors = (10 * np.eye(5)[cluster] + rng.normal(0, 0.1, (100, 5))).astype(np.float32)
    even = Pool(probs=np.full((100, 3), 1 / 3), vectors=vectors)
    assert set(cluster[ORDERS["diverse"](even, 5)].tolist()) == set(range(5))


def test_an_unknown_order_is_named() -> None:
    with pytest.raises(ConfigError, match="unknown order 'margn'; did you mean 'margin'"):
        ORDERS["margn"]
