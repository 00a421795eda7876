"""Spectrogram-safe augmentation: masking, rolling in time, gain, contrast, noise, small shifts and mixing; no flips."""

from __future__ import annotations

import albumentations as A
import numpy as np
import torch
from torch import Tensor

from spectro.core.arrays import Image, Items


def _light(bands: int, frames: int) -> list[A.BasicTransform]:
    """Gain and contrast, a small shift in pitch, at most one mask along each axis."""
    return [
        A.RandomBrightnessContrast(brightness_limit=0.1, contrast_limit=0.1, p=0.5),
        A.Affine(translate_percent={"x": 0.0, "y": (-0.015, 0.015)}, p=0.5),
        _masks(1, bands // 12, frames // 12),
    ]


def _strong(bands: int, frames: int) -> list[A.BasicTransform]:
    """Twice that, and noise."""
    return [
        A.RandomBrightnessContrast(brightness_limit=0.2, contrast_limit=0.2, p=0.5),
        A.Affine(translate_percent={"x": 0.0, "y": (-0.03, 0.03)}, p=0.5),
        A.GaussNoise(std_range=(0.0, 0.03), p=0.5),
        _masks(2, bands // 8, frames // 8),
    ]


def _masks(number: int, height: int, width: int) -> A.BasicTransform:
    """Black out up to `number` stretches of time and of frequency (SpecAugment, Park et al. 2019)."""
    numbers: tuple[int, int] = (0, number)
    return A.XYMasking(
        num_masks_x=numbers, num_masks_y=numbers, mask_x_length=(0, width), mask_y_length=(0, height), p=1.0
    )


PRESETS = {"light": _light, "strong": _strong}


class Augment:
    """Augment spectrograms; the same seed, item and epoch always give the same image, whatever came before.

    Parameters
    ----------
    preset
        `none`, or a name in `PRESETS`.
    seed
        Seed of all transforms.
    shape
        Bands and frames of an image.
    """

    def __init__(self, preset: str, seed: int, shape: tuple[int, int]) -> None:
        self.transform = A.Compose(PRESETS[preset](*shape)) if preset != "none" else None
        self.seed = seed

    def __call__(self, images: Image, items: Items, epoch: int) -> Image:
        """Return augmented copies of `images` `[batch, bands, frames]`, which are the `items` of the data."""
        if self.transform is None:
            return images
        return np.stack([self._one(image, int(item), epoch) for image, item in zip(images, items, strict=True)])

    def _one(self, image: Image, item: int, epoch: int) -> Image:
        rng = np.random.default_rng([self.seed, epoch, item])
        rolled = np.roll(image, rng.integers(image.shape[1]), axis=1)
        assert self.transform is not None
        self.transform.set_random_seed(int(rng.integers(2**31)))
        augmented: Image = self.transform(image=rolled)["image"]
        return augmented


def mix(x: Tensor, targets: Tensor, *, mixup: float, cutmix: float, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Combine each spectrogram with another of the batch: weighted sum (mixup), or joined along time (CutMix).

    Parameters
    ----------
    x
        `[batch, 1, bands, frames]`.
    targets
        Probabilities, `[batch, classes]`; combined in the same proportion.
    mixup, cutmix
        Alphas of the Beta distributions that the share is drawn from; 0 = never. With both, one of the two is chosen
        by chance for the whole batch.
    rng
        Source of the shares and the pairing.

    Returns
    -------
    tuple[Tensor, Tensor]
        Combined `x` and `targets`; unchanged if both alphas are 0.

    Notes
    -----
    Zhang et al., "mixup: Beyond empirical risk minimization", 2018; Yun et al., "CutMix", 2019, here along time only,
    so that every frame keeps all of its frequencies.
    """
    if not mixup and not cutmix:
        return x, targets
    alpha = mixup or cutmix
    share = float(rng.beta(alpha, alpha))
    partner = torch.from_numpy(rng.permutation(len(x))).to(x.device)
    if mixup and (not cutmix or rng.random() < 0.5):
        x = share * x + (1 - share) * x[partner]
    else:
        if cutmix != alpha:
            share = float(rng.beta(cutmix, cutmix))
        frames = round(share * x.shape[-1])
        share = frames / x.shape[-1]
        x = torch.cat([x[..., :frames], x[partner][..., frames:]], dim=-1)
    return x, share * targets + (1 - share) * targets[partner]
