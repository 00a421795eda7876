"""Parts of training: seeded augmentation that never mirrors, mixing, batches that cover each item once."""

import numpy as np
import pytest
import torch

from spectro.core.arrays import softmax
from spectro.inference.batches import Batches, Clock, to_input
from spectro.training.augment import Augment, mix

SHAPE = (32, 44)


@pytest.fixture
def pictures() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (20, *SHAPE), dtype=np.uint8)


@pytest.mark.parametrize("preset", ["light", "strong"])
def test_augmentation_depends_on_seed_epoch_and_item_alone(pictures: np.ndarray, preset: str) -> None:
    items = np.arange(20)
    first = Augment(preset, 1, SHAPE)(pictures, items, 3)
    again = Augment(preset, 1, SHAPE)
    again(pictures[:5], items[:5], 0)
    backwards = again(pictures[::-1], items[::-1], 3)[::-1]
    assert np.array_equal(first, backwards)
    assert not np.array_equal(first, Augment(preset, 1, SHAPE)(pictures, items, 4))
    assert not np.array_equal(first, Augment(preset, 2, SHAPE)(pictures, items, 3))


def test_augmentation_never_mirrors(pictures: np.ndarray) -> None:
    ramp = np.tile(np.linspace(0, 255, SHAPE[1]).astype(np.uint8), (40, SHAPE[0], 1))
    high = np.tile(np.linspace(255, 0, SHAPE[0]).astype(np.uint8)[:, None], (40, 1, SHAPE[1]))
    in_time = Augment("light", 0, SHAPE)(ramp, np.arange(40), 0).astype(float)
    in_pitch = Augment("light", 0, SHAPE)(high, np.arange(40), 0).astype(float)
    # a rolled, rising ramp falls once, where it wraps, and rises everywhere else
    assert (np.median(np.diff(in_time.mean(axis=1), axis=1), axis=1) > 0).all()
    assert (in_pitch[:, : SHAPE[0] // 4].mean(axis=(1, 2)) > in_pitch[:, -SHAPE[0] // 4 :].mean(axis=(1, 2))).all()


def test_mixing_keeps_level_and_probability() -> None:
    x, targets = torch.rand(8, 1, *SHAPE), torch.eye(8)
    for seed in range(20):
        mixed, wanted = mix(x, targets, 0.4, np.random.default_rng(seed))
        assert mixed.shape == x.shape
        assert torch.allclose(wanted.sum(dim=1), torch.ones(8))
        assert mixed.min() >= 0
        assert mixed.max() <= 1


def test_batches_cover_each_item_once_in_order_and_never_end_with_one(pictures: np.ndarray) -> None:
    items = np.random.default_rng(1).permutation(17)
    seen, sizes = [], []
    clock = Clock()
    for batch, x in Batches(pictures, torch.device("cpu"), 8)(items, clock=clock):
        seen.extend(batch)
        sizes.append(len(batch))
        assert torch.equal(x, to_input(pictures[batch]))
    assert seen == list(items)
    assert sizes == [6, 6, 5]
    assert clock.loading > 0
    assert clock.waiting > 0


def test_an_error_while_making_a_batch_reaches_the_consumer(pictures: np.ndarray) -> None:
    def broken(rows: np.ndarray, items: np.ndarray, epoch: int) -> np.ndarray:
        raise OSError("the disk went away")

    with pytest.raises(OSError, match="the disk went away"):
        list(Batches(pictures, torch.device("cpu"), 8, broken)(np.arange(20)))


def test_an_abandoned_epoch_ends_its_thread(pictures: np.ndarray) -> None:
    import threading

    before = threading.active_count()
    epoch = Batches(pictures, torch.device("cpu"), 1, lambda rows, items, epoch: rows)(np.arange(20))
    next(epoch)
    assert threading.active_count() == before + 1
    epoch.close()
    assert threading.active_count() == before


def test_softmax_is_a_distribution_whatever_the_scale() -> None:
    logits = np.array([[1e4, -1e4, 0.0], [0.0, 0.0, 0.0]], dtype=np.float32)
    probs = softmax(logits)
    assert np.allclose(probs, [[1, 0, 0], [1 / 3, 1 / 3, 1 / 3]])
    assert np.allclose(softmax(np.array([[1.0, 0.0, 0.0]], dtype=np.float32), 1e6), 1 / 3, atol=1e-6)
