"""Batches cover each item once, carry errors to the consumer and leave no thread behind."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch

from spectro.core.arrays import Image, Items
from spectro.inference.batches import Batches, Clock, to_input

CPU = torch.device("cpu")


@pytest.fixture
def images() -> Image:
    return np.random.default_rng(0).integers(0, 256, (20, 32, 44), dtype=np.uint8)


def test_batches_cover_each_item_once_in_order_and_never_end_with_one(images: Image) -> None:
    items = np.random.default_rng(1).permutation(17)
    seen: list[int] = []
    sizes: list[int] = []
    clock = Clock()
    for batch, x in Batches(images, CPU, 8)(items, clock=clock):
        seen.extend(batch)
        sizes.append(len(batch))
        assert torch.equal(x, to_input(images[batch]))
    assert seen == list(items)
    assert sizes == [6, 6, 5]
    assert clock.loading > 0
    assert clock.waiting > 0


def test_an_error_while_making_a_batch_reaches_the_consumer(images: Image) -> None:
    def broken(rows: Image, items: Items, epoch: int) -> Image:
        raise OSError("the disk went away")

    with pytest.raises(OSError, match="the disk went away"):
        list(Batches(images, CPU, 8, broken)(np.arange(20)))


def test_an_abandoned_epoch_ends_its_thread(images: Image) -> None:
    before = threading.active_count()
    epoch = Batches(images, CPU, 1, lambda rows, items, epoch: rows)(np.arange(20))
    next(epoch)
    assert threading.active_count() == before + 1
    epoch.close()  # type: ignore[attr-defined]  # a generator
    assert threading.active_count() == before
