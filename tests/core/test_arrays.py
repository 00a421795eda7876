"""The softmax of every classifier."""

from __future__ import annotations

import numpy as np

from spectro.core.arrays import softmax


def test_softmax_is_a_distribution_whatever_the_scale() -> None:
    logits = np.array([[1e4, -1e4, 0.0], [0.0, 0.0, 0.0]], dtype=np.float32)
    assert np.allclose(softmax(logits), np.array([[1, 0, 0], [1 / 3, 1 / 3, 1 / 3]]))
    assert np.allclose(softmax(np.array([[1.0, 0.0, 0.0]], dtype=np.float32), 1e6), 1 / 3, atol=1e-6)
