"""Spectrogram-safe augmentation: masking, rolling in time, gain, contrast, noise and small shifts; never flips."""

from __future__ import annotations

import albumentations as A
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Pictures = NDArray[np.uint8]


STRENGTH = {"light": 1.0, "strong": 2.0}


def _recipe(strength: float, shape: tuple[int, int]) -> A.Compose:
    """Return the transforms for pictures of `shape` (bands, frames)."""
    bands, frames = shape
    return A.Compose(
        [
            A.RandomBrightnessContrast(brightness_limit=0.1 * strength, contrast_limit=0.1 * strength, p=0.5),
            A.Affine(translate_percent={"x": 0.0, "y": (-0.015 * strength, 0.015 * strength)}, p=0.5),
            A.GaussNoise(std_range=(0.0, 0.02 * strength), p=0.5),
            A.XYMasking(
                num_masks_x=(0, 2),
                num_masks_y=(0, 2),
                mask_x_length=(0, int(0.08 * strength * frames)),
                mask_y_length=(0, int(0.08 * strength * bands)),
                p=1.0,
            ),
        ]
    )


class Augment:
    """Augment pictures; the same seed, item and epoch always give the same picture, whatever came before."""

    def __init__(self, preset: str, seed: int, shape: tuple[int, int]) -> None:
        self.transform = _recipe(STRENGTH[preset], shape) if preset != "none" else None
        self.seed = seed

    def __call__(self, pictures: Pictures, items: NDArray[np.int64], epoch: int) -> Pictures:
        """Return augmented copies of `pictures` `[batch, bands, frames]`, which are the `items` of the data."""
        if self.transform is None:
            return pictures
        return np.stack([self._one(p, int(item), epoch) for p, item in zip(pictures, items, strict=True)])

    def _one(self, picture: Pictures, item: int, epoch: int) -> Pictures:
        rng = np.random.default_rng([self.seed, epoch, item])
        rolled = np.roll(picture, rng.integers(picture.shape[1]), axis=1)
        assert self.transform is not None
        self.transform.set_random_seed(int(rng.integers(2**31)))
        changed: Pictures = self.transform(image=rolled)["image"]
        return changed


def mix(x: Tensor, targets: Tensor, alpha: float, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Mix each picture with another of the batch: by level (mixup), or in half of the batches by joining in time.

    Parameters
    ----------
    x
        `[batch, 1, bands, frames]`.
    targets
        `[batch, classes]`, probabilities; mixed in the same proportion.
    alpha
        of the Beta distribution that the share is drawn from.
    rng
        source of the shares and the pairing.

    Notes
    -----
    Zhang et al., "mixup: Beyond empirical risk minimization", 2018; Yun et al., "CutMix", 2019, here along time only,
    so that every frame keeps all of its frequencies.
    """
    share = float(rng.beta(alpha, alpha))
    partner = torch.from_numpy(rng.permutation(len(x))).to(x.device)
    if rng.random() < 0.5:
        x = share * x + (1 - share) * x[partner]
    else:
        frames = round(share * x.shape[-1])
        share = frames / x.shape[-1]
        x = torch.cat([x[..., :frames], x[partner][..., frames:]], dim=-1)
    return x, share * targets + (1 - share) * targets[partner]
