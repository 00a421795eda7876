"""Augmentation depends on seed, epoch and item alone and never mirrors; mixing keeps probabilities."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from spectro.core.arrays import Image
from spectro.training.augment import Augment, mix

SHAPE = (32, 44)


@pytest.fixture
def images() -> Image:
    return np.random.default_rng(0).integers(0, 256, (20, *SHAPE), dtype=np.uint8)


@pytest.mark.parametrize("preset", ["light", "strong"])
def test_augmentation_depends_on_seed_epoch_and_item_alone(images: Image, preset: str) -> None:
    items = np.arange(20)
    first = Augment(preset, 1, SHAPE)(images, items, 3)
    again = Augment(preset, 1, SHAPE)
    again(images[:5], items[:5], 0)
    backwards = again(images[::-1], items[::-1], 3)[::-1]
    assert np.array_equal(first, backwards)
    assert not np.array_equal(first, Augment(preset, 1, SHAPE)(images, items, 4))
    assert not np.array_equal(first, Augment(preset, 2, SHAPE)(images, items, 3))


def test_augmentation_never_mirrors() -> None:
    ramp = np.tile(np.linspace(0, 255, SHAPE[1]).astype(np.uint8), (40, SHAPE[0], 1))
    high = np.tile(np.linspace(255, 0, SHAPE[0]).astype(np.uint8)[:, None], (40, 1, SHAPE[1]))
    in_time = Augment("light", 0, SHAPE)(ramp, np.arange(40), 0).astype(float)
    in_pitch = Augment("light", 0, SHAPE)(high, np.arange(40), 0).astype(float)
    # a rolled, rising ramp falls once, where it wraps, and rises everywhere else
    assert (np.median(np.diff(in_time.mean(axis=1), axis=1), axis=1) > 0).all()
    assert (in_pitch[:, : SHAPE[0] // 4].mean(axis=(1, 2)) > in_pitch[:, -SHAPE[0] // 4 :].mean(axis=(1, 2))).all()


@pytest.mark.parametrize(("mixup", "cutmix"), [(0.4, 0.4), (0.4, 1.0), (0.4, 0.0), (0.0, 0.4)])
def test_mixing_keeps_level_and_probability(mixup: float, cutmix: float) -> None:
    x, targets = torch.rand(8, 1, *SHAPE), torch.eye(8)
    for seed in range(20):
        mixed, shares = mix(x, targets, mixup=mixup, cutmix=cutmix, rng=np.random.default_rng(seed))
        assert mixed.shape == x.shape
        assert torch.allclose(shares.sum(dim=1), torch.ones(8))
        assert mixed.min() >= 0
        assert mixed.max() <= 1


def joined_along_time(mixed: torch.Tensor, x: torch.Tensor) -> bool:
    """Tell whether every frame is a frame of one of the originals."""
    return bool((mixed[:, None, 0] == x[None, :, 0]).all(dim=2).any(dim=1).all())


def test_each_kind_of_mixing_can_be_had_alone_or_by_chance() -> None:
    x, targets = torch.rand(8, 1, *SHAPE), torch.eye(8)

    def joined(mixup: float, cutmix: float) -> float:
        rng = np.random.default_rng(0)
        return float(
            np.mean([joined_along_time(mix(x, targets, mixup=mixup, cutmix=cutmix, rng=rng)[0], x) for _ in range(100)])
        )

    assert joined(5.0, 0.0) == 0
    assert joined(0.0, 5.0) == 1
    assert 0.3 < joined(5.0, 5.0) < 0.7
    assert 0.3 < joined(5.0, 3.0) < 0.7
    assert torch.equal(mix(x, targets, mixup=0.0, cutmix=0.0, rng=np.random.default_rng(0))[0], x)
