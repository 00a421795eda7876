"""The input that a timm model is created for: the spectrogram as it is, padded to whole patches, or resized."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import timm
import torch
from timm.layers import PatchEmbed
from timm.models import PretrainedCfg
from torch import Tensor, nn

from spectro.core.arrays import Floats32

UNITS = (8, 14, 16, 28, 32, 48, 56, 64)
"""Sides of patches, and of windows of patches, in timm's models; a side of the input must often be a multiple."""
STRETCHED = frozenset(
    (
        "byoanet",
        "cait",
        "efficientformer_v2",
        "gcvit",
        "hiera",
        "levit",
        "mlp_mixer",
        "pit",
        "visformer",
        "vision_transformer_sam",
        "volo",
    )
)
"""Families of timm that can be created for any size, but whose published weights belong to one, and timm does not
resample them. Spectrograms are stretched to that size."""
COLOURED = frozenset(("csatv2",))
"""Families of timm that compute with three colours, and cannot be created for one channel."""
UNSUPPORTED: Mapping[str, str] = {
    "gemma4_vit": "its code reads values of its input, so its shapes cannot be known before"
}
"""Families of timm that cannot be used, and why."""


@dataclass(frozen=True, kw_only=True)
class InputFit:
    """How spectrograms of one shape become the input of a timm model.

    Convolutional models take any shape. Transformers are created for a size, so that their position embeddings and
    windows belong to it; most want whole patches, some whole windows, and a few a square of one size.
    """

    shape: tuple[int, int]
    """Bands and frames of the spectrograms."""
    size: tuple[int, int]
    """Height and width of the model's input."""
    resized: bool = False
    """Spectrograms are stretched to `size`; otherwise they are padded with the mean, below the lowest band and
    after the last frame."""
    sized: bool = True
    """The model is created for `size`, with timm's `img_size`."""
    likely: bool = False
    """It works for most models for which it is tried."""

    def create(self, name: str, in_chans: int) -> Any:
        """Return timm's model for such input, with random weights and without a classifier.

        Parameters
        ----------
        name
            Name of the model.
        in_chans
            Number of channels of the input.
        """
        options: dict[str, Any] = {"img_size": self.size} if self.sized else {}
        return timm.create_model(name, pretrained=False, num_classes=0, in_chans=in_chans, **options)

    def __call__(self, inputs: Tensor) -> Tensor:
        """Return `[batch, channels, bands, frames]` as the model's `[batch, channels, height, width]`."""
        if self.size == self.shape:
            return inputs
        if self.resized:
            return nn.functional.interpolate(inputs, self.size, mode="bilinear")
        (bands, frames), (height, width) = self.shape, self.size
        return nn.functional.pad(inputs, (0, width - frames, 0, height - bands))

    def without_padding(self, importance: Floats32) -> Floats32:
        """Return the part of a map of the model's input that covers the spectrogram.

        Parameters
        ----------
        importance
            `[bands, frames]`, the map of the whole input, scaled to the spectrogram's shape.

        Returns
        -------
        Floats32
            `[bands, frames]`, point by point that of the spectrogram.
        """
        if self.resized or self.size == self.shape:
            return importance
        whole = nn.functional.interpolate(torch.from_numpy(importance)[None, None], self.size, mode="bilinear")
        part: Floats32 = whole[0, 0, : self.shape[0], : self.shape[1]].numpy()
        return part


def family_of(name: str) -> str:
    """Return the module of timm that a model is from: `vision_transformer`, `swin_transformer_v2`."""
    return timm.models.model_entrypoint(name).__module__.rpartition(".")[2]


def input_fits(shape: tuple[int, int], facts: PretrainedCfg, family: str) -> Iterator[InputFit]:
    """Yield ways to give spectrograms of one shape to a model, the best first.

    Parameters
    ----------
    shape
        Bands and frames of the spectrograms.
    facts
        What timm knows about the model.
    family
        The module of timm that it is from.
    """
    for size in [] if family in STRETCHED else _sizes(shape):
        for sized in (True, False):
            likely = size == shape and (sized or not facts.fixed_input_size)
            yield InputFit(shape=shape, size=size, sized=sized, likely=likely)
    if (
        family in STRETCHED or facts.fixed_input_size or facts.min_input_size
    ):  # what is too short for convolutions is refused instead
        _, height, width = facts.input_size
        yield InputFit(shape=shape, size=(height, width), resized=True, sized=False)


def require_whole_patches(model: nn.Module, size: tuple[int, int]) -> None:
    """Raise ValueError where a model's patches would leave out the end of an input of that size, as timm allows."""
    embeddings = (module for module in model.modules() if isinstance(module, PatchEmbed))
    cut = getattr(next(embeddings, None), "proj", None)
    if not isinstance(cut, nn.Conv2d) or cut.kernel_size != cut.stride:
        return  # of overlapping patches, whose padding covers the end
    if any(side % unit for side, unit in zip(size, cut.kernel_size, strict=True)):
        raise ValueError(f"{size} is not of whole patches of {cut.kernel_size}")


def _sizes(shape: tuple[int, int]) -> list[tuple[int, int]]:
    """Return a shape and the larger ones of whole units, the smallest first; no side is doubled."""
    sizes = {tuple(math.ceil(side / unit) * unit for side in shape) for unit in UNITS}
    padded = [(h, w) for h, w in sizes if h < 2 * shape[0] and w < 2 * shape[1] and (h, w) != shape]
    return [shape, *sorted(padded, key=math.prod)]
